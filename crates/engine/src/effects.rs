//! The effects of a turn: what the one ordered stream carries to replicas, logs and recorders.
//!
//! A turn that changed something yields one *unit*: the database and argument vectors that repeat the change on an
//! equal keyspace without knowing the clock, the random numbers or the replies (SPOP becomes SREM, EXPIRE becomes
//! PEXPIREAT). By default that is the command as received; a handler that is random, relative or conditional says so
//! with [`Effects::replace`]. Units are handed to the [`Sink`] while the turn's locks are held, so the order of the
//! stream is the order of execution. Without a sink nothing is encoded.

use quiver_resp::{Argv, write_command};

/// Where units go, called under the locks of the shards they changed.
pub trait Sink: Send + Sync {
    /// Appends the collected units in order. Must be short: it runs under shard locks.
    fn append(&self, effects: &Effects);
}

/// The effects collected since the last hand-over.
#[derive(Debug, Default)]
pub struct Effects {
    active: bool,
    bytes: Vec<u8>,
    ops: Vec<Op>,
    /// End of each finished unit, as an index into `ops`.
    units: Vec<usize>,
    replaced: bool,
    /// What of a primary's stream was run, and what is true behind it.
    received: Vec<u8>,
    behind: Behind,
}

/// What is true behind a piece of a primary's stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behind {
    /// The database that is selected.
    pub db: u32,
    /// No transaction is open.
    pub whole: bool,
}

/// One command of a unit.
#[derive(Debug, Clone, Copy)]
struct Op {
    db: u32,
    end: usize,
}

impl Effects {
    /// Empties the collection for a new group of turns; `active` says whether anybody listens.
    pub fn reset(&mut self, active: bool) {
        self.active = active;
        self.bytes.clear();
        self.ops.clear();
        self.units.clear();
        self.replaced = false;
        self.received.clear();
    }

    /// Notes what of a primary's stream the running turn is made of.
    pub(crate) fn receive(&mut self, bytes: &[u8], behind: Behind) {
        if self.active {
            self.received.extend_from_slice(bytes);
            self.behind = behind;
        }
    }

    /// What of a primary's stream was run; the units are what came of it. `None` for everything else.
    pub fn received(&self) -> Option<(&[u8], Behind)> {
        (!self.received.is_empty()).then_some((&self.received, self.behind))
    }

    /// Lets what is pushed from here on count or not.
    pub(crate) fn set_active(&mut self, active: bool) {
        self.active = active;
    }

    /// Whether a sink listens; when not, pushing is free.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Whether there is nothing for a sink.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty() && self.received.is_empty()
    }

    /// Bytes of all commands.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The finished units: each a list of `(db, RESP bytes of one command)`.
    pub fn units(&self) -> impl Iterator<Item = impl ExactSizeIterator<Item = (u32, &[u8])>> {
        self.units.iter().scan(0, move |first, end| {
            let ops = *first..*end;
            *first = *end;
            Some(ops.map(move |i| {
                let start = if i == 0 { 0 } else { self.ops[i - 1].end };
                (self.ops[i].db, &self.bytes[start..self.ops[i].end])
            }))
        })
    }

    /// Appends the units as they stand in a stream of commands: SELECT before a command of another database than the one
    /// before it, and several commands of a unit between MULTI and EXEC. `selected`: the database of the last command.
    pub fn encode(&self, selected: &mut Option<u32>, out: &mut Vec<u8>) {
        for unit in self.units() {
            let several = unit.len() > 1;
            for (position, (db, command)) in unit.enumerate() {
                if *selected != Some(db) {
                    write_command(out, &["SELECT", &db.to_string()]);
                    *selected = Some(db);
                }
                if several && position == 0 {
                    write_command(out, &["MULTI"]);
                }
                out.extend_from_slice(command);
            }
            if several {
                write_command(out, &["EXEC"]);
            }
        }
    }

    /// Adds one command to the running unit, beside whatever else the turn yields.
    pub fn push<'w>(&mut self, db: usize, words: impl ExactSizeIterator<Item = &'w [u8]>) {
        if !self.active {
            return;
        }
        push_header(&mut self.bytes, b'*', words.len());
        for word in words {
            push_header(&mut self.bytes, b'$', word.len());
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.ops.push(Op { db: db as u32, end: self.bytes.len() });
    }

    /// Puts this command in the place of the one received; several calls add up.
    pub fn replace(&mut self, db: usize, words: &[&[u8]]) {
        self.replaced = true;
        self.push(db, words.iter().copied());
    }

    /// Lets the turn yield nothing although it changed something that replicas must not repeat.
    pub fn suppress(&mut self) {
        self.replaced = true;
    }

    /// Ends one command of a turn: adds `argv` unless the handler replaced it.
    pub(crate) fn end_command(&mut self, db: usize, argv: Argv<'_>, changed: bool) {
        if changed && !self.replaced {
            self.push(db, argv.iter());
        }
        self.replaced = false;
    }

    /// Ends the turn: all commands since the last unit become one unit.
    pub(crate) fn end_unit(&mut self) {
        if self.units.last().copied().unwrap_or(0) < self.ops.len() {
            self.units.push(self.ops.len());
        }
    }
}

fn push_header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    out.extend_from_slice(crate::number::IntText::new(count as i64).as_bytes());
    out.extend_from_slice(b"\r\n");
}
