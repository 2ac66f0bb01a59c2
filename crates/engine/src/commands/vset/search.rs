//! VSIM: the elements most similar to a vector or an element.
//!
//! The handler takes a handle to the set, gives the shard back and then searches, so no other key waits for it; the
//! reply is written straight from the index's slots. Memory of the search belongs to the thread and stays warm.

use std::cell::RefCell;

use quiver_resp::{Argv, Protocol};
use quiver_vector::Neighbor;

use super::super::args::is;
use super::set_at;
use super::vector::{dim_mismatch, input_mismatch, parse_vector, refused};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::{parse_f64, parse_i64};
use crate::types::vset::{Effort, Query, Search, VectorSet, similarity};

const COUNT_DEFAULT: usize = 10;
const EF_DEFAULT: usize = 100;

const SYNTAX: CommandError = CommandError::text("ERR syntax error in VSIM command");

/// Memory of one thread's searches.
#[derive(Default)]
struct Warm {
    search: Search,
    vector: Vec<f32>,
}

thread_local! {
    static WARM: RefCell<Warm> = RefCell::default();
}

/// Options of one VSIM.
struct Options {
    effort: Effort,
    /// Greatest cosine distance (0 to 2) of a result.
    epsilon: Option<f64>,
    scores: bool,
    attributes: bool,
}

pub(super) fn vsim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some(set) = set_at(ctx, argv)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    ctx.ks.release();
    let set = set.read();
    WARM.with_borrow_mut(|warm| {
        let (query, next) = parse_query(&set, argv, &mut warm.vector)?;
        let options = Options::parse(argv, next)?;
        set.search(query, options.effort, &mut warm.search).map_err(refused)?;
        let found = &mut warm.search.found;
        if let Some(epsilon) = options.epsilon {
            found.truncate(found.partition_point(|neighbor| f64::from(neighbor.distance) <= epsilon));
        }
        write_reply(ctx, &set, found, &options);
        Ok(())
    })
}

/// The query at `argv[2]`, and the index of the first option.
fn parse_query<'q>(
    set: &VectorSet,
    argv: Argv<'_>,
    vector: &'q mut Vec<f32>,
) -> Result<(Query<'q>, usize), CommandError> {
    if is(argv.at(2), "ELE") {
        let slot = set.slot(argv.at(3)).ok_or(CommandError::text("ERR element not found in set"))?;
        return Ok((Query::Slot(slot), 4));
    }
    let next = parse_vector(argv, 2, vector)?;
    if !set.takes(vector.len()) {
        return Err(match set.projection() {
            None => dim_mismatch(vector.len(), set),
            Some(projection) => input_mismatch(vector.len(), projection.input_dim()),
        });
    }
    Ok((Query::Vector(vector), next))
}

impl Options {
    fn parse(argv: Argv<'_>, first: usize) -> Result<Self, CommandError> {
        let effort = Effort { count: COUNT_DEFAULT, ef: EF_DEFAULT, exact: false };
        let mut options = Self { effort, epsilon: None, scores: false, attributes: false };
        let mut at = first;
        while at < argv.len() {
            at += options.option(argv.at(at), argv.get(at + 1))?;
        }
        Ok(options)
    }

    /// Takes one option; the number of its words.
    fn option(&mut self, word: &[u8], value: Option<&[u8]>) -> Result<usize, CommandError> {
        if is(word, "WITHSCORES") {
            self.scores = true;
        } else if is(word, "WITHATTRIBS") {
            self.attributes = true;
        } else if is(word, "TRUTH") {
            self.effort.exact = true;
        } else if !is(word, "NOTHREAD") {
            self.option_with_value(word, value.ok_or(SYNTAX)?)?;
            return Ok(2);
        }
        Ok(1)
    }

    fn option_with_value(&mut self, word: &[u8], value: &[u8]) -> CommandResult {
        if is(word, "COUNT") {
            self.effort.count = positive(value).ok_or(CommandError::text("ERR invalid COUNT"))?;
        } else if is(word, "EF") {
            self.effort.ef = positive(value).ok_or(CommandError::text("ERR invalid EF"))?;
        } else if is(word, "EPSILON") {
            let epsilon = parse_f64(value)
                .filter(|epsilon| *epsilon > 0.0 && (epsilon.is_finite() || is_spelled_infinity(value)));
            self.epsilon = Some(epsilon.ok_or(CommandError::text("ERR invalid EPSILON"))?);
        } else if is(word, "FILTER") || is(word, "FILTER-EF") {
            return Err(CommandError::text("ERR VSIM does not support FILTER yet"));
        } else {
            return Err(SYNTAX);
        }
        Ok(())
    }
}

/// A number above zero. However large: the set clips counts to its size.
fn positive(text: &[u8]) -> Option<usize> {
    usize::try_from(parse_i64(text)?).ok().filter(|value| *value > 0)
}

fn write_reply(ctx: &mut Ctx<'_>, set: &VectorSet, found: &[Neighbor], options: &Options) {
    let columns = 1 + usize::from(options.scores) + usize::from(options.attributes);
    // RESP3 answers a map; of two columns the values are pairs.
    let is_map = columns > 1 && ctx.reply.protocol() == Protocol::Resp3;
    if is_map {
        ctx.reply.map(found.len());
    } else {
        ctx.reply.array(found.len() * columns);
    }
    for neighbor in found {
        ctx.reply.bulk(set.name(neighbor.slot));
        if is_map && columns == 3 {
            ctx.reply.array(2);
        }
        if options.scores {
            ctx.reply.double(similarity(neighbor.distance));
        }
        if options.attributes {
            match set.attributes(neighbor.slot) {
                b"" => ctx.reply.null(),
                attributes => ctx.reply.bulk(attributes),
            }
        }
    }
}

/// Tells "inf" from a number too great for a double, which Redis refuses.
fn is_spelled_infinity(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_alphabetic) && !text.iter().any(u8::is_ascii_digit)
}
