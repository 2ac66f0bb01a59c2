//! What the runs begin from.

use quiver_engine::config::Config;
use quiver_resp::{Value, write_command};

use crate::corpus::{self, Size};
use crate::local::Local;

/// An engine with one of everything.
fn filled() -> Local {
    let mut local = Local::new();
    corpus::fill(&mut |words| local.call(words), Size::Small).expect("an engine answers");
    local
}

/// A snapshot without a checksum, so that changes of it reach what is behind: whole, and of single keys.
pub(super) fn snapshots() -> Vec<Vec<u8>> {
    let mut all = filled();
    let mut files = vec![without_checksum(all.save())];
    for (key, payload) in dumped(&mut all) {
        let mut one = Local::new();
        one.call(&[b"RESTORE".as_slice(), &key, b"0", &payload]).expect("an engine answers");
        files.push(without_checksum(one.save()));
    }
    files
}

/// Whole snapshots with their checksums: a large one, and one for every key.
pub(super) fn files() -> Vec<Vec<u8>> {
    snapshots()
        .into_iter()
        .map(|mut file| {
            let end = file.len() - 8;
            let sum = quiver_rdb::crc64(&file[..end]);
            file[end..].copy_from_slice(&sum.to_le_bytes());
            file
        })
        .collect()
}

fn without_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len().saturating_sub(8);
    file[end..].fill(0);
    file
}

/// The payload of every key, without its seal.
pub(super) fn payloads() -> Vec<Vec<u8>> {
    let seal = |payload: Vec<u8>| payload[..payload.len().saturating_sub(10)].to_vec();
    let mut payloads: Vec<_> = dumped(&mut filled()).into_iter().map(|(_, payload)| seal(payload)).collect();
    payloads.extend(OLD.iter().map(|old| old.to_vec()));
    payloads
}

/// Values in encodings that are only read: ziplists, zipmap, plain forms, streams of Redis 5.
const OLD: [&[u8]; 9] = [
    b"\x01\x02\x01a\xc0\x07",
    b"\x03\x02\x01a\x03\x31.5\x01b\xfe",
    b"\x04\x01\x01f\x01v",
    b"\x0a\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf8\xff",
    b"\x0c\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf8\xff",
    b"\x0d\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf8\xff",
    b"\x0e\x01\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf8\xff",
    b"\x09\x07\x01\x01f\x01\0v\xff",
    b"\x16\x01\x05\x01f\x01v",
];

fn dumped(local: &mut Local) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Ok(Value::Array(keys)) = local.call(&["KEYS", "*"]) else { return Vec::new() };
    let keys = keys.into_iter().filter_map(|key| if let Value::Bulk(key) = key { Some(key) } else { None });
    keys.filter_map(|key| match local.call(&[b"DUMP".as_slice(), &key]) {
        Ok(Value::Bulk(payload)) => Some((key, payload)),
        _ => None,
    })
    .collect()
}

/// Pipelines of requests, and inline commands.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let mut pipelines: Vec<Vec<u8>> = corpus::commands(Size::Small)
        .chunks(4)
        .map(|commands| {
            let mut bytes = Vec::new();
            commands.iter().for_each(|words| write_command(&mut bytes, words));
            bytes
        })
        .collect();
    pipelines.push(b"PING\r\nSET a \"b c\\x00\"\r\n\r\nGET 'it\\'s'\n*0\r\n*1\r\n$4\r\nPING\r\n".to_vec());
    pipelines.push(b"*-1\r\n*1\r\n$0\r\n\r\n*2\r\n$1\r\na\r\n$-1\r\n".to_vec());
    pipelines
}

/// Lines of words.
pub(super) fn lines() -> Vec<Vec<u8>> {
    ["SET a b", "SET \"a b\" 'c d'", "GET \"\\x00\\n\\\"\"", "a'b'", "\"open", "'it\\'s' x", "\t a\x0b b "]
        .map(|line| line.as_bytes().to_vec())
        .to_vec()
}

/// A pattern, a zero byte, a text.
pub(super) fn patterns() -> Vec<Vec<u8>> {
    ["h?llo\0hello", "h[^ae-g]llo\0hillo", "*a*b\\*\0xxaab*", "[\\]-z\0]", "a[b-\0ab", "[^\0a", "\\\0\\", "**?*\0ab"]
        .map(|line| line.as_bytes().to_vec())
        .to_vec()
}

/// Rules of a user, one in a line.
pub(super) fn rules() -> Vec<Vec<u8>> {
    [
        "on\n>secret\n~*\n&*\n+@all",
        "off\nnopass\n~a:*\n%R~b\n%W~c\n+get\n-@dangerous\n+config|get",
        "on\nresetkeys\nallcommands\n-@write\n+set\n(+@read ~x*)\n(~y %R~z -@all +get)",
        "reset\nresetpass\nresetchannels\n&ch*\nclearselectors\nsanitize-payload\nnocommands\nallkeys",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec()
}

/// Lines of a configuration file: every parameter with its default.
pub(super) fn parameters() -> Vec<Vec<u8>> {
    let all = Config::default().all();
    all.chunks(6)
        .map(|chunk| {
            let lines: Vec<String> = chunk.iter().map(|(name, value)| format!("{name} {value}")).collect();
            lines.join("\n").into_bytes()
        })
        .collect()
}

/// A byte for the dialect, a query.
pub(super) fn queries() -> Vec<Vec<u8>> {
    [
        "\x01hello world | \"good bye\" -moon",
        "\x00hello world | \"good bye\" -moon @t:a b",
        "\x01(@t|u:(foo bar*) => { $weight: 2.5; $slop: 1; $inorder: true } ~*baz*) | %%fuzzy%% w'wild?*'",
        "\x01@n:[(1 -2.5e3] @n:[-inf +inf] @n>=$i @n != 3",
        "\x01@a:{ New York | pre* | *suf | w'x?*' | \"a|b\" | $p} -@c:{Case\\ Kept}",
        "\x01@g:[1.5 -2 3 km] @s:[WITHIN $b] ismissing(@a)",
        "\x01@v:[VECTOR_RANGE 0.5 $b]=>{$yield_distance_as: d; $epsilon: 0.1; $weight: 2}",
        "\x01(@a:{x} foo)=>[KNN 10 @v $b EF_RUNTIME 50 AS dist]",
        "\x01*=>[KNN $i @f $b]=>{$yield_distance_as: d}",
        "\x01foo=>[KNN 3 @v $b HYBRID_POLICY BATCHES BATCH_SIZE 7]",
    ]
    .map(|query| query.as_bytes().to_vec())
    .to_vec()
}

/// Expressions of APPLY and FILTER.
pub(super) fn expressions() -> Vec<Vec<u8>> {
    [
        "sqrt(@a)/log(@b + 5) ^ 2 % 3 - -1",
        "@a == 'x' && !(@b < 2 || @c >= 1.5e3)",
        "format('%s is %s', upper(@b), split(@b, ',', ' '))",
        "timefmt(parsetime('2018-02-14', '%Y-%m-%d') + day(@a), '%FT%TZ %j %V')",
        "geodistance(@b, 1.2, -3.4) + dayofyear(1518613507)",
        "case(exists(@c), substr(@b, -4, 2), contains(@b, ''))",
        "matched_terms(3)",
    ]
    .map(|expression| expression.as_bytes().to_vec())
    .to_vec()
}

/// A path, a zero byte, a document.
pub(super) fn paths() -> Vec<Vec<u8>> {
    [
        "$.a.b[0]\0{\"a\":{\"b\":[1,2]}}",
        "$..b\0{\"a\":{\"b\":[1,{\"b\":2}]},\"b\":null}",
        "$[?(@.n > 1 && @.t == 'x')].n\0[{\"n\":2,\"t\":\"x\"},{\"n\":1}]",
        "$..[?(@.n =~ '^a.*' || !(@.n))]\0{\"l\":[{\"n\":\"abc\"},{\"m\":[]}]}",
        "$['a','b']..[1:5:2]\0{\"a\":[0,1,2,[3,4]],\"b\":[[5,6]]}",
        "$.*.*[-1,0]\0{\"a\":{\"b\":[1,2,3]}}",
        ".a[0].b\0{\"a\":[{\"b\":true}]}",
        "a..b\0{\"a\":{\"c\":{\"b\":1.5}}}",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec()
}

/// A filter expression, a zero byte, attributes.
pub(super) fn filters() -> Vec<Vec<u8>> {
    [
        ".year >= 1980 and .year < 1990\0{\"year\":1984}",
        "(.a + 2) * 3 ** 2 % 4 == .b / 2 - 1\0{\"a\":1,\"b\":7.5}",
        "not (.t == \"x\") or .n in [1, 2, 'three']\0{\"t\":\"y\",\"n\":\"three\"}",
        ".genre in [\"a\", \"b\"] && !.seen\0{\"genre\":\"b\",\"seen\":false}",
        "'act' in .tags || .name != null\0{\"tags\":[\"act\",2],\"name\":\"n\\u00e9\"}",
    ]
    .map(|line| line.as_bytes().to_vec())
    .to_vec()
}
