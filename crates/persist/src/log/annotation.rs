//! Lines between commands that Redis passes over because they begin with `#`.
//!
//! `#TS:SECONDS` is Redis' own: what follows was done at that unix time or later. `#Q:START:LEN:CRC32C` is Quiver's: the
//! LEN bytes before it are the log from position START on, with this checksum. Positions count the bytes of the log
//! itself, without these lines, and go on from file to file, so that a lost, repeated or exchanged piece is found.

/// How Quiver's lines begin.
pub(crate) const MARK: &str = "#Q:";

/// Longest such line Redis reads.
pub(crate) const LINE_MAX: usize = 1024;

/// What the bytes before the line are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Position of the first of them.
    pub(crate) start: u64,
    /// How many there are.
    pub(crate) len: u64,
    /// Their checksum.
    pub(crate) crc: u32,
}

/// An annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Annotation {
    /// Unix time, s.
    Timestamp(i64),
    /// Quiver's checksum.
    Seal(Seal),
    /// One that begins as Quiver's and is none.
    Broken,
    /// Somebody else's.
    Other,
}

impl Seal {
    /// Appends the line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { start, len, crc } = self;
        out.extend_from_slice(format!("{MARK}{start}:{len}:{crc:08x}\r\n").as_bytes());
    }
}

/// Appends the line that tells the time.
pub fn write_timestamp(out: &mut Vec<u8>, unix_s: i64) {
    out.extend_from_slice(format!("#TS:{unix_s}\r\n").as_bytes());
}

impl Annotation {
    /// Reads a line, its end included.
    pub(crate) fn parse(line: &[u8]) -> Self {
        let text = std::str::from_utf8(line).unwrap_or("#");
        if let Some(seconds) = text.strip_prefix("#TS:") {
            return seconds.trim_end().parse().map_or(Self::Other, Self::Timestamp);
        }
        let Some(seal) = text.strip_prefix(MARK) else { return Self::Other };
        Self::seal(seal).map_or(Self::Broken, Self::Seal)
    }

    fn seal(text: &str) -> Option<Seal> {
        let mut fields = text.strip_suffix("\r\n")?.split(':');
        let (start, len, crc) = (fields.next()?, fields.next()?, fields.next()?);
        let whole = fields.next().is_none() && crc.len() == 8;
        let seal = Seal { start: start.parse().ok()?, len: len.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok()? };
        whole.then_some(seal)
    }
}

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// The checksum of bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct Crc32c(crc_fast::Digest);

impl Crc32c {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut pieces = Crc32c::new();
        pieces.update(b"1234");
        pieces.update(b"56789");
        assert_eq!(pieces.value(), 0xe306_9283);
    }

    #[test]
    fn lines_come_back_and_others_are_told_apart() {
        let seal = Seal { start: 7, len: 1 << 40, crc: 0xff };
        let mut line = Vec::new();
        seal.write(&mut line);
        assert_eq!(Annotation::parse(&line), Annotation::Seal(seal));
        assert_eq!(Annotation::parse(b"#TS:1700000000\r\n"), Annotation::Timestamp(1_700_000_000));
        for line in [&b"#Q:1:2:ff\r\n"[..], b"#Q:1:2:000000ff:3\r\n", b"#Q:x:2:000000ff\r\n", b"#Q:1:2:000000ff\n"] {
            assert_eq!(Annotation::parse(line), Annotation::Broken, "{}", line.escape_ascii());
        }
        assert_eq!(Annotation::parse(b"# whatever\r\n"), Annotation::Other);
    }
}
