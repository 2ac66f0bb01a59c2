//! The command table held against facts about Redis' commands.
//!
//! `facts/commands.json` says of every command of Redis and its modules, up to 8.10, what COMMAND INFO and COMMAND DOCS
//! answer: group, version, arity, flags, ACL categories, hints, key specifications, syntax. A fact that is missing there
//! (modules state fewer) is not compared. Summaries and complexities are Quiver's own.

use std::collections::{BTreeMap, BTreeSet};

use quiver_engine::command::{Arg, ArgKind, Begin, Command, Find, Flags, KeySpec};
use quiver_engine::registry;
use serde_json::{Map, Value, json};

/// Commands that Redis does not have.
const OWN: &[&str] = &[
    "feat.get",
    "feat.incr",
    "feat.mput",
    "feat.put",
    "feat.view",
    "feat.view create",
    "feat.view drop",
    "feat.view help",
    "feat.view info",
    "feat.view list",
    "sc.config",
    "sc.drop",
    "sc.get",
    "sc.invalidate",
    "sc.set",
    "sc.stats",
    "vexpire",
    "vexpireat",
    "vexpiretime",
    "vindex",
    "vmadd",
    "vmsim",
    "vpersist",
    "vpexpire",
    "vpexpireat",
    "vpexpiretime",
    "vpttl",
    "vrecommend",
    "vttl",
];

/// Arguments that commands of Redis have here only.
const OWN_ARGS: &[(&str, &str)] =
    &[("vsim", "recall"), ("vsim", "withinfo"), ("vsim", "groupby"), ("vsim", "withfields"), ("vsim", "withfeatures")];

type Facts = BTreeMap<String, Map<String, Value>>;

fn facts() -> Facts {
    serde_json::from_str(include_str!("facts/commands.json")).expect("the facts are an object of objects")
}

/// Every entry with its full name, subcommands as "config get".
fn entries() -> Vec<(String, &'static Command)> {
    let mut all = Vec::new();
    for command in registry::commands() {
        all.push((command.name.to_owned(), command));
        all.extend(command.subcommands.iter().map(|sub| (format!("{} {}", command.name, sub.name), sub)));
    }
    all
}

/// Entries that have facts.
fn entries_with_facts(facts: &Facts) -> Vec<(String, &'static Command, &Map<String, Value>)> {
    entries().into_iter().filter_map(|(name, command)| facts.get(&name).map(|fact| (name, command, fact))).collect()
}

/// Fails with every difference at once, so that one run shows all there is to mend.
fn assert_same(what: &str, ours: impl Fn(&Command) -> Value, fact_of: impl Fn(&Map<String, Value>) -> Option<Value>) {
    let facts = facts();
    let mut differences = Vec::new();
    for (name, command, fact) in entries_with_facts(&facts) {
        let (got, Some(wanted)) = (ours(command), fact_of(fact)) else { continue };
        if got != wanted {
            differences.push(format!("{name}: {what} is {got}, Redis has {wanted}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn set<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    json!(names.collect::<BTreeSet<_>>())
}

fn fact_set(fact: &Map<String, Value>, field: &str) -> Option<Value> {
    fact.get(field).and_then(Value::as_array).map(|names| set(names.iter().filter_map(Value::as_str)))
}

/// A key specification in the form of the facts.
fn key_spec(spec: &KeySpec) -> Value {
    let begin = match spec.begin {
        Begin::Index(index) => json!(index),
        Begin::Keyword { keyword, start_from } => json!([keyword, start_from]),
        Begin::Unknown => Value::Null,
    };
    let find = match spec.find {
        Find::Range { last, step, limit } => json!({"range": [last, step, limit]}),
        Find::KeyNum { count, first, step } => json!({"keynum": [count, first, step]}),
        Find::Unknown => Value::Null,
    };
    json!({"flags": set(spec.flags.names()), "begin": begin, "find": find})
}

fn sorted_flags(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(flags) = spec.get("flags").and_then(Value::as_array) {
        let flags = set(flags.iter().filter_map(Value::as_str));
        spec["flags"] = flags;
    }
    spec
}

/// An argument in the form of the facts.
fn argument(arg: &Arg) -> Value {
    let mut out = Map::new();
    out.insert("name".to_owned(), json!(arg.name));
    out.insert("type".to_owned(), json!(arg.kind.name()));
    for (field, text) in [("token", arg.token), ("since", arg.since)] {
        if let Some(text) = text {
            out.insert(field.to_owned(), json!(text));
        }
    }
    for (field, yes) in [("optional", arg.optional), ("multiple", arg.multiple), ("multiple_token", arg.multiple_token)]
    {
        if yes {
            out.insert(field.to_owned(), json!(true));
        }
    }
    if !arg.args.is_empty() {
        out.insert("args".to_owned(), arg.args.iter().map(argument).collect());
    }
    Value::Object(out)
}

/// Calls `check` with each argument at any depth.
fn each_arg(args: &[Arg], check: &mut impl FnMut(&Arg)) {
    for arg in args {
        check(arg);
        each_arg(arg.args, check);
    }
}

#[test]
fn every_command_is_known_to_redis_or_listed_as_own() {
    let facts = facts();
    for (name, _) in entries() {
        let own = OWN.contains(&name.as_str());
        assert!(facts.contains_key(&name) != own, "{name}: must be either in the facts or on the list of own commands");
    }
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut seen = BTreeSet::new();
    for (name, _) in entries() {
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(seen.insert(name.clone()), "{name} is there twice");
    }
    assert!(seen.contains("get") && seen.contains("command docs"), "the table is incomplete");
}

#[test]
fn lookup_finds_every_command_in_any_case() {
    for command in registry::commands() {
        let upper = command.name.to_ascii_uppercase();
        let found = registry::registry().find(upper.as_bytes()).unwrap_or_else(|| panic!("{upper} is not found"));
        assert!(std::ptr::eq(found.command, command), "{upper} finds {}", found.full_name);
    }
    assert!(registry::registry().find(b"no-such-command").is_none());
}

#[test]
fn summaries_are_one_sentence_with_a_full_stop() {
    for (name, command) in entries() {
        let summary = command.summary;
        assert!(summary.ends_with('.') && summary.len() > 10, "{name}: {summary:?}");
        assert_eq!(summary.matches(". ").count(), 0, "{name}: {summary:?}");
        assert!(!command.complexity.is_empty(), "{name} has no complexity");
    }
}

#[test]
fn no_command_both_reads_and_writes() {
    for (name, command) in entries() {
        assert!(!command.flags.has(Flags::READONLY.with(Flags::WRITE)), "{name}");
    }
}

#[test]
fn key_arguments_name_a_key_specification_that_exists() {
    for (name, command) in entries() {
        each_arg(command.args, &mut |arg| {
            if let Some(index) = arg.key_spec {
                assert!(usize::from(index) < command.keys.len(), "{name}: {} names specification {index}", arg.name);
            }
            assert!(arg.kind != ArgKind::Key || arg.key_spec.is_some(), "{name}: {} names none", arg.name);
        });
    }
}

#[test]
fn alternatives_and_blocks_have_parts_and_tokens_have_words() {
    for (name, command) in entries() {
        each_arg(command.args, &mut |arg| match arg.kind {
            ArgKind::OneOf | ArgKind::Block => assert!(!arg.args.is_empty(), "{name}: {}", arg.name),
            ArgKind::PureToken => assert!(arg.token.is_some() && arg.args.is_empty(), "{name}: {}", arg.name),
            _ => assert!(arg.args.is_empty(), "{name}: {}", arg.name),
        });
    }
}

#[test]
fn groups_are_those_of_redis() {
    assert_same("group", |c| json!(c.group.name()), |fact| fact.get("group").cloned());
}

#[test]
fn versions_are_those_of_redis() {
    assert_same("since", |c| json!(c.since), |fact| fact.get("since").cloned());
    assert_same(
        "deprecation",
        |c| json!(c.deprecated.map(|(since, _)| since)),
        |fact| Some(fact.get("deprecated").cloned().unwrap_or(Value::Null)),
    );
}

#[test]
fn arities_are_those_of_redis() {
    assert_same("arity", |c| json!(c.arity), |fact| fact.get("arity").cloned());
}

#[test]
fn flags_are_those_of_redis() {
    assert_same("flags", |c| set(c.flags.names()), |fact| fact_set(fact, "flags"));
}

#[test]
fn acl_categories_are_those_of_redis() {
    assert_same("ACL", |c| set(c.acl_categories().names()), |fact| fact_set(fact, "acl"));
}

#[test]
fn tips_are_those_of_redis() {
    assert_same("tips", |c| set(c.tips.iter().copied()), |fact| fact_set(fact, "tips"));
}

#[test]
fn key_specifications_are_those_of_redis() {
    assert_same(
        "keys",
        |c| c.keys.iter().map(key_spec).collect(),
        |fact| fact.get("keys").and_then(Value::as_array).map(|specs| specs.iter().map(sorted_flags).collect()),
    );
}

#[test]
fn key_ranges_for_old_clients_are_those_of_redis() {
    assert_same(
        "first key, last key, step",
        |c| {
            let (first, last, step) = c.legacy_range();
            json!([first, last, step])
        },
        |fact| fact.get("range").cloned(),
    );
}

#[test]
fn syntax_is_that_of_redis() {
    let of_redis = |c: &Command| {
        let args = c.args.iter().filter(|arg| !OWN_ARGS.contains(&(c.name, arg.name)));
        args.map(argument).collect()
    };
    assert_same("syntax", of_redis, |fact| fact.get("args").cloned());
}
