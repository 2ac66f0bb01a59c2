//! The closed loop: N connections on one thread, each sends a batch of P requests, waits for its P replies, repeats.
//!
//! Idea: one epoll instance and nonblocking sockets; per batch one write and usually one read, no wake-ups, no
//! allocation. The generator shares the machine with the server, so its own cost bounds what it can measure:
//! [`Outcome::generator_busy`] says how near to that bound a run was.
//!
//! Invariants: every request sent is answered before [`Driver::run`] returns `Ok`, and each reply went through
//! [`Traffic::reply`]. A server that is silent for ten seconds is an error.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;

use crate::histogram::Histogram;
use crate::procfs;
use crate::reply;

const SILENCE_MAX: Duration = Duration::from_secs(10);
const INPUT_BYTES: usize = 64 << 10;

/// What to send and what to think of the answers.
pub trait Traffic {
    /// Appends the next request to `output` and returns a tag to be handed back with its reply; `None` at the end.
    fn request(&mut self, output: &mut Vec<u8>) -> Option<u32>;
    /// Judges the complete reply to the request tagged `tag`; an error ends the run.
    fn reply(&mut self, tag: u32, reply: &[u8]) -> Result<()>;
}

/// What a run measured.
#[derive(Debug)]
pub struct Outcome {
    /// Requests answered.
    pub operations: u64,
    /// From the first request to the last reply.
    pub elapsed: Duration,
    /// From writing a batch to each of its replies, in nanoseconds.
    pub latencies: Histogram,
    /// Share of the time that this thread's process was on its core, 0..=1.
    pub generator_busy: f64,
}

impl Outcome {
    /// Operations per second of wall time.
    pub fn operations_per_s(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }
}

/// Open connections to one server.
#[derive(Debug)]
pub struct Driver {
    epoll: OwnedFd,
    connections: Vec<Connection>,
}

impl Driver {
    /// Opens `count` connections.
    pub fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        ensure!(count > 0, "at least one connection");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            connections.push(Connection::new(stream));
        }
        Ok(Self { epoll, connections })
    }

    /// Drives `traffic` in batches of `pipeline` until it ends or, from `duration` on, no new batch is begun.
    pub fn run(&mut self, traffic: &mut impl Traffic, pipeline: usize, duration: Option<Duration>) -> Result<Outcome> {
        let (start, cpu_start) = (Instant::now(), procfs::cpu_time(std::process::id())?);
        let deadline = duration.map(|duration| start + duration);
        let mut run = Run { traffic, pipeline, deadline, operations: 0, latencies: Histogram::default() };
        let mut busy = 0;
        for index in 0..self.connections.len() {
            if self.connections[index].begin_batch(&mut run) {
                busy += 1;
                self.flush(index)?;
            }
        }
        let mut events =
            vec![epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 256];
        while busy > 0 {
            for event in wait(&self.epoll, &mut events)? {
                busy -= usize::from(self.serve(event.data.u64() as usize, event.flags, &mut run)?);
            }
        }
        let (operations, latencies, elapsed) = (run.operations, run.latencies, start.elapsed());
        let cpu = procfs::cpu_time(std::process::id())?.saturating_sub(cpu_start);
        Ok(Outcome {
            operations,
            elapsed,
            latencies,
            generator_busy: cpu.as_secs_f64() / elapsed.as_secs_f64().max(1e-9),
        })
    }

    /// Handles one event; true when the connection has nothing more to do.
    fn serve<T: Traffic>(&mut self, index: usize, flags: epoll::EventFlags, run: &mut Run<'_, T>) -> Result<bool> {
        let connection = &mut self.connections[index];
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush(index)?;
            return Ok(false);
        }
        connection.receive(run)?;
        if connection.answered < connection.tags.len() {
            return Ok(false);
        }
        ensure!(connection.filled == 0, "the server sent more replies than it got requests");
        if run.is_over() || !connection.begin_batch(run) {
            return Ok(true);
        }
        self.flush(index)?;
        Ok(false)
    }

    /// Writes what is pending; asks epoll for room only where the socket is full, which batches of a sane size never see.
    fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let done = connection.send()?;
        if done != connection.waits_for_room {
            return Ok(());
        }
        connection.waits_for_room = !done;
        let room = if done { epoll::EventFlags::empty() } else { epoll::EventFlags::OUT };
        let data = epoll::EventData::new_u64(index as u64);
        Ok(epoll::modify(&self.epoll, &connection.stream, data, epoll::EventFlags::IN | room)?)
    }
}

struct Run<'a, T> {
    traffic: &'a mut T,
    pipeline: usize,
    deadline: Option<Instant>,
    operations: u64,
    latencies: Histogram,
}

impl<T> Run<'_, T> {
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    output: Vec<u8>,
    written: usize,
    waits_for_room: bool,
    /// Received bytes are `input[..filled]`; the rest is room.
    input: Vec<u8>,
    filled: usize,
    /// One tag per request of the batch; the first `answered` have their reply.
    tags: Vec<u32>,
    answered: usize,
    sent_at: Instant,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            output: Vec::new(),
            written: 0,
            waits_for_room: false,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            tags: Vec::new(),
            answered: 0,
            sent_at: Instant::now(),
        }
    }

    /// Prepares the next batch; false when the traffic has ended.
    fn begin_batch<T: Traffic>(&mut self, run: &mut Run<'_, T>) -> bool {
        self.output.clear();
        self.tags.clear();
        (self.written, self.answered) = (0, 0);
        for _ in 0..run.pipeline {
            let Some(tag) = run.traffic.request(&mut self.output) else { break };
            self.tags.push(tag);
        }
        self.sent_at = Instant::now();
        !self.tags.is_empty()
    }

    /// True when everything is written, false when the socket is full.
    fn send(&mut self) -> Result<bool> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the server closed a connection while we wrote"),
            }
        }
        Ok(true)
    }

    fn receive<T: Traffic>(&mut self, run: &mut Run<'_, T>) -> Result<()> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => self.filled += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(error) => return Err(error).context("reading from the server"),
        }
        let latency_ns = self.sent_at.elapsed().as_nanos() as u64;
        let before = self.answered;
        let mut at = 0;
        while self.answered < self.tags.len() {
            let Some(length) = reply::complete_len(&self.input[at..self.filled])? else { break };
            run.traffic.reply(self.tags[self.answered], &self.input[at..at + length])?;
            self.answered += 1;
            at += length;
        }
        let answered = (self.answered - before) as u64;
        run.operations += answered;
        run.latencies.record(latency_ns, answered);
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        if self.filled == self.input.len() {
            self.input.resize(self.filled * 2, 0);
        }
        Ok(())
    }
}

fn wait<'a>(epoll: &OwnedFd, events: &'a mut [epoll::Event]) -> Result<&'a [epoll::Event]> {
    let timeout = rustix::event::Timespec { tv_sec: SILENCE_MAX.as_secs() as i64, tv_nsec: 0 };
    match epoll::wait(epoll, &mut *events, Some(&timeout)) {
        Ok(0) => bail!("the server has been silent for {SILENCE_MAX:?}"),
        Ok(count) => Ok(&events[..count]),
        Err(rustix::io::Errno::INTR) => Ok(&[]),
        Err(error) => Err(error).context("epoll"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::template::{Expect, Sizes, Template};
    use crate::traffic::{Fill, Random};

    /// A server that answers `answer` to each line `PING` it gets, cut into pieces of `piece` bytes.
    fn serve(answer: &'static [u8], piece: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        // Requests are `*1 $4 PING`, 14 bytes; the tests keep batches within one segment.
                        let replies = answer.repeat(count / 14);
                        for chunk in replies.chunks(piece) {
                            stream.write_all(chunk).unwrap();
                        }
                    }
                });
            }
        });
        address
    }

    fn ping(expect: Expect) -> Template {
        Template::custom("PING", Sizes { key: 16, value: 1 }, expect).unwrap()
    }

    #[test]
    fn every_request_is_answered_across_connections_and_cut_replies() {
        for piece in [1, 3, 4096] {
            let mut driver = Driver::connect(serve(b"+OK\r\n", piece), 3).unwrap();
            let outcome = driver.run(&mut Fill::new(ping(Expect::Ok), 1000), 16, None).unwrap();
            assert_eq!((outcome.operations, outcome.latencies.count()), (1000, 1000));
        }
    }

    #[test]
    fn an_endless_traffic_ends_at_its_deadline() {
        let mut driver = Driver::connect(serve(b":1\r\n", 4096), 2).unwrap();
        let traffic = &mut Random::new(ping(Expect::Integer), 1);
        let outcome = driver.run(traffic, 4, Some(Duration::from_millis(50))).unwrap();
        assert!(outcome.operations > 0 && outcome.elapsed < Duration::from_secs(5));
    }

    #[test]
    fn an_unexpected_or_surplus_reply_ends_the_run() {
        let mut driver = Driver::connect(serve(b"-ERR boom\r\n", 4096), 1).unwrap();
        let error = driver.run(&mut Fill::new(ping(Expect::Ok), 10), 1, None).unwrap_err();
        assert!(error.to_string().contains("boom"), "{error}");
        let mut driver = Driver::connect(serve(b"+OK\r\n+OK\r\n", 4096), 1).unwrap();
        let error = driver.run(&mut Fill::new(ping(Expect::Ok), 10), 1, None).unwrap_err();
        assert!(error.to_string().contains("more replies"), "{error}");
    }
}
