//! `cjson`: JSON and Lua values, as lua-cjson 2.1 in Redis has it.
//!
//! A table with only positive integer keys is an array, any other and the empty one an object; `null` is a light
//! userdata. Settings hold for the state they are made in.
//!
//! What is different: no nesting deeper than [`DEPTH_LIMIT`] is read or written whatever the settings say, because
//! writing recurses; and what is written ends at the memory limit of scripts.

mod decode;
mod encode;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Value};

use super::args::{Args, is_true};

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
#[derive(Debug)]
struct Settings {
    sparse_convert: Cell<bool>,
    sparse_ratio: Cell<i32>,
    sparse_safe: Cell<i32>,
    encode_depth: Cell<i32>,
    decode_depth: Cell<i32>,
    precision: Cell<i32>,
    keep_buffer: Cell<bool>,
    encode_invalid: Cell<Invalid>,
    decode_invalid: Cell<bool>,
    array_metatable: Cell<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(DEPTH_LIMIT),
            decode_depth: Cell::new(DEPTH_LIMIT),
            precision: Cell::new(14),
            keep_buffer: Cell::new(true),
            encode_invalid: Cell::new(Invalid::Refused),
            decode_invalid: Cell::new(true),
            array_metatable: Cell::new(false),
        }
    }
}

/// Puts the table `cjson` into the globals.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    lua.globals().raw_set("cjson", instance(lua)?)
}

/// A table of functions with settings of its own.
fn instance(lua: &Lua) -> Result<mlua::Table> {
    let settings = Rc::new(Settings::default());
    let table = lua.create_table()?;
    let function = |name: &'static str, run: fn(&Args<'_>, &Settings) -> Result<MultiValue>| {
        let settings = Rc::clone(&settings);
        let function = lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, name, values);
            run(&args, &settings)
        })?;
        table.raw_set(name, function)
    };
    function("encode", |args, settings| one(encode::encode(args, settings)?))?;
    function("decode", |args, settings| one(decode::decode(args, settings)?))?;
    function("encode_sparse_array", sparse_array)?;
    function("encode_max_depth", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, &settings.encode_depth, 1, i32::MAX)?)
    })?;
    function("decode_max_depth", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, &settings.decode_depth, 1, i32::MAX)?)
    })?;
    function("encode_number_precision", |args, settings| {
        at_most(args, 1)?;
        one(integer(args, 1, &settings.precision, 1, 14)?)
    })?;
    function("encode_keep_buffer", |args, settings| {
        at_most(args, 1)?;
        one(switch(args, 1, &settings.keep_buffer)?)
    })?;
    function("decode_invalid_numbers", |args, settings| {
        at_most(args, 1)?;
        one(switch(args, 1, &settings.decode_invalid)?)
    })?;
    function("encode_invalid_numbers", encode_invalid)?;
    function("new", |args, _| one(Value::Table(instance(args.lua)?)))?;
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

/// Reads, and sets where an argument is given, a whole number.
fn integer(args: &Args<'_>, at: usize, setting: &Cell<i32>, min: i32, max: i32) -> Result<Value> {
    if !args.is_nil(at) {
        let value = args.integer(at)?;
        if value < i64::from(min) || value > i64::from(max) {
            return Err(args.error(1, format!("expected integer between {min} and {max}")));
        }
        setting.set(value as i32);
    }
    Ok(Value::Integer(i64::from(setting.get())))
}

/// Reads, and sets where an argument is given, a switch.
fn switch(args: &Args<'_>, at: usize, setting: &Cell<bool>) -> Result<Value> {
    match args.get(at) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(on)) => setting.set(*on),
        Some(_) => setting.set(option(args, at, &["off", "on"])? == 1),
    }
    Ok(Value::Boolean(setting.get()))
}

/// Which of the words an argument is.
fn option(args: &Args<'_>, at: usize, words: &[&str]) -> Result<usize> {
    let given = args.string(at)?;
    let given = given.as_bytes();
    let found = words.iter().position(|word| word.as_bytes() == &*given);
    found.ok_or_else(|| args.error(at, format!("invalid option '{}'", String::from_utf8_lossy(&given))))
}

fn sparse_array(args: &Args<'_>, settings: &Settings) -> Result<MultiValue> {
    at_most(args, 3)?;
    let convert = switch(args, 1, &settings.sparse_convert)?;
    let ratio = integer(args, 2, &settings.sparse_ratio, 0, i32::MAX)?;
    let safe = integer(args, 3, &settings.sparse_safe, 0, i32::MAX)?;
    Ok(MultiValue::from_iter([convert, ratio, safe]))
}

fn encode_invalid(args: &Args<'_>, settings: &Settings) -> Result<MultiValue> {
    at_most(args, 1)?;
    let setting = &settings.encode_invalid;
    match args.get(1) {
        None | Some(Value::Nil) => {}
        Some(given @ Value::Boolean(_)) => {
            setting.set(if is_true(Some(given)) { Invalid::Named } else { Invalid::Refused });
        }
        Some(_) => setting.set([Invalid::Refused, Invalid::Named, Invalid::Null][option(args, 1, &["off", "on", "null"])?]),
    }
    one(match setting.get() {
        Invalid::Null => Value::String(args.lua.create_string("null")?),
        other => Value::Boolean(other == Invalid::Named),
    })
}
