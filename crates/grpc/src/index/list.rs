//! Pages of names: first those that were written down, then the vector sets among all keys.

use quiver_resp::{OwnedArgv, Value};
use tonic::Status;

use super::Indexes;
use crate::check::Violations;
use crate::executor::{Auth, Executor};
use crate::names::{Entry, REGISTRY};
use crate::pb::{Alias, ListIndexesRequest, ListIndexesResponse};
use crate::status::{self, Site};

const PAGE_MAX: u32 = 10_000;
const PAGE_DEFAULT: u32 = 1_000;

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// In the set of names that were written down.
    Names(u64),
    /// Among all keys.
    Keys(u64),
}

impl Next {
    fn parse(token: &str) -> Option<Self> {
        if token.is_empty() {
            return Some(Self::Names(0));
        }
        match token.split_at_checked(1)? {
            ("n", cursor) => cursor.parse().ok().map(Self::Names),
            ("k", cursor) => cursor.parse().ok().map(Self::Keys),
            _ => None,
        }
    }

    fn to_token(self) -> String {
        match self {
            Self::Names(cursor) => format!("n{cursor}"),
            Self::Keys(cursor) => format!("k{cursor}"),
        }
    }
}

impl<E: Executor> Indexes<E> {
    pub(crate) async fn list_page(
        &self,
        auth: &Auth,
        request: &ListIndexesRequest,
    ) -> Result<ListIndexesResponse, Status> {
        let mut violations = Violations::default();
        violations.at_most("page_size", request.page_size.into(), PAGE_MAX.into());
        let next = Next::parse(&request.page_token);
        if next.is_none() {
            violations.add("page_token", "is not one of a page before");
        }
        violations.into_result()?;
        let (mut response, next) = match next {
            Some(Next::Keys(cursor)) => self.sets(auth, request, cursor).await?,
            Some(Next::Names(cursor)) => self.written_down(auth, request, cursor).await?,
            None => return Err(status::unexpected_reply("of a check")),
        };
        response.next_page_token = next.map(Next::to_token).unwrap_or_default();
        Ok(response)
    }

    /// Those of the written names that still stand for what was written.
    async fn written_down(
        &self,
        auth: &Auth,
        request: &ListIndexesRequest,
        cursor: u64,
    ) -> Result<(ListIndexesResponse, Option<Next>), Status> {
        let (names, next) = self.scan(auth, &["SSCAN", REGISTRY], request, cursor, &[]).await?;
        let mut response = ListIndexesResponse::default();
        let gets = names.iter().map(|name| OwnedArgv::from_slices(&["GET", name])).collect();
        let found = if names.is_empty() { Vec::new() } else { self.gateway.replies(auth, gets).await? };
        for (name, reply) in names.into_iter().zip(found) {
            match reply.as_bytes().and_then(Entry::parse) {
                Some(Entry::Alias(collection)) => response.aliases.push(Alias { alias: name, collection }),
                Some(Entry::Plan(_)) => response.collections.push(name),
                // A vector set by now, or gone.
                None => {}
            }
        }
        Ok((response, Some(next.map_or(Next::Keys(0), Next::Names))))
    }

    async fn sets(
        &self,
        auth: &Auth,
        request: &ListIndexesRequest,
        cursor: u64,
    ) -> Result<(ListIndexesResponse, Option<Next>), Status> {
        let (collections, next) = self.scan(auth, &["SCAN"], request, cursor, &["TYPE", "vectorset"]).await?;
        Ok((ListIndexesResponse { collections, ..ListIndexesResponse::default() }, next.map(Next::Keys)))
    }

    /// One step of SCAN or SSCAN: names, and the cursor if there is more. A name that is no text cannot be a collection.
    async fn scan(
        &self,
        auth: &Auth,
        first: &[&str],
        request: &ListIndexesRequest,
        cursor: u64,
        last: &[&str],
    ) -> Result<(Vec<String>, Option<u64>), Status> {
        let count = if request.page_size == 0 { PAGE_DEFAULT } else { request.page_size };
        let mut argv = OwnedArgv::from_slices(first);
        for word in [cursor.to_string().as_str(), "COUNT", count.to_string().as_str()] {
            argv.push(word.as_bytes());
        }
        if !request.pattern.is_empty() {
            argv.push(b"MATCH");
            argv.push(request.pattern.as_bytes());
        }
        last.iter().for_each(|word| argv.push(word.as_bytes()));
        let replies = self.gateway.run_slow(auth, vec![argv]).await;
        let replies = replies.map_err(|failure| failure.into_status(|_| Site::default()))?;
        let parsed = replies.first().and_then(Value::as_array).and_then(|reply| {
            let [cursor, names] = reply else { return None };
            let names = names.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            Some((names, cursor.as_str()?.parse().ok()?))
        });
        let (names, cursor): (_, u64) = parsed.ok_or_else(|| status::unexpected_reply("of SCAN"))?;
        Ok((names, (cursor != 0).then_some(cursor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_read_back() {
        for next in [Next::Names(7), Next::Keys(u64::MAX), Next::Keys(0)] {
            assert_eq!(Next::parse(&next.to_token()), Some(next));
        }
        assert_eq!(Next::parse(""), Some(Next::Names(0)));
        for bad in ["x1", "k", "n-1", "k1x", "é"] {
            assert_eq!(Next::parse(bad), None, "{bad}");
        }
    }
}
