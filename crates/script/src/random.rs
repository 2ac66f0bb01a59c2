//! `math.random` and `math.randomseed` with the numbers Redis gives.
//!
//! The generator is `lrand48` of POSIX: 48 bits, X' = X * 0x5DEECE66D + 11, of which the upper 31 are drawn. It is
//! seeded by chance once, and again after a script that chose a seed, so that no script sees what another one chose.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, Table, Value, Variadic};

use crate::raise;

/// Largest number drawn.
const DRAWN_MAX: f64 = i32::MAX as f64;

/// The state of the generator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Random {
    state: Rc<Cell<u64>>,
    /// A script chose the seed.
    chosen: Rc<Cell<bool>>,
}

impl Random {
    /// Begins the sequence of a seed.
    pub(crate) fn seed(&self, seed: i32) {
        self.state.set(u64::from(seed as u32) << 16 | 0x330e);
        self.chosen.set(true);
    }

    /// Begins any sequence, unless the one that goes on is nobody's.
    pub(crate) fn reseed(&self, chance: impl FnOnce() -> u64) {
        if self.chosen.replace(false) {
            self.state.set(chance() & 0xffff_ffff_ffff);
        }
    }

    fn draw(&self) -> i32 {
        let next = self.state.get().wrapping_mul(0x5_deec_e66d).wrapping_add(11) & 0xffff_ffff_ffff;
        self.state.set(next);
        (next >> 17) as i32
    }

    /// A number from 0 up to 1.
    fn unit(&self) -> f64 {
        f64::from(self.draw() % i32::MAX) / DRAWN_MAX
    }
}

/// Puts the functions into `math`.
///
/// # Errors
/// Out of memory.
pub(crate) fn install(lua: &Lua, math: &Table) -> mlua::Result<Random> {
    let random = Random::default();
    random.seed(0);
    let draws = random.clone();
    math.raw_set("random", lua.create_function(move |lua, args| draw(lua, &draws, &args))?)?;
    let seeds = random.clone();
    math.raw_set(
        "randomseed",
        lua.create_function(move |lua, args: Variadic<Value>| {
            seeds.seed(integer(lua, &args, 1, "randomseed")?);
            Ok(())
        })?,
    )?;
    Ok(random)
}

fn draw(lua: &Lua, random: &Random, args: &Variadic<Value>) -> mlua::Result<f64> {
    let unit = random.unit();
    let (low, high) = match args.len() {
        0 => return Ok(unit),
        1 => (1, integer(lua, args, 1, "random")?),
        2 => (integer(lua, args, 1, "random")?, integer(lua, args, 2, "random")?),
        _ => return Err(raise::error(lua, "wrong number of arguments")),
    };
    if low > high {
        return Err(raise::argument(lua, args.len(), "random", "interval is empty"));
    }
    let (low, high) = (f64::from(low), f64::from(high));
    Ok((unit * (high - low + 1.0)).floor() + low)
}

/// An argument as `luaL_checkint` reads it.
fn integer(lua: &Lua, args: &Variadic<Value>, at: usize, function: &str) -> mlua::Result<i32> {
    let number = match args.get(at - 1) {
        Some(Value::Integer(number)) => return Ok(*number as i32),
        Some(Value::Number(number)) => Some(*number),
        Some(value @ Value::String(_)) => lua.coerce_number(value.clone())?,
        _ => None,
    };
    let got = || args.get(at - 1).map_or("no value", Value::type_name);
    let number = number.ok_or_else(|| raise::argument(lua, at, function, format!("number expected, got {}", got())))?;
    Ok(number as i64 as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_lrand48() {
        let random = Random::default();
        random.seed(0);
        // As drawn by the C library after srand48(0).
        assert_eq!([random.draw(), random.draw(), random.draw()], [366_850_414, 1_610_402_240, 206_956_554]);
    }
}
