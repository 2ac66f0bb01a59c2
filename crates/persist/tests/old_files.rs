//! Files in the encodings of old and of other servers, made by hand: what they hold comes out.

use quiver_persist::LoadError;
use quiver_rdb::{Writer, code, crc64};
use quiver_resp::Value;
use quiver_structures::listpack::{Item, ListPack};
use quiver_testkit::local::{Local, NOW_MS};

/// A file of a version: header, records, end, and a checksum where the version has one.
fn file(magic: &str, records: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = magic.as_bytes().to_vec();
    records(&mut Writer::new(&mut bytes));
    bytes.push(code::EOF);
    if magic >= "REDIS0005" {
        let sum = crc64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
    }
    bytes
}

/// Begins a record.
fn key(writer: &mut Writer<'_>, kind: u8, name: &str) {
    writer.byte(kind);
    writer.string(name.as_bytes());
}

fn loaded(bytes: &[u8]) -> Local {
    let local = Local::new();
    local.load(bytes).expect("the file is whole");
    local.check();
    let copy = Local::new();
    copy.load(&local.save()).expect("what is saved loads");
    assert_eq!(copy.digest(), local.digest(), "it is saved in today's encodings");
    local
}

/// A reply in few characters.
fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) | Value::Simple(bytes) | Value::Error(bytes) => bytes.escape_ascii().to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Array(elements) => elements.iter().map(text).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

fn expect(local: &mut Local, table: &[(&str, &str)]) {
    for (line, reply) in table {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(text(&local.call(&words).expect("an engine answers")), *reply, "{line}");
    }
}

/// A ziplist of elements that are at hand encoded, without their back links.
fn ziplist(elements: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut before, mut tail) = (Vec::new(), 0, 10);
    for element in elements {
        tail = 10 + body.len();
        body.push(before);
        body.extend_from_slice(element);
        before = u8::try_from(element.len() + 1).expect("elements are short");
    }
    let total = 11 + body.len();
    let mut bytes = (total as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&(tail as u32).to_le_bytes());
    bytes.extend_from_slice(&(elements.len() as u16).to_le_bytes());
    bytes.extend(body);
    bytes.push(0xff);
    bytes
}

/// An intset of numbers of `width` bytes, in order.
fn intset(width: u32, numbers: &[i64]) -> Vec<u8> {
    let mut bytes = width.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()[..width as usize]));
    bytes
}

fn listpack(words: &[&str]) -> ListPack {
    words.iter().map(|word| word.parse().map_or(Item::Str(word.as_bytes()), Item::Int)).collect()
}

#[test]
fn the_first_version_has_plain_collections_seconds_and_no_checksum() {
    let bytes = file("REDIS0001", |writer| {
        writer.byte(code::SELECTDB);
        writer.length(0);
        writer.byte(code::EXPIRETIME);
        writer.raw(&2_000_000_000i32.to_le_bytes());
        key(writer, code::STRING, "text");
        writer.string(b"value");
        key(writer, code::LIST, "list");
        writer.length(3);
        ["a", "7", "a"].iter().for_each(|element| writer.string(element.as_bytes()));
        key(writer, code::SET, "set");
        writer.length(2);
        ["x", "y"].iter().for_each(|member| writer.string(member.as_bytes()));
        key(writer, code::ZSET, "zset");
        writer.length(4);
        for (member, score) in [("a", &b"\x033.5"[..]), ("b", b"\x02-1"), ("c", b"\xfe"), ("d", b"\xff")] {
            writer.string(member.as_bytes());
            writer.raw(score);
        }
        key(writer, code::HASH, "hash");
        writer.length(1);
        writer.string(b"field");
        writer.string(b"1000000");
    });
    assert_eq!(bytes.last(), Some(&code::EOF));
    expect(
        &mut loaded(&bytes),
        &[
            ("GET text", "value"),
            ("PEXPIRETIME text", "2000000000000"),
            ("LRANGE list 0 -1", "a 7 a"),
            ("SISMEMBER set x", "1"),
            ("SCARD set", "2"),
            ("ZRANGE zset 0 -1 WITHSCORES", "d -inf b -1 a 3.5 c inf"),
            ("HGETALL hash", "field 1000000"),
            ("DBSIZE", "5"),
        ],
    );
}

#[test]
fn ziplists_hold_numbers_of_every_width_and_strings_of_every_length_form() {
    let long = [&[0x80, 0, 0, 0, 70][..], &[b'l'; 70]].concat();
    let medium = [&[0x40, 66][..], &[b'm'; 66]].concat();
    let list = ziplist(&[
        b"\x01a",
        b"\xf1",                                 // 0
        b"\xfd",                                 // 12
        b"\xfe\x80",                             // -128
        b"\xc0\x00\x80",                         // -32768
        b"\xf0\x00\x00\x80",                     // -8388608
        b"\xd0\x00\x00\x00\x80",                 // -2147483648
        b"\xe0\x00\x00\x00\x00\x00\x00\x00\x80", // the lowest of 64 bits
        &medium,
        &long,
    ]);
    let bytes = file("REDIS0006", |writer| {
        key(writer, code::LIST_ZIPLIST, "list");
        writer.raw_string(&list);
        key(writer, code::LIST_QUICKLIST, "quicklist");
        writer.length(2);
        writer.raw_string(&ziplist(&[b"\x01a", b"\x01b"]));
        writer.raw_string(&ziplist(&[b"\x01c"]));
        key(writer, code::ZSET_ZIPLIST, "zset");
        writer.raw_string(&ziplist(&[b"\x01a", b"\x031.5", b"\x01b", b"\xf4"]));
        key(writer, code::HASH_ZIPLIST, "hash");
        writer.raw_string(&ziplist(&[b"\x01f", b"\x01v", b"\x01n", b"\xc0\xe8\x03"]));
    });
    let expected =
        format!("a 0 12 -128 -32768 -8388608 -2147483648 -9223372036854775808 {} {}", "m".repeat(66), "l".repeat(70));
    expect(
        &mut loaded(&bytes),
        &[
            ("LRANGE list 0 -1", expected.as_str()),
            ("LRANGE quicklist 0 -1", "a b c"),
            ("ZRANGE zset 0 -1 WITHSCORES", "a 1.5 b 3"),
            ("HGET hash f", "v"),
            ("HGET hash n", "1000"),
        ],
    );
}

#[test]
fn zipmaps_hold_free_bytes_and_long_values() {
    let mut map = b"\x02\x01f\x01\x03vxyz\x04long\xfe".to_vec();
    map.extend_from_slice(&300u32.to_le_bytes());
    map.push(0);
    map.extend_from_slice(&[b'w'; 300]);
    map.push(0xff);
    let bytes = file("REDIS0002", |writer| {
        key(writer, code::HASH_ZIPMAP, "hash");
        writer.raw_string(&map);
    });
    expect(&mut loaded(&bytes), &[("HGET hash f", "v"), ("HSTRLEN hash long", "300"), ("HLEN hash", "2")]);
}

#[test]
fn intsets_of_every_width_and_listpacks_of_redis_7_come_out() {
    let bytes = file("REDIS0011", |writer| {
        for (name, width, numbers) in [
            ("set:16", 2, &[-5, 1, 300][..]),
            ("set:32", 4, &[-70_000, 70_000]),
            ("set:64", 8, &[-5_000_000_000, 5_000_000_000]),
        ] {
            key(writer, code::SET_INTSET, name);
            writer.raw_string(&intset(width, numbers));
        }
        key(writer, code::SET_LISTPACK, "set:words");
        writer.raw_string(listpack(&["a", "1"]).as_bytes());
        key(writer, code::HASH_LISTPACK, "hash");
        writer.raw_string(listpack(&["f", "v", "n", "7"]).as_bytes());
        key(writer, code::ZSET_LISTPACK, "zset");
        writer.raw_string(listpack(&["a", "1.5", "b", "3"]).as_bytes());
        key(writer, code::LIST_QUICKLIST_2, "list");
        writer.length(2);
        writer.length(2);
        writer.raw_string(listpack(&["a", "-9"]).as_bytes());
        writer.length(1);
        writer.string(b"alone");
        key(writer, code::ZSET_2, "zset:large");
        writer.length(1);
        writer.string(b"m");
        writer.f64(0.1);
    });
    expect(
        &mut loaded(&bytes),
        &[
            ("SMEMBERS set:16", "-5 1 300"),
            ("SMEMBERS set:32", "-70000 70000"),
            ("SMEMBERS set:64", "-5000000000 5000000000"),
            ("OBJECT ENCODING set:64", "intset"),
            ("SMISMEMBER set:words a 1 b", "1 1 0"),
            ("HGETALL hash", "f v n 7"),
            ("ZRANGE zset 0 -1 WITHSCORES", "a 1.5 b 3"),
            ("LRANGE list 0 -1", "a -9 alone"),
            ("ZSCORE zset:large m", "0.1"),
        ],
    );
}

#[test]
fn fields_with_expiries_come_out_of_every_layout_there_was() {
    let at = NOW_MS + 5000;
    let with_expiry =
        |writer: &mut Writer<'_>| writer.raw_string(listpack(&["a", "1", &at.to_string(), "b", "2", "0"]).as_bytes());
    let bytes = file("REDIS0012", |writer| {
        key(writer, code::HASH_METADATA, "table");
        writer.i64(at);
        writer.length(2);
        for (expiry, field, value) in [(1, "a", "1"), (0, "b", "2")] {
            writer.length(expiry);
            writer.string(field.as_bytes());
            writer.string(value.as_bytes());
        }
        key(writer, code::HASH_LISTPACK_EX, "listpack");
        writer.i64(at);
        with_expiry(writer);
        // As release candidates of Redis 7.4 had it: absolute, and nothing in front.
        key(writer, code::HASH_CANDIDATE, "old:table");
        writer.length(2);
        for (expiry, field, value) in [(at as u64, "a", "1"), (0, "b", "2")] {
            writer.length(expiry);
            writer.string(field.as_bytes());
            writer.string(value.as_bytes());
        }
        key(writer, code::HASH_LISTPACK_CANDIDATE, "old:listpack");
        with_expiry(writer);
    });
    let mut local = loaded(&bytes);
    let expected = format!("{at} -1");
    for name in ["table", "listpack", "old:table", "old:listpack"] {
        expect(
            &mut local,
            &[(&format!("HPEXPIRETIME {name} FIELDS 2 a b"), expected.as_str()), (&format!("HMGET {name} a b"), "1 2")],
        );
    }
}

#[test]
fn a_file_of_valkey_9_says_so_and_has_the_expiry_of_a_field_behind_its_value() {
    let at = NOW_MS + 5000;
    let bytes = file("VALKEY080", |writer| {
        key(writer, code::HASH_CANDIDATE, "hash");
        writer.length(2);
        for (field, value, expiry) in [("a", "1", at), ("b", "2", -1)] {
            writer.string(field.as_bytes());
            writer.string(value.as_bytes());
            writer.i64(expiry);
        }
        key(writer, code::STRING, "next");
        writer.string(b"v");
    });
    expect(
        &mut loaded(&bytes),
        &[("HPEXPIRETIME hash FIELDS 2 a b", &format!("{at} -1")), ("HMGET hash a b", "1 2"), ("GET next", "v")],
    );
}

/// A stream's block of two entries with the fields of the first, as Redis writes it, behind its key.
fn block(writer: &mut Writer<'_>) {
    let mut first = 5u64.to_be_bytes().to_vec();
    first.extend_from_slice(&1u64.to_be_bytes());
    writer.raw_string(&first);
    let words = ["2", "0", "1", "f", "0", "2", "0", "0", "v", "4", "2", "1", "3", "w", "4"];
    writer.raw_string(listpack(&words).as_bytes());
}

#[test]
fn streams_of_redis_5_7_and_7_2_come_out() {
    let bytes = file("REDIS0011", |writer| {
        for (kind, name) in
            [(code::STREAM_LISTPACKS, "five"), (code::STREAM_LISTPACKS_2, "seven"), (code::STREAM_LISTPACKS_3, "later")]
        {
            key(writer, kind, name);
            writer.length(1);
            block(writer);
            // Length, last id.
            [2, 6, 4].iter().for_each(|n| writer.length(*n));
            if kind != code::STREAM_LISTPACKS {
                // First id, greatest deleted id, entries ever added.
                [5, 1, 0, 0, 2].iter().for_each(|n| writer.length(*n));
            }
            writer.length(1);
            writer.string(b"group");
            [5, 1].iter().for_each(|n| writer.length(*n));
            if kind != code::STREAM_LISTPACKS {
                writer.length(1);
            }
            let mut id = 5u64.to_be_bytes().to_vec();
            id.extend_from_slice(&1u64.to_be_bytes());
            writer.length(1);
            writer.raw(&id);
            writer.i64(NOW_MS - 1000);
            writer.length(3);
            writer.length(1);
            writer.string(b"consumer");
            writer.i64(NOW_MS - 500);
            if kind == code::STREAM_LISTPACKS_3 {
                writer.i64(NOW_MS - 700);
            }
            writer.length(1);
            writer.raw(&id);
        }
    });
    let mut local = loaded(&bytes);
    for name in ["five", "seven", "later"] {
        expect(
            &mut local,
            &[
                (&format!("XRANGE {name} - +"), "5-1 f v 6-4 f w"),
                (&format!("XPENDING {name} group - + 9"), "5-1 consumer 1000 3"),
                (&format!("XREADGROUP GROUP group consumer STREAMS {name} >"), &format!("{name} 6-4 f w")),
            ],
        );
    }
}

#[test]
fn an_empty_collection_is_left_out_with_a_warning_as_old_servers_wrote_such() {
    let bytes = file("REDIS0009", |writer| {
        for (kind, name) in [(code::LIST, "l"), (code::SET, "s"), (code::ZSET_2, "z"), (code::HASH, "h")] {
            key(writer, kind, name);
            writer.length(0);
        }
        key(writer, code::STRING, "next");
        writer.string(b"v");
    });
    let mut local = Local::new();
    let report = local.load(&bytes).expect("the file is whole");
    assert_eq!((report.keys, report.empty, report.warnings.len()), (1, 4, 4), "{:?}", report.warnings);
    assert!(report.warnings[0].contains("key 'l' of database 0 was left out"), "{:?}", report.warnings);
    expect(&mut local, &[("DBSIZE", "1"), ("GET next", "v")]);
}

#[test]
fn idle_times_and_frequencies_are_kept_where_the_policy_goes_by_them() {
    for (policy, question, reply) in [
        ("allkeys-lru", "OBJECT IDLETIME key", "1234"),
        ("volatile-lfu", "OBJECT FREQ key", "77"),
        ("noeviction", "OBJECT IDLETIME key", "0"),
    ] {
        let mut writer = Local::new();
        expect(
            &mut writer,
            &[(&format!("CONFIG SET maxmemory-policy {policy}"), "OK"), ("SET key v", "OK"), ("DUMP none", "Null")],
        );
        let Ok(Value::Bulk(payload)) = writer.call(&["DUMP", "key"]) else { panic!("DUMP answers a payload") };
        let hint = match policy {
            "allkeys-lru" => Some(["IDLETIME", "1234"]),
            "volatile-lfu" => Some(["FREQ", "77"]),
            _ => None,
        };
        let mut words: Vec<&[u8]> = vec![b"RESTORE", b"key", b"0", &payload, b"REPLACE"];
        words.extend(hint.iter().flatten().map(|word| word.as_bytes()));
        assert_eq!(writer.call(&words).expect("an engine answers"), Value::Simple(b"OK".to_vec()));
        let mut reader = Local::new();
        expect(&mut reader, &[(&format!("CONFIG SET maxmemory-policy {policy}"), "OK")]);
        reader.load(&writer.save()).expect("the file is whole");
        expect(&mut reader, &[(question, reply)]);
    }
}

#[test]
fn what_no_release_reads_or_is_too_new_is_refused_by_name() {
    let refused = |magic: &str, records: fn(&mut Writer<'_>)| {
        let error = Local::new().load(&file(magic, records)).expect_err("it cannot be read");
        (error.to_string(), matches!(error, LoadError::Unsupported { .. }))
    };
    let (text, _) = refused("REDIS0016", |_| ());
    assert!(text.contains("RDB version 16 is not supported"), "{text}");
    let (text, _) = refused("REDIS0010", |writer| writer.byte(code::FUNCTION_PRE_GA));
    assert!(text.contains("release candidate of Redis 7.0"), "{text}");
    let (text, _) = refused("REDIS0013", |writer| writer.byte(code::KEY_META));
    assert!(text.contains("not supported"), "{text}");
    for (kind, name) in
        [(6, "release candidate of Redis 4.0"), (28, "array of Redis 8.8"), (31, "template of Redis 8.10")]
    {
        let bytes = file("REDIS0015", |writer| key(writer, kind, "name"));
        let error = Local::new().load(&bytes).expect_err("it cannot be read");
        assert!(matches!(&error, LoadError::Unsupported { key, .. } if key == "name"), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_file_without_a_checksum_loads_with_a_warning() {
    let mut bytes = file("REDIS0011", |writer| {
        key(writer, code::STRING, "key");
        writer.string(b"v");
    });
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    let report = Local::new().load(&bytes).expect("zero stands for none");
    assert!(report.warnings.iter().any(|warning| warning.contains("no checksum")), "{:?}", report.warnings);
}
