//! What one connection may send, and how Redis says that it sent something else.
//!
//! Texts and limits are those of Redis 8.0.2, observed from outside.

use std::borrow::Cow;
use std::fmt;

/// Longest header or inline line, in bytes, as in Redis.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

/// What one connection may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest word, in bytes (`proto-max-bulk-len`).
    pub max_bulk_len: usize,
    /// Most words in a command.
    pub max_multibulk: usize,
    /// Longest inline command, in bytes.
    pub max_inline: usize,
    /// Most bytes of one command, framing included (`client-query-buffer-limit`); at most 4 GiB - 1 counts.
    pub max_request_bytes: usize,
    /// The connection has not authenticated yet where it must: at most 10 words of 16 KiB. Decode one command at a
    /// time then, because an AUTH lifts the limit for the commands behind it.
    pub unauthenticated: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bulk_len: 512 << 20,
            max_multibulk: i32::MAX as usize,
            max_inline: LINE_BYTES_MAX,
            max_request_bytes: 1 << 30,
            unauthenticated: false,
        }
    }
}

impl Limits {
    const UNAUTHENTICATED_WORDS: usize = 10;
    const UNAUTHENTICATED_BULK_LEN: usize = 16 * 1024;

    pub(crate) fn words(&self, claimed: i64) -> Result<usize, ProtocolError> {
        let words = usize::try_from(claimed).unwrap_or(0); // Redis ignores `*0` and `*-5`.
        if words > self.max_multibulk {
            return Err(ProtocolError::MultibulkLength);
        }
        if self.unauthenticated && words > Self::UNAUTHENTICATED_WORDS {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(words)
    }

    pub(crate) fn bulk_len(&self, claimed: i64) -> Result<usize, ProtocolError> {
        match usize::try_from(claimed) {
            Ok(len) if len > self.max_bulk_len => Err(ProtocolError::BulkLength),
            Ok(len) if self.unauthenticated && len > Self::UNAUTHENTICATED_BULK_LEN => {
                Err(ProtocolError::UnauthenticatedBulkLength)
            }
            Ok(len) => Ok(len),
            Err(_) => Err(ProtocolError::BulkLength),
        }
    }
}

/// Why a connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*` was not followed by an acceptable number.
    MultibulkLength,
    /// `$` was not followed by an acceptable number.
    BulkLength,
    /// A word did not begin with `$` but with this byte.
    ExpectedBulk(u8),
    /// A `*` line without end.
    MultibulkLine,
    /// A `$` line without end.
    BulkLine,
    /// An inline command beyond its limit.
    InlineTooBig,
    /// An inline command's quotes do not close.
    UnbalancedQuotes,
    /// Too many words before AUTH.
    UnauthenticatedMultibulkLength,
    /// Too long a word before AUTH.
    UnauthenticatedBulkLength,
    /// A command beyond [`Limits::max_request_bytes`]; closed without an answer.
    RequestTooBig,
    /// An HTTP request (`POST`, `Host:`), perhaps forged by a web page; closed without an answer.
    CrossProtocol,
}

impl ProtocolError {
    /// The error reply's text without `-` and CRLF, in Redis' words; `None` where Redis closes silently.
    #[must_use]
    pub fn message(&self) -> Option<Cow<'static, [u8]>> {
        let text: &[u8] = match self {
            Self::MultibulkLength => b"ERR Protocol error: invalid multibulk length",
            Self::BulkLength => b"ERR Protocol error: invalid bulk length",
            Self::ExpectedBulk(found) => return Some(Cow::Owned(expected_bulk(*found))),
            Self::MultibulkLine => b"ERR Protocol error: too big mbulk count string",
            Self::BulkLine => b"ERR Protocol error: too big bulk count string",
            Self::InlineTooBig => b"ERR Protocol error: too big inline request",
            Self::UnbalancedQuotes => b"ERR Protocol error: unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => b"ERR Protocol error: unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => b"ERR Protocol error: unauthenticated bulk length",
            Self::RequestTooBig | Self::CrossProtocol => return None,
        };
        Some(Cow::Borrowed(text))
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestTooBig => f.write_str("command larger than the query buffer limit"),
            Self::CrossProtocol => f.write_str("HTTP on a RESP port: possible cross protocol attack"),
            other => write!(f, "{}", other.message().unwrap_or_default().escape_ascii()),
        }
    }
}

impl std::error::Error for ProtocolError {}

fn expected_bulk(found: u8) -> Vec<u8> {
    let shown = if found == b'\r' || found == b'\n' { b' ' } else { found };
    [b"ERR Protocol error: expected '$', got '", &[shown][..], b"'"].concat()
}
