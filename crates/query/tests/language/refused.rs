//! What is refused, and in which words.

use proptest::prelude::*;

use super::*;

fn refusal(query: &str) -> String {
    match read_as(query.as_bytes(), 2) {
        Ok(read) => panic!("{query}: {read:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn syntax_errors_name_their_place() {
    for (query, error) in [
        ("(", "Syntax error at offset 0 near "),
        ("(hello", "Syntax error at offset 1 near hello"),
        ("hello)", "Syntax error at offset 5 near hello"),
        ("@title:", "Syntax error at offset 6 near title"),
        ("@body:@title:", "Syntax error at offset 6 near title"),
        ("@title.x:foo", "Syntax error at offset 7 near x"),
        ("@title:(@n:[0 10])", "Syntax error at offset 8 near n"),
        ("@tag:(@n:[0 10])", "Syntax error at offset 6 near n"),
        ("@tag:{foo}}", "Syntax error at offset 10 near foo"),
        ("hello |", "Syntax error at offset 6 near hello"),
        ("foo *", "Syntax error at offset 4 near foo"),
        ("%%%%foo%%%%", "Syntax error at offset 3 near "),
        ("\"foo", "Syntax error at offset 1 near foo"),
        ("@tag:{foo", "Syntax error at offset 6 near foo"),
        ("@n:[1 2", "Syntax error at offset 6 near 2"),
        ("*=>[TKOO 4 @v $vec]", "Syntax error at offset 4 near TKOO"),
        ("*=>[KNN badval @v $vec]", "Syntax error at offset 8 near badval"),
    ] {
        assert_eq!(refusal(query), error, "{query}");
    }
    let old = read_as(b"*=>[KNN 2 @v $vec]", 1).unwrap_err();
    assert_eq!(old.to_string(), "Syntax error at offset 1 near >[");
    for query in ["(*)", "$p", "* foo"] {
        assert!(read_as(query.as_bytes(), 1).unwrap_err().to_string().starts_with("Syntax error"), "{query}");
    }
}

#[test]
fn fields_must_be_there_and_of_the_kind() {
    for (query, error) in [
        ("@nope:foo", "Unknown field at offset 0 near nope"),
        ("foo @nope:[1 2]", "Unknown field at offset 4 near nope"),
        ("@n:foo", "Expected a TEXT field at offset 0 near n"),
        ("@title:{foo}", "Expected a TAG field at offset 0 near title"),
        ("@title:[1 2]", "Expected a NUMERIC field at offset 0 near title"),
        ("@tag==3", "Expected a NUMERIC field at offset 0 near tag"),
        ("@n:[1 2 3 km]", "Expected a GEO field at offset 0 near n"),
        ("@n:[WITHIN $poly]", "Expected a GEOSHAPE field at offset 0 near n"),
        ("@n:[VECTOR_RANGE 1 $vec]", "Expected a VECTOR field at offset 0 near n"),
        ("*=>[KNN 3 @title $vec]", "Expected a VECTOR field at offset 10 near title"),
        ("ismissing(@title)", "'ismissing' requires defining the field 'title' with 'INDEXMISSING'"),
        ("@title:''", "Use `INDEXEMPTY` in field creation in order to index and query for empty strings"),
        ("@tag:{\"\"}", "Use `INDEXEMPTY` in field creation in order to index and query for empty strings"),
    ] {
        assert_eq!(refusal(query), error, "{query}");
    }
}

#[test]
fn parameters_must_be_there_and_fit() {
    for (query, error) in [
        ("*=>[KNN 10 @v $nope]", "No such parameter `nope`"),
        ("@n:[$bad 3]", "Invalid numeric value (x) for parameter `bad`"),
        ("*=>[KNN $bad @v $vec]", "Invalid numeric value (x) for parameter `bad`"),
        (
            "*=>[KNN 10 @v $p]",
            "Error parsing vector similarity query: query vector blob size (5) does not match index's expected size (8).",
        ),
        ("*=>[KNN 10 @v $vec LUNCHTIME 3]", "Error parsing vector similarity parameters: Invalid option"),
        ("*=>[KNN 10 @v $vec EF_RUNTIME 0]", "Error parsing vector similarity parameters: Invalid value was given"),
        ("*=>[KNN 10 @flat $vec EF_RUNTIME 9]", "Error parsing vector similarity parameters: Invalid option"),
        (
            "*=>[KNN 10 @v $vec EF_RUNTIME 5 EF_RUNTIME 6]",
            "Error parsing vector similarity parameters: Parameter was specified twice",
        ),
        (
            "*=>[KNN 10 @v $vec HYBRID_POLICY BATCHES]",
            "Error parsing vector similarity parameters: hybrid query attributes were sent for a non-hybrid query",
        ),
        (
            "x=>[KNN 10 @v $vec HYBRID_POLICY ADHOC_BF BATCH_SIZE 3]",
            "Error parsing vector similarity parameters: 'batch size' is irrelevant for the selected policy",
        ),
        ("*=>[KNN 10 @v $vec AS title]", "Property `title` already exists in schema"),
        (
            "@v:[VECTOR_RANGE -1 $vec]",
            "Error parsing vector similarity query: negative radius (-1) given in a range query",
        ),
        ("x=>{$weight: heavy}", "Invalid value (heavy) for `weight`"),
        ("x=>{$color: red}", "Invalid attribute color"),
        ("@geo:[1 2 3 parsec]", "Invalid GeoFilter unit"),
        ("@geo:[1 2 -3 m]", "Invalid GeoFilter radius"),
        ("@geo:[181 2 3 m]", "Invalid GeoFilter lat/lon"),
    ] {
        assert_eq!(refusal(query), error, "{query}");
    }
    assert!(refusal("*=>[KNN 18446744073709551615 @v $vec]").contains("too large"));
}

#[test]
fn depth_and_size_are_bounded() {
    let overflow = "Parser stack overflow. Try moving nested parentheses more to the left";
    assert_eq!(refusal(&format!("{}x{}", "(".repeat(5000), ")".repeat(5000))), overflow);
    assert!(refusal(&"-".repeat(100_000)).starts_with("Syntax error"));
    assert!(refusal(&"x ".repeat(20_000)).contains("parts"));
    assert!(refusal(&format!("@tag:{{{}x}}", "x|".repeat(20_000))).contains("parts"));
    assert!(read_as("x ".repeat(20_000).as_bytes(), 1).is_err());
    assert!(read_as("@title:".repeat(20_000).as_bytes(), 1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(query: Vec<u8>, dialect in 1_u8..5) {
        let _ = read_as(&query, dialect);
    }

    #[test]
    fn any_pieces_of_queries_are_read_or_refused(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "(", ")", "|", "-", "~", "\"", "'", "%", "*", "@title", "@n", "@tag", "@v", "@geo", "@", ":", "[", "]",
                "{", "}", "=>", "KNN", "VECTOR_RANGE", "$vec", "$", "$p", "1", "-inf", "foo", "w'", "\\", " ", ";",
                "$weight:", "==", ">=", "AS", "ismissing", "EF_RUNTIME", "km", ",", "\u{e4}", "数",
            ]),
            0..24,
        ),
        dialect in 1_u8..5,
    ) {
        let _ = read_as(pieces.concat().as_bytes(), dialect);
    }
}
