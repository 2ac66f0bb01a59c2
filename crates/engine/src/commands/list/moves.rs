//! Commands that move elements from list to list: LMOVE, RPOPLPUSH, LMOVEM, and those that wait for them.

use quiver_resp::Argv;
use smallvec::SmallVec;

use super::{bulk, drop_end, end_word, limits, pop_event, push_event, removed};
use crate::blocking::{Absent, deadline};
use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::types::hash::ItemText;
use crate::types::list::{End, List};

/// Copies of the elements on their way, in the order in which they are pushed; mostly a single short one.
type Block = SmallVec<[SmallVec<[u8; 48]>; 1]>;

/// From where to where.
#[derive(Clone, Copy)]
struct Way<'k> {
    source: Key<'k>,
    destination: Key<'k>,
    from: End,
    to: End,
}

/// How many elements, and in which order.
#[derive(Clone, Copy)]
struct HowMany {
    count: usize,
    /// All of them or none.
    exactly: bool,
    /// They keep the order they had in the source; else each is pushed by itself in the order of being taken.
    in_bulk: bool,
}

const ONE: HowMany = HowMany { count: 1, exactly: false, in_bulk: false };

impl Way<'_> {
    /// Moves elements; the block that was moved, `None` when there are not enough.
    fn go(&self, ctx: &mut Ctx<'_>, how: HowMany) -> Result<Option<Block>, CommandError> {
        let limits = limits(ctx);
        let Some(list) = ctx.ks.value_mut::<List>(self.source)? else { return Ok(None) };
        if how.exactly && list.len() < how.count {
            return Ok(None);
        }
        ctx.ks.value_mut::<List>(self.destination)?;
        let list = ctx.ks.value_mut::<List>(self.source)?.expect("seen two lines above");
        let mut block = take(list, self.from, how.count);
        if how.in_bulk && self.from == self.to {
            block.reverse();
        }
        let same = self.source.name == self.destination.name;
        let is_empty = drop_end(list, self.from, block.len(), limits) && !same;
        let list = ctx.ks.value_or_new::<List>(self.destination)?;
        list.grow_for(block.iter().map(|element| &**element), limits);
        block.iter().for_each(|element| list.push(self.to, element, limits));
        if same {
            list.shrink(limits, true);
        }
        ctx.ks.changed(&self.destination);
        ctx.ks.dirty -= 1;
        ctx.ks.notify(Class::LIST, push_event(self.to), self.destination.name);
        removed(ctx, self.source, pop_event(self.from), block.len(), is_empty);
        Ok(Some(block))
    }
}

/// Copies elements in the order of being taken from an end.
fn take(list: &List, end: End, count: usize) -> Block {
    let elements = match end {
        End::Left => list.iter(),
        End::Right => list.iter_back_from(list.len().saturating_sub(1)),
    };
    elements.take(count).map(|item| SmallVec::from_slice(ItemText::new(item).as_bytes())).collect()
}

pub(super) fn lmove(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (end_word(argv.at(3))?, end_word(argv.at(4))?);
    move_one(ctx, argv, from, to)
}

pub(super) fn rpoplpush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    move_one(ctx, argv, End::Right, End::Left)
}

fn way<'k>(ctx: &Ctx<'_>, argv: Argv<'k>, from: End, to: End) -> Way<'k> {
    Way { source: ctx.key(argv.at(1)), destination: ctx.key(argv.at(2)), from, to }
}

fn move_one(ctx: &mut Ctx<'_>, argv: Argv<'_>, from: End, to: End) -> CommandResult {
    match way(ctx, argv, from, to).go(ctx, ONE)? {
        Some(block) => ctx.reply.bulk(&block[0]),
        None => ctx.reply.null(),
    }
    Ok(())
}

pub(super) fn blmove(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (end_word(argv.at(3))?, end_word(argv.at(4))?);
    let deadline_ms = deadline(argv.at(5), ctx.ks.now_ms)?;
    let replay = [b"LMOVE", argv.at(1), argv.at(2), argv.at(3), argv.at(4)];
    blocking_move(ctx, argv, from, to, deadline_ms, &replay)
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let deadline_ms = deadline(argv.at(3), ctx.ks.now_ms)?;
    let replay = [b"RPOPLPUSH", argv.at(1), argv.at(2)];
    blocking_move(ctx, argv, End::Right, End::Left, deadline_ms, &replay)
}

fn blocking_move(
    ctx: &mut Ctx<'_>,
    argv: Argv<'_>,
    from: End,
    to: End,
    deadline_ms: Option<i64>,
    replay: &[&[u8]],
) -> CommandResult {
    match way(ctx, argv, from, to).go(ctx, ONE)? {
        Some(block) => {
            ctx.reply.bulk(&block[0]);
            ctx.replay_as(replay);
        }
        None if ctx.may_block() => {
            ctx.block_on(std::iter::once(argv.at(1)), deadline_ms, Absent::NullArray, argv.to_owned());
        }
        None => ctx.reply.null(),
    }
    Ok(())
}

// --- several elements ----------------------------------------------------------------------------------------------

impl HowMany {
    /// Reads `(COUNT | EXACTLY) n (OBO | BULK)` at the end of the words; nothing there is one element.
    fn parse(argv: Argv<'_>, at: usize) -> Result<Self, CommandError> {
        let (selector, number, ordering) = match argv.len() - at {
            0 => return Ok(ONE),
            3 => (argv.at(at), argv.at(at + 1), argv.at(at + 2)),
            _ => return Err(CommandError::Syntax),
        };
        let exactly = is(selector, "exactly");
        let in_bulk = is(ordering, "bulk");
        if !exactly && !is(selector, "count") || !in_bulk && !is(ordering, "obo") {
            return Err(CommandError::Syntax);
        }
        let count = parse_i64(number).filter(|count| *count > 0);
        let count = count.ok_or(CommandError::text("ERR count should be greater than 0"))?;
        Ok(Self { count: usize::try_from(count).unwrap_or(usize::MAX), exactly, in_bulk })
    }
}

/// Moves and answers the elements in the order they have in the destination now; `false`, and nothing answered, when
/// there are not enough.
fn move_many(ctx: &mut Ctx<'_>, way: Way<'_>, how: HowMany) -> Result<bool, CommandError> {
    let Some(mut block) = way.go(ctx, how)? else { return Ok(false) };
    if way.to == End::Left {
        block.reverse();
    }
    ctx.reply.array(block.len());
    block.iter().for_each(|element| bulk(&mut ctx.reply, element.as_slice().into()));
    Ok(true)
}

pub(super) fn lmovem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (end_word(argv.at(3))?, end_word(argv.at(4))?);
    let how = HowMany::parse(argv, 5)?;
    let way = way(ctx, argv, from, to);
    if !move_many(ctx, way, how)? {
        ctx.reply.null_array();
    }
    Ok(())
}

pub(super) fn blmovem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (end_word(argv.at(3))?, end_word(argv.at(4))?);
    let deadline_ms = deadline(argv.at(5), ctx.ks.now_ms)?;
    let how = HowMany::parse(argv, 6)?;
    let way = way(ctx, argv, from, to);
    if move_many(ctx, way, how)? {
        let words = argv
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != 5)
            .map(|(at, word)| if at == 0 { b"LMOVEM".as_slice() } else { word });
        let replay: SmallVec<[&[u8]; 8]> = words.collect();
        ctx.replay_as(&replay);
    } else if ctx.may_block() {
        ctx.block_on(std::iter::once(argv.at(1)), deadline_ms, Absent::NullArray, argv.to_owned());
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}
