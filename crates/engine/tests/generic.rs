//! Commands for keys of any type answer what Redis answers.

mod common;

use common::{Harness, START_MS, show};
use proptest::prelude::*;
use quiver_engine::session::Role;

/// What DUMP answers in Redis 8.0 for the string "hello".
const HELLO: &[u8] = b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC";

#[test]
fn keys_are_counted_typed_and_removed() {
    let mut client = Harness::new();
    client.expect(&[
        ("SET a 1", "+OK"),
        ("SET b x", "+OK"),
        ("VADD v VALUES 2 1 0 e", ":1"),
        ("EXISTS a b nokey a", ":3"),
        ("TOUCH a b nokey a", ":3"),
        ("TYPE a", "+string"),
        ("TYPE v", "+vectorset"),
        ("TYPE nokey", "+none"),
        ("DEL a a nokey", ":1"),
        ("UNLINK v b b", ":2"),
        ("EXISTS a b v", ":0"),
        ("DEL", "-ERR wrong number of arguments for 'del' command"),
    ]);
}

#[test]
fn a_copy_is_independent_and_keeps_its_time() {
    let mut client = Harness::new();
    client.expect(&[
        ("VADD v VALUES 2 1 0 e", ":1"),
        ("PEXPIRE v 5000", ":1"),
        ("COPY v w", ":1"),
        ("PTTL w", ":5000"),
        ("VADD w VALUES 2 0 1 f", ":1"),
        ("VCARD v", ":1"),
        ("VCARD w", ":2"),
        ("COPY v w", ":0"),
        ("COPY v w REPLACE", ":1"),
        ("VCARD w", ":1"),
        ("COPY v v DB 3", ":1"),
        ("COPY v v DB 3", ":0"),
        ("SELECT 3", "+OK"),
        ("VCARD v", ":1"),
        ("COPY nokey b", ":0"),
        ("COPY nokey nokey", "-ERR source and destination objects are the same"),
        ("COPY a a DB 3", "-ERR source and destination objects are the same"),
        ("COPY a b DB", "-ERR syntax error"),
        ("COPY a b DB 16", "-ERR DB index is out of range"),
        ("COPY a b DB -1", "-ERR DB index is out of range"),
        ("COPY a b DB x", "-ERR value is not an integer or out of range"),
        ("COPY a b DB 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647"),
        ("COPY a b FOO", "-ERR syntax error"),
    ]);
}

#[test]
fn a_moved_key_is_in_one_database_only() {
    let mut client = Harness::new();
    client.expect(&[
        ("SET a 1 PX 700", "+OK"),
        ("MOVE a 0", "-ERR source and destination objects are the same"),
        ("MOVE a 16", "-ERR DB index is out of range"),
        ("MOVE a x", "-ERR value is not an integer or out of range"),
        ("MOVE nokey 1", ":0"),
        ("MOVE a 1", ":1"),
        ("EXISTS a", ":0"),
        ("SET a 2", "+OK"),
        ("MOVE a 1", ":0"),
        ("SELECT 1", "+OK"),
        ("GET a", "'1'"),
        ("PTTL a", ":700"),
    ]);
    client.now_ms += 700;
    client.expect(&[("SELECT 0", "+OK"), ("MOVE a 1", ":1"), ("SELECT 1", "+OK"), ("GET a", "'2'")]);
}

#[test]
fn renaming_replaces_unless_told_otherwise() {
    let mut client = Harness::new();
    client.expect(&[
        ("RENAME nokey nokey", "-ERR no such key"),
        ("RENAMENX nokey b", "-ERR no such key"),
        ("SET a 1 PX 900", "+OK"),
        ("SET b 2", "+OK"),
        ("RENAME a a", "+OK"),
        ("RENAMENX a a", ":0"),
        ("RENAMENX a b", ":0"),
        ("RENAME a b", "+OK"),
        ("EXISTS a", ":0"),
        ("GET b", "'1'"),
        ("PTTL b", ":900"),
        ("RENAMENX b c", ":1"),
        ("PTTL c", ":900"),
    ]);
}

#[test]
fn encodings_have_the_names_redis_gives_them() {
    let mut client = Harness::new();
    let (longest_embedded, shortest_raw) = ("x".repeat(44), "x".repeat(45));
    client.run_words(&["SET", "embedded", &longest_embedded]);
    client.run_words(&["SET", "raw", &shortest_raw]);
    client.expect(&[
        ("SET int 12345", "+OK"),
        ("SET edited abc", "+OK"),
        ("APPEND edited d", ":4"),
        ("OBJECT ENCODING int", "'int'"),
        ("OBJECT ENCODING embedded", "'embstr'"),
        ("OBJECT ENCODING raw", "'raw'"),
        ("OBJECT ENCODING edited", "'raw'"),
        ("COPY edited copied", ":1"),
        ("OBJECT ENCODING copied", "'raw'"),
        ("RENAME edited renamed", "+OK"),
        ("OBJECT ENCODING renamed", "'raw'"),
        ("OBJECT ENCODING nokey", "$-1"),
        ("OBJECT REFCOUNT nokey", "$-1"),
        ("OBJECT REFCOUNT raw", ":1"),
        ("OBJECT REFCOUNT int", ":1"),
        ("SET small 9999", "+OK"),
        ("OBJECT REFCOUNT small", ":2147483647"),
        ("OBJECT FREQ nokey", "$-1"),
        ("OBJECT", "-ERR wrong number of arguments for 'object' command"),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
        ("OBJECT FOO raw", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
    ]);
    client.expect3(&[("OBJECT ENCODING nokey", "_"), ("OBJECT IDLETIME nokey", "_")]);
    assert!(client.run("OBJECT FREQ raw").starts_with("-ERR An LFU maxmemory policy is not selected"));
    assert!(client.run("OBJECT HELP").starts_with("*11[+OBJECT <subcommand>"));
}

#[test]
fn looking_at_a_key_is_no_use_of_it() {
    let mut client = Harness::new();
    client.run("SET a 1");
    client.now_ms += 30_000;
    client.expect(&[
        ("TYPE a", "+string"),
        ("EXISTS a", ":1"),
        ("TTL a", ":-1"),
        ("OBJECT ENCODING a", "'int'"),
        ("OBJECT IDLETIME a", ":30"),
        ("RENAME a b", "+OK"),
        ("OBJECT IDLETIME b", ":30"),
        ("TOUCH b", ":1"),
        ("OBJECT IDLETIME b", ":0"),
    ]);
}

#[test]
fn dumps_of_short_values_are_those_of_redis_to_the_byte() {
    let mut client = Harness::new();
    client.expect(&[("SET h hello", "+OK"), ("DUMP nokey", "$-1")]);
    let reply = client.run_words(&["DUMP", "h"]);
    assert_eq!(reply, [b"$17\r\n", HELLO, b"\r\n"].concat());
    // Redis compresses a little worse; what it writes is read all the same.
    let compressed = b"\x00\xc3\t/\x01aa\xe0\"\x00\x01aa\x0c\x00\xed\x16\xb4\x9bt\x10\xc6t";
    assert_eq!(restore(&mut client, "long", "0", compressed, ""), "+OK");
    assert_eq!(client.run("GET long"), format!("'{}'", "a".repeat(47)));
}

/// The digest of a value.
fn digest(client: &mut Harness, key: &str) -> String {
    client.engine.config.set("enable-debug-command", "yes", false).expect("a parameter with this value");
    let digest = client.run(&format!("DEBUG DIGEST-VALUE {key}"));
    assert!(digest.starts_with("*1[+"), "{digest}");
    digest
}

/// What DUMP answers.
fn dump(client: &mut Harness, key: &str) -> Vec<u8> {
    let reply = client.run_words(&["DUMP", key]);
    let start = reply.iter().position(|byte| *byte == b'\n').expect("a reply has a first line") + 1;
    reply[start..reply.len() - 2].to_vec()
}

#[test]
fn a_restored_value_is_the_dumped_one() {
    let mut client = Harness::new();
    client.run("VADD v VALUES 3 1 2 3 e SETATTR '{\"a\":1}'");
    for (name, value) in [("int", "-17"), ("text", "some text"), ("long", "a".repeat(1000).as_str())] {
        client.run_words(&["SET", name, value]);
    }
    client.run("HSET h f1 v1 f2 22");
    for name in ["v", "h", "int", "text", "long"] {
        let before = digest(&mut client, name);
        let payload = dump(&mut client, name);
        assert_eq!(client.run_words(&[b"RESTORE", name.as_bytes(), b"0", &payload, b"REPLACE"]), b"+OK\r\n");
        assert_eq!(digest(&mut client, name), before, "{name}");
    }
}

/// RESTORE with these words around the payload.
fn restore(client: &mut Harness, key: &str, ttl: &str, payload: &[u8], options: &str) -> String {
    let mut words = vec![b"RESTORE".as_slice(), key.as_bytes(), ttl.as_bytes(), payload];
    words.extend(options.split_ascii_whitespace().map(str::as_bytes));
    show(&client.run_words(&words))
}

#[test]
fn restore_checks_its_options_before_the_payload() {
    let mut client = Harness::new();
    let past = (START_MS - 1).to_string();
    let future = (START_MS + 77).to_string();
    for (key, ttl, options, reply) in [
        ("k", "-1", "", "-ERR Invalid TTL value, must be >= 0"),
        ("k", "x", "", "-ERR value is not an integer or out of range"),
        ("k", "0", "", "+OK"),
        ("k", "0", "", "-BUSYKEY Target key name already exists."),
        ("k", "x", "", "-BUSYKEY Target key name already exists."),
        ("k", "0", "FOO", "-ERR syntax error"),
        ("k", "0", "REPLACE IDLETIME", "-ERR syntax error"),
        ("k", "0", "REPLACE IDLETIME x", "-ERR value is not an integer or out of range"),
        ("k", "0", "REPLACE IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0"),
        ("k", "0", "REPLACE FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("k", "0", "REPLACE FREQ -1", "-ERR Invalid FREQ value, must be >= 0 and <= 255"),
        ("k", "0", "REPLACE FREQ 5 IDLETIME 3", "-ERR syntax error"),
        ("k", "0", "REPLACE FREQ 5", "+OK"),
        ("k", "0", "REPLACE IDLETIME 300", "+OK"),
    ] {
        assert_eq!(restore(&mut client, key, ttl, HELLO, options), reply, "{key} {ttl} {options}");
    }
    client.expect(&[("OBJECT IDLETIME k", ":300"), ("GET k", "'hello'")]);
    assert_eq!(restore(&mut client, "k", "100", HELLO, "REPLACE"), "+OK");
    client.expect(&[("PTTL k", ":100")]);
    assert_eq!(restore(&mut client, "k", &future, HELLO, "REPLACE ABSTTL"), "+OK");
    client.expect(&[("PTTL k", ":77")]);
    assert_eq!(restore(&mut client, "k", &past, HELLO, "REPLACE ABSTTL"), "+OK");
    client.expect(&[("EXISTS k", ":0")]);
}

#[test]
fn damaged_payloads_are_refused_and_change_nothing() {
    let mut client = Harness::new();
    client.run("SET k old");
    let damaged = "-ERR DUMP payload version or checksum are wrong";
    let sealed = |body: &[u8]| {
        let mut payload = body.to_vec();
        quiver_rdb::frame::seal(&mut payload);
        payload
    };
    let mut unsummed = HELLO.to_vec();
    unsummed[9..].fill(0);
    assert_eq!(restore(&mut client, "k", "0", &unsummed, "REPLACE"), damaged);
    assert_eq!(restore(&mut client, "k", "0", b"bad", "REPLACE"), damaged);
    for bit in 0..HELLO.len() * 8 {
        let mut payload = HELLO.to_vec();
        payload[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(restore(&mut client, "k", "0", &payload, "REPLACE"), damaged, "bit {bit}");
    }
    let bad = "-ERR Bad data format";
    for body in
        [b"".as_slice(), b"\x00", b"\x00\x06hello", b"\x00\x05hellox", b"\xee\x05hello", b"\x07\x81\xff\xff\xff"]
    {
        assert_eq!(restore(&mut client, "k", "0", &sealed(body), "REPLACE"), bad, "{body:?}");
    }
    client.expect(&[("GET k", "'old'")]);
}

#[test]
fn expiry_conditions_and_errors_are_those_of_redis() {
    let mut client = Harness::new();
    client.expect(&[
        ("SET a 1", "+OK"),
        ("EXPIRE a x", "-ERR value is not an integer or out of range"),
        ("EXPIRE a x FOO", "-ERR Unsupported option FOO"),
        ("EXPIRE nokey 10 FOO", "-ERR Unsupported option FOO"),
        ("EXPIRE a 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 10 NX GT LT", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 10 GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE nokey 10", ":0"),
        ("EXPIRE a 10 XX", ":0"),
        ("EXPIRE a 10 GT", ":0"),
        ("EXPIRE a 10 NX NX", ":1"),
        ("EXPIRE a 10 NX", ":0"),
        ("EXPIRE a 10 GT", ":0"),
        ("EXPIRE a 11 XX GT", ":1"),
        ("EXPIRE a 11 LT", ":0"),
        ("EXPIRE a 5 LT", ":1"),
        ("PERSIST a", ":1"),
        ("PERSIST a", ":0"),
        ("PERSIST nokey", ":0"),
        ("EXPIRE a 5 LT", ":1"),
        ("EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("EXPIRE nokey -9223372036854775808", "-ERR invalid expire time in 'expire' command"),
        ("PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("EXPIREAT a 9223372036854775807", "-ERR invalid expire time in 'expireat' command"),
        ("PEXPIREAT a 9223372036854775807", ":1"),
        ("PEXPIRETIME a", ":9223372036854775807"),
        ("EXPIRETIME a", ":9223372036854775"),
        ("EXPIREAT a 9223372036854775", ":1"),
        ("EXPIRETIME a", ":9223372036854775"),
        ("PEXPIRE a -9223372036854775808", ":1"),
        ("EXISTS a", ":0"),
    ]);
}

#[test]
fn remaining_time_counts_down_rounded_to_seconds() {
    let mut client = Harness::new();
    client.expect(&[
        ("TTL nokey", ":-2"),
        ("PEXPIRETIME nokey", ":-2"),
        ("SET a 1", "+OK"),
        ("PTTL a", ":-1"),
        ("EXPIRETIME a", ":-1"),
        ("PEXPIRE a 2500", ":1"),
        ("TTL a", ":3"),
        ("PEXPIRETIME a", ":1700000002500"),
        ("EXPIRETIME a", ":1700000003"),
    ]);
    client.now_ms += 1;
    client.expect(&[("TTL a", ":2"), ("PTTL a", ":2499")]);
    client.now_ms = START_MS + 2499;
    client.expect(&[("TTL a", ":0"), ("GET a", "'1'")]);
    client.now_ms = START_MS + 2500;
    client.expect(&[("TTL a", ":-2"), ("GET a", "$-1")]);
}

#[test]
fn the_primarys_stream_sets_times_that_are_over_and_waits_for_its_del() {
    let mut replica = Harness::new();
    replica.session.role = Role::Primary;
    replica.run_words(&["SET", "a", "1"]);
    replica.run_words(&["PEXPIREAT", "a", "1000"]);
    replica.session.role = Role::Normal;
    replica.engine.state.is_replica.store(true, std::sync::atomic::Ordering::Relaxed);
    replica.expect(&[("GET a", "$-1"), ("DBSIZE", ":1"), ("TTL a", ":-2"), ("KEYS *", "*0[]"), ("RANDOMKEY", "$-1")]);
    replica.session.role = Role::Primary;
    replica.run_words(&["DEL", "a"]);
    replica.session.role = Role::Normal;
    replica.expect(&[("DBSIZE", ":0")]);
}

/// A client with a value of every type, a hash in both encodings.
fn with_values() -> Harness {
    let mut client = Harness::new();
    client.run("SET text 'some text that is long enough'");
    client.run("HSET small f1 v1 f2 22");
    (0..200).for_each(|i| drop(client.run(&format!("HSET large field:{i} {i}"))));
    (0..20).for_each(|i| drop(client.run(&format!("VADD quantised VALUES 4 {i} 1 2 3 e{i} SETATTR '{{\"a\":{i}}}'"))));
    (0..20).for_each(|i| drop(client.run(&format!("VADD floats REDUCE 2 VALUES 4 {i} 1 2 3 e{i} NOQUANT"))));
    client
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The checksum keeps accidents out, not a client that computes it.
    #[test]
    fn sealed_bytes_of_a_stranger_are_refused_or_a_sound_value(
        key in prop_oneof![Just("text"), Just("small"), Just("large"), Just("quantised"), Just("floats")],
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut client = with_values();
        let mut body = dump(&mut client, key);
        body.truncate(body.len() - 10);
        for (at, byte) in edits {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if cuts {
            body.truncate(cut.index(body.len()));
        }
        quiver_rdb::frame::seal(&mut body);
        let reply = restore(&mut client, "stranger", "0", &body, "");
        if reply == "+OK" {
            let again = dump(&mut client, "stranger");
            prop_assert_eq!(restore(&mut client, "again", "0", &again, ""), "+OK");
            prop_assert_eq!(digest(&mut client, "stranger"), digest(&mut client, "again"));
            client.run("VSIM stranger VALUES 4 1 2 3 4");
            client.run("HGETALL stranger");
            prop_assert_eq!(client.run("DEL stranger again"), ":2");
        } else {
            prop_assert_eq!(reply, "-ERR Bad data format");
        }
    }
}
