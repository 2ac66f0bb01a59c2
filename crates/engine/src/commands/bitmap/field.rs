//! BITFIELD and BITFIELD_RO: integers of any width at any bit of a string.

use quiver_resp::{Argv, Encoder};

use super::super::args::{Options, integer, is};
use super::{bit_offset, bits, grow};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Text;
use crate::notify::Class;
use crate::number::parse_i64;

/// What a change does with a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// An integer type: its name is `i` or `u` and a width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Integer {
    signed: bool,
    /// 64 at most, 63 when unsigned.
    width: u32,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    integer: Integer,
    offset: u64,
    action: Action,
    overflow: Overflow,
}

pub(super) fn bitfield(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let operations = parse(ctx, argv)?;
    if operations.iter().all(|operation| operation.action == Action::Get) {
        return read_only(ctx, argv, &operations);
    }
    let ends = operations.iter().filter(|operation| operation.action != Action::Get);
    let last_bit = ends.map(|operation| operation.offset + u64::from(operation.integer.width) - 1).max().unwrap_or(0);
    let (key, dirty) = (ctx.first_key(argv), ctx.ks.dirty);
    let grew = grow(ctx, key, (last_bit / 8) as usize + 1)?;
    ctx.reply.array(operations.len());
    let Ctx { ks, reply, .. } = ctx;
    let mut entry = ks.get_mut(key).expect("the string was just made long enough");
    let changes = entry.edit_bytes(|bytes| operations.iter().filter(|o| o.run(bytes, reply) || grew).count());
    // A string made longer has changed even where every operation failed.
    if grew || changes.is_some_and(|changes| changes > 0) {
        if ks.dirty == dirty {
            ks.changed(&key);
        }
        ks.dirty = dirty + changes.unwrap_or(0).max(1) as u64;
        ks.notify(Class::STRING, "setbit", key.name);
    }
    Ok(())
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let operations = parse(ctx, argv)?;
    if operations.iter().any(|operation| operation.action != Action::Get) {
        return Err(CommandError::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read_only(ctx, argv, &operations)
}

fn read_only(ctx: &mut Ctx<'_>, argv: Argv<'_>, operations: &[Operation]) -> CommandResult {
    let key = ctx.first_key(argv);
    let text = ctx.ks.string(key)?;
    let bytes = text.as_ref().map_or(&b""[..], Text::as_bytes);
    ctx.reply.array(operations.len());
    for operation in operations {
        ctx.reply.integer(operation.integer.read(bytes, operation.offset));
    }
    Ok(())
}

fn parse(ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<Vec<Operation>, CommandError> {
    let (mut operations, mut overflow) = (Vec::new(), Overflow::Wrap);
    let mut words = Options::new(argv, 2);
    let mut left = argv.len() - 2;
    while let Some(word) = words.next() {
        let taken = match () {
            () if is(word, "get") => 3,
            () if is(word, "set") || is(word, "incrby") => 4,
            () if is(word, "overflow") => 2,
            () => return Err(CommandError::Syntax),
        };
        left = left.checked_sub(taken).ok_or(CommandError::Syntax)?;
        if taken == 2 {
            overflow = Overflow::parse(words.value()?)?;
            continue;
        }
        let integer_type = Integer::parse(words.value()?)?;
        let offset = bit_offset(ctx, words.value()?, Some(integer_type.width))?;
        let action = match () {
            () if taken == 3 => Action::Get,
            () if is(word, "set") => Action::Set(integer(words.value()?)?),
            () => Action::Add(integer(words.value()?)?),
        };
        operations.push(Operation { integer: integer_type, offset, action, overflow });
    }
    Ok(operations)
}

impl Overflow {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        match () {
            () if is(word, "wrap") => Ok(Self::Wrap),
            () if is(word, "sat") => Ok(Self::Saturate),
            () if is(word, "fail") => Ok(Self::Fail),
            () => Err(CommandError::text("ERR Invalid OVERFLOW type specified")),
        }
    }
}

impl Integer {
    fn parse(name: &[u8]) -> Result<Self, CommandError> {
        const INVALID: CommandError = CommandError::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (signed, width) = match name {
            [b'i', width @ ..] => (true, width),
            [b'u', width @ ..] => (false, width),
            _ => return Err(INVALID),
        };
        let width = parse_i64(width).and_then(|width| u32::try_from(width).ok()).ok_or(INVALID)?;
        if (1..=if signed { 64 } else { 63 }).contains(&width) { Ok(Self { signed, width }) } else { Err(INVALID) }
    }

    /// The number at a bit, whose lowest `width` bits those of `bytes` are.
    fn read(self, bytes: &[u8], offset: u64) -> i64 {
        self.wrapped(bits::read(bytes, offset, self.width))
    }

    /// The number of this type that ends in the same bits.
    fn wrapped(self, bits: u64) -> i64 {
        let above = 64 - self.width;
        if self.signed { (bits << above) as i64 >> above } else { (bits << above >> above) as i64 }
    }

    fn range(self) -> (i128, i128) {
        if self.signed { (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) } else { (0, (1 << self.width) - 1) }
    }

    /// A number of any size as one of this type, and whether it fitted; `None` when it did not and must.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.range();
        if (least..=greatest).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.wrapped(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, greatest) as i64),
            Overflow::Fail => None,
        }
    }
}

impl Operation {
    /// Does it and answers; whether the field changed.
    fn run(&self, bytes: &mut [u8], reply: &mut Encoder<'_>) -> bool {
        let old = self.integer.read(bytes, self.offset);
        let wanted = match self.action {
            Action::Get => {
                reply.integer(old);
                return false;
            }
            // An unsigned field takes a negative number for the large one of the same bits.
            Action::Set(value) if self.integer.signed => value.into(),
            Action::Set(value) => i128::from(value as u64),
            Action::Add(by) => i128::from(old) + i128::from(by),
        };
        let Some(new) = self.integer.fit(wanted, self.overflow) else {
            reply.null();
            return false;
        };
        reply.integer(if matches!(self.action, Action::Set(_)) { old } else { new });
        bits::write(bytes, self.offset, self.integer.width, new as u64);
        old != new
    }
}
