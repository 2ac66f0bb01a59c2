//! Commands that look for elements: LINSERT, LREM, LPOS.

use quiver_resp::Argv;

use super::{limits, removed};
use crate::command::CommandResult;
use crate::commands::args::{Options, integer, is};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::number::parse_i64;
use crate::types::list::{End, List, Needle};

pub(super) fn linsert(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let behind = match argv.at(2) {
        word if is(word, "after") => true,
        word if is(word, "before") => false,
        _ => return Err(CommandError::Syntax),
    };
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    let Some(list) = ctx.ks.value_mut::<List>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    // Before it is known whether there is such an element, as in Redis: OBJECT ENCODING shows it.
    list.grow_for(std::iter::once(argv.at(4)), limits);
    let Some(pivot) = list.position(argv.at(3)) else {
        ctx.reply.integer(-1);
        return Ok(());
    };
    list.insert(pivot, behind, argv.at(4), limits);
    let len = list.len();
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::LIST, "linsert", key.name);
    ctx.reply.integer(len as i64);
    Ok(())
}

pub(super) fn lrem(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let count = symmetric(argv.at(2))?;
    let (key, limits) = (ctx.first_key(argv), limits(ctx));
    let mut there = 0;
    if let Some(list) = ctx.ks.value_mut::<List>(key)? {
        let from = if count < 0 { End::Right } else { End::Left };
        let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        there = list.remove(argv.at(3), most, from);
        if there > 0 {
            list.shrink(limits, true);
            let is_empty = list.is_empty();
            removed(ctx, key, "lrem", there, is_empty);
        }
    }
    ctx.reply.integer(there as i64);
    Ok(())
}

/// An integer whose negative exists, too.
fn symmetric(text: &[u8]) -> Result<i64, CommandError> {
    const RANGE: CommandError = CommandError::text(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    integer(text).and_then(|n| if n == i64::MIN { Err(RANGE) } else { Ok(n) })
}

/// What LPOS looks for, and how far.
struct Search {
    /// Matches to pass over before the first that counts.
    skip: u64,
    back: bool,
    /// Matches wanted, as an array; `None` for one, by itself.
    count: Option<usize>,
    /// Elements looked at.
    max_len: usize,
}

impl Search {
    fn parse(argv: Argv<'_>) -> Result<Self, CommandError> {
        let mut search = Self { skip: 0, back: false, count: None, max_len: usize::MAX };
        let mut options = Options::new(argv, 3);
        while let Some(word) = options.next() {
            if is(word, "rank") {
                let rank = symmetric(options.value()?)?;
                if rank == 0 {
                    return Err(CommandError::text(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
                         negative to start from the end of the list",
                    ));
                }
                (search.back, search.skip) = (rank < 0, rank.unsigned_abs() - 1);
            } else if is(word, "count") {
                search.count = Some(positive_or_all(options.value()?, "ERR COUNT can't be negative")?);
            } else if is(word, "maxlen") {
                search.max_len = positive_or_all(options.value()?, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(search)
    }
}

/// A number, where 0 stands for no limit.
fn positive_or_all(text: &[u8], error: &'static str) -> Result<usize, CommandError> {
    match parse_i64(text) {
        Some(0) => Ok(usize::MAX),
        Some(number @ 1..) => Ok(number as usize),
        _ => Err(CommandError::text(error)),
    }
}

pub(super) fn lpos(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let search = Search::parse(argv)?;
    let key = ctx.first_key(argv);
    let list = ctx.ks.value::<List>(key)?;
    let (needle, len) = (Needle::new(argv.at(2)), list.map_or(0, List::len));
    let elements = list.map(|list| if search.back { list.iter_back_from(len - 1) } else { list.iter() });
    let found = elements.into_iter().flatten().take(search.max_len).enumerate();
    let found = found.filter(|(_, item)| needle.is(*item));
    let found = found.map(|(at, _)| if search.back { len - 1 - at } else { at } as i64);
    let mut found = found.skip(usize::try_from(search.skip).unwrap_or(usize::MAX));
    match search.count {
        None => match found.next() {
            Some(index) => ctx.reply.integer(index),
            None => ctx.reply.null(),
        },
        Some(count) => {
            let (start, mut listed) = (ctx.reply.position(), 0);
            for index in found.take(count) {
                ctx.reply.integer(index);
                listed += 1;
            }
            ctx.reply.array_before(start, listed);
        }
    }
    Ok(())
}
