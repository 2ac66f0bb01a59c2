//! The table `redis` (and `server`, the same), and which of Lua's own globals scripts see.

use std::cell::Cell;

use mlua::{Lua, Value, Variadic};
use quiver_engine::REDIS_VERSION;
use quiver_engine::scripting::Propagation;
use quiver_resp::{DoubleText, IntText, OwnedArgv};

use crate::current::with_host;
use crate::raise::ErrorTable;
use crate::reply::truncate;
use crate::script::{digest, hex};

/// Longest command a script may make, in bytes of its words.
const COMMAND_BYTES_MAX: usize = 512 << 20;

/// Words a thread keeps the memory of.
const WORDS_KEPT_BYTES: usize = 64 << 10;

const NO_ARGUMENT: &str = "Please specify at least one argument for this redis lib call";
const IN_SCRIPT_ONLY: &str = "redis.call/pcall can only be called inside a script invocation";

thread_local! {
    /// Memory for the words of the next command.
    static WORDS: Cell<OwnedArgv> = Cell::default();
}

/// Puts the tables into the globals.
///
/// # Errors
/// Out of memory.
pub(crate) fn install(lua: &Lua) -> mlua::Result<()> {
    let redis = lua.create_table()?;
    redis.raw_set("call", lua.create_function(|lua, args| call(lua, &args)?.map_err(ErrorTable::raise))?)?;
    redis.raw_set(
        "pcall",
        lua.create_function(|lua, args| match call(lua, &args)? {
            Ok(value) => Ok(value),
            Err(error) => error.into_value(lua),
        })?,
    )?;
    redis.raw_set("error_reply", lua.create_function(error_reply)?)?;
    redis.raw_set("status_reply", lua.create_function(status_reply)?)?;
    redis.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.raw_set("log", lua.create_function(log)?)?;
    redis.raw_set("setresp", lua.create_function(setresp)?)?;
    redis.raw_set("set_repl", lua.create_function(set_repl)?)?;
    redis.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.raw_set("acl_check_cmd", lua.create_function(acl_check_cmd)?)?;
    // There is no debugger, so these do what Redis' do outside of a session of it.
    redis.raw_set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    redis.raw_set("debug", lua.create_function(|_, _: Variadic<Value>| Ok(()))?)?;
    let constants: &[(&str, i64)] = &[
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
        ("REDIS_VERSION_NUM", version_number(REDIS_VERSION)),
    ];
    for (name, value) in constants {
        redis.raw_set(*name, *value)?;
    }
    redis.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    let globals = lua.globals();
    globals.raw_set("server", redis.clone())?;
    globals.raw_set("redis", redis)?;
    if globals.raw_get::<Value>("os")? == Value::Nil {
        let os = lua.create_table()?;
        os.raw_set("clock", lua.create_function(|_, ()| Ok(clock_s()))?)?;
        globals.raw_set("os", os)?;
    }
    Ok(())
}

/// Names that scripts do not see.
const HIDDEN: &[&str] =
    &["dofile", "getfenv", "loadfile", "module", "newproxy", "package", "print", "require", "setfenv", "debug", "io"];

/// Takes away what scripts must not have, and tames what they may.
///
/// # Errors
/// Out of memory.
pub(crate) fn restrict(lua: &Lua) -> mlua::Result<()> {
    let globals = lua.globals();
    for name in HIDDEN {
        globals.raw_set(*name, Value::Nil)?;
    }
    globals.raw_set("collectgarbage", lua.create_function(collect_garbage)?)
}

/// Runs a command; its value, or the error table it ends with.
fn call(lua: &Lua, args: &Variadic<Value>) -> mlua::Result<Result<Value, ErrorTable>> {
    if args.is_empty() {
        return Ok(Err(ErrorTable::new(format!("ERR {NO_ARGUMENT}"))));
    }
    let words = match words_of(args) {
        Ok(words) => words,
        Err(error) => return Ok(Err(error)),
    };
    let ran = with_host(|host| host.command(lua, words.as_argv()));
    keep(words);
    let value = match ran {
        None => return Ok(Err(ErrorTable::new(format!("ERR {IN_SCRIPT_ONLY}")))),
        Some(Err(error)) => return Ok(Err(ErrorTable { text: error.to_string().into_bytes(), counted: true })),
        Some(Ok(value)) => value?,
    };
    Ok(match as_error(&value)? {
        Some(error) => Err(error),
        None => Ok(value),
    })
}

/// The error a reply is. A table made of a reply has only the fields of its type, so one look tells.
fn as_error(value: &Value) -> mlua::Result<Option<ErrorTable>> {
    let Value::Table(table) = value else { return Ok(None) };
    match table.raw_get::<Value>("err")? {
        Value::String(text) => Ok(Some(ErrorTable { text: text.as_bytes().to_vec(), counted: true })),
        _ => Ok(None),
    }
}

/// The arguments as the words of a command.
fn words_of(args: &[Value]) -> Result<OwnedArgv, ErrorTable> {
    let mut words = WORDS.take();
    words.clear();
    let mut bytes = 0;
    for arg in args {
        match arg {
            Value::String(text) => {
                let text = text.as_bytes();
                bytes += text.len();
                if bytes > COMMAND_BYTES_MAX {
                    return Err(ErrorTable::new("ERR command too long"));
                }
                words.push(&text);
            }
            Value::Integer(number) => words.push(IntText::new(*number).as_bytes()),
            Value::Number(number) if truncate(*number) as f64 == *number => {
                words.push(IntText::new(truncate(*number)).as_bytes());
            }
            Value::Number(number) => words.push(DoubleText::new(*number).as_bytes()),
            _ => {
                return Err(ErrorTable::new("ERR Lua redis lib command arguments must be strings or integers"));
            }
        }
    }
    Ok(words)
}

fn keep(words: OwnedArgv) {
    if words.heap_bytes() <= WORDS_KEPT_BYTES {
        WORDS.set(words);
    }
}

/// `redis.error_reply(text)`: text that is one word gets a code in front.
fn error_reply(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
    let [Value::String(text)] = args.as_slice() else { return wrong_arguments(lua) };
    let text = text.as_bytes();
    let text = trim(text.strip_prefix(b"-").unwrap_or(&text));
    let coded = match text.iter().position(|byte| *byte == b' ') {
        Some(space) => [&text[..space], b" ", trim(&text[space + 1..])].concat(),
        None => [b"ERR ", text].concat(),
    };
    ErrorTable::new(coded).into_value(lua)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

fn status_reply(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
    let [text @ Value::String(_)] = args.as_slice() else { return wrong_arguments(lua) };
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("ok", text)?;
    Ok(Value::Table(table))
}

fn wrong_arguments(lua: &Lua) -> mlua::Result<Value> {
    ErrorTable::new("ERR wrong number or type of arguments").into_value(lua)
}

fn raise<T>(text: &str) -> mlua::Result<T> {
    Err(ErrorTable::new(format!("ERR {text}")).raise())
}

fn sha1hex(lua: &Lua, args: Variadic<Value>) -> mlua::Result<String> {
    let [value] = args.as_slice() else { return raise("wrong number of arguments") };
    let text = lua.coerce_string(value.clone())?;
    Ok(hex(&digest(&text.map_or_else(Vec::new, |text| text.as_bytes().to_vec()))))
}

fn log(lua: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    if args.len() < 2 {
        return raise("redis.log() requires two arguments or more.");
    }
    let Some(level) = lua.coerce_number(args[0].clone())? else {
        return raise("First argument must be a number (log level).");
    };
    let level = level as i64;
    if !(0..=3).contains(&level) {
        return raise("Invalid log level.");
    }
    let mut message = String::new();
    for (at, value) in args[1..].iter().enumerate() {
        if let Some(text) = lua.coerce_string(value.clone())? {
            if at > 0 {
                message.push(' ');
            }
            message.push_str(&text.to_string_lossy());
        }
    }
    with_host(|host| host.pin());
    match level {
        0 | 1 => tracing::debug!("{message}"),
        2 => tracing::info!("{message}"),
        _ => tracing::warn!("{message}"),
    }
    Ok(())
}

fn setresp(lua: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    let [version] = args.as_slice() else { return raise("redis.setresp() requires one argument.") };
    let version = lua.coerce_number(version.clone())?.unwrap_or(0.0);
    if version != 2.0 && version != 3.0 {
        return raise("RESP version must be 2 or 3.");
    }
    with_host(|host| host.set_resp3(version == 3.0));
    Ok(())
}

fn set_repl(lua: &Lua, args: Variadic<Value>) -> mlua::Result<()> {
    let [flags] = args.as_slice() else { return raise("redis.set_repl() requires one argument.") };
    let flags = lua.coerce_number(flags.clone())?.unwrap_or(0.0) as i64;
    if flags & !3 != 0 {
        return raise("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }
    // There is one stream, and replicas read it.
    let to = if flags & 2 != 0 { Propagation::Stream } else { Propagation::Nowhere };
    with_host(|host| host.propagate(to));
    Ok(())
}

fn acl_check_cmd(_: &Lua, args: Variadic<Value>) -> mlua::Result<bool> {
    if args.is_empty() {
        return raise(NO_ARGUMENT);
    }
    let words = words_of(&args).map_err(ErrorTable::raise)?;
    let checked = with_host(|host| host.may_run(words.as_argv()));
    keep(words);
    match checked {
        None => raise("redis.acl_check_cmd can only be called inside a script invocation"),
        Some(Ok(allowed)) => Ok(allowed),
        Some(Err(error)) => Err(ErrorTable::new(error.to_string()).raise()),
    }
}

/// Only what does not change the collector for the next script.
fn collect_garbage(lua: &Lua, args: Variadic<Value>) -> mlua::Result<Value> {
    let option = match args.first() {
        None | Some(Value::Nil) => "collect".to_owned(),
        Some(option) => option.to_string()?,
    };
    match option.as_str() {
        "collect" => {
            lua.gc_collect()?;
            Ok(Value::Integer(0))
        }
        "count" => Ok(Value::Number(lua.used_memory() as f64 / 1024.0)),
        "step" => Ok(Value::Boolean(lua.gc_step()?)),
        "stop" | "restart" | "setpause" | "setstepmul" => Ok(Value::Integer(0)),
        other => Err(crate::raise::argument(lua, 1, "collectgarbage", format!("invalid option '{other}'"))),
    }
}

/// CPU time of the process, s.
fn clock_s() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

/// `8.2.1` as 0x080201.
fn version_number(version: &str) -> i64 {
    version.split('.').take(3).fold(0, |number, part| number << 8 | part.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_byte_per_part() {
        assert_eq!(version_number("8.2.1"), 0x0008_0201);
    }
}
