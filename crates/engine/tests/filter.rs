//! Filter expressions: what Redis makes of them, and the compiled program against a slow evaluator of trees.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use proptest::collection::vec;
use proptest::prelude::*;
use quiver_engine::filter::{FieldIndex, Filter};
use serde_json::{Value as Json, json};

/// An expression as a tree.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(&'static str),
    Tuple(Vec<Self>),
    Field(&'static str),
    Not(Box<Self>),
    Binary(usize, Box<Self>, Box<Self>),
}

/// Operators as they are spelled, with their precedence.
const OPERATORS: &[(&str, u8)] = &[
    ("**", 5),
    ("*", 4),
    ("/", 4),
    ("%", 4),
    ("+", 3),
    ("-", 3),
    (">", 2),
    (">=", 2),
    ("<", 2),
    ("<=", 2),
    ("==", 2),
    ("!=", 2),
    ("in", 2),
    ("and", 1),
    ("&&", 1),
    ("or", 0),
    ("||", 0),
];

const TEXTS: &[&str] = &["", "a", "ab", "b", "abc", "1", "1.5", "10", "x1", "null", "true"];
const FIELDS: &[&str] = &["a", "b", "n-1", "x_y"];

fn leaf() -> impl Strategy<Value = Tree> {
    let scalar = prop_oneof![
        any::<i8>().prop_map(|n| Tree::Number(f64::from(n) / 4.0)),
        prop::sample::select(TEXTS).prop_map(Tree::Text),
    ];
    prop_oneof![
        1 => Just(Tree::Null),
        1 => any::<bool>().prop_map(Tree::Bool),
        4 => scalar.clone(),
        5 => prop::sample::select(FIELDS).prop_map(Tree::Field),
        2 => vec(scalar, 0..4).prop_map(Tree::Tuple),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            5 => (0..OPERATORS.len(), inner.clone(), inner)
                .prop_map(|(at, left, right)| Tree::Binary(at, Box::new(left), Box::new(right))),
        ]
    })
}

fn scalar_json() -> impl Strategy<Value = Json> {
    prop_oneof![
        1 => Just(Json::Null),
        1 => any::<bool>().prop_map(Json::from),
        3 => (-4..12_i32).prop_map(|n| json!(f64::from(n) / 4.0)),
        3 => prop::sample::select(TEXTS).prop_map(Json::from),
        1 => Just(json!("tab\there \"quoted\" \\ \n")),
    ]
}

fn attributes() -> impl Strategy<Value = Json> {
    let value = prop_oneof![
        6 => scalar_json(),
        2 => vec(scalar_json(), 0..4).prop_map(Json::from),
        1 => Just(json!({"a": [1, {"b": "}"}], "n-1": 2})),
        1 => Just(json!([1, [2]])),
    ];
    vec(proptest::option::weighted(0.8, value), FIELDS.len() + 1).prop_map(|values| {
        let names = ["deep", "a", "b", "n-1", "x_y"];
        let pairs = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Json::Object(pairs.collect())
    })
}

fn precedence(tree: &Tree) -> u8 {
    match tree {
        Tree::Not(_) => 6,
        Tree::Binary(at, ..) => OPERATORS[*at].1,
        _ => 7,
    }
}

/// With parentheses only where they are needed.
fn print(tree: &Tree, out: &mut String) {
    let inside = |tree: &Tree, least: u8, out: &mut String| {
        if precedence(tree) < least {
            out.push('(');
            print(tree, out);
            out.push(')');
        } else {
            print(tree, out);
        }
    };
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(value) => out.push_str(&value.to_string()),
        Tree::Number(number) => out.push_str(&number.to_string()),
        Tree::Text(text) => *out += &format!("'{text}'"),
        Tree::Tuple(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                print(item, out);
            }
            out.push(']');
        }
        Tree::Field(name) => *out += &format!(".{name}"),
        Tree::Not(tree) => {
            out.push_str("not ");
            inside(tree, 7, out);
        }
        Tree::Binary(at, left, right) => {
            let (name, own) = OPERATORS[*at];
            let from_right = name == "**";
            inside(left, own + u8::from(from_right), out);
            *out += &format!(" {name} ");
            inside(right, own + u8::from(!from_right), out);
        }
    }
}

/// The value of a tree; `None` when a field is missing or of no use.
fn evaluate(tree: &Tree, attributes: &Json) -> Option<Json> {
    Some(match tree {
        Tree::Null => Json::Null,
        Tree::Bool(value) => number(f64::from(u8::from(*value))),
        Tree::Number(value) => number(*value),
        Tree::Text(text) => Json::from(*text),
        Tree::Tuple(items) => items.iter().map(|item| evaluate(item, attributes)).collect::<Option<Vec<_>>>()?.into(),
        Tree::Field(name) => match attributes.get(name)? {
            Json::Object(_) => return None,
            Json::Array(items) if items.iter().any(Json::is_object) => return None,
            other => plain(other),
        },
        Tree::Not(tree) => truth(!is_true(&evaluate(tree, attributes)?)),
        Tree::Binary(at, left, right) => {
            let (left, right) = (evaluate(left, attributes)?, evaluate(right, attributes)?);
            let (a, b) = (as_number(&left), as_number(&right));
            match OPERATORS[*at].0 {
                "**" => number(a.powf(b)),
                "*" => number(a * b),
                "/" => number(a / b),
                "%" => number(a % b),
                "+" => number(a + b),
                "-" => number(a - b),
                ">" => truth(a > b),
                ">=" => truth(a >= b),
                "<" => truth(a < b),
                "<=" => truth(a <= b),
                "==" => truth(equal(&left, &right)),
                "!=" => truth(!equal(&left, &right)),
                "in" => truth(match (&left, &right) {
                    (_, Json::Array(items)) => items.iter().any(|item| equal(&left, item)),
                    (Json::String(part), Json::String(whole)) if !is_number(&left) && !is_number(&right) => {
                        whole.contains(part.as_str())
                    }
                    _ => false,
                }),
                "and" | "&&" => truth(is_true(&left) && is_true(&right)),
                _ => truth(is_true(&left) || is_true(&right)),
            }
        }
    })
}

/// Numbers are kept as texts behind a mark, because JSON has no infinities.
fn number(value: f64) -> Json {
    Json::from(format!("\u{1}{value:e}"))
}

fn truth(value: bool) -> Json {
    number(f64::from(u8::from(value)))
}

fn is_number(value: &Json) -> bool {
    value.as_str().is_some_and(|text| text.starts_with('\u{1}'))
}

fn plain(value: &Json) -> Json {
    match value {
        Json::Bool(value) => truth(*value),
        Json::Number(value) => number(value.as_f64().unwrap()),
        Json::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn as_number(value: &Json) -> f64 {
    let Some(text) = value.as_str() else { return 0.0 };
    text.trim_start_matches('\u{1}').parse().unwrap_or(0.0)
}

fn is_true(value: &Json) -> bool {
    match value {
        Json::Null => false,
        _ if is_number(value) => as_number(value) != 0.0,
        Json::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn equal(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::String(a), Json::String(b)) if !is_number(left) && !is_number(right) => a == b,
        (Json::Null, _) | (_, Json::Null) => false,
        _ => as_number(left) == as_number(right),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_program_accepts_what_its_tree_does(tree in tree(), attributes in attributes()) {
        let mut text = String::new();
        print(&tree, &mut text);
        let filter = Filter::compile(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let expected = evaluate(&tree, &attributes).is_some_and(|value| is_true(&value));
        prop_assert_eq!(filter.accepts(attributes.to_string().as_bytes()), expected, "{} on {}", text, attributes);
    }

    #[test]
    fn indexes_leave_out_nothing_that_passes_and_say_when_they_hold_nothing_else(
        tree in tree(), all in vec(attributes(), 1..40), later in vec(attributes(), 0..20),
        indexed in prop::sample::subsequence(&["a", "b", "n-1", "x_y", "deep"][..], 1..=5), budget in 0..60_usize,
    ) {
        let mut indexes: Vec<_> = indexed.iter().map(|field| FieldIndex::new(field.as_bytes())).collect();
        let mut all: Vec<String> = all.iter().map(Json::to_string).collect();
        for index in &mut indexes {
            all.iter().enumerate().for_each(|(slot, text)| index.insert(slot as u32, text.as_bytes()));
        }
        for (i, new) in later.iter().map(Json::to_string).enumerate() {
            let slot = i * 7 % all.len();
            for index in &mut indexes {
                index.remove(slot as u32, all[slot].as_bytes());
                index.insert(slot as u32, new.as_bytes());
            }
            all[slot] = new;
        }
        let mut text = String::new();
        print(&tree, &mut text);
        let filter = Filter::compile(text.as_bytes()).unwrap();
        let of = |field: &[u8]| indexes.iter().find(|index| index.field() == field);
        for index in &indexes {
            let elements = all.iter().enumerate().map(|(slot, text)| (slot as u32, text.as_bytes()));
            prop_assert_eq!(index.check(elements), Ok(()));
        }
        for budget in [usize::MAX, budget] {
            let Some(found) = filter.candidates(of, budget) else { continue };
            for (slot, attributes) in all.iter().enumerate() {
                let (passes, holds) = (filter.accepts(attributes.as_bytes()), found.slots.contains(slot as u32));
                prop_assert!(!passes || holds, "{} on {}", text, attributes);
                prop_assert!(!holds || passes || !found.exact, "{} on {} is said to be exact", text, attributes);
            }
        }
    }

    #[test]
    fn no_expression_and_no_attributes_panic(text in any::<Vec<u8>>(), attributes in any::<Vec<u8>>()) {
        if let Ok(filter) = Filter::compile(&text) {
            filter.accepts(&attributes);
        }
    }

    #[test]
    fn nothing_made_of_the_words_of_the_language_panics(
        words in vec(prop::sample::select(&[
            ".a", ".b", "(", ")", "not", "!", "1", "-", "'x'", "[", "]", ",", "in", "==", "**", "and", "||", "null", "\"", "e",
        ][..]), 0..12),
        pieces in vec(prop::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "1", "-", "true", "null", "\"", "\\", " ", "e5",
        ][..]), 0..16),
    ) {
        if let Ok(filter) = Filter::compile(words.concat().as_bytes()) {
            filter.accepts(pieces.concat().as_bytes());
        }
        if let Ok(filter) = Filter::compile(b".a == .b") {
            filter.accepts(pieces.concat().as_bytes());
        }
    }
}

#[test]
fn what_is_indexed_is_exact_for_the_filters_that_are_common() {
    let texts = [
        r#"{"a":1,"b":"x","t":["p","q"],"f":true}"#,
        r#"{"a":2,"b":"y","t":["q"],"f":false}"#,
        r#"{"a":3.5,"b":"x","t":[],"f":true}"#,
        r#"{"a":-1,"b":"z"}"#,
    ];
    let mut indexes = ["a", "b", "t", "f"].map(|field| FieldIndex::new(field.as_bytes()));
    for (slot, text) in texts.iter().enumerate() {
        indexes.iter_mut().for_each(|index| index.insert(slot as u32, text.as_bytes()));
    }
    let of = |field: &[u8]| indexes.iter().find(|index| index.field() == field);
    for (expression, slots) in [
        (".a > 1", &[1, 2][..]),
        (".a >= 1 and .b == 'x'", &[0, 2]),
        ("2 > .a", &[0, 3]),
        ("not (.a < 2)", &[1, 2]),
        (".b != 'x'", &[1, 3]),
        (".b in ['y', 'z'] or .a == 1", &[0, 1, 3]),
        ("'q' in .t", &[0, 1]),
        (".f", &[0, 2]),
        ("not .f", &[1]),
        (".f == false and .a < 10", &[1]),
        (".a > 100", &[]),
    ] {
        let found = Filter::compile(expression.as_bytes()).unwrap().candidates(of, usize::MAX).unwrap();
        assert!(found.exact, "{expression}");
        assert!(found.slots.iter().eq(slots.iter().copied()), "{expression}: {:?}", found.slots);
    }
    let partly = Filter::compile(b".a > 1 and .other == 2").unwrap().candidates(of, usize::MAX).unwrap();
    assert!(!partly.exact && partly.slots.iter().eq([1, 2]));
    assert!(Filter::compile(b".other == 2").unwrap().candidates(of, usize::MAX).is_none());
}

fn accepts(expression: &str, attributes: &str) -> bool {
    let filter = Filter::compile(expression.as_bytes()).unwrap_or_else(|error| panic!("{expression}: {error:?}"));
    filter.accepts(attributes.as_bytes())
}

/// Holds every expression against attributes that pass and attributes that do not.
fn expect(table: &[(&str, &[&str], &[&str])]) {
    for (expression, pass, fail) in table {
        for attributes in *pass {
            assert!(accepts(expression, attributes), "{expression} on {attributes}");
        }
        for attributes in *fail {
            assert!(!accepts(expression, attributes), "{expression} on {attributes}");
        }
    }
}

#[test]
fn constants_are_computed_as_in_redis() {
    for yes in [
        "1",
        "'a'",
        "[]",
        "[1,]",
        "2 ** 3 ** 2 == 512",
        "-2 ** 2 == 4",
        "1 --1 == 2",
        "1 - -1 == 2",
        "! 1 == 0",
        "not 0 ** 0",
        "2 * not 0 == 2",
        "5.5 % 2 == 1.5",
        "-5 % 3 == -2",
        "5 / 0 > 100",
        "0 / 0",
        "'b' > 'a' == 0",
        "1 + 'x' == 1",
        "'5' == 5",
        "'a' == 0",
        "[1,2] == [3]",
        "'' == [1]",
        "1 in ['1']",
        "'1' in [1]",
        "1 in [-1, 1.0]",
        "'a' in 'bab'",
        "'' in 'a'",
        "true",
        "not false",
        "null == null",
        "1 == 1e0",
        "1 == 1.",
        "'a\\'b'",
        "1and 1",
        "(1)and(1)",
        "1\0$",
    ] {
        assert!(accepts(yes, "{}"), "{yes}");
    }
    for no in [
        "0",
        "''",
        "2 ** 3 ** 2 == 64",
        "not (0 / 0)",
        "0 / 0 == 0 / 0",
        "'nan' >= 0",
        "'nan' < 0",
        "[1] in [1]",
        "1 in '1'",
        "1 in 1",
        "1 in []",
        "null",
        "null == 0",
        "null == ''",
        "'b' > 'a'",
        "'2' > '10'",
        "'1 ' == 1",
        ".",
    ] {
        assert!(!accepts(no, "{\"\":1}"), "{no}");
    }
    assert!(!accepts("1", ""), "who has no attributes passes nothing");
}

#[test]
fn fields_are_found_and_converted_as_in_redis() {
    expect(&[
        (
            ".a == 1",
            &[
                "{\"a\":1}",
                " {\n\"b\" : [ {} ] ,\t\"a\" : 1.0",
                "{\"a\":\"1\"}",
                "{\"a\":true}",
                "{\"a\":+1}",
                "{\"a\":1x",
            ],
            &[
                "{\"a\":2,\"a\":1}",
                "{\"b\":{\"a\":1}}",
                "{\"A\":1}",
                "[{\"a\":1}]",
                "{\"a\":[1]}",
                "{\"a\":{}}",
                "{\"a\":tru}",
                "{\"a\":1.5.5}",
                "{\"a\":\"1",
                "{\"a\":\"1 \"}",
                "{\"a\":truex}",
                "not json",
                "",
            ],
        ),
        (
            ".a == 1",
            &[
                "{\"b\":--,\"a\":1}",
                "{\"b\":[1 2,],\"a\":1}",
                "{\"b\":[{}}],\"a\":1}",
                "{\"b\":{\"}\":\"\\\"{\"},\"a\":1}",
            ],
            &[
                "{\"b\":x,\"a\":1}",
                "{\"b\":1x,\"a\":1}",
                "{\"b\":[{]},\"a\":1}",
                "{\"b\":trueish,\"a\":1}",
                "{\"b\":,\"a\":1}",
                "{,\"a\":1}",
            ],
        ),
        (
            ".s == 5",
            &["{\"s\":\"5\"}", "{\"s\":\" +5\"}", "{\"s\":\"0x5\"}", "{\"s\":\"5e0\"}"],
            &["{\"s\":\"5 \"}", "{\"s\":\"5x\"}"],
        ),
        (
            ".s",
            &["{\"s\":\"a\"}", "{\"s\":[]}", "{\"s\":[[1],null]}", "{\"s\":-1}"],
            &[
                "{\"s\":\"\"}",
                "{\"s\":null}",
                "{\"s\":0}",
                "{\"s\":false}",
                "{\"s\":[1,]}",
                "{\"s\":[{}]}",
                "{\"s\":[1 2]}",
                "{\"s\":[[1,]]}",
                "{}",
            ],
        ),
        ("not .s", &["{\"s\":null}", "{\"s\":\"\"}"], &["{}", "{\"s\":{}}"]),
        (
            ".s in .t",
            &["{\"s\":null,\"t\":[null]}", "{\"s\":\"a\",\"t\":\"bab\"}", "{\"t\":[1,\"x\"],\"s\":\"x\"}"],
            &["{\"s\":1,\"t\":\"1\"}"],
        ),
        (".s == 'a\\nb'", &["{\"s\":\"a\\\\nb\"}"], &["{\"s\":\"a\\nb\"}"]),
        (".s == 'a/\"x'", &["{\"s\":\"a\\/\\\"\\x\"}"], &[]),
        (
            ".s == '\u{e9}\u{1f600}'",
            &["{\"s\":\"\\u00e9\\ud83d\\ude00\"}", "{\"s\":\"\u{e9}\u{1f600}\"}"],
            &["{\"s\":\"\\u00e9\"}"],
        ),
        (".s == 'u12'", &["{\"s\":\"\\u12\"}"], &[]),
        (".a == 1 or .b == 1", &["{\"b\":1,\"a\":0}", "{\"a\":1,\"b\":null}"], &["{\"a\":1}", "{\"b\":1}"]),
        (".a-b + .a_B1 == 3", &["{\"a-b\":1,\"a_B1\":2}"], &[]),
    ]);
}

#[test]
fn an_expression_breaks_where_redis_says() {
    let whole = 0;
    for (expression, at) in [
        ("", whole),
        (" ", whole),
        ("1 2", whole),
        ("(1", whole),
        ("1)", whole),
        ("()", whole),
        ("1 ==", whole),
        ("- .a", whole),
        ("not not .a", whole),
        ("!!.a", whole),
        ("1 - - 1", whole),
        ("abc", whole),
        (".a abc", whole),
        ("nothing", whole),
        ("'a", whole),
        ("[1", whole),
        ("[1,", whole),
        ("..a", whole),
        (".a.b", whole),
        ("1.0.0", whole),
        (".a == +1", whole),
        (".a $ 1", 3),
        ("[,1]", 1),
        ("1 in [1 2]", 8),
        ("1 in [[1]]", 6),
        ("1 in [.a]", 6),
        ("1 in [true]", 6),
        ("'a'b'", 4),
        (".a == 1e-0", 8),
        (".a == 0x1", 8),
        (".a == 1_0", 7),
        (".a = 1", 4),
        (".a === 1", 6),
        (".a & 1", 4),
        ("(.)", 1),
        ("1,2", 1),
    ] {
        assert_eq!(Filter::compile(expression.as_bytes()).map(drop).map_err(|error| error.at), Err(at), "{expression}");
    }
}

#[test]
fn attributes_nested_without_end_cost_no_stack() {
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let deep = |depth: usize| format!("{{\"d\":{}1{},\"a\":1}}", open.repeat(depth), close.repeat(depth));
        assert!(accepts(".a == 1", &deep(1_000_000)));
        assert!(!accepts(".d", &deep(1_000_000)));
    }
    assert!(accepts("0 in .d", "{\"d\":[[[1]]]}"));
}

#[test]
fn a_long_expression_is_run_and_one_beyond_the_bound_refused() {
    let long = format!("1{}", " + 1".repeat(100_000));
    assert!(accepts(&format!("{long} == 100001"), "{}"));
    let deep = format!("{}1{}", "(".repeat(200_000), ")".repeat(200_000));
    assert!(accepts(&deep, "{}"));
    assert!(Filter::compile(" ".repeat(2 << 20).as_bytes()).is_err());
}
