//! The page `crates/COMMANDS.md`: every command of Redis and its modules up to 8.10 with its state here, made from the
//! command table and the facts beside it. `UPDATE_PAGE=1 cargo test -p quiver-engine --test command_page` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use quiver_engine::command::Command;
use quiver_engine::registry;
use serde_json::{Map, Value};

/// Groups of which every command must be there, apart from [`NOT_YET`].
const WHOLE: &[&str] = &[
    "string",
    "list",
    "set",
    "hash",
    "sorted-set",
    "stream",
    "bitmap",
    "hyperloglog",
    "geo",
    "array",
    "generic",
    "transactions",
    "scripting",
    "pubsub",
    "connection",
    "server",
    "cluster",
];

/// What is missing in those groups, and why.
const NOT_YET: &[(&str, &str)] = &[];

type Facts = BTreeMap<String, Map<String, Value>>;

fn facts() -> Facts {
    serde_json::from_str(include_str!("facts/commands.json")).expect("the facts are an object of objects")
}

fn ours() -> BTreeMap<String, &'static Command> {
    let mut all = BTreeMap::new();
    for command in registry::commands() {
        all.insert(command.name.to_owned(), command);
        all.extend(command.subcommands.iter().map(|sub| (format!("{} {}", command.name, sub.name), sub)));
    }
    all
}

fn group(fact: &Map<String, Value>) -> &str {
    fact["group"].as_str().expect("every fact has a group")
}

fn reason(name: &str) -> Option<&'static str> {
    let top = name.split(' ').next();
    NOT_YET.iter().find(|(missing, _)| *missing == name || Some(*missing) == top).map(|(_, reason)| *reason)
}

#[test]
fn every_command_of_the_core_groups_is_in_the_table_or_says_why_not() {
    let (facts, ours) = (facts(), ours());
    let missing: Vec<&str> = facts
        .iter()
        .filter(|(name, fact)| WHOLE.contains(&group(fact)) && !ours.contains_key(*name) && reason(name).is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let there: Vec<&str> = NOT_YET.iter().map(|(name, _)| *name).filter(|name| ours.contains_key(*name)).collect();
    assert!(there.is_empty(), "no longer missing: {there:?}");
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../COMMANDS.md");
    let page = page();
    if std::env::var_os("UPDATE_PAGE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "crates/COMMANDS.md is out of date; the top of this test's file says how to write it anew"
    );
}

fn page() -> String {
    let (facts, ours) = (facts(), ours());
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, fact) in &facts {
        groups.entry(group(fact)).or_default().push(name);
    }
    let known = |names: &[&str]| names.iter().filter(|name| ours.contains_key(**name)).count();
    let mut page = String::from(
        "# Commands\n\nEvery command of Redis and its modules, as of Redis 8.10, and its state in Quiver. This page is made from the\n\
         command table (`engine/src/commands/`); a test keeps it up to date, another holds arity, flags, keys and\n\
         categories of each entry against Redis' own. Subcommands count as commands.\n\n| group | there | of |\n|---|---|---|\n",
    );
    for (group, names) in &groups {
        let _ = writeln!(page, "| [{group}](#{group}) | {} | {} |", known(names), names.len());
    }
    for (group, names) in &groups {
        let _ = writeln!(page, "\n## {group}\n");
        let (there, mut missing): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| ours.contains_key(**name));
        // A container that is missing stands for its subcommands.
        let containers: Vec<&str> = missing.iter().copied().filter(|name| !name.contains(' ')).collect();
        missing.retain(|name| name.split_once(' ').is_none_or(|(container, _)| !containers.contains(&container)));
        if !there.is_empty() {
            page.push_str("| command | since | cost | |\n|---|---|---|---|\n");
        }
        for name in there {
            let command = ours[name];
            let (since, cost, summary) = (command.since, cell(command.complexity), cell(command.summary));
            let _ = writeln!(page, "| `{}` | {since} | {cost} | {summary} |", name.to_uppercase());
        }
        if !missing.is_empty() {
            let gap = if known(names) > 0 { "\n" } else { "" };
            let list: Vec<String> = missing.iter().map(|name| told(name)).collect();
            let _ = writeln!(page, "{gap}Not there yet: {}.", list.join(", "));
        }
    }
    page.push_str("\n## Quiver's own\n\nWhat Redis does not have.\n\n| command | cost | |\n|---|---|---|\n");
    for (name, command) in ours.iter().filter(|(name, _)| !facts.contains_key(*name)) {
        let (cost, summary) = (cell(command.complexity), cell(command.summary));
        let _ = writeln!(page, "| `{}` | {cost} | {summary} |", name.to_uppercase());
    }
    page
}

/// A missing command with the reason, if one is said.
fn told(name: &str) -> String {
    let upper = name.to_uppercase();
    reason(name).map_or(upper.clone(), |reason| format!("{upper} ({reason})"))
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
