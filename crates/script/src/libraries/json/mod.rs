//! `cjson`: JSON and Lua values, as lua-cjson 2.1 in Redis has it.
//!
//! A table with only positive integer keys is an array, any other and the empty one an object; `null` is a light
//! userdata.
//!
//! What is different: no nesting deeper than [`DEPTH_LIMIT`] is read or written whatever the settings say; what is
//! written ends at the memory limit of scripts; and settings of the global table hold until the end of the script.

mod decode;
mod encode;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};

use super::args::Args;

/// Deepest nesting in either direction, and the default of both settings.
const DEPTH_LIMIT: i32 = 1000;

/// What `encode_invalid_numbers` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Named,
    Null,
}

/// The settings.
#[derive(Clone, Copy, Debug)]
pub struct JsonSettings {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_depth: i32,
    decode_depth: i32,
    precision: i32,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

impl Default for JsonSettings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: DEPTH_LIMIT,
            decode_depth: DEPTH_LIMIT,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// The settings of one table of functions.
pub type SharedSettings = Rc<Cell<JsonSettings>>;

/// Puts the table `cjson` into the globals; gives its settings.
pub(crate) fn install(lua: &Lua) -> Result<SharedSettings> {
    let settings = SharedSettings::default();
    lua.globals().raw_set("cjson", instance(lua, &settings)?)?;
    Ok(settings)
}

/// A table of functions with these settings.
fn instance(lua: &Lua, settings: &SharedSettings) -> Result<Table> {
    let table = lua.create_table()?;
    let function = |name: &'static str, run: fn(&Args<'_>, &SharedSettings) -> Result<MultiValue>| {
        let settings = Rc::clone(settings);
        let function = lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, name, values);
            run(&args, &settings)
        })?;
        table.raw_set(name, function)
    };
    function("encode", |args, settings| one(encode::encode(args, settings.get())?))?;
    function("decode", |args, settings| one(decode::decode(args, settings.get())?))?;
    function("encode_sparse_array", sparse_array)?;
    function("encode_max_depth", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, settings, |s| &mut s.encode_depth, 1, i32::MAX)?)
    })?;
    function("decode_max_depth", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, settings, |s| &mut s.decode_depth, 1, i32::MAX)?)
    })?;
    function("encode_number_precision", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, settings, |s| &mut s.precision, 1, 14)?)
    })?;
    function("encode_keep_buffer", |args, settings| {
        at_most(args, 1)?;
        one(switch(args, 1, settings, |s| &mut s.keep_buffer)?)
    })?;
    function("decode_invalid_numbers", |args, settings| {
        at_most(args, 1)?;
        one(switch(args, 1, settings, |s| &mut s.decode_invalid)?)
    })?;
    function("encode_invalid_numbers", encode_invalid)?;
    function("new", |args, _| one(Value::Table(instance(args.lua, &SharedSettings::default())?)))?;
    table.raw_set("null", Value::NULL)?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    Ok(table)
}

fn one(value: Value) -> Result<MultiValue> {
    Ok(MultiValue::from_iter([value]))
}

/// Refuses more arguments than there are.
fn at_most(args: &Args<'_>, count: usize) -> Result<()> {
    if args.len() > count { Err(args.error(count + 1, "found too many arguments")) } else { Ok(()) }
}

/// Changes one of the settings.
fn set<T>(settings: &SharedSettings, field: fn(&mut JsonSettings) -> &mut T, value: T) {
    let mut changed = settings.get();
    *field(&mut changed) = value;
    settings.set(changed);
}

/// Reads, and sets where an argument is given, a whole number.
fn integer(
    args: &Args<'_>,
    at: usize,
    settings: &SharedSettings,
    field: fn(&mut JsonSettings) -> &mut i32,
    min: i32,
    max: i32,
) -> Result<Value> {
    if !args.is_nil(at) {
        let value = args.integer(at)?;
        if value < i64::from(min) || value > i64::from(max) {
            return Err(args.error(1, format!("expected integer between {min} and {max}")));
        }
        set(settings, field, value as i32);
    }
    Ok(Value::Number(f64::from(*field(&mut settings.get()))))
}

/// Reads, and sets where an argument is given, a switch.
fn switch(
    args: &Args<'_>,
    at: usize,
    settings: &SharedSettings,
    field: fn(&mut JsonSettings) -> &mut bool,
) -> Result<Value> {
    match args.get(at) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => set(settings, field, *on),
        Some(_) => set(settings, field, option(args, at, &["off", "on"])? == 1),
    }
    Ok(Value::Boolean(*field(&mut settings.get())))
}

/// Which of the words an argument is.
fn option(args: &Args<'_>, at: usize, words: &[&str]) -> Result<usize> {
    let given = args.string(at)?;
    let given = given.as_bytes();
    let found = words.iter().position(|word| word.as_bytes() == &*given);
    found.ok_or_else(|| args.error(at, format!("invalid option '{}'", String::from_utf8_lossy(&given))))
}

fn sparse_array(args: &Args<'_>, settings: &SharedSettings) -> Result<MultiValue> {
    at_most(args, 3)?;
    let convert = switch(args, 1, settings, |s| &mut s.sparse_convert)?;
    let ratio = integer(args, 2, settings, |s| &mut s.sparse_ratio, 0, i32::MAX)?;
    let safe = integer(args, 3, settings, |s| &mut s.sparse_safe, 0, i32::MAX)?;
    Ok(MultiValue::from_iter([convert, ratio, safe]))
}

fn encode_invalid(args: &Args<'_>, settings: &SharedSettings) -> Result<MultiValue> {
    at_most(args, 1)?;
    let chosen = match args.get(1) {
        None | Some(Value::Nil) => settings.get().encode_invalid,
        Some(Value::Boolean(false)) => Invalid::Refused,
        Some(Value::Boolean(true)) => Invalid::Named,
        Some(_) => [Invalid::Refused, Invalid::Named, Invalid::Null][option(args, 1, &["off", "on", "null"])?],
    };
    set(settings, |s| &mut s.encode_invalid, chosen);
    one(match chosen {
        Invalid::Null => Value::String(args.lua.create_string("null")?),
        other => Value::Boolean(other == Invalid::Named),
    })
}
