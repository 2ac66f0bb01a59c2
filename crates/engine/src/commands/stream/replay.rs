//! What the stream of effects says instead of commands whose outcome depends on the clock, the group or the reader.

use crate::context::Ctx;
use crate::keyspace::Key;
use crate::number::IntText;
use crate::types::stream::group::Pending;
use crate::types::stream::{Group, Id};

/// A change of one pending entry, as it has to be repeated.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    id: Id,
    /// Nobody has what was released.
    owner: Option<Box<[u8]>>,
    delivery_time: i64,
    delivery_count: i64,
}

impl Claimed {
    /// The entry as the group has it now.
    pub(super) fn new(group: &Group, id: Id, pending: &Pending) -> Self {
        let owner = pending.owner().map(|owner| group.consumer(owner).name().into());
        Self { id, owner, delivery_time: pending.delivery_time, delivery_count: pending.delivery_count }
    }
}

/// The changes a command makes to a group, collected while the group is borrowed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Nobody listens: nothing is collected.
    silent: bool,
    created: Option<Box<[u8]>>,
    claimed: Vec<Claimed>,
    /// The group's position changed: its last id and the entries it has read.
    moved: Option<(Id, Option<u64>)>,
    last_id: Id,
}

impl Changes {
    /// Nothing yet.
    pub(super) fn new(ctx: &mut Ctx<'_>) -> Self {
        Self { silent: !ctx.effects().is_active(), ..Self::default() }
    }

    /// A consumer is new.
    pub(super) fn created(&mut self, consumer: &[u8]) {
        if !self.silent {
            self.created = Some(consumer.into());
        }
    }

    /// A pending entry is new, has changed or is about to go because the stream no longer has it.
    pub(super) fn claimed(&mut self, group: &Group, id: Id) {
        if let Some(pending) = group.pending(id).filter(|_| !self.silent) {
            self.claimed.push(Claimed::new(group, id, pending));
        }
    }

    /// The group moved on.
    pub(super) fn moved(&mut self, group: &Group) {
        self.moved = Some((group.last_id, group.entries_read));
    }

    /// Remembers the position that claims are replayed with.
    pub(super) fn finish(&mut self, group: &Group) {
        self.last_id = group.last_id;
    }

    /// Puts all of it into the running unit, in the place of the command received.
    pub(super) fn replay(self, ctx: &mut Ctx<'_>, key: Key<'_>, group: &[u8]) {
        ctx.effects().suppress();
        if self.silent {
            return;
        }
        if let Some(consumer) = &self.created {
            ctx.replay_as(&[b"XGROUP", b"CREATECONSUMER", key.name, group, consumer]);
        }
        for entry in &self.claimed {
            replay_claim(ctx, key, group, entry, self.last_id);
        }
        if let Some((last_id, read)) = self.moved {
            let (last_id, read) = (last_id.text(), IntText::new(read.map_or(-1, |read| read as i64)));
            let words = [b"XGROUP", b"SETID".as_slice(), key.name, group, last_id.as_bytes(), b"ENTRIESREAD"];
            ctx.replay_as(&[words.as_slice(), &[read.as_bytes()]].concat());
        }
    }
}

/// The claim that makes an entry pending as it is now, whatever the receiver knew of it. Where the stream no longer has the
/// entry a claim takes it off the list; but nobody can claim in the name of nobody.
fn replay_claim(ctx: &mut Ctx<'_>, key: Key<'_>, group: &[u8], entry: &Claimed, last_id: Id) {
    let (id, last_id) = (entry.id.text(), last_id.text());
    let Some(owner) = &entry.owner else { return ctx.replay_as(&[b"XACK", key.name, group, id.as_bytes()]) };
    let (time, count) = (IntText::new(entry.delivery_time), IntText::new(entry.delivery_count));
    ctx.replay_as(&[
        b"XCLAIM",
        key.name,
        group,
        owner,
        b"0",
        id.as_bytes(),
        b"TIME",
        time.as_bytes(),
        b"RETRYCOUNT",
        count.as_bytes(),
        b"FORCE",
        b"JUSTID",
        b"LASTID",
        last_id.as_bytes(),
    ]);
}
