//! FEAT.*: a feature store over ordinary hashes. Redis has nothing of the kind.
//!
//! A view names the prefix of its entities' keys and the types of its features; the features of an entity are plain
//! fields of the hash under the prefix and the entity's name, so that HGETALL, HSCAN, HEXPIRE and every tool that knows
//! hashes see them. What the commands add: values carry the time they were true at and never overwrite newer ones,
//! each lives as long as its view or itself says, and one answer has many entities of many views by columns, with a
//! status for each value.
//!
//! Views are described in `view.rs` with how they are stored, event times in `times.rs`; `open.rs` finds and locks the
//! hashes, `write.rs`, `incr.rs` and `read.rs` are the commands; counters over sliding windows are in
//! `window.rs`. VSIM's WITHFEATURES reads features beside neighbours.
//!
//! Not here: joins at a point in time, transformations, and a registry of who owns what. The keys are made of views, so
//! COMMAND GETKEYS tells none, and clients that cache by tracked keys are not told when an answer of FEAT.GET changes.

mod incr;
mod open;
mod read;
mod times;
mod view;
mod window;
mod write;

use quiver_resp::Argv;
use quiver_structures::listpack::Item;

use super::args::is;
use super::help::help;
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, Locks};
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::keyspace::KeyHasher;
use crate::notify::Class;
use crate::types::hash::{Hash, ItemText};
pub(super) use open::find;
use open::lock_views;
pub(super) use read::Wanted;
pub(super) use view::VIEWS;
use view::View;

/// What the commands have in common. Their keys are made of views, so the table cannot tell them.
const BASE: Command = Command { since: "8.2.0", group: Group::Feature, locks: Locks::Walk, ..Command::NEW };

const TTL: Arg = Arg::integer("seconds").after("TTL").optional();

const NULL: Arg = Arg::string("marker").after("NULL").optional();

const FEATURES: Arg =
    Arg::block("features", &[Arg::integer("numfeatures"), Arg::string("feature").multiple()]).after("FEATURES");

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "feat.get",
        summary: "Reads features of several entities from several views, by columns.",
        complexity: "O(N*M) where N is the number of entities and M that of features",
        arity: -6,
        flags: Flags::READONLY,
        args: &[
            Arg::block("entities", &[Arg::integer("numentities"), Arg::string("entity").multiple()]).after("ENTITIES"),
            Arg::block("view", &[Arg::string("name").after("VIEW"), FEATURES.optional()]).multiple(),
            Arg::word("withtimes", "WITHTIMES").optional(),
            Arg::word("packed", "PACKED").optional(),
        ],
        run: read::get,
        ..BASE
    },
    Command {
        name: "feat.incr",
        summary: "Adds events to counters of an entity over sliding windows.",
        complexity: "O(N) where N is the number of tiles of the windows",
        arity: -7,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[
            Arg::string("view"),
            Arg::string("entity"),
            Arg::string("time").after("AT"),
            Arg::block("data", &[Arg::string("feature"), Arg::double("increment")]).multiple(),
        ],
        run: incr::incr,
        ..BASE
    },
    Command {
        name: "feat.mput",
        summary: "Stores features of several entities unless newer ones are there.",
        complexity: "O(N*M) where N is the number of entities and M that of features",
        arity: -9,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[
            Arg::string("view"),
            NULL,
            FEATURES,
            Arg::block(
                "rows",
                &[
                    Arg::integer("numrows"),
                    Arg::block("row", &[Arg::string("entity"), Arg::string("time"), Arg::string("value").multiple()])
                        .multiple(),
                ],
            )
            .after("ROWS"),
        ],
        run: write::mput,
        ..BASE
    },
    Command {
        name: "feat.put",
        summary: "Stores features of an entity unless newer ones are there.",
        complexity: "O(N) where N is the number of features of the view",
        arity: -7,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[
            Arg::string("view"),
            Arg::string("entity"),
            Arg::string("time").after("AT"),
            NULL,
            Arg::block("data", &[Arg::string("feature"), Arg::string("value")]).multiple(),
        ],
        run: write::put,
        ..BASE
    },
    Command {
        name: "feat.view",
        summary: "Groups the commands about views of features.",
        complexity: "Depends on the subcommand",
        arity: -2,
        subcommands: &[
            Command {
                name: "create",
                summary: "Defines a view: where its entities are and which features they have.",
                complexity: "O(N) where N is the number of features",
                arity: -8,
                flags: Flags::WRITE.with(Flags::DENYOOM),
                args: &[
                    Arg::string("view"),
                    Arg::word("replace", "REPLACE").optional(),
                    Arg::string("prefix").after("PREFIX"),
                    TTL,
                    Arg::integer("seconds").after("MAXAGE").optional(),
                    Arg::block("feature", &[Arg::string("name"), Arg::string("type"), TTL])
                        .after("FEATURES")
                        .multiple(),
                ],
                run: view_create,
                ..BASE
            },
            Command {
                name: "drop",
                summary: "Forgets a view; the hashes of its entities stay.",
                arity: 3,
                flags: Flags::WRITE,
                args: &[Arg::string("view")],
                run: view_drop,
                ..BASE
            },
            Command {
                name: "help",
                summary: "Explains the subcommands.",
                arity: 2,
                flags: Flags::LOADING.with(Flags::STALE),
                run: view_help,
                ..BASE
            },
            Command {
                name: "info",
                summary: "Describes a view and its features.",
                complexity: "O(N) where N is the number of features",
                arity: 3,
                flags: Flags::READONLY,
                args: &[Arg::string("view")],
                run: view_info,
                ..BASE
            },
            Command {
                name: "list",
                summary: "Lists the names of the views in order.",
                complexity: "O(N*log N) where N is the number of views",
                arity: 2,
                flags: Flags::READONLY,
                run: view_list,
                ..BASE
            },
        ],
        ..BASE
    },
];

fn view_create(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let replace = is(argv.at(3), "REPLACE");
    let name = argv.at(2);
    let words = View::parse(name, argv.from(3 + usize::from(replace)).iter())?.words();
    let key = open_views(ctx, argv)?;
    let (limits, as_of) = (super::hash::limits(ctx), ctx.ks.as_of());
    ctx.ks.expire_fields(key, [name].into_iter());
    let there = ctx.ks.value_mut::<Hash>(key)?.is_some_and(|hash| hash.contains(name, as_of));
    if there && !replace {
        return Err(CommandError::owned(format!("ERR view '{}' already exists", quote_word(name))));
    }
    ctx.ks.value_or_new::<Hash>(key)?.set(name, &words, limits);
    ctx.ks.changed(&key);
    ctx.replay_as(&[b"HSET", VIEWS, name, &words]);
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, [name].into_iter());
    ctx.reply.ok();
    Ok(())
}

fn view_drop(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (key, name) = (open_views(ctx, argv)?, argv.at(2));
    ctx.ks.expire_fields(key, [name].into_iter());
    let removed = ctx.ks.value_mut::<Hash>(key)?.is_some_and(|hash| hash.remove(name));
    if removed {
        ctx.ks.changed(&key);
        ctx.replay_as(&[b"HDEL", VIEWS, name]);
        ctx.ks.notify_fields(Class::HASH, "hdel", key.name, [name].into_iter());
        if ctx.ks.delete_if_empty(key) {
            ctx.ks.notify(Class::GENERIC, "del", key.name);
        }
    }
    ctx.reply.integer(removed.into());
    Ok(())
}

/// The views' key, for a command that changes it.
fn open_views(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<crate::keyspace::Key<'static>, CommandError> {
    const CHANGES: KeyFlags = KeyFlags::RW.with(KeyFlags::UPDATE);
    ctx.engine.check_made_keys(ctx.session, ctx.entry, argv, &[VIEWS], CHANGES, ctx.ks.now_ms)?;
    lock_views(ctx, CHANGES)?;
    Ok(KeyHasher.key(VIEWS))
}

fn view_list(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    lock_views(ctx, KeyFlags::RO)?;
    let as_of = ctx.ks.as_of();
    let views = ctx.ks.value::<Hash>(KeyHasher.key(VIEWS))?;
    let mut names: Vec<Item<'_>> = views.iter().flat_map(|views| views.iter(as_of)).map(|(name, _)| name).collect();
    names.sort_unstable_by(|a, b| ItemText::new(*a).as_bytes().cmp(ItemText::new(*b).as_bytes()));
    ctx.reply.array(names.len());
    names.into_iter().for_each(|name| ctx.reply.bulk(ItemText::new(name).as_bytes()));
    Ok(())
}

fn view_info(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    lock_views(ctx, KeyFlags::RO)?;
    let view = find(ctx, argv.at(2))?;
    ctx.reply.map(6);
    for (name, value) in [("name", &*view.name), ("prefix", &*view.prefix), ("times-field", view.times_field())] {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value);
    }
    seconds(ctx, "ttl", view.ttl_ms);
    seconds(ctx, "max-age", view.max_age_ms);
    ctx.reply.bulk(b"features");
    ctx.reply.array(view.features.len());
    for (name, feature) in view.names().zip(&view.features) {
        ctx.reply.map(3);
        ctx.reply.bulk(b"name");
        ctx.reply.bulk(name);
        ctx.reply.bulk(b"type");
        ctx.reply.bulk(feature.kind.name().as_bytes());
        seconds(ctx, "ttl", feature.ttl_ms);
    }
    Ok(())
}

/// A name and a time in seconds, null where there is none.
fn seconds(ctx: &mut Ctx<'_>, name: &str, ms: Option<i64>) {
    ctx.reply.bulk(name.as_bytes());
    match ms {
        Some(ms) => ctx.reply.integer(ms / 1000),
        None => ctx.reply.null(),
    }
}

fn view_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "FEAT.VIEW",
        &[
            (
                "CREATE <view> [REPLACE] PREFIX <prefix> [TTL <seconds>] [MAXAGE <seconds>] FEATURES <name> <type> [TTL \
                 <seconds>] ...",
                "Define a view. Types are f64, f32, i64, bool, timestamp, string, vector(<dim>), and sum, count and avg of \
                 (<window>,<tile>) in seconds.",
            ),
            ("DROP <view>", "Forget a view; the hashes of its entities stay."),
            ("INFO <view>", "Describe a view and its features."),
            ("LIST", "List the names of the views in order."),
        ],
    );
    Ok(())
}
