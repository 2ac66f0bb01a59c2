//! `cmsgpack`: MessagePack, as lua-cmsgpack 0.4 in Redis has it.
//!
//! Numbers are packed as integers where they are whole, else in the shortest floating point format that keeps them. A
//! table whose keys are 1 to n is an array, the empty one included; any other is a map. Beyond [`PACK_DEPTH_MAX`]
//! nested tables there is nil, so that tables that contain themselves end.

mod pack;
mod unpack;

use mlua::{Lua, MultiValue, Result};

/// Tables in tables that are packed.
const PACK_DEPTH_MAX: usize = 16;

/// Puts the table `cmsgpack` into the globals.
pub(crate) fn install(lua: &Lua) -> Result<()> {
    let table = lua.create_table()?;
    table.raw_set("pack", lua.create_function(|lua, values: MultiValue| pack::pack(lua, values))?)?;
    table.raw_set("unpack", lua.create_function(|lua, values: MultiValue| unpack::unpack(lua, values))?)?;
    table.raw_set("unpack_one", lua.create_function(|lua, values: MultiValue| unpack::unpack_one(lua, values))?)?;
    table.raw_set("unpack_limit", lua.create_function(|lua, values: MultiValue| unpack::unpack_limit(lua, values))?)?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    table.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    lua.globals().raw_set("cmsgpack", table)
}
