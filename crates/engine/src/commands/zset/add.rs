//! ZADD and ZINCRBY.

use quiver_resp::Argv;
use smallvec::SmallVec;

use super::super::args::is;
use super::limits;
use super::number::double;
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::types::zset::SortedSet;

const NAN: CommandError = CommandError::text("ERR resulting score is not a number (NaN)");

/// When a member is added or changed, and what is answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addition {
    /// Only what is new.
    pub(crate) nx: bool,
    /// Only what is there.
    pub(crate) xx: bool,
    /// Only to a greater score.
    pub(crate) gt: bool,
    /// Only to a lesser score.
    pub(crate) lt: bool,
    /// Count changed members too.
    pub(crate) ch: bool,
    /// The score is added to the one there is; the answer is the sum.
    pub(crate) incr: bool,
}

impl Addition {
    /// Takes a word of ZADD; `false` when it is none.
    fn take(&mut self, word: &[u8]) -> bool {
        let option = match word.len() {
            2 if is(word, "nx") => &mut self.nx,
            2 if is(word, "xx") => &mut self.xx,
            2 if is(word, "gt") => &mut self.gt,
            2 if is(word, "lt") => &mut self.lt,
            2 if is(word, "ch") => &mut self.ch,
            4 if is(word, "incr") => &mut self.incr,
            _ => return false,
        };
        *option = true;
        true
    }
}

/// What became of one member.
enum Outcome {
    Added(f64),
    Changed(f64),
    Same(f64),
    /// A condition did not hold.
    Refused,
}

pub(super) fn zadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut options = Addition::default();
    let first = (2..argv.len()).find(|at| !options.take(argv.at(*at))).unwrap_or(argv.len());
    let words = argv.len() - first;
    if words == 0 || !words.is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    if options.nx && options.xx {
        return Err(CommandError::text("ERR XX and NX options at the same time are not compatible"));
    }
    if options.gt && (options.nx || options.lt) || options.lt && options.nx {
        return Err(CommandError::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if options.incr && words > 2 {
        return Err(CommandError::text("ERR INCR option supports a single increment-element pair"));
    }
    let mut pairs: SmallVec<[(f64, &[u8]); 8]> = SmallVec::new();
    for at in (first..argv.len()).step_by(2) {
        pairs.push((double(argv.at(at))?, argv.at(at + 1)));
    }
    add_members(ctx, ctx.first_key(argv), &pairs, options)
}

pub(super) fn zincrby(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut options = Addition { incr: true, ..Addition::default() };
    // A word of ZADD is one here too, and leaves no pair.
    if options.take(argv.at(2)) {
        return Err(CommandError::Syntax);
    }
    let pair = (double(argv.at(2))?, argv.at(3));
    add_members(ctx, ctx.first_key(argv), &[pair], options)
}

/// Adds members to the set under a key, or changes their scores, and answers.
pub(crate) fn add_members(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[(f64, &[u8])], options: Addition) -> CommandResult {
    let limits = limits(ctx);
    let set =
        if options.xx { ctx.ks.value_mut::<SortedSet>(key)? } else { Some(ctx.ks.value_or_new::<SortedSet>(key)?) };
    let Some(set) = set else {
        if options.incr {
            ctx.reply.null()
        } else {
            ctx.reply.integer(0)
        }
        return Ok(());
    };
    // As in Redis, a new set is what its first member may be in.
    set.expect(pairs.len(), pairs.first().map_or(0, |(_, member)| member.len()), limits);
    let (mut added, mut changed, mut result) = (0, 0, None);
    for (score, member) in pairs {
        match add(set, member, *score, options, limits)? {
            Outcome::Added(score) => (added, result) = (added + 1, Some(score)),
            Outcome::Changed(score) => (changed, result) = (changed + 1, Some(score)),
            Outcome::Same(score) => result = Some(score),
            Outcome::Refused => {}
        }
    }
    if added + changed > 0 {
        ctx.ks.changed(&key);
        ctx.ks.dirty += added + changed - 1;
        ctx.ks.notify(Class::ZSET, if options.incr { "zincr" } else { "zadd" }, key.name);
    }
    match result {
        _ if !options.incr => ctx.reply.integer(if options.ch { added + changed } else { added } as i64),
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// One member. A sum that is no number is refused before anything changes: it takes a score that is there.
fn add(
    set: &mut SortedSet,
    member: &[u8],
    score: f64,
    options: Addition,
    limits: crate::types::zset::Limits,
) -> Result<Outcome, CommandError> {
    let old = if options.xx { set.score(member) } else { set.score_or_insert(member, score, limits) };
    let Some(old) = old else {
        return Ok(if options.xx { Outcome::Refused } else { Outcome::Added(score) });
    };
    if options.nx {
        return Ok(Outcome::Refused);
    }
    let new = if options.incr { old + score } else { score };
    if new.is_nan() {
        return Err(NAN);
    }
    if options.lt && new >= old || options.gt && new <= old {
        return Ok(Outcome::Refused);
    }
    if new == old {
        return Ok(Outcome::Same(new));
    }
    set.set(member, new, limits);
    Ok(Outcome::Changed(new))
}
