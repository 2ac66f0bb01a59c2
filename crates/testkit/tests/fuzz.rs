//! Every fuzz target for a moment; long runs are the `fuzz` program's.

use quiver_testkit::fuzz::{TARGETS, Until, run};

fn holds(name: &str, inputs: u64) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let outcome = run(target, 42, Until::Inputs(inputs), &mut |_| ());
    let shown =
        outcome.failures.iter().map(|failure| format!("{}\n  {}\n", failure.reason, failure.input.escape_ascii()));
    let shown: String = shown.collect();
    assert!(outcome.failures.is_empty(), "of {inputs} inputs some failed ({}):\n{shown}", target.promise);
    assert!(outcome.accepted > 0 || name == "damaged", "none of {inputs} inputs was let in: the run reaches nothing");
}

#[test]
fn acl_rules_print_as_what_they_are_read_from() {
    holds("acl", 2000);
}

#[test]
fn loaded_logs_are_sound_and_load_again_as_the_same() {
    holds("aof", 500);
}

#[test]
fn manifests_read_as_they_are_printed() {
    holds("manifest", 5000);
}

#[test]
fn parameters_take_what_they_print() {
    holds("config", 500);
}

#[test]
fn damaged_files_load_as_what_was_saved_or_not_at_all() {
    holds("damaged", 500);
}

#[test]
fn expressions_come_to_the_same_in_brackets() {
    holds("expression", 20_000);
}

#[test]
fn elements_pass_a_filter_or_its_opposite() {
    holds("filter", 20_000);
}

#[test]
fn globs_match_what_a_plain_matcher_matches() {
    holds("glob", 20_000);
}

#[test]
fn quoted_lines_read_as_the_words_they_were_made_of() {
    holds("inline", 5000);
}

#[test]
fn paths_lead_to_nodes_and_one_step_more_to_their_children() {
    holds("path", 10_000);
}

#[test]
fn queries_read_as_the_trees_they_were_printed_from() {
    holds("query", 20_000);
}

#[test]
fn loaded_files_are_sound_and_save_as_the_same() {
    holds("rdb", 500);
}

#[test]
fn requests_are_the_same_however_they_are_split() {
    holds("resp", 1000);
}

#[test]
fn restored_values_are_sound_and_dump_as_the_same() {
    holds("restore", 2000);
}

#[test]
fn commands_of_search_have_one_reply_and_change_nothing() {
    holds("search", 300);
}

#[test]
fn every_target_is_tested_here() {
    let source = include_str!("fuzz.rs");
    for target in TARGETS {
        assert!(source.contains(&format!("holds(\"{}\", ", target.name)), "{} has no test", target.name);
    }
}
