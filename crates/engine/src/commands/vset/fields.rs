//! `WITHFIELDS prefix numfields field ...`: with every result of VSIM, fields of the hash under the prefix and its name.
//!
//! The answer is of one moment, and yet nothing is locked while the set is searched: the search notes the set's version,
//! then the set's shard and those of the hashes are locked, and if the set has changed in between, the search is done
//! again. After [`TRIES`] it is done with everything locked.
//!
//! The hashes can be anywhere, so as with SORT's GET the client must be allowed to read every key.

use std::sync::Arc;

use quiver_resp::Argv;
use quiver_structures::listpack::Item;

use super::options::Options;
use super::search::{find, parse_query, with_warm, write_answer};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{ALL_SHARDS, KeyHasher};
use crate::object::SharedVectorSet;
use crate::types::hash::{Hash, ItemText};

/// Searches whose set changed before the hashes could be read, until all shards are locked.
const TRIES: usize = 3;

/// Which fields of which hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    prefix: &'a [u8],
    names: Argv<'a>,
    count: usize,
}

impl<'a> Fields<'a> {
    /// Reads the words behind `WITHFIELDS`, of which there are as many as [`Self::words`].
    pub(super) fn parse(argv: Argv<'a>, at: usize) -> Result<Self, CommandError> {
        const BAD: CommandError =
            CommandError::text("ERR WITHFIELDS needs a prefix, a number of fields and as many fields");
        let count = argv.get(at + 1).and_then(super::options::positive).ok_or(BAD)?;
        if count > argv.len() - (at + 2) {
            return Err(BAD);
        }
        Ok(Self { prefix: argv.at(at), names: argv.from(at + 2), count })
    }

    /// Words behind `WITHFIELDS`.
    pub(super) fn words(self) -> usize {
        2 + self.count
    }

    fn key_of(self, element: &[u8]) -> Vec<u8> {
        [self.prefix, element].concat()
    }

    /// Writes the fields of an element's hash, null where there is none.
    pub(super) fn write(self, ctx: &mut Ctx<'_>, element: &[u8]) {
        let (name, as_of) = (self.key_of(element), ctx.ks.as_of());
        ctx.reply.array(self.count);
        let hash = ctx.ks.value::<Hash>(KeyHasher.key(&name)).ok().flatten();
        for field in self.names.iter().take(self.count) {
            match hash.and_then(|hash| hash.get(field, as_of)) {
                Some(Item::Str(text)) => ctx.reply.bulk(text),
                Some(number) => ctx.reply.bulk(ItemText::new(number).as_bytes()),
                None => ctx.reply.null(),
            }
        }
    }
}

/// VSIM with this option.
pub(super) fn vsim_with_fields(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    shared: &SharedVectorSet,
    fields: Fields<'_>,
) -> CommandResult {
    if !ctx.session.user.reads_every_key(ctx.entry, argv) {
        return Err(CommandError::text("ERR WITHFIELDS is denied due to insufficient ACL permissions."));
    }
    if ctx.ks.in_transaction && ctx.ks.locked() != ALL_SHARDS {
        return Err(CommandError::text("ERR WITHFIELDS is not possible inside a transaction"));
    }
    let as_of = ctx.ks.as_of();
    with_warm(|warm| {
        let whole = ctx.ks.in_transaction;
        for last in (0..=TRIES).map(|tries| tries == TRIES || whole) {
            if !whole && last {
                lock(ctx, ALL_SHARDS);
            } else if !whole {
                ctx.ks.relock(0);
            }
            let set = shared.read();
            let (query, next) = parse_query(&set, argv, 2, as_of, &mut warm.vector)?;
            let options = Options::parse(argv, next, as_of)?;
            let outcome = find(&set, query, &options, &mut warm.search)?;
            let version = set.version();
            let found = &warm.search.found;
            let hashes =
                found.iter().map(|neighbor| KeyHasher.key(&fields.key_of(set.name(neighbor.slot))).shard_set());
            let mask = hashes.fold(ctx.first_key(argv).shard_set(), |mask, shard| mask | shard);
            // Whoever holds a shard may wait for the set: so it is given back before shards are taken.
            drop(set);
            if !last {
                lock(ctx, mask);
            }
            if last || is_still(ctx, argv, shared, version) {
                // Not behind a change that waits for others' searches: shards are locked.
                let set = shared.read_recursive();
                write_answer(ctx, &set, found, &options, outcome);
                return Ok(());
            }
        }
        unreachable!("the last try has everything locked");
    })
}

/// Locks shards when nothing is lent: a lent hash looks empty.
fn lock(ctx: &mut Ctx<'_>, mask: u64) {
    ctx.ks.relock(mask);
    while ctx.engine.loans.any() {
        ctx.ks.relock(0);
        ctx.engine.loans.wait();
        ctx.ks.relock(mask);
    }
}

/// Whether the set under the key is still this one, in this version.
fn is_still(ctx: &Ctx<'_>, argv: Argv<'_>, shared: &SharedVectorSet, version: u64) -> bool {
    let now = ctx.ks.seen::<SharedVectorSet>(&ctx.first_key(argv));
    now.is_some_and(|set| Arc::ptr_eq(set, shared)) && shared.read_recursive().version() == version
}
