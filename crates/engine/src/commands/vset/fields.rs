//! `WITHFIELDS prefix numfields field ...`: with every result of VSIM, fields of the hash under the prefix and its name.
//! `WITHFEATURES view numfeatures feature ...`: with every result, features of the entity of its name in a view, as an
//! array of their values and a string of their statuses (`feature/read.rs`).
//!
//! The answer is of one moment, and yet nothing is locked while the set is searched: the search notes the set's version,
//! then the set's shard and those of the hashes are locked, and if the set or the view has changed in between, the search
//! is done again. After [`TRIES`] it is done with everything locked.
//!
//! The hashes can be anywhere. With a prefix that is anything, the client must be allowed to read every key, as with
//! SORT's GET; with a view, those that are read.

use std::rc::Rc;
use std::sync::Arc;

use quiver_resp::Argv;
use quiver_structures::listpack::Item;

use super::super::args::is;
use super::super::feature::{VIEWS, Wanted, find as find_view};
use super::options::Options;
use super::search::{find, parse_query, with_warm, write_answer};
use crate::command::{CommandResult, KeyFlags};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{ALL_SHARDS, KeyHasher};
use crate::object::SharedVectorSet;
use crate::types::hash::{Hash, ItemText};

/// Searches whose set changed before the hashes could be read, until all shards are locked.
const TRIES: usize = 3;

/// Which fields of which hashes.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    /// The word that asks for them.
    option: &'static str,
    /// What the keys begin with, or the name of a view.
    source: &'a [u8],
    names: Argv<'a>,
    /// What is read of a view, once that is known.
    wanted: Option<Wanted>,
}

impl<'a> Fields<'a> {
    /// Reads `WITHFIELDS` or `WITHFEATURES` at `argv[at]` and what belongs to it, of which there are [`Self::words`].
    pub(super) fn parse(argv: Argv<'a>, at: usize) -> Result<Self, CommandError> {
        let option = if is(argv.at(at), "WITHFIELDS") { "WITHFIELDS" } else { "WITHFEATURES" };
        let count = argv.get(at + 2).and_then(super::options::positive);
        let Some(count) = count.filter(|count| *count <= argv.len() - (at + 3)) else {
            return Err(CommandError::text(match option {
                "WITHFIELDS" => "ERR WITHFIELDS needs a prefix, a number of fields and as many fields",
                _ => "ERR WITHFEATURES needs a view, a number of features and as many features",
            }));
        };
        Ok(Self { option, source: argv.at(at + 1), names: argv.from(at + 3).take(count), wanted: None })
    }

    /// Words of the option, itself included.
    pub(super) fn words(&self) -> usize {
        3 + self.names.len()
    }

    /// The error of commands that do not take the option.
    pub(super) fn out_of_place(&self) -> CommandError {
        CommandError::owned(format!("ERR {} goes with VSIM without GROUPBY only", self.option))
    }

    fn is_of_view(&self) -> bool {
        self.option == "WITHFEATURES"
    }

    /// The shards to be locked to know the hashes.
    fn home(&self) -> u64 {
        if self.is_of_view() { KeyHasher.key(VIEWS).shard_set() } else { 0 }
    }

    /// Finds out what is read. Locked is [`Self::home`].
    fn open(&mut self, ctx: &Ctx<'_>) -> CommandResult {
        if self.is_of_view() {
            self.wanted = Some(Wanted::new(&find_view(ctx, self.source)?, Some(self.names))?);
        }
        Ok(())
    }

    /// Whether the view is still what it was.
    fn is_still(&self, ctx: &Ctx<'_>) -> bool {
        self.wanted
            .as_ref()
            .is_none_or(|wanted| find_view(ctx, self.source).is_ok_and(|view| Rc::ptr_eq(&view, &wanted.view)))
    }

    fn key_of(&self, element: &[u8]) -> Box<[u8]> {
        match &self.wanted {
            Some(wanted) => wanted.view.key_of(element),
            None => [self.source, element].concat().into(),
        }
    }

    /// Writes the fields of an element's hash, null where there is none.
    pub(super) fn write(&self, ctx: &mut Ctx<'_>, element: &[u8]) {
        let (name, as_of, now_ms) = (self.key_of(element), ctx.ks.as_of(), ctx.ks.now_ms);
        let hash = ctx.ks.value::<Hash>(KeyHasher.key(&name)).ok().flatten();
        if let Some(wanted) = &self.wanted {
            return wanted.write_one(&mut ctx.reply, hash, as_of, now_ms);
        }
        ctx.reply.array(self.names.len());
        for field in self.names {
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
    mut fields: Fields<'_>,
) -> CommandResult {
    if !fields.is_of_view() && !ctx.session.user.reads_every_key(ctx.entry, argv) {
        return Err(CommandError::text("ERR WITHFIELDS is denied due to insufficient ACL permissions."));
    }
    if ctx.ks.in_transaction && ctx.ks.locked() != ALL_SHARDS {
        return Err(CommandError::owned(format!("ERR {} is not possible inside a transaction", fields.option)));
    }
    let as_of = ctx.ks.as_of();
    with_warm(|warm| {
        let whole = ctx.ks.in_transaction;
        for last in (0..=TRIES).map(|tries| tries == TRIES || whole) {
            if !whole && last {
                lock(ctx, ALL_SHARDS);
            } else if !whole {
                ctx.ks.relock(fields.home());
            }
            fields.open(ctx)?;
            if !last {
                ctx.ks.relock(0);
            }
            let set = shared.read();
            let (query, next) = parse_query(&set, argv, 2, as_of, &mut warm.vector)?;
            let mut options = Options::parse(argv, next, as_of)?;
            let outcome = find(&set, query, &options, &mut warm.search)?;
            let version = set.version();
            let found = &warm.search.found;
            let names: Vec<_> = found.iter().map(|neighbor| fields.key_of(set.name(neighbor.slot))).collect();
            // Whoever holds a shard may wait for the set: so it is given back before shards are taken.
            drop(set);
            if fields.is_of_view() {
                const READS: KeyFlags = KeyFlags::RO.with(KeyFlags::ACCESS);
                ctx.engine.check_made_keys(ctx.session, ctx.entry, argv, &names, READS, ctx.ks.now_ms)?;
            }
            if !last {
                let mask = names.iter().map(|name| KeyHasher.key(name).shard_set());
                lock(ctx, mask.fold(ctx.first_key(argv).shard_set() | fields.home(), |mask, shard| mask | shard));
            }
            if last || is_still(ctx, argv, shared, version) && fields.is_still(ctx) {
                options.fields = Some(fields);
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
