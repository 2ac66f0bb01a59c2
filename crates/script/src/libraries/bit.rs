//! `bit`: operations on 32-bit integers, as LuaBitOp 1.0 has them.
//!
//! A number is taken modulo 2^32 and rounded to the nearest integer; results are signed. Beyond 2^51 a double has no
//! room for the trick that does both at once, and what comes out is what LuaBitOp gives on the same machine.

use mlua::{Lua, MultiValue, Result, Value};

use super::args::Args;

/// Puts the table `bit` into the globals.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let table = lua.create_table()?;
    let unary = |name, operation: fn(u32) -> u32| {
        lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, name, values);
            Ok(signed(operation(bits(&args, 1)?)))
        })
    };
    let folding = |name, operation: fn(u32, u32) -> u32| {
        lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, name, values);
            let first = bits(&args, 1)?;
            let all = (2..=args.len()).try_fold(first, |sum, at| Ok(operation(sum, bits(&args, at)?)));
            all.map(signed)
        })
    };
    let shifting = |name, operation: fn(u32, u32) -> u32| {
        lua.create_function(move |lua, values: MultiValue| {
            let args = Args::new(lua, name, values);
            let (value, by) = (bits(&args, 1)?, bits(&args, 2)? & 31);
            Ok(signed(operation(value, by)))
        })
    };
    table.raw_set("tobit", unary("tobit", |value| value)?)?;
    table.raw_set("bnot", unary("bnot", |value| !value)?)?;
    table.raw_set("bswap", unary("bswap", u32::swap_bytes)?)?;
    table.raw_set("band", folding("band", |a, b| a & b)?)?;
    table.raw_set("bor", folding("bor", |a, b| a | b)?)?;
    table.raw_set("bxor", folding("bxor", |a, b| a ^ b)?)?;
    table.raw_set("lshift", shifting("lshift", |value, by| value << by)?)?;
    table.raw_set("rshift", shifting("rshift", |value, by| value >> by)?)?;
    table.raw_set("arshift", shifting("arshift", |value, by| (value as i32 >> by) as u32)?)?;
    table.raw_set("rol", shifting("rol", u32::rotate_left)?)?;
    table.raw_set("ror", shifting("ror", u32::rotate_right)?)?;
    table.raw_set("tohex", lua.create_function(tohex)?)?;
    lua.globals().raw_set("bit", table)
}

fn signed(value: u32) -> Value {
    Value::Integer(i64::from(value as i32))
}

/// An argument as 32 bits.
fn bits(args: &Args<'_>, at: usize) -> Result<u32> {
    // Adding 2^52 + 2^51 leaves the integer in the low bits of the double, rounded to even.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    Ok((args.number(at)? + ROUND).to_bits() as u32)
}

/// The lowest hexadecimal digits of a number: 8, or as many as asked for, in capitals where that is negative.
fn tohex(lua: &Lua, values: MultiValue) -> Result<Value> {
    let args = Args::new(lua, "tohex", values);
    let value = bits(&args, 1)?;
    let digits = if args.get(2).is_none() { 8 } else { bits(&args, 2)? as i32 };
    let count = digits.unsigned_abs().min(8) as usize;
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(Value::String(lua.create_string(&text[8 - count..])?))
}
