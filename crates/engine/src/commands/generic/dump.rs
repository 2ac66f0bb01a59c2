//! Values as sealed bytes: DUMP and RESTORE.
//!
//! The bytes are those of a snapshot file for one value, with the version of the format and a checksum behind them
//! ([`quiver_rdb::frame`]), and go both ways between Quiver and Redis. A payload comes from a client: whatever is in it
//! ends in an error or in a value that could have been built by commands.

use std::sync::atomic::Ordering::Relaxed;

use quiver_rdb::{Reader, Writer, crc64, frame};
use quiver_resp::{Argv, IntText};
use quiver_structures::{Value, ValueRef};

use crate::codec;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::commands::args::{Options, integer, is};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{ExpiryRule, Key};
use crate::notify::Class;
use crate::object::Object;

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        summary: "Serialises a value so that RESTORE can recreate it.",
        since: "2.6.0",
        complexity: "O(N*M) where N is the number of elements and M their average size",
        arity: 2,
        flags: Flags::READONLY,
        acl: Acl::KEYSPACE,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key")],
        run: dump,
        ..Command::NEW
    },
    Command {
        name: "restore",
        summary: "Recreates a value from what DUMP produced.",
        since: "2.6.0",
        complexity: "O(N*M) where N is the number of elements and M their average size; sorted sets add a logarithmic factor",
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        keys: &[KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE))],
        args: RESTORE_ARGS,
        run: restore,
        ..Command::NEW
    },
    Command {
        name: "restore-asking",
        summary: "Recreates a value on its way from one cluster node to another.",
        since: "3.0.0",
        complexity: "O(N*M) where N is the number of elements and M their average size; sorted sets add a logarithmic factor",
        group: Group::Server,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::ASKING),
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        keys: &[KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE))],
        args: RESTORE_ARGS,
        run: restore,
        ..Command::NEW
    },
];

const RESTORE_ARGS: &[Arg] = &[
    Arg::key("key"),
    Arg::integer("ttl"),
    Arg::string("serialized-value"),
    Arg::word("replace", "REPLACE").optional().since("3.0.0"),
    Arg::word("absttl", "ABSTTL").optional().since("5.0.0"),
    Arg::integer("seconds").after("IDLETIME").optional().since("5.0.0"),
    Arg::integer("frequency").after("FREQ").optional().since("5.0.0"),
];

fn dump(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let compress = ctx.engine.config.rdbcompression();
    let Some(value) = ctx.ks.get(key).map(|entry| entry.value()) else {
        ctx.reply.null();
        return Ok(());
    };
    let payload = sealed(&value, compress);
    ctx.reply.bulk(&payload);
    Ok(())
}

/// A value as DUMP answers it.
pub(super) fn sealed(value: &ValueRef<'_, Object>, compress: bool) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut writer = Writer::new(&mut payload);
    writer.set_compress(compress);
    writer.byte(codec::type_byte(value));
    codec::write_value(&mut writer, value);
    frame::seal(&mut payload);
    payload
}

fn restore(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::parse(argv)?;
    let key = ctx.first_key(argv);
    if !wish.replace && ctx.ks.contains(key) {
        return Err(CommandError::BusyKey);
    }
    let ttl = integer(argv.at(2))?;
    if ttl < 0 {
        return Err(CommandError::InvalidTtl);
    }
    let value = unseal(argv.at(3), ctx.engine.state.skip_checksums.load(Relaxed))?;
    let start_ms = if wish.absolute { 0 } else { ctx.ks.now_ms };
    let expire_at_ms = (ttl > 0).then(|| ttl.saturating_add(start_ms));
    if expire_at_ms.is_some_and(|at| at <= ctx.ks.now_ms) && ctx.ks.expiry == ExpiryRule::Delete {
        // Dead on arrival: all that is left of it is that it replaced something.
        if ctx.ks.delete(key) {
            ctx.ks.notify(Class::GENERIC, "del", key.name);
            ctx.replay_as(&[b"DEL", key.name]);
        }
    } else {
        place(ctx, key, value, expire_at_ms, &wish);
        ctx.ks.notify(Class::GENERIC, "restore", key.name);
        replay(ctx, argv, expire_at_ms, &wish);
    }
    ctx.reply.ok();
    Ok(())
}

/// What the words behind the payload ask for.
#[derive(Clone, Copy, Debug, Default)]
struct Wish<'a> {
    replace: bool,
    absolute: bool,
    idle_s: Option<(i64, &'a [u8])>,
    frequency: Option<u8>,
}

impl<'a> Wish<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let mut wish = Self::default();
        let mut options = Options::new(argv, 4);
        while let Some(word) = options.next() {
            if is(word, "REPLACE") {
                wish.replace = true;
            } else if is(word, "ABSTTL") {
                wish.absolute = true;
            } else if is(word, "IDLETIME") && wish.frequency.is_none() {
                let text = options.value()?;
                let idle_s = Some(integer(text)?).filter(|idle_s| *idle_s >= 0);
                wish.idle_s = Some((idle_s.ok_or(NEGATIVE_IDLE)?, text));
            } else if is(word, "FREQ") && wish.idle_s.is_none() {
                wish.frequency = Some(u8::try_from(integer(options.value()?)?).map_err(|_| FREQUENCY_RANGE)?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(wish)
    }
}

const NEGATIVE_IDLE: CommandError = CommandError::text("ERR Invalid IDLETIME value, must be >= 0");
const FREQUENCY_RANGE: CommandError = CommandError::text("ERR Invalid FREQ value, must be >= 0 and <= 255");

/// The value inside a payload, which must be all that is inside.
fn unseal(sealed: &[u8], any_checksum: bool) -> Result<Value<'static, Object>, CommandError> {
    // Files may do without a checksum by writing 0, payloads of strangers may not.
    let sum = sealed.split_last_chunk::<8>().filter(|(body, sum)| u64::from_le_bytes(**sum) == crc64(body));
    let opened = match sum {
        _ if any_checksum => sealed.split_last_chunk::<{ frame::SEAL_LEN }>().map(|(payload, _)| (None, payload)),
        Some(_) => frame::open(sealed).ok().map(|(version, payload)| (Some(version), payload)),
        None => None,
    };
    let (version, payload) = opened.ok_or(CommandError::DumpChecksum)?;
    let mut reader = Reader::from_slice(payload);
    if let Some(version) = version {
        reader.set_version(version);
    }
    let kind = reader.byte().map_err(|_| CommandError::BadData)?;
    let value = codec::read_value(&mut reader, kind).map_err(|_| CommandError::BadData)?;
    let whole = reader.is_at_end().is_ok_and(|at_end| at_end);
    match value {
        Value::Object(object) if object.is_empty() => Err(CommandError::BadData),
        value if whole => Ok(value),
        _ => Err(CommandError::BadData),
    }
}

/// Stores the value, as last used when the client says.
fn place(ctx: &mut Ctx<'_>, key: Key<'_>, value: Value<'static, Object>, expire_at_ms: Option<i64>, wish: &Wish<'_>) {
    ctx.ks.set_anew(key, value, expire_at_ms);
    let idle = wish.idle_s.and_then(|(idle_s, _)| ctx.ks.stamps.idle_since(idle_s));
    let frequency = wish.frequency.and_then(|counter| ctx.ks.stamps.with_frequency(counter));
    if let Some(stamp) = idle.or(frequency)
        && let Some(entry) = ctx.ks.stored(&key)
    {
        entry.set_access(stamp);
    }
}

/// Says it to the stream with the time at which the key expires, wherever the stream is read.
fn replay(ctx: &mut Ctx<'_>, argv: Argv<'_>, expire_at_ms: Option<i64>, wish: &Wish<'_>) {
    let at_ms = IntText::new(expire_at_ms.unwrap_or(0));
    let mut words: Vec<&[u8]> = vec![b"RESTORE", argv.at(1), at_ms.as_bytes(), argv.at(3), b"ABSTTL"];
    if wish.replace {
        words.push(b"REPLACE");
    }
    if let Some((_, text)) = wish.idle_s {
        words.extend([b"IDLETIME".as_slice(), text]);
    }
    let frequency = wish.frequency.map(|counter| IntText::new(counter.into()));
    if let Some(text) = &frequency {
        words.extend([b"FREQ".as_slice(), text.as_bytes()]);
    }
    ctx.replay_as(&words);
}
