//! Searches with filters, and Quiver's own ways to search: recall on demand, several queries, recommendation, groups.

mod common;

use common::Harness;
use proptest::prelude::*;
use quiver_engine::filter::Filter;

fn films() -> Harness {
    let mut h = Harness::new();
    for (name, x, y, attributes) in [
        ("alien", 10, 0, r#"{"year":1979,"genre":"horror","tags":["space","crew"]}"#),
        ("brazil", 9, 1, r#"{"year":1985,"genre":"satire"}"#),
        ("cube", 8, 2, r#"{"year":1997,"genre":"horror"}"#),
        ("dune", 7, 3, r#"{"year":2021,"genre":"epic","tags":["sand"]}"#),
        ("eraserhead", 6, 4, r#"{"year":1977,"genre":"horror"}"#),
        ("fargo", 5, 5, ""),
    ] {
        let words = ["VADD", "f", "VALUES", "2", &x.to_string(), &y.to_string(), name, "NOQUANT"].map(str::to_owned);
        let mut words = words.to_vec();
        if !attributes.is_empty() {
            words.extend(["SETATTR".to_owned(), attributes.to_owned()]);
        }
        h.run_words(&words);
    }
    h
}

#[test]
fn a_filter_keeps_what_passes_in_order_of_similarity() {
    films().expect(&[
        ("VSIM f ELE alien FILTER '.year >= 1980'", "*3['brazil' 'cube' 'dune']"),
        ("VSIM f ELE alien FILTER '.year >= 1980' COUNT 2", "*2['brazil' 'cube']"),
        ("VSIM f ELE alien FILTER '.genre == \"horror\" and .year > 1978'", "*2['alien' 'cube']"),
        ("VSIM f ELE alien FILTER '\"space\" in .tags'", "*1['alien']"),
        ("VSIM f ELE alien FILTER '.genre in [\"epic\", \"satire\"]' TRUTH", "*2['brazil' 'dune']"),
        ("VSIM f ELE alien FILTER '.missing == 1'", "*0[]"),
        ("VSIM f ELE alien FILTER '.year > 0' FILTER '.year > 2000'", "*1['dune']"),
        ("VSIM f ELE alien FILTER '.year > 0' EPSILON 0.001", "*1['alien']"),
    ]);
}

#[test]
fn a_bounded_effort_asks_about_the_nearest_only() {
    films().expect(&[
        ("VSIM f ELE alien FILTER '.year > 2000' FILTER-EF 2", "*0[]"),
        ("VSIM f ELE alien FILTER '.year > 2000' FILTER-EF 4", "*1['dune']"),
        ("VSIM f ELE alien FILTER '.year > 2000' FILTER-EF 0", "-ERR invalid FILTER-EF"),
        ("VSIM f ELE alien FILTER '.year > 2000' FILTER-EF -1", "-ERR invalid FILTER-EF"),
        ("VSIM f ELE alien FILTER '.year > 2000' FILTER-EF x", "-ERR invalid FILTER-EF"),
    ]);
}

#[test]
fn a_broken_expression_is_refused_where_it_breaks() {
    films().expect(&[
        ("VSIM f ELE alien FILTER '.year >'", "-ERR syntax error in FILTER expression near: .year >"),
        ("VSIM f ELE alien FILTER '.year $ 2'", "-ERR syntax error in FILTER expression near: $ 2"),
        ("VSIM f ELE alien FILTER '(.year'", "-ERR syntax error in FILTER expression near: (.year"),
    ]);
}

#[test]
fn changed_attributes_change_what_is_found_at_once() {
    let mut h = films();
    let search = "VSIM f ELE alien FILTER '.year > 2000'";
    h.expect(&[
        (search, "*1['dune']"),
        ("VSETATTR f fargo {\"year\":2001}", ":1"),
        (search, "*2['dune' 'fargo']"),
        ("VSETATTR f dune {}", ":1"),
        (search, "*1['fargo']"),
        ("VREM f fargo", ":1"),
        (search, "*0[]"),
        ("VADD f VALUES 2 1 1 gattaca NOQUANT", ":1"),
        (search, "*0[]"),
        ("VADD f VALUES 2 1 1 gattaca NOQUANT SETATTR {\"year\":2002}", ":0"),
        (search, "*1['gattaca']"),
    ]);
}

#[test]
fn withinfo_says_how_results_were_found() {
    let mut h = films();
    assert_eq!(
        h.run3("VSIM f ELE alien COUNT 1 TRUTH WITHINFO"),
        "*2[*1['alien'] %4[+exact #t +plan +scan +ef :6 +asked :0]]"
    );
    assert_eq!(
        h.run("VSIM f ELE alien COUNT 1 WITHINFO"),
        "*2[*1['alien'] *8[+exact :0 +plan +search +ef :6 +asked :0]]"
    );
    let found = h.run3("VSIM f ELE alien WITHSCORES FILTER '.year > 2000' WITHINFO TRUTH");
    assert!(found.starts_with("*2[%1['dune' ,") && found.contains("+exact #t +plan +scan +ef :6 +asked :6"), "{found}");
}

#[test]
fn a_recall_that_is_asked_for_is_learnt_and_sampled() {
    let mut h = Harness::new();
    for i in 0..400 {
        let vector = format!("{} {} {}", i % 20 - 10, i / 20 - 10, (i * 7) % 11 - 5);
        h.run(&format!("VADD v VALUES 3 {vector} e{i}"));
    }
    assert!(!h.run("VINFO v").contains("recall"));
    let exact = |h: &mut Harness, i: usize| {
        h.run(&format!("VSIM v VALUES 3 {} 5 3 RECALL 0.9 WITHINFO", i % 9)).contains("+exact :1")
    };
    assert!((0..24).all(|i| exact(&mut h, i)), "the first answers are exact");
    let later = (0..200).filter(|i| exact(&mut h, *i)).count();
    assert!((1..20).contains(&later), "{later} of 200 were exact");
    let info = h.run3("VINFO v");
    assert!(info.contains("+recall-samples :2") && info.contains("+sampled-recall-by-ef %8[:16 ,"), "{info}");
    assert!(h.run("VSIM v VALUES 3 1 5 3 RECALL 1 WITHINFO").contains("+exact :1"));
    h.expect(&[
        ("VSIM v ELE e1 RECALL 0", "-ERR RECALL must be above 0 and at most 1"),
        ("VSIM v ELE e1 RECALL 1.1", "-ERR RECALL must be above 0 and at most 1"),
        ("VSIM v ELE e1 RECALL", "-ERR syntax error in VSIM command"),
    ]);
}

#[test]
fn several_queries_get_as_many_answers() {
    films().expect(&[
        ("VMSIM f 2 ELE alien VALUES 2 5 5 COUNT 1", "*2[*1['alien'] *1['fargo']]"),
        ("VMSIM f 1 ELE alien COUNT 2 FILTER '.year > 1990'", "*1[*2['cube' 'dune']]"),
        ("VMSIM none 3 ELE a ELE b", "*3[*0[] *0[] *0[]]"),
        ("VMSIM f 0 ELE alien", "-ERR invalid number of queries"),
        ("VMSIM f x ELE alien", "-ERR invalid number of queries"),
        ("VMSIM f 3 ELE alien ELE dune", "-ERR invalid vector specification"),
        ("VMSIM f 2 ELE alien ELE none", "-ERR element not found in set"),
        ("VMSIM f 1 ELE alien BOGUS", "-ERR syntax error in VSIM command"),
    ]);
    let mut h = films();
    let reply = h.run3("VMSIM f 2 ELE alien ELE fargo COUNT 1 WITHSCORES WITHINFO");
    assert_eq!(reply.matches("+exact").count(), 2, "{reply}");
}

#[test]
fn recommendations_are_near_the_liked_far_from_the_disliked_and_neither() {
    films().expect(&[
        ("VRECOMMEND f POSITIVE 1 alien COUNT 2", "*2['brazil' 'cube']"),
        ("VRECOMMEND f POSITIVE 2 alien cube COUNT 1", "*1['brazil']"),
        ("VRECOMMEND f POSITIVE 1 dune NEGATIVE 1 alien COUNT 2", "*2['fargo' 'eraserhead']"),
        ("VRECOMMEND f POSITIVE 1 alien FILTER '.genre == \"horror\"'", "*2['cube' 'eraserhead']"),
        ("VRECOMMEND none POSITIVE 1 alien", "*0[]"),
        ("VRECOMMEND f POSITIVE 1 none", "-ERR element not found in set"),
        ("VRECOMMEND f POSITIVE 9 alien", "-ERR invalid number of elements"),
        ("VRECOMMEND f NEGATIVE 1 alien", "-ERR POSITIVE and at least one element are needed"),
        ("VRECOMMEND f POSITIVE 1 alien BOGUS", "-ERR syntax error in VSIM command"),
    ]);
}

#[test]
fn groups_come_by_their_nearest_element() {
    films().expect(&[
        ("VSIM f ELE alien GROUPBY genre COUNT 2", "*2[*2['horror' *1['alien']] *2['satire' *1['brazil']]]"),
        (
            "VSIM f ELE alien GROUPBY .genre GROUPCOUNT 2",
            "*3[*2['horror' *2['alien' 'cube']] *2['satire' *1['brazil']] *2['epic' *1['dune']]]",
        ),
        ("VSIM f ELE alien GROUPBY year COUNT 1", "*1[*2['1979' *1['alien']]]"),
        ("VSIM f ELE alien GROUPBY tags", "*0[]"),
        ("VSIM f ELE alien GROUPCOUNT 2", "-ERR GROUPCOUNT without GROUPBY"),
        ("VSIM f ELE alien GROUPBY genre GROUPCOUNT 0", "-ERR invalid GROUPCOUNT"),
    ]);
}

#[test]
fn fields_of_hashes_come_with_the_results() {
    let mut h = films();
    h.run("HSET film:alien title Alien minutes 117");
    h.run("HSET film:cube title Cube");
    h.run("SET film:brazil text");
    h.expect(&[
        (
            "VSIM f ELE alien COUNT 3 WITHFIELDS film: 2 title minutes",
            "*6['alien' *2['Alien' '117'] 'brazil' *2[$-1 $-1] 'cube' *2['Cube' $-1]]",
        ),
        ("VSIM f ELE alien WITHFIELDS film: 1 title FILTER '.year > 1990' COUNT 1", "*2['cube' *1['Cube']]"),
        (
            "VSIM f ELE alien WITHFIELDS film: 2 title",
            "-ERR WITHFIELDS needs a prefix, a number of fields and as many fields",
        ),
        ("VSIM f ELE alien WITHFIELDS film:", "-ERR WITHFIELDS needs a prefix, a number of fields and as many fields"),
        (
            "VSIM f ELE alien WITHFIELDS film: 1 title GROUPBY year",
            "-ERR WITHFIELDS goes with VSIM without GROUPBY only",
        ),
        (
            "VRECOMMEND f POSITIVE 1 alien WITHFIELDS film: 1 title",
            "-ERR WITHFIELDS goes with VSIM without GROUPBY only",
        ),
        ("VSIM none ELE alien WITHFIELDS film: 1 title", "*0[]"),
        ("MULTI", "+OK"),
        ("VSIM f ELE alien WITHFIELDS film: 1 title", "+QUEUED"),
        ("EXEC", "*1[-ERR WITHFIELDS is not possible inside a transaction]"),
    ]);
    assert_eq!(
        h.run3("VSIM f ELE alien COUNT 1 WITHSCORES WITHFIELDS film: 1 title"),
        "%1['alien' *2[,1 *1['Alien']]]"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, Option<u8>),
    Attributes(u8, u8),
    Remove(u8),
    Search(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..40_u8, proptest::option::of(0..6_u8)).prop_map(|(name, year)| Step::Add(name, year)),
        2 => (0..40_u8, 0..6_u8).prop_map(|(name, year)| Step::Attributes(name, year)),
        1 => (0..40_u8).prop_map(Step::Remove),
        4 => (0..12_u8).prop_map(Step::Search),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_a_set_remembers_of_filters_is_never_stale(steps in proptest::collection::vec(step(), 1..150)) {
        let mut h = Harness::new();
        let mut model = std::collections::BTreeMap::<u8, Option<u8>>::new();
        for step in steps {
            match step {
                Step::Add(name, year) => {
                    let attributes = year.map_or_else(String::new, |year| format!(" SETATTR {{\"year\":{year}}}"));
                    h.run(&format!("VADD v VALUES 2 {name} 9 e{name}{attributes}"));
                    let entry = model.entry(name).or_default();
                    *entry = year.or(*entry);
                }
                Step::Attributes(name, year) => {
                    h.run(&format!("VSETATTR v e{name} {{\"year\":{year}}}"));
                    model.entry(name).and_modify(|old| *old = Some(year));
                }
                Step::Remove(name) => {
                    h.run(&format!("VREM v e{name}"));
                    model.remove(&name);
                }
                Step::Search(which) => {
                    let text = format!(".year {} {}", ["==", "!=", ">"][usize::from(which % 3)], which / 3);
                    let filter = Filter::compile(text.as_bytes()).unwrap();
                    let passes = |year: &Option<u8>| year.is_some_and(|y| filter.accepts(format!("{{\"year\":{y}}}").as_bytes()));
                    let expected = model.values().filter(|year| passes(year)).count();
                    for options in ["", " TRUTH", " RECALL 0.9"] {
                        let found = h.run(&format!("VSIM v VALUES 2 1 1 COUNT 100 FILTER '{text}'{options}"));
                        prop_assert!(found.starts_with(&format!("*{expected}[")), "{}: {}, expected {}", text, found, expected);
                    }
                }
            }
        }
    }
}
