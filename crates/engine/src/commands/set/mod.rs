//! Sets: <https://redis.io/docs/latest/develop/data-types/sets/>.
//!
//! The table entries, and the commands on the members of one set; union, intersection and difference are in
//! `algebra.rs`, random members in `random.rs`. The value itself is `types/set.rs`.

mod algebra;
mod random;
mod table;

use quiver_resp::{Argv, Encoder};
use quiver_structures::listpack::Item;

use super::args::{ElementPage, ScanOptions, Scanned, empty_scan, scan_cursor};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::hash::ItemText;
use crate::types::set::{Limits, Set};

pub use table::COMMANDS;

fn sadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, limits, members) = (ctx.first_key(argv), limits(ctx), argv.from(2));
    let set = ctx.ks.value_or_new::<Set>(key)?;
    // A set made here is empty, and only such a one is.
    if set.is_empty() {
        *set = Set::for_members(members.at(0), members.len(), limits);
    } else {
        set.expect_members(members.len(), limits);
    }
    let added = members.iter().filter(|member| set.add(member, limits)).count();
    if added > 0 {
        ctx.ks.changed(&key);
        ctx.ks.dirty += added as u64 - 1;
        ctx.ks.notify(Class::SET, "sadd", key.name);
    }
    ctx.reply.integer(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let (removed, left) = match ctx.ks.value_mut::<Set>(key)? {
        Some(set) => (argv.from(2).iter().filter(|member| set.remove(member)).count(), set.len()),
        None => (0, 0),
    };
    if removed > 0 {
        ctx.ks.changed(&key);
        ctx.ks.dirty += removed as u64 - 1;
        ctx.ks.notify(Class::SET, "srem", key.name);
        if left == 0 {
            ctx.ks.delete_if_empty(key);
            ctx.ks.notify(Class::GENERIC, "del", key.name);
        }
    }
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to, member) = (ctx.first_key(argv), ctx.key(argv.at(2)), argv.at(3));
    if ctx.ks.value_mut::<Set>(from)?.is_none() {
        ctx.reply.integer(0);
        return Ok(());
    }
    ctx.ks.value_mut::<Set>(to)?;
    let is_member = ctx.ks.seen::<Set>(&from).is_some_and(|set| set.contains(member));
    if is_member && from.name != to.name {
        move_member(ctx, from, to, member)?;
    }
    ctx.reply.integer(is_member.into());
    Ok(())
}

fn move_member(ctx: &mut Ctx<'_>, from: Key<'_>, to: Key<'_>, member: &[u8]) -> CommandResult {
    let limits = limits(ctx);
    let left = ctx.ks.value_mut::<Set>(from)?.map_or(0, |set| {
        set.remove(member);
        set.len()
    });
    ctx.ks.changed(&from);
    ctx.ks.notify(Class::SET, "srem", from.name);
    if left == 0 {
        ctx.ks.delete_if_empty(from);
        ctx.ks.notify(Class::GENERIC, "del", from.name);
    }
    let set = ctx.ks.value_or_new::<Set>(to)?;
    if set.is_empty() {
        *set = Set::for_members(member, 1, limits);
    }
    if set.add(member, limits) {
        ctx.ks.changed(&to);
        ctx.ks.notify(Class::SET, "sadd", to.name);
    }
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.value::<Set>(key)?.map_or(0, Set::len);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let is_member = ctx.ks.value::<Set>(key)?.is_some_and(|set| set.contains(argv.at(2)));
    ctx.reply.integer(is_member.into());
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<Set>(key)?;
    ctx.reply.array(argv.len() - 2);
    for member in argv.from(2) {
        ctx.reply.integer(set.is_some_and(|set| set.contains(member)).into());
    }
    Ok(())
}

fn smembers(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<Set>(key)?;
    ctx.reply.set(set.map_or(0, Set::len));
    set.iter().flat_map(|set| set.iter()).for_each(|member| bulk(&mut ctx.reply, member));
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut cursor = scan_cursor(argv.at(2))?;
    let key = ctx.first_key(argv);
    // As in Redis, the options of a scan of nothing are not looked at.
    let Some(set) = ctx.ks.value::<Set>(key)? else {
        empty_scan(&mut ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(argv, 3, Scanned::Members)?;
    let mut page = ElementPage::new(options, ctx.reply.protocol());
    loop {
        cursor = set.scan(cursor, &mut |member| {
            page.offer(ItemText::new(member).as_bytes(), |out| bulk(out, member));
        });
        if !page.goes_on(cursor) {
            break;
        }
    }
    page.reply(&mut ctx.reply, cursor, 1);
    Ok(())
}

/// A member as a bulk string.
fn bulk(reply: &mut Encoder<'_>, member: Item<'_>) {
    match member {
        Item::Int(number) => reply.bulk_of_int(number),
        Item::Str(bytes) => reply.bulk(bytes),
    }
}

/// What may be compact, from the configuration.
#[inline]
fn limits(ctx: &Ctx<'_>) -> Limits {
    let config = &ctx.engine.config;
    Limits {
        intset_entries: config.set_max_intset_entries(),
        listpack_entries: config.set_max_listpack_entries(),
        listpack_value_bytes: config.set_max_listpack_value(),
    }
}
