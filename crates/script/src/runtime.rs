//! The engine's [`ScriptRuntime`]: EVAL and SCRIPT.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mlua::Function;
use quiver_engine::command::CommandResult;
use quiver_engine::functions::{FunctionEntry, Metadata};
use quiver_engine::scripting::{Propagation, Rights, ScriptFacts, ScriptRun, ScriptRuntime, Task, Tick};
use quiver_engine::{CommandError, Ctx, Engine};
use quiver_resp::{Argv, Protocol, parse_i64};

use crate::cache::Cache;
use crate::current::{Host, Position, lend};
use crate::fcall::Scores;
use crate::prepare;
use crate::raise::{self, ErrorTable};
use crate::reply;
use crate::script::{Script, Sha, parse_digest};
use crate::vm::{self, Ended, Vm};

/// Lua for one engine.
#[derive(Debug)]
pub struct LuaRuntime {
    /// Tells interpreters of one thread apart that serve several engines.
    id: u64,
    cache: Cache,
    memory: vm::Footprint,
    pub(crate) scores: Scores,
}

impl Default for LuaRuntime {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            cache: Cache::default(),
            memory: vm::Footprint::default(),
            scores: Scores::default(),
        }
    }
}

/// What a call of a script consists of.
pub(crate) struct Call<'a> {
    /// Digest or name of a function, as errors show it.
    pub(crate) name: &'a str,
    /// A function, not an EVAL.
    pub(crate) is_function: bool,
    /// The command.
    pub(crate) argv: Argv<'a>,
}

impl ScriptRuntime for LuaRuntime {
    fn run(&self, task: Task, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
        match task {
            Task::Eval => {
                let keys = count_keys(argv)?;
                let script = self.cache.add(argv.at(1), false, ctx.ks.now_ms)?;
                self.eval(ctx, argv, keys, &script)
            }
            Task::EvalSha => {
                let sha = parse_digest(argv.at(1)).ok_or(NO_SCRIPT)?;
                let keys = count_keys(argv)?;
                let script = self.find(&sha).ok_or(NO_SCRIPT)?;
                self.eval(ctx, argv, keys, &script)
            }
            Task::Load => self.load(ctx, argv.at(2)),
            Task::Call => self.call_function(ctx, argv),
            Task::Exists => {
                ctx.reply.array(argv.len() - 2);
                for digest in argv.from(2) {
                    let known = parse_digest(digest).is_some_and(|sha| self.cache.get(&sha).is_some());
                    ctx.reply.integer(i64::from(known));
                }
                Ok(())
            }
            Task::Flush => {
                self.cache.clear();
                ctx.reply.ok();
                Ok(())
            }
        }
    }

    fn is_short(&self, argv: Argv<'_>) -> bool {
        let Some(word) = argv.get(1) else { return true };
        if argv.at(0).first().is_some_and(|letter| letter.eq_ignore_ascii_case(&b'f')) {
            return self.scores.is_short(word);
        }
        let by_digest = argv.at(0).len() > 6;
        let sha = if by_digest { parse_digest(word) } else { Some(crate::script::digest_again(word)) };
        let Some(sha) = sha else { return true };
        let here = vm::peek(self.id, |vm| vm.known(&sha).map(|script| script.is_short())).flatten();
        // What nobody knows by its digest is refused at once; a text nobody knows may be anything.
        here.or_else(|| self.cache.get(&sha).map(|script| script.is_short())).unwrap_or(by_digest)
    }

    fn load_library(
        &self,
        engine: &Engine,
        source: &[u8],
        metadata: &Metadata,
    ) -> Result<Vec<FunctionEntry>, CommandError> {
        self.functions_of(engine, source, metadata)
    }

    fn facts(&self) -> ScriptFacts {
        let (scripts, cache_bytes) = self.cache.size();
        ScriptFacts { scripts, cache_bytes, interpreter_bytes: self.memory.bytes(), evicted: self.cache.evicted() }
    }
}

impl LuaRuntime {
    fn find(&self, sha: &Sha) -> Option<Arc<Script>> {
        vm::peek(self.id, |vm| vm.known(sha).cloned()).flatten().or_else(|| self.cache.get(sha))
    }

    fn load(&self, ctx: &mut Ctx<'_>, text: &[u8]) -> CommandResult {
        let script = self.cache.add(text, true, ctx.ks.now_ms)?;
        let compiled = self.with_vm(ctx, |vm, _| vm.function(&script).map(drop))?;
        compiled.map_err(|error| self.refuse(&script, &error))?;
        ctx.reply.bulk(script.hex.as_bytes());
        Ok(())
    }

    fn eval(&self, ctx: &mut Ctx<'_>, argv: Argv<'_>, keys: usize, script: &Arc<Script>) -> CommandResult {
        script.last_used_ms.store(ctx.ks.now_ms, Relaxed);
        let call = Call { name: &script.hex, is_function: false, argv };
        self.with_vm(ctx, |vm, ctx| {
            let function = vm.function(script).map_err(|error| self.refuse(script, &error))?;
            let rights = prepare::rights(ctx, script.flags)?;
            let (first, rest) = (argv.from(3), argv.from(3 + keys));
            vm.set_arguments(first.iter().take(keys), rest.iter()).map_err(out_of_memory)?;
            let (result, short) = run(vm, ctx, &call, rights, &function);
            script.learn(short);
            result
        })?
    }

    /// Uses this thread's interpreter, and looks after it.
    pub(crate) fn with_vm<'e, R>(
        &self,
        ctx: &mut Ctx<'e>,
        use_it: impl FnOnce(&mut Vm, &mut Ctx<'e>) -> R,
    ) -> Result<R, CommandError> {
        let engine = ctx.engine;
        self.with_vm_of(engine, |vm| use_it(vm, ctx))
    }

    /// [`Self::with_vm`] where no command runs.
    pub(crate) fn with_vm_of<R>(&self, engine: &Engine, use_it: impl FnOnce(&mut Vm) -> R) -> Result<R, CommandError> {
        let limit = engine.config.lua_memory_limit();
        let used = vm::with_vm(self.id, limit, &self.memory, use_it).map_err(out_of_memory);
        vm::look_after();
        used
    }

    /// A script does not compile, so it is not kept.
    fn refuse(&self, script: &Script, error: &mlua::Error) -> CommandError {
        self.cache.remove(script);
        CommandError::owned(format!("ERR Error compiling script (new function): {}", raise::text_of(error)))
    }
}

const NO_SCRIPT: CommandError = CommandError::text("NOSCRIPT No matching script. Please use EVAL.");

pub(crate) fn out_of_memory(error: mlua::Error) -> CommandError {
    CommandError::owned(format!("ERR Error running script: {}", raise::text_of(&error)))
}

/// The number of keys a command names.
///
/// # Errors
/// It is none, or there are not as many.
pub(crate) fn count_keys(argv: Argv<'_>) -> Result<usize, CommandError> {
    let count = parse_i64(argv.at(2)).ok_or(CommandError::NotInteger)?;
    if count > (argv.len() - 3) as i64 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

/// Runs a function of Lua as a script and writes its reply; says also whether it was short.
pub(crate) fn run(
    vm: &mut Vm,
    ctx: &mut Ctx<'_>,
    call: &Call<'_>,
    rights: Rights,
    function: &Function,
) -> (CommandResult, bool) {
    let start = ctx.reply.position();
    vm.shuffle(|| ctx.rng.next());
    let script = ScriptRun::begin(ctx, call.argv, call.is_function, rights);
    let mut running = Running { ctx, run: script, call, stopped_at: None };
    let ended = lend(&mut running, || vm.run(function));
    let Running { ctx, run, stopped_at, .. } = running;
    let (stopped, short, resp3) = (run.stopped(), run.was_short(), run.protocol == Protocol::Resp3);
    run.end(ctx);
    ctx.reply.truncate(start);
    let result = match stopped {
        Tick::Moved => {
            vm.spoil();
            return (Ok(()), false);
        }
        Tick::Killed => {
            vm.spoil();
            let by = if call.is_function { "FUNCTION" } else { "SCRIPT" };
            let text = format!("ERR Script killed by user with {by} KILL.");
            fail(ctx, call, ErrorTable::new(text), stopped_at)
        }
        Tick::Go => match ended {
            Ended::Value(value) => answer(vm, ctx, &value, resp3),
            Ended::Failed(error, position) => fail(ctx, call, error, position),
            Ended::Broken(error) => {
                vm.spoil();
                fail(ctx, call, ErrorTable::new(format!("ERR {}", raise::text_of(&error))), None)
            }
        },
    };
    (result, short)
}

/// Writes what a script returned.
fn answer(vm: &Vm, ctx: &mut Ctx<'_>, value: &mlua::Value, resp3: bool) -> CommandResult {
    if let Some(error) = vm.names.error_of(value).map_err(out_of_memory)? {
        return refuse(ctx, &error.text, error.counted);
    }
    reply::write(&vm.names, value, resp3, &mut ctx.reply).map_err(out_of_memory)
}

/// Writes the error a script ended with, and where.
fn fail(ctx: &mut Ctx<'_>, call: &Call<'_>, error: ErrorTable, position: Option<Position>) -> CommandResult {
    let mut text = error.text;
    if let Some(Position { source, line }) = position {
        text.extend_from_slice(format!(" script: {}, on {source}:{line}.", call.name).as_bytes());
    }
    refuse(ctx, &text, error.counted)
}

fn refuse(ctx: &mut Ctx<'_>, text: &[u8], counted: bool) -> CommandResult {
    match std::str::from_utf8(text) {
        Ok(text) if counted => Err(CommandError::Propagated(text.to_owned())),
        Ok(text) => Err(CommandError::owned(text.to_owned())),
        Err(_) => {
            ctx.reply.error_bytes(text);
            Ok(())
        }
    }
}

/// A script that runs, as its functions see it.
struct Running<'c, 'e> {
    ctx: &'c mut Ctx<'e>,
    run: ScriptRun<'e>,
    call: &'c Call<'c>,
    stopped_at: Option<Position>,
}

impl Host for Running<'_, '_> {
    fn command(&mut self, lua: &mlua::Lua, argv: Argv<'_>) -> Result<mlua::Result<mlua::Value>, CommandError> {
        let start = self.run.call(self.ctx, argv)?;
        let value = reply::read(lua, &mut self.ctx.reply.written(start));
        self.ctx.reply.truncate(start);
        Ok(value)
    }

    fn may_run(&mut self, argv: Argv<'_>) -> Result<bool, CommandError> {
        self.run.may_run(self.ctx, argv)
    }

    fn tick(&mut self, position: &mut dyn FnMut() -> Option<Position>) -> Tick {
        let tick = self.run.tick(self.ctx);
        if tick == Tick::Go {
            self.run.show(self.ctx, self.call.name, self.call.argv);
        } else if self.stopped_at.is_none() {
            self.stopped_at = position();
        }
        tick
    }

    fn set_resp3(&mut self, yes: bool) {
        self.run.protocol = if yes { Protocol::Resp3 } else { Protocol::Resp2 };
    }

    fn propagate(&mut self, to: Propagation) {
        self.run.propagate(self.ctx, to);
    }

    fn pin(&mut self) {
        self.run.pin();
    }
}
