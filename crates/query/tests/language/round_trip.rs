//! Trees printed as queries and read again.

use std::fmt::Write;

use proptest::prelude::*;
use quiver_query::ast::{End, Knn, Policy, Tag};

use super::*;

const VECTOR: &[u8; 8] = b"12345678";

fn words() -> impl Strategy<Value = String> {
    "[a-z0-9ä_-]{1,8}".prop_filter("a word of the language", |word| word != "ismissing")
}

fn pattern() -> impl Strategy<Value = Word> {
    prop_oneof![
        words().prop_map(|text| Word::Exact { text, verbatim: false }),
        words().prop_map(|text| Word::Exact { text, verbatim: true }),
        words().prop_map(Word::Prefix),
        words().prop_map(Word::Suffix),
        words().prop_map(Word::Infix),
        "[a-z?*]{1,8}".prop_map(|pattern| Word::Wildcard(pattern.into())),
        (words(), 1_u8..4).prop_map(|(text, distance)| Word::Fuzzy { text, distance }),
    ]
}

fn fields() -> impl Strategy<Value = TextFields> {
    proptest::sample::select(vec![TextFields::MAX, 1, 2, 3])
}

fn tags() -> impl Strategy<Value = Tag> {
    let text = || "[a-z0-9 $|{}*\"'\\\\äß,-]{0,6}[a-z]".prop_map(String::into_bytes);
    prop_oneof![
        text().prop_map(Tag::Exact),
        text().prop_map(Tag::Prefix),
        text().prop_map(Tag::Suffix),
        text().prop_map(Tag::Infix),
        "[a-z?*|}]{1,6}".prop_map(|pattern| Tag::Wildcard(pattern.into())),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let number = prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), -1e9..1e9, Just(1e-7), Just(0.0)];
    (number, any::<bool>()).prop_map(|(value, exclusive)| End { value, exclusive })
}

fn leaves() -> impl Strategy<Value = Node> {
    let kinds = prop_oneof![
        4 => (fields(), pattern()).prop_map(|(fields, word)| Kind::Word { fields, word }),
        1 => (fields(), proptest::collection::vec(words().prop_map(|word| verbatim(&word)), 2..4))
            .prop_map(|(fields, words)| Kind::Phrase { fields, words }),
        1 => proptest::collection::vec(tags(), 1..4).prop_map(|any| Kind::Tag { field: 3, any }),
        1 => (end(), end()).prop_map(|(min, max)| Kind::Numeric { field: 1, min, max }),
        1 => (-180.0..180.0, -85.0..85.0, 0.001..1e7_f64).prop_map(|(longitude, latitude, radius_m)| Kind::Geo {
            field: 6,
            longitude,
            latitude,
            radius_m
        }),
        1 => (0.0..4.0_f64, proptest::option::of(0.001..1.0_f64), proptest::option::of("[a-z]{1,5}")).prop_map(
            |(radius, epsilon, name)| Kind::VectorRange {
                field: 8,
                radius,
                vector: VECTOR.into(),
                epsilon,
                distance_as: name.map(String::into_bytes),
            }
        ),
        1 => Just(Kind::Missing { field: 3 }),
    ];
    (kinds, attributes()).prop_map(|(kind, attributes)| Node { kind, attributes })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let some = (
        proptest::option::of(0.0..9.0_f64),
        proptest::option::of(0_u32..9),
        proptest::option::of(any::<bool>()),
        proptest::option::of(any::<bool>()),
    );
    let some = some.prop_map(|(weight, slop, in_order, phonetic)| Attributes { weight, slop, in_order, phonetic });
    prop_oneof![3 => Just(Attributes::default()), 1 => some]
}

fn trees() -> impl Strategy<Value = Node> {
    leaves().prop_recursive(4, 24, 4, |inner| {
        let several = || proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            (several(), attributes()).prop_map(|(parts, attributes)| Node { kind: Kind::And(parts), attributes }),
            (several(), attributes()).prop_map(|(parts, attributes)| Node { kind: Kind::Or(parts), attributes }),
            // Attributes behind a sign belong to what it stands before.
            inner.clone().prop_map(not),
            inner.prop_map(|part| node(Kind::Optional(Box::new(part)))),
        ]
    })
}

fn neighbours() -> impl Strategy<Value = Knn> {
    let policy = prop_oneof![
        Just((None, None, None)),
        Just((Some(Policy::AdHoc), None, None)),
        (1_usize..99, 1_usize..99).prop_map(|(ef, batch)| (Some(Policy::Batches), Some(ef), Some(batch))),
    ];
    (0_usize..1000, policy, "[a-z_]{1,6}z").prop_map(|(k, (policy, ef_runtime, batch_size), name)| Knn {
        k,
        field: 8,
        vector: VECTOR.into(),
        ef_runtime,
        policy,
        batch_size,
        distance_as: name.into_bytes(),
    })
}

/// With a backslash before each ASCII character that is neither letter, digit nor underscore.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn print(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Word { fields, word } => print_word(*fields, word, out),
        Kind::Phrase { fields, words } => {
            print_fields(*fields, out);
            let words = words.iter().map(|word| match word {
                Word::Exact { text, .. } => escaped(text),
                word => panic!("{word:?}"),
            });
            write!(out, "\"{}\"", words.collect::<Vec<_>>().join(" ")).expect("strings take everything");
        }
        Kind::And(parts) => print_parts(parts, " ", out),
        Kind::Or(parts) => print_parts(parts, " | ", out),
        Kind::Not(part) => {
            // In brackets, or a number's sign would be read.
            out.push_str("-(");
            print(part, out);
            out.push(')');
        }
        Kind::Optional(part) => {
            out.push('~');
            print(part, out);
        }
        Kind::Tag { any, .. } => {
            let tags: Vec<_> = any.iter().map(printed_tag).collect();
            write!(out, "@tag:{{{}}}", tags.join(" | ")).expect("strings take everything");
        }
        Kind::Numeric { min, max, .. } => {
            let end = |end: &End| format!("{}{}", if end.exclusive { "(" } else { "" }, end.value);
            write!(out, "@n:[{} {}]", end(min), end(max)).expect("strings take everything");
        }
        Kind::Geo { longitude, latitude, radius_m, .. } => {
            write!(out, "@geo:[{longitude} {latitude} {radius_m} m]").expect("strings take everything");
        }
        Kind::VectorRange { radius, epsilon, distance_as, .. } => {
            write!(out, "@v:[VECTOR_RANGE {radius} $vec").expect("strings take everything");
            if let Some(epsilon) = epsilon {
                write!(out, " EPSILON {epsilon}").expect("strings take everything");
            }
            if let Some(name) = distance_as {
                write!(out, " AS {}", String::from_utf8_lossy(name)).expect("strings take everything");
            }
            out.push(']');
        }
        Kind::Missing { .. } => out.push_str("ismissing(@tag)"),
        kind => panic!("{kind:?}"),
    }
    print_attributes(&node.attributes, out);
}

fn print_parts(parts: &[Node], between: &str, out: &mut String) {
    out.push('(');
    for (place, part) in parts.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { between });
        print(part, out);
    }
    out.push(')');
}

fn print_fields(fields: TextFields, out: &mut String) {
    out.push_str(match fields {
        1 => "@title:",
        2 => "@body:",
        3 => "@title|body:",
        _ => "",
    });
}

fn print_word(fields: TextFields, word: &Word, out: &mut String) {
    print_fields(fields, out);
    match word {
        Word::Exact { text, verbatim: false } => out.push_str(&escaped(text)),
        Word::Exact { text, verbatim: true } => write!(out, "\"{}\"", escaped(text)).expect("strings take everything"),
        Word::Prefix(text) => write!(out, "{}*", escaped(text)).expect("strings take everything"),
        Word::Suffix(text) => write!(out, "*{}", escaped(text)).expect("strings take everything"),
        Word::Infix(text) => write!(out, "*{}*", escaped(text)).expect("strings take everything"),
        Word::Wildcard(pattern) => {
            write!(out, "w'{}'", String::from_utf8_lossy(pattern)).expect("strings take everything")
        }
        Word::Fuzzy { text, distance } => {
            let marks = "%".repeat(usize::from(*distance));
            write!(out, "{marks}{}{marks}", escaped(text)).expect("strings take everything");
        }
    }
}

fn printed_tag(tag: &Tag) -> String {
    let text = |text: &[u8]| escaped(&String::from_utf8_lossy(text));
    match tag {
        Tag::Exact(value) => text(value),
        Tag::Prefix(value) => format!("{}*", text(value)),
        Tag::Suffix(value) => format!("*{}", text(value)),
        Tag::Infix(value) => format!("*{}*", text(value)),
        Tag::Wildcard(value) => format!("w'{}'", String::from_utf8_lossy(value)),
    }
}

fn print_attributes(attributes: &Attributes, out: &mut String) {
    if *attributes == Attributes::default() {
        return;
    }
    out.push_str("=>{");
    if let Some(weight) = attributes.weight {
        write!(out, "$weight: {weight};").expect("strings take everything");
    }
    if let Some(slop) = attributes.slop {
        write!(out, "$slop: {slop};").expect("strings take everything");
    }
    if let Some(in_order) = attributes.in_order {
        write!(out, "$inorder: {in_order};").expect("strings take everything");
    }
    if let Some(phonetic) = attributes.phonetic {
        write!(out, "$phonetic: {phonetic}").expect("strings take everything");
    }
    out.push('}');
}

fn print_knn(knn: &Knn, out: &mut String) {
    write!(out, "=>[KNN {} @v $vec", knn.k).expect("strings take everything");
    if let Some(ef) = knn.ef_runtime {
        write!(out, " EF_RUNTIME {ef}").expect("strings take everything");
    }
    if let Some(policy) = knn.policy {
        let policy = if policy == Policy::AdHoc { "ADHOC_BF" } else { "BATCHES" };
        write!(out, " HYBRID_POLICY {policy}").expect("strings take everything");
    }
    if let Some(size) = knn.batch_size {
        write!(out, " BATCH_SIZE {size}").expect("strings take everything");
    }
    write!(out, " AS {}]", String::from_utf8_lossy(&knn.distance_as)).expect("strings take everything");
}

fn read_plain(query: &str, dialect: u8) -> Query {
    let (schema, stop_words) = (schema(), StopWords::none());
    let parameters = [(b"vec".to_vec(), VECTOR.to_vec())];
    let options = ParseOptions {
        schema: &schema,
        dialect,
        parameters: &parameters,
        fields: TextFields::MAX,
        verbatim: false,
        stop_words: &stop_words,
        language: Language::English,
    };
    parse(query.as_bytes(), options).unwrap_or_else(|error| panic!("{query}: {error}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_printed_tree_reads_equal(root in trees(), knn in proptest::option::of(neighbours())) {
        let mut text = String::new();
        print(&root, &mut text);
        if let Some(knn) = &knn {
            print_knn(knn, &mut text);
        }
        let read = read_plain(&text, 2);
        prop_assert_eq!(read, Query { root, knn }, "{}", text);
    }
}
