//! Whole commands of search over an index of every kind of field.

use quiver_resp::Value;

use super::seeds;
use crate::local::Local;

/// Documents of the index.
const DOCUMENTS: usize = 12;

fn filled() -> Local {
    let mut local = Local::new();
    let mut run = |words: &[&str]| {
        let reply = local.call(words).expect("an engine answers");
        assert!(!matches!(reply, Value::Error(_)), "{words:?}: {reply:?}");
    };
    let schema = "t TEXT u TEXT PHONETIC dm:en a TAG SORTABLE n NUMERIC SORTABLE g GEO s GEOSHAPE \
                  v VECTOR HNSW 6 TYPE FLOAT32 DIM 1 DISTANCE_METRIC L2 f VECTOR FLAT 6 TYPE FLOAT32 DIM 1 DISTANCE_METRIC L2";
    let create = ["FT.CREATE", "i", "PREFIX", "1", "d:", "SCHEMA"];
    run(&create.into_iter().chain(schema.split_whitespace()).collect::<Vec<_>>());
    let words = ["hello", "world", "foo", "bar", "Helicopter"];
    for n in 0..DOCUMENTS {
        let (t, u) = (format!("{} {}", words[n % 5], words[n * 3 % 5]), words[n * 3 % 5]);
        let (number, tags, vector) = (n.to_string(), format!("x,{n}"), format!("abc{}", n % 10));
        let (point, shape) = (format!("1.{n},2"), format!("POINT(1 {n})"));
        let fields = [("t", t.as_str()), ("u", u), ("a", &tags), ("n", &number), ("g", &point), ("s", &shape)];
        let key = format!("d:{n}");
        let mut command = vec!["HSET", &key, "v", &vector, "f", &vector];
        command.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
        run(&command);
    }
    local
}

/// The target: a command of search, a word in a line. Whatever it is, one reply comes, and the index has what it had.
pub(super) fn search(input: &[u8]) -> bool {
    let words: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let asks = [&b"FT.SEARCH"[..], b"FT.AGGREGATE", b"FT.HYBRID", b"FT.PROFILE", b"FT.EXPLAIN", b"FT.SPELLCHECK"];
    if !asks.iter().any(|name| words[0].eq_ignore_ascii_case(name)) {
        return false;
    }
    let mut local = filled();
    let accepted = |value: &Value| !matches!(value, Value::Error(_));
    let reply = local.call(&words).expect("one reply comes");
    let all = local.call(&["FT.SEARCH", "i", "*", "LIMIT", "0", "0"]).expect("one reply comes");
    assert_eq!(all, Value::Array(vec![Value::Integer(DOCUMENTS as i64)]));
    local.check();
    accepted(&reply)
}

/// Commands to begin from: every query among them.
pub(super) fn commands() -> Vec<Vec<u8>> {
    let plain = [
        "FT.SEARCH\ni\nhello\nLIMIT\n0\n5\nWITHSCORES\nSORTBY\nn\nDESC\nRETURN\n2\nt\nn",
        "FT.SEARCH\ni\nhello foo\nSLOP\n3\nINORDER\nHIGHLIGHT\nSUMMARIZE\nFRAGS\n2\nLEN\n3\nEXPLAINSCORE\nWITHSCORES",
        "FT.SEARCH\ni\n*\nFILTER\nn\n(1\n+inf\nGEOFILTER\ng\n1\n2\n500\nkm\nINKEYS\n2\nd:1\nd:2\nINFIELDS\n1\nt",
        "FT.SEARCH\ni\n*=>[KNN 3 @v $b]\nPARAMS\n2\nb\nabcd\nDIALECT\n2\nNOCONTENT\nSORTBY\n__v_score",
        "FT.AGGREGATE\ni\n*\nLOAD\n2\n@t\n@n\nGROUPBY\n1\n@a\nREDUCE\nAVG\n1\n@n\nAS\nm\nSORTBY\n2\n@m\nDESC\nLIMIT\n0\n3",
        "FT.AGGREGATE\ni\n*\nAPPLY\nsqrt(@n)+strlen(@a)\nAS\nx\nFILTER\n@x>2\nWITHCURSOR\nCOUNT\n2",
        "FT.AGGREGATE\ni\n*\nGROUPBY\n0\nREDUCE\nQUANTILE\n2\n@n\n0.5\nREDUCE\nTOLIST\n1\n@a\nREDUCE\nRANDOM_SAMPLE\n2\n@n\n3",
        "FT.HYBRID\ni\nSEARCH\nhello\nVSIM\n@v\n$b\nKNN\n2\nK\n3\nCOMBINE\nRRF\n2\nWINDOW\n5\nPARAMS\n2\nb\nabcd",
        "FT.HYBRID\ni\nSEARCH\nfoo\nVSIM\n@f\n$b\nRANGE\n2\nRADIUS\n5\nFILTER\n@n:[1 5]\nCOMBINE\nLINEAR\n4\nALPHA\n0.3\nBETA\n0.7\nPARAMS\n2\nb\nabcd",
        "FT.PROFILE\ni\nSEARCH\nLIMITED\nQUERY\n%hell% wor* -bar",
        "FT.PROFILE\ni\nAGGREGATE\nQUERY\n@n:[2 5]\nLOAD\n*",
        "FT.SPELLCHECK\ni\nhelo wrld\nDISTANCE\n2",
    ];
    let queries = seeds::queries().into_iter().map(|query| {
        let parameters = b"\nPARAMS\n6\nb\nabcd\ni\n3\np\nx\nDIALECT\n2";
        [&b"FT.SEARCH\ni\n"[..], &query[1..], parameters].concat()
    });
    plain.iter().map(|command| command.as_bytes().to_vec()).chain(queries).collect()
}
