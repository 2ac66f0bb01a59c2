//! Vector sets: <https://redis.io/docs/latest/develop/data-types/vector-sets/>.
//!
//! The table entries, and the commands about sets and elements; VADD is in `add.rs`, VSIM in `search.rs` with its
//! options in `options.rs` and groups in `group.rs`, vectors as arguments in `vector.rs`. Quiver's own are in `expire.rs`
//! (elements that expire), `index.rs` (indexes over attributes), `bulk.rs` (many elements at once) and `many.rs` (several queries, recommendation). Replies and error texts are those of Redis 8.0.2. What differs: components that are not
//! finite are refused, counts that would make Redis allocate without bound are clipped or refused, and a query to a
//! set whose projection keeps the number of dimensions is projected too.

mod add;
pub mod bulk;
pub mod expire;
mod fields;
mod group;
pub mod index;
pub mod many;
mod names;
mod options;
mod search;
mod vector;

use std::time::Duration;

use quiver_rdb::vectorset::Quantisation;
use quiver_resp::Argv;

use super::args::is;
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::long::PATIENCE;
use crate::object::SharedVectorSet;
use crate::session::Pause;
use add::vadd;
use names::{vrandmember, vrange};
pub(super) use options::no_filter;
use options::with_options;
use search::vsim;
pub(super) use search::with_warm;
pub(super) use vector::{dim_mismatch, parse_vector, refused};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "vadd",
        summary: "Adds an element with its vector to a vector set, or gives it a new vector.",
        since: "8.0.0",
        complexity: "O(log N) where N is the number of elements",
        group: Group::Module,
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::block("reduce", &[Arg::integer("dim")]).after("REDUCE").optional(),
            Arg::one_of("format", &[Arg::word("fp32", "FP32"), Arg::word("values", "VALUES")]),
            Arg::string("vector"),
            Arg::string("element"),
            Arg::word("cas", "CAS").optional(),
            Arg::one_of(
                "quant_type",
                &[Arg::word("noquant", "NOQUANT"), Arg::word("bin", "BIN"), Arg::word("q8", "Q8")],
            )
            .optional(),
            Arg::integer("build-exploration-factor").after("EF").optional(),
            Arg::string("attributes").after("SETATTR").optional(),
            Arg::integer("numlinks").after("M").optional(),
        ],
        locks: Locks::KeysAlone,
        run: vadd,
        ..Command::NEW
    },
    Command {
        name: "vcard",
        summary: "Counts the elements of a vector set.",
        since: "8.0.0",
        group: Group::Module,
        arity: 2,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: vcard,
        ..Command::NEW
    },
    Command {
        name: "vdim",
        summary: "Answers the number of dimensions of a vector set.",
        since: "8.0.0",
        group: Group::Module,
        arity: 2,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: vdim,
        ..Command::NEW
    },
    Command {
        name: "vemb",
        summary: "Answers the vector of an element as it is stored.",
        since: "8.0.0",
        complexity: "O(D) where D is the number of dimensions",
        group: Group::Module,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element"), Arg::word("raw", "RAW").optional()],
        run: vemb,
        ..Command::NEW
    },
    Command {
        name: "vgetattr",
        summary: "Reads the attributes of an element.",
        since: "8.0.0",
        group: Group::Module,
        arity: 3,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element")],
        run: vgetattr,
        ..Command::NEW
    },
    Command {
        name: "vinfo",
        summary: "Describes a vector set and its graph.",
        since: "8.0.0",
        group: Group::Module,
        arity: 2,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key")],
        run: vinfo,
        ..Command::NEW
    },
    Command {
        name: "vismember",
        summary: "Tells whether an element is in a vector set.",
        since: "8.2.0",
        group: Group::Module,
        arity: 3,
        flags: Flags::READONLY.with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element")],
        run: vismember,
        ..Command::NEW
    },
    Command {
        name: "vlinks",
        summary: "Lists the neighbours of an element in each layer of the graph.",
        since: "8.0.0",
        group: Group::Module,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element"), Arg::word("withscores", "WITHSCORES").optional()],
        run: vlinks,
        ..Command::NEW
    },
    Command {
        name: "vrandmember",
        summary: "Picks elements of a vector set at random.",
        since: "8.0.0",
        complexity: "O(N) where N is the number of elements picked",
        group: Group::Module,
        arity: -2,
        flags: Flags::READONLY.with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("count").optional()],
        run: vrandmember,
        ..Command::NEW
    },
    Command {
        name: "vrange",
        summary: "Lists elements in the order of their names within bounds.",
        since: "8.4.0",
        complexity: "O(log K + M) where K is the number of elements and M the number returned",
        group: Group::Module,
        arity: -4,
        flags: Flags::READONLY.with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("start"), Arg::string("end"), Arg::integer("count").optional()],
        locks: Locks::KeysAlone,
        run: vrange,
        ..Command::NEW
    },
    Command {
        name: "vrem",
        summary: "Removes an element from a vector set.",
        since: "8.0.0",
        complexity: "O(log N) where N is the number of elements",
        group: Group::Module,
        arity: 3,
        flags: Flags::WRITE.with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element")],
        locks: Locks::KeysAlone,
        run: vrem,
        ..Command::NEW
    },
    Command {
        name: "vsetattr",
        summary: "Sets or clears the attributes of an element.",
        since: "8.0.0",
        group: Group::Module,
        arity: 4,
        flags: Flags::WRITE.with(Flags::MODULE).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::string("element"), Arg::string("json")],
        locks: Locks::KeysAlone,
        run: vsetattr,
        ..Command::NEW
    },
    Command {
        name: "vsim",
        summary: "Finds the elements most similar to a vector or to another element.",
        since: "8.0.0",
        complexity: "O(log N) where N is the number of elements",
        group: Group::Module,
        arity: -4,
        flags: Flags::READONLY.with(Flags::MODULE),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &with_options::<3, 17>([
            Arg::key("key"),
            Arg::one_of("format", &[Arg::word("ele", "ELE"), Arg::word("fp32", "FP32"), Arg::word("values", "VALUES")]),
            Arg::string("vector_or_element"),
        ]),
        locks: Locks::KeysAlone,
        run: vsim,
        ..Command::NEW
    },
];

/// The set under the key at `argv[1]`.
fn set_at(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<Option<SharedVectorSet>, CommandError> {
    let key = ctx.first_key(argv);
    Ok(ctx.ks.value::<SharedVectorSet>(key)?.cloned())
}

/// How long a thread that has other connections to serve waits when it has found links already, which would be lost.
const PATIENCE_LINKED: Duration = Duration::from_millis(1);

/// Waits until nobody searches the set under a key, without keeping the other keys of its shard waiting. For commands
/// that change it, before they change anything. `false` when that takes too long for a thread that has other connections
/// to serve: then the command has been given back, and must do nothing more.
fn await_searches(ctx: &mut Ctx<'_>, key: &Key<'_>, patience: Duration) -> Result<bool, CommandError> {
    while let Some(set) = ctx.ks.value::<SharedVectorSet>(*key)?.cloned() {
        // Who gets here holding the shard has the set alone but for searches that are about to begin.
        if ctx.ks.in_transaction || set.try_write().is_some() {
            break;
        }
        let (yields, mut over) = (ctx.session.yields, true);
        ctx.ks.unlocked(|| match yields {
            true => over = set.try_write_for(patience).is_some(),
            false => drop(set.write()),
        });
        if !over {
            ctx.session.pause(Pause::Long);
            return Ok(false);
        }
        ctx.may_still_write()?;
    }
    Ok(true)
}

/// The error of a command with too many or unknown words.
fn arity(name: &'static str) -> CommandError {
    CommandError::Arity(name.into())
}

fn vcard(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let len = set_at(ctx, argv)?.map_or(0, |set| set.read().len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn vdim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let set = set_at(ctx, argv)?.ok_or(CommandError::text("ERR key does not exist"))?;
    ctx.reply.integer(set.read().dim() as i64);
    Ok(())
}

fn vismember(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let member = {
        let as_of = ctx.ks.as_of();
        set_at(ctx, argv)?.is_some_and(|set| set.read().slot_seen(argv.at(2), as_of).is_some())
    };
    ctx.reply.boolean(member);
    Ok(())
}

fn vemb(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !argv.from(3).iter().all(|word| is(word, "RAW")) {
        return Err(CommandError::text("ERR invalid option"));
    }
    let (set, as_of) = (set_at(ctx, argv)?, ctx.ks.as_of());
    let set = set.as_ref().map(|set| set.read());
    let Some((set, slot)) = set.as_ref().and_then(|set| Some((set, set.slot_seen(argv.at(2), as_of)?))) else {
        ctx.reply.null();
        return Ok(());
    };
    if argv.len() > 3 {
        let (vector, norm) = set.raw_vector(slot).expect("names lead to live slots");
        let mut bytes = Vec::new();
        vector.write_to(&mut bytes);
        let quantised = set.quantisation() == Quantisation::Int8;
        ctx.reply.array(if quantised { 4 } else { 3 });
        ctx.reply.simple(vector.kind());
        ctx.reply.bulk(&bytes);
        ctx.reply.double(f64::from(norm));
        if quantised {
            ctx.reply.double(f64::from(vector.range()));
        }
    } else {
        let vector = set.vector(slot).expect("names lead to live slots");
        ctx.reply.array(vector.len());
        vector.iter().for_each(|x| ctx.reply.double(f64::from(*x)));
    }
    Ok(())
}

fn vgetattr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (set, as_of) = (set_at(ctx, argv)?, ctx.ks.as_of());
    let set = set.as_ref().map(|set| set.read());
    match set.as_ref().and_then(|set| Some(set.attributes(set.slot_seen(argv.at(2), as_of)?))) {
        None | Some([]) => ctx.reply.null(),
        Some(attributes) => ctx.reply.bulk(attributes),
    }
    Ok(())
}

fn vsetattr(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    if !await_searches(ctx, &key, PATIENCE)? {
        return Ok(());
    }
    ctx.ks.expire_elements(key, [argv.at(2)].into_iter());
    let done = ctx.ks.value_mut::<SharedVectorSet>(key)?.is_some_and(|set| {
        let mut set = set.write();
        let slot = set.slot(argv.at(2));
        slot.inspect(|slot| set.set_attributes(*slot, argv.at(3))).is_some()
    });
    if done {
        ctx.ks.changed(&key);
    }
    ctx.reply.boolean(done);
    Ok(())
}

fn vrem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    if !await_searches(ctx, &key, PATIENCE)? {
        return Ok(());
    }
    ctx.ks.expire_elements(key, [argv.at(2)].into_iter());
    let (mut removed, mut empty) = (false, false);
    if let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(key)?.cloned() {
        let mut set = set.write();
        let before = set.earliest();
        removed = set.remove(argv.at(2));
        empty = set.is_empty();
        ctx.ks.reindex(&key, before, set.earliest());
    }
    if empty {
        ctx.ks.delete(key);
    } else if removed {
        ctx.ks.changed(&key);
    }
    ctx.reply.boolean(removed);
    Ok(())
}

fn vinfo(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(set) = set_at(ctx, argv)? else {
        ctx.reply.null_array();
        return Ok(());
    };
    let set = set.read();
    let numbers = [
        ("hnsw-m", set.m()),
        ("vector-dim", set.dim()),
        ("projection-input-dim", set.projection().map_or(0, |projection| projection.input_dim())),
        ("size", set.len()),
        ("max-level", set.max_level()),
        ("attributes-count", set.with_attributes()),
        ("vset-uid", set.uid() as usize),
        ("hnsw-max-node-uid", set.slots()),
    ];
    let (audits, sampled) = set.sampled_recall();
    let indexed = set.indexed_fields();
    ctx.reply.map(numbers.len() + 1 + usize::from(audits > 0) * 2 + usize::from(indexed.len() > 0));
    ctx.reply.simple("quant-type");
    ctx.reply.simple(match set.quantisation() {
        Quantisation::F32 => "f32",
        Quantisation::Int8 => "int8",
        Quantisation::Binary => "bin",
    });
    for (name, number) in numbers {
        ctx.reply.simple(name);
        ctx.reply.integer(number as i64);
    }
    if indexed.len() > 0 {
        // Quiver's own, and only where there are some: the elements in each.
        ctx.reply.simple("attribute-indexes");
        ctx.reply.map(indexed.len());
        for (field, elements) in indexed {
            ctx.reply.bulk(field);
            ctx.reply.integer(elements as i64);
        }
    }
    if audits > 0 {
        // Quiver's own, and only where searches by RECALL have sampled it.
        let sampled: Vec<(usize, f64)> = sampled.collect();
        ctx.reply.simple("recall-samples");
        ctx.reply.integer(i64::from(audits));
        ctx.reply.simple("sampled-recall-by-ef");
        ctx.reply.map(sampled.len());
        for (ef, recall) in sampled {
            ctx.reply.integer(ef as i64);
            ctx.reply.double(recall);
        }
    }
    Ok(())
}

fn vlinks(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let with_scores = argv.len() > 3;
    if argv.len() > 4 || with_scores && !is(argv.at(3), "WITHSCORES") {
        return Err(arity("VLINKS"));
    }
    let (set, as_of) = (set_at(ctx, argv)?, ctx.ks.as_of());
    let set = set.as_ref().map(|set| set.read());
    let Some((set, slot)) = set.as_ref().and_then(|set| Some((set, set.slot_seen(argv.at(2), as_of)?))) else {
        ctx.reply.null();
        return Ok(());
    };
    let levels = set.links(slot);
    ctx.reply.array(levels.len());
    for links in levels {
        if with_scores {
            ctx.reply.map(links.len());
        } else {
            ctx.reply.array(links.len());
        }
        for (link, score) in links {
            ctx.reply.bulk(set.name(link));
            if with_scores {
                ctx.reply.double(score);
            }
        }
    }
    Ok(())
}
