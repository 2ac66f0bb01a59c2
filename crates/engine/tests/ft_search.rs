//! FT.*: indexes over hashes and JSON documents, as clients see them.

mod common;

use common::{Harness, Replicated, START_MS};

fn books() -> Harness {
    let mut h = Harness::new();
    h.expect(&[
        (
            "FT.CREATE books ON HASH PREFIX 1 book: SCHEMA title TEXT WEIGHT 2 genre TAG SORTABLE price NUMERIC SORTABLE",
            "+OK",
        ),
        ("HSET book:1 title 'The quick brown fox' genre fiction price 10", ":3"),
        ("HSET book:2 title 'A lazy dog sleeps' genre 'fiction,animals' price 20", ":3"),
        ("HSET book:3 title 'Foxes and dogs' genre science price 30", ":3"),
        ("HSET other:1 title 'fox' genre fiction price 1", ":3"),
    ]);
    h
}

#[test]
fn a_search_sees_what_was_written_before_it_and_nothing_else() {
    let mut h = books();
    h.expect(&[
        ("FT.SEARCH books fox NOCONTENT", "*3[:2 'book:1' 'book:3']"),
        ("FT.SEARCH books @genre:{fiction} NOCONTENT SORTBY price", "*3[:2 'book:1' 'book:2']"),
        ("FT.SEARCH books '@price:[15 30]' NOCONTENT SORTBY price DESC", "*3[:2 'book:3' 'book:2']"),
        ("FT.SEARCH books '@price:[(10 (30]' RETURN 1 title", "*3[:1 'book:2' *2['title' 'A lazy dog sleeps']]"),
        ("HSET book:1 price 25", ":0"),
        ("FT.SEARCH books '@price:[21 26]' NOCONTENT", "*2[:1 'book:1']"),
        ("DEL book:1", ":1"),
        ("FT.SEARCH books fox NOCONTENT", "*2[:1 'book:3']"),
        ("RENAME book:3 gone:3", "+OK"),
        ("FT.SEARCH books fox NOCONTENT", "*1[:0]"),
        ("RENAME other:1 book:9", "+OK"),
        ("FT.SEARCH books fox LIMIT 0 0", "*1[:1]"),
        ("SET book:9 x", "+OK"),
        ("FT.SEARCH books fox LIMIT 0 0", "*1[:0]"),
    ]);
}

#[test]
fn keys_that_were_there_before_are_indexed_unless_that_is_not_wanted() {
    let mut h = Harness::new();
    h.expect(&[
        ("HSET a:1 n 1", ":1"),
        ("FT.CREATE i PREFIX 1 a: SCHEMA n NUMERIC", "+OK"),
        ("FT.CREATE j PREFIX 1 a: SKIPINITIALSCAN SCHEMA n NUMERIC", "+OK"),
        ("FT.SEARCH i * NOCONTENT", "*2[:1 'a:1']"),
        ("FT.SEARCH j * NOCONTENT", "*1[:0]"),
        ("HSET a:1 n 2", ":0"),
        ("FT.SEARCH j * NOCONTENT", "*2[:1 'a:1']"),
    ]);
}

#[test]
fn many_keys_that_were_there_before_are_indexed_in_the_background() {
    let mut h = Harness::new();
    for n in 0..12_000 {
        h.run_words(&["HSET".to_owned(), format!("k{n}"), "n".to_owned(), n.to_string()]);
    }
    h.run("FT.CREATE i SCHEMA n NUMERIC");
    assert!(h.run("FT.INFO i").contains("'indexing' :1"));
    while h.engine.tend_search(h.now_ms) {}
    assert_eq!(h.run("FT.SEARCH i '@n:[6000 inf]' LIMIT 0 0"), "*1[:6000]");
    assert!(h.run("FT.INFO i").contains("'indexing' :0 'percent_indexed' '1'"));
}

#[test]
fn json_documents_are_indexed_by_their_paths() {
    let mut h = Harness::new();
    h.expect(&[
        (
            "FT.CREATE i ON JSON PREFIX 1 d: SCHEMA $.name AS name TEXT $.tags[*] AS tag TAG $.n AS n NUMERIC $.ok AS ok TAG",
            "+OK",
        ),
        (r#"JSON.SET d:1 $ '{"name":"red apple","tags":["a","b"],"n":1,"ok":true}'"#, "+OK"),
        (r#"JSON.SET d:2 $ '{"name":"green pear","tags":["b"],"n":2.5,"ok":false}'"#, "+OK"),
        ("FT.SEARCH i @tag:{b} NOCONTENT SORTBY n", "*3[:2 'd:1' 'd:2']"),
        ("FT.SEARCH i @ok:{true} NOCONTENT", "*2[:1 'd:1']"),
        ("FT.SEARCH i pear RETURN 2 name n", "*3[:1 'd:2' *4['name' 'green pear' 'n' '2.5']]"),
        (
            "FT.SEARCH i '@n:[2 3]'",
            r#"*3[:1 'd:2' *2['$' '{"name":"green pear","tags":["b"],"n":2.5,"ok":false}']]"#,
        ),
        ("FT.SEARCH i pear RETURN 3 $.tags AS t", r#"*3[:1 'd:2' *2['t' '["b"]']]"#),
        ("JSON.SET d:2 $.n 7", "+OK"),
        ("FT.SEARCH i '@n:[7 7]' NOCONTENT", "*2[:1 'd:2']"),
        (r#"JSON.SET d:3 $ '{"n":"not a number"}'"#, "+OK"),
        ("FT.SEARCH i * LIMIT 0 0", "*1[:2]"),
    ]);
    assert!(h.run("FT.INFO i").contains("'hash_indexing_failures' :1"));
}

/// Little-endian components of a vector.
fn vector(components: &[f32]) -> Vec<u8> {
    components.iter().flat_map(|component| component.to_le_bytes()).collect()
}

fn vectors() -> Harness {
    let mut h = Harness::new();
    h.expect(&[(
        "FT.CREATE v PREFIX 1 v: SCHEMA e VECTOR HNSW 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2 kind TAG",
        "+OK",
    )]);
    for n in 0..10_u8 {
        let kind: &[u8] = if n % 2 == 0 { b"even" } else { b"odd" };
        let key = format!("v:{n}");
        h.run_words(&[b"HSET", key.as_bytes(), b"e", &vector(&[f32::from(n), 0.0]), b"kind", kind]);
    }
    h
}

#[test]
fn the_nearest_are_found_with_their_distances() {
    let mut h = vectors();
    let q = vector(&[3.2, 0.0]);
    let ask = |h: &mut Harness, words: &[&[u8]]| {
        let all: Vec<&[u8]> = [b"FT.SEARCH".as_slice(), b"v"].into_iter().chain(words.iter().copied()).collect();
        common::show(&h.run_words(&all))
    };
    let nearest =
        ask(&mut h, &[b"*=>[KNN 2 @e $q AS d]", b"PARAMS", b"2", b"q", &q, b"RETURN", b"1", b"kind", b"DIALECT", b"2"]);
    assert_eq!(nearest, "*5[:2 'v:3' *2['kind' 'odd'] 'v:4' *2['kind' 'even']]");
    let filtered =
        ask(&mut h, &[b"(@kind:{even})=>[KNN 1 @e $q]", b"PARAMS", b"2", b"q", &q, b"NOCONTENT", b"DIALECT", b"2"]);
    assert_eq!(filtered, "*2[:1 'v:4']");
    let within = ask(
        &mut h,
        &[
            b"@e:[VECTOR_RANGE 0.7 $q]=>{$yield_distance_as: d}",
            b"PARAMS",
            b"2",
            b"q",
            &q,
            b"SORTBY",
            b"d",
            b"DESC",
            b"RETURN",
            b"1",
            b"d",
            b"DIALECT",
            b"2",
        ],
    );
    assert!(within.starts_with("*5[:2 'v:4' *2['d' '0.63999"), "{within}");
}

#[test]
fn a_document_that_is_no_document_any_more_is_not_found() {
    let mut h = books();
    h.run("PEXPIRE book:1 100");
    h.now_ms = START_MS + 200;
    // Nobody has looked at the key since its time was over.
    assert_eq!(h.run("FT.SEARCH books fox NOCONTENT"), "*2[:1 'book:3']");
    assert_eq!(h.run("FT.SEARCH books fox LIMIT 0 0"), "*1[:1]");
}

#[test]
fn fields_whose_time_is_over_do_not_match() {
    let mut h = books();
    h.run("HPEXPIRE book:1 100 FIELDS 1 title");
    assert_eq!(h.run("FT.SEARCH books fox NOCONTENT"), "*3[:2 'book:1' 'book:3']");
    h.now_ms = START_MS + 200;
    assert_eq!(h.run("FT.SEARCH books fox NOCONTENT"), "*2[:1 'book:3']");
    assert_eq!(
        h.run("FT.SEARCH books @genre:{animals} RETURN 1 genre"),
        "*3[:1 'book:2' *2['genre' 'fiction,animals']]"
    );
}

#[test]
fn rows_are_grouped_and_sorted() {
    let mut h = books();
    h.expect(&[
        (
            "FT.AGGREGATE books * GROUPBY 1 @genre REDUCE COUNT 0 AS n SORTBY 2 @genre ASC",
            "*4[:3 *4['genre' 'fiction' 'n' '1'] *4['genre' 'fiction,animals' 'n' '1'] *4['genre' 'science' 'n' '1']]",
        ),
        (
            "FT.AGGREGATE books * LOAD 2 @__key @title APPLY '@price*2' AS double FILTER '@double>=40' SORTBY 2 @double DESC",
            "*3[:3 *8['__key' 'book:3' 'title' 'Foxes and dogs' 'price' '30' 'double' '60'] \
             *8['__key' 'book:2' 'title' 'A lazy dog sleeps' 'price' '20' 'double' '40']]",
        ),
        ("FT.AGGREGATE books * GROUPBY 0 REDUCE SUM 1 @price AS sum", "*2[:1 *2['sum' '60']]"),
        ("FT.AGGREGATE books * SORTBY 2 @nothing DESC", "-Property `nothing` not loaded nor in schema"),
    ]);
}

#[test]
fn a_cursor_gives_the_rest_of_the_rows() {
    let mut h = books();
    let first = h.run("FT.AGGREGATE books * LOAD 1 @__key SORTBY 2 @price ASC WITHCURSOR COUNT 2");
    let (rows, number) = first.rsplit_once(" :").unwrap();
    assert!(
        rows.starts_with("*2[*3[:3 *4['__key' 'book:1' 'price' '10'] *4['__key' 'book:2' 'price' '20']]"),
        "{first}"
    );
    let number = number.trim_end_matches(']').to_owned();
    assert_eq!(h.run(&format!("FT.CURSOR READ books {number}")), "*2[*2[:3 *4['__key' 'book:3' 'price' '30']] :0]");
    assert!(h.run(&format!("FT.CURSOR READ books {number}")).starts_with("-Cursor not found"));
    h.run("FT.AGGREGATE books * LOAD 1 @__key WITHCURSOR COUNT 1 MAXIDLE 50");
    h.now_ms += 100;
    assert_eq!(h.run("FT.CURSOR GC books x"), ":1");
}

#[test]
fn definitions_are_listed_altered_and_dropped() {
    let mut h = books();
    h.expect(&[
        ("FT._LIST", "*1['books']"),
        ("FT.CREATE books SCHEMA x TEXT", "-Index already exists"),
        ("FT.CREATE b SCHEMA", "-ERR wrong number of arguments for 'FT.CREATE' command"),
        ("FT.CREATE b PREFIX 1 x", "-No schema found"),
        ("FT.CREATE b SCHEMA x FOO", "-Invalid field type for field `x`"),
        ("FT.CREATE b SCHEMA x TEXT x TAG", "-Duplicate field in schema - x"),
        (
            "FT.CREATE b SCHEMA x VECTOR HNSW 4 TYPE FLOAT32 DIM 2",
            "-Missing mandatory parameter: cannot create HNSW index without specifying DISTANCE_METRIC argument",
        ),
        ("FT.SEARCH nothing *", "-nothing: no such index"),
        ("FT.INFO nothing", "-nothing: no such index"),
        ("FT.DROPINDEX nothing", "-Unknown index name"),
        ("FT.ALTER books SCHEMA ADD pages NUMERIC", "+OK"),
        ("HSET book:1 pages 99", ":1"),
        ("FT.SEARCH books '@pages:[99 99]' NOCONTENT", "*2[:1 'book:1']"),
        ("FT.SEARCH books fox NOCONTENT", "*3[:2 'book:1' 'book:3']"),
        ("FT.ALIASADD shelf books", "+OK"),
        ("FT.ALIASADD shelf books", "-Alias already exists"),
        ("FT.SEARCH shelf dog LIMIT 0 0", "*1[:2]"),
        ("FT.ALIASDEL shelf", "+OK"),
        ("FT.ALIASDEL shelf", "-Alias does not exist"),
        ("FT.TAGVALS books genre", "*3['animals' 'fiction' 'science']"),
        ("FT.TAGVALS books price", "-Not a tag field"),
        ("FT.DROPINDEX books DD", "+OK"),
        ("EXISTS book:1 book:2 other:1", ":1"),
        ("FT._LIST", "*0[]"),
    ]);
    h.run("SELECT 1");
    assert_eq!(h.run("FT.CREATE i SCHEMA x TEXT"), "-Cannot create index on db != 0");
}

#[test]
fn emptying_database_0_drops_its_indexes_and_exchanging_it_fills_them_anew() {
    let mut h = books();
    h.expect(&[
        ("SELECT 1", "+OK"),
        ("HSET book:7 title 'seven foxes' price 7", ":2"),
        ("SWAPDB 0 1", "+OK"),
        ("SELECT 0", "+OK"),
    ]);
    while h.engine.tend_search(h.now_ms) {}
    h.expect(&[("FT.SEARCH books fox NOCONTENT", "*2[:1 'book:7']"), ("FLUSHDB", "+OK"), ("FT._LIST", "*0[]")]);
}

#[test]
fn a_transaction_sees_its_own_writes() {
    let mut h = books();
    h.expect(&[
        ("MULTI", "+OK"),
        ("HSET book:4 title fox", "+QUEUED"),
        ("FT.SEARCH books fox NOCONTENT LIMIT 0 0", "+QUEUED"),
        ("DEL book:4", "+QUEUED"),
        ("FT.SEARCH books fox NOCONTENT LIMIT 0 0", "+QUEUED"),
        ("FT.CREATE new PREFIX 1 n: SCHEMA n NUMERIC", "+QUEUED"),
        ("HSET n:1 n 1", "+QUEUED"),
        ("FT.SEARCH new * LIMIT 0 0", "+QUEUED"),
        ("EXEC", "*7[:1 *1[:3] :1 *1[:2] +OK :1 *1[:1]]"),
    ]);
}

#[test]
fn resp3_answers_are_maps() {
    let mut h = books();
    h.expect3(&[
        ("FT.SEARCH books lazy WITHSCORES RETURN 1 price LIMIT 0 1", &h_score()),
        (
            "FT.AGGREGATE books lazy LOAD 1 @price",
            "%5['attributes' *0[] 'warning' *0[] 'total_results' :1 'format' 'STRING' 'results' \
             *1[%2['extra_attributes' %1['price' '20'] 'values' *0[]]]]",
        ),
        ("FT.CONFIG GET TIMEOUT", "%1['TIMEOUT' '500']"),
    ]);
}

fn h_score() -> String {
    let mut h = books();
    let score = h.run("FT.SEARCH books lazy WITHSCORES NOCONTENT");
    let score = score.split('\'').nth(3).expect("a key and its score").to_owned();
    format!(
        "%5['attributes' *0[] 'warning' *0[] 'total_results' :1 'format' 'STRING' 'results' \
         *1[%4['id' 'book:2' 'score' ,{score} 'extra_attributes' %1['price' '20'] 'values' *0[]]]]"
    )
}

#[test]
fn replicas_have_the_same_indexes() {
    let mut pair = Replicated::new();
    for line in [
        "FT.CREATE i PREFIX 1 k: SCHEMA t TEXT n NUMERIC",
        "HSET k:1 t hello n 1",
        "HSET k:2 t world n 2",
        "FT.ALIASADD a i",
        "FT.SYNUPDATE i g hello hi",
        "FT.DICTADD d one two",
        "FT.ALTER i SCHEMA ADD m NUMERIC",
        "DEL k:2",
        "FT.SUGADD s hello 1",
        "FT.SUGADD s help 2 PAYLOAD p",
        "FT.SUGDEL s hello",
    ] {
        pair.run(line);
    }
    let replica = &mut pair.replica;
    replica.session.role = quiver_engine::session::Role::Normal;
    replica.expect(&[
        ("FT.SEARCH a hi NOCONTENT", "*2[:1 'k:1']"),
        ("FT.DICTDUMP d", "*2['one' 'two']"),
        ("FT.SUGGET s he WITHPAYLOADS", "*2['help' 'p']"),
    ]);
    replica.session.role = quiver_engine::session::Role::Primary;
    pair.run("FT.DROPINDEX i DD");
    assert_eq!(
        pair.last,
        [[b"DEL".to_vec(), b"k:1".to_vec()].to_vec(), [b"FT.DROPINDEX".to_vec(), b"i".to_vec()].to_vec()]
    );
}

#[test]
fn whoever_may_not_read_the_keys_may_not_search_them() {
    let mut h = books();
    h.run("ACL SETUSER u on nopass +@all ~book:1*");
    h.run("ACL SETUSER w on nopass +@all ~book:*");
    h.run("AUTH u x");
    assert!(h.run("FT.SEARCH books *").starts_with("-NOPERM"));
    h.run("AUTH w x");
    assert_eq!(h.run("FT.SEARCH books * LIMIT 0 0"), "*1[:3]");
}

#[test]
fn a_temporary_index_goes_with_its_documents() {
    let mut h = Harness::new();
    h.run("FT.CREATE i PREFIX 1 k: TEMPORARY 10 SCHEMA n NUMERIC");
    h.run("HSET k:1 n 1");
    h.engine.tend_search(h.now_ms + 9_000);
    assert_eq!(h.run("FT._LIST"), "*1['i']");
    h.engine.tend_search(h.now_ms + 11_000);
    h.expect(&[("FT._LIST", "*0[]"), ("EXISTS k:1", ":0")]);
}

#[test]
fn words_are_marked_and_corrected() {
    let mut h = books();
    h.expect(&[
        (
            "FT.SEARCH books fox RETURN 1 title HIGHLIGHT LIMIT 0 1",
            "*3[:2 'book:1' *2['title' 'The quick brown <b>fox</b>']]",
        ),
        ("FT.SPELLCHECK books quikc DISTANCE 2", "*1[*3['TERM' 'quikc' *1[*2['0.3333333333333333' 'quick']]]]"),
        ("FT.SUGGET nothing a", "*-1"),
    ]);
    assert!(h.run("FT.EXPLAIN books 'quick fox'").contains("quick"));
}

#[test]
fn only_documents_that_meet_the_filter_are_indexed() {
    let mut h = Harness::new();
    h.expect(&[
        ("FT.CREATE i PREFIX 1 p: FILTER '@age>16' SCHEMA age NUMERIC", "+OK"),
        ("HSET p:1 age 15", ":1"),
        ("HSET p:2 age 17", ":1"),
        ("FT.SEARCH i * NOCONTENT", "*2[:1 'p:2']"),
        ("HSET p:1 age 20", ":0"),
        ("HSET p:2 age 2", ":0"),
        ("FT.SEARCH i * NOCONTENT", "*2[:1 'p:1']"),
    ]);
}
