//! What a match is worth: the scorers of FT.SEARCH.
//!
//! A scorer has two halves: what a term adds ([`TermScore`], summed up by the iterators, which know weights), and what is
//! made of the sum for a document ([`Scoring::finish`]). BM25STD is Okapi BM25 as Lucene has it; BM25 is the older one,
//! which sets the frequency against the mean length only; TFIDF counts in whole bits of rarity.

use crate::index::DocId;
use crate::index::documents::Documents;

const K1: f64 = 1.2;
/// The older formula has it in single precision, which shows in the last digits of its scores.
const K1_SINGLE: f64 = 1.2_f32 as f64;
/// How much length counts, in BM25STD and in BM25.
const B_STD: f64 = 0.75;
const B: f64 = 0.5;

/// How matches are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scorer {
    /// Okapi BM25.
    #[default]
    Bm25Std,
    /// BM25STD divided by the best score of the answer.
    Bm25StdNorm,
    /// The hyperbolic tangent of BM25STD over a factor.
    Bm25StdTanh,
    /// The older BM25.
    Bm25,
    /// Frequency over rarity, divided by the frequency of the document's most frequent term.
    TfIdf,
    /// TFIDF divided by the document's length.
    TfIdfDocNorm,
    /// The sum of frequencies, or the largest among alternatives.
    DisMax,
    /// The document's own score.
    DocScore,
    /// How few bits the document's payload differs in from the query's.
    Hamming,
}

impl Scorer {
    /// A scorer by its name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        let names: [(&[u8], Self); 9] = [
            (b"BM25STD", Self::Bm25Std),
            (b"BM25STD.NORM", Self::Bm25StdNorm),
            (b"BM25STD.TANH", Self::Bm25StdTanh),
            (b"BM25", Self::Bm25),
            (b"TFIDF", Self::TfIdf),
            (b"TFIDF.DOCNORM", Self::TfIdfDocNorm),
            (b"DISMAX", Self::DisMax),
            (b"DOCSCORE", Self::DocScore),
            (b"HAMMING", Self::Hamming),
        ];
        names.iter().find(|(known, _)| *known == name).map(|(_, scorer)| *scorer)
    }

    /// Whether it asks how far words stand apart.
    pub(super) fn needs_places(self) -> bool {
        matches!(self, Self::Bm25 | Self::TfIdf | Self::TfIdfDocNorm)
    }
}

/// How a score came about: a line, and what it is made of.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Explanation {
    /// The line.
    pub text: String,
    /// Its parts.
    pub parts: Vec<Self>,
}

impl Explanation {
    pub(super) fn leaf(text: String) -> Self {
        Self { text, parts: Vec::new() }
    }

    pub(super) fn joined(weight: f64, score: f64, parts: Vec<Self>) -> Self {
        let children = if weight == 0.0 { 0.0 } else { score / weight };
        Self { text: format!("(Weight {weight:.2} * children {children:.2})"), parts }
    }
}

/// A scorer on an index, as it is while a query runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scoring<'a> {
    scorer: Scorer,
    documents: &'a Documents,
    tanh_factor: f64,
    payload: Option<&'a [u8]>,
}

/// What a term adds to the score of a document it stands in.
#[derive(Clone, Copy, Debug)]
pub(super) struct TermScore<'a> {
    documents: &'a Documents,
    formula: Formula,
    weight: f64,
    idf: f64,
    average: f64,
}

#[derive(Clone, Copy, Debug)]
enum Formula {
    Nothing,
    /// `factor * f / (f + base + slope * length)`.
    Bm25Std {
        factor: f64,
        base: f64,
        slope: f64,
    },
    /// `factor * f / (f + base)`.
    Bm25 {
        factor: f64,
        base: f64,
    },
    /// `factor * f`
    Frequency(f64),
}

impl<'a> Scoring<'a> {
    pub(super) fn new(scorer: Scorer, documents: &'a Documents, tanh_factor: f64, payload: Option<&'a [u8]>) -> Self {
        Self { scorer, documents, tanh_factor, payload }
    }

    pub(super) fn scorer(&self) -> Scorer {
        self.scorer
    }

    /// Whether a score is the sum of what its terms add, for every document.
    pub(super) fn is_sum(&self) -> bool {
        matches!(self.scorer, Scorer::Bm25Std | Scorer::Bm25StdNorm) && self.documents.all_score_one()
    }

    /// A term that stands in so many documents.
    pub(super) fn term(&self, documents: usize, weight: f64) -> TermScore<'a> {
        let (all, with) = (self.documents.len() as f64, documents as f64);
        let average = self.documents.average_length();
        let okapi = (1.0 + (all - with + 0.5).max(0.0) / (with + 0.5)).ln();
        let bits = (1.0 + (all + 1.0) / with.max(1.0)).log2().floor();
        let (formula, idf) = match self.scorer {
            Scorer::Bm25Std | Scorer::Bm25StdNorm | Scorer::Bm25StdTanh => {
                let slope = if average > 0.0 { K1 * B_STD / average } else { 0.0 };
                let (factor, base) = (weight * okapi * (K1 + 1.0), K1 * (1.0 - B_STD));
                (Formula::Bm25Std { factor, base, slope }, okapi)
            }
            Scorer::Bm25 => (Formula::Bm25 { factor: weight * bits, base: K1_SINGLE * (1.0 - B + B * average) }, bits),
            Scorer::TfIdf | Scorer::TfIdfDocNorm => (Formula::Frequency(weight * bits), bits),
            Scorer::DisMax => (Formula::Frequency(weight), 1.0),
            Scorer::DocScore | Scorer::Hamming => (Formula::Nothing, 0.0),
        };
        TermScore { documents: self.documents, formula, weight, idf, average }
    }

    /// What a match scores that is no term: a number, a point, any document.
    pub(super) fn other(&self, weight: f64) -> f64 {
        match self.scorer {
            Scorer::Bm25 => weight / (1.0 + K1_SINGLE * (1.0 - B + B * self.documents.average_length())),
            Scorer::TfIdf | Scorer::TfIdfDocNorm | Scorer::DisMax => weight,
            _ => 0.0,
        }
    }

    /// The score of a document whose terms come to `sum`, where words stand `apart`.
    #[inline]
    pub(super) fn finish(&self, doc: DocId, sum: f64, apart: f64) -> f64 {
        match self.scorer {
            Scorer::Bm25Std | Scorer::Bm25StdNorm => sum * f64::from(self.documents.score(doc)),
            Scorer::Bm25StdTanh => (sum * f64::from(self.documents.score(doc)) / self.tanh_factor).tanh(),
            Scorer::Bm25 => sum * f64::from(self.documents.score(doc)) / apart,
            Scorer::TfIdf | Scorer::TfIdfDocNorm => sum * f64::from(self.documents.score(doc)) / self.norm(doc) / apart,
            Scorer::DisMax => sum,
            Scorer::DocScore => f64::from(self.documents.score(doc)),
            Scorer::Hamming => self.likeness(doc),
        }
    }

    /// How [`Self::finish`] came about.
    pub(super) fn explain(&self, doc: DocId, sum: f64, apart: f64, words: Explanation) -> Explanation {
        let score = self.documents.score(doc);
        let text = match self.scorer {
            Scorer::Bm25Std | Scorer::Bm25StdNorm => {
                format!("Final BM25 : words BM25 {sum:.2} * document score {score:.2}")
            }
            Scorer::Bm25StdTanh => {
                let factor = self.tanh_factor;
                format!(
                    "Final Normalized BM25 : tanh(stretch factor 1/{factor} * Final BM25 {:.2})",
                    sum * f64::from(score)
                )
            }
            Scorer::Bm25 => {
                format!("Final BM25 : words BM25 {sum:.2} * document score {score:.2} / slop {apart:.0}")
            }
            Scorer::TfIdf | Scorer::TfIdfDocNorm => format!(
                "Final TFIDF : words TFIDF {sum:.2} * document score {score:.2} / norm {:.0} / slop {apart:.0}",
                self.norm(doc)
            ),
            Scorer::DisMax => return words,
            Scorer::DocScore => return Explanation::leaf(format!("Document's score is {score:.2}")),
            Scorer::Hamming => {
                return Explanation::leaf(format!(
                    "String length differ or hamming similarity {:.2}",
                    self.likeness(doc)
                ));
            }
        };
        Explanation { text, parts: vec![words] }
    }

    fn norm(&self, doc: DocId) -> f64 {
        let norm = match self.scorer {
            Scorer::TfIdfDocNorm => self.documents.length(doc),
            _ => self.documents.get(doc).map_or(1, |doc| doc.max_frequency),
        };
        f64::from(norm.max(1))
    }

    /// One over one more than the bits in which two payloads of the same length differ; zero for others.
    fn likeness(&self, doc: DocId) -> f64 {
        let payload = self.documents.get(doc).and_then(|doc| doc.payload.as_deref());
        match (payload, self.payload) {
            (Some(a), Some(b)) if a.len() == b.len() && !a.is_empty() => {
                let differ: u32 = a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum();
                1.0 / (f64::from(differ) + 1.0)
            }
            _ => 0.0,
        }
    }
}

impl<'a> TermScore<'a> {
    /// Of a term whose score nobody will ask for.
    pub(super) fn none(documents: &'a Documents) -> Self {
        Self { documents, formula: Formula::Nothing, weight: 1.0, idf: 0.0, average: 0.0 }
    }

    /// What the term adds to a document in which it stands so often.
    #[inline]
    pub(super) fn score(&self, doc: DocId, frequency: u32) -> f64 {
        let f = f64::from(frequency);
        match self.formula {
            Formula::Nothing => 0.0,
            Formula::Bm25Std { factor, base, slope } => {
                factor * f / (f + base + slope * f64::from(self.documents.length(doc)))
            }
            Formula::Bm25 { factor, base } => factor * f / (f + base),
            Formula::Frequency(factor) => factor * f,
        }
    }

    /// Frequencies in documents, and their lengths.
    pub(super) fn impacts(&self, docs: &[DocId], frequencies: &[u32]) -> impl Iterator<Item = (u32, u32)> {
        docs.iter().zip(frequencies).map(|(doc, frequency)| (*frequency, self.documents.length(*doc)))
    }

    /// The best score of some frequencies in documents of some lengths.
    pub(super) fn best(&self, impacts: impl Iterator<Item = (u32, u32)>) -> f64 {
        let Formula::Bm25Std { factor, base, slope } = self.formula else { return f64::INFINITY };
        let score = |(frequency, length): (u32, u32)| {
            let f = f64::from(frequency);
            factor * f / (f + base + slope * f64::from(length))
        };
        impacts.map(score).fold(0.0, f64::max)
    }

    /// [`Self::score`] of many documents.
    pub(super) fn scores(&self, docs: &[DocId], frequencies: &[u32], out: &mut [f64]) {
        let all = docs.iter().zip(frequencies).zip(&mut *out);
        match self.formula {
            Formula::Bm25Std { factor, base, slope } => {
                // Lengths are scattered in memory; the rest is arithmetic on arrays, many at a time.
                let lengths = self.documents.lengths();
                for ((&doc, _), out) in all {
                    *out = lengths.get(doc as usize).map_or(0.0, |length| f64::from(*length));
                }
                for (&frequency, out) in frequencies.iter().zip(out) {
                    let f = f64::from(frequency);
                    *out = factor * f / (f + base + slope * *out);
                }
            }
            _ => all.for_each(|((&doc, &frequency), out)| *out = self.score(doc, frequency)),
        }
    }

    /// How [`Self::score`] came about.
    pub(super) fn explain(&self, doc: DocId, frequency: u32) -> Explanation {
        let (score, weight, idf, average) = (self.score(doc, frequency), self.weight, self.idf, self.average);
        let length = self.documents.length(doc);
        Explanation::leaf(match self.formula {
            Formula::Bm25Std { .. } => format!(
                "({score:.2} = Weight {weight:.2} * IDF {idf:.2} * (F {frequency:.2} * (k1 1.2 + 1)) / \
                 (F {frequency:.2} + k1 1.2 * (1 - b 0.75 + b 0.75 * Doc Len {length} / Average Doc Len {average:.2})))"
            ),
            Formula::Bm25 { .. } => format!(
                "({score:.2} = Weight {weight:.2} * IDF {idf:.2} * F {frequency} / \
                 (F {frequency} + k1 1.2 * (1 - b 0.5 + b 0.5 * Average Len {average:.2})))"
            ),
            Formula::Frequency(_) => {
                format!("(TFIDF {score:.2} = Weight {weight:.2} * TF {frequency} * IDF {idf:.2})")
            }
            Formula::Nothing => String::from("(0.00)"),
        })
    }
}
