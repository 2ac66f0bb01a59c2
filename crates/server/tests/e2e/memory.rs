//! Memory and time that clients take from each other: limits, background freeing, long commands.

use quiver_resp::Value;

use crate::support::{connect, eventually, number, run, start};

/// Sends commands in one go and receives as many replies.
fn pipeline(connection: &mut quiver_testkit::Connection, commands: &[Vec<String>]) -> Vec<Value> {
    for chunk in commands.chunks(1000) {
        for words in chunk {
            connection.send(words).expect("the server reads");
        }
    }
    commands.iter().map(|_| connection.receive().expect("a reply to each command").value).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// A hash of `fields` fields under `key`.
fn fill_hash(connection: &mut quiver_testkit::Connection, key: &str, fields: usize) {
    let numbers: Vec<usize> = (0..fields).collect();
    let commands: Vec<Vec<String>> = numbers
        .chunks(1000)
        .map(|chunk| {
            let pairs = chunk.iter().flat_map(|number| [format!("field:{number}"), number.to_string()]);
            ["HSET".to_owned(), key.to_owned()].into_iter().chain(pairs).collect()
        })
        .collect();
    pipeline(connection, &commands);
}

#[test]
fn long_commands_among_short_ones_are_answered_in_order() {
    let server = start(&[]);
    let mut connection = connect(&server);
    fill_hash(&mut connection, "huge", 30_000);
    let mut commands = Vec::new();
    for round in 0..5 {
        commands.push(words(&format!("SET round {round}")));
        commands.push(words("HLEN huge"));
        commands.push(words("COPY huge copy REPLACE"));
        commands.push(words("HVALS copy"));
        commands.push(words("GET round"));
        commands.push(words("MULTI"));
        commands.push(words("KEYS *"));
        commands.push(words("INCR rounds"));
        commands.push(words("EXEC"));
        commands.push(words("KEYS c*"));
        commands.push(words("DEL copy"));
    }
    let replies = pipeline(&mut connection, &commands);
    for (round, replies) in replies.chunks(11).enumerate() {
        assert_eq!(replies[1], Value::Integer(30_000));
        assert_eq!(replies[2], Value::Integer(1));
        assert!(matches!(&replies[3], Value::Array(values) if values.len() == 30_000));
        assert_eq!(replies[4], Value::Bulk(round.to_string().into_bytes()));
        assert!(matches!(&replies[8], Value::Array(done) if done[1] == Value::Integer(round as i64 + 1)));
        assert_eq!(replies[9], Value::Array(vec![Value::Bulk(b"copy".to_vec())]));
        assert_eq!(replies[10], Value::Integer(1));
    }
}

#[test]
fn a_fast_writer_stays_near_the_limit() {
    let server = start(&["--maxmemory-policy", "allkeys-lru"]);
    let mut connection = connect(&server);
    let limit = number(&mut connection, "used_memory") + (20 << 20);
    run(&mut connection, &format!("CONFIG SET maxmemory {limit}"));
    let value = "x".repeat(1000);
    let mut most = 0;
    for batch in 0..50 {
        let commands: Vec<_> =
            (0..1000).map(|n| vec!["SET".to_owned(), format!("k:{}", batch * 1000 + n), value.clone()]).collect();
        let replies = pipeline(&mut connection, &commands);
        assert!(replies.iter().all(|reply| *reply == Value::Simple(b"OK".to_vec())));
        most = most.max(number(&mut connection, "used_memory"));
    }
    assert!(most < limit + (1 << 20), "{} bytes over the limit", most - limit);
    assert!(number(&mut connection, "evicted_keys") > 20_000);
    assert_eq!(number(&mut connection, "mem_not_counted_for_evict"), 0);
}

#[test]
fn the_client_with_the_largest_buffer_is_closed() {
    let server = start(&["--maxmemory-clients", "1mb"]);
    let (mut connection, mut hoarder) = (connect(&server), connect(&server));
    run(&mut connection, "CLIENT NO-EVICT on");
    hoarder.send_raw(b"*2\r\n$4\r\nECHO\r\n$4000000\r\n").expect("the server reads");
    // The server may close in the middle of it.
    let _ = hoarder.send_raw(&[b'x'; 2_000_000]);
    eventually("the hoarder to be gone", || number(&mut connection, "connected_clients") == 1);
    assert_eq!(number(&mut connection, "evicted_clients"), 1);
}

#[test]
fn what_is_large_is_freed_in_the_background_and_counted() {
    let server = start(&[]);
    let mut connection = connect(&server);
    fill_hash(&mut connection, "huge", 20_000);
    let before = number(&mut connection, "used_memory");
    assert_eq!(run(&mut connection, "UNLINK huge"), Value::Integer(1));
    eventually("the hash to be freed", || number(&mut connection, "lazyfreed_objects") == 1);
    assert_eq!(number(&mut connection, "lazyfree_pending_objects"), 0);
    assert!(number(&mut connection, "used_memory") + 500_000 < before);
    for n in 0..10 {
        run(&mut connection, &format!("SET k:{n} v"));
    }
    run(&mut connection, "FLUSHALL ASYNC");
    eventually("the keys to be freed", || number(&mut connection, "lazyfreed_objects") == 11);
    run(&mut connection, "CONFIG RESETSTAT");
    assert_eq!(number(&mut connection, "lazyfreed_objects"), 0);
}
