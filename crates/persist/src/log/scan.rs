//! Reading a file of the log: where its commands end, and whether its bytes are the ones that were written.
//!
//! Nothing is applied here. A file is looked through from end to end before any of it is replayed, so what is wrong is
//! known, and what a cut would lose can be told, while nothing has changed.

use std::io::{self, Read};

use super::annotation::{Annotation, Crc32c, LINE_MAX, MARK, Seal};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// Longest number line of a command.
const HEADER_MAX: usize = 32;

/// Most words of a command.
const WORDS_MAX: i64 = i32::MAX as i64;

/// Longest command, and so longest word: the decoder counts in 32 bits.
const COMMAND_BYTES_MAX: usize = u32::MAX as usize - 1024;

/// What stands at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// A command of so many bytes.
    Command(usize),
    /// A line that begins with `#`, of so many bytes.
    Annotation(usize),
    /// More bytes are needed.
    Incomplete,
    /// No command.
    Malformed(&'static str),
}

/// Looks at the front of `buf`.
pub(crate) fn item(buf: &[u8]) -> Item {
    match buf.first() {
        None => Item::Incomplete,
        Some(b'#') => match buf.iter().take(LINE_MAX).position(|byte| *byte == b'\n') {
            Some(end) => Item::Annotation(end + 1),
            // What a crash leaves of a line is its beginning.
            None if buf.len() < LINE_MAX && buf.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\r') => {
                Item::Incomplete
            }
            None => Item::Malformed("a line that begins with # has no end"),
        },
        Some(b'*') => command(buf),
        Some(_) => Item::Malformed("a command must begin with *"),
    }
}

fn command(buf: &[u8]) -> Item {
    let (words, mut at) = match header(buf, b'*') {
        Header::Number(words @ 1..=WORDS_MAX, end) => (words, end),
        Header::Number(..) | Header::Malformed => return Item::Malformed("the number of words is none"),
        Header::Incomplete => return Item::Incomplete,
    };
    for _ in 0..words {
        let (len, body) = match header(&buf[at..], b'$') {
            Header::Number(len @ 0.., end) if len as usize <= COMMAND_BYTES_MAX - at => (len as usize, at + end),
            Header::Number(..) | Header::Malformed => return Item::Malformed("the length of a word is none"),
            Header::Incomplete => return Item::Incomplete,
        };
        let end = body + len;
        match buf.get(end..end + 2) {
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Item::Malformed("a word does not end where it should"),
            None => return Item::Incomplete,
        }
    }
    Item::Command(at)
}

enum Header {
    Number(i64, usize),
    Incomplete,
    Malformed,
}

/// A line of `kind` and a number; the number and where the line ends.
fn header(buf: &[u8], kind: u8) -> Header {
    match buf.first() {
        None => return Header::Incomplete,
        Some(first) if *first != kind => return Header::Malformed,
        Some(_) => {}
    }
    let line = &buf[1..buf.len().min(HEADER_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        let is_begun = buf.len() < HEADER_MAX && line.iter().all(|byte| byte.is_ascii_digit() || *byte == b'\r');
        return if is_begun { Header::Incomplete } else { Header::Malformed };
    };
    let number = line[..end].strip_suffix(b"\r").and_then(|digits| std::str::from_utf8(digits).ok());
    match number.and_then(|digits| digits.parse().ok()) {
        Some(number) => Header::Number(number, end + 2),
        None => Header::Malformed,
    }
}

/// A file being read, item by item.
pub(crate) struct Items<R> {
    source: R,
    buf: Vec<u8>,
    /// Where the unread part of the buffer begins.
    start: usize,
    /// Offset of that in the file.
    offset: u64,
    at_end: bool,
}

impl<R: Read> Items<R> {
    /// Reads on at `offset`, where `source` stands.
    pub(crate) fn new(source: R, offset: u64) -> Self {
        Self { source, buf: Vec::new(), start: 0, offset, at_end: false }
    }

    /// Offset of the next item.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes next; `None` at the end of the file. A file that ends within an item has [`Item::Incomplete`] there.
    pub(crate) fn peek(&mut self) -> io::Result<Option<Item>> {
        loop {
            match item(&self.buf[self.start..]) {
                Item::Incomplete if !self.at_end => self.fill()?,
                Item::Incomplete if self.start == self.buf.len() => return Ok(None),
                found => return Ok(Some(found)),
            }
        }
    }

    /// Takes the next `len` bytes, which were seen.
    pub(crate) fn take(&mut self, len: usize) -> &[u8] {
        let bytes = &self.buf[self.start..self.start + len];
        self.start += len;
        self.offset += len as u64;
        bytes
    }

    /// The commands from here on that are in the buffer as a whole: at most `max` and up to the file's offset `end`.
    pub(crate) fn take_commands(&mut self, max: usize, end: u64) -> (&[u8], u64) {
        let (mut len, mut count) = (0, 0);
        while count < max as u64 {
            match item(&self.buf[self.start + len..]) {
                Item::Command(more) if self.offset + ((len + more) as u64) <= end => {
                    len += more;
                    count += 1;
                }
                _ => break,
            }
        }
        (self.take(len), count)
    }

    /// What is left, once the end of the file was seen.
    fn rest(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buf.drain(..self.start);
        self.start = 0;
        let old = self.buf.len();
        // Twice as much for what does not fit, so that a long command is not looked at again and again.
        let step = old.max(READ_BYTES);
        (&mut self.source).take(step as u64).read_to_end(&mut self.buf)?;
        self.at_end = self.buf.len() - old < step;
        Ok(())
    }
}

const REACHES_OVER: &str = "a length reaches over the checksum that follows";

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub offset: u64,
    /// What.
    pub kind: FaultKind,
}

/// Kinds of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The file ends within a command or a transaction, as a crash leaves it.
    Truncated(&'static str),
    /// The bytes are no commands.
    Malformed(String),
    /// The bytes are not the ones that were written.
    Checksum,
    /// Something before is missing, or was there already: positions in the log.
    Gap {
        /// The one that must come next.
        expected: u64,
        /// The one that does.
        found: u64,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.offset;
        match &self.kind {
            FaultKind::Truncated(what) => write!(f, "the file ends within {what} that begins at byte {at}"),
            FaultKind::Malformed(why) => write!(f, "bad file format at byte {at}: {why}"),
            FaultKind::Checksum => write!(f, "the bytes from {at} on are not the ones that were written (checksum)"),
            FaultKind::Gap { expected, found } => {
                write!(f, "at byte {at} the log goes on at its position {found}, but {expected} must follow")
            }
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Commands in it, up to a fault.
    pub commands: u64,
    /// Bytes looked at: all of the file, or up to a fault.
    pub bytes: u64,
    /// Where the last whole unit ends: a command, or the EXEC of a transaction.
    pub good_end: u64,
    /// Commands up to there.
    pub good_commands: u64,
    /// Bytes covered by checksums.
    pub sealed: u64,
    /// The last position in the log that is known.
    pub position: Option<u64>,
    /// The first time stamp, unix s.
    pub first_s: Option<i64>,
    /// The last one.
    pub last_s: Option<i64>,
    /// Where the first command later than the time asked for begins, and how many commands stand before it.
    pub later: Option<(u64, u64)>,
    /// What is wrong, if anything is.
    pub fault: Option<Fault>,
}

/// Looks through a file. `position`: where in the log it must begin, if that is known. `until_s`: notes where what is
/// later than this begins.
///
/// # Errors
/// The file could not be read. What is wrong with its content is in the result.
pub fn scan(source: &mut dyn Read, position: Option<u64>, until_s: Option<i64>) -> io::Result<Scan> {
    let mut scanner = Scanner {
        items: Items::new(source, 0),
        scan: Scan { position, ..Scan::default() },
        until_s,
        batch: Crc32c::new(),
        batch_start: 0,
        batch_commands: 0,
        open_since: None,
        swallowed_at: None,
    };
    while scanner.scan.fault.is_none() && scanner.step()? {}
    scanner.scan.bytes = scanner.items.offset();
    Ok(scanner.scan)
}

struct Scanner<'a> {
    items: Items<&'a mut dyn Read>,
    scan: Scan,
    until_s: Option<i64>,
    /// Checksum since the last seal.
    batch: Crc32c,
    batch_start: u64,
    /// Commands of whole units before the batch.
    batch_commands: u64,
    /// Where a transaction without an EXEC began.
    open_since: Option<u64>,
    /// A command since the last seal that has what should follow it for a word.
    swallowed_at: Option<u64>,
}

impl Scanner<'_> {
    /// One item; `false` at the end of the file.
    fn step(&mut self) -> io::Result<bool> {
        let offset = self.items.offset();
        match self.items.peek()? {
            Some(Item::Command(len)) => self.command(offset, len),
            Some(Item::Annotation(len)) => self.annotation(offset, len),
            Some(Item::Malformed(why)) => {
                self.fail(offset, FaultKind::Malformed(why.to_owned()));
            }
            Some(Item::Incomplete) => self.ends_early(offset, "a command"),
            None => {
                if let Some(at) = self.swallowed_at {
                    self.fail_batch_at(at, FaultKind::Malformed(REACHES_OVER.to_owned()));
                } else if let Some(since) = self.open_since {
                    self.fail(since, FaultKind::Truncated("a transaction"));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn command(&mut self, offset: u64, len: usize) {
        let bytes = self.items.take(len);
        self.batch.update(bytes);
        // A seal of this batch will tell that it is meant so.
        let next = self.scan.position;
        if next.is_some() && self.swallowed_at.is_none() && seals_in(bytes).any(|seal| Some(seal.start) == next) {
            self.swallowed_at = Some(offset);
        }
        let is_multi = bytes.eq_ignore_ascii_case(b"*1\r\n$5\r\nMULTI\r\n");
        let is_exec = bytes.eq_ignore_ascii_case(b"*1\r\n$4\r\nEXEC\r\n");
        self.scan.commands += 1;
        if is_multi {
            self.open_since.get_or_insert(offset);
        } else if is_exec {
            self.open_since = None;
        }
        if self.open_since.is_none() {
            self.scan.good_end = offset + len as u64;
            self.scan.good_commands = self.scan.commands;
        }
    }

    fn annotation(&mut self, offset: u64, len: usize) {
        let line = self.items.take(len);
        let annotation = Annotation::parse(line);
        match annotation {
            Annotation::Seal(seal) => {
                let before = offset - self.batch_start;
                let expected = self.scan.position.unwrap_or(seal.start);
                if seal.len == 0 {
                    // Whoever opens a file to go on with it says so; what stands before was written by somebody else.
                } else if seal.len != before || seal.crc != self.batch.value() {
                    return self.fail_batch(FaultKind::Checksum);
                }
                if seal.start != expected {
                    return self.fail_batch(FaultKind::Gap { expected, found: seal.start });
                }
                self.scan.position = Some(seal.start.saturating_add(seal.len));
                self.scan.sealed += seal.len;
                self.swallowed_at = None;
                self.batch = Crc32c::new();
                self.batch_start = offset + len as u64;
                self.batch_commands = self.scan.good_commands;
            }
            Annotation::Broken => {
                return self.fail(offset, FaultKind::Malformed("a checksum line is damaged".to_owned()));
            }
            Annotation::Timestamp(seconds) => {
                self.scan.first_s.get_or_insert(seconds);
                self.scan.last_s = Some(seconds);
                if self.scan.later.is_none() && self.until_s.is_some_and(|until| seconds > until) {
                    self.scan.later = Some((offset, self.scan.good_commands));
                }
                self.batch.update(line);
            }
            // Redis writes no others, and neither does Quiver.
            Annotation::Other if self.scan.position.is_some() || line.contains(&0) => {
                return self.fail(offset, FaultKind::Malformed("a line that begins with # is not known".to_owned()));
            }
            Annotation::Other => self.batch.update(line),
        }
        if self.open_since.is_none() {
            self.scan.good_end = offset + len as u64;
        }
    }

    /// The bytes end within something. Where a seal follows that fits, the file does not end there: its length is wrong.
    fn ends_early(&mut self, offset: u64, what: &'static str) {
        let goes_on = seals_in(self.items.rest()).any(|seal| self.scan.position.is_none_or(|at| seal.start == at));
        let kind = if goes_on { FaultKind::Malformed(REACHES_OVER.to_owned()) } else { FaultKind::Truncated(what) };
        self.fail(self.open_since.filter(|_| !goes_on).unwrap_or(offset), kind);
    }

    fn fail(&mut self, offset: u64, kind: FaultKind) {
        self.scan.fault = Some(Fault { offset, kind });
    }

    /// What was read since the last seal is not to be trusted.
    fn fail_batch(&mut self, kind: FaultKind) {
        self.fail_batch_at(self.batch_start, kind);
    }

    fn fail_batch_at(&mut self, offset: u64, kind: FaultKind) {
        self.scan.good_end = self.batch_start;
        self.scan.good_commands = self.batch_commands;
        self.fail(offset, kind);
    }
}

/// The seals in bytes that are not understood.
fn seals_in(bytes: &[u8]) -> impl Iterator<Item = Seal> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.iter().position(|byte| *byte == b'#')?..];
            let end = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n');
            let line = &rest[..end.map_or(1, |end| end + 1)];
            let found = if rest.starts_with(MARK.as_bytes()) { Annotation::parse(line) } else { Annotation::Other };
            rest = &rest[1..];
            if let Annotation::Seal(seal) = found {
                return Some(seal);
            }
        }
    })
}
