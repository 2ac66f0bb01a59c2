//! XLEN, XRANGE, XREVRANGE and XSETID.

use quiver_resp::Argv;

use super::super::args::{Options, integer, is};
use super::{exact_id, range_end, range_start, write_entry};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::types::stream::{Id, Stream};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xlen",
        summary: "Answers the number of entries of a stream.",
        since: "5.0.0",
        group: Group::Stream,
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: xlen,
        ..Command::NEW
    },
    Command {
        name: "xrange",
        summary: "Reads the entries of a stream between two ids.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries read",
        group: Group::Stream,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("start"),
            Arg::string("end"),
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: xrange,
        ..Command::NEW
    },
    Command {
        name: "xrevrange",
        summary: "Reads the entries of a stream between two ids, the newest first.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries read",
        group: Group::Stream,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("end"),
            Arg::string("start"),
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: xrevrange,
        ..Command::NEW
    },
    Command {
        name: "xsetid",
        summary: "Sets the id after which a stream gives the next.",
        since: "5.0.0",
        group: Group::Stream,
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::string("last-id"),
            Arg::integer("entries-added").after("ENTRIESADDED").optional().since("7.0.0"),
            Arg::string("max-deleted-id").after("MAXDELETEDID").optional().since("7.0.0"),
        ],
        run: xsetid,
        ..Command::NEW
    },
];

fn xlen(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let len = ctx.ks.value::<Box<Stream>>(key)?.map_or(0, |stream| stream.log.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn xrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    read_range(ctx, argv, argv.at(2), argv.at(3), false)
}

fn xrevrange(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    read_range(ctx, argv, argv.at(3), argv.at(2), true)
}

fn read_range(ctx: &mut Ctx<'_>, argv: Argv<'_>, start: &[u8], end: &[u8], backwards: bool) -> CommandResult {
    let (start, end) = (range_start(start)?, range_end(end)?);
    let mut count = None;
    let mut options = Options::new(argv, 4);
    while let Some(word) = options.next() {
        if !is(word, "count") {
            return Err(CommandError::Syntax);
        }
        count = Some(usize::try_from(integer(options.value()?)?).unwrap_or(0));
    }
    let key = ctx.first_key(argv);
    let Some(stream) = ctx.ks.value::<Box<Stream>>(key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    if count == Some(0) {
        ctx.reply.null_array();
        return Ok(());
    }
    let (reply, log, most) = (&mut ctx.reply, &stream.log, count.unwrap_or(usize::MAX));
    let at = reply.position();
    let mut written = 0;
    let mut write = |entry| {
        write_entry(reply, &entry);
        written += 1;
    };
    if backwards {
        log.range_back(start, end).take(most).for_each(&mut write);
    } else {
        log.range(start, end).take(most).for_each(&mut write);
    }
    ctx.reply.array_before(at, written);
    Ok(())
}

fn xsetid(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let last_id = exact_id(argv.at(2))?;
    let (mut added, mut deleted) = (None, None);
    let mut options = Options::new(argv, 3);
    while let Some(word) = options.next() {
        if is(word, "entriesadded") {
            let count = integer(options.value()?)?;
            let count = u64::try_from(count).map_err(|_| CommandError::text("ERR entries_added must be positive"))?;
            added = Some(count);
        } else if is(word, "maxdeletedid") {
            let id = exact_id(options.value()?)?;
            if last_id < id {
                return Err(CommandError::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(id).filter(|id| *id != Id::MIN);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let key = ctx.first_key(argv);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    let log = &mut stream.log;
    if last_id < log.max_deleted_id() {
        return Err(CommandError::text("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if !log.is_empty() {
        if last_id < log.last_entry_id() {
            return Err(CommandError::text(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < log.len()) {
            return Err(CommandError::text(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    log.set_counters(last_id, added, deleted);
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::STREAM, "xsetid", key.name);
    ctx.reply.ok();
    Ok(())
}
