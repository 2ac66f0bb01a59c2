//! Function libraries in an interpreter: running a source to learn what it registers, and the functions it left behind.
//!
//! A library is loaded by an interpreter when one of its functions is first called there; its number tells whether what
//! is there is still the library that is meant. While a source runs it sees another table `redis`, which has
//! `register_function` and nothing that reaches data, and it ends after [`LOAD_MS_MAX`].
//!
//! What a library keeps in local variables it keeps per interpreter, and loses when it is loaded again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{Function, Lua, MultiValue, Table, Value};
use quiver_engine::CommandError;
use quiver_engine::functions::{FunctionEntry, FunctionFlags, Library, LibrarySet, is_name};
use quiver_engine::scripting::{Propagation, Tick};
use quiver_resp::Argv;

use crate::current::{Host, Position, lend};
use crate::libraries::{JsonSettings, SharedSettings, write_g};
use crate::raise::{self, ErrorTable};
use crate::vm::{Ended, Vm};

/// How long a source may run, ms.
const LOAD_MS_MAX: u64 = 500;

/// Most functions of a library.
const FUNCTIONS_MAX: usize = 10_000;

/// What the chunk of a library is called.
const CHUNK: &str = "@user_function";

/// What a source registers, while it runs.
#[derive(Default)]
struct Registering(RefCell<Option<Vec<(FunctionEntry, Function)>>>);

/// A library in an interpreter.
struct Loaded {
    id: u64,
    functions: HashMap<Box<str>, Function>,
}

/// The libraries of an interpreter, and what it takes to run their functions.
pub(crate) struct Shelf {
    libraries: HashMap<Box<str>, Loaded>,
    /// The version of the set that was last looked through for libraries that are gone.
    version: u64,
    /// The globals of functions: an empty table whose metatable says where to look.
    env: Table,
    lookup: Table,
    /// Where to look while a source runs, and afterwards.
    while_loading: Table,
    afterwards: Table,
    /// Settings of `cjson` in the globals.
    json: SharedSettings,
    /// Takes function, keys and arguments of the next call.
    prepare: Function,
    /// Makes that call.
    call: Function,
}

impl Shelf {
    /// An empty one; `globals` gives the tables that `prelude.lua` makes for functions.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn new(lua: &Lua, tables: (Table, Table, Table), json: SharedSettings) -> mlua::Result<Self> {
        lua.set_app_data(Registering::default());
        let (env, while_loading, afterwards) = tables;
        let lookup =
            env.metatable().ok_or_else(|| mlua::Error::runtime("the globals of functions have no metatable"))?;
        let source = "local f, keys, args \
                      return function(...) f, keys, args = ... end, function() return f(keys, args) end";
        let (prepare, call) = lua.load(source).set_name("=[C]").call(())?;
        let libraries = HashMap::new();
        Ok(Self { libraries, version: 0, env, lookup, while_loading, afterwards, json, prepare, call })
    }

    /// Forgets what the script before chose.
    pub(crate) fn reset_settings(&self) {
        self.json.set(JsonSettings::default());
    }

    fn look_in(&self, globals: &Table) -> mlua::Result<()> {
        self.lookup.raw_set("__index", globals)
    }
}

/// `redis.register_function` as a function of Lua.
///
/// # Errors
/// Out of memory.
pub(crate) fn registrar(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(register_function)
}

/// Whoever lends himself to a source that runs: it cannot do anything but end in time.
struct Loading {
    deadline: Instant,
    late: bool,
}

impl Host for Loading {
    fn command(&mut self, _: &Lua, _: Argv<'_>) -> Result<mlua::Result<Value>, CommandError> {
        Err(CommandError::text("ERR redis.call/pcall can only be called inside a script invocation"))
    }

    fn may_run(&mut self, _: Argv<'_>) -> Result<bool, CommandError> {
        Ok(false)
    }

    fn tick(&mut self, _: &mut dyn FnMut() -> Option<Position>) -> Tick {
        self.late |= Instant::now() > self.deadline;
        if self.late { Tick::Killed } else { Tick::Go }
    }

    fn set_resp3(&mut self, _: bool) {}

    fn propagate(&mut self, _: Propagation) {}

    fn pin(&mut self) {}
}

impl Vm {
    /// Runs a source and gives what it registered.
    ///
    /// # Errors
    /// It does not compile, fails, or takes too long.
    pub(crate) fn load_library(&mut self, body: &[u8]) -> Result<Vec<(FunctionEntry, Function)>, CommandError> {
        let failed = |what: &str, why: &str| CommandError::owned(format!("ERR Error {what}: {why}"));
        let chunk = crate::vm::compile(&self.lua, &self.shelf.env, body, CHUNK);
        let chunk = chunk.map_err(|error| failed("compiling function", &raise::text_of(&error)))?;
        self.shelf
            .look_in(&self.shelf.while_loading)
            .map_err(|error| failed("registering functions", &raise::text_of(&error)))?;
        self.registering(|slot| *slot = Some(Vec::new()));
        let mut host = Loading { deadline: Instant::now() + Duration::from_millis(LOAD_MS_MAX), late: false };
        let ended = lend(&mut host, || self.run(&chunk));
        let registered = self.registering(Option::take).unwrap_or_default();
        let restored = self.shelf.look_in(&self.shelf.afterwards);
        if host.late || restored.is_err() {
            self.spoil();
            return Err(failed("registering functions", "ERR FUNCTION LOAD timeout"));
        }
        match ended {
            Ended::Value(_) => Ok(registered),
            Ended::Failed(error, _) => Err(failed("registering functions", &String::from_utf8_lossy(&error.text))),
            Ended::Broken(error) => {
                self.spoil();
                Err(failed("registering functions", &raise::text_of(&error)))
            }
        }
    }

    fn registering<R>(&self, use_it: impl FnOnce(&mut Option<Vec<(FunctionEntry, Function)>>) -> R) -> R {
        let slot = self.lua.app_data_ref::<Registering>().expect("it was set when the state was made");
        use_it(&mut slot.0.borrow_mut())
    }

    /// A function of a library that is in the set, which is loaded now unless it was before.
    ///
    /// # Errors
    /// The library cannot be loaded here.
    pub(crate) fn library_function(
        &mut self,
        set: &LibrarySet,
        version: u64,
        library: &Arc<Library>,
        name: &str,
    ) -> Result<Function, CommandError> {
        let known = self.shelf.libraries.get(&library.name).filter(|known| known.id == library.id);
        if let Some(known) = known {
            return known.functions.get(name).cloned().ok_or(NOT_FOUND);
        }
        if self.shelf.version != version {
            self.shelf.libraries.retain(|name, known| set.contains_id(name, known.id));
            self.shelf.version = version;
        }
        let body_at = library.code.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let registered = self.load_library(&library.code[body_at..])?;
        let functions: HashMap<_, _> = registered.into_iter().map(|(entry, run)| (entry.name, run)).collect();
        let function = functions.get(name).cloned();
        self.shelf.libraries.insert(library.name.clone(), Loaded { id: library.id, functions });
        function.ok_or(NOT_FOUND)
    }

    /// What to run for a call of a function.
    ///
    /// # Errors
    /// Out of memory.
    pub(crate) fn bind<'w>(
        &self,
        function: Function,
        keys: impl ExactSizeIterator<Item = &'w [u8]>,
        args: impl ExactSizeIterator<Item = &'w [u8]>,
    ) -> mlua::Result<Function> {
        self.shelf.reset_settings();
        self.shelf.prepare.call::<()>((function, self.list(keys)?, self.list(args)?))?;
        Ok(self.shelf.call.clone())
    }
}

/// No library has the function.
pub(crate) const NOT_FOUND: CommandError = CommandError::text("ERR Function not found");

/// `redis.register_function(name, callback)`, or with one table of named arguments.
fn register_function(lua: &Lua, args: MultiValue) -> mlua::Result<()> {
    let refuse = |text: &str| ErrorTable::new(format!("ERR {text}")).raise();
    let slot = lua.app_data_ref::<Registering>().expect("it was set when the state was made");
    let mut slot = slot.0.borrow_mut();
    let Some(registered) = slot.as_mut() else {
        return Err(refuse("redis.register_function can only be called on FUNCTION LOAD command"));
    };
    let (entry, callback) = read_arguments(args.into_vec()).map_err(refuse)?;
    if registered.iter().any(|(known, _)| known.name == entry.name) {
        return Err(refuse("Function already exists in the library"));
    }
    if registered.len() >= FUNCTIONS_MAX {
        return Err(refuse("Too many functions"));
    }
    registered.push((entry, callback));
    Ok(())
}

/// What an argument is not.
type Wrong = &'static str;

fn read_arguments(args: Vec<Value>) -> Result<(FunctionEntry, Function), Wrong> {
    let (name, description, flags, callback) = match &args[..] {
        [Value::Table(named)] => read_named(named)?,
        [_] => {
            return Err("calling redis.register_function with a single argument is only applicable to Lua table \
                        (representing named arguments).");
        }
        [name, callback] => {
            let name = text_of(name).ok_or("first argument to redis.register_function must be a string")?;
            let Value::Function(callback) = callback else {
                return Err("second argument to redis.register_function must be a function");
            };
            (name, None, FunctionFlags::default(), callback.clone())
        }
        _ => return Err("wrong number of arguments to redis.register_function"),
    };
    if !is_name(&name) {
        return Err("Library names can only contain letters, numbers, or underscores(_) and must be at least one \
                    character long");
    }
    let name = String::from_utf8_lossy(&name).into_owned().into_boxed_str();
    Ok((FunctionEntry { name, description: description.map(Into::into), flags }, callback))
}

type Named = (Vec<u8>, Option<Vec<u8>>, FunctionFlags, Function);

fn read_named(named: &Table) -> Result<Named, Wrong> {
    let (mut name, mut description, mut flags, mut callback) = (None, None, FunctionFlags::default(), None);
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|_| "named argument key given to redis.register_function is not a string")?;
        let key = text_of(&key).ok_or("named argument key given to redis.register_function is not a string")?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                let wrong = "function_name argument given to redis.register_function must be a string";
                name = Some(text_of(&value).ok_or(wrong)?);
            }
            b"description" => {
                let wrong = "description argument given to redis.register_function must be a string";
                description = Some(text_of(&value).ok_or(wrong)?);
            }
            b"callback" => {
                let Value::Function(given) = value else {
                    return Err("callback argument given to redis.register_function must be a function");
                };
                callback = Some(given);
            }
            b"flags" => {
                let Value::Table(given) = value else {
                    return Err(
                        "flags argument to redis.register_function must be a table representing function flags",
                    );
                };
                flags = read_flags(&given)?;
            }
            _ => return Err("unknown argument given to redis.register_function"),
        }
    }
    let name = name.ok_or("redis.register_function must get a function name argument")?;
    let callback = callback.ok_or("redis.register_function must get a callback argument")?;
    Ok((name, description, flags, callback))
}

/// The flags of a list, which ends at its first hole.
fn read_flags(list: &Table) -> Result<FunctionFlags, Wrong> {
    let mut flags = FunctionFlags::default();
    for index in 1.. {
        match list.raw_get::<Value>(index) {
            Ok(Value::Nil) => break,
            Ok(Value::String(name)) => {
                flags = flags.with(FunctionFlags::named(&name.as_bytes()).ok_or("unknown flag given")?);
            }
            _ => return Err("unknown flag given"),
        }
    }
    Ok(flags)
}

/// A string, or a number as one.
fn text_of(value: &Value) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    match value {
        Value::String(text) => return Some(text.as_bytes().to_vec()),
        Value::Integer(number) => write_g(&mut text, *number as f64, 14),
        Value::Number(number) => write_g(&mut text, *number, 14),
        _ => return None,
    }
    Some(text)
}
