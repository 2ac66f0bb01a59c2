//! The driver on servers whose differences are known.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use quiver_resp::{Decoder, Limits, Requests};
use quiver_testkit::differential::families::Family;
use quiver_testkit::differential::{Difference, Driver, Options, Step};

/// A server that knows FLUSHALL, HELLO, ADD (counts) and COUNT (tells the number of ADDs, at most `cap`).
fn counting_server(cap: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let count = Arc::new(Mutex::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || serve(stream, cap, &count));
        }
    });
    addr
}

fn serve(mut stream: TcpStream, cap: usize, count: &Mutex<usize>) {
    let (mut decoder, mut requests, mut received) = (Decoder::default(), Requests::default(), Vec::new());
    let mut chunk = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..len]);
        requests.clear();
        let used = decoder.decode(&received, &Limits::default(), &mut requests, 64).expect("the driver sends requests");
        let mut out = String::new();
        for index in 0..requests.len() {
            let mut count = count.lock().expect("no thread panics");
            match requests.argv(index, &received).at(0).to_ascii_lowercase().as_slice() {
                b"add" => *count += 1,
                b"flushall" => *count = 0,
                b"count" => {
                    out.push_str(&format!(":{}\r\n", (*count).min(cap)));
                    continue;
                }
                _ => {}
            }
            out.push_str("+OK\r\n");
        }
        received.drain(..used);
        // The driver may be gone: that ends the connection.
        if stream.write_all(out.as_bytes()).is_err() {
            return;
        }
    }
}

fn options(count: usize) -> Options {
    Options { seed: 5, count, episode: 100, protocols: vec![2, 3], max_differences: 10, known_only: false }
}

#[test]
fn a_difference_is_found_and_its_history_cut_to_what_matters() {
    let driver = Driver { ours: counting_server(2), theirs: counting_server(usize::MAX) };
    let family = Family::new("counting", 1, &[(5, "add <key>"), (1, "count"), (5, "other <value>")]);
    let (differences, steps) = driver.run(&family, &options(400)).expect("both servers run");
    assert!(steps >= 400);
    // The same disagreement is reported a few times, not for every episode.
    assert!((1..=3).contains(&differences.len()), "{differences:?}");
    for difference in &differences {
        assert_shortest(difference);
    }
}

fn assert_shortest(difference: &Difference) {
    let names: Vec<String> = difference
        .history
        .iter()
        .map(|step| match step {
            Step::Call { words, .. } => String::from_utf8_lossy(&words[0]).to_ascii_lowercase(),
            other => panic!("the family has no {other}"),
        })
        .collect();
    assert_eq!(names, ["add", "add", "add", "count"]);
    assert_eq!((difference.ours.as_str(), difference.theirs.as_str()), (":2\\r\\n", ":3\\r\\n"));
}

#[test]
fn equal_servers_have_no_differences() {
    let driver = Driver { ours: counting_server(9), theirs: counting_server(9) };
    let family = Family::new("counting", 2, &[(5, "add <key>"), (2, "count")]);
    let (differences, steps) = driver.run(&family, &options(1000)).expect("both servers run");
    assert!(differences.is_empty(), "{differences:?}");
    assert!(steps >= 1000);
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error() {
    let nobody = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.local_addr().expect("it is bound")
    };
    let driver = Driver { ours: counting_server(9), theirs: nobody };
    let error = driver.run(&Family::new("counting", 1, &[(1, "count")]), &options(10)).expect_err("nobody listens");
    assert!(format!("{error:#}").contains(&nobody.to_string()), "{error:#}");
}
