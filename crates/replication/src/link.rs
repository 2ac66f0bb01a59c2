//! The replica's side of a replication connection, as a state machine.
//!
//! ```text
//! PING -> [AUTH] -> REPLCONF listening-port [ip-address] capa version -> PSYNC -> +FULLRESYNC -> snapshot -> stream
//!                                                                             \-> +CONTINUE -------------> stream
//! ```
//!
//! Bytes from the primary go in through [`Link::receive`], bytes for it and events come out. The snapshot is either a
//! bulk of known length or ends with a mark of 40 bytes announced before it.

use quiver_resp::write_command;
use thiserror::Error;

/// What this replica says of itself, and its password.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// Port this replica serves clients on.
    pub listening_port: u16,
    /// `masteruser`, empty for none.
    pub user: String,
    /// `masterauth`, empty for none.
    pub password: String,
    /// The stream followed before and the offset behind its last byte applied.
    pub resume: Option<(String, u64)>,
    /// `replica-announce-ip`, empty for none.
    pub announced_ip: String,
    /// Version of Redis this replica compares to.
    pub version: &'static str,
    /// Asks the replica at the other end to become the primary (FAILOVER).
    pub failover: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A snapshot follows; the stream goes on behind it at `offset`.
    FullSync {
        /// Id of the stream.
        id: String,
        /// Offset behind the snapshot.
        offset: u64,
    },
    /// A piece of the snapshot.
    Snapshot(Vec<u8>),
    /// The length of the snapshot, where the primary knows it.
    SnapshotLength(u64),
    /// The snapshot is complete. Load it, then acknowledge with [`Link::acknowledge`].
    SnapshotEnd,
    /// The stream goes on where it was, perhaps under a new id.
    Continue(Option<String>),
    /// Bytes of the stream.
    Stream(Vec<u8>),
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// The primary refused a step.
    #[error("the primary answered {step} with: {answer}")]
    Refused {
        /// The step.
        step: &'static str,
        /// The primary's words.
        answer: String,
    },
    /// The answer makes no sense here.
    #[error("unexpected answer to {step}: {answer}")]
    Unexpected {
        /// The step.
        step: &'static str,
        /// The beginning of it.
        answer: String,
    },
    /// A line longer than any answer.
    #[error("the primary sent a line without an end")]
    Line,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ping,
    Auth,
    Port,
    Address,
    Capa,
    Version,
    Psync,
    SnapshotHeader,
    Sized(u64),
    Marked { mark: Vec<u8>, tail: Vec<u8> },
    Stream,
}

/// Longest answer line.
const LINE_MAX: usize = 64 * 1024;
/// Length of the end mark.
const MARK_LEN: usize = 40;

/// One connection to a primary.
#[derive(Debug)]
pub struct Link {
    login: Login,
    state: State,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Link {
    /// A fresh connection; its first bytes wait in [`Link::take_output`].
    pub fn new(login: Login) -> Self {
        let mut link = Self { login, state: State::Ping, input: Vec::new(), output: Vec::new() };
        write_command(&mut link.output, &["PING"]);
        link
    }

    /// Bytes to send to the primary.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether the stream is flowing.
    pub fn is_streaming(&self) -> bool {
        self.state == State::Stream
    }

    /// Whether a snapshot is on its way or announced.
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::SnapshotHeader | State::Sized(_) | State::Marked { .. })
    }

    /// A sign of life while there is nothing to acknowledge: primaries take an empty line as one.
    pub fn keep_alive(&mut self) {
        self.output.push(b'\n');
    }

    /// Tells the primary how far the stream is applied; also the first word behind a snapshot.
    pub fn acknowledge(&mut self, offset: u64, on_disk: Option<u64>) {
        let mut words = vec!["REPLCONF".to_owned(), "ACK".to_owned(), offset.to_string()];
        words.extend(on_disk.into_iter().flat_map(|offset| ["FACK".to_owned(), offset.to_string()]));
        write_command(&mut self.output, &words);
    }

    /// Takes bytes from the primary.
    ///
    /// # Errors
    /// [`LinkError`]: close the connection and try again later.
    pub fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), LinkError> {
        if self.state == State::Stream && self.input.is_empty() {
            events.push(Event::Stream(bytes.to_vec()));
            return Ok(());
        }
        self.input.extend_from_slice(bytes);
        while !self.input.is_empty() && self.advance(events)? {}
        Ok(())
    }

    /// One step; `false` when more bytes are needed.
    fn advance(&mut self, events: &mut Vec<Event>) -> Result<bool, LinkError> {
        match &mut self.state {
            State::Stream => {
                events.push(Event::Stream(std::mem::take(&mut self.input)));
                Ok(false)
            }
            State::Sized(left) => {
                let take = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                let done = *left == 0;
                events.push(Event::Snapshot(self.input.drain(..take).collect()));
                if done {
                    self.end_snapshot(events);
                }
                Ok(done)
            }
            State::Marked { mark, tail } => {
                // The mark may be spread over reads: the last 40 bytes are always held back.
                tail.append(&mut self.input);
                if let Some(ready) = tail.len().checked_sub(MARK_LEN).filter(|ready| *ready > 0) {
                    events.push(Event::Snapshot(tail.drain(..ready).collect()));
                }
                if tail == mark {
                    self.end_snapshot(events);
                }
                Ok(false)
            }
            _ => self.line(events),
        }
    }

    fn end_snapshot(&mut self, events: &mut Vec<Event>) {
        self.state = State::Stream;
        events.push(Event::SnapshotEnd);
    }

    /// Takes one line of the dialogue.
    fn line(&mut self, events: &mut Vec<Event>) -> Result<bool, LinkError> {
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            return if self.input.len() > LINE_MAX { Err(LinkError::Line) } else { Ok(false) };
        };
        let line: Vec<u8> = self.input.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        // Empty lines keep the connection alive while the primary prepares the snapshot.
        if !line.is_empty() {
            self.answer(&line, events)?;
        }
        Ok(true)
    }

    fn answer(&mut self, line: &str, events: &mut Vec<Event>) -> Result<(), LinkError> {
        match self.state {
            State::Ping => {
                let locked = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"].iter().any(|e| line.starts_with(e));
                if !line.starts_with('+') && !locked {
                    return Err(refused("PING", line));
                }
                if self.login.password.is_empty() {
                    self.send_port();
                } else {
                    self.send_auth();
                }
            }
            State::Auth if line.starts_with('+') => self.send_port(),
            State::Auth => return Err(refused("AUTH", line)),
            // Old primaries do not know these; nothing depends on them.
            State::Port if self.login.announced_ip.is_empty() => self.send_capa(),
            State::Port => self.send_address(),
            State::Address => self.send_capa(),
            State::Capa => self.send_version(),
            State::Version => self.send_psync(),
            State::Psync => self.psync_answer(line, events)?,
            State::SnapshotHeader => {
                self.state = snapshot_header(line)?;
                if let State::Sized(length) = self.state {
                    events.push(Event::SnapshotLength(length));
                }
            }
            State::Sized(_) | State::Marked { .. } | State::Stream => {
                unreachable!("these states take bytes, not lines")
            }
        }
        Ok(())
    }

    fn send_auth(&mut self) {
        let Login { user, password, .. } = &self.login;
        if user.is_empty() {
            write_command(&mut self.output, &["AUTH", password]);
        } else {
            write_command(&mut self.output, &["AUTH", user, password]);
        }
        self.state = State::Auth;
    }

    fn send_port(&mut self) {
        write_command(&mut self.output, &["REPLCONF", "listening-port", &self.login.listening_port.to_string()]);
        self.state = State::Port;
    }

    fn send_address(&mut self) {
        write_command(&mut self.output, &["REPLCONF", "ip-address", &self.login.announced_ip]);
        self.state = State::Address;
    }

    fn send_version(&mut self) {
        write_command(&mut self.output, &["REPLCONF", "version", self.login.version]);
        self.state = State::Version;
    }

    fn send_capa(&mut self) {
        write_command(&mut self.output, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
        self.state = State::Capa;
    }

    fn send_psync(&mut self) {
        match &self.login.resume {
            // On the wire offsets count from 1: the first byte wanted.
            Some((id, offset)) => {
                let (next, failover) = ((offset + 1).to_string(), ["FAILOVER"]);
                let words =
                    ["PSYNC", id, &next].into_iter().chain(failover.into_iter().filter(|_| self.login.failover));
                write_command(&mut self.output, &words.collect::<Vec<_>>());
            }
            None => write_command(&mut self.output, &["PSYNC", "?", "-1"]),
        }
        self.state = State::Psync;
    }

    fn psync_answer(&mut self, line: &str, events: &mut Vec<Event>) -> Result<(), LinkError> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["+FULLRESYNC", id, offset] => {
                let offset = offset.parse().map_err(|_| unexpected("PSYNC", line))?;
                events.push(Event::FullSync { id: (*id).to_owned(), offset });
                self.state = State::SnapshotHeader;
            }
            ["+CONTINUE", rest @ ..] => {
                events.push(Event::Continue(rest.first().map(|id| (*id).to_owned())));
                self.state = State::Stream;
            }
            _ if line.starts_with('-') => return Err(refused("PSYNC", line)),
            _ => return Err(unexpected("PSYNC", line)),
        }
        Ok(())
    }
}

fn snapshot_header(line: &str) -> Result<State, LinkError> {
    let header = line.strip_prefix('$').ok_or_else(|| unexpected("the snapshot", line))?;
    match header.strip_prefix("EOF:") {
        Some(mark) if mark.len() == MARK_LEN => Ok(State::Marked { mark: mark.as_bytes().to_vec(), tail: Vec::new() }),
        Some(_) => Err(unexpected("the snapshot", line)),
        None => match header.parse() {
            Ok(length @ 1..) => Ok(State::Sized(length)),
            _ => Err(unexpected("the snapshot", line)),
        },
    }
}

fn refused(step: &'static str, answer: &str) -> LinkError {
    LinkError::Refused { step, answer: answer.chars().take(200).collect() }
}

fn unexpected(step: &'static str, answer: &str) -> LinkError {
    LinkError::Unexpected { step, answer: answer.chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `wire` in pieces of `step` bytes; gives the events with pieces of snapshot and stream joined.
    fn play(login: Login, wire: &[u8], step: usize) -> Result<(Vec<Event>, Vec<u8>), LinkError> {
        let mut link = Link::new(login);
        let (mut joined, mut sent) = (Vec::<Event>::new(), Vec::new());
        for piece in wire.chunks(step) {
            let mut events = Vec::new();
            link.receive(piece, &mut events)?;
            sent.extend(link.take_output());
            for event in events {
                match (joined.last_mut(), event) {
                    (Some(Event::Snapshot(old)), Event::Snapshot(new)) => old.extend(new),
                    (Some(Event::Stream(old)), Event::Stream(new)) => old.extend(new),
                    (_, event) => joined.push(event),
                }
            }
        }
        Ok((joined, sent))
    }

    #[test]
    fn a_full_synchronisation_reads_the_same_however_it_is_split() {
        let mark = "m".repeat(40);
        let id = "f".repeat(40);
        let sized =
            format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n\n+FULLRESYNC {id} 17\r\n\n\n$5\r\nREDIS*1\r\n$4\r\nPING\r\n");
        let marked = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC {id} 17\r\n$EOF:{mark}\r\nREDIS{mark}");
        for step in 1..=marked.len().max(sized.len()) {
            let full = Event::FullSync { id: id.clone(), offset: 17 };
            let (events, sent) = play(Login { listening_port: 7, ..Login::default() }, sized.as_bytes(), step).unwrap();
            let stream = Event::Stream(b"*1\r\n$4\r\nPING\r\n".to_vec());
            let length = Event::SnapshotLength(5);
            let snapshot = Event::Snapshot(b"REDIS".to_vec());
            assert_eq!(events, [full.clone(), length, snapshot, Event::SnapshotEnd, stream]);
            let sent = String::from_utf8(sent).unwrap();
            assert!(sent.contains("listening-port\r\n$1\r\n7\r\n") && sent.contains("PSYNC\r\n$1\r\n?\r\n$2\r\n-1"));
            let (events, _) = play(Login::default(), marked.as_bytes(), step).unwrap();
            assert_eq!(events, [full, Event::Snapshot(b"REDIS".to_vec()), Event::SnapshotEnd]);
        }
    }

    #[test]
    fn a_link_that_was_cut_goes_on_and_logs_in_first() {
        let login =
            Login { user: "u".into(), password: "p".into(), resume: Some(("a".repeat(40), 99)), ..Login::default() };
        let id = "b".repeat(40);
        let wire =
            format!("-NOAUTH Authentication required.\r\n+OK\r\n-ERR what\r\n+OK\r\n+OK\r\n+CONTINUE {id}\r\nxyz");
        let (events, sent) = play(login, wire.as_bytes(), 3).unwrap();
        assert_eq!(events, [Event::Continue(Some(id)), Event::Stream(b"xyz".to_vec())]);
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.contains("AUTH\r\n$1\r\nu\r\n$1\r\np") && sent.contains("$3\r\n100\r\n"));
    }

    #[test]
    fn refusals_and_nonsense_end_the_link() {
        for wire in [
            "-ERR no\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n-NOMASTERLINK\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+WHAT\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC x y\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC x 1\r\nREDIS\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC x 1\r\n$EOF:short\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC x 1\r\n$-5\r\n",
        ] {
            assert!(play(Login::default(), wire.as_bytes(), 4).is_err(), "{wire}");
        }
        assert_eq!(play(Login::default(), &vec![b'+'; LINE_MAX + 2], 1000), Err(LinkError::Line));
    }
}
