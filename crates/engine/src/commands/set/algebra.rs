//! Union, intersection and difference of sets: the members, their number, or a new set of them.
//!
//! The strategies are Redis': an intersection asks the other sets for each member of the smallest; a difference either
//! asks the others, largest first, for each member of the first set, or takes all their members out of a copy of it,
//! whichever promises less work.

use std::collections::HashSet;

use quiver_resp::Argv;
use quiver_structures::Value;
use quiver_structures::listpack::Item;
use smallvec::SmallVec;

use super::super::args::{Options, integer, is};
use super::{bulk, limits};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{Key, Keyspace};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::object::Collection;
use crate::types::hash::ItemText;
use crate::types::hyperloglog::Registers;
use crate::types::set::{Limits, Set};

type Keys<'k> = SmallVec<[Key<'k>; 4]>;
type Sets<'s> = SmallVec<[Option<&'s Set>; 4]>;

pub(super) fn sinter(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let keys = source_keys(ctx, argv.iter().skip(1))?;
    let Ctx { ks, reply, .. } = ctx;
    let start = reply.position();
    let mut found = 0;
    each_common(&sets_at(ks, &keys), &mut |member| {
        bulk(reply, member);
        found += 1;
        true
    });
    reply.set_before(start, found);
    Ok(())
}

pub(super) fn sintercard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (count, options) = counted_keys(argv)?;
    let limit = Limit::parse(options, false)?;
    let keys = source_keys(ctx, argv.iter().skip(2).take(count))?;
    let mut found = 0;
    each_common(&sets_at(&ctx.ks, &keys), &mut |_| {
        found += 1;
        !limit.is_reached(found)
    });
    ctx.reply.integer(found as i64);
    Ok(())
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (keys, limits) = (source_keys(ctx, argv.iter().skip(2))?, limits(ctx));
    let result = intersection(&sets_at(&ctx.ks, &keys), limits);
    store(ctx, argv, result, "sinterstore");
    Ok(())
}

fn intersection(sets: &[Option<&Set>], limits: Limits) -> Set {
    let smallest = sets.iter().copied().min_by_key(|set| set.map_or(0, Set::len)).flatten();
    let mut result = match smallest {
        Some(set) if Collection::encoding(set) == "intset" => Set::new(),
        _ => Set::new_listpack(),
    };
    let mut only_integers = true;
    each_common(sets, &mut |member| {
        only_integers = only_integers && integer_of(member).is_some();
        result.add_item(member, limits);
        true
    });
    if only_integers && !result.is_empty() {
        result.make_ints(limits);
    }
    result
}

pub(super) fn sunion(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let keys = source_keys(ctx, argv.iter().skip(1))?;
    let Ctx { ks, reply, .. } = ctx;
    let (start, mut found) = (reply.position(), 0);
    each_distinct(&sets_at(ks, &keys), &mut |member| {
        bulk(reply, member);
        found += 1;
        true
    });
    reply.set_before(start, found);
    Ok(())
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (keys, limits) = (source_keys(ctx, argv.iter().skip(2))?, limits(ctx));
    let mut result = Set::new();
    for member in sets_at(&ctx.ks, &keys).iter().flatten().flat_map(|set| set.iter()) {
        result.add_item(member, limits);
    }
    store(ctx, argv, result, "sunionstore");
    Ok(())
}

pub(super) fn sunioncard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (count, options) = counted_keys(argv)?;
    let limit = Limit::parse(options, true)?;
    let keys = source_keys(ctx, argv.iter().skip(2).take(count))?;
    let sets = sets_at(&ctx.ks, &keys);
    let found = if limit.approximate {
        let mut registers = Registers::new();
        for member in sets.iter().flatten().flat_map(|set| set.iter()) {
            registers.add(ItemText::new(member).as_bytes());
        }
        let estimate = registers.estimate();
        if limit.members > 0 { estimate.min(limit.members) } else { estimate }
    } else {
        let mut found = 0;
        each_distinct(&sets, &mut |_| {
            found += 1;
            !limit.is_reached(found)
        });
        found
    };
    ctx.reply.integer(found as i64);
    Ok(())
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (keys, limits) = (source_keys(ctx, argv.iter().skip(1))?, limits(ctx));
    let Ctx { ks, reply, .. } = ctx;
    let (start, mut found) = (reply.position(), 0);
    each_difference(ks, &keys, limits, &mut |member| {
        bulk(reply, member);
        found += 1;
        true
    });
    reply.set_before(start, found);
    Ok(())
}

pub(super) fn sdiffcard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (count, options) = counted_keys(argv)?;
    let limit = Limit::parse(options, false)?;
    let (keys, limits) = (source_keys(ctx, argv.iter().skip(2).take(count))?, limits(ctx));
    let mut found = 0;
    each_difference(&ctx.ks, &keys, limits, &mut |_| {
        found += 1;
        !limit.is_reached(found)
    });
    ctx.reply.integer(found as i64);
    Ok(())
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (keys, limits) = (source_keys(ctx, argv.iter().skip(2))?, limits(ctx));
    let result = match Difference::plan(&ctx.ks, &keys) {
        Difference::Empty => Set::new(),
        Difference::Ask { first, others } => {
            let mut result = Set::new();
            each_left(first, &others, &mut |member| result.add_item(member, limits));
            result
        }
        Difference::TakeOut { first, others } => taken_out(first, &others, limits),
    };
    store(ctx, argv, result, "sdiffstore");
    Ok(())
}

/// Checks the type under every name, so that all of them can be read together afterwards.
fn source_keys<'k>(ctx: &mut Ctx<'_>, names: impl Iterator<Item = &'k [u8]>) -> Result<Keys<'k>, CommandError> {
    let mut keys = Keys::new();
    for name in names {
        let key = ctx.key(name);
        ctx.ks.value::<Set>(key)?;
        keys.push(key);
    }
    Ok(keys)
}

fn sets_at<'s>(ks: &'s Keyspace<'_>, keys: &[Key<'_>]) -> Sets<'s> {
    keys.iter().map(|key| ks.seen::<Set>(key)).collect()
}

/// The number of names behind the command's, and the words behind those.
fn counted_keys(argv: Argv<'_>) -> Result<(usize, Argv<'_>), CommandError> {
    let count = integer(argv.at(1)).ok().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or(CommandError::text("ERR numkeys should be greater than 0"))?;
    if count > argv.len() - 2 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    Ok((count, argv.from(2 + count)))
}

/// How far a count goes.
#[derive(Clone, Copy, Debug)]
struct Limit {
    /// 0 for no limit.
    members: u64,
    approximate: bool,
}

impl Limit {
    fn parse(words: Argv<'_>, may_approximate: bool) -> Result<Self, CommandError> {
        let mut parsed = Self { members: 0, approximate: false };
        let mut options = Options::new(words, 0);
        while let Some(word) = options.next() {
            if is(word, "limit") {
                let members = integer(options.value()?).ok().and_then(|members| u64::try_from(members).ok());
                parsed.members = members.ok_or(CommandError::text("ERR LIMIT can't be negative"))?;
            } else if may_approximate && is(word, "approx") {
                parsed.approximate = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(parsed)
    }

    fn is_reached(self, found: u64) -> bool {
        self.members > 0 && found >= self.members
    }
}

/// Visits what is in all sets, until `visit` answers `false`.
fn each_common(sets: &[Option<&Set>], visit: &mut dyn FnMut(Item<'_>) -> bool) {
    let mut present: SmallVec<[&Set; 4]> = sets.iter().copied().flatten().collect();
    if present.len() < sets.len() {
        return;
    }
    present.sort_by_key(|set| set.len());
    let Some((smallest, others)) = present.split_first() else { return };
    for member in smallest.iter() {
        let everywhere = others.iter().all(|set| std::ptr::eq(*set, *smallest) || set.contains_item(member));
        if everywhere && !visit(member) {
            return;
        }
    }
}

/// Visits what is in any set, once, until `visit` answers `false`.
fn each_distinct(sets: &[Option<&Set>], visit: &mut dyn FnMut(Item<'_>) -> bool) {
    // The members of the first set need not be kept to be told from those of the others.
    let Some((first, others)) = sets.split_first() else { return };
    for member in first.iter().flat_map(|set| set.iter()) {
        if !visit(member) {
            return;
        }
    }
    // As text: a number is an integer in one encoding and bytes in another.
    let (mut integers, mut strings) = (HashSet::new(), HashSet::new());
    for member in others.iter().flatten().flat_map(|set| set.iter()) {
        let is_new = !first.is_some_and(|first| first.contains_item(member))
            && match (member, integer_of(member)) {
                (_, Some(int)) => integers.insert(int),
                (Item::Str(text), None) => strings.insert(text),
                (Item::Int(_), None) => false,
            };
        if is_new && !visit(member) {
            return;
        }
    }
}

/// How a difference is computed.
enum Difference<'s> {
    /// There is nothing in it.
    Empty,
    /// Look for each member of the first set in the others.
    Ask { first: &'s Set, others: SmallVec<[&'s Set; 4]> },
    /// Take the members of the others out of a copy of the first set.
    TakeOut { first: &'s Set, others: SmallVec<[&'s Set; 4]> },
}

impl<'s> Difference<'s> {
    fn plan(ks: &'s Keyspace<'_>, keys: &[Key<'_>]) -> Self {
        let sets = sets_at(ks, keys);
        let Some((Some(first), others)) = sets.split_first() else { return Self::Empty };
        let mut others: SmallVec<[&Set; 4]> = others.iter().copied().flatten().collect();
        if others.iter().any(|set| std::ptr::eq(*set, *first)) {
            return Self::Empty;
        }
        let asked = first.len().saturating_mul(others.len() + 1) / 2;
        let taken = others.iter().map(|set| set.len()).sum::<usize>() + first.len();
        if asked <= taken {
            others.sort_by_key(|set| std::cmp::Reverse(set.len()));
            return Self::Ask { first, others };
        }
        Self::TakeOut { first, others }
    }
}

/// Visits what is in the first set alone, until `visit` answers `false`.
fn each_difference(ks: &Keyspace<'_>, keys: &[Key<'_>], limits: Limits, visit: &mut dyn FnMut(Item<'_>) -> bool) {
    match Difference::plan(ks, keys) {
        Difference::Empty => {}
        Difference::Ask { first, others } => each_left(first, &others, visit),
        Difference::TakeOut { first, others } => {
            let _ = taken_out(first, &others, limits).iter().all(visit);
        }
    }
}

fn each_left(first: &Set, others: &[&Set], visit: &mut dyn FnMut(Item<'_>) -> bool) {
    for member in first.iter() {
        if !others.iter().any(|set| set.contains_item(member)) && !visit(member) {
            return;
        }
    }
}

fn taken_out(first: &Set, others: &[&Set], limits: Limits) -> Set {
    let mut result = Set::new();
    first.iter().for_each(|member| {
        result.add_item(member, limits);
    });
    for member in others.iter().flat_map(|set| set.iter()) {
        if result.is_empty() {
            break;
        }
        result.remove_item(member);
    }
    result
}

fn integer_of(member: Item<'_>) -> Option<i64> {
    match member {
        Item::Int(int) => Some(int),
        Item::Str(text) => parse_i64(text),
    }
}

/// Puts the result under the first key, or removes that when there is none, and answers its size.
fn store(ctx: &mut Ctx<'_>, argv: Argv<'_>, result: Set, event: &'static str) {
    let (key, len) = (ctx.first_key(argv), result.len());
    if len > 0 {
        ctx.ks.set(key, Value::Object(Box::new(result.into_object())), None);
        ctx.ks.notify(Class::SET, event, key.name);
    } else if ctx.ks.delete(key) {
        ctx.ks.notify(Class::GENERIC, "del", key.name);
    }
    ctx.reply.integer(len as i64);
}
