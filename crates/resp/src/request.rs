//! The server's side of a connection: pipelined commands out of a read buffer, copying nothing.
//!
//! [`Decoder::decode`] takes every complete command at the front of the buffer and records where its words lie in a
//! reusable arena, [`Requests`]. What the caller then removes from the buffer is the number of bytes returned. A
//! command still arriving is remembered word by word, so a command of n words in many reads costs O(n), not O(n^2).
//!
//! Answers are those of Redis 8.0.2, also where it is lenient: the byte after a header's CR and the two bytes after a
//! bulk string are skipped unread. Two deliberate differences: an inline command may contain NUL, and its 64 KiB
//! limit does not depend on how the bytes were split into reads.
//!
//! Not here: what happens on an error. The server answers the commands already in `Requests`, then writes
//! [`ProtocolError::message`], if any, and closes.

use crate::argv::{Argv, Span};
use crate::inline::split_inline;
use crate::limits::{LINE_BYTES_MAX, Limits, ProtocolError};
use crate::number::parse_i64;

/// The commands of one batch. Cleared and filled again for each read, it stops allocating after the first few.
#[derive(Debug, Default)]
pub struct Requests {
    commands: Vec<Command>,
    spans: Vec<Span>,
    /// Words of inline commands, unquoted.
    inline_text: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    first_span: u32,
    argc: u32,
    end: u32,
    inline: bool,
}

impl Requests {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the commands. Memory is kept, but no more than `1 MiB` of each part: one huge command is no reason
    /// to hold on to its arena.
    pub fn clear(&mut self) {
        const KEPT_SPANS: usize = (1 << 20) / size_of::<Span>();
        self.commands.clear();
        self.spans.clear();
        self.inline_text.clear();
        self.spans.shrink_to(KEPT_SPANS);
        self.commands.shrink_to(KEPT_SPANS);
        self.inline_text.shrink_to(1 << 20);
    }

    /// Number of commands.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Command `i`; `buf` is the buffer given to [`Decoder::decode`]. It has at least one word.
    ///
    /// # Panics
    /// If `i >= len()`, or `buf` is shorter than the one decoded.
    #[must_use]
    pub fn argv<'a>(&'a self, i: usize, buf: &'a [u8]) -> Argv<'a> {
        self.view(self.commands[i], buf)
    }

    /// All commands in order.
    pub fn iter<'a>(&'a self, buf: &'a [u8]) -> impl ExactSizeIterator<Item = Argv<'a>> {
        self.commands.iter().map(move |&command| self.view(command, buf))
    }

    /// Offset in the buffer just behind command `i`: what replication counts as applied once it has run.
    ///
    /// # Panics
    /// If `i >= len()`.
    #[must_use]
    pub fn end(&self, i: usize) -> usize {
        self.commands[i].end as usize
    }

    fn view<'a>(&'a self, command: Command, buf: &'a [u8]) -> Argv<'a> {
        let spans = &self.spans[command.first_span as usize..][..command.argc as usize];
        Argv::new(if command.inline { &self.inline_text } else { buf }, spans)
    }

    fn push(&mut self, first_span: usize, end: usize, inline: bool) {
        let argc = self.spans.len() - first_span;
        self.commands.push(Command { first_span: first_span as u32, argc: argc as u32, end: end as u32, inline });
    }
}

/// Finds commands in a read buffer; remembers a command that has arrived only in part.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Words of the partial command, relative to its first byte.
    pending: Vec<Span>,
    /// Its words not yet complete; 0 when nothing of it but part of its first line is known.
    remaining: usize,
    /// Where its next header begins.
    next: usize,
    /// Bytes of an unfinished line already searched for its end.
    scanned: usize,
    /// Bytes the buffer must hold before decoding can get further.
    wanted: usize,
}

/// How far a command got: complete, or `None` where bytes are missing.
type Progress = Result<Option<usize>, ProtocolError>;

impl Decoder {
    /// A decoder at a command boundary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends up to `max_commands` complete commands to `out` and returns the bytes of `buf` they take, ignored
    /// empty ones included. The caller removes these bytes before the next call, and may then have added bytes at
    /// the end; nothing else may change. Cost: O(bytes not seen before + commands).
    ///
    /// # Errors
    /// [`ProtocolError`], with the commands before the mistake in `out`. The connection cannot go on.
    pub fn decode(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        out: &mut Requests,
        max_commands: usize,
    ) -> Result<usize, ProtocolError> {
        let cap = limits.max_request_bytes.min(u32::MAX as usize);
        let buf = &buf[..buf.len().min(u32::MAX as usize)];
        let mut consumed = 0;
        self.wanted = 0;
        let limit = out.len().saturating_add(max_commands);
        while consumed < buf.len() && out.len() < limit {
            let complete = match buf[consumed] {
                b'*' if self.remaining > 0 => self.resume(buf, limits, out)?,
                b'*' => self.multibulk(buf, consumed, limits, out)?,
                _ => self.inline(buf, consumed, limits, out)?,
            };
            let Some(end) = complete else {
                if self.wanted > cap || buf.len() - consumed > cap {
                    return Err(ProtocolError::RequestTooBig);
                }
                break;
            };
            consumed = end;
        }
        Ok(consumed)
    }

    /// Bytes the buffer must hold, from its front, before decoding can get further: 0 or a *claim*. Good for
    /// choosing the size of the next read; never allocate it at once.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    fn multibulk(&mut self, buf: &[u8], start: usize, limits: &Limits, out: &mut Requests) -> Progress {
        let Some((claimed, next)) = self.header(buf, start, start, Header::Multibulk)? else {
            return Ok(None);
        };
        let argc = limits.words(claimed)?;
        if argc == 0 {
            return Ok(Some(next));
        }
        let first_span = out.spans.len();
        let mut cursor = Cursor { next, remaining: argc };
        if self.words(buf, start, &mut cursor, limits, &mut out.spans)? {
            out.push(first_span, cursor.next, false);
            return Ok(Some(cursor.next));
        }
        self.next = cursor.next - start;
        self.remaining = cursor.remaining;
        self.pending
            .extend(out.spans.drain(first_span..).map(|span| Span { start: span.start - start as u32, ..span }));
        Ok(None)
    }

    /// Goes on with the partial command, which is at the front of the buffer.
    fn resume(&mut self, buf: &[u8], limits: &Limits, out: &mut Requests) -> Progress {
        let mut pending = std::mem::take(&mut self.pending);
        let mut cursor = Cursor { next: self.next, remaining: self.remaining };
        let complete = self.words(buf, 0, &mut cursor, limits, &mut pending)?;
        self.remaining = cursor.remaining;
        self.next = cursor.next;
        if !complete {
            self.pending = pending;
            return Ok(None);
        }
        let first_span = out.spans.len();
        out.spans.append(&mut pending);
        out.push(first_span, cursor.next, false);
        Ok(Some(cursor.next))
    }

    /// Reads words until the command is complete (true) or bytes are missing (false).
    #[inline]
    fn words(
        &mut self,
        buf: &[u8],
        start: usize,
        cursor: &mut Cursor,
        limits: &Limits,
        spans: &mut Vec<Span>,
    ) -> Result<bool, ProtocolError> {
        while cursor.remaining > 0 {
            let Some((claimed, body)) = self.header(buf, start, cursor.next, Header::Bulk)? else {
                return Ok(false);
            };
            let len = limits.bulk_len(claimed)?;
            let end = body.saturating_add(len).saturating_add(2);
            if end > buf.len() {
                self.wanted = end - start;
                return Ok(false);
            }
            spans.push(Span { start: body as u32, len: len as u32 });
            cursor.next = end;
            cursor.remaining -= 1;
        }
        Ok(true)
    }

    /// The number in the line at `at` and the offset behind the line; `None` if the line is not complete.
    #[inline]
    fn header(
        &mut self,
        buf: &[u8],
        start: usize,
        at: usize,
        kind: Header,
    ) -> Result<Option<(i64, usize)>, ProtocolError> {
        // Nearly every header is one to three digits; `kind` is checked first as the slow path does.
        if let [first, a, b'\r', _, ..] = buf[at..]
            && first == kind.byte()
            && a.is_ascii_digit()
        {
            return Ok(Some((i64::from(a - b'0'), at + 4)));
        }
        if let [first, a @ b'1'..=b'9', b, b'\r', _, ..] = buf[at..]
            && first == kind.byte()
            && b.is_ascii_digit()
        {
            return Ok(Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), at + 5)));
        }
        self.long_header(buf, start, at, kind)
    }

    #[cold]
    fn long_header(
        &mut self,
        buf: &[u8],
        start: usize,
        at: usize,
        kind: Header,
    ) -> Result<Option<(i64, usize)>, ProtocolError> {
        let line = &buf[at..];
        let found = line[self.scanned.min(line.len())..].iter().position(|&byte| byte == b'\r');
        let Some(cr) = found.map(|i| i + self.scanned).filter(|cr| cr + 1 < line.len()) else {
            // A CR in the last byte must be found again, with the byte behind it.
            let end = if found.is_some() { line.len() - 1 } else { line.len() };
            if end > LINE_BYTES_MAX {
                return Err(kind.endless());
            }
            // Short lines are searched again, so that the fast path above need not reset this.
            self.scanned = if end > 32 { end } else { 0 };
            self.wanted = at - start + line.len() + 1;
            return Ok(None);
        };
        self.scanned = 0;
        if line[0] != kind.byte() {
            return Err(ProtocolError::ExpectedBulk(line[0]));
        }
        let number = parse_i64(&line[1..cr]).ok_or(kind.bad_number())?;
        Ok(Some((number, at + cr + 2)))
    }

    fn inline(&mut self, buf: &[u8], start: usize, limits: &Limits, out: &mut Requests) -> Progress {
        let line = &buf[start..];
        let Some(newline) = line[self.scanned..].iter().position(|&byte| byte == b'\n').map(|i| i + self.scanned)
        else {
            if without_cr(line).len() > limits.max_inline {
                return Err(ProtocolError::InlineTooBig);
            }
            self.scanned = line.len();
            self.wanted = line.len() + 1;
            return Ok(None);
        };
        self.scanned = 0;
        let end = start + newline + 1;
        let line = without_cr(&line[..newline]);
        if line.len() > limits.max_inline {
            return Err(ProtocolError::InlineTooBig);
        }
        let Requests { spans, inline_text, .. } = out;
        let (first_span, first_text) = (spans.len(), inline_text.len());
        let split = split_inline(line, inline_text, |word| {
            spans.push(Span { start: word.start as u32, len: word.len() as u32 });
        });
        if split.is_err() {
            spans.truncate(first_span);
            inline_text.truncate(first_text);
            return Err(ProtocolError::UnbalancedQuotes);
        }
        let Some(name) = spans.get(first_span) else {
            return Ok(Some(end)); // An empty line, as replication and `telnet` send them.
        };
        let name = &inline_text[name.start as usize..][..name.len as usize];
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            spans.truncate(first_span);
            return Err(ProtocolError::CrossProtocol);
        }
        out.push(first_span, end, true);
        Ok(Some(end))
    }
}

struct Cursor {
    next: usize,
    remaining: usize,
}

#[derive(Clone, Copy)]
enum Header {
    Multibulk,
    Bulk,
}

impl Header {
    fn byte(self) -> u8 {
        match self {
            Self::Multibulk => b'*',
            Self::Bulk => b'$',
        }
    }

    fn endless(self) -> ProtocolError {
        match self {
            Self::Multibulk => ProtocolError::MultibulkLine,
            Self::Bulk => ProtocolError::BulkLine,
        }
    }

    fn bad_number(self) -> ProtocolError {
        match self {
            Self::Multibulk => ProtocolError::MultibulkLength,
            Self::Bulk => ProtocolError::BulkLength,
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
