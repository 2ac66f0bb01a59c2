//! What FT.CREATE says of an index, and FT.ALTER adds to it.
//!
//! A definition is its words: those of FT.CREATE behind the name of the index, with those of every FT.ALTER behind them
//! (the schema stands last, so a field more is a field behind the last). That is what the stream, snapshots and replicas
//! carry, and parsing it again gives the same definition.

use std::sync::Arc;

use quiver_query::{Field, Schema};

use super::filter::Filter;
use super::schema::parse_fields;
use super::words::{Words, bad, unknown};
use crate::commands::args::is;
use crate::error::CommandError;
use crate::types::json::path::Path;

/// Which values are documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Hashes.
    Hash,
    /// JSON documents.
    Json,
}

impl Kind {
    /// The name FT.INFO prints.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hash => "HASH",
            Self::Json => "JSON",
        }
    }
}

/// An index as it was declared.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The words behind `FT.CREATE name`.
    pub(crate) words: Vec<Box<[u8]>>,
    /// Which values are documents.
    pub(crate) kind: Kind,
    /// Beginnings of the keys that are documents; one that is empty means all.
    pub(crate) prefixes: Vec<Box<[u8]>>,
    /// What else a document must meet.
    pub(crate) filter: Option<Filter>,
    /// Field with the language of a document.
    pub(crate) language_field: Option<Box<[u8]>>,
    /// Score of documents that name none.
    pub(crate) score: f64,
    /// Field with the score of a document.
    pub(crate) score_field: Option<Box<[u8]>>,
    /// Field that WITHPAYLOADS answers.
    pub(crate) payload_field: Option<Box<[u8]>>,
    /// The index goes when nobody has asked it for so long, ms.
    pub(crate) temporary_ms: Option<i64>,
    /// More than 32 TEXT fields were announced.
    pub(crate) max_text_fields: bool,
    /// Keys that were there before are not indexed.
    pub(crate) skip_initial_scan: bool,
    /// The fields.
    pub(crate) schema: Arc<Schema>,
    /// Paths of the fields in JSON documents, in the order of the fields.
    pub(crate) paths: Vec<Path>,
}

impl Definition {
    /// Reads the words behind the name of the index.
    pub(crate) fn parse(all: &[&[u8]]) -> Result<Self, CommandError> {
        let mut words = Words(all);
        let mut made = Self {
            words: all.iter().map(|word| (*word).into()).collect(),
            kind: Kind::Hash,
            prefixes: Vec::new(),
            filter: None,
            language_field: None,
            score: 1.0,
            score_field: None,
            payload_field: None,
            temporary_ms: None,
            max_text_fields: false,
            skip_initial_scan: false,
            schema: Arc::new(empty_schema()),
            paths: Vec::new(),
        };
        let mut schema = empty_schema();
        loop {
            let Some(word) = words.next() else { return Err(CommandError::text("No schema found")) };
            if is(word, "SCHEMA") {
                break;
            }
            made.option(word, &mut words, &mut schema)?;
        }
        if words.is_empty() {
            return Err(CommandError::text("Fields arguments are missing"));
        }
        if made.prefixes.is_empty() {
            made.prefixes.push(Box::default());
        }
        parse_fields(&mut words, &mut schema.fields, made.kind)?;
        if made.kind == Kind::Json {
            made.paths = schema.fields.iter().map(path_of).collect::<Result<_, _>>()?;
        }
        made.schema = Arc::new(schema);
        Ok(made)
    }

    /// With fields that FT.ALTER adds; `fields` are the words behind ADD.
    pub(crate) fn with_fields(&self, fields: &[&[u8]], skip_initial_scan: bool) -> Result<Self, CommandError> {
        let mut words: Vec<&[u8]> = Vec::with_capacity(self.words.len() + fields.len() + 1);
        if skip_initial_scan && !self.skip_initial_scan {
            words.push(b"SKIPINITIALSCAN");
        }
        words.extend(self.words.iter().map(|word| &**word));
        words.extend(fields);
        Self::parse(&words)
    }

    /// Whether a key of this name may be a document.
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    fn option(&mut self, word: &[u8], words: &mut Words<'_>, schema: &mut Schema) -> Result<(), CommandError> {
        if is(word, "ON") {
            let kind = words.value("ON")?;
            self.kind = match () {
                () if is(kind, "HASH") => Kind::Hash,
                () if is(kind, "JSON") => Kind::Json,
                () => {
                    return Err(CommandError::owned(format!("Invalid rule type: {}", crate::error::quote_word(kind))));
                }
            };
        } else if is(word, "PREFIX") {
            self.prefixes = words.counted("PREFIX")?.iter().map(|prefix| (*prefix).into()).collect();
        } else if is(word, "FILTER") {
            self.filter = Some(Filter::parse(words.value("FILTER")?)?);
        } else if is(word, "LANGUAGE") {
            let language = words.value("LANGUAGE")?;
            schema.language =
                super::language(language).ok_or_else(|| CommandError::text("Invalid language"))?.to_owned();
        } else if is(word, "LANGUAGE_FIELD") {
            self.language_field = Some(words.value("LANGUAGE_FIELD")?.into());
        } else if is(word, "SCORE") {
            self.score = words.float("SCORE")?;
            if !(0.0..=1.0).contains(&self.score) {
                return Err(CommandError::text("Invalid score"));
            }
        } else if is(word, "SCORE_FIELD") {
            self.score_field = Some(words.value("SCORE_FIELD")?.into());
        } else if is(word, "PAYLOAD_FIELD") {
            self.payload_field = Some(words.value("PAYLOAD_FIELD")?.into());
        } else if is(word, "TEMPORARY") {
            let seconds = words.float("TEMPORARY")?;
            if !(0.001..=1e12).contains(&seconds) {
                return Err(bad("TEMPORARY", "Value is outside acceptable bounds"));
            }
            self.temporary_ms = Some((seconds * 1000.0) as i64);
        } else if is(word, "STOPWORDS") {
            let stop_words = words.counted("STOPWORDS")?;
            let lower = |word: &&[u8]| String::from_utf8_lossy(word).to_lowercase();
            schema.stop_words = Some(stop_words.iter().map(lower).collect());
        } else if is(word, "INDEXALL") {
            let how = words.value("INDEXALL")?;
            if !is(how, "ENABLE") && !is(how, "DISABLE") {
                return Err(bad("INDEXALL", "Invalid argument for `INDEXALL`, use ENABLE/DISABLE"));
            }
        } else {
            self.switch(word, schema)?;
        }
        Ok(())
    }

    fn switch(&mut self, word: &[u8], schema: &mut Schema) -> Result<(), CommandError> {
        let switch = match word.to_ascii_uppercase().as_slice() {
            b"MAXTEXTFIELDS" => &mut self.max_text_fields,
            b"SKIPINITIALSCAN" => &mut self.skip_initial_scan,
            b"NOOFFSETS" => &mut schema.no_offsets,
            b"NOHL" => &mut schema.no_highlight,
            b"NOFIELDS" => &mut schema.no_fields,
            b"NOFREQS" => &mut schema.no_frequencies,
            _ => return Err(unknown(word)),
        };
        *switch = true;
        Ok(())
    }
}

fn path_of(field: &Field) -> Result<Path, CommandError> {
    let text = std::str::from_utf8(&field.path).ok();
    text.and_then(|text| Path::parse(text).ok())
        .ok_or_else(|| CommandError::owned(format!("Invalid JSONPath `{}`", crate::error::quote_word(&field.path))))
}

fn empty_schema() -> Schema {
    Schema {
        fields: Vec::new(),
        language: "english".to_owned(),
        stop_words: None,
        no_offsets: false,
        no_fields: false,
        no_frequencies: false,
        no_highlight: false,
    }
}
