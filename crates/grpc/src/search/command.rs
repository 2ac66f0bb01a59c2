//! From a search to its command.

use quiver_resp::{IntText, OwnedArgv};

use crate::check::{EF_MAX, LIMIT_DEFAULT, LIMIT_MAX, RECOMMEND_MAX, Violations};
use crate::convert::fp32_blob;
use crate::pb::search_request::Query;
use crate::pb::{Recommend, SearchRequest};

/// All but the vector's bytes, which are checked when they are converted. `path` leads to the search.
pub(super) fn check(search: &SearchRequest, path: &str, violations: &mut Violations) {
    violations.collection(path, &search.collection);
    match &search.query {
        None => violations.add(format!("{path}query"), "vector, id or recommend is required"),
        Some(Query::Id(id)) => violations.not_empty(&format!("{path}id"), id),
        Some(Query::Recommend(recommend)) => check_recommend(recommend, path, violations),
        Some(Query::Vector(_)) => {}
    }
    violations.at_most(&format!("{path}limit"), search.limit.into(), LIMIT_MAX.into());
    violations.at_most(&format!("{path}ef"), search.ef.into(), EF_MAX.into());
    if search.min_score.is_some_and(f32::is_nan) {
        violations.add(format!("{path}min_score"), "must be a number");
    }
    if search.recall.is_some_and(|recall| !(recall > 0.0 && recall <= 1.0)) {
        violations.add(format!("{path}recall"), "must be above 0 and at most 1");
    }
    if let Some(group) = &search.group_by {
        violations.not_empty(&format!("{path}group_by.field"), group.field.as_bytes());
        let hits = u64::from(limit(search)) * u64::from(group.group_limit.max(1));
        if hits > LIMIT_MAX.into() {
            let text = format!("group_limit times limit must be at most {LIMIT_MAX}, is {hits}");
            violations.add(format!("{path}group_by.group_limit"), text);
        }
    }
    if let Some(fields) = &search.with_fields {
        violations.count(&format!("{path}with_fields.names"), fields.names.len(), RECOMMEND_MAX);
        if search.group_by.is_some() || matches!(search.query, Some(Query::Recommend(_))) {
            violations.add(format!("{path}with_fields"), "does not go with group_by or recommend");
        }
    }
}

fn check_recommend(recommend: &Recommend, path: &str, violations: &mut Violations) {
    violations.count(&format!("{path}recommend.positive"), recommend.positive.len(), RECOMMEND_MAX);
    violations.at_most(&format!("{path}recommend.negative"), recommend.negative.len() as u64, RECOMMEND_MAX as u64);
    for (name, ids) in [("positive", &recommend.positive), ("negative", &recommend.negative)] {
        for index in (0..ids.len()).filter(|index| ids[*index].is_empty()) {
            violations.add(format!("{path}recommend.{name}[{index}]"), "must not be empty");
        }
    }
}

/// Hits, or groups of them, that are wanted.
fn limit(search: &SearchRequest) -> u32 {
    if search.limit == 0 { LIMIT_DEFAULT } else { search.limit }
}

/// The command of a search. With a violation noted its arguments mean nothing.
pub(super) fn of_search(
    search: &SearchRequest,
    collection: &str,
    path: &str,
    violations: &mut Violations,
) -> OwnedArgv {
    let name: &[u8] = if matches!(search.query, Some(Query::Recommend(_))) { b"VRECOMMEND" } else { b"VSIM" };
    let mut argv = OwnedArgv::from_slices(&[name, collection.as_bytes()]);
    match &search.query {
        Some(Query::Id(id)) => {
            argv.push(b"ELE");
            argv.push(id);
        }
        Some(Query::Vector(vector)) => match fp32_blob(vector) {
            Ok(blob) => {
                argv.push(b"FP32");
                argv.push(&blob);
            }
            Err(error) => violations.add(format!("{path}vector"), error.to_string()),
        },
        Some(Query::Recommend(recommend)) => {
            list(&mut argv, b"POSITIVE", &recommend.positive);
            list(&mut argv, b"NEGATIVE", &recommend.negative);
        }
        None => {}
    }
    options(search, &mut argv);
    argv
}

fn list<T: AsRef<[u8]>>(argv: &mut OwnedArgv, word: &[u8], items: &[T]) {
    if !items.is_empty() {
        number(argv, word, items.len() as u64);
        items.iter().for_each(|item| argv.push(item.as_ref()));
    }
}

fn number(argv: &mut OwnedArgv, word: &[u8], number: u64) {
    argv.push(word);
    argv.push(IntText::unsigned(number).as_bytes());
}

fn options(search: &SearchRequest, argv: &mut OwnedArgv) {
    argv.push(b"WITHSCORES");
    if search.with_attributes {
        argv.push(b"WITHATTRIBS");
    }
    if search.with_info {
        argv.push(b"WITHINFO");
    }
    if search.exact {
        argv.push(b"TRUTH");
    }
    number(argv, b"COUNT", limit(search).into());
    if search.ef > 0 {
        number(argv, b"EF", search.ef.into());
    }
    if let Some(recall) = search.recall {
        argv.push(b"RECALL");
        argv.push(recall.to_string().as_bytes());
    }
    // A score is 1 - distance / 2. The hits are looked at once more: rounding must not let one below through.
    if let Some(distance) = search.min_score.map(|score| 2.0 * (1.0 - f64::from(score))).filter(|d| *d > 1e-6) {
        argv.push(b"EPSILON");
        argv.push((distance + 1e-6).to_string().as_bytes());
    }
    if !search.filter.is_empty() {
        argv.push(b"FILTER");
        argv.push(search.filter.as_bytes());
    }
    if let Some(group) = &search.group_by {
        argv.push(b"GROUPBY");
        argv.push(group.field.as_bytes());
        number(argv, b"GROUPCOUNT", group.group_limit.max(1).into());
    }
    if let Some(fields) = &search.with_fields {
        argv.push(b"WITHFIELDS");
        argv.push(fields.prefix.as_bytes());
        argv.push(IntText::unsigned(fields.names.len() as u64).as_bytes());
        fields.names.iter().for_each(|name| argv.push(name.as_bytes()));
    }
}
