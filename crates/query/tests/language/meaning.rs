//! What binds what, in both dialects.

use super::*;

#[test]
fn nothing_and_everything() {
    assert_eq!(root(""), node(Kind::Nothing));
    assert_eq!(root("   "), node(Kind::Nothing));
    assert_eq!(root("*"), node(Kind::All));
    assert_eq!(root("(*)"), node(Kind::All));
}

#[test]
fn words_beside_each_other_must_all_match() {
    assert_eq!(root("Hello"), word("hello"));
    assert_eq!(root("hello, world!"), and([word("hello"), word("world")]));
    assert_eq!(root("(hello)"), word("hello"));
    assert_eq!(root(r"foo\-bar"), word("foo-bar"));
    assert_eq!(root("$p x"), and([word("value"), word("x")]));
}

#[test]
fn stop_words_are_left_out() {
    assert_eq!(root("the cat"), word("cat"));
    assert_eq!(root("the"), node(Kind::Nothing));
    assert_eq!(root("-the cat"), word("cat"));
    assert_eq!(root("cat | the"), word("cat"));
    assert_eq!(root("\"to be\""), node(Kind::Nothing));
}

#[test]
fn in_dialect_2_unions_bind_least() {
    let phrase = |a: &str, b: &str| and([word(a), word(b)]);
    assert_eq!(root("hello world | goodbye moon"), or([phrase("hello", "world"), phrase("goodbye", "moon")]));
    assert_eq!(root("a1 | b1 | c1"), or([word("a1"), word("b1"), word("c1")]));
    assert_eq!(root("(a1|b1) c1"), and([or([word("a1"), word("b1")]), word("c1")]));
}

#[test]
fn in_dialect_1_unions_bind_closer_than_parts_beside_each_other() {
    let old = |query: &str| read_as(query.as_bytes(), 1).unwrap().root;
    let moon = word("moon");
    let goodbye = word_in(TextFields::MAX, verbatim("goodbye"));
    let hello_world = and([word("hello"), word("world")]);
    assert_eq!(old("hello world | \"goodbye\" moon"), and([or([hello_world.clone(), goodbye]), moon]));
    assert_eq!(old("-hello world"), not(hello_world));
    assert_eq!(old("@title:james brown"), and([word_in(1, exact("james")), word_in(1, exact("brown"))]));
    assert_eq!(old("@body:(a1 @title:b1)"), and([word_in(2, exact("a1")), node(Kind::Nothing)]));
    assert_eq!(old("@tag:(@n:[0 10])"), root("@n:[0 10]"));
    assert_eq!(old("@tag:{foo}}}}}"), root("@tag:{foo}"));
    assert_eq!(old("*"), node(Kind::All));
}

#[test]
fn signs_hold_for_the_next_part_only() {
    assert_eq!(root("-hello world"), and([not(word("hello")), word("world")]));
    assert_eq!(root("foo-bar"), and([word("foo"), not(word("bar"))]));
    assert_eq!(root("~hello"), node(Kind::Optional(Box::new(word("hello")))));
    assert_eq!(root("-~-hello"), not(node(Kind::Optional(Box::new(not(word("hello")))))));
    assert_eq!(root("-(a1 b1)"), not(and([word("a1"), word("b1")])));
    assert_eq!(root("-20"), word("-20"));
    assert_eq!(root(r"-\20"), not(word("20")));
}

#[test]
fn fields_hold_for_the_next_part_only() {
    assert_eq!(root("@title:james brown"), and([word_in(1, exact("james")), word("brown")]));
    assert_eq!(root("@title|body:x1"), word_in(3, exact("x1")));
    assert_eq!(root("@body:(a1 b1)"), and([word_in(2, exact("a1")), word_in(2, exact("b1"))]));
    assert_eq!(root("@body:-a1"), not(word_in(2, exact("a1"))));
    assert_eq!(root("@title:the cat"), word("cat"));
}

#[test]
fn quotes_make_phrases() {
    let phrase = |fields, words: &[&str]| {
        node(Kind::Phrase { fields, words: words.iter().map(|word| verbatim(word)).collect() })
    };
    assert_eq!(root("\"Hello  World\""), phrase(TextFields::MAX, &["hello", "world"]));
    assert_eq!(root("\"bread and butter\""), phrase(TextFields::MAX, &["bread", "butter"]));
    assert_eq!(root("@title:\"a-b c\\-d\""), phrase(1, &["b", "c-d"]));
    assert_eq!(root("\"one\""), word_in(TextFields::MAX, verbatim("one")));
    assert_eq!(root("\"\""), word_in(TextFields::MAX, verbatim("")));
    assert_eq!(root("'Hello  World'"), phrase(TextFields::MAX, &["hello", "world"]));
    assert_eq!(root("@body:''"), word_in(2, verbatim("")));
    assert_eq!(root("don't"), and([word("don"), word("t")]));
}

#[test]
fn words_may_be_patterns() {
    let is = |query: &str, word: Word| assert_eq!(root(query), word_in(TextFields::MAX, word), "{query}");
    is("Hel*", Word::Prefix("hel".into()));
    is("*lo", Word::Suffix("lo".into()));
    is("*ell*", Word::Infix("ell".into()));
    is("$p*", Word::Prefix("value".into()));
    is("w'He?l*'", Word::Wildcard(b"he?l*".into()));
    is("\"w'foo*bar?'\"", Word::Wildcard(b"foo*bar?".into()));
    is("w'$p'", Word::Wildcard(b"value".into()));
    is(r"w'it\'s'", Word::Wildcard(b"it's".into()));
    is("%hello%", Word::Fuzzy { text: "hello".into(), distance: 1 });
    is("%%%hello%%%", Word::Fuzzy { text: "hello".into(), distance: 3 });
    is("%%$p%%", Word::Fuzzy { text: "value".into(), distance: 2 });
}

#[test]
fn attributes_belong_to_the_part_before_them() {
    let query = root("(a1 b1) => { $weight: 2.5; $slop: 1; $inorder: true; $phonetic:false } c1");
    let Kind::And(parts) = query.kind else { panic!("{query:?}") };
    let attributes = Attributes { weight: Some(2.5), slop: Some(1), in_order: Some(true), phonetic: Some(false) };
    assert_eq!(parts[0], Node { attributes, ..and([word("a1"), word("b1")]) });
    assert_eq!(parts[1], word("c1"));
    let union = root("a1=>{$weight: 2} | b1=>{$WEIGHT: $num}");
    let Kind::Or(parts) = union.kind else { panic!("{union:?}") };
    assert_eq!([parts[0].attributes.weight, parts[1].attributes.weight], [Some(2.0), Some(3.0)]);
}

#[test]
fn chinese_words_are_phrases_of_characters() {
    let (schema, stop_words) = (schema(), StopWords::default());
    let options = ParseOptions {
        schema: &schema,
        dialect: 2,
        parameters: &[],
        fields: 2,
        verbatim: true,
        stop_words: &stop_words,
        language: Language::Chinese,
    };
    let words = vec![verbatim("数"), verbatim("据")];
    assert_eq!(parse("数据".as_bytes(), options).unwrap().root, node(Kind::Phrase { fields: 2, words }));
    assert_eq!(parse(b"redis", options).unwrap().root, word_in(2, verbatim("redis")));
}
