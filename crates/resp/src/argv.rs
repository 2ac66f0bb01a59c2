//! The words of a command: borrowed from a read buffer ([`Argv`]) or owned ([`OwnedArgv`]).
//!
//! Both are one byte buffer and a list of spans into it, so a command of any number of words costs no allocation of
//! its own in a batch, and two when owned.

use std::fmt;
use std::ops::Index;

use crate::number::push_header;

/// Where one word lies in its buffer, in bytes. Buffers are below 4 GiB by [`crate::Limits::max_request_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// The words of one command, borrowed: word 0 is the command's name.
#[derive(Clone, Copy)]
pub struct Argv<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Argv<'a> {
    /// A view of `spans` in `buf`. A span that leaves the buffer makes the access to that word panic.
    #[must_use]
    pub fn new(buf: &'a [u8], spans: &'a [Span]) -> Self {
        Self { buf, spans }
    }

    /// Number of words, the name included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no word at all (never so for a decoded command).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Word `i`, if there is one.
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        self.spans.get(i).map(|&span| self.word(span))
    }

    /// Word `i`, living as long as the buffer (what indexing cannot promise).
    ///
    /// # Panics
    /// If `i >= len()`.
    #[must_use]
    pub fn at(&self, i: usize) -> &'a [u8] {
        self.word(self.spans[i])
    }

    /// The words from `first` on; empty if there are fewer.
    #[must_use]
    pub fn from(&self, first: usize) -> Self {
        Self { buf: self.buf, spans: self.spans.get(first..).unwrap_or(&[]) }
    }

    /// The first `count` words; all if there are fewer.
    #[must_use]
    pub fn take(&self, count: usize) -> Self {
        Self { buf: self.buf, spans: self.spans.get(..count).unwrap_or(self.spans) }
    }

    /// The words in order.
    #[must_use]
    pub fn iter(&self) -> ArgvIter<'a> {
        ArgvIter { buf: self.buf, spans: self.spans.iter() }
    }

    /// Total bytes of all words, without framing.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }

    /// Appends the command as a RESP array of bulk strings, as a client or a replication stream sends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_words(out, self.len(), self.payload_bytes(), self.iter());
    }

    /// A copy that outlives the read buffer.
    #[must_use]
    pub fn to_owned(&self) -> OwnedArgv {
        let mut owned =
            OwnedArgv { buf: Vec::with_capacity(self.payload_bytes()), spans: Vec::with_capacity(self.len()) };
        for word in *self {
            owned.push(word);
        }
        owned
    }

    fn word(&self, span: Span) -> &'a [u8] {
        &self.buf[span.start as usize..][..span.len as usize]
    }
}

impl Index<usize> for Argv<'_> {
    type Output = [u8];

    fn index(&self, i: usize) -> &[u8] {
        self.at(i)
    }
}

impl<'a> IntoIterator for Argv<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgvIter<'a>;

    fn into_iter(self) -> ArgvIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Argv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|word| word.escape_ascii().to_string())).finish()
    }
}

impl PartialEq for Argv<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Argv<'_> {}

/// Iterator over the words of an [`Argv`].
#[derive(Clone, Debug)]
pub struct ArgvIter<'a> {
    buf: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgvIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let span = self.spans.next()?;
        Some(&self.buf[span.start as usize..][..span.len as usize])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl DoubleEndedIterator for ArgvIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let span = self.spans.next_back()?;
        Some(&self.buf[span.start as usize..][..span.len as usize])
    }
}

impl ExactSizeIterator for ArgvIter<'_> {}

/// The words of one command, owned: queued by MULTI, recorded as an effect, written in tests.
#[derive(Clone, Default)]
pub struct OwnedArgv {
    buf: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgv {
    /// No words yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The words of `words`, copied.
    pub fn from_slices<W: AsRef<[u8]>>(words: &[W]) -> Self {
        let mut owned = Self::new();
        for word in words {
            owned.push(word.as_ref());
        }
        owned
    }

    /// Appends one word.
    ///
    /// # Panics
    /// If the command would pass 4 GiB, which no request may ([`crate::Limits`]).
    pub fn push(&mut self, word: &[u8]) {
        let start = u32::try_from(self.buf.len()).expect("a command is below 4 GiB");
        let len = u32::try_from(word.len()).expect("a word is below 4 GiB");
        self.buf.extend_from_slice(word);
        self.spans.push(Span { start, len });
    }

    /// Forgets the words, keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.spans.clear();
    }

    /// Number of words.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The words, borrowed.
    #[must_use]
    pub fn as_argv(&self) -> Argv<'_> {
        Argv { buf: &self.buf, spans: &self.spans }
    }

    /// Appends the command as a RESP array of bulk strings.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.as_argv().encode(out);
    }

    /// Bytes of heap held.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.buf.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

impl fmt::Debug for OwnedArgv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_argv().fmt(f)
    }
}

impl PartialEq for OwnedArgv {
    fn eq(&self, other: &Self) -> bool {
        self.as_argv() == other.as_argv()
    }
}

impl Eq for OwnedArgv {}

/// Appends `words` as one command: a RESP array of bulk strings.
pub fn write_command<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    let payload = words.iter().map(|word| word.as_ref().len()).sum();
    write_words(out, words.len(), payload, words.iter().map(AsRef::as_ref));
}

fn write_words<'a>(out: &mut Vec<u8>, count: usize, payload_bytes: usize, words: impl Iterator<Item = &'a [u8]>) {
    out.reserve(payload_bytes + 16 + count * 16);
    push_header(out, b'*', count as u64);
    for word in words {
        push_header(out, b'$', word.len() as u64);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_command_reads_like_the_borrowed_one() {
        let owned = OwnedArgv::from_slices(&["SET", "", "value"]);
        let argv = owned.as_argv();
        assert_eq!((argv.len(), &argv[0], &argv[1], argv.get(2)), (3, &b"SET"[..], &b""[..], Some(&b"value"[..])));
        assert_eq!(argv.get(3), None);
        assert_eq!(argv.from(1).iter().collect::<Vec<_>>(), [&b""[..], b"value"]);
        assert!(argv.from(9).is_empty());
        assert_eq!(argv.to_owned(), owned);
        assert_eq!(argv.iter().next_back(), Some(&b"value"[..]));
        assert_eq!(format!("{argv:?}"), r#"["SET", "", "value"]"#);
    }

    #[test]
    fn encoding_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        OwnedArgv::from_slices(&["GET", "k"]).encode(&mut out);
        write_command(&mut out, &["PING"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n");
    }
}
