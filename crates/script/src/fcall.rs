//! FCALL and FUNCTION LOAD: the runtime's side of function libraries.

use std::collections::HashMap;

use parking_lot::Mutex;
use quiver_engine::command::CommandResult;
use quiver_engine::functions::{FunctionEntry, FunctionFlags, Metadata};
use quiver_engine::{CommandError, Ctx, Engine};
use quiver_resp::{Argv, parse_i64};

use crate::functions::NOT_FOUND;
use crate::prepare;
use crate::runtime::{Call, LuaRuntime, out_of_memory, run};
use crate::script::{Score, ScriptFlags};

/// Functions whose runs are remembered.
const SCORES_MAX: usize = 10_000;

/// Which functions were short.
#[derive(Debug, Default)]
pub(crate) struct Scores(Mutex<HashMap<Box<[u8]>, Score>>);

impl Scores {
    /// Whether a function's runs are short, as far as is known.
    pub(crate) fn is_short(&self, name: &[u8]) -> bool {
        self.0.lock().get(name).is_some_and(Score::is_short)
    }

    fn learn(&self, name: &[u8], short: bool) {
        let mut scores = self.0.lock();
        if let Some(score) = scores.get(name) {
            score.learn(short);
        } else {
            if scores.len() >= SCORES_MAX {
                scores.clear();
            }
            scores.entry(name.into()).or_default().learn(short);
        }
    }
}

impl LuaRuntime {
    /// FCALL and FCALL_RO.
    ///
    /// # Errors
    /// The error reply.
    pub(crate) fn call_function(&self, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
        let functions = &ctx.engine.functions;
        let (version, set) = (functions.version(), functions.set());
        let (library, entry) = set.function(argv.at(1)).ok_or(NOT_FOUND)?;
        let keys = count_keys(argv)?;
        let flags = flags_of(entry);
        let call = Call { name: &entry.name, is_function: true, argv };
        self.with_vm(ctx, |vm, ctx| {
            let rights = prepare::rights(ctx, flags)?;
            let function = vm.library_function(&set, version, library, &entry.name)?;
            let (first, rest) = (argv.from(3), argv.from(3 + keys));
            let bound = vm.bind(function, first.iter().take(keys), rest.iter()).map_err(out_of_memory)?;
            let (result, short) = run(vm, ctx, &call, rights, &bound);
            self.scores.learn(entry.name.as_bytes(), short);
            result
        })?
    }

    /// What a source registers.
    ///
    /// # Errors
    /// The error reply.
    pub(crate) fn functions_of(
        &self,
        engine: &Engine,
        source: &[u8],
        metadata: &Metadata,
    ) -> Result<Vec<FunctionEntry>, CommandError> {
        let registered = self.with_vm_of(engine, |vm| vm.load_library(&source[metadata.body_at..]))??;
        Ok(registered.into_iter().map(|(entry, _)| entry).collect())
    }
}

/// The number of keys a call names.
fn count_keys(argv: Argv<'_>) -> Result<usize, CommandError> {
    let count = parse_i64(argv.at(2)).ok_or(CommandError::text("ERR Bad number of keys provided"))?;
    if count > (argv.len() - 3) as i64 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))
}

/// A function declares what it may do even where it says nothing.
fn flags_of(entry: &FunctionEntry) -> ScriptFlags {
    let has = |flag| entry.flags.has(flag);
    ScriptFlags {
        declared: true,
        no_writes: has(FunctionFlags::NO_WRITES),
        allow_oom: has(FunctionFlags::ALLOW_OOM),
        allow_stale: has(FunctionFlags::ALLOW_STALE),
        no_cluster: has(FunctionFlags::NO_CLUSTER),
        cross_slot: has(FunctionFlags::ALLOW_CROSS_SLOT_KEYS),
    }
}
