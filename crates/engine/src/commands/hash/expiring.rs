//! Values and expiries of fields in one command: HGETDEL, HGETEX, HSETEX.

use quiver_resp::Argv;

use super::super::args::{Options, Unit, expiry_option, integer, is};
use super::bulk;
use super::expire::{expiry_set, is_past, persisted, replay};
use super::fields::{Fields, expiry_ms};
use super::write::{fields_deleted, limits};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::commands::args::Expiry;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::keyspace::Key;
use crate::notify::Class;
use crate::number::IntText;
use crate::types::hash::Hash;

/// What the three have in common.
const BASE: Command = Command {
    since: "8.0.0",
    complexity: "O(N) where N is the number of fields given",
    group: Group::Hash,
    acl: Acl::HASH,
    ..Command::NEW
};

const FIELDS: Arg = Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).after("FIELDS");

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hgetdel",
        summary: "Reads fields of a hash and deletes them.",
        arity: -5,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), FIELDS],
        run: hgetdel,
        ..BASE
    },
    Command {
        name: "hgetex",
        summary: "Reads fields of a hash and changes when they expire.",
        arity: -5,
        flags: Flags::WRITE.with(Flags::FAST),
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
            FIELDS,
        ],
        run: hgetex,
        ..BASE
    },
    Command {
        name: "hsetex",
        summary: "Writes fields of a hash and when they expire.",
        arity: -6,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")]).optional(),
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
            Arg::block(
                "fields",
                &[
                    Arg::integer("numfields"),
                    Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
                ],
            )
            .after("FIELDS"),
        ],
        run: hsetex,
        ..BASE
    },
];

const BAD_COUNT: &str = "ERR Number of fields must be a positive integer";

fn hgetdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let fields = Fields::parse(argv, 2, 1, BAD_COUNT)?;
    ctx.ks.expire_fields(key, fields.names());
    write_values(ctx, key, fields)?;
    let mut removed = Vec::new();
    if let Some(hash) = ctx.ks.value_mut::<Hash>(key)? {
        removed.extend(fields.names().filter(|field| hash.remove(field)));
    }
    if !removed.is_empty() {
        replay(ctx, &[b"HDEL", key.name], &removed);
        fields_deleted(ctx, key, removed.len());
    }
    Ok(())
}

/// Answers the values of the fields.
fn write_values(ctx: &mut Ctx<'_>, key: Key<'_>, fields: Fields<'_>) -> CommandResult {
    let as_of = ctx.ks.as_of();
    let hash = ctx.ks.value::<Hash>(key)?;
    ctx.reply.array(fields.len());
    for field in fields.names() {
        match hash.and_then(|hash| hash.get(field, as_of)) {
            Some(value) => bulk(&mut ctx.reply, value),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

/// The words between key and fields, and the fields.
#[derive(Debug)]
struct Wish<'a> {
    expiry: Expiry,
    /// FXX: all fields must be there; FNX: none may.
    there: Option<bool>,
    fields: Fields<'a>,
}

impl<'a> Wish<'a> {
    fn parse(ctx: &Ctx<'_>, argv: Argv<'a>, sets: bool) -> Result<Self, CommandError> {
        let only_one = if sets {
            CommandError::text("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
        } else {
            CommandError::text("ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified")
        };
        let (mut expiry, mut there) = (Expiry::None, None);
        let mut options = Options::new(argv, 2);
        let mut at = 2;
        while let Some(word) = options.next() {
            if is(word, "FIELDS") {
                let fields = Fields::parse(argv, at, if sets { 2 } else { 1 }, BAD_COUNT)?;
                return Ok(Self { expiry, there, fields });
            }
            let asked = if sets && is(word, "KEEPTTL") {
                Expiry::Keep
            } else if !sets && is(word, "PERSIST") {
                Expiry::Persist
            } else if let Some(unit) = expiry_option(word) {
                at += 1;
                Expiry::At(given_expiry(ctx, options.next(), unit)?)
            } else if sets && (is(word, "FNX") || is(word, "FXX")) {
                if there.replace(is(word, "FXX")).is_some() {
                    return Err(CommandError::text("ERR Only one of FXX or FNX arguments can be specified"));
                }
                at += 1;
                continue;
            } else {
                return Err(CommandError::owned(format!("ERR unknown argument: {}", quote_word(word))));
            };
            if expiry != Expiry::None {
                return Err(only_one);
            }
            expiry = asked;
            at += 1;
        }
        Err(CommandError::text("ERR missing FIELDS argument"))
    }
}

fn given_expiry(ctx: &Ctx<'_>, text: Option<&[u8]>, unit: Unit) -> Result<i64, CommandError> {
    let text = text.ok_or(CommandError::text("ERR missing expire time"))?;
    expiry_ms(integer(text)?, unit, ctx.ks.now_ms, ctx.entry.full_name)
}

fn hgetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::parse(ctx, argv, false)?;
    let key = ctx.first_key(argv);
    ctx.ks.expire_fields(key, wish.fields.names());
    write_values(ctx, key, wish.fields)?;
    match wish.expiry {
        Expiry::At(at_ms) => set_expiries(ctx, key, wish.fields, at_ms),
        Expiry::Persist => clear_expiries(ctx, key, wish.fields),
        Expiry::None | Expiry::Keep => Ok(()),
    }
}

fn set_expiries(ctx: &mut Ctx<'_>, key: Key<'_>, fields: Fields<'_>, at_ms: i64) -> CommandResult {
    let (as_of, deletes) = (ctx.ks.as_of(), is_past(ctx, at_ms));
    let Some(hash) = ctx.ks.value_mut::<Hash>(key)? else { return Ok(()) };
    let before = hash.earliest();
    let mut met = Vec::new();
    for field in fields.names().filter(|field| hash.contains(field, as_of)).collect::<Vec<_>>() {
        // A field named twice may be gone by now.
        let there = if deletes { hash.remove(field) } else { true };
        if there {
            met.push(field);
        }
        if !deletes {
            hash.set_expiry(field, Some(at_ms));
        }
    }
    let after = hash.earliest();
    ctx.ks.reindex(&key, before, after);
    if !met.is_empty() {
        expiry_set(ctx, key, &met, at_ms);
    }
    Ok(())
}

fn clear_expiries(ctx: &mut Ctx<'_>, key: Key<'_>, fields: Fields<'_>) -> CommandResult {
    let as_of = ctx.ks.as_of();
    let Some(hash) = ctx.ks.value_mut::<Hash>(key)? else { return Ok(()) };
    let mut met = Vec::new();
    for field in fields.names() {
        if hash.expiry(field, as_of).flatten().is_some() {
            hash.set_expiry(field, None);
            met.push(field);
        }
    }
    if !met.is_empty() {
        persisted(ctx, key, &met);
    }
    Ok(())
}

fn hsetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::parse(ctx, argv, true)?;
    let (key, limits, as_of) = (ctx.first_key(argv), limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, wish.fields.names());
    let hash = ctx.ks.value::<Hash>(key)?;
    let is_there = |field: &[u8]| hash.is_some_and(|hash| hash.contains(field, as_of));
    if wish.there.is_some_and(|wanted| wish.fields.names().any(|field| is_there(field) != wanted)) {
        ctx.reply.integer(0);
        return Ok(());
    }
    let hash = ctx.ks.value_or_new::<Hash>(key)?;
    let before = hash.earliest();
    for (field, value) in wish.fields.pairs() {
        match wish.expiry {
            Expiry::At(at_ms) => hash.set_expiring(field, value, Some(at_ms), limits),
            Expiry::Keep => hash.set_keeping(field, value, limits),
            Expiry::None | Expiry::Persist => hash.set(field, value, limits),
        };
    }
    let after = hash.earliest();
    ctx.ks.reindex(&key, before, after);
    written(ctx, key, &wish);
    ctx.reply.integer(1);
    Ok(())
}

/// What follows from the fields having been stored. Stored with a time that is past they go again at once.
fn written(ctx: &mut Ctx<'_>, key: Key<'_>, wish: &Wish<'_>) {
    let count = IntText::new(wish.fields.len() as i64);
    let fields: Vec<&[u8]> = wish.fields.words().collect();
    let mut words: Vec<&[u8]> = vec![b"HSETEX", key.name];
    let at;
    match wish.expiry {
        Expiry::At(at_ms) => {
            at = IntText::new(at_ms);
            words.extend([b"PXAT", at.as_bytes()]);
        }
        Expiry::Keep => words.push(b"KEEPTTL"),
        Expiry::None | Expiry::Persist => {}
    }
    words.extend([b"FIELDS", count.as_bytes()]);
    ctx.ks.changed(&key);
    ctx.ks.dirty += wish.fields.len() as u64 - 1;
    ctx.ks.notify(Class::HASH, "hset", key.name);
    let Expiry::At(at_ms) = wish.expiry else { return replay(ctx, &words, &fields) };
    if !is_past(ctx, at_ms) {
        ctx.ks.notify(Class::HASH, "hexpire", key.name);
        return replay(ctx, &words, &fields);
    }
    let mut removed: Vec<&[u8]> = Vec::new();
    if let Ok(Some(hash)) = ctx.ks.value_mut::<Hash>(key) {
        let before = hash.earliest();
        removed.extend(wish.fields.names().filter(|field| hash.remove(field)));
        debug_assert_eq!(before, hash.earliest(), "removing fields leaves the time to look at");
    }
    replay(ctx, &[b"HDEL", key.name], &removed);
    fields_deleted(ctx, key, removed.len());
}
