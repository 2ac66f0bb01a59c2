//! VADD: an element with its vector, new or changed.

use std::sync::Arc;

use quiver_rdb::vectorset::Quantisation;
use quiver_resp::Argv;
use quiver_structures::Value;

use super::super::args::is;
use super::vector::{INVALID_VECTOR, dim_mismatch, input_mismatch, parse_vector, refused};
use super::{arity, await_searches};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_i64;
use crate::object::Object;
use crate::object::SharedVectorSet;
use crate::types::vset::{EF_ADD_DEFAULT, M_DEFAULT, Projection, Shape, VectorSet};

/// Bounds of the options, as Redis has them.
const M_MIN: i64 = 4;
const M_MAX: i64 = 4096;
const EF_MAX: i64 = 1_000_000;

/// The arguments of one VADD.
struct Add<'a> {
    reduce: Option<usize>,
    vector: Vec<f32>,
    name: &'a [u8],
    quantisation: Quantisation,
    m: usize,
    ef: usize,
    attributes: Option<&'a [u8]>,
    /// Where CAS stands, which replicas need not see.
    cas: Vec<usize>,
}

pub(super) fn vadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let add = Add::parse(argv)?;
    let key = ctx.first_key(argv);
    await_searches(ctx, &key)?;
    ctx.ks.expire_elements(key, [add.name].into_iter());
    let new = match ctx.ks.value_mut::<SharedVectorSet>(key)?.cloned() {
        Some(set) => {
            let mut set = set.write();
            add.check(&set)?;
            let before = set.earliest();
            let new = add.run(&mut set)?;
            ctx.ks.reindex(&key, before, set.earliest());
            ctx.ks.changed(&key);
            new
        }
        None => {
            let mut set = VectorSet::new(add.shape()?).map_err(refused)?;
            add.run(&mut set)?;
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
        let (reduce, at) = if is(argv.at(2), "REDUCE") {
            let dim = parse_i64(argv.at(3)).and_then(|dim| usize::try_from(dim).ok()).filter(|dim| *dim > 0);
            (Some(dim.ok_or(INVALID_VECTOR)?), 4)
        } else {
            (None, 2)
        };
        let mut vector = Vec::new();
        let at = parse_vector(argv, at, &mut vector)?;
        let mut add = Self {
            reduce,
            vector,
            name: argv.get(at).ok_or_else(|| arity("VADD"))?,
            quantisation: Quantisation::Int8,
            m: M_DEFAULT,
            ef: EF_ADD_DEFAULT,
            attributes: None,
            cas: Vec::new(),
        };
        let mut at = at + 1;
        while at < argv.len() {
            at += add.option(argv, at)?;
        }
        Ok(add)
    }

    /// Takes the option at `at`; the number of its words.
    fn option(&mut self, argv: Argv<'a>, at: usize) -> Result<usize, CommandError> {
        let (word, value) = (argv.at(at), argv.get(at + 1));
        match (word.to_ascii_uppercase().as_slice(), value) {
            (b"CAS", _) => self.cas.push(at),
            (b"NOQUANT", _) => self.quantisation = Quantisation::F32,
            (b"Q8", _) => self.quantisation = Quantisation::Int8,
            (b"BIN", _) => self.quantisation = Quantisation::Binary,
            (b"SETATTR", Some(attributes)) => {
                self.attributes = Some(attributes);
                return Ok(2);
            }
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

    /// Whether an existing set can take the element.
    fn check(&self, set: &VectorSet) -> CommandResult {
        let got = self.vector.len();
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

    /// The set that the command creates.
    fn shape(&self) -> Result<Shape, CommandError> {
        let projection = match self.reduce {
            None => None,
            Some(dim) => {
                let projection = Projection::draw(self.vector.len(), dim);
                Some(Arc::new(projection.ok_or(CommandError::text("ERR the projection matrix would be too large"))?))
            }
        };
        let dim = self.reduce.unwrap_or(self.vector.len());
        Ok(Shape { dim, quantisation: self.quantisation, m: self.m, projection })
    }

    fn run(&self, set: &mut VectorSet) -> Result<bool, CommandError> {
        set.add(self.name, &self.vector, self.attributes, self.ef).map_err(refused)
    }
}

fn bounded(text: &[u8], min: i64, max: i64) -> Option<usize> {
    let value = parse_i64(text).filter(|value| (min..=max).contains(value))?;
    usize::try_from(value).ok()
}
