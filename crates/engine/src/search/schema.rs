//! The fields behind SCHEMA.

use quiver_query::{Field, FieldKind, VectorAlgorithm, VectorField, VectorType, limits};
use quiver_vector::Metric;

use super::definition::Kind;
use super::words::{Words, bad};
use crate::commands::args::is;
use crate::error::{CommandError, quote_word};
use crate::number::{parse_f64, parse_i64};

/// Most components of a vector.
const DIM_MAX: usize = 32_768;

/// Reads fields up to the end of the words.
pub(super) fn parse_fields(words: &mut Words<'_>, fields: &mut Vec<Field>, on: Kind) -> Result<(), CommandError> {
    while let Some(path) = words.next() {
        let name = if words.take("AS") { words.value("AS")? } else { path };
        if fields.iter().any(|field| *field.name == *name) {
            return Err(CommandError::owned(format!("Duplicate field in schema - {}", quote_word(name))));
        }
        if fields.len() >= limits::FIELDS {
            return Err(CommandError::owned(format!("Schema is limited to {} fields", limits::FIELDS)));
        }
        fields.push(parse_field(words, path, name, on)?);
        let texts = fields.iter().filter(|field| matches!(field.kind, FieldKind::Text { .. })).count();
        if texts > limits::TEXT_FIELDS {
            return Err(CommandError::owned(format!("Schema is limited to {} TEXT fields", limits::TEXT_FIELDS)));
        }
    }
    Ok(())
}

fn parse_field(words: &mut Words<'_>, path: &[u8], name: &[u8], on: Kind) -> Result<Field, CommandError> {
    let invalid = || CommandError::owned(format!("Invalid field type for field `{}`", quote_word(name)));
    let kind = match words.next().ok_or_else(invalid)?.to_ascii_uppercase().as_slice() {
        b"TEXT" => FieldKind::Text { weight: 1.0, no_stem: false, phonetic: None, suffixes: false },
        // A comma separates the values of a hash's field; a JSON array needs no separator.
        b"TAG" => FieldKind::Tag {
            separator: if on == Kind::Hash { b',' } else { 0 },
            case_sensitive: false,
            suffixes: false,
        },
        b"NUMERIC" => FieldKind::Numeric,
        b"GEO" => FieldKind::Geo,
        b"GEOSHAPE" => FieldKind::GeoShape { spherical: !words.take("FLAT") },
        b"VECTOR" => FieldKind::Vector(parse_vector(words)?),
        _ => return Err(invalid()),
    };
    let mut field = Field {
        path: path.to_vec(),
        name: name.to_vec(),
        kind,
        sortable: false,
        unnormalized: false,
        no_index: false,
        index_missing: false,
        index_empty: false,
    };
    if matches!(field.kind, FieldKind::GeoShape { spherical: true }) {
        words.take("SPHERICAL");
    }
    while field_option(words, &mut field)? {}
    Ok(field)
}

/// Takes an option of a field; `false` where the next word is none.
fn field_option(words: &mut Words<'_>, field: &mut Field) -> Result<bool, CommandError> {
    let Some(word) = words.peek() else { return Ok(false) };
    let mut behind = *words;
    behind.next();
    match (word.to_ascii_uppercase().as_slice(), &mut field.kind) {
        (b"WEIGHT", FieldKind::Text { weight, .. }) => *weight = behind.float("weight")?,
        (b"NOSTEM", FieldKind::Text { no_stem, .. }) => *no_stem = true,
        (b"PHONETIC", FieldKind::Text { phonetic, .. }) => {
            let matcher = behind.value("PHONETIC")?;
            if ![b"dm:en", b"dm:fr", b"dm:pt", b"dm:es"].iter().any(|known| *known == matcher) {
                return Err(CommandError::text(
                    "Matcher Format: <2 chars algorithm>:<2 chars language>. Support algorithms: double metaphone (dm). \
                     Supported languages: English (en), French (fr), Portuguese (pt) and Spanish (es)",
                ));
            }
            *phonetic = Some(String::from_utf8_lossy(matcher).into_owned());
        }
        (b"WITHSUFFIXTRIE", FieldKind::Text { suffixes, .. } | FieldKind::Tag { suffixes, .. }) => *suffixes = true,
        (b"SEPARATOR", FieldKind::Tag { separator, .. }) => match behind.value("SEPARATOR")? {
            [byte] => *separator = *byte,
            other => {
                return Err(CommandError::owned(format!(
                    "Tag separator must be a single character. Got `{}`",
                    quote_word(other)
                )));
            }
        },
        (b"CASESENSITIVE", FieldKind::Tag { case_sensitive, .. }) => *case_sensitive = true,
        (b"INDEXEMPTY", FieldKind::Text { .. } | FieldKind::Tag { .. }) => field.index_empty = true,
        (b"INDEXMISSING", _) => field.index_missing = true,
        (b"NOINDEX", _) => field.no_index = true,
        (b"SORTABLE", kind) => {
            if matches!(kind, FieldKind::Vector(_) | FieldKind::GeoShape { .. }) {
                return Err(CommandError::owned(format!(
                    "Invalid field type for field `{}`: SORTABLE is not supported",
                    quote_word(&field.name)
                )));
            }
            field.sortable = true;
            // Numbers and places are kept as they are.
            field.unnormalized = behind.take("UNF") || matches!(kind, FieldKind::Numeric | FieldKind::Geo);
        }
        _ => return Ok(false),
    }
    *words = behind;
    Ok(true)
}

/// Reads algorithm, number of words, and so many words of names and values.
fn parse_vector(words: &mut Words<'_>) -> Result<VectorField, CommandError> {
    const OF: &str = "vector similarity algorithm";
    let name = words.value(OF)?.to_ascii_uppercase();
    let algorithm = match name.as_slice() {
        b"FLAT" => VectorAlgorithm::Flat { block_size: 1024 },
        b"HNSW" => VectorAlgorithm::Hnsw { m: 16, ef_construction: 200, ef_runtime: 10, epsilon: 0.01 },
        b"SVS-VAMANA" => VectorAlgorithm::Vamana { parameters: Vec::new() },
        _ => return Err(bad(OF, "Unknown argument")),
    };
    let count = words.count("vector similarity number of parameters")?;
    if count % 2 == 1 {
        return Err(CommandError::owned(format!(
            "Bad number of arguments for vector similarity index: got {count} but expected even number (as algorithm \
             parameters should be submitted as named arguments)"
        )));
    }
    if count > words.0.len() {
        return Err(bad(OF, "Expected an argument, but none provided"));
    }
    let (given, rest) = words.0.split_at(count);
    words.0 = rest;
    let shown = String::from_utf8_lossy(&name).into_owned();
    let mut read = Vector { shown: &shown, algorithm, component: None, dim: None, metric: None, initial_capacity: 0 };
    for pair in given.chunks_exact(2) {
        read.parameter(pair[0], pair[1])?;
    }
    read.finish()
}

struct Vector<'a> {
    shown: &'a str,
    algorithm: VectorAlgorithm,
    component: Option<VectorType>,
    dim: Option<usize>,
    metric: Option<Metric>,
    initial_capacity: usize,
}

impl Vector<'_> {
    fn bad(&self, what: &str) -> CommandError {
        bad(&format!("vector similarity {} index {what}", self.shown), "Could not convert argument to expected type")
    }

    fn number(&self, value: &[u8], what: &str, max: usize) -> Result<usize, CommandError> {
        let number = parse_i64(value).and_then(|number| usize::try_from(number).ok());
        number.filter(|number| (1..=max).contains(number)).ok_or_else(|| self.bad(what))
    }

    fn parameter(&mut self, name: &[u8], value: &[u8]) -> Result<(), CommandError> {
        let name = name.to_ascii_uppercase();
        match name.as_slice() {
            b"TYPE" => self.component = Some(component(value).ok_or_else(|| self.bad("type"))?),
            b"DIM" => self.dim = Some(self.number(value, "dim", DIM_MAX)?),
            b"DISTANCE_METRIC" => self.metric = Some(metric(value).ok_or_else(|| self.bad("metric"))?),
            // Room is made as vectors come: a claim must not size anything.
            b"INITIAL_CAP" => {
                let capacity = parse_i64(value).and_then(|number| usize::try_from(number).ok());
                self.initial_capacity = capacity.ok_or_else(|| self.bad("initial cap"))?;
            }
            _ => self.own_parameter(&name, value)?,
        }
        Ok(())
    }

    /// A parameter of one algorithm only.
    fn own_parameter(&mut self, name: &[u8], value: &[u8]) -> Result<(), CommandError> {
        const SVS: &[&str] = &[
            "COMPRESSION",
            "CONSTRUCTION_WINDOW_SIZE",
            "GRAPH_MAX_DEGREE",
            "SEARCH_WINDOW_SIZE",
            "EPSILON",
            "TRAINING_THRESHOLD",
            "REDUCE",
        ];
        let number = |what, max| self.number(value, what, max);
        match (name, &self.algorithm) {
            (b"BLOCK_SIZE", VectorAlgorithm::Flat { .. }) => {
                self.algorithm = VectorAlgorithm::Flat { block_size: number("blocksize", 1 << 30)? };
            }
            (_, VectorAlgorithm::Hnsw { m, ef_construction, ef_runtime, epsilon }) => {
                let (mut m, mut ef_construction, mut ef_runtime, mut epsilon) =
                    (*m, *ef_construction, *ef_runtime, *epsilon);
                match name {
                    b"M" => m = number("m", 4096)?,
                    b"EF_CONSTRUCTION" => ef_construction = number("efc", 1_000_000)?,
                    b"EF_RUNTIME" => ef_runtime = number("efr", 1_000_000)?,
                    b"EPSILON" => {
                        let given = parse_f64(value).filter(|epsilon| *epsilon > 0.0 && epsilon.is_finite());
                        epsilon = given.ok_or_else(|| self.bad("epsilon"))?;
                    }
                    _ => return Err(self.unknown(name)),
                }
                self.algorithm = VectorAlgorithm::Hnsw { m, ef_construction, ef_runtime, epsilon };
            }
            (_, VectorAlgorithm::Vamana { parameters }) => {
                let known = String::from_utf8_lossy(name).into_owned();
                if !SVS.contains(&known.as_str()) {
                    return Err(self.unknown(name));
                }
                let mut parameters = parameters.clone();
                parameters.push((known.to_ascii_lowercase(), quote_word(value)));
                self.algorithm = VectorAlgorithm::Vamana { parameters };
            }
            _ => return Err(self.unknown(name)),
        }
        Ok(())
    }

    fn unknown(&self, name: &[u8]) -> CommandError {
        CommandError::owned(format!("Bad arguments for algorithm {}: {}", self.shown, quote_word(name)))
    }

    fn finish(mut self) -> Result<VectorField, CommandError> {
        let missing = |what: &str| {
            CommandError::owned(format!(
                "Missing mandatory parameter: cannot create {} index without specifying {what} argument",
                self.shown
            ))
        };
        let component = self.component.ok_or_else(|| missing("TYPE"))?;
        let dim = self.dim.ok_or_else(|| missing("DIM"))?;
        let metric = self.metric.ok_or_else(|| missing("DISTANCE_METRIC"))?;
        if let VectorAlgorithm::Vamana { parameters } = &mut self.algorithm {
            for (name, value) in
                [("graph_max_degree", "32"), ("construction_window_size", "200"), ("compression", "NO_COMPRESSION")]
            {
                if !parameters.iter().any(|(known, _)| known == name) {
                    parameters.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(VectorField { algorithm: self.algorithm, component, dim, metric, initial_capacity: self.initial_capacity })
    }
}

fn component(name: &[u8]) -> Option<VectorType> {
    Some(match name.to_ascii_uppercase().as_slice() {
        b"FLOAT32" => VectorType::Float32,
        b"FLOAT64" => VectorType::Float64,
        b"FLOAT16" => VectorType::Float16,
        b"BFLOAT16" => VectorType::BFloat16,
        b"INT8" => VectorType::Int8,
        b"UINT8" => VectorType::Uint8,
        _ => return None,
    })
}

/// The name of a type of components.
pub(crate) fn component_name(component: VectorType) -> &'static str {
    match component {
        VectorType::Float32 => "FLOAT32",
        VectorType::Float64 => "FLOAT64",
        VectorType::Float16 => "FLOAT16",
        VectorType::BFloat16 => "BFLOAT16",
        VectorType::Int8 => "INT8",
        VectorType::Uint8 => "UINT8",
    }
}

fn metric(name: &[u8]) -> Option<Metric> {
    match () {
        () if is(name, "L2") => Some(Metric::L2),
        () if is(name, "IP") => Some(Metric::InnerProduct),
        () if is(name, "COSINE") => Some(Metric::Cosine),
        () => None,
    }
}

/// The name of a metric.
pub(crate) fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::L2 => "L2",
        Metric::InnerProduct => "IP",
        Metric::Cosine => "COSINE",
    }
}
