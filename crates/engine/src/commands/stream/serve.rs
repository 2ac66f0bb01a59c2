//! What XREADGROUP reads of one stream, and what the group remembers of it.

use quiver_resp::Encoder;

use super::claim::note_consumer;
use super::read::{Budget, From, Reader, write_behind};
use super::replay::Changes;
use super::{no_key_or_group, write_delivery, write_entry, write_id};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::stream::group::{ConsumerId, Group};
use crate::types::stream::{Entry, Id, Log, Stream};

/// Serves a reader from one stream; whether it got an array of entries, which may be empty for its own history.
pub(super) fn serve_group(
    ctx: &mut Ctx<'_>,
    name: &[u8],
    reader: Reader<'_>,
    from: From,
    budget: &mut Budget,
) -> Result<bool, CommandError> {
    let (key, now_ms) = (ctx.key(name), ctx.ks.now_ms);
    let mut changes = Changes::new(ctx);
    let missing = || no_key_or_group(&key, reader.group, " in XREADGROUP with GROUP option");
    let Stream { log, groups, .. } = &mut **ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or_else(missing)?;
    let group = groups.get_mut(reader.group).ok_or_else(missing)?;
    let (consumer, is_new) = group.find_or_create(reader.consumer, now_ms);
    group.consumer_mut(consumer).seen_time = now_ms;
    if is_new {
        changes.created(reader.consumer);
    }
    let mut delivery = Delivery { log, group, consumer, now_ms, changes: &mut changes };
    let served = match from {
        From::Behind(id) => {
            delivery.history(id, &mut ctx.reply, budget);
            true
        }
        From::New => delivery.new_entries(reader, &mut ctx.reply, budget),
    };
    changes.finish(group);
    ctx.ks.dirty += u64::from(served);
    note_consumer(ctx, key, is_new);
    changes.replay(ctx, key, reader.group);
    Ok(served)
}

/// An entry that nobody has got before, for a reader that claims.
fn write_fresh(reply: &mut Encoder<'_>, entry: &Entry<'_>) {
    write_delivery(reply, entry, 0, 0);
}

/// Delivers entries of one stream to one consumer.
struct Delivery<'a> {
    log: &'a Log,
    group: &'a mut Group,
    consumer: ConsumerId,
    now_ms: i64,
    changes: &'a mut Changes,
}

impl Delivery<'_> {
    /// What the consumer has not acknowledged, behind an id. An entry that was deleted since shows as nothing.
    fn history(&mut self, behind: Id, reply: &mut Encoder<'_>, budget: &mut Budget) {
        let own = self.group.consumer(self.consumer).pending();
        let ids: Vec<Id> =
            behind.next().into_iter().flat_map(|from| own.range(from..)).copied().take(budget.count).collect();
        let at = reply.position();
        let mut written = 0;
        for id in ids {
            let entry = self.log.get(id);
            let fits = budget.write(reply, |reply| match &entry {
                Some(entry) => write_entry(reply, entry),
                None => {
                    reply.array(2);
                    write_id(reply, id);
                    reply.null_array();
                }
            });
            if !fits {
                break;
            }
            written += 1;
            if let (Some(_), Some(pending)) = (entry, self.group.pending(id).copied()) {
                let count = pending.delivery_count.saturating_add(1);
                self.group.deliver(id, self.consumer, self.now_ms, count);
                self.changes.claimed(self.group, id);
            }
        }
        reply.array_before(at, written);
    }

    /// What was pending for long, if that is claimed, and what the group has not delivered yet.
    fn new_entries(&mut self, reader: Reader<'_>, reply: &mut Encoder<'_>, budget: &mut Budget) -> bool {
        let at = reply.position();
        let claimed = match reader.claim_ms {
            Some(min_idle_ms) => self.claim(min_idle_ms, reply, budget),
            None => 0,
        };
        let count = budget.count;
        budget.count = count - claimed;
        let mut delivered = Vec::new();
        let form = if reader.claim_ms.is_some() { write_fresh } else { write_entry };
        let heard = &mut |entry: &Entry<'_>| delivered.push(entry.id);
        let fresh = write_behind(self.log, self.group.last_id, reply, budget, form, heard);
        budget.count = count;
        for id in &delivered {
            self.deliver_new(*id, reader.no_ack);
        }
        if !delivered.is_empty() {
            self.changes.moved(self.group);
        }
        reply.array_before(at, claimed + fresh);
        claimed + fresh > 0
    }

    fn deliver_new(&mut self, id: Id, no_ack: bool) {
        self.group.advance(self.log, id);
        if !no_ack {
            self.group.deliver(id, self.consumer, self.now_ms, 1);
            self.group.consumer_mut(self.consumer).active_time = self.now_ms;
            self.changes.claimed(self.group, id);
        }
    }

    /// Claims what has been pending for so long, the longest first; how many entries were written. Each is followed by
    /// how long it was idle and how often it was delivered before.
    fn claim(&mut self, min_idle_ms: i64, reply: &mut Encoder<'_>, budget: &mut Budget) -> usize {
        let mut written = 0;
        for id in self.group.delivered_until(self.now_ms.saturating_sub(min_idle_ms), budget.count) {
            let Some(pending) = self.group.pending(id).copied() else { continue };
            let Some(entry) = self.log.get(id) else {
                self.changes.claimed(self.group, id);
                self.group.acknowledge(id);
                continue;
            };
            let idle = if pending.owner().is_some() { self.now_ms.saturating_sub(pending.delivery_time) } else { -1 };
            let fits = budget.write(reply, |reply| write_delivery(reply, &entry, idle, pending.delivery_count));
            if !fits {
                break;
            }
            self.group.deliver(id, self.consumer, self.now_ms, pending.delivery_count.saturating_add(1));
            self.group.consumer_mut(self.consumer).active_time = self.now_ms;
            self.changes.claimed(self.group, id);
            written += 1;
        }
        written
    }
}
