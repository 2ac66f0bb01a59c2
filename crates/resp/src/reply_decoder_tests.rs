//! Every type in every split, limits, and garbage.

use proptest::prelude::*;

use super::*;
use crate::reply::Protocol;

fn decode_in(pieces: &[&[u8]], limits: ReplyLimits) -> Result<Vec<Value>, ReplyError> {
    let mut decoder = ReplyDecoder::new(limits);
    let (mut buf, mut replies) = (Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            let (consumed, reply) = decoder.decode(&buf)?;
            buf.drain(..consumed);
            match reply {
                Some(reply) => replies.push(reply),
                None => break,
            }
        }
    }
    Ok(replies)
}

fn decode(input: &[u8]) -> Result<Vec<Value>, ReplyError> {
    decode_in(&[input], ReplyLimits::default())
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn every_type_is_read() {
    let table: Vec<(&str, Value)> = vec![
        ("+OK\r\n", Value::Simple("OK".into())),
        ("-ERR x\r\n", Value::Error("ERR x".into())),
        ("!5\r\nERR\r\n\r\n", Value::Error("ERR\r\n".into())),
        (":-3\r\n", Value::Integer(-3)),
        ("$0\r\n\r\n", bulk("")),
        ("$-1\r\n", Value::Null),
        ("_\r\n", Value::Null),
        ("*-1\r\n", Value::NullArray),
        ("*0\r\n", Value::Array(vec![])),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", Value::Array(vec![Value::Integer(1), Value::Array(vec![bulk("a")])])),
        (
            "%1\r\n+k\r\n~1\r\n#t\r\n",
            Value::Map(vec![(Value::Simple("k".into()), Value::Set(vec![Value::Boolean(true)]))]),
        ),
        (">1\r\n+m\r\n", Value::Push(vec![Value::Simple("m".into())])),
        (",1.5e+300\r\n", Value::Double(1.5e300)),
        (",-inf\r\n", Value::Double(f64::NEG_INFINITY)),
        ("(-12345678901234567890\r\n", Value::BigNumber("-12345678901234567890".into())),
        ("=6\r\ntxt:hi\r\n", Value::Verbatim { format: *b"txt", text: "hi".into() }),
        (
            "|1\r\n+ttl\r\n:9\r\n$1\r\nv\r\n",
            Value::Attributed {
                attributes: vec![(Value::Simple("ttl".into()), Value::Integer(9))],
                value: Box::new(bulk("v")),
            },
        ),
    ];
    for (text, value) in table {
        assert_eq!(decode(text.as_bytes()), Ok(vec![value]), "{text}");
    }
}

#[test]
fn what_is_no_reply_is_an_error() {
    let table: &[(&str, ReplyError)] = &[
        ("hello\r\n", ReplyError::UnknownType(b'h')),
        (":x\r\n", ReplyError::BadText(b':')),
        ("$-2\r\n", ReplyError::BadText(b'$')),
        ("$1\r\nabc", ReplyError::BadText(b'$')),
        ("=3\r\ntxt\r\n", ReplyError::BadText(b'=')),
        ("#x\r\n", ReplyError::BadText(b'#')),
        ("%-1\r\n", ReplyError::BadText(b'%')),
        ("$?\r\n", ReplyError::BadText(b'$')),
        ("$536870913\r\n", ReplyError::TooLarge),
        ("*9223372036854775807\r\n", ReplyError::TooLarge),
        ("%9223372036854775807\r\n", ReplyError::TooLarge),
        ("*1\r\n>0\r\n", ReplyError::Misplaced),
    ];
    for (text, error) in table {
        assert_eq!(decode(text.as_bytes()), Err(*error), "{text}");
    }
    assert_eq!(decode(&b"*1\r\n".repeat(128)), Ok(vec![]));
    assert_eq!(decode(&b"*1\r\n".repeat(129)), Err(ReplyError::TooDeep));
    assert_eq!(decode(&[b"+".as_slice(), &vec![b'a'; LINE_BYTES_MAX + 2]].concat()), Err(ReplyError::LineTooLong));
}

#[test]
fn elements_are_counted_over_all_levels() {
    let limits = ReplyLimits { max_elements: 10, ..ReplyLimits::default() };
    assert_eq!(decode_in(&[b"*2\r\n*3\r\n*9\r\n"], limits), Err(ReplyError::TooLarge));
    let flat = [b"*9\r\n".as_slice(), &b":1\r\n".repeat(9)].concat();
    assert_eq!(decode_in(&[&flat, &flat], limits).map(|replies| replies.len()), Ok(2));
}

#[test]
fn a_claim_allocates_nothing() {
    let mut decoder = ReplyDecoder::new(ReplyLimits::default());
    let input = b"*100000000\r\n%10000\r\n$500000000\r\nabc";
    assert_eq!(decoder.decode(input), Ok((20, None)));
    assert!(decoder.stack.iter().all(|open| open.items.capacity() <= 16));
    assert_eq!(decoder.wanted(), 12 + 500_000_000 + 2);
}

fn any_value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(|text| Value::Simple(text.into())),
        "[A-Z]{3} [ -~]{0,20}".prop_map(|text| Value::Error(text.into())),
        any::<i64>().prop_map(Value::Integer),
        bytes().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_filter("NaN differs from itself", |value| !value.is_nan()).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        "-?[0-9]{1,40}".prop_map(|digits| Value::BigNumber(digits.into())),
        bytes().prop_map(|text| Value::Verbatim { format: *b"mkd", text }),
    ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        let pairs = || prop::collection::vec((inner.clone(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Set),
            pairs().prop_map(Value::Map),
            (pairs(), inner.clone())
                .prop_map(|(attributes, value)| Value::Attributed { attributes, value: Box::new(value) }),
        ]
    })
}

proptest! {
    #[test]
    fn values_round_trip_in_resp3_split_anywhere(values in prop::collection::vec(any_value(), 1..4), piece in 1usize..60) {
        let mut wire = Vec::new();
        values.iter().for_each(|value| value.encode(&mut wire, Protocol::Resp3));
        prop_assert_eq!(decode(&wire), Ok(values.clone()));
        let pieces: Vec<_> = wire.chunks(piece).collect();
        prop_assert_eq!(decode_in(&pieces, ReplyLimits::default()), Ok(values));
    }

    #[test]
    fn every_value_is_one_reply_in_resp2(value in any_value()) {
        let mut wire = Vec::new();
        value.encode(&mut wire, Protocol::Resp2);
        prop_assert_eq!(decode(&wire).map(|replies| replies.len()), Ok(1));
    }

    #[test]
    fn garbage_never_panics(input in prop::collection::vec(prop::sample::select(b"+-:$*_%~>,#(=!|0123\r\nab".to_vec()), 0..80)) {
        let expected = decode(&input);
        for cut in 0..=input.len() {
            let split = decode_in(&[&input[..cut], &input[cut..]], ReplyLimits::default());
            prop_assert_eq!(&split, &expected);
        }
    }
}
