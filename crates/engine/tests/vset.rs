//! Vector set commands: replies and errors as Redis 8.0.2 gives them, and where this server is stricter.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod common;

use common::{Harness, show};

fn three() -> Harness {
    let mut h = Harness::new();
    h.expect(&[
        ("VADD a VALUES 3 1 0 0 e1", ":1"),
        ("VADD a VALUES 3 0 1 0 e2", ":1"),
        ("VADD a VALUES 3 0 1 1 e3", ":1"),
        ("SET s 1", "+OK"),
    ]);
    h
}

fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The numbers in a flat RESP2 array of doubles.
fn numbers(reply: &str) -> Vec<f32> {
    let inner = reply.split_once('[').unwrap().1.trim_end_matches(']');
    inner.split(' ').map(|word| word.trim_matches(['\'', ',']).parse().unwrap()).collect()
}

#[test]
fn elements_are_added_counted_and_described() {
    let mut h = three();
    h.expect(&[
        ("VADD a VALUES 3 1 0 0 e1", ":0"),
        ("VCARD a", ":3"),
        ("VDIM a", ":3"),
        ("VISMEMBER a e1", ":1"),
        ("VISMEMBER a e9", ":0"),
        ("VCARD none", ":0"),
        ("VDIM none", "-ERR key does not exist"),
        ("VISMEMBER none e", ":0"),
        ("VINFO none", "*-1"),
    ]);
    h.expect3(&[
        ("VADD a VALUES 3 1 0 0 e1", "#f"),
        ("VADD a VALUES 3 1 0 0 e4", "#t"),
        ("VISMEMBER a e1", "#t"),
        ("VINFO none", "_"),
        ("VREM a e4", "#t"),
        ("VREM a e4", "#f"),
    ]);
    let info = h.run3("VINFO a");
    let start = "%9[+quant-type +int8 +hnsw-m :16 +vector-dim :3 +projection-input-dim :0 +size :3 +max-level ";
    assert!(info.starts_with(start), "{info}");
    assert!(h.run("VINFO a").starts_with("*18["));
}

#[test]
fn vadd_refuses_what_redis_refuses_in_the_same_words() {
    let invalid = "-ERR invalid vector specification";
    let arity = "-ERR wrong number of arguments for 'VADD' command";
    let option = "-ERR invalid option after element";
    three().expect(&[
        ("VADD k VALUES 3", arity),
        ("VADD k VALUES 3 1", invalid),
        ("VADD k VALUES 3 1 2", invalid),
        ("VADD k VALUES 3 1 2 3", arity),
        ("VADD k VALUES 0 1 e", invalid),
        ("VADD k VALUES -1 1 e", invalid),
        ("VADD k VALUES x 1 e", invalid),
        ("VADD k VALUES 2 1 y e", invalid),
        ("VADD k VALUES 2 nan 1 e", invalid),
        ("VADD k VALUES 2 '1 ' 1 e", invalid),
        ("VADD k VALUES 99999999999 1 2 e", invalid),
        ("VADD k VALUES 9223372036854775807 1 2 e", invalid),
        ("VADD k FP32 abc e", invalid),
        ("VADD k FP32 '' e", invalid),
        ("VADD k XXX abcd e", invalid),
        ("VADD k REDUCE 0 VALUES 2 1 2 e", invalid),
        ("VADD k REDUCE x VALUES 2 1 2 e", invalid),
        ("VADD k VALUES 2 1 2 e BOGUS", option),
        ("VADD k VALUES 2 1 2 e M", option),
        ("VADD k VALUES 2 1 2 e EF", option),
        ("VADD k VALUES 2 1 2 e SETATTR", option),
        ("VADD k VALUES 2 1 2 e REDUCE 2", option),
        ("VADD k VALUES 2 1 2 e M 3", "-ERR invalid M"),
        ("VADD k VALUES 2 1 2 e M 4097", "-ERR invalid M"),
        ("VADD k VALUES 2 1 2 e EF 0", "-ERR invalid EF"),
        ("VADD k VALUES 2 1 2 e EF 1000001", "-ERR invalid EF"),
        ("VADD a VALUES 2 1 2 e", "-ERR Vector dimension mismatch - got 2 but set has 3"),
        ("VADD a VALUES 3 1 2 3 e M 5", "-ERR asked M value mismatch with existing vector set"),
        ("VADD a VALUES 2 1 2 e NOQUANT", "-ERR asked quantization mismatch with existing vector set"),
        ("VADD a VALUES 3 1 2 3 e BIN M 5", "-ERR asked quantization mismatch with existing vector set"),
        ("VADD a REDUCE 2 VALUES 3 1 2 3 e", "-ERR cannot add projection to existing set without projection"),
        ("VADD s VALUES 3 1 2 3 e", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("VADD s VALUES 0 1 1 1 e", invalid),
        ("VCARD k", ":0"),
        ("VCARD a", ":3"),
    ]);
}

#[test]
fn components_must_be_finite_and_vectors_no_longer_than_the_index_takes() {
    let mut h = three();
    let refused = "-ERR a component of the vector is not a finite 32-bit float";
    h.expect(&[
        ("VADD k VALUES 2 inf 1 e", refused),
        ("VADD k VALUES 2 1e39 1 e", refused),
        ("VSIM a VALUES 3 1 -inf 1", refused),
        ("VADD k VALUES 2 3e38 3e38 e", "-ERR vector is not finite, or too large for its norm to be"),
        ("VADD k REDUCE 99999999999 VALUES 2 1 1 e", "-ERR the projection matrix would be too large"),
        ("VADD k REDUCE 100000 VALUES 2 1 1 e", "-ERR 100000 dimensions, expected 1 to 32768"),
    ]);
    assert_eq!(
        show(&h.run_words(&[b"VADD".to_vec(), b"k".to_vec(), b"FP32".to_vec(), blob(&[f32::NAN]), b"e".to_vec()])),
        refused
    );
    let long = h.run_words(&[b"VADD".to_vec(), b"k".to_vec(), b"FP32".to_vec(), blob(&[1.0; 40_000]), b"e".to_vec()]);
    assert_eq!(show(&long), "-ERR 40000 dimensions, expected 1 to 32768");
    assert_eq!(h.run("VCARD k"), ":0");
}

#[test]
fn vectors_come_back_in_every_quantisation() {
    let mut h = Harness::new();
    h.run("VADD f VALUES 3 0 3 4 e NOQUANT CAS EF 10 M 10 SETATTR {}");
    h.run("VADD q VALUES 3 0 1 1 e");
    h.run("VADD b VALUES 3 0 3 -4 e BIN");
    h.run("VADD b VALUES 3 0 0 0 z BIN");
    h.expect(&[
        ("VEMB f e", "*3['0' '3' '4']"),
        ("VEMB f e RAW", "*3[+f32 '\\x00\\x00\\x00\\x00\\x9a\\x99\\x19?\\xcd\\xccL?' '5']"),
        ("VEMB q e RAW raw", "*4[+int8 '\\x00\\x7f\\x7f' '1.4142135381698608' '0.7071067690849304']"),
        ("VEMB b e", "*3['-1' '1' '-1']"),
        ("VEMB b e RAW", "*3[+bin '\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00' '5']"),
        ("VEMB b z RAW", "*3[+bin '\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00' '1']"),
        ("VEMB b none", "$-1"),
        ("VEMB none e", "$-1"),
        ("VEMB none e X", "-ERR invalid option"),
        ("VEMB f e RAW X", "-ERR invalid option"),
    ]);
    h.expect3(&[("VEMB b e", "*3[,-1 ,1 ,-1]"), ("VEMB f none", "_")]);
    assert!(numbers(&h.run("VEMB q e")).iter().zip([0.0, 1.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn the_last_quantisation_named_counts() {
    let mut h = Harness::new();
    for (options, kind) in [("Q8 BIN", "bin"), ("BIN NOQUANT", "f32"), ("NOQUANT Q8", "int8"), ("", "int8")] {
        h.run(&format!("VADD {kind}{} VALUES 2 2 1 e {options}", options.len()));
        let info = h.run(&format!("VINFO {kind}{}", options.len()));
        assert!(info.contains(&format!("+quant-type +{kind} ")), "{options}: {info}");
    }
}

#[test]
fn similarity_is_one_for_the_same_direction_and_zero_for_the_opposite() {
    let mut h = Harness::new();
    for (key, options) in [("f", "NOQUANT"), ("q", "Q8"), ("b", "BIN")] {
        h.run(&format!("VADD {key} VALUES 3 1 1 1 same {options}"));
        h.run(&format!("VADD {key} VALUES 3 -2 -2 -2 opposite {options}"));
        let reply = h.run3(&format!("VSIM {key} VALUES 3 3 3 3 WITHSCORES"));
        let (same, opposite) = reply.strip_prefix("%2['same' ,").unwrap().split_once(" 'opposite' ,").unwrap();
        let score = |text: &str| text.trim_end_matches(']').parse::<f64>().unwrap();
        assert!((1.0 - score(same)).abs() < 1e-6 && score(opposite).abs() < 1e-6, "{reply}");
    }
    h.expect(&[
        ("VADD z VALUES 3 0 0 0 zero", ":1"),
        ("VADD z VALUES 3 1 0 0 one", ":1"),
        ("VSIM z ELE one WITHSCORES", "*4['one' '1' 'zero' '0.5']"),
        ("VSIM z VALUES 3 0 0 0 WITHSCORES", "*4['zero' '0.5' 'one' '0.5']"),
    ]);
}

#[test]
fn one_bit_per_component_measures_the_share_of_equal_signs() {
    let mut h = Harness::new();
    h.run("VADD b VALUES 4 1 1 1 1 a BIN");
    h.run("VADD b VALUES 4 9 1 -1 1 b BIN");
    h.run("VADD b VALUES 4 -1 -1 0 5 c BIN");
    assert_eq!(h.run("VSIM b ELE a WITHSCORES"), "*6['a' '1' 'b' '0.75' 'c' '0.25']");
}

#[test]
fn vsim_replies_by_protocol_and_columns() {
    let mut h = three();
    h.run("VSETATTR a e2 {\"x\":1}");
    h.expect(&[
        ("VSIM a VALUES 3 0 1 0 COUNT 1", "*1['e2']"),
        ("VSIM a ELE e2 COUNT 1 WITHSCORES", "*2['e2' '1']"),
        ("VSIM a ELE e2 COUNT 1 WITHATTRIBS", "*2['e2' '{\"x\":1}']"),
        ("VSIM a ELE e1 COUNT 1 WITHATTRIBS", "*2['e1' $-1]"),
        ("VSIM a ELE e2 COUNT 1 WITHATTRIBS WITHSCORES", "*3['e2' '1' '{\"x\":1}']"),
        ("VSIM a ELE e2 COUNT 9 TRUTH", "*3['e2' 'e3' 'e1']"),
        ("VSIM none ELE x WITHSCORES", "*0[]"),
    ]);
    h.expect3(&[
        ("VSIM a VALUES 3 0 1 0 COUNT 1", "*1['e2']"),
        ("VSIM a ELE e2 COUNT 1 WITHSCORES", "%1['e2' ,1]"),
        ("VSIM a ELE e1 COUNT 1 WITHATTRIBS", "%1['e1' _]"),
        ("VSIM a ELE e2 COUNT 1 WITHATTRIBS WITHSCORES", "%1['e2' *2[,1 '{\"x\":1}']]"),
        ("VSIM none ELE x WITHSCORES", "*0[]"),
    ]);
}

#[test]
fn vsim_checks_key_query_and_options_in_this_order() {
    let syntax = "-ERR syntax error in VSIM command";
    let invalid = "-ERR invalid vector specification";
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    three().expect(&[
        ("VSIM none XXX y", "*0[]"),
        ("VSIM none VALUES x 1 2", "*0[]"),
        ("VSIM none ELE e COUNT 0", "*0[]"),
        ("VSIM s VALUES 0", wrong),
        ("VSIM s ELE e BOGUS", wrong),
        ("VSIM a ELE", "-ERR wrong number of arguments for 'VSIM' command"),
        ("VSIM a ELE none COUNT 0", "-ERR element not found in set"),
        ("VSIM a FP32 abc", invalid),
        ("VSIM a VALUES 3 1 2", invalid),
        ("VSIM a VALUES 99999999999 1 2 3", invalid),
        ("VSIM a VALUES 2 1 2 BOGUS", "-ERR Vector dimension mismatch - got 2 but set has 3"),
        ("VSIM a VALUES 3 1 2 3 4", syntax),
        ("VSIM a ELE e1 BOGUS", syntax),
        ("VSIM a ELE e1 COUNT", syntax),
        ("VSIM a ELE e1 EF", syntax),
        ("VSIM a ELE e1 COUNT 0", "-ERR invalid COUNT"),
        ("VSIM a ELE e1 COUNT x", "-ERR invalid COUNT"),
        ("VSIM a ELE e1 EF -1", "-ERR invalid EF"),
        ("VSIM a ELE e1 EPSILON 0", "-ERR invalid EPSILON"),
        ("VSIM a ELE e1 EPSILON nan", "-ERR invalid EPSILON"),
        ("VSIM a ELE e1 EPSILON 1e999", "-ERR invalid EPSILON"),
        ("VSIM a ELE e1 FILTER", syntax),
        ("VSIM a ELE e1 COUNT 1 COUNT 2 NoThread tRuth", "*2['e1' 'e2']"),
    ]);
}

#[test]
fn counts_and_efforts_of_any_size_are_clipped_to_the_set() {
    let mut h = three();
    for line in [
        "VSIM a ELE e1 COUNT 9223372036854775807",
        "VSIM a ELE e1 EF 9223372036854775807",
        "VSIM a ELE e1 COUNT 9223372036854775807 TRUTH WITHSCORES EF 1",
        "VRANDMEMBER a 9223372036854775807",
    ] {
        assert!(h.run(line).contains("e3"), "{line}");
    }
    h.expect(&[
        ("VRANDMEMBER a -9223372036854775808", "-ERR value is out of range"),
        ("VRANDMEMBER a -1048577", "-ERR value is out of range"),
    ]);
}

#[test]
fn epsilon_keeps_what_is_nearer() {
    three().expect(&[
        ("VSIM a ELE e1 EPSILON 0.1", "*1['e1']"),
        ("VSIM a ELE e1 EPSILON 0.5", "*1['e1']"),
        ("VSIM a ELE e1 EPSILON 2 COUNT 2", "*2['e1' 'e2']"),
    ]);
}

#[test]
fn attributes_are_any_text_and_an_empty_one_clears() {
    let mut h = three();
    h.expect(&[
        ("VGETATTR a e1", "$-1"),
        ("VSETATTR a e1 notjson", ":1"),
        ("VGETATTR a e1", "'notjson'"),
        ("VADD a VALUES 3 1 1 0 e1", ":0"),
        ("VGETATTR a e1", "'notjson'"),
        ("VADD a VALUES 3 1 1 0 e1 SETATTR {}", ":0"),
        ("VGETATTR a e1", "'{}'"),
        ("VSETATTR a e1 ''", ":1"),
        ("VGETATTR a e1", "$-1"),
        ("VSETATTR a none x", ":0"),
        ("VSETATTR none e x", ":0"),
        ("VGETATTR a none", "$-1"),
        ("VGETATTR none e", "$-1"),
        ("VSETATTR s e x", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
    h.run("VSETATTR a e2 x");
    assert!(h.run("VINFO a").contains("+attributes-count :1"));
    h.run("VREM a e2");
    assert!(h.run("VINFO a").contains("+attributes-count :0"));
    h.expect3(&[("VSETATTR a e1 x", "#t"), ("VSETATTR a none x", "#f"), ("VGETATTR a none", "_")]);
}

#[test]
fn links_are_listed_from_the_top_level_down() {
    let mut h = three();
    let levels = h.run("VLINKS a e1");
    assert!(levels.ends_with("*2['e2' 'e3']]") || levels.ends_with("*2['e3' 'e2']]"), "{levels}");
    let scores = h.run3("VLINKS a e1 withscores");
    assert!(scores.contains("%2[") && scores.contains("'e2' ,0.5"), "{scores}");
    let arity = "-ERR wrong number of arguments for 'VLINKS' command";
    h.expect(&[
        ("VLINKS a e1 X", arity),
        ("VLINKS s e1 WITHSCORES X", arity),
        ("VLINKS a none", "$-1"),
        ("VLINKS none e WITHSCORES", "$-1"),
        ("VLINKS s e", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn random_members_are_distinct_for_positive_counts_only() {
    let mut h = Harness::new();
    for i in 0..100 {
        h.run(&format!("VADD a VALUES 2 {i} 1 e{i:02}"));
    }
    for count in [1, 10, 30, 100, 200] {
        let reply = h.run(&format!("VRANDMEMBER a {count}"));
        let mut names: Vec<&str> = reply.split_once('[').unwrap().1.trim_end_matches(']').split(' ').collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count.min(100));
    }
    assert!(h.run("VRANDMEMBER a -300").starts_with("*300["));
    assert!(h.run("VRANDMEMBER a").starts_with("'e"));
    h.expect(&[
        ("VRANDMEMBER a 0", "*0[]"),
        ("VRANDMEMBER none", "$-1"),
        ("VRANDMEMBER none -3", "*0[]"),
        ("VRANDMEMBER none x", "-ERR COUNT value is not an integer"),
        ("VRANDMEMBER a 1 2", "-ERR wrong number of arguments for 'VRANDMEMBER' command"),
    ]);
}

#[test]
fn names_are_ranged_in_byte_order() {
    let mut h = Harness::new();
    for name in ["b", "a", "d", "c"] {
        h.run(&format!("VADD k VALUES 1 1 {name}"));
    }
    h.expect(&[
        ("VRANGE k - +", "*4['a' 'b' 'c' 'd']"),
        ("VRANGE k [b (d", "*2['b' 'c']"),
        ("VRANGE k (b +", "*2['c' 'd']"),
        ("VRANGE k - + 2", "*2['a' 'b']"),
        ("VRANGE k (b + 0", "*0[]"),
        ("VRANGE k - [c -1", "*3['a' 'b' 'c']"),
        ("VRANGE k + -", "-ERR '-' can only be used as first argument, '+' only as second"),
        ("VRANGE k - -", "-ERR '-' can only be used as first argument, '+' only as second"),
        ("VRANGE k [d (a", "*0[]"),
        ("VRANGE none - +", "*0[]"),
        ("VRANGE k b +", "-ERR start and end must be -, + or begin with [ or ("),
        ("VRANGE k - + x", "-ERR COUNT value is not an integer"),
    ]);
}

#[test]
fn a_set_without_elements_is_no_key() {
    let mut h = three();
    h.expect(&[
        ("VREM none e", ":0"),
        ("VREM a none", ":0"),
        ("VREM a e1", ":1"),
        ("VREM a e2", ":1"),
        ("VSIM a ELE e3", "*1['e3']"),
        ("VREM a e3", ":1"),
        ("VINFO a", "*-1"),
        ("VADD a VALUES 5 1 2 3 4 5 e", ":1"),
        ("VDIM a", ":5"),
    ]);
}

#[test]
fn a_projection_belongs_to_the_set_and_takes_its_input_dimensions_only() {
    let mut h = Harness::new();
    h.run("VADD r REDUCE 2 VALUES 3 1 2 3 e");
    assert!(h.run("VINFO r").contains("+vector-dim :2 +projection-input-dim :3"));
    h.expect(&[
        ("VADD r REDUCE 2 VALUES 3 -1 2 0 f", ":1"),
        ("VADD r VALUES 3 1 2 3 g", "-ERR Vector dimension mismatch - got 3 but set has 2"),
        ("VADD r VALUES 2 1 2 g", "-ERR Vector dimension mismatch - got 2 but set has 2"),
        ("VADD r REDUCE 3 VALUES 3 1 2 3 g", "-ERR Vector dimension mismatch - got 3 but set has 2"),
        (
            "VADD r REDUCE 2 VALUES 4 1 2 3 4 g",
            "-ERR Input dimension mismatch for projection - got 4 but projection expects 3",
        ),
        ("VSIM r VALUES 4 1 2 3 4", "-ERR Input dimension mismatch for projection - got 4 but projection expects 3"),
        ("VSIM r VALUES 3 2 4 6 COUNT 1", "*1['e']"),
    ]);
    assert_eq!(numbers(&h.run("VEMB r e")).len(), 2);
    h.run("VADD square REDUCE 2 VALUES 2 3 1 e NOQUANT");
    let reply = h.run("VSIM square VALUES 2 3 1 WITHSCORES");
    assert!(reply.starts_with("*2['e' '1'") || reply.starts_with("*2['e' '0.99999"), "{reply}");
}

#[test]
fn names_may_be_any_bytes() {
    let mut h = Harness::new();
    h.run("VADD k VALUES 2 1 2 ''");
    h.run_words(&[b"VADD".as_slice(), b"k", b"VALUES", b"2", b"2", b"1", b"\x00\xff\r\n"]);
    h.expect(&[("VISMEMBER k ''", ":1"), ("VSIM k VALUES 2 2 1 COUNT 1", "*1['\\x00\\xff\\r\\n']")]);
}

#[test]
fn a_transaction_searches_what_it_wrote() {
    let mut h = three();
    h.expect(&[
        ("MULTI", "+OK"),
        ("VADD a VALUES 3 5 5 5 new", "+QUEUED"),
        ("VSIM a VALUES 3 1 1 1 COUNT 1", "+QUEUED"),
        ("VREM a new", "+QUEUED"),
        ("EXEC", "*3[:1 *1['new'] :1]"),
    ]);
}

#[test]
fn commands_find_the_neighbours_among_clusters() {
    for options in ["NOQUANT", "Q8", "BIN"] {
        let mut h = Harness::new();
        let mut rng = quiver_engine::rng::Rng::new(7);
        let mut random = |spread: f32, center: &[f32]| -> Vec<f32> {
            center.iter().map(|x| x + spread * (rng.below(2001) as f32 / 1000.0 - 1.0)).collect()
        };
        let centers: Vec<Vec<f32>> = (0..20).map(|_| random(1.0, &[0.0; 32])).collect();
        for i in 0..600 {
            let vector = blob(&random(0.3, &centers[i % 20]));
            let name = format!("c{}:{i}", i % 20).into_bytes();
            let words = [b"VADD".to_vec(), b"k".to_vec(), b"FP32".to_vec(), vector, name, options.into()];
            assert_eq!(show(&h.run_words(&words)), ":1");
        }
        let (mut in_cluster, mut agree) = (0, 0);
        for (i, center) in centers.iter().enumerate() {
            let query = [b"VSIM".to_vec(), b"k".to_vec(), b"FP32".to_vec(), blob(center)];
            let found = show(&h.run_words(&query));
            let truth = show(&h.run_words(&[&query[..], &[b"TRUTH".to_vec()]].concat()));
            in_cluster += found.matches(&format!("'c{i}:")).count();
            agree +=
                truth.split('\'').filter(|name| name.starts_with('c') && found.contains(&format!("'{name}'"))).count();
        }
        assert!(in_cluster >= if options == "BIN" { 180 } else { 195 }, "{options}: {in_cluster} of 200");
        assert!(agree >= 190, "{options}: {agree} of 200");
    }
}
