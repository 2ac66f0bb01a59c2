//! Asking an index, and reading what it finds in the same moment.
//!
//! An index is asked when everything written before is in it. What it finds is read from the keyspace shard by shard
//! afterwards; where anything in the index's reach has changed meanwhile, each document is held against the version that
//! matched. One that differs, or is gone, has the question asked again; after a few times all shards are held, and nothing
//! can differ any more.

use std::sync::atomic::Ordering::Relaxed;

use quiver_query::Value;
use quiver_query::index::{Explanation, Index};

use super::request::Reading;
use super::watch::add_since;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::field_expiry;
use crate::keyspace::{ALL_SHARDS, Key};
use crate::search::definition::Definition;
use crate::search::extract::{Seen, Source, is_lent, live, look, source};
use crate::search::index::SearchIndex;

/// Questions asked before all shards are held.
const TRIES: usize = 4;

/// And at all: what is over by then among the found is left out.
const TRIES_AT_ALL: usize = 32;

/// Documents read between two looks at the time.
const READS_BETWEEN_LOOKS: usize = 256;

/// A document that was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) key: Vec<u8>,
    pub(super) version: u64,
    pub(super) score: f64,
    /// Distances by the names the query gives them.
    pub(super) distances: Vec<(Vec<u8>, f64)>,
    /// What it is sorted by, where that was asked for.
    pub(super) sort_key: Value,
    /// How its score came about.
    pub(super) explanation: Option<Explanation>,
}

/// What a question finds.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Documents that match.
    pub(super) total: usize,
    /// Those that were asked for.
    pub(super) found: Vec<Found>,
    /// Time was over before all were seen.
    pub(super) timed_out: bool,
}

/// When a question has to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at_ns: Option<u64>,
}

impl Deadline {
    /// In so many ms from now; 0 for never.
    pub(super) fn in_ms(ctx: &Ctx<'_>, ms: i64) -> Self {
        let ns = u64::try_from(ms).ok().filter(|ms| *ms > 0).map(|ms| ms.saturating_mul(1_000_000));
        Self { at_ns: ns.map(|ns| ctx.meter.now_ns().saturating_add(ns)) }
    }

    /// Whether there is time left, and somebody to wait for the answer.
    pub(super) fn goes_on(self, ctx: &Ctx<'_>) -> bool {
        !ctx.session.shared.killed.load(Relaxed) && self.at_ns.is_none_or(|at| ctx.meter.now_ns() < at)
    }
}

/// What an index is asked.
pub(super) type Question<'q> = &'q mut dyn FnMut(&Ctx<'_>, &Index, Deadline) -> Result<Answer, CommandError>;

/// What is read of each document.
pub(super) type Read<'r, T> = &'r mut dyn FnMut(&Definition, &Found, &Source<'_>) -> T;

/// Asks an index with `question` and reads what it finds with `read`; `None`: nothing is to be read.
pub(super) fn ask<T>(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    reading: &Reading,
    question: Question<'_>,
    read: Option<Read<'_, T>>,
) -> Result<(Answer, Vec<T>), CommandError> {
    let begun_ns = ctx.meter.now_ns();
    index.running.fetch_add(1, Relaxed);
    let answer = ask_until_it_stands(ctx, index, reading, question, read);
    index.running.fetch_sub(1, Relaxed);
    let asked = &ctx.engine.search.asked;
    asked.commands.fetch_add(1, Relaxed);
    asked.queries.fetch_add(u64::from(answer.is_ok()), Relaxed);
    asked.ns.fetch_add(ctx.meter.now_ns().saturating_sub(begun_ns), Relaxed);
    if let (Some(watch), Ok((_, read))) = (&reading.watch, &answer) {
        add_since(ctx, &watch.asking_ns, begun_ns);
        watch.read.set(read.len());
    }
    answer
}

fn ask_until_it_stands<T>(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    reading: &Reading,
    question: Question<'_>,
    mut read: Option<Read<'_, T>>,
) -> Result<(Answer, Vec<T>), CommandError> {
    let mut tries = 0;
    loop {
        if let Some(watch) = &reading.watch {
            watch.recorder.clear();
            watch.matched.set(0);
        }
        let (mut answer, changes, deadline) = ask_once(ctx, index, reading.timeout_ms, question)?;
        let Some(read) = read.as_deref_mut() else { return Ok((answer, Vec::new())) };
        let (definition, before) = (index.definition(), answer.found.len());
        let (mut values, mut looked, mut lost) = (Vec::with_capacity(before), 0, 0);
        answer.found.retain(|found| {
            looked += 1;
            if answer.timed_out || looked % READS_BETWEEN_LOOKS == 0 && !deadline.goes_on(ctx) {
                answer.timed_out = true;
                return false;
            }
            let value = read_one(ctx, &definition, found, &|| index.changes() == changes, read);
            if value.is_none() {
                // It is another one by now, or its time is over: the index is to look at it before it is asked again.
                index.push(&found.key);
                lost += 1;
            }
            let kept = value.is_some();
            values.extend(value);
            kept
        });
        tries += 1;
        if lost == 0 || answer.timed_out || tries == TRIES_AT_ALL {
            return Ok((answer, values));
        }
        if tries == TRIES {
            hold_everything(ctx);
        } else if tries < TRIES && ctx.ks.locked() != ALL_SHARDS {
            ctx.ks.release();
        }
    }
}

/// One answer of the index when everything before is in it, with the count of changes it knows of, and when the time is
/// over: bringing the index up to date is not the question's time.
fn ask_once(
    ctx: &mut Ctx<'_>,
    index: &SearchIndex,
    timeout_ms: i64,
    question: Question<'_>,
) -> Result<(Answer, u64, Deadline), CommandError> {
    loop {
        let mark = ctx.engine.bring_up_to_date(index, &ctx.ks);
        if let Some(content) = index.content_at(mark) {
            let deadline = Deadline::in_ms(ctx, timeout_ms);
            return question(ctx, &content, deadline).map(|answer| (answer, mark.changes, deadline));
        }
    }
}

/// Reads a document if it is still the one that matched; `unchanged` tells, while its shard is locked, that it must be.
fn read_one<T>(
    ctx: &mut Ctx<'_>,
    definition: &Definition,
    found: &Found,
    unchanged: &dyn Fn() -> bool,
    read: &mut dyn FnMut(&Definition, &Found, &Source<'_>) -> T,
) -> Option<T> {
    let key = ctx.key(&found.key);
    if ctx.ks.locked() != ALL_SHARDS {
        lock_home(ctx, &key);
    }
    let (now_ms, shard) = (ctx.ks.now_ms, ctx.ks.shard(key.shard));
    let object = live(shard, &key, now_ms)?;
    // Fields whose time is over are gone without a change.
    let unchanged = unchanged() && field_expiry::earliest_of(object).is_none();
    if !unchanged
        && !matches!(look(shard, &key, now_ms, definition), Seen::Found(_, version) if version == found.version)
    {
        return None;
    }
    Some(read(definition, found, &source(object, now_ms)?))
}

/// Locks the shard of a key, and it alone, when nobody has the key's value.
fn lock_home(ctx: &mut Ctx<'_>, key: &Key<'_>) {
    ctx.ks.lock_only(key.shard);
    while is_lent(ctx.ks.shard(key.shard), key) {
        ctx.ks.release();
        ctx.engine.loans.wait();
        ctx.ks.lock_only(key.shard);
    }
}

/// Takes all shards, when nothing in them is lent.
fn hold_everything(ctx: &mut Ctx<'_>) {
    while ctx.ks.locked() != ALL_SHARDS {
        ctx.ks.relock(ALL_SHARDS);
        if ctx.engine.loans.any() {
            ctx.ks.release();
            ctx.engine.loans.wait_for_all();
        }
    }
}
