//! Filter expressions and the attributes they are asked about, both with everything the two languages have and a few
//! mistakes.
//!
//! Left out is what Quiver takes from later releases or does otherwise on purpose: the constants `true`, `false` and
//! `null`, a text on the right of `in`, and escapes in attributes that Redis 8.0 takes for their letter.

use crate::differential::random::Rng;

const FIELDS: &[&str] = &[".year", ".tag", ".list", ".ok", ".n", ".s", ".none", ".missing", ".a-b", ".A_1"];
const NUMBERS: &[&str] =
    &["0", "1", "2", "3.5", "1980", "1999", "-1", "-2.5", "1e2", "1E1", "007", "0.1", "100000", "1.5.5", "1e", "5."];
const TEXTS: &[&str] = &[
    "a", "b", "ab", "", "1", "1980", "3.5", " 1", "1 ", "0x10", "inf", "nan", "-1", "a\\'b", "a\"b", "\\n", "é",
    "true", "null",
];
const OPERATORS: &[&str] = &[
    "**", "*", "/", "%", "+", "-", ">", ">=", "<", "<=", "==", "!=", "in", "and", "&&", "or", "||", "==", "in", "and",
    "or",
];
const ODD_WORDS: &[&str] = &[
    "=",
    "&",
    "|",
    "!",
    "not",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "..year",
    ".year.tag",
    "AND",
    "nothing",
    "order",
    "$",
    "é",
    "1year",
    "'open",
    "\"open",
    "[1",
    "[1,]",
    "[,]",
    "[.year]",
    "[[1]]",
    "--1",
    "- 1",
    "!!",
    "+1",
    "{}",
];
const FIELD_NAMES: &[&str] =
    &["year", "tag", "list", "ok", "n", "s", "none", "a-b", "A_1", "other", "ye\\u0061r", "tag"];
const VALUES: &[&str] = &[
    "1980",
    "1999",
    "0",
    "1",
    "2",
    "3.5",
    "-1",
    "-2.5",
    "1e2",
    "1E+1",
    "2e-1",
    "\"a\"",
    "\"b\"",
    "\"ab\"",
    "\"\"",
    "\"1\"",
    "\"1980\"",
    "\" 1\"",
    "\"1 \"",
    "\"0x10\"",
    "\"inf\"",
    "\"nan\"",
    "\"a\\\"b\"",
    "\"\\n\"",
    "\"\\/\"",
    "\"é\"",
    "true",
    "false",
    "null",
    "[]",
    "[1,2]",
    "[\"a\",\"b\"]",
    "[ 1980 , \"a\" , null , true ]",
    "[1,[2]]",
    "[{}]",
    "{}",
    "{\"year\":1980,\"tag\":\"a\"}",
    "{\"x\":[1,{\"y\":\"}\"}]}",
];
const ODD_VALUES: &[&str] = &[
    "",
    "01",
    "1.",
    ".5",
    "+1",
    "--1",
    "1-",
    "1x",
    "tru",
    "trueish",
    "nulll",
    "'a'",
    "\"open",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{,}",
    "[1}",
    "1 2",
    "NaN",
    "Infinity",
    "0x10",
    "\"tab\tin\"",
    "\"\\x\"",
    "\"\\u00\"",
    "e5",
    "-",
];

/// An expression.
pub(crate) fn expression(rng: &mut Rng) -> String {
    let mut words = Vec::new();
    tree(rng, 3, &mut words);
    if rng.one_in(8) {
        let (at, odd) = (rng.below(words.len() + 1), (*rng.pick(ODD_WORDS)).to_owned());
        words.insert(at, odd);
    }
    if rng.one_in(20) {
        words.remove(rng.below(words.len()));
    }
    // Some words need no space between them, and some become others without one.
    let space = if rng.one_in(4) { "" } else { " " };
    words.join(space)
}

fn tree(rng: &mut Rng, depth: usize, words: &mut Vec<String>) {
    if depth == 0 || rng.one_in(3) {
        return words.push(leaf(rng));
    }
    let parentheses = rng.one_in(3);
    if rng.one_in(8) {
        words.push((*rng.pick(&["not", "!"])).to_owned());
    }
    if parentheses {
        words.push("(".to_owned());
    }
    tree(rng, depth - 1, words);
    let operator = *rng.pick(OPERATORS);
    words.push(operator.to_owned());
    if operator == "in" {
        words.push(if rng.one_in(2) { ".list".to_owned() } else { tuple(rng) });
    } else {
        tree(rng, depth - 1, words);
    }
    if parentheses {
        words.push(")".to_owned());
    }
}

fn leaf(rng: &mut Rng) -> String {
    match rng.below(12) {
        0..=5 => (*rng.pick(FIELDS)).to_owned(),
        6 | 7 => (*rng.pick(NUMBERS)).to_owned(),
        8 | 9 => text(rng),
        10 => tuple(rng),
        _ => (*rng.pick(NUMBERS)).to_owned(),
    }
}

fn tuple(rng: &mut Rng) -> String {
    let len = rng.below(4);
    let item = |rng: &mut Rng| if rng.one_in(2) { text(rng) } else { (*rng.pick(NUMBERS)).to_owned() };
    let items: Vec<String> = (0..len).map(|_| item(rng)).collect();
    format!("[{}]", items.join(if rng.one_in(2) { "," } else { " , " }))
}

fn text(rng: &mut Rng) -> String {
    let quote = rng.pick(&["'", "\""]);
    format!("{quote}{}{quote}", rng.pick(TEXTS))
}

/// Attributes: mostly an object.
pub(crate) fn attributes(rng: &mut Rng) -> String {
    let fields = (0..rng.below(7)).map(|_| {
        let values = if rng.one_in(25) { ODD_VALUES } else { VALUES };
        let (name, value) = (*rng.pick(FIELD_NAMES), *rng.pick(values));
        let value = if name == "list" && value.starts_with('"') { "[1,2]" } else { value };
        let colon = if rng.one_in(5) { " : " } else { ":" };
        format!("\"{name}\"{colon}{value}")
    });
    let mut text = fields.collect::<Vec<_>>().join(if rng.one_in(5) { " ,\n" } else { "," });
    text = if rng.one_in(5) { format!(" {{ {text} }} ") } else { format!("{{{text}}}") };
    if rng.one_in(30) {
        text.truncate(text.floor_char_boundary(rng.below(text.len())));
    }
    text
}
