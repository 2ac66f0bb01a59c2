//! Serving waiters: running their commands again when a key they wait for has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Encoder;
use quiver_structures::ValueRef;

use super::{KeyWait, Rerun, Waiter, Want};
use crate::acl::log::Context;
use crate::command::{CommandResult, Group};
use crate::context::Ctx;
use crate::dispatch::{call, note_error};
use crate::engine::{Engine, Freeing};
use crate::keyspace::{ExpiryRule, Key, KeyHasher, Keyspace};
use crate::meter::Meter;
use crate::rng::Rng;
use crate::session::{ClientInfo, Session};

/// Serves everybody whom the unit that just ended has made ready, key by key and in order of arrival. Serving one may
/// make further keys ready; they are served behind those already waiting to be.
pub(crate) fn serve_ready(ctx: &mut Ctx<'_>) {
    while let Some((db, name)) = ctx.ks.ready.pop_front() {
        serve_key(ctx, db, KeyHasher.key(&name));
    }
}

/// Serves those who could not be served while keys were lent that have just come back.
pub(crate) fn serve_left(ctx: &mut Ctx<'_>) {
    for (db, name) in ctx.engine.loans.take_unserved() {
        let key = KeyHasher.key(&name);
        cover(ctx, key.shard_set());
        serve_key(ctx, db, key);
        serve_ready(ctx);
    }
}

fn serve_key(ctx: &mut Ctx<'_>, db: usize, key: Key<'_>) {
    let waiting = &ctx.ks.shard_mut(key.shard).waiting;
    let Some(waiters) = waiting.get(&(db, key.name.into())) else { return };
    // Those that come to wait from here on have looked at the key themselves.
    let waiters: Vec<Arc<Waiter>> = waiters.iter().cloned().collect();
    for waiter in waiters {
        let Want::Keys(wait) = &waiter.want else { continue };
        if !suits(ctx, wait, key) {
            continue;
        }
        cover(ctx, wait.mask);
        if ctx.engine.names_lent(&ctx.ks, ctx.session, wait.entry, wait.argv.as_argv()) {
            ctx.engine.loans.serve_later(db, key.name);
            continue;
        }
        // Others may have taken what was there while the locks were away.
        if suits(ctx, wait, key) && waiter.claim() {
            rerun(ctx, &waiter, wait);
        }
    }
}

/// Whether the key now holds what the waiting command works on. A key of another type does not end a wait, but where a
/// consumer group is waited for, which can be gone.
fn suits(ctx: &mut Ctx<'_>, wait: &KeyWait, key: Key<'_>) -> bool {
    let db = std::mem::replace(&mut ctx.ks.db, wait.db);
    let there = match ctx.ks.peek(key).map(|entry| entry.value()) {
        Some(ValueRef::Object(object)) => object.type_name(),
        Some(_) => "string",
        None => "none",
    };
    ctx.ks.db = db;
    match wait.entry.command.group {
        Group::List => there == "list",
        Group::SortedSet => there == "zset",
        Group::Stream => there == "stream" || wait.entry.command.name == "xreadgroup",
        _ => true,
    }
}

/// Makes sure that the shards of `mask` are locked. The units that are whole go to the stream before any lock is given
/// back.
fn cover(ctx: &mut Ctx<'_>, mask: u64) {
    let more = mask & !ctx.ks.locked();
    if more != 0 && !ctx.ks.extend_locks(more) {
        ctx.engine.deliver(ctx.ks.effects);
        ctx.ks.relock(ctx.ks.locked() | more);
        ctx.ks.effects.reset(ctx.engine.has_sink());
    }
}

/// Runs a claimed waiter's command as its client.
fn rerun(ctx: &mut Ctx<'_>, waiter: &Arc<Waiter>, wait: &KeyWait) {
    let (start, protocol) = (ctx.reply.position(), ctx.reply.protocol());
    let before = (ctx.ks.db, ctx.ks.expiry, ctx.ks.no_touch, ctx.entry, ctx.located);
    let mut session = wait.session.lock();
    std::mem::swap(ctx.session, &mut session);
    ctx.session.rerun = Rerun::Running;
    ctx.reply.set_protocol(ctx.session.protocol);
    ctx.ks.db = wait.db;
    ctx.ks.expiry = if ctx.engine.state.is_replica.load(Relaxed) { ExpiryRule::Hide } else { ExpiryRule::Delete };
    ctx.ks.no_touch = ctx.session.shared.no_touch.load(Relaxed);
    ctx.located = None;
    // What the client may do can have changed while it waited.
    match check(ctx, wait) {
        Ok(()) => {
            call(ctx, wait.entry, wait.argv.as_argv());
        }
        Err(error) => {
            ctx.reply.error(&error.to_string());
            note_error(ctx.engine, &error);
        }
    }
    ctx.ks.effects.end_unit();
    let waits_on = ctx.session.rerun == Rerun::Waits;
    std::mem::swap(ctx.session, &mut session);
    ctx.reply.set_protocol(protocol);
    (ctx.ks.db, ctx.ks.expiry, ctx.ks.no_touch, ctx.entry, ctx.located) = before;
    let reply = ctx.reply.split_off(start);
    if waits_on {
        return waiter.unclaim();
    }
    ctx.ks.stop_waiting(waiter);
    waiter.complete(reply);
    ctx.ks.served.push(Arc::clone(waiter));
}

/// Whether the client may still run its command.
fn check(ctx: &Ctx<'_>, wait: &KeyWait) -> CommandResult {
    let (session, argv) = (&*ctx.session, wait.argv.as_argv());
    if session.user.is_unrestricted() {
        return Ok(());
    }
    let checked = ctx.engine.check_permissions(session, wait.entry, argv, Context::of(session), ctx.ks.now_ms);
    checked.map_err(|denied| denied.error(&session.user, wait.entry))
}

impl Waiter {
    /// Tells the client that its wait is over.
    pub(crate) fn wake(&self) {
        self.client.wake();
    }
}

impl Engine {
    /// Ends a hold of locks in which something was changed outside of a command (expiry): serves whoever waited for
    /// that, hands the effects over, unlocks, wakes and frees.
    pub(crate) fn close_hold(&self, keyspace: Keyspace<'_>, rng: &mut Rng, freeing: Freeing) {
        let (mut session, mut out, mut keyspace) = (None, Vec::new(), keyspace);
        if !keyspace.ready.is_empty() {
            keyspace = self.serve_hold(keyspace, rng, session.insert(nobody()), &mut out);
        }
        self.deliver(keyspace.effects);
        let (garbage, served) = (std::mem::take(&mut keyspace.garbage), std::mem::take(&mut keyspace.served));
        drop(keyspace);
        served.iter().for_each(|waiter| waiter.wake());
        self.free_later(garbage, freeing);
    }

    /// Serves with a client in whose name nothing is done.
    fn serve_hold<'a>(
        &'a self,
        ks: Keyspace<'a>,
        rng: &'a mut Rng,
        session: &'a mut Session,
        out: &'a mut Vec<u8>,
    ) -> Keyspace<'a> {
        let entry = &self.registry.entries()[0];
        let reply = Encoder::new(out, session.protocol);
        let mut ctx = Ctx { ks, session, reply, engine: self, rng, entry, located: None, meter: Meter::off() };
        serve_ready(&mut ctx);
        ctx.ks
    }
}

fn nobody() -> Session {
    Session::new(Arc::new(ClientInfo::new(0, String::new(), String::new(), 0)), true)
}
