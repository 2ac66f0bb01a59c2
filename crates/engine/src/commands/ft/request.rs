//! The words behind the query of FT.SEARCH, and those that other questions share with it.

use std::rc::Rc;

use quiver_query::ast::{End, Kind, Node, TextFields};
use quiver_query::highlight::{Marks, Summary};
use quiver_query::index::Scorer;
use quiver_query::text::{Language, StopWords};
use quiver_query::{ParseOptions, Query, QueryError, Schema};

use super::watch::Watch;
use crate::command::CommandResult;
use crate::commands::args::is;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::number::parse_f64;
use crate::search::words::{Words, bad, unknown};

/// A field to be returned, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Returned {
    pub(super) field: Vec<u8>,
    pub(super) name: Vec<u8>,
}

/// What becomes of texts that are returned: HIGHLIGHT and SUMMARIZE, each for the fields it names, or for all.
#[derive(Clone, Debug, Default)]
pub(super) struct Excerpts {
    pub(super) highlight: Option<(Named, Marks)>,
    pub(super) summarize: Option<(Named, Summary)>,
}

/// Fields that an option names; none for all.
pub(super) type Named = Vec<Vec<u8>>;

impl Excerpts {
    /// Whether anything is to be done.
    pub(super) fn any(&self) -> bool {
        self.highlight.is_some() || self.summarize.is_some()
    }

    /// Whether the index keeps what they need.
    pub(super) fn check(&self, schema: &Schema) -> Result<(), QueryError> {
        if self.any() && schema.no_offsets {
            return Err(QueryError::new(
                "Cannot use highlight/summarize because NOOFSETS was specified at index level",
            ));
        }
        if self.any() && schema.no_highlight {
            return Err(QueryError::new("Cannot use HIGHLIGHT because NOHL was specified at index level"));
        }
        Ok(())
    }
}

/// How a question is read, whichever it is.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) dialect: u8,
    pub(super) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) verbatim: bool,
    pub(super) no_stop_words: bool,
    pub(super) in_fields: Vec<Vec<u8>>,
    pub(super) language: Option<Language>,
    /// FILTER and GEOFILTER of the older form.
    filters: Vec<Filter>,
    /// After which the question ends, ms; 0 for never.
    pub(super) timeout_ms: i64,
    pub(super) scorer: Scorer,
    pub(super) slop: Option<u32>,
    pub(super) in_order: bool,
    pub(super) in_keys: Option<Vec<Vec<u8>>>,
    pub(super) payload: Option<Vec<u8>>,
    /// Where times are noted (FT.PROFILE).
    pub(super) watch: Option<Rc<Watch>>,
}

#[derive(Clone, Debug)]
enum Filter {
    Numeric { field: Vec<u8>, min: End, max: End },
    Geo { field: Vec<u8>, longitude: f64, latitude: f64, radius_m: f64 },
}

/// What FT.SEARCH asks for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) reading: Reading,
    pub(super) no_content: bool,
    pub(super) with_scores: bool,
    pub(super) explain_score: bool,
    pub(super) with_payloads: bool,
    pub(super) with_sort_keys: bool,
    pub(super) returned: Option<Vec<Returned>>,
    pub(super) excerpts: Excerpts,
    /// Field, and whether the largest come first.
    pub(super) sort_by: Option<(Vec<u8>, bool)>,
    pub(super) offset: usize,
    pub(super) count: usize,
    /// JSON is shown as what it is, not as text (`FORMAT EXPAND`).
    pub(super) expand: bool,
    /// Most results there may be.
    most: usize,
}

impl Reading {
    pub(super) fn new(ctx: &Ctx<'_>) -> Self {
        let config = &ctx.engine.config;
        Self {
            dialect: config.search_default_dialect() as u8,
            parameters: Vec::new(),
            verbatim: false,
            no_stop_words: false,
            in_fields: Vec::new(),
            language: None,
            filters: Vec::new(),
            timeout_ms: config.search_timeout_ms() as i64,
            scorer: Scorer::parse(config.get("search-default-scorer").as_bytes()).unwrap_or_default(),
            slop: None,
            in_order: false,
            in_keys: None,
            payload: None,
            watch: None,
        }
    }

    /// Notes, where times are noted, that the query is understood.
    pub(super) fn understood(&self, ctx: &Ctx<'_>) {
        if let Some(watch) = &self.watch {
            watch.parsing_ns.set(watch.so_far_ns(ctx));
        }
    }

    /// Takes an option that several questions have; `false` where the word is none.
    pub(super) fn option(&mut self, word: &[u8], words: &mut Words<'_>) -> Result<bool, CommandError> {
        match word.to_ascii_uppercase().as_slice() {
            b"VERBATIM" => self.verbatim = true,
            b"DIALECT" => self.dialect = dialect(words)?,
            b"PARAMS" => self.read_parameters(words)?,
            b"TIMEOUT" => {
                self.timeout_ms = words.number("TIMEOUT", 0)?;
            }
            b"SCORER" => {
                let name = words.value("SCORER")?;
                self.scorer = Scorer::parse(&name.to_ascii_uppercase())
                    .ok_or_else(|| CommandError::owned(format!("No such scorer {}", quote_word(name))))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_parameters(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        if !self.parameters.is_empty() {
            return Err(CommandError::text("Multiple PARAMS are not allowed. Parameters can be defined only once"));
        }
        let given = words.counted("PARAMS")?;
        if given.is_empty() || given.len() % 2 == 1 {
            return Err(CommandError::text("Parameters must be specified in PARAM VALUE pairs"));
        }
        for pair in given.chunks_exact(2) {
            if self.parameters.iter().any(|(known, _)| *known == *pair[0]) {
                return Err(CommandError::owned(format!("Duplicate parameter `{}`", quote_word(pair[0]))));
            }
            self.parameters.push((pair[0].to_vec(), pair[1].to_vec()));
        }
        Ok(())
    }

    fn older_filter(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        let field = words.value("FILTER")?.to_vec();
        let min = end(words.value("FILTER")?).ok_or_else(|| bad("lower range", "Could not convert argument"))?;
        let max = end(words.value("FILTER")?).ok_or_else(|| bad("upper range", "Could not convert argument"))?;
        self.filters.push(Filter::Numeric { field, min, max });
        Ok(())
    }

    fn older_geo_filter(&mut self, words: &mut Words<'_>) -> Result<(), CommandError> {
        const OF: &str = "GEOFILTER";
        let field = words.value(OF)?.to_vec();
        let (longitude, latitude, radius) = (words.float("<lon>")?, words.float("<lat>")?, words.float("<radius>")?);
        let unit = words.value(OF)?;
        let metres = match unit.to_ascii_lowercase().as_slice() {
            b"m" => 1.0,
            b"km" => 1000.0,
            b"mi" => 1609.34,
            b"ft" => 0.3048,
            _ => return Err(CommandError::owned(format!("Unknown distance unit {}", quote_word(unit)))),
        };
        self.filters.push(Filter::Geo { field, longitude, latitude, radius_m: radius * metres });
        Ok(())
    }

    /// The places of the TEXT fields INFIELDS names.
    fn fields(&self, schema: &Schema) -> TextFields {
        if self.in_fields.is_empty() {
            return TextFields::MAX;
        }
        let texts = schema.fields.iter().filter(|field| matches!(field.kind, quiver_query::FieldKind::Text { .. }));
        let named = |field: &quiver_query::Field| self.in_fields.contains(&field.name);
        texts.enumerate().filter(|(_, field)| named(field)).fold(0, |mask, (place, _)| mask | 1 << place)
    }

    /// Reads a query with all that was said around it.
    pub(super) fn parse(&self, query: &[u8], schema: &Schema) -> Result<Query, CommandError> {
        let stop_words = if self.no_stop_words { StopWords::none() } else { StopWords::of(schema) };
        let options = ParseOptions {
            schema,
            dialect: self.dialect,
            parameters: &self.parameters,
            fields: self.fields(schema),
            verbatim: self.verbatim,
            stop_words: &stop_words,
            language: self.language.unwrap_or_else(|| Language::parse(schema.language.as_bytes()).unwrap_or_default()),
        };
        let mut query = quiver_query::parse(query, options)?;
        let filters = self.filters.iter().filter_map(|filter| filter.node(schema)).collect::<Vec<_>>();
        if !filters.is_empty() {
            let root = std::mem::replace(&mut query.root, plain(Kind::All));
            query.root = plain(Kind::And(std::iter::once(root).chain(filters).collect()));
        }
        Ok(query)
    }
}

fn plain(kind: Kind) -> Node {
    Node { kind, attributes: quiver_query::ast::Attributes::default() }
}

impl Filter {
    fn node(&self, schema: &Schema) -> Option<Node> {
        Some(plain(match self {
            Self::Numeric { field, min, max } => Kind::Numeric { field: schema.field(field)?, min: *min, max: *max },
            Self::Geo { field, longitude, latitude, radius_m } => Kind::Geo {
                field: schema.field(field)?,
                longitude: *longitude,
                latitude: *latitude,
                radius_m: *radius_m,
            },
        }))
    }
}

impl Request {
    /// Reads the words behind the query.
    pub(super) fn parse(ctx: &Ctx<'_>, all: &[&[u8]]) -> Result<Self, CommandError> {
        let mut words = Words(all);
        let mut request = Self {
            reading: Reading::new(ctx),
            no_content: false,
            with_scores: false,
            explain_score: false,
            with_payloads: false,
            with_sort_keys: false,
            returned: None,
            excerpts: Excerpts::default(),
            sort_by: None,
            offset: 0,
            count: 10,
            expand: false,
            most: ctx.engine.config.search_max_search_results(),
        };
        while let Some(word) = words.next() {
            if !request.reading.option(word, &mut words)? {
                request.option(word, &mut words)?;
            }
        }
        Ok(request)
    }

    fn option(&mut self, word: &[u8], words: &mut Words<'_>) -> Result<(), CommandError> {
        let reading = &mut self.reading;
        match word.to_ascii_uppercase().as_slice() {
            b"NOCONTENT" => self.no_content = true,
            b"NOSTOPWORDS" => reading.no_stop_words = true,
            b"WITHSCORES" => self.with_scores = true,
            b"EXPLAINSCORE" => self.explain_score = true,
            b"WITHPAYLOADS" => self.with_payloads = true,
            b"WITHSORTKEYS" => self.with_sort_keys = true,
            b"INORDER" => reading.in_order = true,
            b"FILTER" => reading.older_filter(words)?,
            b"GEOFILTER" => reading.older_geo_filter(words)?,
            b"INKEYS" => reading.in_keys = Some(words.counted("INKEYS")?.iter().map(|key| key.to_vec()).collect()),
            b"INFIELDS" => reading.in_fields = words.counted("INFIELDS")?.iter().map(|name| name.to_vec()).collect(),
            b"SLOP" => {
                let slop = words.number("SLOP", -1)?;
                reading.slop = u32::try_from(slop).ok();
            }
            b"LANGUAGE" => {
                let name = words.value("LANGUAGE")?;
                let language = Language::parse(name);
                let none = || CommandError::owned(format!("No such language {}", quote_word(name)));
                reading.language = Some(language.ok_or_else(none)?);
            }
            b"EXPANDER" => expander(words.value("EXPANDER")?)?,
            b"PAYLOAD" => reading.payload = Some(words.value("PAYLOAD")?.to_vec()),
            b"FORMAT" => self.expand = format(words)?,
            b"RETURN" => self.returned = Some(returned(words.counted("RETURN")?)?),
            b"SORTBY" => {
                let field = words.value("SORTBY")?;
                let descends = !words.take("ASC") && words.take("DESC");
                // Clients that know FT.AGGREGATE's form name fields with an @.
                self.sort_by = Some((field.strip_prefix(b"@").unwrap_or(field).to_vec(), descends));
            }
            b"LIMIT" => (self.offset, self.count) = limit(words, self.most)?,
            b"HIGHLIGHT" => self.excerpts.highlight = Some(highlight(words)?),
            b"SUMMARIZE" => self.excerpts.summarize = Some(summarize(words)?),
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    /// Whether fields of what is found are wanted.
    pub(super) fn wants_fields(&self) -> bool {
        !self.no_content && self.returned.as_ref().is_none_or(|fields| !fields.is_empty())
    }
}

/// Words are expanded by stems, synonyms and sounds, whichever of them is named.
fn expander(name: &[u8]) -> CommandResult {
    match name.to_ascii_uppercase().as_slice() {
        b"DEFAULT" | b"SBSTEM" | b"SYNONYM" | b"PHONETIC" | b"CNS" => Ok(()),
        _ => Err(CommandError::owned(format!("No such expander {}", quote_word(name)))),
    }
}

/// Whether FORMAT says that JSON is to be shown as what it is.
pub(super) fn format(words: &mut Words<'_>) -> Result<bool, CommandError> {
    let name = words.value("FORMAT")?;
    match name.to_ascii_uppercase().as_slice() {
        b"EXPAND" => Ok(true),
        b"STRING" => Ok(false),
        _ => Err(CommandError::owned(format!("FORMAT {} is not supported", quote_word(name)))),
    }
}

/// A dialect.
pub(super) fn dialect(words: &mut Words<'_>) -> Result<u8, CommandError> {
    let number = words.number("DIALECT", 1).ok().and_then(|number| u8::try_from(number).ok());
    number
        .filter(|number| (1..=4).contains(number))
        .ok_or_else(|| CommandError::text("DIALECT requires a non negative integer >=1 and <= 4"))
}

/// Offset and count of LIMIT.
pub(super) fn limit(words: &mut Words<'_>, most: usize) -> Result<(usize, usize), CommandError> {
    const TWO: CommandError = CommandError::text("LIMIT requires two numeric arguments");
    let number = |words: &mut Words<'_>| words.count("LIMIT").map_err(|_| TWO);
    let (offset, count) = (number(words)?, number(words)?);
    if count > most {
        return Err(CommandError::owned(format!("LIMIT exceeds maximum of {most}")));
    }
    if offset > most {
        return Err(CommandError::owned(format!("OFFSET exceeds maximum of {most}")));
    }
    Ok((offset, count))
}

fn end(text: &[u8]) -> Option<End> {
    let (exclusive, number) = match text.strip_prefix(b"(") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    parse_f64(number).map(|value| End { value, exclusive })
}

/// The fields behind RETURN: names, each with `AS` and another name if it likes.
pub(super) fn returned(words: &[&[u8]]) -> Result<Vec<Returned>, CommandError> {
    let mut words = Words(words);
    let mut fields = Vec::new();
    while let Some(field) = words.next() {
        let field = field.strip_prefix(b"@").unwrap_or(field);
        let name = if words.take("AS") {
            words.next().ok_or(CommandError::text("RETURN path AS name - must be accompanied with NAME"))?
        } else {
            field
        };
        fields.push(Returned { field: field.to_vec(), name: name.to_vec() });
    }
    Ok(fields)
}

fn fields_of(words: &mut Words<'_>) -> Result<Named, CommandError> {
    if !words.take("FIELDS") {
        return Ok(Vec::new());
    }
    Ok(words.counted("FIELDS")?.iter().map(|field| field.to_vec()).collect())
}

fn highlight(words: &mut Words<'_>) -> Result<(Named, Marks), CommandError> {
    let fields = fields_of(words)?;
    let mut marks = Marks::default();
    if words.take("TAGS") {
        (marks.open, marks.close) = (words.value("HIGHLIGHT")?.to_vec(), words.value("HIGHLIGHT")?.to_vec());
    }
    Ok((fields, marks))
}

fn summarize(words: &mut Words<'_>) -> Result<(Named, Summary), CommandError> {
    let (mut fields, mut summary) = (fields_of(words)?, Summary::default());
    loop {
        if words.take("FRAGS") {
            summary.fragments = words.count("FRAGS")?;
        } else if words.take("LEN") {
            summary.words = words.count("LEN")?;
        } else if words.take("SEPARATOR") {
            summary.separator = words.value("SEPARATOR")?.to_vec();
        } else if words.peek().is_some_and(|word| is(word, "FIELDS")) {
            fields = fields_of(words)?;
        } else {
            return Ok((fields, summary));
        }
    }
}
