//! Scripts, as far as the engine knows of them: who runs them, what runs right now, and how it is stopped.
//!
//! The engine has no interpreter. The instance gives it a [`ScriptRuntime`], which the commands of the scripting family
//! call; for the commands of a script the runtime calls back ([`ScriptRun`]).
//!
//! A script holds the locks of all shards, so at most one runs at a time. Three things follow for everybody else. While
//! it runs, commands that need a shard wait for their locks. Once it has run for `busy-reply-threshold`, clients are
//! told so (BUSY) instead of being kept waiting. And SCRIPT KILL, which needs no lock, ends it as long as it has not
//! written anything: from the first write on only the end of the process undoes it.
//!
//! Invariant: a script that was killed has written nothing, and one that has written is never killed; both are decided
//! by one compare-and-swap of the phase.

mod run;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use quiver_resp::Argv;

use crate::command::CommandResult;
use crate::context::Ctx;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::functions::{FunctionEntry, Metadata};
pub use run::{Propagation, Rights, ScriptRun, Tick};

/// What a command asks of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// EVAL and EVAL_RO.
    Eval,
    /// EVALSHA and EVALSHA_RO.
    EvalSha,
    /// SCRIPT LOAD.
    Load,
    /// SCRIPT EXISTS.
    Exists,
    /// SCRIPT FLUSH.
    Flush,
    /// FCALL and FCALL_RO.
    Call,
}

/// What runs scripts.
pub trait ScriptRuntime: Send + Sync + fmt::Debug {
    /// Carries a command out.
    ///
    /// # Errors
    /// The error reply; nothing was changed, unless a script that had written something failed.
    fn run(&self, task: Task, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult;

    /// Runs the source of a function library and says what it registers.
    ///
    /// # Errors
    /// It does not compile, fails, or takes too long.
    fn load_library(
        &self,
        engine: &Engine,
        source: &[u8],
        metadata: &Metadata,
    ) -> Result<Vec<FunctionEntry>, CommandError>;

    /// Whether the script of a command is known to be short. Of others a thread with other connections lets go.
    fn is_short(&self, argv: Argv<'_>) -> bool;

    /// Figures for INFO.
    fn facts(&self) -> ScriptFacts;
}

/// Figures of the runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFacts {
    /// Scripts in the cache.
    pub scripts: usize,
    /// Bytes of their texts, with what the cache needs for them.
    pub cache_bytes: usize,
    /// Bytes of all interpreters.
    pub interpreter_bytes: usize,
    /// Scripts that left the cache for others.
    pub evicted: u64,
}

/// What runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// Hex digest of a script, or the name of a function.
    pub name: String,
    /// The command that runs it.
    pub words: Vec<Box<[u8]>>,
    /// Monotonic time of its start, ns.
    pub started_ns: u64,
}

/// Nothing runs.
const IDLE: u8 = 0;
/// A script runs that may be killed.
const RUNNING: u8 = 1;
/// A script runs that has written.
const WRITING: u8 = 2;
/// A script was killed and has not ended yet.
const KILLED: u8 = 3;
/// A script runs that replicas must repeat to its end.
const PROTECTED: u8 = 4;

/// The state of scripting.
#[derive(Debug, Default)]
pub struct Scripts {
    runtime: OnceLock<Arc<dyn ScriptRuntime>>,
    phase: AtomicU8,
    is_function: AtomicBool,
    busy: AtomicBool,
    /// Filled in when a script turns out to be slow, and then `shown` is set.
    running: Mutex<Option<Running>>,
    shown: AtomicBool,
}

impl Scripts {
    /// Gives the engine what runs scripts; only the first one counts.
    pub fn set_runtime(&self, runtime: Arc<dyn ScriptRuntime>) {
        let _ = self.runtime.set(runtime);
    }

    /// What runs scripts.
    ///
    /// # Errors
    /// There is nothing of the kind.
    pub fn runtime(&self) -> Result<&Arc<dyn ScriptRuntime>, CommandError> {
        self.runtime.get().ok_or(CommandError::text("ERR This instance has no scripting"))
    }

    /// Whether the script of a command is short enough to run where others wait behind it.
    pub(crate) fn is_short(&self, argv: Argv<'_>) -> bool {
        self.runtime.get().is_none_or(|runtime| runtime.is_short(argv))
    }

    /// Figures of the runtime.
    pub fn facts(&self) -> ScriptFacts {
        self.runtime.get().map_or_else(ScriptFacts::default, |runtime| runtime.facts())
    }

    /// Whether a script runs longer than clients are kept waiting.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// What clients are told then.
    pub fn busy_error(&self) -> CommandError {
        if self.is_function.load(Ordering::Relaxed) { BUSY_FUNCTION } else { BUSY_SCRIPT }
    }

    /// What runs, if it is slow.
    pub fn running(&self) -> Option<Running> {
        self.running.lock().clone()
    }

    /// Kills what runs; `function`: FUNCTION KILL asks for it.
    ///
    /// # Errors
    /// Nothing runs, or what runs cannot be killed, or not by this command.
    pub fn kill(&self, function: bool) -> CommandResult {
        match self.phase.load(Ordering::Acquire) {
            IDLE => return Err(CommandError::text("NOTBUSY No scripts in execution right now.")),
            WRITING => return Err(UNKILLABLE),
            PROTECTED => return Err(UNKILLABLE_BY_PRIMARY),
            _ => {}
        }
        if self.is_function.load(Ordering::Relaxed) != function {
            return Err(self.busy_error());
        }
        match self.phase.compare_exchange(RUNNING, KILLED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(KILLED) => Ok(()),
            Err(WRITING) => Err(UNKILLABLE),
            Err(_) => Err(CommandError::text("NOTBUSY No scripts in execution right now.")),
        }
    }

    fn begin(&self, function: bool, protected: bool) {
        self.is_function.store(function, Ordering::Relaxed);
        self.phase.store(if protected { PROTECTED } else { RUNNING }, Ordering::Release);
    }

    fn is_killed(&self) -> bool {
        self.phase.load(Ordering::Acquire) == KILLED
    }

    /// Notes the first write; `false` when the script was killed before.
    fn begin_writing(&self) -> bool {
        match self.phase.compare_exchange(RUNNING, WRITING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => now != KILLED,
        }
    }

    fn show(&self, running: impl FnOnce() -> Running) {
        if !self.shown.swap(true, Ordering::Relaxed) {
            *self.running.lock() = Some(running());
        }
    }

    fn end(&self) {
        self.phase.store(IDLE, Ordering::Release);
        if self.shown.load(Ordering::Relaxed) || self.is_busy() {
            self.busy.store(false, Ordering::Relaxed);
            *self.running.lock() = None;
            self.shown.store(false, Ordering::Relaxed);
        }
    }
}

const BUSY_SCRIPT: CommandError =
    CommandError::text("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");
const BUSY_FUNCTION: CommandError =
    CommandError::text("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");
const UNKILLABLE: CommandError = CommandError::text(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script \
     termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
);
const UNKILLABLE_BY_PRIMARY: CommandError = CommandError::text(
    "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_killed_before_its_first_write_or_not_at_all() {
        let scripts = Scripts::default();
        assert!(scripts.kill(false).is_err(), "nothing runs");
        scripts.begin(false, false);
        assert!(scripts.begin_writing());
        assert_eq!(scripts.kill(false), Err(UNKILLABLE));
        scripts.end();
        scripts.begin(false, false);
        assert_eq!(scripts.kill(true), Err(BUSY_SCRIPT), "FUNCTION KILL is not for scripts");
        assert_eq!(scripts.kill(false), Ok(()));
        assert!(!scripts.begin_writing());
        assert!(scripts.is_killed());
        scripts.end();
        assert!(!scripts.is_killed() && scripts.running().is_none());
    }
}
