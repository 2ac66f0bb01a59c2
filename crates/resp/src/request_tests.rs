//! Protocol errors and lenience as observed on Redis 8.0.2, splitting at every byte, garbage, and bounds.

use proptest::prelude::*;

use super::*;
use crate::argv::OwnedArgv;

type Outcome = (Vec<OwnedArgv>, Result<(), ProtocolError>);

/// Feeds `input` in the given pieces as a connection would, removing what was consumed.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits, max_commands: usize) -> Outcome {
    let (mut decoder, mut requests) = (Decoder::new(), Requests::new());
    let (mut buf, mut commands) = (Vec::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            requests.clear();
            let consumed = decoder.decode(&buf, limits, &mut requests, max_commands);
            commands.extend(requests.iter(&buf).map(|argv| argv.to_owned()));
            match consumed {
                Ok(n) => buf.drain(..n),
                Err(error) => return (commands, Err(error)),
            };
            if requests.len() < max_commands {
                break;
            }
        }
    }
    (commands, Ok(()))
}

fn whole(input: &[u8], limits: &Limits) -> Outcome {
    feed([input], limits, usize::MAX)
}

fn words(words: &[&str]) -> OwnedArgv {
    OwnedArgv::from_slices(words)
}

#[test]
fn protocol_errors_have_the_texts_of_redis() {
    let long = |prefix: &str, n: usize| [prefix.as_bytes(), &vec![b'1'; n]].concat();
    let multibulk = "ERR Protocol error: invalid multibulk length";
    let bulk = "ERR Protocol error: invalid bulk length";
    let quotes = "ERR Protocol error: unbalanced quotes in request";
    let table: Vec<(Vec<u8>, &str)> = vec![
        (b"*x\r\n".to_vec(), multibulk),
        (b"*\r\nPING\r\n".to_vec(), multibulk),
        (b"*2147483648\r\n".to_vec(), multibulk),
        (b"*+1\r\n".to_vec(), multibulk),
        (b"*01\r\n".to_vec(), multibulk),
        (b"*-0\r\n".to_vec(), multibulk),
        (b"* 1\r\n".to_vec(), multibulk),
        (b"*1 \r\n".to_vec(), multibulk),
        (b"*1\n$4\r\nPING\r\n".to_vec(), multibulk),
        (b"*99999999999999999999\r\n".to_vec(), multibulk),
        (b"*-99999999999999999999\r\n".to_vec(), multibulk),
        (b"*1\r\n$x\r\n".to_vec(), bulk),
        (b"*1\r\n$\r\n".to_vec(), bulk),
        (b"*1\r\n$-1\r\n".to_vec(), bulk),
        (b"*1\r\n$04\r\nPING\r\n".to_vec(), bulk),
        (b"*1\r\n$+4\r\nPING\r\n".to_vec(), bulk),
        (b"*1\r\n$4 \r\nPING\r\n".to_vec(), bulk),
        (b"*1\r\n$4\nPING\r\n".to_vec(), bulk),
        (b"*1\r\n$536870913\r\n".to_vec(), bulk),
        (b"*1\r\n$99999999999999999999999\r\n".to_vec(), bulk),
        (b"*1\r\n:4\r\n".to_vec(), "ERR Protocol error: expected '$', got ':'"),
        (b"*1\r\nx\rz".to_vec(), "ERR Protocol error: expected '$', got 'x'"),
        (b"*1\r\n\r\n".to_vec(), "ERR Protocol error: expected '$', got ' '"),
        (b"*1\r\n\x01a\r\n".to_vec(), "ERR Protocol error: expected '$', got '\x01'"),
        (long("*", 65536), "ERR Protocol error: too big mbulk count string"),
        (long("*1\r\n$", 65536), "ERR Protocol error: too big bulk count string"),
        (long("*1\r\n", 65537), "ERR Protocol error: too big bulk count string"),
        (long("", 65537), "ERR Protocol error: too big inline request"),
        (b"\"PING\r\n".to_vec(), quotes),
        (b"echo \"a\"b\r\n".to_vec(), quotes),
    ];
    for (input, message) in table {
        let (commands, error) = whole(&input, &Limits::default());
        let shown = input[..input.len().min(40)].escape_ascii();
        assert_eq!(error.expect_err(&shown.to_string()).message().as_deref(), Some(message.as_bytes()), "{shown}");
        assert!(commands.is_empty());
    }
}

#[test]
fn what_redis_waits_for_is_no_error() {
    for input in [
        &b"*1048577\r\n"[..],
        b"*2147483647\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n\n",
        b"*1\r\nx",
        b"*1\r\nx\r",
        b"*1\r\n$4\r\n",
        &[b"*".as_slice(), &[b'1'; 65535]].concat(),
        &[b'a'; 65536],
    ] {
        assert_eq!(
            whole(input, &Limits::default()),
            (vec![], Ok(())),
            "{}",
            input[..input.len().min(20)].escape_ascii()
        );
    }
}

#[test]
fn what_redis_tolerates_is_tolerated() {
    let ping = words(&["PING"]);
    let table: &[(&[u8], usize)] = &[
        (b"*-1\r\nPING\r\n", 1),
        (b"*-5\r\nPING\r\n", 1),
        (b"*0\r\nPING\r\n", 1),
        (b"*-9223372036854775808\r\nPING\n", 1),
        (b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", 2),
        (b"*1\r\n$4\rxPING\r\n", 1),
        (b"*1\rx$4\r\nPING\r\n", 1),
        (b"\r\n\n   \r\nPING\r\n", 1),
        (b"PING\r\r\n  PING  \n", 2),
    ];
    for (input, count) in table {
        assert_eq!(whole(input, &Limits::default()), (vec![ping.clone(); *count], Ok(())), "{}", input.escape_ascii());
    }
    let empty = whole(b"*1\r\n$0\r\n\r\n\"\"\r\n", &Limits::default());
    assert_eq!(empty, (vec![words(&[""]), words(&[""])], Ok(())));
}

#[test]
fn commands_before_a_mistake_are_answered() {
    let (commands, error) = whole(b"*1\r\n$4\r\nPING\r\nget k\r\n*2\r\n$3\r\nGET\r\n$x\r\n", &Limits::default());
    assert_eq!(commands, [words(&["PING"]), words(&["get", "k"])]);
    assert_eq!(error, Err(ProtocolError::BulkLength));
}

#[test]
fn http_is_refused_without_an_answer() {
    for input in ["POST / HTTP/1.1\r\n", "post x\r\n", "Host: x\r\n", "host:\n", "\"POST\"\r\n"] {
        let (_, error) = whole(input.as_bytes(), &Limits::default());
        assert_eq!(error, Err(ProtocolError::CrossProtocol));
        assert_eq!(ProtocolError::CrossProtocol.message(), None);
    }
    assert_eq!(whole(b"POSTx\r\nHost:x\r\n", &Limits::default()).1, Ok(()));
}

#[test]
fn before_auth_commands_are_small() {
    let limits = Limits { unauthenticated: true, ..Limits::default() };
    let table: &[(&[u8], Option<&str>)] = &[
        (b"*10\r\n", None),
        (b"*11\r\n", Some("ERR Protocol error: unauthenticated multibulk length")),
        (b"*1\r\n$16384\r\n", None),
        (b"*1\r\n$16385\r\n", Some("ERR Protocol error: unauthenticated bulk length")),
        (b"*1000000000000\r\n", Some("ERR Protocol error: invalid multibulk length")),
        (b"*1\r\n$99999999999\r\n", Some("ERR Protocol error: invalid bulk length")),
    ];
    for (input, message) in table {
        let found = whole(input, &limits).1.err().and_then(|error| error.message());
        assert_eq!(found.as_deref(), message.map(str::as_bytes), "{}", input.escape_ascii());
    }
}

#[test]
fn a_claim_allocates_nothing() {
    let (mut decoder, mut requests) = (Decoder::new(), Requests::new());
    let input = b"*2147483647\r\n$4\r\nMSET\r\n$536870912\r\nabc";
    assert_eq!(decoder.decode(input, &Limits::default(), &mut requests, 100), Ok(0));
    assert!(decoder.pending.capacity() <= 4 && requests.spans.capacity() <= 4);
    assert_eq!(decoder.wanted(), input.len() - 3 + 536_870_912 + 2);
}

#[test]
fn a_command_beyond_the_query_buffer_is_refused() {
    let limits = Limits { max_request_bytes: 1000, ..Limits::default() };
    assert_eq!(whole(b"*2\r\n$3\r\nGET\r\n$2000\r\n", &limits).1, Err(ProtocolError::RequestTooBig));
    let many = b"*9999\r\n".iter().copied().chain(b"$1\r\na\r\n".repeat(300)).collect::<Vec<_>>();
    assert_eq!(feed(many.chunks(64), &limits, 10).1, Err(ProtocolError::RequestTooBig));
}

#[test]
fn ends_are_offsets_behind_each_command() {
    let (mut decoder, mut requests) = (Decoder::new(), Requests::new());
    let input = b"\r\n*1\r\n$4\r\nPING\r\nget k\r\n*1\r\n";
    let consumed = decoder.decode(input, &Limits::default(), &mut requests, 100);
    assert_eq!((consumed, requests.end(0), requests.end(1)), (Ok(23), 16, 23));
}

#[test]
fn a_header_completed_after_a_short_read_leaves_no_trace() {
    let input = b"*1\r\n$10\r\n0123456789\r\n*12\r\n".as_slice();
    let tail = b"$1\r\na\r\n".repeat(12);
    let input = [input, &tail].concat();
    for cut in 0..input.len() {
        let (commands, error) = feed([&input[..cut], &input[cut..]], &Limits::default(), 10);
        assert_eq!((commands.len(), commands[1].len(), error), (2, 12, Ok(())));
    }
}

fn any_command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 90..130),
    ];
    prop::collection::vec(word, 1..13)
}

/// Text that is nearly RESP, so that mistakes happen deep inside.
fn nearly_resp() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "*1\r\n",
        "*2\r\n",
        "*12\r\n",
        "*-1\r\n",
        "*0\r\n",
        "$4\r\n",
        "$0\r\n",
        "$12\r\n",
        "PING",
        "\r\n",
        "\r",
        "\n",
        "\"",
        "'",
        "x",
        "*",
        "$",
        "9999999999",
        "\0",
        "get k\r\n",
        "$3\r\nabc\r\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn commands_round_trip_however_they_are_split(
        commands in prop::collection::vec(any_command(), 0..8),
        piece in 1usize..70,
        max_commands in 1usize..5,
    ) {
        let commands: Vec<_> = commands.iter().map(|words| OwnedArgv::from_slices(words)).collect();
        let mut wire = Vec::new();
        commands.iter().for_each(|command| command.encode(&mut wire));
        let decoded = feed(wire.chunks(piece), &Limits::default(), max_commands);
        prop_assert_eq!(decoded, (commands, Ok(())));
    }

    #[test]
    fn splitting_at_any_byte_changes_nothing(input in nearly_resp(), piece in 1usize..9) {
        let expected = whole(&input, &Limits::default());
        for cut in 0..=input.len() {
            prop_assert_eq!(&feed([&input[..cut], &input[cut..]], &Limits::default(), 2), &expected);
        }
        prop_assert_eq!(feed(input.chunks(piece), &Limits::default(), usize::MAX), expected);
    }

    #[test]
    fn garbage_never_panics(input in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..40) {
        let limits = Limits { max_bulk_len: 64, max_multibulk: 8, max_inline: 40, max_request_bytes: 100, unauthenticated: false };
        let _outcome = feed(input.chunks(piece), &limits, 3);
    }
}
