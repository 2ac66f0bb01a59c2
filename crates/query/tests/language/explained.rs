//! FT.EXPLAIN's text.

use quiver_query::{explain, text::Languages};

use super::*;

fn explained(query: &str, dialect: u8) -> String {
    let query = read_as(query.as_bytes(), dialect).expect("a query");
    explain(&query, &schema(), &Languages::default(), "english")
}

#[test]
fn negation_in_both_dialects() {
    assert_eq!(explained("-hello world", 1), "NOT {\n  INTERSECT {\n    hello\n    world\n  }\n}\n");
    assert_eq!(
        explained("-hello world", 2),
        "INTERSECT {\n  NOT {\n    hello\n  }\n  UNION {\n    world\n    +world(expanded)\n  }\n}\n"
    );
}

#[test]
fn every_kind_of_condition_has_its_line() {
    for (query, lines) in [
        ("*", "<WILDCARD>\n"),
        ("", "<empty>\n"),
        ("hel*", "PREFIX{hel*}\n"),
        ("%%hello%%", "FUZZY{hello}\n"),
        ("w'h?llo'", "WILDCARD{h?llo}\n"),
        ("\"hello world\"", "EXACT {\n  hello\n  world\n}\n"),
        ("@title:\"hello world\"", "@title:EXACT {\n  hello\n  world\n}\n"),
        ("@n:[100 (200]", "NUMERIC {100.000000 <= @n < 200.000000}\n"),
        ("@n>5", "NUMERIC {5.000000 < @n <= inf}\n"),
        ("@tag:{a|b*}", "TAG:@tag {\n  a\n  PREFIX{b*}\n}\n"),
        ("@geo:[1 2 3 m]", "GEO geo:{1.000000,2.000000 --> 3.000000 m}\n"),
        ("ismissing(@tag)", "ISMISSING{tag}\n"),
        ("\"foo\"=>{$weight: 2}", "foo => { $weight: 2; }\n"),
        ("hiring", "UNION {\n  hiring\n  +hire(expanded)\n  hire(expanded)\n}\n"),
        (
            "*=>[KNN 3 @v $vec AS d]",
            "VECTOR {\n  K=3 nearest vectors to the given vector in vector index associated with field @v, yields distance as `d`\n}\n",
        ),
    ] {
        assert_eq!(explained(query, 2), lines, "{query}");
    }
}
