//! One interpreter: the state of Lua of one thread, with the globals of scripts and the functions compiled so far.
//!
//! Idea: everything that is the same for all scripts is made once. A script is compiled once per thread; what a call
//! adds are the tables `KEYS` and `ARGV`. Nothing else that a script can write to outlives it: its globals are frozen
//! (`prelude.lua`), and so is everything reachable from them.
//!
//! Invariants: text is compiled, never code of the machine; while it is, the collector rests (the parser of Lua 5.1
//! does not hold on to the name of the chunk); a state whose script was stopped or ran out of memory is not used again.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};

use crate::cache::ByDigest;
use crate::functions::{self, Shelf};
use crate::raise::ErrorTable;
use crate::random::Random;
use crate::reply::Names;
use crate::script::Script;
use crate::{api, libraries, raise, random, watch};

/// More than this after a script, and the collector runs a whole round.
const COLLECT_ABOVE: usize = 8 << 20;

/// Changes below this are not told.
const NOTE_STEP: usize = 16 << 10;

/// Compiled scripts a thread keeps beyond those that are in the cache.
const STALE_MAX: usize = 256;

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// An interpreter.
pub(crate) struct Vm {
    /// The state.
    pub(crate) lua: Lua,
    /// The runtime it compiled for.
    owner: u64,
    /// What scripts see as globals.
    pub(crate) env: Table,
    globals: Table,
    protect: Function,
    on_error: Function,
    pub(crate) names: Names,
    keys_name: mlua::LuaString,
    argv_name: mlua::LuaString,
    random: Random,
    scripts: ByDigest<Compiled>,
    /// Function libraries.
    pub(crate) shelf: Shelf,
    memory_limit: usize,
    footprint: Footprint,
    /// What of it is in the sum.
    noted: usize,
    spoilt: bool,
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.footprint.0.fetch_sub(self.noted, Relaxed);
    }
}

struct Compiled {
    script: Arc<Script>,
    function: Function,
}

/// How a script ended.
pub(crate) enum Ended {
    /// With a value.
    Value(Value),
    /// With an error, and where.
    Failed(ErrorTable, Option<crate::current::Position>),
    /// The interpreter itself could not go on.
    Broken(mlua::Error),
}

/// Bytes that all interpreters of a runtime have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint(Arc<AtomicUsize>);

impl Footprint {
    /// The sum.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Uses this thread's interpreter for a runtime, making it first if need be.
///
/// # Errors
/// It could not be made.
pub(crate) fn with_vm<R>(
    owner: u64,
    memory_limit: usize,
    footprint: &Footprint,
    use_it: impl FnOnce(&mut Vm) -> R,
) -> mlua::Result<R> {
    VM.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|vm| vm.owner != owner) {
            *slot = None;
            *slot = Some(Vm::new(owner, footprint.clone())?);
        }
        let vm = slot.as_mut().expect("it was made above");
        vm.memory_limit = memory_limit;
        Ok(use_it(vm))
    })
}

/// Looks at this thread's interpreter, if it has one for this runtime.
pub(crate) fn peek<R>(owner: u64, look: impl FnOnce(&Vm) -> R) -> Option<R> {
    VM.with_borrow(|slot| slot.as_ref().filter(|vm| vm.owner == owner).map(look))
}

/// Cleans up after a script: throws an interpreter away that is not to be used again, and collects what was left.
pub(crate) fn look_after() {
    VM.with_borrow_mut(|slot| {
        let Some(vm) = slot else { return };
        let used = vm.lua.used_memory();
        if vm.spoilt {
            *slot = None;
        } else if used > COLLECT_ABOVE {
            let _ = vm.lua.gc_collect();
            vm.note(vm.lua.used_memory());
        } else if used.abs_diff(vm.noted) > NOTE_STEP {
            vm.note(used);
        }
    });
}

impl Vm {
    fn new(owner: u64, footprint: Footprint) -> mlua::Result<Self> {
        let libs = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(true))?;
        let globals = lua.globals();
        let protect: Function = globals.get("xpcall")?;
        let host = lua.create_table()?;
        host.raw_set("translate", lua.create_function(translate)?)?;
        let finish: Function = lua
            .load(include_str!("prelude.lua"))
            .set_name("=[C]")
            .set_mode(ChunkMode::Text)
            .call((globals.clone(), host.clone()))?;
        let random = random::install(&lua, &globals.get("math")?)?;
        globals.raw_set("__redis__err__handler", lua.create_function(on_error)?)?;
        let json = libraries::install(&lua)?;
        api::install(&lua)?;
        api::restrict(&lua)?;
        host.raw_set("register_function", functions::registrar(&lua)?)?;
        let env: Table = finish.call(())?;
        let tables: Table = host.raw_get("functions")?;
        let shelf = Shelf::new(&lua, (tables.raw_get(1)?, tables.raw_get(2)?, tables.raw_get(3)?), json)?;
        let loads_into = env.clone();
        host.raw_set(
            "load",
            lua.create_function(move |lua, (text, name): (mlua::LuaString, mlua::LuaString)| {
                load(lua, &loads_into, &text, &name)
            })?,
        )?;
        watch::install(&lua)?;
        let names = Names::new(&lua)?;
        let on_error = lua.create_function(on_error)?;
        let (keys_name, argv_name) = (lua.create_string("KEYS")?, lua.create_string("ARGV")?);
        Ok(Self {
            lua,
            owner,
            env,
            globals,
            protect,
            on_error,
            names,
            keys_name,
            argv_name,
            random,
            scripts: ByDigest::default(),
            shelf,
            memory_limit: 0,
            footprint,
            noted: 0,
            spoilt: false,
        })
    }

    /// Compiles a text into a function with the globals of scripts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self, code: &[u8], name: &str) -> mlua::Result<Function> {
        compile(&self.lua, &self.env, code, name)
    }

    /// The script of a digest, if it was compiled here and is still in the cache.
    pub(crate) fn known(&self, sha: &crate::script::Sha) -> Option<&Arc<Script>> {
        let script = &self.scripts.get(sha)?.script;
        (!script.gone.load(Relaxed)).then_some(script)
    }

    /// The function of a script, compiled now unless it was before.
    ///
    /// # Errors
    /// What is wrong with its text.
    pub(crate) fn function(&mut self, script: &Arc<Script>) -> mlua::Result<Function> {
        if let Some(known) = self.scripts.get(&script.sha)
            && Arc::ptr_eq(&known.script, script)
        {
            return Ok(known.function.clone());
        }
        let function = self.compile(script.code(), "@user_script")?;
        if self.scripts.len() > crate::cache::EVAL_SCRIPTS_MAX + STALE_MAX {
            self.scripts.retain(|_, compiled| !compiled.script.gone.load(Relaxed));
        }
        self.scripts.insert(script.sha, Compiled { script: Arc::clone(script), function: function.clone() });
        Ok(function)
    }

    /// Sets the globals of a script.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn set_arguments<'w>(
        &self,
        keys: impl ExactSizeIterator<Item = &'w [u8]>,
        argv: impl ExactSizeIterator<Item = &'w [u8]>,
    ) -> mlua::Result<()> {
        self.shelf.reset_settings();
        self.globals.raw_set(&self.keys_name, self.list(keys)?)?;
        self.globals.raw_set(&self.argv_name, self.list(argv)?)
    }

    /// A table of strings.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn list<'w>(&self, words: impl ExactSizeIterator<Item = &'w [u8]>) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(words.len(), 0)?;
        for (at, word) in words.enumerate() {
            table.raw_set(at + 1, self.lua.create_string(word)?)?;
        }
        Ok(table)
    }

    /// Runs a function as a script.
    pub(crate) fn run(&self, function: &Function) -> Ended {
        // The limit is for scripts. Without one the state's own calls are cheaper, and those made for the host are
        // bounded elsewhere.
        let _ = self.lua.set_memory_limit(self.memory_limit);
        let ran = self.protect.call::<(bool, Value)>((function, &self.on_error));
        let _ = self.lua.set_memory_limit(0);
        match ran {
            Ok((true, value)) => Ended::Value(value),
            Ok((false, error)) => self.failed(&error).unwrap_or_else(Ended::Broken),
            Err(error) => Ended::Broken(error),
        }
    }

    fn failed(&self, error: &Value) -> mlua::Result<Ended> {
        let Value::Table(table) = error else {
            let text = match error {
                Value::String(text) => text.as_bytes().to_vec(),
                _ => b"execution failure".to_vec(),
            };
            return Ok(Ended::Failed(ErrorTable::new([b"ERR ", text.as_slice()].concat()), None));
        };
        let mut raised =
            self.names.raised_by(&self.lua, error)?.unwrap_or_else(|| ErrorTable::new("ERR unknown error"));
        // As far as a string of C goes.
        raised.text.truncate(raised.text.iter().position(|byte| *byte == 0).unwrap_or(usize::MAX));
        let position = match (table.raw_get::<Value>("source")?, table.raw_get::<Value>("line")?) {
            (Value::String(source), Value::Integer(line)) => {
                Some(crate::current::Position { source: source.to_string_lossy(), line })
            }
            _ => None,
        };
        Ok(Ended::Failed(raised, position))
    }

    /// Lets random numbers go on from where nobody knows.
    pub(crate) fn shuffle(&self, chance: impl FnOnce() -> u64) {
        self.random.reseed(chance);
    }

    /// It is not to be used again.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
    }

    fn note(&mut self, used: usize) {
        self.footprint.0.fetch_add(used.wrapping_sub(self.noted), Relaxed);
        self.noted = used;
    }
}

/// Compiles a text into a function with these globals.
pub(crate) fn compile(lua: &Lua, env: &Table, code: &[u8], name: &str) -> mlua::Result<Function> {
    if code.starts_with(b"\x1b") {
        let shown = name.strip_prefix(['@', '=']).unwrap_or(name);
        let message = format!("{shown}:1: unexpected symbol near 'char(27)'");
        return Err(mlua::Error::SyntaxError { message, incomplete_input: false });
    }
    lua.gc_stop();
    let chunk = lua.load(code).set_name(name).set_mode(ChunkMode::Text).set_environment(env.clone());
    let function = chunk.into_function();
    lua.gc_restart();
    function
}

/// `loadstring` and `load`: a function, or nil and what is wrong.
fn load(lua: &Lua, env: &Table, text: &mlua::LuaString, name: &mlua::LuaString) -> mlua::Result<(Value, Value)> {
    let name = name.as_bytes();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    match compile(lua, env, &text.as_bytes(), &String::from_utf8_lossy(name)) {
        Ok(function) => Ok((Value::Function(function), Value::Nil)),
        Err(error) => Ok((Value::Nil, raise::translate(lua, &error)?)),
    }
}

fn translate(lua: &Lua, error: Value) -> mlua::Result<Value> {
    match error {
        Value::Error(error) => raise::translate(lua, &error),
        other => Ok(other),
    }
}

/// What becomes of an error nobody caught: a table with its text and where it happened.
fn on_error(lua: &Lua, error: Value) -> mlua::Result<Table> {
    let table = match translate(lua, error)? {
        Value::Table(table) => table,
        other => {
            let text = match &other {
                Value::String(text) => text.as_bytes().to_vec(),
                other => other.to_string()?.into_bytes(),
            };
            let table = lua.create_table_with_capacity(0, 3)?;
            table.raw_set("err", lua.create_string([b"ERR ", text.as_slice()].concat())?)?;
            table
        }
    };
    // Level 0 is this function, level 1 whoever raised; a function of C did so for the one that called it.
    let place = |level| {
        lua.inspect_stack(level, |debug| {
            let source = debug.source();
            let shown = source.source.map(|name| name.into_owned()).unwrap_or_default();
            let is_c = source.what == "C" || shown == "=[C]";
            (is_c, shown, debug.current_line())
        })
    };
    let raised_at = (1..6).map(place).find(|found| found.as_ref().is_none_or(|(is_c, ..)| !is_c)).flatten();
    if let Some((_, source, Some(line))) = raised_at {
        table.raw_set("source", source)?;
        table.raw_set("line", line)?;
    }
    Ok(table)
}
