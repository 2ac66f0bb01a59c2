//! Elements changed and removed: Delete, DeleteByFilter, UpdateAttributes, Expire.
//!
//! What depends on the state of elements is read and written in one session that watches the collection: where others
//! changed it in between nothing was written, and it is read again.

use quiver_resp::{IntText, OwnedArgv, Value};
use serde_json::Map;
use tonic::Status;

use super::read::Match;
use super::{Vectors, count_true, is_true};
use crate::check::{GET_IDS_MAX, Violations, WRITE_ELEMENTS_MAX};
use crate::convert;
use crate::executor::{Auth, Executor};
use crate::gateway::Failure;
use crate::pb::expire_request::When;
use crate::pb::{
    AttributesUpdate, DeleteByFilterRequest, DeleteRequest, ExpireCondition, ExpireOutcome, ExpireRequest,
    UpdateAttributesRequest, UpdateAttributesResponse,
};
use crate::status::{self, Site};

/// How often work is begun again that others made void.
const TRIES: usize = 32;
/// Elements that one look for matches finds, to be deleted in steps.
const FOUND_MAX: usize = 65_536;

impl<E: Executor> Vectors<E> {
    pub(super) async fn delete_elements(&self, auth: &Auth, request: &DeleteRequest) -> Result<u64, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.ids(&request.ids, WRITE_ELEMENTS_MAX);
        violations.into_result()?;
        let deleted = self.gateway.at(auth, &request.collection, |place| async move {
            if place.plan.is_some() {
                return Ok(0);
            }
            let commands = removals(&place.collection, request.ids.iter().map(AsRef::as_ref));
            let replies = self.gateway.run_atomic(auth, commands).await;
            Ok(count_true(&replies.map_err(|failure| failed(failure, &place.collection))?))
        });
        deleted.await
    }

    pub(super) async fn delete_matching(&self, auth: &Auth, request: &DeleteByFilterRequest) -> Result<u64, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.not_empty("filter", request.filter.as_bytes());
        violations.into_result()?;
        let deleted = self.gateway.at(auth, &request.collection, |place| async move {
            if place.plan.is_some() {
                return Ok(0);
            }
            self.delete_all_matching(auth, &place.collection, &request.filter).await
        });
        deleted.await
    }

    async fn delete_all_matching(&self, auth: &Auth, collection: &str, filter: &str) -> Result<u64, Status> {
        let mut deleted = 0;
        loop {
            let found = self.some_matches(auth, collection, filter, FOUND_MAX, true).await?;
            let before = deleted;
            for step in found.chunks(WRITE_ELEMENTS_MAX) {
                deleted += self.delete_unchanged(auth, collection, step).await?;
            }
            if found.len() < FOUND_MAX {
                return Ok(deleted);
            }
            if deleted == before {
                return Err(status::contended("others change the elements that satisfy the filter"));
            }
        }
    }

    /// Deletes those elements whose attributes are still the ones that satisfied the filter.
    async fn delete_unchanged(&self, auth: &Auth, collection: &str, step: &[Match]) -> Result<u64, Status> {
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            let mut commands = vec![OwnedArgv::from_slices(&["WATCH", collection])];
            commands.extend(step.iter().map(|(id, _)| vgetattr(collection, id)));
            let now = session.run(commands).await.map_err(|failure| failed(failure, collection))?;
            let unchanged = step.iter().zip(&now[1..]).filter(|((_, then), now)| now.as_bytes() == then.as_deref());
            let commands = removals(collection, unchanged.map(|((id, _), _)| id.as_slice()));
            if commands.is_empty() {
                return Ok(0);
            }
            let done = session.run_atomic(commands).await.map_err(|failure| failed(failure, collection))?;
            if let Some(replies) = done {
                return Ok(count_true(&replies));
            }
        }
        Err(status::contended("others change the collection all the time"))
    }

    pub(super) async fn update_all(
        &self,
        auth: &Auth,
        request: &UpdateAttributesRequest,
    ) -> Result<UpdateAttributesResponse, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.count("updates", request.updates.len(), WRITE_ELEMENTS_MAX);
        for (index, update) in request.updates.iter().take(WRITE_ELEMENTS_MAX).enumerate() {
            violations.not_empty(&format!("updates[{index}].id"), &update.id);
            if !convert::is_attributes(&update.attributes) {
                violations.add(format!("updates[{index}].attributes"), "must be a JSON object, or empty");
            }
        }
        violations.into_result()?;
        let updates = request.updates.as_slice();
        let replies = self.gateway.at(auth, &request.collection, |place| async move {
            if place.plan.is_some() {
                Ok(vec![Value::Boolean(false); updates.len()])
            } else if request.merge {
                self.merge(auth, &place.collection, updates).await
            } else {
                let texts = updates.iter().map(|update| update.attributes.as_str());
                let commands = vsetattrs(&place.collection, updates, texts);
                self.gateway.run_atomic(auth, commands).await.map_err(|failure| failed(failure, &place.collection))
            }
        });
        let replies = replies.await?;
        let missing = updates.iter().zip(&replies).filter(|(_, reply)| !is_true(reply));
        let missing = missing.map(|(update, _)| update.id.clone()).collect();
        Ok(UpdateAttributesResponse { updated: count_true(&replies), missing, token: String::new() })
    }

    async fn merge(&self, auth: &Auth, collection: &str, updates: &[AttributesUpdate]) -> Result<Vec<Value>, Status> {
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            let mut commands = vec![OwnedArgv::from_slices(&["WATCH", collection])];
            commands.extend(updates.iter().map(|update| vgetattr(collection, &update.id)));
            let now = session.run(commands).await.map_err(|failure| failed(failure, collection))?;
            let merged: Vec<String> =
                updates.iter().zip(&now[1..]).map(|(u, now)| merged(now, &u.attributes)).collect();
            let commands = vsetattrs(collection, updates, merged.iter().map(String::as_str));
            let done = session.run_atomic(commands).await.map_err(|failure| failed(failure, collection))?;
            if let Some(replies) = done {
                return Ok(replies);
            }
        }
        Err(status::contended("others change the collection all the time; nothing was changed"))
    }

    pub(super) async fn expire_elements(
        &self,
        auth: &Auth,
        request: &ExpireRequest,
    ) -> Result<Vec<ExpireOutcome>, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.ids(&request.ids, GET_IDS_MAX);
        match request.when {
            None => violations.add("when", "ttl_ms, at_ms or never is required"),
            Some(When::Never(false)) => violations.add("never", "must be true"),
            Some(When::Never(true)) if request.condition != 0 => violations.add("condition", "does not go with never"),
            Some(_) => {}
        }
        if ExpireCondition::try_from(request.condition).is_err() {
            violations.add("condition", "is not a known condition");
        }
        violations.into_result()?;
        let replies = self.gateway.at(auth, &request.collection, |place| async move {
            if place.plan.is_some() {
                return Ok(vec![Value::Integer(-2); request.ids.len()]);
            }
            let replies = self.gateway.run(auth, vec![expiry(&place.collection, request)]).await;
            match replies.map_err(|failure| failed(failure, &place.collection))?.pop() {
                Some(Value::Array(outcomes)) => Ok(outcomes),
                _ => Err(status::unexpected_reply("of VPEXPIRE")),
            }
        });
        Ok(replies.await?.iter().map(outcome).collect())
    }
}

fn failed(failure: Failure, collection: &str) -> Status {
    failure.into_status(|_| Site { collection, ..Site::default() })
}

fn removals<'a>(collection: &str, ids: impl Iterator<Item = &'a [u8]>) -> Vec<OwnedArgv> {
    ids.map(|id| OwnedArgv::from_slices(&[b"VREM", collection.as_bytes(), id])).collect()
}

fn vgetattr(collection: &str, id: &[u8]) -> OwnedArgv {
    OwnedArgv::from_slices(&[b"VGETATTR", collection.as_bytes(), id])
}

fn vsetattrs<'a>(
    collection: &str,
    updates: &[AttributesUpdate],
    texts: impl Iterator<Item = &'a str>,
) -> Vec<OwnedArgv> {
    let pairs = updates.iter().zip(texts);
    let command = |(update, text): (&AttributesUpdate, &str)| {
        OwnedArgv::from_slices(&[b"VSETATTR", collection.as_bytes(), &update.id, text.as_bytes()])
    };
    pairs.map(command).collect()
}

fn expiry(collection: &str, request: &ExpireRequest) -> OwnedArgv {
    let (name, at): (&str, _) = match request.when {
        Some(When::TtlMs(ttl_ms)) if ttl_ms > 0 => ("VPEXPIRE", Some(ttl_ms)),
        // Of the past there is only one kind.
        Some(When::TtlMs(_)) => ("VPEXPIREAT", Some(0)),
        Some(When::AtMs(at_ms)) => ("VPEXPIREAT", Some(at_ms.max(0))),
        Some(When::Never(_)) | None => ("VPERSIST", None),
    };
    let mut argv = OwnedArgv::from_slices(&[name, collection]);
    if let Some(at) = at {
        argv.push(IntText::new(at).as_bytes());
    }
    match request.condition() {
        ExpireCondition::Unspecified => {}
        ExpireCondition::NoExpiry => argv.push(b"NX"),
        ExpireCondition::HasExpiry => argv.push(b"XX"),
        ExpireCondition::Later => argv.push(b"GT"),
        ExpireCondition::Sooner => argv.push(b"LT"),
    }
    argv.push(b"ELEMENTS");
    argv.push(IntText::unsigned(request.ids.len() as u64).as_bytes());
    request.ids.iter().for_each(|id| argv.push(id));
    argv
}

fn outcome(reply: &Value) -> ExpireOutcome {
    match reply.as_i64() {
        Some(1) => ExpireOutcome::Set,
        Some(0 | -1) => ExpireOutcome::Unchanged,
        Some(2) => ExpireOutcome::Deleted,
        _ => ExpireOutcome::NotFound,
    }
}

/// The attributes now, with a merge patch applied. What is no object counts as an empty one.
fn merged(now: &Value, patch: &str) -> String {
    let object = |text: &[u8]| serde_json::from_slice::<Map<String, serde_json::Value>>(text).unwrap_or_default();
    let mut target = object(now.as_bytes().unwrap_or_default());
    if patch.is_empty() {
        return now.as_str().unwrap_or_default().to_owned();
    }
    merge_object(&mut target, object(patch.as_bytes()));
    serde_json::to_string(&target).expect("keys are strings")
}

/// RFC 7396. The parser's limit of depth bounds the recursion.
fn merge_object(target: &mut Map<String, serde_json::Value>, patch: Map<String, serde_json::Value>) {
    for (key, change) in patch {
        match change {
            serde_json::Value::Null => {
                target.remove(&key);
            }
            serde_json::Value::Object(change) => {
                let slot = target.entry(key).or_insert(serde_json::Value::Null);
                if !slot.is_object() {
                    *slot = serde_json::Value::Object(Map::new());
                }
                merge_object(slot.as_object_mut().expect("made one"), change);
            }
            change => {
                target.insert(key, change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_adds_replaces_and_removes_fields() {
        let merged = |now: &str, patch| merged(&Value::Bulk(now.into()), patch);
        assert_eq!(merged(r#"{"a":1,"b":2}"#, r#"{"b":3,"c":4}"#), r#"{"a":1,"b":3,"c":4}"#);
        assert_eq!(merged(r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"x":null}}"#), r#"{"a":{"y":2}}"#);
        assert_eq!(merged(r#"{"a":1}"#, r#"{"a":{"x":null}}"#), r#"{"a":{}}"#);
        assert_eq!(merged("not json", r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(merged(r#"{"a":1}"#, ""), r#"{"a":1}"#);
    }
}
