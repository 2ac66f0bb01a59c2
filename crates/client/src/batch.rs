//! Commands encoded and counted, ready for the wire.

use quiver_resp::{Argv, write_command};

/// Commands to send in one go. Reuse it: [`Batch::clear`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    wire: Vec<u8>,
    len: usize,
}

impl Batch {
    /// No commands.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one command.
    pub fn push<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        write_command(&mut self.wire, words);
        self.len += 1;
    }

    /// Appends one command held elsewhere.
    pub fn push_argv(&mut self, argv: Argv<'_>) {
        argv.encode(&mut self.wire);
        self.len += 1;
    }

    /// Appends the commands of another batch.
    pub fn append(&mut self, other: &Self) {
        self.wire.extend_from_slice(&other.wire);
        self.len += other.len;
    }

    /// Number of commands, which is the number of replies to expect.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.wire.len()
    }

    /// Forgets the commands, keeps the memory.
    pub fn clear(&mut self) {
        self.wire.clear();
        self.len = 0;
    }

    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }
}
