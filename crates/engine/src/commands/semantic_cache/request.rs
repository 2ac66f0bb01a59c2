//! The words of the SC commands.

use quiver_resp::Argv;

use crate::commands::args::{absolute_ms, expiry_option, float, integer, is};
use crate::commands::vset::{no_filter, parse_vector};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::filter::Filter;

/// Longest embedding.
const DIM_MAX: usize = 1 << 15;

/// Latest time at which an entry may expire, as of an element of a vector set.
pub(super) const EXPIRY_MAX_MS: i64 = (1 << 46) - 1;

/// When an entry expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Never,
    Until(i64),
}

/// Options in any order; each command takes some of them.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) prompt: Option<&'a [u8]>,
    pub(super) response: Option<&'a [u8]>,
    /// Empty when there is none.
    pub(super) vector: Vec<f32>,
    pub(super) scope: Option<&'a [u8]>,
    pub(super) model: Option<&'a [u8]>,
    pub(super) metadata: Option<&'a [u8]>,
    pub(super) filter: Option<(&'a [u8], Filter)>,
    pub(super) threshold: Option<f64>,
    pub(super) life: Option<Life>,
    pub(super) sliding: Option<bool>,
    pub(super) ids: Vec<&'a [u8]>,
    pub(super) all: bool,
}

impl<'a> Request<'a> {
    /// Reads the words from the third on, of which the options are among `allowed`.
    pub(super) fn parse(ctx: &Ctx<'_>, argv: Argv<'a>, allowed: &[&str]) -> Result<Self, CommandError> {
        let (mut request, mut at) = (Self::default(), 2);
        while let Some(word) = argv.get(at) {
            if !allowed.iter().any(|option| is(word, option)) {
                return Err(CommandError::Syntax);
            }
            at = request.option(ctx, argv, at)?;
        }
        Ok(request)
    }

    /// Takes the option at `at`; the index behind it.
    fn option(&mut self, ctx: &Ctx<'_>, argv: Argv<'a>, at: usize) -> Result<usize, CommandError> {
        let word = argv.at(at).to_ascii_uppercase();
        match word.as_slice() {
            b"SLIDING" | b"ABSOLUTE" => self.sliding = Some(word == b"SLIDING"),
            b"PERSIST" => self.life = Some(Life::Never),
            b"ALL" => self.all = true,
            b"FP32" | b"VALUES" => {
                let next = parse_vector(argv, at, &mut self.vector)?;
                check_vector(&self.vector)?;
                return Ok(next);
            }
            _ => {
                let value = argv.get(at + 1).ok_or(CommandError::Syntax)?;
                self.option_with_value(ctx, &word, value)?;
                return Ok(at + 2);
            }
        }
        Ok(at + 1)
    }

    fn option_with_value(&mut self, ctx: &Ctx<'_>, word: &[u8], value: &'a [u8]) -> Result<(), CommandError> {
        match word {
            b"PROMPT" => self.prompt = Some(value),
            b"RESPONSE" => self.response = Some(value),
            b"SCOPE" => self.scope = Some(value),
            b"MODEL" => self.model = Some(value),
            b"METADATA" => self.metadata = Some(value),
            b"THRESHOLD" => self.threshold = Some(score(value, "THRESHOLD")?),
            b"ID" => self.ids.push(value),
            b"FILTER" => self.filter = Some((value, Filter::compile(value).map_err(|error| no_filter(value, error))?)),
            _ => {
                let unit = expiry_option(word).ok_or(CommandError::Syntax)?;
                let given = integer(value)?;
                let at_ms = absolute_ms(given, unit, ctx.ks.now_ms).filter(|_| given > 0);
                let at_ms = at_ms.filter(|at_ms| (ctx.ks.now_ms + 1..=EXPIRY_MAX_MS).contains(at_ms));
                self.life = Some(Life::Until(at_ms.ok_or(CommandError::InvalidExpire(ctx.entry.full_name))?));
            }
        }
        Ok(())
    }

    /// The scope, of which there is one for those that name none.
    pub(super) fn scope(&self) -> &'a [u8] {
        self.scope.unwrap_or_default()
    }

    /// The model.
    pub(super) fn model(&self) -> &'a [u8] {
        self.model.unwrap_or_default()
    }
}

/// A similarity as VSIM tells it: 1 for the same direction, 0 for the opposite.
pub(super) fn score(text: &[u8], option: &str) -> Result<f64, CommandError> {
    let score = float(text).ok().filter(|score| (0.0..=1.0).contains(score));
    score.ok_or_else(|| CommandError::owned(format!("ERR {option} takes a similarity from 0 to 1")))
}

/// Refuses what has no direction, and what the index would refuse.
fn check_vector(vector: &[f32]) -> Result<(), CommandError> {
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if vector.len() > DIM_MAX {
        return Err(CommandError::owned(format!("ERR an embedding has at most {DIM_MAX} components")));
    }
    if norm == 0.0 || norm > f64::from(f32::MAX) {
        return Err(CommandError::text("ERR the embedding must have a direction and a finite length"));
    }
    Ok(())
}
