//! Values that go elsewhere: COPY, MOVE, RENAME, RENAMENX.
//!
//! The value keeps its expiry. A value that moves also keeps when it was last used and whether a string was edited in
//! place (OBJECT ENCODING shows it); a copy keeps the latter only.

use quiver_resp::Argv;
use quiver_structures::{Value, ValueRef};

use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, KeyFlags, KeySpec};
use crate::commands::args::{Options, integer_32, is};
use crate::commands::connection::database;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::{Key, KeyEntry};
use crate::notify::Class;
use crate::object::Object;

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "copy",
        summary: "Duplicates a value under another key, optionally in another database.",
        since: "6.2.0",
        complexity: "O(N) in the size of the value, O(1) for strings",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::KEYSPACE,
        keys: &[
            KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS)),
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::key("source"),
            Arg::key("destination").of_spec(1),
            Arg::integer("destination-db").after("DB").optional(),
            Arg::word("replace", "REPLACE").optional(),
        ],
        run: copy,
        ..Command::NEW
    },
    Command {
        name: "move",
        summary: "Hands a key over to another database.",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("db")],
        run: move_,
        ..Command::NEW
    },
    Command {
        name: "rename",
        summary: "Gives a key a new name, replacing what was there.",
        complexity: "O(1), plus the cost of freeing what is replaced",
        arity: 3,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE,
        keys: &[
            KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE)),
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[Arg::key("key"), Arg::key("newkey").of_spec(1)],
        run: rename,
        ..Command::NEW
    },
    Command {
        name: "renamenx",
        summary: "Gives a key a new name only when that name is free.",
        arity: 3,
        flags: Flags::WRITE.with(Flags::FAST),
        acl: Acl::KEYSPACE,
        keys: &[
            KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE)),
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::INSERT),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[Arg::key("key"), Arg::key("newkey").of_spec(1)],
        run: renamenx,
        ..Command::NEW
    },
];

fn copy(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (mut db, mut replace) = (ctx.ks.db, false);
    let mut options = Options::new(argv, 3);
    while let Some(word) = options.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            db = db_index(ctx, options.value()?)?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if db == ctx.ks.db && argv[1] == argv[2] {
        return Err(CommandError::SameObject);
    }
    let (from, to) = (ctx.first_key(argv), ctx.key(argv.at(2)));
    let Some(parcel) = ctx.ks.get(from).map(|entry| Parcel::copy_of(&entry)) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let free = replace || !in_db(ctx, db, |ctx| ctx.ks.contains(to));
    if free {
        in_db(ctx, db, |ctx| {
            parcel.deliver(ctx, to);
            ctx.ks.notify(Class::GENERIC, "copy_to", to.name);
        });
    }
    ctx.reply.integer(i64::from(free));
    Ok(())
}

fn move_(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let db = db_index(ctx, argv.at(2))?;
    if db == ctx.ks.db {
        return Err(CommandError::SameObject);
    }
    let key = ctx.first_key(argv);
    let moves = ctx.ks.contains(key) && !in_db(ctx, db, |ctx| ctx.ks.contains(key));
    if moves {
        let parcel = Parcel::pick_up(ctx, key);
        in_db(ctx, db, |ctx| parcel.deliver(ctx, key));
        ctx.ks.notify(Class::GENERIC, "move_from", key.name);
        in_db(ctx, db, |ctx| ctx.ks.notify(Class::GENERIC, "move_to", key.name));
    }
    ctx.reply.integer(i64::from(moves));
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (ctx.first_key(argv), ctx.key(argv.at(2)));
    if !ctx.ks.contains(from) {
        return Err(CommandError::NoSuchKey);
    }
    if from.name != to.name {
        // What stands there goes first, so that an expired one leaves its DEL in front of this command.
        ctx.ks.contains(to);
        move_to(ctx, from, to);
    }
    ctx.reply.ok();
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (from, to) = (ctx.first_key(argv), ctx.key(argv.at(2)));
    if !ctx.ks.contains(from) {
        return Err(CommandError::NoSuchKey);
    }
    let free = !ctx.ks.contains(to);
    if free {
        move_to(ctx, from, to);
    }
    ctx.reply.integer(i64::from(free));
    Ok(())
}

/// Moves the value of a key that was just seen to another name.
fn move_to(ctx: &mut Ctx<'_>, from: Key<'_>, to: Key<'_>) {
    Parcel::pick_up(ctx, from).deliver(ctx, to);
    ctx.ks.notify(Class::GENERIC, "rename_from", from.name);
    ctx.ks.notify(Class::GENERIC, "rename_to", to.name);
}

/// The database an argument names.
fn db_index(ctx: &Ctx<'_>, text: &[u8]) -> Result<usize, CommandError> {
    database(ctx, integer_32(text)?).ok_or(CommandError::DbIndex)
}

/// Works in another database for a moment. The shard of a key is the same in all of them.
fn in_db<'a, T>(ctx: &mut Ctx<'a>, db: usize, work: impl FnOnce(&mut Ctx<'a>) -> T) -> T {
    let home = std::mem::replace(&mut ctx.ks.db, db);
    let result = work(ctx);
    ctx.ks.db = home;
    result
}

/// A value on its way, with what belongs to it.
struct Parcel {
    value: Value<'static, Object>,
    expire_at_ms: Option<i64>,
    edited: bool,
    /// Stamp of the last use, if it is to be kept.
    access: Option<u32>,
}

impl Parcel {
    fn copy_of(entry: &KeyEntry<'_>) -> Self {
        let value = match entry.value() {
            ValueRef::Int(number) => Value::Int(number),
            ValueRef::Bytes(bytes) => Value::Owned(bytes.to_vec()),
            ValueRef::Object(object) => Value::Object(Box::new(object.duplicate())),
        };
        Self { value, expire_at_ms: entry.expire_at(), edited: entry.is_edited(), access: None }
    }

    /// Takes the value of a key that the caller has just seen.
    fn pick_up(ctx: &mut Ctx<'_>, key: Key<'_>) -> Self {
        let entry = ctx.ks.peek(key).expect("the key was just seen");
        let (edited, access) = (entry.is_edited(), Some(entry.access()));
        let (value, expire_at_ms) = ctx.ks.take(key).expect("the key was just seen");
        Self { value, expire_at_ms, edited, access }
    }

    fn deliver(self, ctx: &mut Ctx<'_>, key: Key<'_>) {
        ctx.ks.set_anew(key, self.value, self.expire_at_ms);
        if !self.edited && self.access.is_none() {
            return;
        }
        let Some(mut entry) = ctx.ks.get_mut(key) else { return };
        if self.edited {
            entry.append(b"");
        }
        if let Some(access) = self.access {
            entry.get().set_access(access);
        }
    }
}
