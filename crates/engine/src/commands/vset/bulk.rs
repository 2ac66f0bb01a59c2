//! VMADD, which Redis does not have: many elements with their vectors in one command, all or none.
//!
//! Finding links is what takes long, and only reads. So it is done on all cores before the command begins, with no shard
//! held and the set for one element at a time; then the elements are entered in one hold. Where the set has changed in
//! between, is new or small, or inside a transaction, all of it is done in place. The effect is the command itself.

use std::sync::Arc;

use quiver_resp::Argv;
use quiver_structures::Value;

use super::super::args::is;
use super::add::Form;
use super::options::positive;
use super::vector::{INVALID_VECTOR, NOT_FINITE, refused};
use super::{PATIENCE_LINKED, await_searches};
use crate::command::{Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::object::{Object, SharedVectorSet};
use crate::types::vset::{Ahead, Elements, VectorSet};

/// Most elements of one command, which bounds how long its shard is held.
const ELEMENTS_MAX: usize = 1 << 16;

/// Fewer elements are added in place.
const AHEAD_MIN: usize = 8;

/// The table entry.
pub const COMMANDS: &[Command] = &[Command {
    name: "vmadd",
    summary: "Adds many elements with their vectors to a vector set, or gives them new vectors, all or none.",
    since: "8.2.0",
    complexity: "O(E*log N) where E is the number of elements given and N the number in the set",
    group: Group::Module,
    arity: -6,
    flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MODULE),
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
    args: &[
        Arg::key("key"),
        Arg::block("reduce", &[Arg::integer("dim")]).after("REDUCE").optional(),
        Arg::integer("numelements"),
        Arg::string("vectors").after("FP32"),
        Arg::string("element").multiple(),
        Arg::one_of("quant_type", &[Arg::word("noquant", "NOQUANT"), Arg::word("bin", "BIN"), Arg::word("q8", "Q8")])
            .optional(),
        Arg::integer("build-exploration-factor").after("EF").optional(),
        Arg::integer("numlinks").after("M").optional(),
        Arg::string("attributes").after("SETATTR").optional().multiple(),
    ],
    locks: Locks::KeysAlone,
    run: vmadd,
    ..Command::NEW
}];

/// The arguments of one VMADD.
struct AddMany<'a> {
    form: Form,
    names: Vec<&'a [u8]>,
    vectors: Vec<f32>,
    attributes: Vec<&'a [u8]>,
}

fn vmadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let AddMany { form, names, vectors, attributes } = AddMany::parse(argv)?;
    let (key, count, width) = (ctx.first_key(argv), names.len(), vectors.len() / names.len());
    let there = ctx.ks.value::<SharedVectorSet>(key)?.cloned();
    let made = match &there {
        Some(_) => None,
        None => Some(VectorSet::new(form.shape(width)?).map_err(refused)?.into_shared()),
    };
    let elements = {
        let set = there.as_ref().or(made.as_ref()).expect("one or the other").read();
        form.check(&set, width)?;
        Elements::new(&set, names, vectors, attributes).map_err(refused)?
    };
    // Whoever holds this adds many elements, too, and would have to begin again.
    let builder = there.as_ref().map(|set| set.read().builder());
    let (mut turn, mut ahead) = (None, Ok(None));
    let aside = count >= AHEAD_MIN && !ctx.ks.in_transaction;
    if let (Some(set), Some(builder), true) = (&there, &builder, aside) {
        ctx.ks.unlocked(|| {
            turn = Some(builder.lock());
            ahead = Ahead::find(set, &elements, form.ef);
        });
        ctx.may_still_write()?;
    }
    let ahead = there.as_ref().zip(ahead.map_err(refused)?);
    if !await_searches(ctx, &key, PATIENCE_LINKED)? {
        return Ok(());
    }
    let new = enter(ctx, &key, &form, &elements, ahead, made)?;
    drop(turn);
    ctx.ks.dirty += count as u64 - 1;
    ctx.reply.integer(new as i64);
    Ok(())
}

/// Adds the elements to the set that is there now, or to a new one.
fn enter(
    ctx: &mut Ctx<'_>,
    key: &Key<'_>,
    form: &Form,
    elements: &Elements<'_>,
    ahead: Option<(&SharedVectorSet, Ahead)>,
    made: Option<SharedVectorSet>,
) -> Result<usize, CommandError> {
    ctx.ks.expire_elements(*key, elements.names());
    if let Some(set) = ctx.ks.value_mut::<SharedVectorSet>(*key)?.cloned() {
        // It may be another one by now.
        let ahead = ahead.filter(|(of, _)| Arc::ptr_eq(of, &set));
        let mut set = set.write();
        form.check(&set, elements.width())?;
        let before = set.earliest();
        let new = set.add_many(elements, ahead.as_ref().map(|(_, ahead)| ahead), form.ef).map_err(refused)?;
        ctx.ks.reindex(key, before, set.earliest());
        ctx.ks.changed(key);
        return Ok(new);
    }
    let set = match made {
        Some(set) => set,
        None => VectorSet::new(form.shape(elements.width())?).map_err(refused)?.into_shared(),
    };
    let new = set.write().add_many(elements, None, form.ef).map_err(refused)?;
    ctx.ks.set(*key, Value::Object(Box::new(Object::VectorSet(set))), None);
    Ok(new)
}

impl<'a> AddMany<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let (mut form, at) = Form::parse(argv)?;
        let count = argv.get(at).and_then(positive).filter(|count| *count <= ELEMENTS_MAX.min(argv.len()));
        let count = count.ok_or(CommandError::text("ERR invalid number of elements"))?;
        let vectors = parse_vectors(argv, at + 1, count)?;
        let names: Vec<&[u8]> = argv.from(at + 3).iter().take(count).collect();
        if names.len() < count {
            return Err(CommandError::text("ERR invalid number of elements"));
        }
        let mut attributes = Vec::new();
        let mut at = at + 3 + count;
        while at < argv.len() {
            if is(argv.at(at), "SETATTR") && argv.len() - at > count {
                attributes = argv.from(at + 1).iter().take(count).collect();
                at += 1 + count;
            } else {
                at += form.option(argv, at)?;
            }
        }
        Ok(Self { form, names, vectors, attributes })
    }
}

/// The vectors behind FP32, of one length each.
fn parse_vectors(argv: Argv<'_>, at: usize, count: usize) -> Result<Vec<f32>, CommandError> {
    let (Some(word), Some(bytes)) = (argv.get(at), argv.get(at + 1)) else { return Err(INVALID_VECTOR) };
    let (floats, rest) = bytes.as_chunks::<4>();
    if !is(word, "FP32") || !rest.is_empty() || floats.is_empty() || !floats.len().is_multiple_of(count) {
        return Err(INVALID_VECTOR);
    }
    let vectors: Vec<f32> = floats.iter().map(|x| f32::from_le_bytes(*x)).collect();
    if vectors.iter().all(|x| x.is_finite()) { Ok(vectors) } else { Err(NOT_FINITE) }
}
