//! Commands that read stretches of an array.

use quiver_resp::{Argv, Encoder};

use super::{element, index, unsigned};
use crate::command::CommandResult;
use crate::commands::args::{integer, is};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_f64;
use crate::types::array::{Array, Element};

/// Most places ARGETRANGE answers: the reply grows with what the client claims, not with the array.
const PLACES_MAX: u64 = 1_000_000;

/// Two indexes in any order: the lower, the higher, and whether they came in descending order.
pub(super) fn bounds(start: u64, end: u64) -> (u64, u64, bool) {
    (start.min(end), start.max(end), start > end)
}

pub(super) fn argetrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (first, last, reversed) = bounds(index(argv.at(2))?, index(argv.at(3))?);
    if last - first >= PLACES_MAX {
        return Err(CommandError::text("ERR range exceeds maximum of 1000000 items"));
    }
    let key = ctx.first_key(argv);
    let array = ctx.ks.value::<Array>(key)?;
    ctx.reply.array((last - first) as usize + 1);
    let place = |at| array.and_then(|array| array.get(at));
    for step in 0..=last - first {
        let at = if reversed { last - step } else { first + step };
        element(&mut ctx.reply, place(at));
    }
    Ok(())
}

/// Writes pairs of index and element, up to `limit` of them, behind a header with their number.
pub(super) fn write_found<'a>(
    reply: &mut Encoder<'_>,
    found: impl Iterator<Item = (u64, &'a Element)>,
    limit: usize,
    with_values: bool,
) {
    let (start, mut count) = (reply.position(), 0);
    for (index, value) in found.take(limit) {
        if with_values {
            reply.array(2);
        }
        unsigned(reply, index);
        if with_values {
            element(reply, Some(value));
        }
        count += 1;
    }
    reply.array_before(start, count);
}

/// The number behind LIMIT.
pub(super) fn limit(text: &[u8]) -> Result<usize, CommandError> {
    let limit = integer(text)?;
    usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(CommandError::text("ERR LIMIT must be positive"))
}

pub(super) fn arscan(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (first, last, reversed) = bounds(index(argv.at(2))?, index(argv.at(3))?);
    let limit = match argv.len() {
        4 => usize::MAX,
        6 if is(argv.at(4), "LIMIT") => limit(argv.at(5))?,
        _ => return Err(CommandError::Syntax),
    };
    let key = ctx.first_key(argv);
    let found = ctx.ks.value::<Array>(key)?.map(|array| array.range(first, last)).into_iter().flatten();
    if reversed {
        write_found(&mut ctx.reply, found.rev(), limit, true);
    } else {
        write_found(&mut ctx.reply, found, limit, true);
    }
    Ok(())
}

pub(super) fn arlastitems(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let newest_first = argv.len() > 3;
    if argv.len() > 4 || newest_first && !is(argv.at(3), "REV") {
        return Err(CommandError::Syntax);
    }
    let count = usize::try_from(integer(argv.at(2))?).map_err(|_| CommandError::MustBePositive)?;
    let key = ctx.first_key(argv);
    let Some(array) = ctx.ks.value::<Array>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let mut recent: Vec<Option<&Element>> =
        array.recent(count.min(array.count())).map(|(_, element)| element).collect();
    if !newest_first {
        recent.reverse();
    }
    ctx.reply.array(recent.len());
    recent.into_iter().for_each(|place| element(&mut ctx.reply, place));
    Ok(())
}

/// What AROP makes of the elements.
#[derive(Clone, Copy, Debug)]
enum Operation<'a> {
    /// Of their numbers.
    Number(fn(f64, f64) -> f64),
    /// Of their numbers without fractions.
    Bits(fn(i64, i64) -> i64),
    /// How many equal a text.
    Match(&'a [u8]),
    /// How many there are.
    Used,
}

impl<'a> Operation<'a> {
    fn parse(words: Argv<'a>) -> Result<Self, CommandError> {
        let name = words.at(0).to_ascii_uppercase();
        let operation = match name.as_slice() {
            b"MATCH" => Self::Match(words.get(1).ok_or(CommandError::Syntax)?),
            b"SUM" => Self::Number(|a, b| a + b),
            b"MIN" => Self::Number(f64::min),
            b"MAX" => Self::Number(f64::max),
            b"AND" => Self::Bits(|a, b| a & b),
            b"OR" => Self::Bits(|a, b| a | b),
            b"XOR" => Self::Bits(|a, b| a ^ b),
            b"USED" => Self::Used,
            _ => return Err(CommandError::Syntax),
        };
        let wanted = if matches!(operation, Self::Match(_)) { 2 } else { 1 };
        if words.len() == wanted { Ok(operation) } else { Err(CommandError::Syntax) }
    }
}

pub(super) fn arop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (first, last, _) = bounds(index(argv.at(2))?, index(argv.at(3))?);
    let operation = Operation::parse(argv.from(4))?;
    let key = ctx.first_key(argv);
    let array = ctx.ks.value::<Array>(key)?;
    let elements = array.iter().flat_map(|array| array.range(first, last)).map(|(_, element)| element);
    match operation {
        Operation::Used => ctx.reply.integer(elements.count() as i64),
        Operation::Match(text) => {
            let equal = elements.filter(|element| element.with_bytes(|bytes| bytes == text));
            ctx.reply.integer(equal.count() as i64);
        }
        Operation::Number(join) => match elements.filter_map(number_of).reduce(join) {
            Some(result) => ctx.reply.bulk(quiver_resp::DoubleText::new(result).as_bytes()),
            None => ctx.reply.null(),
        },
        Operation::Bits(join) => match elements.filter_map(whole_number_of).reduce(join) {
            Some(result) => ctx.reply.integer(result),
            None => ctx.reply.null(),
        },
    }
    Ok(())
}

fn number_of(element: &Element) -> Option<f64> {
    match element {
        Element::Int(number) => Some(*number as f64),
        Element::Text(bytes) => parse_f64(bytes),
    }
}

/// The number without its fraction, within 64 bits.
fn whole_number_of(element: &Element) -> Option<i64> {
    match element {
        Element::Int(number) => Some(*number),
        Element::Text(bytes) => parse_f64(bytes).map(|number| number as i64),
    }
}
