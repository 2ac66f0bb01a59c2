//! Views of features: what is stored, what is newer, what is answered, and who may.

mod common;

use common::{Harness, START_MS, show};

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

fn rides() -> Harness {
    let mut harness = Harness::new();
    harness.expect(&[(
        "FEAT.VIEW CREATE rides PREFIX driver: FEATURES rating f32 trips i64 active bool home vector(2) car string",
        "+OK",
    )]);
    harness
}

fn blob(components: &[f32]) -> Vec<u8> {
    components.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// The bulk strings of a RESP2 reply, nested or not.
fn bulks(reply: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut rest) = (Vec::new(), reply);
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (head, behind) = (&rest[..end], &rest[end + 2..]);
        rest = behind;
        if head[0] == b'$' && head[1] != b'-' {
            let len: usize = std::str::from_utf8(&head[1..]).expect("a length").parse().expect("a length");
            found.push(rest[..len].to_vec());
            rest = &rest[len + 2..];
        }
    }
    found
}

#[test]
fn views_are_fields_of_one_hash_and_described_by_their_words() {
    let mut harness = rides();
    harness.expect(&[
        ("FEAT.VIEW CREATE fares PREFIX driver: TTL 60 MAXAGE 30 FEATURES fare f64 TTL 5 paid TIMESTAMP", "+OK"),
        ("HGET feat:views fares", "'PREFIX driver: TTL 60 MAXAGE 30 FEATURES fare f64 TTL 5 paid timestamp'"),
        ("FEAT.VIEW LIST", "*2['fares' 'rides']"),
        (
            "FEAT.VIEW INFO fares",
            "*12['name' 'fares' 'prefix' 'driver:' 'times-field' '_ts:fares' 'ttl' :60 'max-age' :30 'features' \
             *2[*6['name' 'fare' 'type' 'f64' 'ttl' :5] *6['name' 'paid' 'type' 'timestamp' 'ttl' :60]]]",
        ),
        ("FEAT.VIEW CREATE fares PREFIX d: FEATURES a i64", "-ERR view 'fares' already exists"),
        ("FEAT.VIEW CREATE fares REPLACE PREFIX d: FEATURES a i64", "+OK"),
        ("HGET feat:views fares", "'PREFIX d: FEATURES a i64'"),
        ("FEAT.VIEW DROP fares", ":1"),
        ("FEAT.VIEW DROP fares", ":0"),
        ("FEAT.VIEW DROP rides", ":1"),
        ("EXISTS feat:views", ":0"),
        ("FEAT.VIEW LIST", "*0[]"),
        ("FEAT.VIEW INFO rides", "-ERR no such view: 'rides'"),
    ]);
}

#[test]
fn words_that_make_no_view_are_refused() {
    let mut harness = Harness::new();
    let none = "-ERR FEATURES and at least one feature with its type are needed";
    let types = "must be one of f64, f32, i64, bool, timestamp, string, vector(dim), sum(window,tile), count(window,tile), \
                 avg(window,tile)";
    harness.expect(&[
        ("FEAT.VIEW CREATE v PREFIX p:", "-ERR wrong number of arguments for 'feat.view|create' command"),
        (
            "FEAT.VIEW CREATE v KEYS p: FEATURES a i64",
            "-ERR PREFIX and the prefix of the entities' keys must follow the name",
        ),
        ("FEAT.VIEW CREATE v PREFIX p: TTL 0 FEATURES a i64", "-ERR TTL takes a positive number of seconds"),
        ("FEAT.VIEW CREATE v PREFIX p: MAXAGE x FEATURES a i64", "-ERR MAXAGE takes a positive number of seconds"),
        ("FEAT.VIEW CREATE v PREFIX p: TTL 99999999999 FEATURES a i64", "-ERR TTL takes a positive number of seconds"),
        ("FEAT.VIEW CREATE v PREFIX p: TTL 1 TTL 2 FEATURES a i64", "-ERR syntax error"),
        ("FEAT.VIEW CREATE v PREFIX p: TTL 1 MAXAGE 2 FEATURES", none),
        ("FEAT.VIEW CREATE v PREFIX p: TTL 1 MAXAGE 2", none),
        ("FEAT.VIEW CREATE v PREFIX p: FEATURES a i64 a f64", "-ERR a feature is named twice"),
        ("FEAT.VIEW CREATE v PREFIX p: FEATURES _ts:v i64", "-ERR '_ts:v' cannot be the name of a feature"),
        ("FEAT.VIEW CREATE v PREFIX p: FEATURES 'a b' i64", "-ERR 'a b' cannot be the name of a feature"),
        ("FEAT.VIEW CREATE v PREFIX p: FEATURES a=b i64", "-ERR 'a=b' cannot be the name of a feature"),
        ("FEAT.VIEW CREATE '' PREFIX p: FEATURES a i64", "-ERR '' cannot be the name of a view"),
        ("SET feat:views 1", "+OK"),
        ("FEAT.VIEW CREATE v PREFIX p: FEATURES a i64", WRONG_TYPE),
        ("FEAT.VIEW LIST", WRONG_TYPE),
    ]);
    for kind in ["int", "vector", "vector()", "vector(0)", "vector(40000)", "vector(99999999999999999999)", ""] {
        let line = format!("FEAT.VIEW CREATE v PREFIX p: FEATURES a '{kind}'");
        assert_eq!(harness.run(&line), format!("-ERR the type of feature 'a' {types}"), "{line}");
    }
}

#[test]
fn features_are_plain_fields_with_one_time_beside_them() {
    let mut harness = rides();
    harness.expect(&[
        ("FEAT.PUT rides 7 AT 1000 rating 4.5 trips 12 active true", "*3[:1 :1 :1]"),
        ("HGETALL driver:7", "*8['rating' '4.5' 'trips' '12' 'active' '1' '_ts:rides' '1000']"),
        ("FEAT.PUT rides 7 AT 2000 trips 13", "*1[:1]"),
        ("HGET driver:7 _ts:rides", "'1000 trips=2000'"),
        ("HSET driver:7 unrelated x", ":1"),
        (
            "FEAT.GET ENTITIES 2 7 8 VIEW rides FEATURES 3 trips rating car WITHTIMES",
            "*2['rides' *6['trips' *3[*2['13' $-1] 'P-' *2[:2000 $-1]] 'rating' *3[*2['4.5' $-1] 'P-' *2[:1000 $-1]] \
             'car' *3[*2[$-1 $-1] '--' *2[$-1 $-1]]]]",
        ),
    ]);
}

#[test]
fn late_values_never_overwrite_newer_ones_feature_by_feature() {
    let mut harness = rides();
    harness.expect(&[
        ("FEAT.PUT rides 7 AT 2000 trips 13", "*1[:1]"),
        ("FEAT.PUT rides 7 AT 1000 trips 12 rating 4", "*2[:0 :1]"),
        ("HGET driver:7 trips", "'13'"),
        ("HGET driver:7 rating", "'4'"),
        // The same time is no later: a write may be repeated.
        ("FEAT.PUT rides 7 AT 2000 trips 14", "*1[:1]"),
        ("HGET driver:7 trips", "'14'"),
        ("FEAT.PUT rides 7 AT 1999 trips 99", "*1[:0]"),
        ("FEAT.PUT rides 7 AT -5 car x", "*1[:1]"),
        ("FEAT.PUT rides 7 AT * trips 15", "*1[:1]"),
        (
            "FEAT.GET ENTITIES 1 7 VIEW rides FEATURES 1 trips WITHTIMES",
            "*2['rides' *2['trips' *3[*1['15'] 'P' *1[:1700000000000]]]]",
        ),
        // What was written without a time takes any.
        ("HSET driver:9 trips 1", ":1"),
        ("FEAT.PUT rides 9 AT 1 trips 2", "*1[:1]"),
    ]);
}

#[test]
fn null_is_known_to_be_nothing() {
    let mut harness = rides();
    harness.expect(&[
        ("FEAT.PUT rides 7 AT 1000 trips 12 rating 4", "*2[:1 :1]"),
        ("FEAT.PUT rides 7 AT 2000 NULL '' trips '' rating 5", "*2[:1 :1]"),
        ("HGETALL driver:7", "*4['rating' '5' '_ts:rides' '2000 trips~2000']"),
        (
            "FEAT.GET ENTITIES 1 7 VIEW rides FEATURES 2 trips rating",
            "*2['rides' *4['trips' *2[*1[$-1] 'N'] 'rating' *2[*1['5'] 'P']]]",
        ),
        ("FEAT.PUT rides 7 AT 1500 trips 9", "*1[:0]"),
        ("FEAT.PUT rides 7 AT 2500 trips 9", "*1[:1]"),
        ("HGET driver:7 _ts:rides", "'2500 rating=2000'"),
        ("FEAT.PUT rides 8 AT 1 NULL nil car nil", "*1[:1]"),
        ("FEAT.GET ENTITIES 1 8 VIEW rides FEATURES 1 car", "*2['rides' *2['car' *2[*1[$-1] 'N']]]"),
        ("FEAT.PUT rides 8 AT 1 NULL nil", "-ERR wrong number of arguments for 'feat.put' command"),
        ("FEAT.PUT rides 8 AT 1 NULL nil car", "-ERR wrong number of arguments for 'feat.put' command"),
    ]);
}

#[test]
fn values_must_be_of_their_types_and_nothing_is_stored_when_one_is_not() {
    let mut harness = rides();
    for (pairs, feature, kind) in [
        ("trips 1.5", "trips", "i64"),
        ("trips 99999999999999999999", "trips", "i64"),
        ("rating x", "rating", "f32"),
        ("rating nan", "rating", "f32"),
        ("rating 1e39", "rating", "f32"),
        ("active 2", "active", "bool"),
        ("active yes", "active", "bool"),
        ("home abcd", "home", "vector(2)"),
    ] {
        let line = format!("FEAT.PUT rides 7 AT 1 car ok {pairs}");
        assert_eq!(harness.run(&line), format!("-ERR the value of feature '{feature}' is no {kind}"), "{line}");
    }
    let mut words = common::split("FEAT.PUT rides 7 AT 1 car ok home");
    words.push(blob(&[1.0, f32::NAN]));
    assert_eq!(show(&harness.run_words(&words)), "-ERR the value of feature 'home' is no vector(2)");
    harness.expect(&[
        ("FEAT.PUT rides 7 AT 1 speed 1", "-ERR view 'rides' has no feature 'speed'"),
        ("FEAT.PUT rides 7 AT 1 _ts:rides 1", "-ERR view 'rides' has no feature '_ts:rides'"),
        ("FEAT.PUT rides 7 AT 1 trips 1 trips 2", "-ERR a feature is named twice"),
        ("FEAT.PUT rides 7 AT x trips 1", "-ERR value is not an integer or out of range"),
        ("FEAT.PUT rides 7 ON 1 trips 1", "-ERR AT and the time of the values must follow the entity"),
        ("FEAT.PUT rides 7 AT 1 trips", "-ERR wrong number of arguments for 'feat.put' command"),
        ("FEAT.PUT rides 7 AT 1 trips 1 rating", "-ERR wrong number of arguments for 'feat.put' command"),
        ("FEAT.PUT none 7 AT 1 trips 1", "-ERR no such view: 'none'"),
        ("DBSIZE", ":1"),
        ("SET driver:8 x", "+OK"),
        ("FEAT.PUT rides 8 AT 1 trips 1", WRONG_TYPE),
        ("FEAT.GET ENTITIES 2 7 8 VIEW rides", WRONG_TYPE),
        ("FEAT.MPUT rides FEATURES 1 trips ROWS 2 7 1 5 8 1 5", WRONG_TYPE),
        ("EXISTS driver:7", ":0"),
    ]);
}

#[test]
fn many_entities_are_stored_by_rows() {
    let mut harness = rides();
    harness.expect(&[
        ("FEAT.MPUT rides FEATURES 2 trips rating ROWS 3 1 1000 5 4.5 2 1000 6 3.5 1 500 9 9", "*3[:2 :2 :0]"),
        ("HGETALL driver:1", "*6['trips' '5' 'rating' '4.5' '_ts:rides' '1000']"),
        ("FEAT.MPUT rides NULL - FEATURES 2 trips rating ROWS 2 1 2000 - 1 3 1 - -", "*2[:2 :2]"),
        ("HGETALL driver:1", "*4['rating' '1' '_ts:rides' '2000 trips~2000']"),
        ("HGETALL driver:3", "*2['_ts:rides' '1 rating~1 trips~1']"),
        (
            "FEAT.MPUT rides FEATURES 1 trips ROWS 2 1 1 5 2 1",
            "-ERR ROWS must be followed by a number and so many of them",
        ),
        ("FEAT.MPUT rides FEATURES 1 trips ROWS 1 1 1 5 2 1 5", "-ERR syntax error"),
        (
            "FEAT.MPUT rides FEATURES 0 trips ROWS 1 1 1 5",
            "-ERR FEATURES must be followed by a number and so many of them",
        ),
        (
            "FEAT.MPUT rides FEATURES 9223372036854775807 trips ROWS 1 1 1 5",
            "-ERR FEATURES must be followed by a number and so many of them",
        ),
        ("FEAT.MPUT rides ROWS 1 1 1 5 FEATURES 1 trips", "-ERR FEATURES is missing or not at the right position"),
    ]);
}

#[test]
fn each_feature_lives_as_long_as_it_or_its_view_says() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("FEAT.VIEW CREATE v PREFIX p: TTL 60 FEATURES a i64 b i64 TTL 10", "+OK"),
        ("FEAT.PUT v 1 AT 5 a 1 b 2", "*2[:1 :1]"),
        ("HTTL p:1 FIELDS 3 a b _ts:v", "*3[:60 :10 :60]"),
    ]);
    harness.now_ms += 10_000;
    harness.expect(&[
        ("FEAT.GET ENTITIES 1 1 VIEW v", "*2['v' *4['a' *2[*1['1'] 'P'] 'b' *2[*1[$-1] '-']]]"),
        // What has expired is not there to be newer.
        ("FEAT.PUT v 1 AT 4 a 9 b 3", "*2[:0 :1]"),
        ("HTTL p:1 FIELDS 3 a b _ts:v", "*3[:50 :10 :50]"),
        ("FEAT.PUT v 1 AT 6 a 2", "*1[:1]"),
        ("HTTL p:1 FIELDS 3 a b _ts:v", "*3[:60 :10 :60]"),
    ]);
    harness.now_ms += 60_000;
    harness.expect(&[("FEAT.GET ENTITIES 1 1 VIEW v", "*2['v' *4['a' *2[*1[$-1] '-'] 'b' *2[*1[$-1] '-']]]")]);
    harness.expect(&[
        // A feature that lives on keeps the times alive.
        ("FEAT.VIEW CREATE w PREFIX w: FEATURES a i64 b i64 TTL 10", "+OK"),
        ("FEAT.PUT w 1 AT 5 b 2", "*1[:1]"),
        ("HTTL w:1 FIELDS 2 b _ts:w", "*2[:10 :10]"),
        ("FEAT.PUT w 1 AT 5 a 2", "*1[:1]"),
        ("HTTL w:1 FIELDS 3 a b _ts:w", "*3[:-1 :10 :-1]"),
        ("FEAT.PUT w 1 AT 6 b 2", "*1[:1]"),
        ("HTTL w:1 FIELDS 3 a b _ts:w", "*3[:-1 :10 :-1]"),
    ]);
}

#[test]
fn what_is_older_than_the_view_allows_is_withheld_and_said_to_be() {
    let mut harness = Harness::new();
    let at = |ago: i64| (START_MS - ago).to_string();
    harness.expect(&[
        ("FEAT.VIEW CREATE v PREFIX p: MAXAGE 60 FEATURES a i64 b i64", "+OK"),
        (&format!("FEAT.PUT v 1 AT {} a 1", at(60_000)), "*1[:1]"),
        (&format!("FEAT.PUT v 1 AT {} b 1", at(60_001)), "*1[:1]"),
        ("FEAT.GET ENTITIES 1 1 VIEW v", "*2['v' *4['a' *2[*1['1'] 'P'] 'b' *2[*1[$-1] 'O']]]"),
        ("HSET p:2 a 1", ":1"),
        ("FEAT.GET ENTITIES 1 2 VIEW v FEATURES 1 a", "*2['v' *2['a' *2[*1['1'] 'P']]]"),
    ]);
    harness.now_ms += 1;
    harness.expect(&[("FEAT.GET ENTITIES 1 1 VIEW v FEATURES 1 a", "*2['v' *2['a' *2[*1[$-1] 'O']]]")]);
}

#[test]
fn several_views_and_resp3_answer_maps_of_maps() {
    let mut harness = rides();
    harness.expect3(&[
        ("FEAT.VIEW CREATE city PREFIX city: FEATURES name string", "+OK"),
        ("FEAT.PUT city 7 AT 1 name Bonn", "*1[:1]"),
        ("FEAT.PUT rides 7 AT 1 trips 3", "*1[:1]"),
        (
            "FEAT.GET ENTITIES 2 7 7 VIEW city VIEW rides FEATURES 1 trips",
            "%2['city' %1['name' *2[*2['Bonn' 'Bonn'] 'PP']] 'rides' %1['trips' *2[*2['3' '3'] 'PP']]]",
        ),
        ("FEAT.GET ENTITIES 1 7 VIEW rides FEATURES 2 trips trips", "-ERR a feature is named twice"),
        ("FEAT.GET ENTITIES 1 7 VIEW none", "-ERR no such view: 'none'"),
        ("FEAT.GET ENTITIES 1 7 WITHTIMES PACKED x", "-ERR syntax error"),
        ("FEAT.GET ENTITIES 1 7 WITHTIMES PACKED PACKED", "-ERR VIEW and the name of a view are needed"),
        ("FEAT.GET ENTITIES 9 7 VIEW rides PACKED", "-ERR ENTITIES must be followed by a number and so many of them"),
        (
            "FEAT.GET ENTITIES 1 7 VIEW rides FEATURES 9 trips",
            "-ERR FEATURES must be followed by a number and so many of them",
        ),
    ]);
    let wide = format!(
        "FEAT.VIEW CREATE wide PREFIX w: FEATURES{}",
        (0..1024).map(|i| format!(" f{i} i64")).collect::<String>()
    );
    assert_eq!(harness.run(&wide), "+OK");
    assert_eq!(harness.run(&format!("{wide} more i64")), "-ERR a view has at most 1024 features");
    let entities = (0..257).map(|i| format!(" {i}")).collect::<String>();
    assert_eq!(harness.run(&format!("FEAT.GET ENTITIES 257{entities} VIEW wide")), "-ERR too many values");
}

#[test]
fn packed_columns_are_little_endian_with_nothing_where_nothing_is() {
    let mut harness = rides();
    let mut words = common::split("FEAT.PUT rides 1 AT 1000 rating 4.5 trips -12 active 1 car x home");
    words.push(blob(&[1.0, -2.0]));
    assert_eq!(show(&harness.run_words(&words)), "*5[:1 :1 :1 :1 :1]");
    assert_eq!(harness.run("HSET driver:3 trips junk"), ":1");
    let reply = harness.run_words(&common::split("FEAT.GET ENTITIES 3 1 2 3 VIEW rides PACKED WITHTIMES"));
    let bulks = bulks(&reply);
    let named = |name: &[u8]| bulks.iter().position(|bulk| bulk == name).expect("a column");
    let floats = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect::<Vec<_>>();
    let integers = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect::<Vec<_>>();
    let rating = floats(&bulks[named(b"rating") + 1]);
    assert!(rating[0] == 4.5 && rating[1].is_nan() && rating[2].is_nan() && rating.len() == 3);
    let trips = named(b"trips");
    assert_eq!(integers(&bulks[trips + 1]), [-12, 0, 0]);
    assert_eq!(bulks[trips + 2], b"P-!");
    assert_eq!(integers(&bulks[trips + 3]), [1000, 0, 0]);
    assert_eq!(bulks[named(b"active") + 1], [1, 0, 0]);
    let home = floats(&bulks[named(b"home") + 1]);
    assert!(home[..2] == [1.0, -2.0] && home[2..].iter().all(|x| x.is_nan()) && home.len() == 6);
    assert!(String::from_utf8_lossy(&reply).contains("*3\r\n$1\r\nx\r\n$-1\r\n$-1\r\n"), "strings are not packed");
}

#[test]
fn neighbours_and_their_features_are_one_answer() {
    let mut harness = rides();
    harness.expect(&[
        ("VADD v VALUES 2 1 0 7", ":1"),
        ("VADD v VALUES 2 0 1 8", ":1"),
        ("FEAT.PUT rides 7 AT 1 trips 3 car vw", "*2[:1 :1]"),
        ("VSIM v ELE 7 WITHFEATURES rides 2 car trips", "*4['7' *2[*2['vw' '3'] 'PP'] '8' *2[*2[$-1 $-1] '--']]"),
        ("VSIM v ELE 7 WITHFEATURES none 1 car", "-ERR no such view: 'none'"),
        ("VSIM v ELE 7 WITHFEATURES rides 1 speed", "-ERR view 'rides' has no feature 'speed'"),
        (
            "VSIM v ELE 7 WITHFEATURES rides 2 car",
            "-ERR WITHFEATURES needs a view, a number of features and as many features",
        ),
        ("VSIM v ELE 7 WITHFEATURES rides 1 car GROUPBY x", "-ERR WITHFEATURES goes with VSIM without GROUPBY only"),
    ]);
    harness.expect3(&[("VSIM v ELE 7 COUNT 1 WITHSCORES WITHFEATURES rides 1 car", "%1['7' *2[,1 *2[*1['vw'] 'P']]]")]);
}

#[test]
fn a_user_needs_the_hashes_and_for_views_their_key() {
    let mut harness = rides();
    let denied = "-NOPERM No permissions to access a key";
    harness.expect(&[
        ("FEAT.PUT rides 1 AT 1 trips 3", "*1[:1]"),
        ("VADD driver:v VALUES 2 1 0 1", ":1"),
        ("ACL SETUSER ann on nopass +@all %R~driver:*", "+OK"),
        ("AUTH ann x", "+OK"),
        ("FEAT.GET ENTITIES 1 1 VIEW rides FEATURES 1 trips", "*2['rides' *2['trips' *2[*1['3'] 'P']]]"),
        ("FEAT.PUT rides 1 AT 2 trips 4", denied),
        ("FEAT.VIEW CREATE w PREFIX w: FEATURES a i64", denied),
        ("FEAT.VIEW DROP rides", denied),
        ("FEAT.VIEW LIST", "*1['rides']"),
    ]);
    let mut owner = rides();
    owner.expect(&[
        ("FEAT.VIEW CREATE secret PREFIX s: FEATURES a i64", "+OK"),
        ("FEAT.PUT secret 1 AT 1 a 1", "*1[:1]"),
        ("ACL SETUSER bob on nopass +@all ~driver:* ~v", "+OK"),
        ("VADD v VALUES 2 1 0 1", ":1"),
        ("AUTH bob x", "+OK"),
        ("FEAT.PUT rides 1 AT 2 trips 4", "*1[:1]"),
        ("FEAT.GET ENTITIES 1 1 VIEW rides FEATURES 1 trips VIEW secret", denied),
        ("VSIM v ELE 1 WITHFEATURES rides 1 trips", "*2['1' *2[*1['4'] 'P']]"),
        ("VSIM v ELE 1 WITHFEATURES secret 1 a", denied),
    ]);
}

#[test]
fn a_view_that_is_spoiled_says_so() {
    let mut harness = rides();
    harness.expect(&[
        ("HSET feat:views rides rubbish", ":0"),
        ("FEAT.GET ENTITIES 1 1 VIEW rides", "-ERR what the key 'feat:views' says about view 'rides' is no view"),
    ]);
}

#[test]
fn transactions_and_whole_databases_need_nothing_new() {
    let mut harness = rides();
    harness.expect(&[
        ("MULTI", "+OK"),
        ("FEAT.PUT rides 1 AT 1 trips 3", "+QUEUED"),
        ("FEAT.GET ENTITIES 1 1 VIEW rides FEATURES 1 trips", "+QUEUED"),
        ("EXEC", "*2[*1[:1] *2['rides' *2['trips' *2[*1['3'] 'P']]]]"),
        ("SELECT 1", "+OK"),
        ("FEAT.GET ENTITIES 1 1 VIEW rides", "-ERR no such view: 'rides'"),
        ("SELECT 0", "+OK"),
        ("COPY driver:1 driver:2", ":1"),
        (
            "FEAT.GET ENTITIES 1 2 VIEW rides FEATURES 1 trips WITHTIMES",
            "*2['rides' *2['trips' *3[*1['3'] 'P' *1[:1]]]]",
        ),
        ("FLUSHDB", "+OK"),
        ("FEAT.VIEW LIST", "*0[]"),
    ]);
}

#[test]
fn windows_slide_by_tiles_and_late_events_count_where_they_belong() {
    let mut harness = Harness::new();
    let at = |ago_s: i64| START_MS - ago_s * 1000;
    harness.expect(&[
        ("FEAT.VIEW CREATE w PREFIX u: FEATURES spent sum(60,10) buys count(60,10) mean avg(60,10) age i64", "+OK"),
        (&format!("FEAT.INCR w 7 AT {} spent 5 buys 1 mean 5", at(0)), "*3['5' '1' '5']"),
        (&format!("FEAT.INCR w 7 AT {} spent 2.5", at(30)), "*1['7.5']"),
        // Older than the window: lost.
        (&format!("FEAT.INCR w 7 AT {} spent 100", at(60)), "*1['7.5']"),
        (&format!("FEAT.INCR w 8 AT {} mean 3", at(600)), "*1[$-1]"),
        ("HGET u:7 spent", "'169999997:1:2.5 170000000:1:5'"),
        ("HGET u:7 _ts:w", "'1700000000000'"),
        (
            "FEAT.GET ENTITIES 3 7 8 9 VIEW w FEATURES 2 spent mean",
            "*2['w' *4['spent' *2[*3['7.5' $-1 $-1] 'P--'] 'mean' *2[*3['5' $-1 $-1] 'P--']]]",
        ),
        ("FEAT.INCR w 7 AT * age 1", "-ERR feature 'age' is no sum, count or avg over a window"),
        ("FEAT.INCR w 7 AT * spent x", "-ERR value is not a valid float"),
        ("FEAT.INCR w 7 AT * spent inf", "-ERR value is not a valid float"),
        ("FEAT.INCR w 7 AT * spent 1 spent 1", "-ERR a feature is named twice"),
        ("FEAT.INCR w 7 AT * spent 1 buys", "-ERR wrong number of arguments for 'feat.incr' command"),
        ("FEAT.PUT w 7 AT * spent 1", "-ERR the value of feature 'spent' is no sum(60,10)"),
    ]);
    harness.now_ms += 30_000;
    harness.expect(&[("FEAT.GET ENTITIES 1 7 VIEW w FEATURES 1 spent", "*2['w' *2['spent' *2[*1['5'] 'P']]]")]);
    harness.now_ms += 30_000;
    harness.expect(&[(
        "FEAT.GET ENTITIES 1 7 VIEW w FEATURES 3 spent buys mean",
        "*2['w' *6['spent' *2[*1['0'] 'P'] 'buys' *2[*1['0'] 'P'] 'mean' *2[*1[$-1] '-']]]",
    )]);
}
