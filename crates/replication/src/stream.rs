//! The one ordered stream of an instance: who writes it, where it stands, what of it is remembered.
//!
//! A primary appends its own units. A replica takes its primary's bytes over as they are, transaction by transaction, so
//! that ids and offsets mean the same in a whole chain. [`Stream::promote`] and [`Stream::follow`] change sides.
//!
//! Invariants: every byte below [`Stream::end`] has been applied to the data this stream belongs to, and nothing else
//! has; the stream ends between two units. Readers know a *generation*: when it grows, what they were told of ids or
//! bytes no longer holds, and they have to ask again. A *term* is one order to follow somebody or nobody; what was begun
//! in an older term has no say any more.

use quiver_resp::write_command;

use crate::{Backlog, History, Resume};

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Id of the stream.
    pub id: String,
    /// Bytes of it before this place.
    pub offset: u64,
    /// Database selected here; `None` where the next command says it.
    pub db: Option<u32>,
}

/// The stream of one instance.
#[derive(Debug)]
pub struct Stream {
    history: History,
    backlog: Option<Backlog>,
    /// Where it stands while nothing is remembered.
    offset: u64,
    db: Option<u32>,
    following: bool,
    generation: u64,
    term: u64,
    /// Received and run, but inside a transaction that is not complete.
    unfinished: Vec<u8>,
    scratch: Vec<u8>,
}

impl Stream {
    /// A stream that begins here.
    pub fn new(id: String) -> Self {
        Self {
            history: History::new(id),
            backlog: None,
            offset: 0,
            db: None,
            following: false,
            generation: 0,
            term: 0,
            unfinished: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Begins to remember, or changes how much. Before that nobody can read the stream.
    pub fn remember(&mut self, capacity: usize, limit: usize) {
        match &mut self.backlog {
            Some(backlog) => backlog.set_capacity(capacity, limit),
            None => self.backlog = Some(Backlog::new(self.offset, capacity, limit)),
        }
    }

    /// Remembers nothing any more. What is written from now on is counted by nobody, so the stream gets another id.
    pub fn forget(&mut self, id: String) {
        self.offset = self.end();
        self.backlog = None;
        self.generation += 1;
        self.history = History::new(id);
    }

    /// Offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.backlog.as_ref().map_or(self.offset, Backlog::end)
    }

    /// Bytes received from the primary that count only when their transaction is complete.
    pub fn unfinished_len(&self) -> usize {
        self.unfinished.len()
    }

    /// What is remembered.
    pub fn backlog(&self) -> Option<&Backlog> {
        self.backlog.as_ref()
    }

    /// The same, for readers that pin their place.
    pub fn backlog_mut(&mut self) -> Option<&mut Backlog> {
        self.backlog.as_mut()
    }

    /// Its identities.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Where it stands.
    pub fn point(&self) -> Point {
        Point { id: self.history.id.clone(), offset: self.end(), db: self.db }
    }

    /// Whether a primary writes it.
    pub fn is_following(&self) -> bool {
        self.following
    }

    /// Grows when readers have to ask again.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The last order to follow somebody or nobody.
    pub fn term(&self) -> u64 {
        self.term
    }

    // --- writing --------------------------------------------------------------------------------------------------

    /// Appends a unit of this instance's own: commands with their databases.
    pub fn write_unit<'c>(&mut self, unit: impl ExactSizeIterator<Item = (u32, &'c [u8])>) {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let several = unit.len() > 1;
        for (position, (db, command)) in unit.enumerate() {
            if self.db != Some(db) {
                write_command(&mut bytes, &["SELECT", &db.to_string()]);
                self.db = Some(db);
            }
            if several && position == 0 {
                write_command(&mut bytes, &["MULTI"]);
            }
            bytes.extend_from_slice(command);
        }
        if several {
            write_command(&mut bytes, &["EXEC"]);
        }
        self.append(&bytes);
        self.scratch = bytes;
    }

    /// Counts bytes of this instance's own that nobody can read, because nothing is remembered.
    pub fn skip(&mut self, bytes: u64) {
        debug_assert!(self.backlog.is_none(), "what is remembered has no holes");
        self.offset += bytes;
        self.db = None;
    }

    /// Appends a command that changes nothing.
    pub fn write_note(&mut self, words: &[&str]) {
        let mut bytes = Vec::new();
        write_command(&mut bytes, words);
        self.append(&bytes);
    }

    /// Takes over bytes of the primary's that have been run; `db` is selected behind them, and `whole` says that they
    /// end outside of a transaction.
    pub fn take_over(&mut self, bytes: &[u8], db: u32, whole: bool) {
        if !whole {
            return self.unfinished.extend_from_slice(bytes);
        }
        if !self.unfinished.is_empty() {
            let unfinished = std::mem::take(&mut self.unfinished);
            self.append(&unfinished);
        }
        self.append(bytes);
        self.db = Some(db);
    }

    /// The connection to the primary is gone, and with it the transaction it was in the middle of.
    pub fn drop_unfinished(&mut self) {
        self.unfinished = Vec::new();
    }

    fn append(&mut self, bytes: &[u8]) {
        match &mut self.backlog {
            Some(backlog) => backlog.append(bytes),
            None => self.offset += bytes.len() as u64,
        }
    }

    // --- reading --------------------------------------------------------------------------------------------------

    /// Where a snapshot taken at this moment belongs. The next unit of this instance's own says its database, because
    /// whoever reads on from here cannot know it.
    pub fn cut(&mut self) -> Point {
        if !self.following {
            self.db = None;
        }
        self.point()
    }

    /// Where a replica goes on that has everything before `next` of the stream `id`; `None` when it needs a snapshot.
    pub fn resume(&self, id: &str, next: u64) -> Option<u64> {
        let held = self.backlog.as_ref().map(|backlog| (backlog.start(), backlog.end()));
        match self.history.resume(id, next, held) {
            Resume::From(offset) => Some(offset),
            Resume::Full => None,
        }
    }

    // --- changing sides -------------------------------------------------------------------------------------------

    /// A new order was given; gives its number.
    pub fn new_term(&mut self) -> u64 {
        self.term += 1;
        self.term
    }

    /// A primary writes the stream from now on. Readers ask again when its first word has come.
    pub fn follow(&mut self) {
        if !std::mem::replace(&mut self.following, true) {
            self.generation += 1;
        }
    }

    /// This instance writes the stream from now on, under an id of its own; who read the old one may go on.
    pub fn promote(&mut self, id: String) {
        if std::mem::replace(&mut self.following, false) {
            let end = self.end();
            self.history.promote(id, end);
            self.drop_unfinished();
            self.db = None;
            self.generation += 1;
        }
    }

    /// Stands where another stream does, whose data has just been loaded. `false`, and nothing happened, when somebody
    /// else has been ordered to be followed meanwhile.
    pub fn adopt(&mut self, term: u64, point: Point) -> bool {
        if self.term != term || !self.following {
            return false;
        }
        self.history = History::new(point.id);
        self.drop_unfinished();
        (self.offset, self.db) = (point.offset, point.db);
        self.generation += 1;
        if let Some(backlog) = &mut self.backlog {
            backlog.reset(point.offset);
        }
        true
    }

    /// The primary goes on under this id.
    pub fn rename(&mut self, id: String) {
        if self.history.id != id {
            let end = self.end();
            self.history.promote(id, end);
            self.generation += 1;
        }
    }

    /// Stands where a snapshot was taken that has been loaded at the start. A replica goes on with its primary's stream;
    /// a primary begins its own there, and those who stand at the same place may follow.
    pub fn restore(&mut self, point: Point, as_replica: bool, own_id: String) {
        self.history = if as_replica {
            History::new(point.id)
        } else {
            History { id: own_id, before: Some((point.id, point.offset)) }
        };
        // Until it is told otherwise somebody else writes under this id.
        self.following = as_replica;
        self.offset = point.offset;
        self.db = point.db.filter(|_| as_replica);
        if let Some(backlog) = &mut self.backlog {
            backlog.reset(point.offset);
        }
        self.generation += 1;
    }

    /// A new id that continues no other.
    pub fn renew(&mut self, id: String) {
        self.history = History::new(id);
        self.generation += 1;
    }
}
