//! From the reply of a search to its hits.

use quiver_resp::Value;
use tonic::Status;

use crate::pb::{FieldValue, Hit, SearchInfo, SearchRequest, SearchResponse};
use crate::status;

/// Attributes as text. RESP may have stored any bytes; a protobuf string must be UTF-8.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The hits in the reply to a search.
pub(super) fn of_search(reply: Value, search: &SearchRequest) -> Result<SearchResponse, Status> {
    let response = parse(reply, search);
    let mut response = response.ok_or_else(|| status::unexpected_reply("of VSIM"))?;
    if let Some(min) = search.min_score {
        response.hits.retain(|hit| hit.score >= min);
    }
    Ok(response)
}

fn parse(reply: Value, search: &SearchRequest) -> Option<SearchResponse> {
    let (results, info) = match reply {
        // Without a collection there is nothing to say about how it was searched.
        Value::Array(items) if items.is_empty() => return Some(SearchResponse::default()),
        Value::Array(items) if search.with_info => {
            let mut items = items.into_iter();
            (items.next()?, Some(info(items.next()?)?))
        }
        results => (results, None),
    };
    let hits = if search.group_by.is_some() { groups(&results, search)? } else { hits(results, search)? };
    Some(SearchResponse { hits, info })
}

/// A map of id to score, or to score, attributes and fields.
fn hits(results: Value, search: &SearchRequest) -> Option<Vec<Hit>> {
    results.into_pairs()?.into_iter().map(|(id, found)| hit(id, &found, search)).collect()
}

/// Pairs of a value and the hits that have it.
fn groups(results: &Value, search: &SearchRequest) -> Option<Vec<Hit>> {
    let mut all = Vec::new();
    for group in results.as_array()? {
        let [value, members] = group.as_array()? else { return None };
        for hit in hits(members.clone(), search)? {
            all.push(Hit { group: Some(value.as_bytes()?.to_vec().into()), ..hit });
        }
    }
    Some(all)
}

fn hit(id: Value, found: &Value, search: &SearchRequest) -> Option<Hit> {
    let Value::Bulk(id) = id else { return None };
    let mut hit = Hit { id: id.into(), ..Hit::default() };
    let Some(columns) = found.as_array() else {
        hit.score = found.as_f64()? as f32;
        return Some(hit);
    };
    let mut columns = columns.iter();
    hit.score = columns.next()?.as_f64()? as f32;
    if search.with_attributes {
        hit.attributes = columns.next()?.as_bytes().map(text);
    }
    if search.with_fields.is_some() {
        let fields = columns.next()?.as_array()?.iter();
        hit.fields = fields.map(|field| FieldValue { value: field.as_bytes().map(|b| b.to_vec().into()) }).collect();
    }
    Some(hit)
}

fn info(map: Value) -> Option<SearchInfo> {
    let mut info = SearchInfo::default();
    for (name, value) in map.into_pairs()? {
        let number = || u64::try_from(value.as_i64()?).ok();
        match name.as_str()? {
            "exact" => info.exact = value.as_i64()? != 0,
            "plan" => info.plan = value.as_str()?.to_owned(),
            "ef" => info.ef = number()?,
            "asked" => info.asked = number()?,
            _ => {}
        }
    }
    Some(info)
}
