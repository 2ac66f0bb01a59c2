//! Strings: <https://redis.io/docs/latest/develop/data-types/strings/>.
//!
//! The table entries, and the commands that read or edit bytes; conditions and expiry are in `set.rs`, numbers in
//! `counter.rs`, the longest common subsequence in `lcs.rs`.

mod counter;
mod increx;
mod lcs;
mod set;

use quiver_resp::Argv;
use quiver_structures::Value;

use super::args::{clip_range, integer};
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{Text, expect_string, string_value};
use crate::notify::Class;
use counter::{decr, decrby, incr, incrby, incrbyfloat};
use increx::increx;
use lcs::lcs;
use set::{delex, digest, getdel, getex, getset, mset, msetex, msetnx, psetex, set, setex, setnx};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "append",
        summary: "Adds bytes to the end of a string, creating it when missing.",
        since: "2.0.0",
        complexity: "O(1) amortised over growth",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("value")],
        run: append,
        ..Command::NEW
    },
    Command {
        name: "decr",
        summary: "Subtracts one from the integer a key holds.",
        group: Group::String,
        arity: 2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: decr,
        ..Command::NEW
    },
    Command {
        name: "decrby",
        summary: "Subtracts a given amount from the integer a key holds.",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("decrement")],
        run: decrby,
        ..Command::NEW
    },
    Command {
        name: "delex",
        summary: "Deletes a key only when its string value or its digest meets a condition.",
        since: "8.4.0",
        complexity: "O(1), O(N) in the length of the value for digest conditions",
        group: Group::String,
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RM.with(KeyFlags::DELETE))],
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "condition",
                &[
                    Arg::string("ifeq-value").after("IFEQ"),
                    Arg::string("ifne-value").after("IFNE"),
                    Arg::string("ifdeq-digest").after("IFDEQ"),
                    Arg::string("ifdne-digest").after("IFDNE"),
                ],
            )
            .optional(),
        ],
        run: delex,
        ..Command::NEW
    },
    Command {
        name: "digest",
        summary: "Answers the XXH3 hash of a string value in hexadecimal.",
        since: "8.4.0",
        complexity: "O(N) where N is the length of the value",
        group: Group::String,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: digest,
        ..Command::NEW
    },
    Command {
        name: "get",
        summary: "Reads the string stored at a key.",
        group: Group::String,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: get,
        ..Command::NEW
    },
    Command {
        name: "getdel",
        summary: "Reads a string and removes its key in one step.",
        since: "6.2.0",
        group: Group::String,
        arity: 2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key")],
        run: getdel,
        ..Command::NEW
    },
    Command {
        name: "getex",
        summary: "Reads a string and changes or clears its time to live.",
        since: "6.2.0",
        group: Group::String,
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX"),
                    Arg::integer("milliseconds").after("PX"),
                    Arg::unix_time("unix-time-seconds").after("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
        ],
        run: getex,
        ..Command::NEW
    },
    Command {
        name: "getrange",
        summary: "Reads part of a string by first and last byte offset.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of bytes returned",
        group: Group::String,
        arity: 4,
        flags: Flags::READONLY,
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
        run: getrange,
        ..Command::NEW
    },
    Command {
        name: "getset",
        summary: "Stores a string and answers the one it replaced.",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("value")],
        deprecated: Some(("6.2.0", "`SET` with the `GET` argument")),
        run: getset,
        ..Command::NEW
    },
    Command {
        name: "incr",
        summary: "Adds one to the integer a key holds, counting from zero when missing.",
        group: Group::String,
        arity: 2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: incr,
        ..Command::NEW
    },
    Command {
        name: "incrby",
        summary: "Adds a given amount to the integer a key holds.",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("increment")],
        run: incrby,
        ..Command::NEW
    },
    Command {
        name: "incrbyfloat",
        summary: "Adds a decimal number to the number a key holds.",
        since: "2.6.0",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::double("increment")],
        run: incrbyfloat,
        ..Command::NEW
    },
    Command {
        name: "increx",
        summary: "Adds to the number a key holds within bounds and changes when the key expires.",
        since: "8.8.0",
        group: Group::String,
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::one_of("increment", &[Arg::double("float").after("BYFLOAT"), Arg::integer("integer").after("BYINT")])
                .optional(),
            Arg::word("saturate", "SATURATE").optional(),
            Arg::string("lowerbound").after("LBOUND").optional(),
            Arg::string("upperbound").after("UBOUND").optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX"),
                    Arg::integer("milliseconds").after("PX"),
                    Arg::unix_time("unix-time-seconds").after("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
            Arg::word("enx", "ENX").optional(),
        ],
        run: increx,
        ..Command::NEW
    },
    Command {
        name: "lcs",
        summary: "Finds the longest common subsequence of two strings.",
        since: "7.0.0",
        complexity: "O(N*M) where N and M are the lengths of the two strings",
        group: Group::String,
        arity: -3,
        flags: Flags::READONLY,
        acl: Acl::STRING,
        keys: &[KeySpec {
            flags: KeyFlags::RO.with(KeyFlags::ACCESS),
            begin: Begin::Index(1),
            find: Find::Range { last: 1, step: 1, limit: 0 },
        }],
        args: &[
            Arg::key("key1"),
            Arg::key("key2"),
            Arg::word("len", "LEN").optional(),
            Arg::word("idx", "IDX").optional(),
            Arg::integer("min-match-len").after("MINMATCHLEN").optional(),
            Arg::word("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        run: lcs,
        ..Command::NEW
    },
    Command {
        name: "mget",
        summary: "Reads the strings of several keys in one go.",
        complexity: "O(N) where N is the number of keys",
        group: Group::String,
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::STRING,
        tips: &["request_policy:multi_shard"],
        keys: &[KeySpec::all(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key").multiple()],
        run: mget,
        ..Command::NEW
    },
    Command {
        name: "mset",
        summary: "Stores several strings in one atomic step.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        group: Group::String,
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        keys: &[KeySpec {
            flags: KeyFlags::OW.with(KeyFlags::UPDATE),
            begin: Begin::Index(1),
            find: Find::Range { last: -1, step: 2, limit: 0 },
        }],
        args: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
        run: mset,
        ..Command::NEW
    },
    Command {
        name: "msetex",
        summary: "Stores several strings in one atomic step with a shared condition and time to live.",
        since: "8.4.0",
        complexity: "O(N) where N is the number of keys",
        group: Group::String,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::STRING,
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        keys: &[KeySpec {
            flags: KeyFlags::OW.with(KeyFlags::UPDATE),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 2 },
        }],
        args: &[
            Arg::integer("numkeys"),
            Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple(),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX"),
                    Arg::integer("milliseconds").after("PX"),
                    Arg::unix_time("unix-time-seconds").after("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT"),
                    Arg::word("keepttl", "KEEPTTL"),
                ],
            )
            .optional(),
        ],
        run: msetex,
        ..Command::NEW
    },
    Command {
        name: "msetnx",
        summary: "Stores several strings only when none of the keys exists.",
        since: "1.0.1",
        complexity: "O(N) where N is the number of keys",
        group: Group::String,
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec {
            flags: KeyFlags::OW.with(KeyFlags::INSERT),
            begin: Begin::Index(1),
            find: Find::Range { last: -1, step: 2, limit: 0 },
        }],
        args: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
        run: msetnx,
        ..Command::NEW
    },
    Command {
        name: "psetex",
        summary: "Stores a string together with a time to live in milliseconds.",
        since: "2.6.0",
        group: Group::String,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("milliseconds"), Arg::string("value")],
        deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
        run: psetex,
        ..Command::NEW
    },
    Command {
        name: "set",
        summary: "Stores a string whatever the key held before, with optional condition and time to live.",
        group: Group::String,
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec::one(
            KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE).with(KeyFlags::VARIABLE_FLAGS),
        )],
        args: &[
            Arg::key("key"),
            Arg::string("value"),
            Arg::one_of(
                "condition",
                &[
                    Arg::word("nx", "NX"),
                    Arg::word("xx", "XX"),
                    Arg::string("ifeq-value").after("IFEQ").since("8.4.0"),
                    Arg::string("ifne-value").after("IFNE").since("8.4.0"),
                    Arg::string("ifdeq-digest").after("IFDEQ").since("8.4.0"),
                    Arg::string("ifdne-digest").after("IFDNE").since("8.4.0"),
                ],
            )
            .optional()
            .since("2.6.12"),
            Arg::word("get", "GET").optional().since("6.2.0"),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX").since("2.6.12"),
                    Arg::integer("milliseconds").after("PX").since("2.6.12"),
                    Arg::unix_time("unix-time-seconds").after("EXAT").since("6.2.0"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT").since("6.2.0"),
                    Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ],
        run: set,
        ..Command::NEW
    },
    Command {
        name: "setex",
        summary: "Stores a string together with a time to live in seconds.",
        since: "2.0.0",
        group: Group::String,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("seconds"), Arg::string("value")],
        deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
        run: setex,
        ..Command::NEW
    },
    Command {
        name: "setnx",
        summary: "Stores a string only when the key is free.",
        group: Group::String,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::OW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("value")],
        deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
        run: setnx,
        ..Command::NEW
    },
    Command {
        name: "setrange",
        summary: "Overwrites part of a string from a byte offset, padding with zero bytes.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of bytes written or padded",
        group: Group::String,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::string("value")],
        run: setrange,
        ..Command::NEW
    },
    Command {
        name: "strlen",
        summary: "Answers the length of a string in bytes.",
        since: "2.2.0",
        group: Group::String,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: strlen,
        ..Command::NEW
    },
    Command {
        name: "substr",
        summary: "Reads part of a string; the older name of GETRANGE.",
        complexity: "O(N) where N is the number of bytes returned",
        group: Group::String,
        arity: 4,
        flags: Flags::READONLY,
        acl: Acl::STRING,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
        deprecated: Some(("2.0.0", "`GETRANGE`")),
        run: substr,
        ..Command::NEW
    },
];

fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    match ctx.ks.string(key)? {
        Some(Text::Bytes(bytes)) => ctx.reply.bulk(bytes),
        Some(Text::Int(number, _)) => ctx.reply.bulk_of_int(number),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn mget(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    ctx.reply.array(argv.len() - 1);
    for name in argv.from(1) {
        let key = ctx.key(name);
        match ctx.ks.string(key) {
            Ok(Some(text)) => ctx.reply.bulk(text.as_bytes()),
            // A value of another type counts as missing.
            Ok(None) | Err(_) => ctx.reply.null(),
        }
    }
    Ok(())
}

fn strlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.string(key)?.map_or(0, |text| text.as_bytes().len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn getrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (start, end) = (integer(argv.at(2))?, integer(argv.at(3))?);
    let key = ctx.first_key(argv);
    match ctx.ks.string(key)? {
        Some(text) => {
            let bytes = text.as_bytes();
            ctx.reply.bulk(clip_range(start, end, bytes.len()).map_or(b"", |range| &bytes[range]));
        }
        None => ctx.reply.bulk(b""),
    }
    Ok(())
}

fn substr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    getrange(ctx, argv)
}

fn append(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, tail) = (ctx.first_key(argv), argv.at(2));
    let limit = ctx.engine.config.proto_max_bulk_len();
    let len = match ctx.ks.peek_string(key)? {
        None => {
            ctx.ks.set(key, string_value(tail), None);
            tail.len()
        }
        Some(text) => {
            let len = text.as_bytes().len() + tail.len();
            if len > limit {
                return Err(CommandError::StringTooLong);
            }
            // An append of nothing counts as well: the value is a raw string from then on, and watchers are told.
            let mut entry = ctx.ks.get_mut(key).expect("the key was just read");
            entry.append(tail).expect("the value is a string");
            ctx.ks.changed(&key);
            len
        }
    };
    ctx.ks.notify(Class::STRING, "append", key.name);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, patch) = (ctx.first_key(argv), argv.at(3));
    let offset = integer(argv.at(2))?;
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetRange)?;
    let limit = ctx.engine.config.proto_max_bulk_len();
    let old_len = match ctx.ks.peek(key) {
        Some(entry) => {
            expect_string(&entry.value())?;
            Some(Text::of(entry.value())?.as_bytes().len())
        }
        None => None,
    };
    if patch.is_empty() {
        ctx.reply.integer(old_len.unwrap_or(0) as i64);
        return Ok(());
    }
    if offset.checked_add(patch.len()).is_none_or(|end| end > limit) {
        return Err(CommandError::StringTooLong);
    }
    if old_len.is_none() {
        ctx.ks.set(key, Value::Bytes(b""), None);
    }
    let mut entry = ctx.ks.get_mut(key).expect("the key exists or was just made");
    let len = entry.write_at(offset, patch).expect("the value is a string");
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::STRING, "setrange", key.name);
    ctx.reply.integer(len as i64);
    Ok(())
}
