//! One running script: what it may do, and the commands it calls.
//!
//! A command of a script runs as the client that runs the script, under the same hold of locks, and its reply is written
//! behind what the client's buffer holds, to be read from there and taken back. Everything else of the client that a
//! script must not change for it (database, protocol) is put back at the end.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Protocol};

use super::{Running, Scripts};
use crate::acl::User;
use crate::acl::check::Denied;
use crate::acl::log::Context;
use crate::command::Flags;
use crate::context::Ctx;
use crate::dispatch;
use crate::error::CommandError;
use crate::long;
use crate::registry::Entry;
use crate::session::Role;

/// A script that was let run in place and takes longer than this is begun anew elsewhere.
const MOVE_AFTER_NS: u64 = 2_000_000;

/// From this time on FUNCTION STATS shows it.
const SHOW_AFTER_NS: u64 = 1_000_000;

/// Commands that count as much as one [`ScriptRun::tick`].
const CALLS_PER_TICK: u32 = 64;

/// Ticks up to which a script is short: some tenths of a millisecond.
const SHORT_TICKS: u32 = 4;

/// What a script may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rights {
    /// No command that writes.
    pub read_only: bool,
    /// Commands that need memory, although there is none.
    pub allow_oom: bool,
}

/// Where the changes of a script go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Into the stream.
    Stream,
    /// Nowhere.
    Nowhere,
}

/// What follows for a script that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing.
    Go,
    /// It was killed: it ends now.
    Killed,
    /// It is to end and to be begun anew on another thread; it has done nothing yet that others saw.
    Moved,
}

/// A running script. Begun with [`ScriptRun::begin`], and ended with [`ScriptRun::end`] whatever happens between.
#[derive(Debug)]
pub struct ScriptRun<'e> {
    _active: Active<'e>,
    rights: Rights,
    /// Protocol of the replies the script sees.
    pub protocol: Protocol,
    wrote: bool,
    /// It may still be begun anew elsewhere.
    movable: bool,
    stopped: Tick,
    over_memory: bool,
    /// When it was first asked for: most scripts end before.
    started_ns: Option<u64>,
    busy_after_ns: u64,
    ticks: u32,
    calls: u32,
    entry: &'static Entry,
    db: usize,
    session_db: usize,
    client_protocol: Protocol,
    in_transaction: bool,
}

/// What runs, for others; over when this goes, however that comes.
#[derive(Debug)]
struct Active<'e>(&'e Scripts);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<'e> ScriptRun<'e> {
    /// Begins a script. From here on the client is inside of it: commands do not wait, and their effects are one unit.
    pub fn begin(ctx: &mut Ctx<'e>, argv: Argv<'_>, function: bool, rights: Rights) -> Self {
        if ctx.engine.monitors.any() {
            let Ctx { engine, session, ks, entry, .. } = &*ctx;
            engine.monitors.tell(engine, &session.shared, false, ks.now_ms, ks.db, entry, argv);
        }
        let protected = ctx.session.role == Role::Primary;
        ctx.engine.scripts.begin(function, protected);
        let run = Self {
            _active: Active(&ctx.engine.scripts),
            rights,
            protocol: Protocol::Resp2,
            wrote: false,
            movable: ctx.session.yields && !ctx.ks.in_transaction,
            stopped: Tick::Go,
            over_memory: ctx.engine.state.over_memory.load(Relaxed),
            started_ns: None,
            busy_after_ns: ctx.engine.config.busy_reply_threshold_ms().saturating_mul(1_000_000),
            ticks: 0,
            calls: 0,
            entry: ctx.entry,
            db: ctx.ks.db,
            session_db: ctx.session.db,
            client_protocol: ctx.reply.protocol(),
            in_transaction: ctx.ks.in_transaction,
        };
        ctx.ks.in_transaction = true;
        ctx.session.in_script = true;
        run
    }

    /// Runs a command of the script. Its reply stands behind the position given, in the script's protocol; whoever asked
    /// takes it from there.
    ///
    /// # Errors
    /// Why the command may not run.
    pub fn call(&mut self, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<usize, CommandError> {
        let entry = self.permit(ctx, argv).inspect_err(|error| dispatch::note_rejection(ctx, argv, error))?;
        let flags = entry.command.flags;
        if reaches_replicas(entry) {
            self.movable = false;
        }
        if flags.has(Flags::WRITE) && !self.wrote {
            // A killed script ends at its next tick; until then it changes nothing.
            self.wrote = ctx.engine.scripts.begin_writing();
            if !self.wrote {
                return Err(CommandError::text("ERR Script killed by user with SCRIPT KILL."));
            }
            self.movable = false;
        }
        self.calls += 1;
        if self.calls.is_multiple_of(CALLS_PER_TICK) {
            self.ticks += 1;
        }
        if entry.may_be_long && long::is_long(ctx, entry, argv) {
            self.ticks += SHORT_TICKS + 1;
        }
        let start = ctx.reply.position();
        ctx.reply.set_protocol(self.protocol);
        ctx.session.protocol = self.protocol;
        ctx.located = None;
        ctx.engine.listen(&mut ctx.ks);
        dispatch::call(ctx, entry, argv);
        ctx.session.protocol = self.client_protocol;
        ctx.reply.set_protocol(self.client_protocol);
        Ok(start)
    }

    /// Checks what must hold for a command of a script.
    fn permit(&self, ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<&'static Entry, CommandError> {
        let engine = ctx.engine;
        let Some(entry) = engine.registry.named(argv) else {
            return Err(CommandError::text("ERR Unknown Redis command called from script"));
        };
        if !entry.command.accepts(argv.len()) {
            return Err(CommandError::text("ERR Wrong number of args calling Redis command from script"));
        }
        let flags = entry.command.flags;
        if flags.has(Flags::NOSCRIPT) && !(engine.state.scripts_may_look.load(Relaxed) && only_looks(argv)) {
            return Err(CommandError::text("ERR This Redis command is not allowed from script"));
        }
        let state = &engine.state;
        let obeys = ctx.session.role == Role::Primary;
        let replica = state.is_replica.load(Relaxed);
        let stale = replica && !state.link_up.load(Relaxed) && !engine.config.replica_serve_stale_data();
        if stale && !flags.has(Flags::STALE) {
            return Err(CommandError::text("ERR Can not execute the command on a stale replica"));
        }
        if !obeys && !ctx.session.user.is_unrestricted() {
            let checked = engine.check_permissions(ctx.session, entry, argv, Context::Script, ctx.ks.now_ms);
            checked.map_err(|denied| in_script(denied, &ctx.session.user, entry))?;
        }
        if self.rights.read_only && (flags.has(Flags::WRITE) || reaches_replicas(entry)) {
            return Err(CommandError::text("ERR Write commands are not allowed from read-only scripts."));
        }
        if flags.has(Flags::WRITE) && !self.wrote && !obeys {
            if replica && engine.config.replica_read_only() {
                return Err(CommandError::ReadOnly);
            }
            if state.ending.load(Relaxed) {
                return Err(CommandError::text("ERR The server is shutting down"));
            }
            if state.save_failed.load(Relaxed) && engine.config.stop_writes_on_bgsave_error() {
                return Err(CommandError::MisConf);
            }
        }
        // A script that has begun to write is not stopped half-way for want of memory.
        if self.over_memory && flags.has(Flags::DENYOOM) && !self.wrote && !self.rights.allow_oom && !obeys {
            return Err(CommandError::OutOfMemory);
        }
        Ok(entry)
    }

    /// Whether the client may run a command.
    ///
    /// # Errors
    /// There is no such command.
    pub fn may_run(&self, ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<bool, CommandError> {
        let named = ctx.engine.registry.named(argv);
        let entry = named.ok_or(CommandError::text("ERR Invalid command passed to redis.acl_check_cmd()"))?;
        let user = &ctx.session.user;
        Ok(user.is_unrestricted() || user.rules().check(entry, argv).is_ok())
    }

    /// To be called now and then while the script computes, and cheap: says whether it goes on. What it said once other
    /// than to go on it says for ever.
    pub fn tick(&mut self, ctx: &Ctx<'_>) -> Tick {
        self.ticks += 1;
        if self.stopped != Tick::Go {
            return self.stopped;
        }
        let scripts = &ctx.engine.scripts;
        let now_ns = ctx.meter.now_ns();
        let spent_ns = now_ns.saturating_sub(*self.started_ns.get_or_insert(now_ns));
        if scripts.is_killed() {
            self.stopped = Tick::Killed;
        } else if self.movable && (spent_ns > MOVE_AFTER_NS || self.ticks > SHORT_TICKS * 8) {
            self.stopped = Tick::Moved;
        } else if spent_ns > self.busy_after_ns {
            scripts.busy.store(true, Relaxed);
        }
        self.stopped
    }

    /// What [`Self::tick`] said last.
    pub fn stopped(&self) -> Tick {
        self.stopped
    }

    /// Tells others what runs, once it is slow enough for that.
    pub fn show(&self, ctx: &Ctx<'_>, name: &str, argv: Argv<'_>) {
        let started_ns = self.started_ns.filter(|started| ctx.meter.now_ns().saturating_sub(*started) > SHOW_AFTER_NS);
        if let Some(started_ns) = started_ns {
            let words = || argv.iter().map(Into::into).collect();
            ctx.engine.scripts.show(|| Running { name: name.to_owned(), words: words(), started_ns });
        }
    }

    /// It did something that must not be done twice.
    pub fn pin(&mut self) {
        self.movable = false;
    }

    /// Where changes go from here on.
    pub fn propagate(&mut self, ctx: &mut Ctx<'_>, to: Propagation) {
        let active = to == Propagation::Stream && ctx.engine.has_sink();
        ctx.effects().set_active(active);
    }

    /// Whether the commands it ran may have changed something.
    pub fn wrote(&self) -> bool {
        self.wrote
    }

    /// Whether it took so little that it may run in place.
    pub fn was_short(&self) -> bool {
        self.ticks <= SHORT_TICKS
    }

    /// Ends the script: the client is as it was before.
    pub fn end(self, ctx: &mut Ctx<'_>) {
        ctx.ks.in_transaction = self.in_transaction;
        ctx.session.in_script = false;
        ctx.ks.db = self.db;
        ctx.session.db = self.session_db;
        ctx.session.protocol = self.client_protocol;
        ctx.entry = self.entry;
        let active = ctx.engine.has_sink();
        ctx.effects().set_active(active);
        // Its commands have left their own effects; the command that ran it is not part of the unit.
        ctx.effects().suppress();
        if self.stopped == Tick::Moved {
            ctx.session.pause = Some(crate::session::Pause::Long);
        }
    }
}

/// Commands that write nothing a client could read, and yet something replicas hear of.
fn reaches_replicas(entry: &Entry) -> bool {
    matches!(entry.full_name, "publish" | "spublish" | "pfcount")
}

/// Of what scripts may not call, the commands that tests of servers call in them all the same.
fn only_looks(argv: Argv<'_>) -> bool {
    let named = |command: &str, what: &str| {
        argv.at(0).eq_ignore_ascii_case(command.as_bytes()) && argv.at(1).eq_ignore_ascii_case(what.as_bytes())
    };
    argv.len() > 1 && (named("client", "list") || named("debug", "protocol"))
}

/// The error of a command the user may not run.
fn in_script(denied: Denied, user: &User, entry: &Entry) -> CommandError {
    let text = denied.error(user, entry).to_string();
    let reason = text.strip_prefix("NOPERM ").unwrap_or(&text);
    CommandError::owned(format!("ERR ACL failure in script: {reason}"))
}
