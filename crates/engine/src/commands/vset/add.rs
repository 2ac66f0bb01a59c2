//! VADD: an element with its vector, new or changed; and what VADD and VMADD (`bulk.rs`) have in common.
//!
//! Finding the links of an element is what takes long, a hundred microseconds and more in a large set, and only reads. So
//! it is done with no shard held, in the order of the set's builder, and the element is entered under the lock in a few
//! microseconds. Where the set has changed in between, is small, or inside a transaction, all of it is done in place.

use std::sync::Arc;

use quiver_rdb::vectorset::Quantisation;
use quiver_resp::Argv;
use quiver_structures::Value;

use super::super::args::is;
use super::search::with_warm;
use super::vector::{INVALID_VECTOR, dim_mismatch, input_mismatch, parse_vector, refused};
use super::{PATIENCE_LINKED, arity, await_searches};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::long::PATIENCE;
use crate::number::parse_i64;
use crate::object::Object;
use crate::object::SharedVectorSet;
use crate::session::Pause;
use crate::types::vset::{EF_ADD_DEFAULT, Linked, M_DEFAULT, Projection, Shape, VectorSet};

/// Bounds of the options, as Redis has them.
const M_MIN: i64 = 4;
const M_MAX: i64 = 4096;
const EF_MAX: i64 = 1_000_000;

/// Sets smaller than this are added to in place: finding links takes no longer than giving the shard back and taking it
/// again.
const AHEAD_MIN: usize = 128;

/// The arguments of one VADD.
struct Add<'a> {
    form: Form,
    vector: Vec<f32>,
    name: &'a [u8],
    attributes: Option<&'a [u8]>,
    /// Where CAS stands, which replicas need not see.
    cas: Vec<usize>,
}

/// What the set is to be like, and how hard to look for links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) reduce: Option<usize>,
    quantisation: Quantisation,
    m: usize,
    pub(super) ef: usize,
}

pub(super) fn vadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let add = Add::parse(argv)?;
    let key = ctx.first_key(argv);
    let there = ctx.ks.seen::<SharedVectorSet>(&key).filter(|_| !ctx.ks.in_transaction).cloned();
    if there.as_ref().is_some_and(|set| set.try_read().is_none()) && !await_searches(ctx, &key, PATIENCE)? {
        return Ok(());
    }
    let builder = there.as_ref().map(|set| set.read().builder());
    let (mut turn, mut linked) = (None, None);
    if let Some((set, builder)) = there.as_ref().filter(|set| set.read().len() >= AHEAD_MIN).zip(builder.as_ref()) {
        let yields = ctx.session.yields;
        ctx.ks.unlocked(|| {
            turn = if yields { builder.try_lock_for(PATIENCE) } else { Some(builder.lock()) };
            linked = turn.as_ref().and_then(|_| add.link_ahead(set)).map(|linked| (set, linked));
        });
        if turn.is_none() {
            // Somebody adds many.
            ctx.session.pause(Pause::Long);
            return Ok(());
        }
        ctx.may_still_write()?;
    }
    if !await_searches(ctx, &key, PATIENCE_LINKED)? {
        return Ok(());
    }
    ctx.ks.expire_elements(key, [add.name].into_iter());
    let new = match ctx.ks.value_mut::<SharedVectorSet>(key)?.cloned() {
        Some(shared) => {
            let mut set = shared.write();
            add.form.check(&set, add.vector.len())?;
            let before = set.earliest();
            // It may be another one by now.
            let linked = linked.filter(|(of, _)| Arc::ptr_eq(of, &shared)).map(|(_, linked)| linked);
            let new = add.run(&mut set, linked)?;
            ctx.ks.reindex(&key, before, set.earliest());
            ctx.ks.changed(&key);
            new
        }
        None => {
            let mut set = VectorSet::new(add.form.shape(add.vector.len())?).map_err(refused)?;
            add.run(&mut set, None)?;
            ctx.ks.set(key, Value::Object(Box::new(Object::VectorSet(set.into_shared()))), None);
            true
        }
    };
    if !add.cas.is_empty() {
        let words = argv.iter().enumerate().filter(|(at, _)| !add.cas.contains(at));
        ctx.replay_as(&words.map(|(_, word)| word).collect::<Vec<_>>());
    }
    ctx.reply.boolean(new);
    Ok(())
}

impl<'a> Add<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let (form, at) = Form::parse(argv)?;
        let mut vector = Vec::new();
        let at = parse_vector(argv, at, &mut vector)?;
        let name = argv.get(at).ok_or_else(|| arity("VADD"))?;
        let mut add = Self { form, vector, name, attributes: None, cas: Vec::new() };
        let mut at = at + 1;
        while at < argv.len() {
            at += add.option(argv, at)?;
        }
        Ok(add)
    }

    /// Takes the option at `at`; the number of its words.
    fn option(&mut self, argv: Argv<'a>, at: usize) -> Result<usize, CommandError> {
        match argv.get(at + 1) {
            _ if is(argv.at(at), "CAS") => {
                self.cas.push(at);
                Ok(1)
            }
            Some(attributes) if is(argv.at(at), "SETATTR") => {
                self.attributes = Some(attributes);
                Ok(2)
            }
            _ => self.form.option(argv, at),
        }
    }

    /// The element's links in a set that may take it; `None` where there is an error to be found in place.
    fn link_ahead(&self, set: &SharedVectorSet) -> Option<Linked> {
        let mut linked = Linked::default();
        let set = set.read();
        self.form.check(&set, self.vector.len()).ok()?;
        with_warm(|warm| {
            set.link_ahead(self.name, &self.vector, self.form.ef, &mut warm.search.scratch, &mut linked).ok()
        })?;
        Some(linked)
    }

    fn run(&self, set: &mut VectorSet, linked: Option<Linked>) -> Result<bool, CommandError> {
        if let Some(new) = linked.and_then(|mut linked| set.add_linked(self.name, self.attributes, &mut linked)) {
            return Ok(new);
        }
        set.add(self.name, &self.vector, self.attributes, self.form.ef).map_err(refused)
    }
}

impl Form {
    /// What is said before the vector, and the index behind it.
    pub(super) fn parse(argv: Argv<'_>) -> Result<(Self, usize), CommandError> {
        let mut form = Self { reduce: None, quantisation: Quantisation::Int8, m: M_DEFAULT, ef: EF_ADD_DEFAULT };
        if !is(argv.at(2), "REDUCE") {
            return Ok((form, 2));
        }
        let dim = parse_i64(argv.at(3)).and_then(|dim| usize::try_from(dim).ok()).filter(|dim| *dim > 0);
        form.reduce = Some(dim.ok_or(INVALID_VECTOR)?);
        Ok((form, 4))
    }

    /// Takes the option at `at`; the number of its words.
    pub(super) fn option(&mut self, argv: Argv<'_>, at: usize) -> Result<usize, CommandError> {
        match (argv.at(at).to_ascii_uppercase().as_slice(), argv.get(at + 1)) {
            (b"NOQUANT", _) => self.quantisation = Quantisation::F32,
            (b"Q8", _) => self.quantisation = Quantisation::Int8,
            (b"BIN", _) => self.quantisation = Quantisation::Binary,
            (b"EF", Some(value)) => {
                self.ef = bounded(value, 1, EF_MAX).ok_or(CommandError::text("ERR invalid EF"))?;
                return Ok(2);
            }
            (b"M", Some(value)) => {
                self.m = bounded(value, M_MIN, M_MAX).ok_or(CommandError::text("ERR invalid M"))?;
                return Ok(2);
            }
            _ => return Err(CommandError::text("ERR invalid option after element")),
        }
        Ok(1)
    }

    /// Whether an existing set can take vectors of `got` components.
    pub(super) fn check(&self, set: &VectorSet, got: usize) -> CommandResult {
        if self.quantisation != set.quantisation() {
            return Err(CommandError::text("ERR asked quantization mismatch with existing vector set"));
        }
        if self.m != set.m() {
            return Err(CommandError::text("ERR asked M value mismatch with existing vector set"));
        }
        match (self.reduce, set.projection()) {
            (None, None) if got == set.dim() => Ok(()),
            (Some(_), None) if got == set.dim() => {
                Err(CommandError::text("ERR cannot add projection to existing set without projection"))
            }
            (Some(dim), Some(projection)) if dim == set.dim() => {
                let want = projection.input_dim();
                if got == want { Ok(()) } else { Err(input_mismatch(got, want)) }
            }
            _ => Err(dim_mismatch(got, set)),
        }
    }

    /// The set that is made for vectors of `input` components.
    pub(super) fn shape(&self, input: usize) -> Result<Shape, CommandError> {
        let projection = match self.reduce {
            None => None,
            Some(dim) => {
                let projection = Projection::draw(input, dim);
                Some(Arc::new(projection.ok_or(CommandError::text("ERR the projection matrix would be too large"))?))
            }
        };
        Ok(Shape { dim: self.reduce.unwrap_or(input), quantisation: self.quantisation, m: self.m, projection })
    }
}

fn bounded(text: &[u8], min: i64, max: i64) -> Option<usize> {
    let value = parse_i64(text).filter(|value| (min..=max).contains(value))?;
    usize::try_from(value).ok()
}
