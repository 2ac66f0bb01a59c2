//! Replies onto a `Vec<u8>`, in the dialect the client chose with HELLO.
//!
//! A command's handler says what it means (a map, a double, nothing) and the encoder spells it for RESP2 or RESP3.
//! The caller's part of the bargain: after `array(n)` come n elements, after `map(n)` n keys and n values.

use crate::number::{DoubleText, IntText, push_header};

/// The dialect of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Writes one connection's replies.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Encoder<'a> {
    /// Appends to `out` in the given dialect.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The dialect, for the few commands whose reply has another shape in RESP3.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Goes on in another dialect: HELLO answers in the one it chose.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Bytes written so far, with what the buffer held before.
    #[must_use]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// What was written since `position`.
    #[must_use]
    pub fn written(&self, position: usize) -> &[u8] {
        &self.out[position..]
    }

    /// Takes back everything written since `position`.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// Takes away everything written since `position`: a reply that goes elsewhere.
    #[must_use]
    pub fn split_off(&mut self, position: usize) -> Vec<u8> {
        self.out.split_off(position)
    }

    /// A status such as `QUEUED`; CR and LF become spaces.
    pub fn simple(&mut self, text: &str) {
        self.simple_bytes(text.as_bytes());
    }

    /// A status that quotes a client's bytes.
    pub fn simple_bytes(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    /// The status `OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// An error: code, space, text. CR and LF become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.trim_matches(['\r', '\n']).as_bytes());
    }

    /// An error whose text quotes a client's bytes.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => push_header(self.out, b':', value),
            Err(_) => IntText::new(value).push_line(self.out, b':'),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 24);
        push_header(self.out, b'$', bytes.len() as u64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string, as GET replies it.
    pub fn bulk_of_int(&mut self, value: i64) {
        self.bulk(IntText::new(value).as_bytes());
    }

    /// Nothing, where a value was asked for.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Nothing, where an array was asked for.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Header of an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        push_header(self.out, b'*', len as u64);
    }

    /// Header of a map of `pairs` pairs; in RESP2 an array of twice as many elements.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(pairs * 2),
            Protocol::Resp3 => push_header(self.out, b'%', pairs as u64),
        }
    }

    /// Header of a set of `len` elements; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// Header of an out-of-band message of `len` elements; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// Header of an array whose length was not known when its elements were written, from `position` on. Cost: one
    /// move of those bytes.
    pub fn array_before(&mut self, position: usize, len: usize) {
        self.header_before(position, b'*', len);
    }

    /// As [`Self::array_before`], for a map of `pairs` pairs.
    pub fn map_before(&mut self, position: usize, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header_before(position, b'*', pairs * 2),
            Protocol::Resp3 => self.header_before(position, b'%', pairs),
        }
    }

    /// As [`Self::array_before`], for a set.
    pub fn set_before(&mut self, position: usize, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header_before(position, b'*', len),
            Protocol::Resp3 => self.header_before(position, b'~', len),
        }
    }

    /// A double; in RESP2 its text as a bulk string.
    pub fn double(&mut self, value: f64) {
        let text = DoubleText::new(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// A truth value; in RESP2 `:1` or `:0`.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for people in a three-letter `format` (`txt`, `mkd`); in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.out.reserve(text.len() + 28);
                push_header(self.out, b'=', text.len() as u64 + 4);
                self.out.extend_from_slice(&format);
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// An integer of any size, as its digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// Bytes that are already RESP, such as a reply recorded elsewhere.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Header of `pairs` attributes of the value that follows; nothing of the kind exists in RESP2.
    pub(crate) fn attributes(&mut self, pairs: usize) {
        push_header(self.out, b'|', pairs as u64);
    }

    fn aggregate(&mut self, kind: u8, len: usize) {
        let kind = if self.protocol == Protocol::Resp3 { kind } else { b'*' };
        push_header(self.out, kind, len as u64);
    }

    fn header_before(&mut self, position: usize, kind: u8, len: usize) {
        let mut header = Vec::with_capacity(24);
        push_header(&mut header, kind, len as u64);
        self.out.splice(position..position, header);
    }

    /// One line of text. A line break inside would be read as the next reply.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Encoder<'_>)) -> (String, String) {
        let encode = |protocol| {
            let mut out = Vec::new();
            write(&mut Encoder::new(&mut out, protocol));
            out.escape_ascii().to_string().replace("\\r\\n", "|")
        };
        (encode(Protocol::Resp2), encode(Protocol::Resp3))
    }

    #[test]
    fn every_reply_is_spelled_in_both_dialects() {
        type Case = (fn(&mut Encoder<'_>), &'static str, &'static str);
        let table: &[Case] = &[
            (|e| e.ok(), "+OK|", "+OK|"),
            (|e| e.simple("QUEUED"), "+QUEUED|", "+QUEUED|"),
            (|e| e.error("ERR a\r\nb"), "-ERR a  b|", "-ERR a  b|"),
            (|e| e.error_bytes(b"ERR \n"), "-ERR  |", "-ERR  |"),
            (|e| e.integer(0), ":0|", ":0|"),
            (|e| e.integer(-7), ":-7|", ":-7|"),
            (|e| e.integer(i64::MAX), ":9223372036854775807|", ":9223372036854775807|"),
            (|e| e.integer(i64::MIN), ":-9223372036854775808|", ":-9223372036854775808|"),
            (|e| e.bulk(b""), "$0||", "$0||"),
            (|e| e.bulk(&[b'x'; 123]), BULK_123, BULK_123),
            (|e| e.bulk_of_int(-12), "$3|-12|", "$3|-12|"),
            (|e| e.null(), "$-1|", "_|"),
            (|e| e.null_array(), "*-1|", "_|"),
            (|e| e.array(42), "*42|", "*42|"),
            (|e| e.map(2), "*4|", "%2|"),
            (|e| e.set(3), "*3|", "~3|"),
            (|e| e.push(3), "*3|", ">3|"),
            (|e| e.double(1.5), "$3|1.5|", ",1.5|"),
            (|e| e.double(f64::INFINITY), "$3|inf|", ",inf|"),
            (|e| e.boolean(true), ":1|", "#t|"),
            (|e| e.boolean(false), ":0|", "#f|"),
            (|e| e.verbatim(*b"txt", b"hi"), "$2|hi|", "=6|txt:hi|"),
            (|e| e.big_number(b"123"), "$3|123|", "(123|"),
        ];
        for (write, resp2, resp3) in table {
            assert_eq!(both(write), ((*resp2).to_owned(), (*resp3).to_owned()));
        }
    }

    const BULK_123: &str = "$123|xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx|";

    #[test]
    fn a_header_can_come_after_its_elements() {
        let (resp2, resp3) = both(|e| {
            e.ok();
            let start = e.position();
            e.bulk(b"k");
            e.integer(1);
            e.map_before(start, 1);
        });
        assert_eq!((&*resp2, &*resp3), ("+OK|*2|$1|k|:1|", "+OK|%1|$1|k|:1|"));
    }
}
