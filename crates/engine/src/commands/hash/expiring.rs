//! Values and expiries of fields in one command: HGETDEL, HGETEX, HSETEX.

use quiver_resp::Argv;

use super::super::args::{Unit, expiry_option, integer, is};
use super::bulk;
use super::expire::{expiry_set, is_past, persisted, replay};
use super::fields::{BAD_COUNT, Fields, expiry_ms};
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

fn hgetdel(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    ctx.ks.value_mut::<Hash>(key)?;
    let fields = Fields::parse(argv, 2, BAD_COUNT)?;
    ctx.ks.expire_fields(key, fields.names());
    let removed = answer(ctx, key, fields, Then::Delete)?;
    if !removed.is_empty() {
        replay(ctx, &[b"HDEL", key.name], &removed);
        fields_deleted(ctx, key, &removed);
    }
    Ok(())
}

/// What is done with a field once its value is answered.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Delete,
    Expire(i64),
    Persist,
}

/// Answers the values of the fields, each before something is done with it: a field named twice may be gone by then.
/// Gives the fields that were changed.
fn answer<'f>(ctx: &mut Ctx<'_>, key: Key<'_>, fields: Fields<'f>, then: Then) -> Result<Vec<&'f [u8]>, CommandError> {
    let as_of = ctx.ks.as_of();
    let mut hash = ctx.ks.value_mut::<Hash>(key)?;
    let before = hash.as_ref().and_then(|hash| hash.earliest());
    let mut changed = Vec::new();
    ctx.reply.array(fields.len());
    for field in fields.names() {
        let found = hash.as_mut().filter(|hash| hash.contains(field, as_of));
        let Some(hash) = found else {
            ctx.reply.null();
            continue;
        };
        bulk(&mut ctx.reply, hash.get(field, as_of).expect("the field was just seen"));
        match then {
            Then::Nothing => continue,
            Then::Persist if hash.expiry(field, as_of).flatten().is_none() => continue,
            Then::Delete => {
                hash.remove(field);
            }
            Then::Expire(at_ms) => hash.set_expiry(field, Some(at_ms)),
            Then::Persist => hash.set_expiry(field, None),
        }
        changed.push(field);
    }
    let after = hash.and_then(|hash| hash.earliest());
    ctx.ks.reindex(&key, before, after);
    Ok(changed)
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
    /// At most one option.
    fn to_get(ctx: &Ctx<'_>, argv: Argv<'a>) -> Result<Self, CommandError> {
        let (expiry, at) = match (expiry_option(argv.at(2)), argv.at(2)) {
            (Some(unit), _) => (Expiry::At(given_expiry(ctx, argv.at(3), unit)?), 4),
            (None, word) if is(word, "PERSIST") => (Expiry::Persist, 3),
            (None, _) => (Expiry::None, 2),
        };
        if argv.len() <= at {
            return Err(CommandError::Arity("hgetex".into()));
        }
        Ok(Self { expiry, there: None, fields: Fields::parse(argv, at, BAD_COUNT)? })
    }

    /// Options in any order.
    fn to_set(ctx: &Ctx<'_>, argv: Argv<'a>) -> Result<Self, CommandError> {
        const ONE_EXPIRY: CommandError =
            CommandError::text("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
        const ONE_CONDITION: CommandError = CommandError::text("ERR Only one of FXX or FNX arguments can be specified");
        let (mut expiry, mut there, mut at) = (Expiry::None, None, 2);
        while let Some(word) = argv.get(at) {
            at += 1;
            if is(word, "FIELDS") {
                return Ok(Self { expiry, there, fields: Fields::pairs_from(argv, at)? });
            } else if is(word, "FNX") || is(word, "FXX") {
                if there.replace(is(word, "FXX")).is_some() {
                    return Err(ONE_CONDITION);
                }
                continue;
            }
            let unit = expiry_option(word);
            if unit.is_none() && !is(word, "KEEPTTL") {
                return Err(CommandError::owned(format!("ERR unknown argument: {}", quote_word(word))));
            } else if expiry != Expiry::None {
                return Err(ONE_EXPIRY);
            }
            expiry = Expiry::Keep;
            if let Some(unit) = unit {
                let text = argv.get(at).ok_or(CommandError::text("ERR missing expire time"))?;
                expiry = Expiry::At(given_expiry(ctx, text, unit)?);
                at += 1;
            }
        }
        Err(CommandError::text("ERR missing FIELDS argument"))
    }
}

fn given_expiry(ctx: &Ctx<'_>, text: &[u8], unit: Unit) -> Result<i64, CommandError> {
    expiry_ms(integer(text)?, unit, ctx.ks.now_ms, ctx.entry.full_name)
}

fn hgetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    ctx.ks.value_mut::<Hash>(key)?;
    let wish = Wish::to_get(ctx, argv)?;
    ctx.ks.expire_fields(key, wish.fields.names());
    if wish.expiry != Expiry::None
        && let Some(hash) = ctx.ks.value_mut::<Hash>(key)?
    {
        hash.make_volatile();
    }
    let then = match wish.expiry {
        Expiry::At(at_ms) if is_past(ctx, at_ms) => Then::Delete,
        Expiry::At(at_ms) => Then::Expire(at_ms),
        Expiry::Persist => Then::Persist,
        Expiry::None | Expiry::Keep => Then::Nothing,
    };
    let changed = answer(ctx, key, wish.fields, then)?;
    match wish.expiry {
        _ if changed.is_empty() => {}
        Expiry::At(at_ms) => expiry_set(ctx, key, &changed, at_ms),
        _ => persisted(ctx, key, &changed),
    }
    Ok(())
}

fn hsetex(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::to_set(ctx, argv)?;
    let (key, limits, as_of) = (ctx.first_key(argv), limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, wish.fields.names());
    // A write looks for no key: one that is missing is no miss.
    let hash = ctx.ks.value_mut::<Hash>(key)?;
    let is_there = |field: &[u8]| hash.as_ref().is_some_and(|hash| hash.contains(field, as_of));
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
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, fields.iter().copied());
    let Expiry::At(at_ms) = wish.expiry else { return replay(ctx, &words, &fields) };
    if !is_past(ctx, at_ms) {
        ctx.ks.notify_fields(Class::HASH, "hexpire", key.name, fields.iter().copied());
        return replay(ctx, &words, &fields);
    }
    let mut removed: Vec<&[u8]> = Vec::new();
    if let Ok(Some(hash)) = ctx.ks.value_mut::<Hash>(key) {
        let before = hash.earliest();
        removed.extend(wish.fields.names().filter(|field| hash.remove(field)));
        debug_assert_eq!(before, hash.earliest(), "removing fields leaves the time to look at");
    }
    replay(ctx, &[b"HDEL", key.name], &removed);
    fields_deleted(ctx, key, &removed);
}
