//! XCFGSET and XIDMPRECORD: what a stream remembers of its producers' messages.

use quiver_resp::Argv;

use super::super::args::{Options, integer, is};
use super::exact_id;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::types::stream::Stream;
use crate::types::stream::idmp::{DURATION_S, Idmp, MAXSIZE};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xcfgset",
        summary: "Sets how long and how many messages of producers a stream remembers.",
        since: "8.6.0",
        group: Group::Stream,
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::integer("idmp-duration").after("IDMP-DURATION").optional(),
            Arg::integer("idmp-maxsize").after("IDMP-MAXSIZE").optional(),
        ],
        run: xcfgset,
        ..Command::NEW
    },
    Command {
        name: "xidmprecord",
        summary: "Remembers which message of a producer an entry of a stream was.",
        since: "8.6.2",
        group: Group::Stream,
        arity: 5,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STREAM,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("pid"), Arg::string("iid"), Arg::string("stream-id")],
        run: xidmprecord,
        ..Command::NEW
    },
];

fn xcfgset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mut duration, mut maxsize) = (None, None);
    let mut options = Options::new(argv, 2);
    while let Some(word) = options.next() {
        if is(word, "idmp-duration") {
            let value = integer(options.value()?)?;
            if !DURATION_S.contains(&value) {
                return Err(CommandError::text("ERR IDMP-DURATION must be between 1 and 86400 seconds"));
            }
            duration = Some(value as u64);
        } else if is(word, "idmp-maxsize") {
            let value = integer(options.value()?)?;
            if !MAXSIZE.contains(&value) {
                return Err(CommandError::text("ERR IDMP-MAXSIZE must be between 1 and 10000 entries"));
            }
            maxsize = Some(value as usize);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if duration.is_none() && maxsize.is_none() {
        return Err(CommandError::Syntax);
    }
    let key = ctx.first_key(argv);
    let defaults = super::default_settings(ctx);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    let idmp = stream.idmp.get_or_insert_with(|| Box::new(Idmp::new(defaults)));
    let mut settings = idmp.settings;
    settings.duration_s = duration.unwrap_or(settings.duration_s);
    settings.maxsize = maxsize.unwrap_or(settings.maxsize);
    idmp.configure(settings);
    ctx.ks.changed(&key);
    ctx.reply.ok();
    Ok(())
}

fn xidmprecord(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const ABSENT: CommandError = CommandError::text("ERR The specified stream ID was deleted or doesn't exist");
    const OTHER: CommandError =
        CommandError::text("ERR The specified IDMP producer-id/idempotent-id pair maps to a different stream ID");
    let (producer, message, id) = (argv.at(2), argv.at(3), exact_id(argv.at(4))?);
    if producer.is_empty() || message.is_empty() {
        return Err(CommandError::text("ERR IDMP producer-id and idempotent-id must not be empty"));
    }
    let key = ctx.first_key(argv);
    let defaults = super::default_settings(ctx);
    let stream = ctx.ks.value_mut::<Box<Stream>>(key)?.ok_or(CommandError::NoSuchKey)?;
    if !stream.log.contains(id) {
        return Err(ABSENT);
    }
    let idmp = stream.idmp.get_or_insert_with(|| Box::new(Idmp::new(defaults)));
    match idmp.find(producer, message, 0) {
        Some(known) if known != id => return Err(OTHER),
        Some(_) => {}
        None => {
            idmp.record(producer, message, id);
            ctx.ks.changed(&key);
        }
    }
    ctx.reply.ok();
    Ok(())
}
