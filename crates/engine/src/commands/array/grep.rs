//! ARGREP: the elements that texts, glob patterns or regular expressions describe.
//!
//! Patterns are compiled once and match in time linear in the text (Thompson's construction, in crate `regex`), so that
//! no pattern can hold a shard for longer than its elements are long. There are no references back for that reason. What a
//! pattern may compile to is bounded, and so is the number of predicates.

use quiver_resp::Argv;
use regex::bytes::{Regex, RegexBuilder};

use super::index;
use super::range::{bounds, limit, write_found};
use crate::command::CommandResult;
use crate::commands::args::Options;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::glob;
use crate::types::array::{Array, Element, INDEX_MAX};

/// Most predicates of one search.
const PREDICATES_MAX: usize = 250;

/// Longest regular expression.
const PATTERN_BYTES_MAX: usize = 2048;

/// Most memory a compiled regular expression may take, and as much again for its cache.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// What an element is asked for.
#[derive(Debug)]
enum Predicate<'a> {
    Exact(&'a [u8]),
    Contains(&'a [u8]),
    Glob(&'a [u8]),
    Pattern(Regex),
}

impl Predicate<'_> {
    fn holds(&self, text: &[u8], fold: bool) -> bool {
        match self {
            Self::Exact(wanted) if fold => wanted.eq_ignore_ascii_case(text),
            Self::Exact(wanted) => *wanted == text,
            Self::Contains(part) => contains(text, part, fold),
            Self::Glob(pattern) if fold => glob::matches_ignore_case(pattern, text),
            Self::Glob(pattern) => glob::matches(pattern, text),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }
}

fn contains(text: &[u8], part: &[u8], fold: bool) -> bool {
    let equal = |window: &[u8]| if fold { window.eq_ignore_ascii_case(part) } else { window == part };
    part.is_empty() || text.windows(part.len()).any(equal)
}

/// The words behind the range.
#[derive(Debug, Default)]
struct Search<'a> {
    predicates: Vec<Predicate<'a>>,
    all: bool,
    fold: bool,
    with_values: bool,
    limit: Option<usize>,
}

impl<'a> Search<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let mut search = Self::default();
        let mut patterns = Vec::new();
        let mut options = Options::new(argv, 4);
        while let Some(word) = options.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"EXACT" => search.predicates.push(Predicate::Exact(options.value()?)),
                b"MATCH" => search.predicates.push(Predicate::Contains(options.value()?)),
                b"GLOB" => search.predicates.push(Predicate::Glob(options.value()?)),
                // Compiled when the case is known, which may be said behind it.
                b"RE" => patterns.push(options.value()?),
                b"AND" => search.all = true,
                b"OR" => search.all = false,
                b"LIMIT" => search.limit = Some(limit(options.value()?)?),
                b"WITHVALUES" => search.with_values = true,
                b"NOCASE" => search.fold = true,
                _ => return Err(CommandError::Syntax),
            }
            if search.predicates.len() + patterns.len() > PREDICATES_MAX {
                return Err(CommandError::text("ERR too many predicates"));
            }
        }
        for pattern in patterns {
            search.predicates.push(Predicate::Pattern(compiled(pattern, search.fold)?));
        }
        if search.predicates.is_empty() { Err(CommandError::Syntax) } else { Ok(search) }
    }

    fn finds(&self, element: &Element) -> bool {
        element.with_bytes(|text| {
            let holds = |predicate: &Predicate<'_>| predicate.holds(text, self.fold);
            if self.all { self.predicates.iter().all(holds) } else { self.predicates.iter().any(holds) }
        })
    }
}

fn compiled(pattern: &[u8], fold: bool) -> Result<Regex, CommandError> {
    const INVALID: CommandError = CommandError::text("ERR invalid regular expression");
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(CommandError::text("ERR regular expression is too long"));
    }
    let text = std::str::from_utf8(pattern).map_err(|_| INVALID)?;
    let mut builder = RegexBuilder::new(text);
    builder.unicode(false).case_insensitive(fold).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX);
    builder.build().map_err(|_| INVALID)
}

/// An end of the range: an index, `-` for the first or `+` for the last there can be.
fn bound(text: &[u8]) -> Result<u64, CommandError> {
    match text {
        b"-" => Ok(0),
        b"+" => Ok(INDEX_MAX),
        other => index(other),
    }
}

pub(super) fn argrep(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (first, last, reversed) = bounds(bound(argv.at(2))?, bound(argv.at(3))?);
    let search = Search::parse(argv)?;
    let key = ctx.first_key(argv);
    let elements = ctx.ks.value::<Array>(key)?.map(|array| array.range(first, last)).into_iter().flatten();
    let (limit, with_values) = (search.limit.unwrap_or(usize::MAX), search.with_values);
    let found = elements.filter(|(_, element)| search.finds(element));
    if reversed {
        write_found(&mut ctx.reply, found.rev(), limit, with_values);
    } else {
        write_found(&mut ctx.reply, found, limit, with_values);
    }
    Ok(())
}
