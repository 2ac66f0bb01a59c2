//! Options of VSIM and of the commands that search as it does.

use quiver_resp::Argv;

use super::super::args::is;
use super::fields::Fields;
use crate::command::{Arg, CommandResult};
use crate::error::{CommandError, quote_within};
use crate::filter::{Filter, SyntaxError};
use crate::number::{parse_f64, parse_i64};
use crate::types::hash::AsOf;
use crate::types::vset::Effort;

const COUNT_DEFAULT: usize = 10;
const EF_DEFAULT: usize = 100;
/// Elements of a group when GROUPCOUNT does not say.
const GROUP_COUNT_DEFAULT: usize = 1;

/// Bytes of an expression an error shows; Redis shows all.
const NEAR_BYTES: usize = 4096;

const SYNTAX: CommandError = CommandError::text("ERR syntax error in VSIM command");

/// The options of Redis in COMMAND DOCS.
const OPTIONS: [Arg; 9] = [
    Arg::word("withscores", "WITHSCORES").optional(),
    Arg::word("withattribs", "WITHATTRIBS").optional(),
    Arg::integer("count").after("COUNT").optional(),
    Arg::double("max_distance").after("EPSILON").optional(),
    Arg::integer("search-exploration-factor").after("EF").optional(),
    Arg::string("expression").after("FILTER").optional(),
    Arg::integer("max-filtering-effort").after("FILTER-EF").optional(),
    Arg::word("truth", "TRUTH").optional(),
    Arg::word("nothread", "NOTHREAD").optional(),
];

/// Quiver's own.
const OWN_OPTIONS: [Arg; 5] = [
    Arg::double("recall").after("RECALL").optional(),
    Arg::word("withinfo", "WITHINFO").optional(),
    Arg::block("groupby", &[Arg::string("field"), Arg::integer("groupcount").after("GROUPCOUNT").optional()])
        .after("GROUPBY")
        .optional(),
    Arg::block("withfields", &[Arg::string("prefix"), Arg::integer("numfields"), Arg::string("field").multiple()])
        .after("WITHFIELDS")
        .optional(),
    Arg::block("withfeatures", &[Arg::string("view"), Arg::integer("numfeatures"), Arg::string("feature").multiple()])
        .after("WITHFEATURES")
        .optional(),
];

/// The syntax of a command: its own arguments, then the options.
pub(super) const fn with_options<const N: usize, const ALL: usize>(first: [Arg; N]) -> [Arg; ALL] {
    let mut all = [first[0]; ALL];
    let mut i = 0;
    while i < ALL {
        all[i] = if i < N {
            first[i]
        } else if i < N + OPTIONS.len() {
            OPTIONS[i - N]
        } else {
            OWN_OPTIONS[i - N - OPTIONS.len()]
        };
        i += 1;
    }
    all
}

/// Options of one search.
pub(super) struct Options<'a> {
    pub(super) effort: Effort,
    pub(super) ef: Option<usize>,
    /// The expression, with its text.
    pub(super) filter: Option<(&'a [u8], Filter)>,
    /// Greatest cosine distance (0 to 2) of a result.
    pub(super) epsilon: Option<f64>,
    /// Attribute to group by, and elements of a group.
    pub(super) group: Option<(&'a [u8], usize)>,
    /// Fields of a hash, or features of a view, for each result.
    pub(super) fields: Option<Fields<'a>>,
    pub(super) scores: bool,
    pub(super) attributes: bool,
    pub(super) info: bool,
}

impl<'a> Options<'a> {
    pub(super) fn parse(argv: Argv<'a>, first: usize, as_of: AsOf) -> Result<Self, CommandError> {
        let effort = Effort { as_of, ..Effort::new(COUNT_DEFAULT, EF_DEFAULT) };
        let mut options = Self {
            effort,
            ef: None,
            filter: None,
            epsilon: None,
            group: None,
            fields: None,
            scores: false,
            attributes: false,
            info: false,
        };
        let mut at = first;
        while at < argv.len() {
            at += options.option(argv, at)?;
        }
        // What a recall takes is found out from below, unless the client says where to begin.
        let least = if options.effort.recall.is_some() { 1 } else { EF_DEFAULT };
        options.effort.ef = options.ef.unwrap_or(least);
        Ok(options)
    }

    /// Takes one option; the number of its words.
    fn option(&mut self, argv: Argv<'a>, at: usize) -> Result<usize, CommandError> {
        let (word, value) = (argv.at(at), argv.get(at + 1));
        if is(word, "WITHFIELDS") || is(word, "WITHFEATURES") {
            let fields = Fields::parse(argv, at)?;
            let words = fields.words();
            self.fields = Some(fields);
            return Ok(words);
        }
        if is(word, "WITHSCORES") {
            self.scores = true;
        } else if is(word, "WITHATTRIBS") {
            self.attributes = true;
        } else if is(word, "WITHINFO") {
            self.info = true;
        } else if is(word, "TRUTH") {
            self.effort.exact = true;
        } else if !is(word, "NOTHREAD") {
            self.option_with_value(word, value.ok_or(SYNTAX)?)?;
            return Ok(2);
        }
        Ok(1)
    }

    fn option_with_value(&mut self, word: &[u8], value: &'a [u8]) -> CommandResult {
        if is(word, "COUNT") {
            self.effort.count = positive(value).ok_or(CommandError::text("ERR invalid COUNT"))?;
        } else if is(word, "EF") {
            self.ef = Some(positive(value).ok_or(CommandError::text("ERR invalid EF"))?);
        } else if is(word, "EPSILON") {
            let epsilon = parse_f64(value)
                .filter(|epsilon| *epsilon > 0.0 && (epsilon.is_finite() || is_spelled_infinity(value)));
            self.epsilon = Some(epsilon.ok_or(CommandError::text("ERR invalid EPSILON"))?);
        } else if is(word, "FILTER") {
            self.filter = Some((value, Filter::compile(value).map_err(|error| no_filter(value, error))?));
        } else if is(word, "FILTER-EF") {
            self.effort.questions = positive(value).ok_or(CommandError::text("ERR invalid FILTER-EF"))?;
        } else {
            return self.own_option(word, value);
        }
        Ok(())
    }

    /// Options that Redis does not have.
    fn own_option(&mut self, word: &[u8], value: &'a [u8]) -> CommandResult {
        if is(word, "RECALL") {
            let recall = parse_f64(value).filter(|recall| *recall > 0.0 && *recall <= 1.0);
            self.effort.recall = Some(recall.ok_or(CommandError::text("ERR RECALL must be above 0 and at most 1"))?);
        } else if is(word, "GROUPBY") {
            let count = self.group.map_or(GROUP_COUNT_DEFAULT, |(_, count)| count);
            // The dot of a filter's fields is welcome, and not part of the name.
            self.group = Some((value.strip_prefix(b".").unwrap_or(value), count));
        } else if is(word, "GROUPCOUNT") {
            let count = positive(value).ok_or(CommandError::text("ERR invalid GROUPCOUNT"))?;
            let (field, _) = self.group.ok_or(CommandError::text("ERR GROUPCOUNT without GROUPBY"))?;
            self.group = Some((field, count));
        } else {
            return Err(SYNTAX);
        }
        Ok(())
    }
}

/// The error of an expression: where it cannot be understood.
pub(in crate::commands) fn no_filter(text: &[u8], error: SyntaxError) -> CommandError {
    let near = quote_within(&text[error.at.min(text.len())..], NEAR_BYTES);
    CommandError::owned(format!("ERR syntax error in FILTER expression near: {near}"))
}

/// A number above zero. However large: the set clips counts to its size.
pub(super) fn positive(text: &[u8]) -> Option<usize> {
    usize::try_from(parse_i64(text)?).ok().filter(|value| *value > 0)
}

/// Tells "inf" from a number too great for a double, which Redis refuses.
fn is_spelled_infinity(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_alphabetic) && !text.iter().any(u8::is_ascii_digit)
}
