//! The same seeded commands to two servers, their replies compared byte by byte.
//!
//! A [`families::Family`] is a weighted list of command templates ([`template`]) whose words come from small pools of
//! ordinary and awkward values ([`words`]); one command in eight is then damaged (a word dropped, doubled, replaced).
//! Commands come in episodes that start from an empty server, so that a difference has a short history, and that
//! history is cut down by replaying parts of it ([`minimise`]). Where two correct servers may differ (random picks, the
//! order of unordered replies, the clock) [`allow`] says so command by command; everything else must be equal.
//!
//! Families of clients that wait for each other, or hear of each other, go through [`conversation`].
//!
//! Not compared: what depends on processes and machines (INFO, CLIENT LIST), and commands the oracle does not know.

pub mod allow;
mod conversation;
pub mod driver;
pub mod families;
pub mod minimise;
pub mod random;
pub mod template;
pub mod words;

use std::fmt;
use std::time::Duration;

pub use driver::{Difference, Driver, Options};

/// One step of an episode.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A command on one of the episode's connections.
    Call {
        /// Index of the connection.
        connection: usize,
        /// The words.
        words: Vec<Vec<u8>>,
    },
    /// The same cursor command on both sides until the cursor is 0; the union of the elements is compared, unordered.
    Scan {
        /// The words before the cursor.
        before: Vec<Vec<u8>>,
        /// The words behind the cursor.
        after: Vec<Vec<u8>>,
    },
    /// Time for keys to expire.
    Sleep(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { connection, words } => write!(f, "[{connection}] {}", shown(words)),
            Self::Scan { before, after } => write!(f, "[scan] {} <cursor> {}", shown(before), shown(after)),
            Self::Sleep(time) => write!(f, "[sleep {} ms]", time.as_millis()),
        }
    }
}

/// Words as redis-cli would need them typed.
pub fn shown(words: &[Vec<u8>]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|word| {
            let plain = !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
            if plain { String::from_utf8_lossy(word).into_owned() } else { format!("\"{}\"", word.escape_ascii()) }
        })
        .collect();
    quoted.join(" ")
}
