//! Arrays: <https://redis.io/docs/latest/commands/?group=array>.
//!
//! The table entries, and the commands about single indexes and the array as a whole; those that change it are in
//! `write.rs`, those that read ranges in `range.rs`, ARGREP in `grep.rs`. The value itself is `types/array`.
//!
//! Indexes are unsigned 64-bit numbers; in replies those that do not fit a signed one are big numbers.

mod grep;
mod range;
mod write;

use quiver_resp::{Argv, Encoder};

use super::args::is;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_u64;
use crate::types::array::{Array, Element, INDEX_MAX, SLICE_LEN};
use grep::argrep;
use range::{argetrange, arlastitems, arop, arscan};
use write::{ardel, ardelrange, arinsert, armset, arring, arseek, arset};

/// What the commands that read have in common.
const READS: Command = Command {
    since: "8.8.0",
    group: Group::Array,
    flags: Flags::READONLY,
    acl: Acl::ARRAY,
    keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
    ..Command::NEW
};

/// And those that write.
const WRITES: Command = Command {
    flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
    ..READS
};

const DELETES: &[KeySpec] = &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))];

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "arcount",
        summary: "Counts the elements of an array.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::key("key")],
        run: arcount,
        ..READS
    },
    Command {
        name: "ardel",
        summary: "Deletes elements of an array, and the array with its last element.",
        complexity: "O(N) where N is the number of indexes given",
        arity: -3,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: DELETES,
        args: &[Arg::key("key"), Arg::integer("index").multiple()],
        run: ardel,
        ..WRITES
    },
    Command {
        name: "ardelrange",
        summary: "Deletes the elements of an array between pairs of indexes.",
        complexity: "O(N) where N is the number of elements deleted and of slices touched",
        arity: -4,
        flags: Flags::WRITE,
        keys: DELETES,
        args: &[Arg::key("key"), Arg::block("range", &[Arg::integer("start"), Arg::integer("end")]).multiple()],
        run: ardelrange,
        ..WRITES
    },
    Command {
        name: "arget",
        summary: "Reads one element of an array.",
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::key("key"), Arg::integer("index")],
        run: arget,
        ..READS
    },
    Command {
        name: "argetrange",
        summary: "Reads every place of an array between two indexes.",
        complexity: "O(N) where N is the length of the range",
        arity: 4,
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
        run: argetrange,
        ..READS
    },
    Command {
        name: "argrep",
        summary: "Finds the elements of an array that a text or pattern describes.",
        complexity: "O(N*C) where N is the number of elements in the range and C the cost of looking at one",
        arity: -6,
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("end"),
            Arg::one_of(
                "predicate",
                &[
                    Arg::block("exact", &[Arg::word("exact", "EXACT"), Arg::string("string")]),
                    Arg::block("match", &[Arg::word("match", "MATCH"), Arg::string("string")]),
                    Arg::block("glob", &[Arg::word("glob", "GLOB"), Arg::string("pattern")]),
                    Arg::block("re", &[Arg::word("re", "RE"), Arg::string("pattern")]),
                ],
            )
            .multiple(),
            Arg::one_of(
                "options",
                &[
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::integer("limit").after("LIMIT"),
                    Arg::word("withvalues", "WITHVALUES"),
                    Arg::word("nocase", "NOCASE"),
                ],
            )
            .optional()
            .multiple(),
        ],
        run: argrep,
        ..READS
    },
    Command {
        name: "arinfo",
        summary: "Describes an array and its layout.",
        complexity: "O(1), or O(N) with FULL where N is the number of slices",
        arity: -2,
        args: &[Arg::key("key"), Arg::word("full", "FULL").optional()],
        run: arinfo,
        ..READS
    },
    Command {
        name: "arinsert",
        summary: "Appends elements at the cursor of an array, creating it when missing.",
        complexity: "O(N) where N is the number of values given",
        arity: -3,
        args: &[Arg::key("key"), Arg::string("value").multiple()],
        run: arinsert,
        ..WRITES
    },
    Command {
        name: "arlastitems",
        summary: "Reads the elements of an array that were appended last.",
        complexity: "O(N) where N is the number of elements answered",
        arity: -3,
        args: &[Arg::key("key"), Arg::integer("count"), Arg::word("rev", "REV").optional()],
        run: arlastitems,
        ..READS
    },
    Command {
        name: "arlen",
        summary: "Answers the highest index of an array plus one.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::key("key")],
        run: arlen,
        ..READS
    },
    Command {
        name: "armget",
        summary: "Reads several elements of an array.",
        complexity: "O(N) where N is the number of indexes given",
        arity: -3,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::key("key"), Arg::integer("index").multiple()],
        run: armget,
        ..READS
    },
    Command {
        name: "armset",
        summary: "Writes elements of an array at any indexes, creating it when missing.",
        complexity: "O(N) where N is the number of elements given",
        arity: -4,
        args: &[Arg::key("key"), Arg::block("data", &[Arg::integer("index"), Arg::string("value")]).multiple()],
        run: armset,
        ..WRITES
    },
    Command {
        name: "arnext",
        summary: "Answers the index at which the next element of an array is appended.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        args: &[Arg::key("key")],
        run: arnext,
        ..READS
    },
    Command {
        name: "arop",
        summary: "Sums up the elements of an array between two indexes.",
        complexity: "O(N) where N is the number of elements in the range",
        arity: -5,
        args: &[
            Arg::key("key"),
            Arg::integer("start"),
            Arg::integer("end"),
            Arg::one_of(
                "operation",
                &[
                    Arg::word("sum", "SUM"),
                    Arg::word("min", "MIN"),
                    Arg::word("max", "MAX"),
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::word("xor", "XOR"),
                    Arg::block("match", &[Arg::word("match", "MATCH"), Arg::string("value")]),
                    Arg::word("used", "USED"),
                ],
            ),
        ],
        run: arop,
        ..READS
    },
    Command {
        name: "arring",
        summary: "Appends elements to the ring of an array's first indexes, creating it when missing.",
        complexity: "O(N) where N is the number of values given, and of elements kept when the ring changes its size",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[Arg::key("key"), Arg::integer("size"), Arg::string("value").multiple()],
        run: arring,
        ..WRITES
    },
    Command {
        name: "arscan",
        summary: "Reads the elements of an array between two indexes with their indexes.",
        complexity: "O(N) where N is the number of elements in the range",
        arity: -4,
        args: &[
            Arg::key("key"),
            Arg::integer("start"),
            Arg::integer("end"),
            Arg::integer("limit").after("LIMIT").optional(),
        ],
        run: arscan,
        ..READS
    },
    Command {
        name: "arseek",
        summary: "Moves the cursor at which elements of an array are appended.",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        args: &[Arg::key("key"), Arg::integer("index")],
        run: arseek,
        ..WRITES
    },
    Command {
        name: "arset",
        summary: "Writes elements of an array from an index on, creating it when missing.",
        complexity: "O(N) where N is the number of values given",
        arity: -4,
        args: &[Arg::key("key"), Arg::integer("index"), Arg::string("value").multiple()],
        run: arset,
        ..WRITES
    },
];

const INVALID_INDEX: CommandError = CommandError::text("ERR invalid array index");

/// An index an element may have.
fn index(text: &[u8]) -> Result<u64, CommandError> {
    parse_u64(text).filter(|index| *index <= INDEX_MAX).ok_or(INVALID_INDEX)
}

/// A number that may need all 64 bits.
fn unsigned(reply: &mut Encoder<'_>, number: u64) {
    match i64::try_from(number) {
        Ok(number) => reply.integer(number),
        Err(_) => reply.big_number(quiver_resp::IntText::unsigned(number).as_bytes()),
    }
}

/// An element or its absence.
fn element(reply: &mut Encoder<'_>, element: Option<&Element>) {
    match element {
        Some(Element::Int(number)) => reply.bulk_of_int(*number),
        Some(Element::Text(bytes)) => reply.bulk(bytes),
        None => reply.null(),
    }
}

fn arcount(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let count = ctx.ks.value::<Array>(key)?.map_or(0, Array::count);
    ctx.reply.integer(count as i64);
    Ok(())
}

fn arlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let span = ctx.ks.value::<Array>(key)?.map_or(0, Array::span);
    unsigned(&mut ctx.reply, span);
    Ok(())
}

fn arget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, index) = (ctx.first_key(argv), index(argv.at(2))?);
    let array = ctx.ks.value::<Array>(key)?;
    element(&mut ctx.reply, array.and_then(|array| array.get(index)));
    Ok(())
}

fn armget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let indexes: Vec<u64> = argv.from(2).iter().map(index).collect::<Result<_, _>>()?;
    let array = ctx.ks.value::<Array>(key)?;
    ctx.reply.array(indexes.len());
    for index in indexes {
        element(&mut ctx.reply, array.and_then(|array| array.get(index)));
    }
    Ok(())
}

fn arnext(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match ctx.ks.value::<Array>(key)?.map_or(Some(0), Array::next_append) {
        Some(index) => unsigned(&mut ctx.reply, index),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn arinfo(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let full = argv.len() > 2;
    if argv.len() > 3 || full && !is(argv.at(2), "FULL") {
        return Err(CommandError::Syntax);
    }
    let key = ctx.first_key(argv);
    let array = ctx.ks.value::<Array>(key)?.ok_or(CommandError::NoSuchKey)?;
    let layout = array.layout();
    let figures = [
        ("count", array.count() as u64),
        ("len", array.span()),
        ("next-insert-index", array.next_append().unwrap_or(0)),
        ("slices", layout.slices as u64),
        ("directory-size", layout.slices as u64),
        ("super-dir-entries", 0),
        ("slice-size", SLICE_LEN),
    ];
    let reply = &mut ctx.reply;
    reply.map(figures.len() + if full { 5 } else { 0 });
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        unsigned(reply, figure);
    }
    if full {
        let sparse = layout.slices - layout.dense;
        for (name, figure) in [("dense-slices", layout.dense), ("sparse-slices", sparse)] {
            reply.bulk(name.as_bytes());
            reply.integer(figure as i64);
        }
        let mean = |sum: usize, of: usize| if of == 0 { 0.0 } else { sum as f64 / of as f64 };
        let means = [
            ("avg-dense-size", mean(layout.dense_span, layout.dense)),
            ("avg-dense-fill", mean(layout.dense_elements, layout.dense_span)),
            ("avg-sparse-size", mean(layout.sparse_room, sparse)),
        ];
        for (name, figure) in means {
            reply.bulk(name.as_bytes());
            reply.double(figure);
        }
    }
    Ok(())
}
