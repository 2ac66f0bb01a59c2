//! FT.*: what clients of older versions say, what INFO and FT.PROFILE tell, and queries made to blow up.

mod common;

use std::time::{Duration, Instant};

use common::{Harness, Replicated};

const CREATE: &str = "FT.CREATE i PREFIX 1 d: SCORE_FIELD rank SCHEMA t TEXT n NUMERIC SORTABLE a TAG";

#[test]
fn documents_are_written_read_and_deleted_through_their_index() {
    let mut pair = Replicated::new();
    for (line, reply) in [
        (CREATE, "+OK"),
        ("FT.ADD i d:1 1 FIELDS t hello n 1", "+OK"),
        ("FT.ADD i d:1 1 FIELDS t again", "-Document already exists"),
        ("FT.ADD i d:2 0.5 LANGUAGE german PAYLOAD p FIELDS t hallo", "+OK"),
        ("HGETALL d:2", "*8['t' 'hallo' 'rank' '0.5' '__language' 'german' '__payload' 'p']"),
        ("FT.SAFEADD i d:1 1 REPLACE PARTIAL FIELDS a x", "+OK"),
        ("FT.GET i d:1", "*6['t' 'hello' 'n' '1' 'a' 'x']"),
        ("FT.ADD i d:1 1 REPLACE IF '@n>1' FIELDS t never", "+NOADD"),
        ("FT.ADD i d:1 1 REPLACE IF '@n==1' FIELDS t world", "+OK"),
        ("FT.ADD i d:9 1 NOCREATE FIELDS t world", "-Document does not exist"),
        (
            "FT.MGET i d:1 d:9 d:2",
            "*3[*2['t' 'world'] $-1 *8['t' 'hallo' 'rank' '0.5' '__language' 'german' '__payload' 'p']]",
        ),
        ("FT.SEARCH i world NOCONTENT", "*2[:1 'd:1']"),
        ("FT.ADD i d:3 1.5 FIELDS t x", "-Document scores must be normalized between 0.0 ... 1.0"),
        ("FT.ADD i d:3 1 FIELDS t", "-Fields must be specified in FIELD VALUE pairs"),
        ("FT.ADD i d:3 1", "-ERR wrong number of arguments for 'FT.ADD' command"),
        ("FT.ADD i d:3 1 t x", "-Unknown argument `t`"),
        ("FT.DEL i d:1", ":1"),
        ("FT.DEL i d:1 DD", ":0"),
        ("EXISTS d:1", ":0"),
        ("SET other x", "+OK"),
        ("FT.DEL i other", ":0"),
        ("FT.GET i other", "$-1"),
        ("FT.SYNADD i a b", "-No longer supported, use FT.SYNUPDATE"),
        ("FT.DROP i KEEPDOCS", "+OK"),
        (CREATE, "+OK"),
        ("FT.DROP i", "+OK"),
        ("KEYS *", "*1['other']"),
    ] {
        assert_eq!(pair.run(line), reply, "{line}");
    }
}

#[test]
fn the_older_commands_need_the_rights_of_their_keys() {
    let mut h = Harness::new();
    h.run(CREATE);
    h.run("ACL SETUSER u on nopass ~x:* +@all");
    h.run("AUTH u x");
    for line in ["FT.ADD i d:1 1 FIELDS t x", "FT.DEL i d:1"] {
        assert_eq!(h.run(line), "-NOPERM No permissions to access a key", "{line}");
    }
    assert!(h.run("FT.GET i d:1").starts_with("-NOPERM"));
}

#[test]
fn info_tells_of_all_indexes_together() {
    let mut h = Harness::new();
    h.run(CREATE);
    h.run("FT.CREATE j SCHEMA v VECTOR FLAT 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2 t TEXT SORTABLE");
    h.run("HSET d:1 t hello n 1");
    h.run("HSET d:2 n none");
    h.run("FT.SEARCH i *");
    let text = h.run("INFO search");
    for line in [
        "# search_version",
        "search_number_of_indexes:2",
        "search_fields_text_Text:2",
        "search_fields_text_Sortable:1",
        "search_fields_vector_Flat:1",
        "search_total_queries_processed:1",
        "search_errors_indexing_failures:1",
        "search_gc_bytes_collected:0",
        "search_cursors_user_active:0",
    ] {
        assert!(text.contains(&format!("{line}\\r\\n")), "{line} is not in {text}");
    }
    assert!(
        !h.run("INFO").contains("search_number_of_indexes")
            && h.run("INFO everything").contains("search_number_of_indexes")
    );
}

#[test]
fn a_profile_shows_the_parts_of_a_query_and_what_follows_them() {
    let mut h = Harness::new();
    h.run(CREATE);
    for (n, word) in ["hello", "hell", "help", "helowa", "world"].iter().enumerate() {
        h.run(&format!("HSET d:{n} t {word} n {n} a x"));
    }
    let profile = h.run3("FT.PROFILE i SEARCH LIMITED QUERY '%hell% hel* @n:[0 2] -world' NOCONTENT");
    for part in [
        "'Type' 'INTERSECT'",
        "'Query type' 'FUZZY - hell'",
        "'Child iterators' 'The number of iterators in the union is 3'",
        "'Query type' 'PREFIX - hel'",
        "'Child iterators' 'The number of iterators in the union is 4'",
        "'Type' 'NUMERIC' 'Term' '0 - 2'",
        "'Type' 'NOT'",
        "'Result processors profile' *3[%3['Type' 'Index'",
        "'total_results' :3",
    ] {
        assert!(profile.contains(part), "{part} is not in {profile}");
    }
    let profile = h.run("FT.PROFILE i AGGREGATE QUERY @a:{x} LOAD 1 @t APPLY upper(@t) AS u");
    for part in
        ["'Shards'", "'Type' 'TAG' 'Term' 'x'", "'Estimated number of matches' :5", "'Loader'", "'Coordinator' *0[]"]
    {
        assert!(profile.contains(part), "{part} is not in {profile}");
    }
    let error = h.run("FT.PROFILE i SEARCH QUERY '(('");
    assert!(error.starts_with('-'), "{error}");
}

#[test]
fn json_is_expanded_in_resp3_alone() {
    let mut h = Harness::new();
    h.run("FT.CREATE i ON JSON PREFIX 1 d: SCHEMA $.n AS n NUMERIC");
    h.run(r#"JSON.SET d:1 $ '{"n":1,"l":[true,null,"x"],"o":{"p":1.5}}'"#);
    assert_eq!(h.run("FT.SEARCH i * FORMAT EXPAND"), "-EXPAND format is only supported with RESP3");
    let reply = h.run3("FT.SEARCH i * FORMAT EXPAND RETURN 2 n $.o");
    assert!(reply.contains("'format' 'EXPAND'"), "{reply}");
    assert!(reply.contains("%2['n' *1[:1] '$.o' *1[%1['p' ,1.5]]]"), "{reply}");
    let reply = h.run3("FT.SEARCH i * FORMAT EXPAND");
    assert!(reply.contains("'$' *1[%3['n' :1 'l' *3[#t _ 'x'] 'o' %1['p' ,1.5]]]"), "{reply}");
    assert_eq!(h.run("FT.SEARCH i * FORMAT OTHER"), "-FORMAT OTHER is not supported");
    assert_eq!(h.run("FT.SEARCH i * EXPANDER none"), "-No such expander none");
}

#[test]
fn vectors_as_large_as_single_precision_are_indexed() {
    let mut h = Harness::new();
    for (index, algorithm) in [("flat", "FLAT"), ("graph", "HNSW")] {
        h.run(&format!(
            "FT.CREATE {index} PREFIX 1 v: SCHEMA v VECTOR {algorithm} 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2"
        ));
    }
    // As bytes these are 2.6e20 and its neighbours.
    h.expect(&[("HSET v:a v aaaaaaaa", ":1"), ("HSET v:b v aaaabaaa", ":1"), ("HSET v:c v aaaaabaa", ":1")]);
    for index in ["flat", "graph"] {
        let line = format!("FT.SEARCH {index} '*=>[KNN 2 @v $q]' PARAMS 2 q aaaaaaaa RETURN 1 __v_score DIALECT 2");
        assert_eq!(
            h.run(&line),
            "*5[:2 'v:a' *2['__v_score' '0'] 'v:b' *2['__v_score' '3.09485009821e+26']]",
            "{index}"
        );
    }
}

/// A command that must end soon, with an answer or an error.
fn ends(h: &mut Harness, words: &[&[u8]], limit: Duration) -> String {
    let begun = Instant::now();
    let reply = common::show(&h.run_words(words));
    assert!(begun.elapsed() < limit, "{} took {:?}", words[0].escape_ascii(), begun.elapsed());
    reply
}

#[test]
fn queries_that_stand_for_very_much_end_soon() {
    let mut h = Harness::new();
    h.run("FT.CREATE i PREFIX 1 d: SCHEMA t TEXT WITHSUFFIXTRIE a TAG n NUMERIC");
    h.run("CONFIG SET search-max-prefix-expansions 1000000");
    for n in 0..2000_u32 {
        let word = format!("{n:b}").replace('0', "ab").replace('1', "ba").repeat(3);
        h.run(&format!("HSET d:{n} t {word} a {word} n {n}"));
    }
    let limit = Duration::from_secs(20);
    let stars = format!("w'{}'", "*a*b?".repeat(400));
    let nested = |open: &str, close: &str, depth: usize| format!("{}ab*{}", open.repeat(depth), close.repeat(depth));
    let wide = vec!["ab*"; 200].join("|");
    let tags = format!("@a:{{{}}}", vec!["*ab*"; 200].join("|"));
    let fuzzy = vec!["%%%abbaabba%%%"; 200].join(" | ");
    let ranges = vec!["@n:[0 inf]"; 4000].join(" ");
    let long = "ab".repeat(500_000);
    let queries = [
        stars.as_str(),
        &wide,
        &tags,
        &fuzzy,
        &ranges,
        &long,
        &nested("(", ")", 100),
        &nested("(", ")", 100_000),
        &nested("-(", ")", 100_000),
        &nested("~(", ")", 100_000),
        &nested("(a|(", "))", 20_000),
        &"(".repeat(1_000_000),
        &"\"".repeat(1_000_001),
        &"@t:".repeat(100_000),
        &"=>{$weight:2}".repeat(10_000),
        &"%".repeat(100_000),
        &"w'".repeat(100_000),
        &"a|".repeat(500_000),
    ];
    for query in queries {
        for dialect in [&b"1"[..], b"2"] {
            let words: [&[u8]; 8] =
                [b"FT.SEARCH", b"i", query.as_bytes(), b"NOCONTENT", b"LIMIT", b"0", b"1", b"DIALECT"];
            let words: Vec<&[u8]> = words.into_iter().chain([dialect]).collect();
            let reply = ends(&mut h, &words, limit);
            assert!(reply.starts_with(['*', '-']), "{reply}");
            ends(&mut h, &[b"FT.EXPLAIN", b"i", query.as_bytes()], limit);
        }
    }
}

#[test]
fn expressions_and_paths_made_to_blow_up_end_soon() {
    let mut h = Harness::new();
    h.run("FT.CREATE i PREFIX 1 d: SCHEMA t TEXT");
    h.run("HSET d:1 t x");
    let limit = Duration::from_secs(20);
    let doubled = (0..60).fold("'x'".to_owned(), |inner, _| {
        if inner.len() < 4000 { format!("format('%s%s',{inner},{inner})") } else { inner }
    });
    for expression in [
        "(".repeat(100_000) + "1" + &")".repeat(100_000),
        "!".repeat(100_000) + "1",
        "-".repeat(100_000) + "1",
        "1+".repeat(100_000) + "1",
        "2^".repeat(10_000) + "2",
        "lower(".repeat(10_000) + "@t" + &")".repeat(10_000),
        doubled,
    ] {
        let words: [&[u8]; 7] = [b"FT.AGGREGATE", b"i", b"*", b"APPLY", expression.as_bytes(), b"AS", b"x"];
        let reply = ends(&mut h, &words, limit);
        assert!(reply.starts_with(['*', '-']), "{reply}");
        let words: [&[u8]; 9] =
            [b"FT.CREATE", b"f", b"PREFIX", b"1", b"d:", b"FILTER", expression.as_bytes(), b"SCHEMA", b"t"];
        ends(&mut h, &words.into_iter().chain([&b"TEXT"[..]]).collect::<Vec<_>>(), limit);
        h.run("FT.DROPINDEX f");
    }
    let deep = "[".repeat(100) + "[1,2,3]" + &"]".repeat(100);
    ends(&mut h, &[b"JSON.SET", b"j", b"$", deep.as_bytes()], limit);
    for path in [
        "$".to_owned() + &"..*".repeat(50),
        "$".to_owned() + &"..[*]".repeat(900),
        "$".to_owned() + &"[?(@".repeat(10_000),
        "$[?(@ =~ '(a*)*b')]".to_owned(),
        "$[?(".to_owned() + &"!".repeat(50_000) + "(@))]",
        "$..[?(@..[?(@..*)])]".to_owned(),
        "$['".to_owned() + &"a','".repeat(10_000),
    ] {
        let reply = ends(&mut h, &[b"JSON.GET", b"j", path.as_bytes()], limit);
        assert!(reply.starts_with(['\'', '-', '$']), "{reply}");
    }
}

#[test]
fn a_change_by_an_older_path_concerns_all_it_leads_to_and_tells_the_last() {
    let mut pair = Replicated::new();
    pair.run(r#"JSON.SET j $ '{"a":[1],"b":{"a":[1,2],"n":3},"n":1}' FPHA fp32"#);
    for (line, reply) in [
        ("JSON.ARRAPPEND j ..a 3", ":3"),
        ("JSON.NUMINCRBY j ..n 2", "'5'"),
        ("JSON.GET j", r#"'{"a":[1,3],"b":{"a":[1,2,3],"n":5},"n":3}'"#),
        ("JSON.SET j $ 1 FPHA FP8", "-ERR syntax error"),
    ] {
        assert_eq!(pair.run(line), reply, "{line}");
    }
}
