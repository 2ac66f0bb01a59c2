//! From a document to what the indexes take: words with their places, tags, numbers, points, vectors. Reads only.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use crate::document::{Document, FieldValue};
use crate::index::geo::{LATITUDE_MAX, LONGITUDE_MAX};
use crate::index::postings::Entry;
use crate::index::shape::Geometry;
use crate::index::{DocId, Index, KindIndex, SOUND, STEM, postings, vectors};
use crate::limits::TAG_BYTES;
use crate::schema::{Field, FieldKind, VectorField};
use crate::text::fold_tag;

/// Places between two values of one field, so that no phrase reaches from one into the next.
const VALUE_GAP: u32 = 100;
/// What a stem counts for, as part of what the word does.
const STEM_WEIGHT: f64 = 0.2;

/// Why a document is not indexed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IndexingError(String);

impl IndexingError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A document ready to be put in.
#[derive(Debug)]
pub struct Prepared {
    pub(super) key: Box<[u8]>,
    /// The key's hash: levels of its vectors in graphs follow from it.
    pub(super) hash: u64,
    pub(super) score: f32,
    pub(super) payload: Option<Box<[u8]>>,
    /// Of all texts.
    pub(super) digest: u64,
    /// `None` when the texts are those the index has.
    pub(super) texts: Option<Texts>,
    /// What each field of the schema takes, where it has something.
    pub(super) fields: Vec<Content>,
    pub(super) sortables: Vec<Option<Box<[u8]>>>,
}

/// What a field takes.
#[derive(Debug, Default)]
pub(super) enum Content {
    #[default]
    Missing,
    Text,
    Tags(Vec<Vec<u8>>),
    Numbers(Vec<f64>),
    Points(Vec<[f64; 2]>),
    Shapes(Vec<Geometry>),
    Vectors(vectors::Prepared),
}

/// The words of all texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    words: Vec<WordOf>,
    /// Texts and positions of all words.
    bytes: Vec<u8>,
    positions: Vec<u8>,
    pub(super) length: u32,
    pub(super) max_frequency: u32,
}

/// A word of a document: where its text and its positions are.
#[derive(Debug)]
struct WordOf {
    text: Range<usize>,
    frequency: u32,
    fields: u128,
    positions: Range<usize>,
}

impl Texts {
    /// The words, ascending, each as the entry it makes for a document.
    pub(super) fn entries(&self, doc: DocId) -> impl Iterator<Item = (&[u8], Entry<'_>)> {
        self.words.iter().map(move |word| {
            let positions = &self.positions[word.positions.clone()];
            let entry = Entry { doc, frequency: word.frequency, fields: word.fields, positions };
            (&self.bytes[word.text.clone()], entry)
        })
    }
}

impl Index {
    /// Does what takes long of putting a document in, while others read or prepare, too.
    /// # Errors
    /// What cannot be indexed.
    pub fn prepare(&self, key: &[u8], document: &Document) -> Result<Prepared, IndexingError> {
        let old = self.documents.find(key);
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut prepared = Prepared {
            key: key.into(),
            hash: hasher.finish(),
            score: if document.score.is_finite() { document.score } else { 1.0 },
            payload: document.payload.as_deref().map(Into::into),
            digest: 0,
            texts: None,
            fields: Vec::new(),
            sortables: vec![None; self.schema.fields.len()],
        };
        prepared.fields.resize_with(self.schema.fields.len(), Content::default);
        let language = document.language.as_deref().unwrap_or(&self.schema.language);
        let (mut texts, mut digest) = (Vec::new(), DefaultHasher::new());
        language.hash(&mut digest);
        for (place, value) in &document.fields {
            let at = *place as usize;
            let Some(field) = self.schema.fields.get(at) else { continue };
            let content = self.content(field, at, value, old, prepared.hash)?;
            if field.sortable && prepared.sortables[at].is_none() {
                prepared.sortables[at] = sortable(field, value);
            }
            if let (Content::Text, FieldValue::Texts(values), false) = (&content, value, field.no_index) {
                place.hash(&mut digest);
                values.hash(&mut digest);
                texts.push((*place, &values[..]));
            }
            merge(&mut prepared.fields[at], content);
        }
        prepared.digest = digest.finish();
        let same = old.and_then(|doc| self.documents.get(doc)).is_some_and(|doc| doc.digest == prepared.digest);
        if !same {
            prepared.texts = Some(self.words_of(language, &texts));
        }
        Ok(prepared)
    }

    fn content(
        &self,
        field: &Field,
        at: usize,
        value: &FieldValue,
        old: Option<DocId>,
        hash: u64,
    ) -> Result<Content, IndexingError> {
        if *value == FieldValue::Null {
            return Ok(Content::Missing);
        }
        Ok(match &field.kind {
            FieldKind::Text { .. } => match value {
                FieldValue::Texts(_) => Content::Text,
                other => return Err(mistyped(field, other)),
            },
            FieldKind::Tag { separator, case_sensitive, .. } => {
                Content::Tags(tags(field, *separator, *case_sensitive, value)?)
            }
            FieldKind::Numeric => Content::Numbers(numbers(field, value)?),
            FieldKind::Geo => Content::Points(points(field, value)?),
            FieldKind::GeoShape { .. } => Content::Shapes(shapes(field, value)?),
            FieldKind::Vector(vector) => {
                let vectors = vectors_of(field, vector, value)?;
                let KindIndex::Vector(index) = &self.fields[at].kind else { return Ok(Content::Missing) };
                let prepared = index.prepare(old, hash, vectors);
                Content::Vectors(prepared.map_err(|error| IndexingError::new(error.to_string()))?)
            }
        })
    }

    /// Every word of the texts, with its stem and its sound, ascending.
    fn words_of(&self, language: &str, texts: &[(u16, &[Vec<u8>])]) -> Texts {
        let (mut words, mut length) = (Words::default(), 0_u32);
        let mut texts = texts.to_vec();
        texts.sort_by_key(|(place, _)| *place);
        // Places go on from one field to the next, as if one stood behind the other: `slop` counts across fields.
        let mut position = 0;
        for (place, values) in &texts {
            let (Some(ordinal), Some(field)) = (self.ordinal(*place), self.schema.fields.get(*place as usize)) else {
                continue;
            };
            let FieldKind::Text { weight, no_stem, phonetic, .. } = &field.kind else { continue };
            for (nth, value) in values.iter().enumerate() {
                if nth > 0 {
                    position += VALUE_GAP;
                }
                if value.is_empty() && field.index_empty {
                    words.add(&[], b"", ordinal, position, *weight);
                }
                self.analyzer.words(language, value, &mut |word| {
                    words.add(&[], word.as_bytes(), ordinal, position, *weight);
                    if let Some(stem) = Some(word).filter(|_| !no_stem).and_then(|w| self.analyzer.stem(language, w))
                        && stem != word
                    {
                        words.add(&[STEM], stem.as_bytes(), ordinal, position, *weight * STEM_WEIGHT);
                    }
                    if let Some(matcher) = phonetic {
                        for sound in self.analyzer.sounds(matcher, word) {
                            words.add(&[SOUND], sound.as_bytes(), ordinal, position, *weight * STEM_WEIGHT);
                        }
                    }
                    position += 1;
                    length = length.saturating_add(1);
                });
            }
        }
        Texts { length, ..words.finish(self.schema.no_offsets, self.schema.no_frequencies) }
    }
}

/// Words while they are collected, one behind the other as they come: sorting them is cheaper than finding each again.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    occurrences: Vec<Occurrence>,
}

/// A word at a place of a field.
struct Occurrence {
    text: Range<usize>,
    field: u32,
    position: u32,
    weight: u32,
}

impl Words {
    /// `kind` stands before the word in the dictionary.
    fn add(&mut self, kind: &[u8], word: &[u8], field: u32, position: u32, weight: f64) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(kind);
        self.bytes.extend_from_slice(word);
        let (text, weight) = (start..self.bytes.len(), (weight as u32).max(1));
        self.occurrences.push(Occurrence { text, field, position, weight });
    }

    fn finish(self, no_offsets: bool, no_frequencies: bool) -> Texts {
        let Self { bytes, mut occurrences } = self;
        let text = |occurrence: &Occurrence| &bytes[occurrence.text.clone()];
        let place = |occurrence: &Occurrence| (occurrence.field, occurrence.position);
        occurrences.sort_unstable_by(|a, b| text(a).cmp(text(b)).then_with(|| place(a).cmp(&place(b))));
        let (mut words, mut positions, mut places) = (Vec::with_capacity(occurrences.len()), Vec::new(), Vec::new());
        let mut max_frequency = 0;
        for of_word in occurrences.chunk_by(|a, b| text(a) == text(b)) {
            let (start, mut fields) = (positions.len(), 0_u128);
            for of_field in of_word.chunk_by(|a, b| a.field == b.field) {
                fields |= 1 << of_field[0].field;
                if !no_offsets {
                    places.clear();
                    places.extend(of_field.iter().map(|occurrence| occurrence.position));
                    // Two sounds of one word may be the same.
                    places.dedup();
                    postings::put_places(&mut positions, places.iter().copied());
                }
            }
            let frequency = of_word.iter().map(|occurrence| occurrence.weight).fold(0, u32::saturating_add);
            let frequency = if no_frequencies { 1 } else { frequency };
            max_frequency = max_frequency.max(frequency);
            words.push(WordOf { text: of_word[0].text.clone(), frequency, fields, positions: start..positions.len() });
        }
        Texts { words, bytes, positions, length: 0, max_frequency }
    }
}

/// Adds what another value of the same field has.
fn merge(content: &mut Content, more: Content) {
    match (content, more) {
        (_, Content::Missing) => {}
        (Content::Tags(tags), Content::Tags(more)) => {
            tags.extend(more);
            tags.sort_unstable();
            tags.dedup();
        }
        (Content::Numbers(numbers), Content::Numbers(more)) => {
            let mut seen: HashSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
            numbers.extend(more.into_iter().filter(|number| seen.insert(number.to_bits())));
        }
        (Content::Points(points), Content::Points(more)) => {
            points.extend(more);
            unique(points);
        }
        (Content::Shapes(shapes), Content::Shapes(more)) => shapes.extend(more),
        (content, more) => *content = more,
    }
}

/// Values in their order, each once.
fn unique<const N: usize>(values: &mut Vec<[f64; N]>) {
    let mut seen = HashSet::new();
    values.retain(|value| seen.insert(value.map(f64::to_bits)));
}

fn mistyped(field: &Field, value: &FieldValue) -> IndexingError {
    let kind = match value {
        FieldValue::Texts(_) => "String",
        FieldValue::Numbers(_) => "Number",
        FieldValue::Vectors(_) => "Array",
        FieldValue::Bool(_) => "Boolean",
        FieldValue::Null => "Null",
    };
    IndexingError::new(format!("Invalid JSON type: {kind} type cannot represent field {}", field.name.escape_ascii()))
}

fn tags(field: &Field, separator: u8, case_sensitive: bool, value: &FieldValue) -> Result<Vec<Vec<u8>>, IndexingError> {
    let texts = match value {
        FieldValue::Texts(texts) => texts.clone(),
        FieldValue::Bool(value) => vec![value.to_string().into_bytes()],
        other => return Err(mistyped(field, other)),
    };
    let parts = texts.iter().flat_map(|text| text.split(move |&byte| separator != 0 && byte == separator));
    let parts = parts.map(|part| if separator == 0 { part } else { part.trim_ascii() });
    let parts = parts.filter(|part| field.index_empty || !part.is_empty());
    let parts = parts.map(|part| &part[..part.len().min(TAG_BYTES)]);
    let mut tags: Vec<Vec<u8>> =
        parts.map(|part| if case_sensitive { part.to_vec() } else { fold_tag(part).into_owned() }).collect();
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

fn number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

fn numbers(field: &Field, value: &FieldValue) -> Result<Vec<f64>, IndexingError> {
    let invalid = |text: &[u8]| IndexingError::new(format!("Invalid numeric value: '{}'", text.escape_ascii()));
    let values: Vec<f64> = match value {
        FieldValue::Texts(texts) => {
            texts.iter().map(|text| number(text).ok_or_else(|| invalid(text))).collect::<Result<_, _>>()?
        }
        FieldValue::Numbers(numbers) if numbers.iter().any(|number| number.is_nan()) => return Err(invalid(b"nan")),
        FieldValue::Numbers(numbers) => numbers.clone(),
        other => return Err(mistyped(field, other)),
    };
    // One zero, whatever its sign: ranges compare by order.
    let mut values: Vec<[f64; 1]> = values.into_iter().map(|number| [number + 0.0]).collect();
    unique(&mut values);
    Ok(values.into_iter().flatten().collect())
}

fn points(field: &Field, value: &FieldValue) -> Result<Vec<[f64; 2]>, IndexingError> {
    let FieldValue::Texts(texts) = value else { return Err(mistyped(field, value)) };
    let mut points = Vec::with_capacity(texts.len());
    for text in texts {
        let parts: Vec<&[u8]> = text.splitn(2, |&byte| byte == b',').collect();
        let point = match parts[..] {
            [longitude, latitude] => number(longitude).zip(number(latitude)),
            _ => None,
        };
        let point =
            point.filter(|(longitude, latitude)| longitude.abs() <= LONGITUDE_MAX && latitude.abs() <= LATITUDE_MAX);
        let Some((longitude, latitude)) = point else {
            return Err(IndexingError::new(format!("Invalid geo string: '{}'", text.escape_ascii())));
        };
        points.push([longitude + 0.0, latitude + 0.0]);
    }
    unique(&mut points);
    Ok(points)
}

fn shapes(field: &Field, value: &FieldValue) -> Result<Vec<Geometry>, IndexingError> {
    let FieldValue::Texts(texts) = value else { return Err(mistyped(field, value)) };
    texts.iter().map(|text| Geometry::parse(text).map_err(IndexingError::new)).collect()
}

fn vectors_of(field: &Field, vector: &VectorField, value: &FieldValue) -> Result<Vec<Vec<f32>>, IndexingError> {
    match value {
        FieldValue::Texts(blobs) => {
            let expected = vector.dim * vector.component.size();
            if let Some(blob) = blobs.iter().find(|blob| blob.len() != expected) {
                return Err(IndexingError::new(format!(
                    "Could not add vector with blob size {} (expected size {expected})",
                    blob.len()
                )));
            }
            Ok(blobs.iter().map(|blob| vector.component.read(blob)).collect())
        }
        FieldValue::Numbers(numbers) => Ok(vec![numbers.iter().map(|&number| number as f32).collect()]),
        FieldValue::Vectors(vectors) => Ok(vectors.clone()),
        other => Err(mistyped(field, other)),
    }
}

/// The text a document is sorted by.
fn sortable(field: &Field, value: &FieldValue) -> Option<Box<[u8]>> {
    let text = match value {
        FieldValue::Texts(texts) => texts.first()?.clone(),
        FieldValue::Bool(value) => value.to_string().into_bytes(),
        _ => return None,
    };
    let sortable = match field.kind {
        FieldKind::Text { .. } | FieldKind::Tag { .. } if field.unnormalized => text,
        FieldKind::Text { .. } | FieldKind::Tag { .. } => fold_tag(&text).into_owned(),
        FieldKind::Geo | FieldKind::GeoShape { .. } => text,
        FieldKind::Numeric | FieldKind::Vector(_) => return None,
    };
    Some(sortable.into())
}
