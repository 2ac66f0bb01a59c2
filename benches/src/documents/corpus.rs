//! Documents made of the bundled data set, as many as are asked for, and questions about them.
//!
//! A document is two of the bundled glosses behind each other, and their embeddings mixed with a little noise; it has one
//! of a hundred tags, one of ten groups, and a number below a thousand. Questions about words are taken from documents,
//! so each has an answer, and common words are asked for more often than rare ones; vectors asked about are mixtures of
//! other glosses. Everything follows from the seed.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use quiver_query::text::StopWords;

use crate::npy::{self, Matrix};

/// How much the second gloss of a document counts, and the noise, as clients are measured with.
const SECOND: f32 = 0.6;
const NOISE: f32 = 0.02;

/// What text is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Documents with a word.
    Word,
    /// With two words.
    Two,
    /// With one of two words.
    Either,
    /// With two words in a row.
    Phrase,
    /// With a word that begins with three letters.
    Prefix,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Word, Self::Two, Self::Either, Self::Phrase, Self::Prefix];

    /// As peers are told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Two => "two",
            Self::Either => "either",
            Self::Phrase => "phrase",
            Self::Prefix => "prefix",
        }
    }

    /// The question in the query language.
    pub fn query(self, words: &[String]) -> String {
        match self {
            Self::Word => words[0].clone(),
            Self::Two => words.join(" "),
            Self::Either => words.join("|"),
            Self::Phrase => format!("\"{}\"", words.join(" ")),
            Self::Prefix => format!("{}*", words[0]),
        }
    }
}

/// SplitMix64.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// Normally distributed, more or less: a sum of four uniform numbers of the same deviation.
    fn normal(&mut self) -> f32 {
        let uniform = |bits: u64| (bits & 0xffff) as f32 / 65_536.0;
        let bits = self.next();
        ((0..4).map(|i| uniform(bits >> (16 * i))).sum::<f32>() - 2.0) * 3.0_f32.sqrt()
    }
}

/// The words of each question, by [`Kind::ALL`].
pub type Questions = [Vec<Vec<String>>; 5];

/// The documents and the questions.
#[derive(Debug)]
pub struct Corpus {
    /// Texts.
    pub texts: Vec<String>,
    /// Vectors of length one, one a document.
    pub vectors: Matrix<f32>,
    /// Tag below 100, group below 10 and number below 1000 of each document.
    pub facts: Vec<[usize; 3]>,
    /// Vectors to ask about.
    pub asked: Matrix<f32>,
    /// Questions about words, by [`Kind::ALL`].
    pub questions: Questions,
}

impl Corpus {
    /// `documents` documents of the glosses in `folder`, `questions` of each kind, `vectors` to ask about.
    pub fn new(folder: &Path, documents: usize, questions: usize, vectors: usize) -> Result<Self> {
        let path = folder.join("base.txt");
        let glosses = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let glosses: Vec<&str> = glosses.lines().collect();
        let base = npy::read_f32(&folder.join("base.npy"))?;
        ensure!(glosses.len() == base.rows && documents > 0, "{} glosses, {} vectors", glosses.len(), base.rows);
        let mut random = Random(1);
        let (mut texts, mut facts) = (Vec::with_capacity(documents), Vec::with_capacity(documents));
        let mut all = Vec::with_capacity(documents * base.columns);
        for _ in 0..documents {
            let pair = [random.below(base.rows), random.below(base.rows)];
            texts.push(format!("{}; {}", glosses[pair[0]], glosses[pair[1]]));
            facts.push([random.below(100), random.below(10), random.below(1000)]);
            mix(&base, pair, &mut random, &mut all);
        }
        let mut asked = Vec::with_capacity(vectors * base.columns);
        for _ in 0..vectors {
            let pair = [random.below(base.rows), random.below(base.rows)];
            mix(&base, pair, &mut random, &mut asked);
        }
        let questions = Kind::ALL.map(|kind| questions_of(kind, &texts, questions, &mut random));
        let matrix = |data: Vec<f32>| Matrix { rows: data.len() / base.columns, columns: base.columns, data };
        Ok(Self { vectors: matrix(all), asked: matrix(asked), texts, facts, questions })
    }

    /// Questions of a kind.
    pub fn questions(&self, kind: Kind) -> &[Vec<String>] {
        Kind::ALL.iter().position(|other| *other == kind).map_or(&[], |at| &self.questions[at])
    }

    /// Writes what peers read: `texts.txt`, `questions.json`, `facts.txt`, and the vectors as bare floats.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::write(folder.join("texts.txt"), self.texts.join("\n"))?;
        let questions: serde_json::Map<String, serde_json::Value> =
            Kind::ALL.iter().map(|kind| (kind.name().to_owned(), self.questions(*kind).into())).collect();
        fs::write(folder.join("questions.json"), serde_json::to_string(&questions)?)?;
        let facts: Vec<String> = self.facts.iter().map(|fact| fact.map(|fact| fact.to_string()).join(" ")).collect();
        fs::write(folder.join("facts.txt"), facts.join("\n"))?;
        for (name, vectors) in [("vectors.f32", &self.vectors), ("asked.f32", &self.asked)] {
            let mut file = BufWriter::new(fs::File::create(folder.join(name))?);
            vectors.data.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
            file.flush()?;
        }
        Ok(())
    }

    /// What [`Self::write`] wrote of texts.
    pub fn read_texts(folder: &Path) -> Result<(Vec<String>, Questions)> {
        let texts = fs::read_to_string(folder.join("texts.txt"))?.lines().map(str::to_owned).collect();
        let mut questions: std::collections::BTreeMap<String, Vec<Vec<String>>> =
            serde_json::from_str(&fs::read_to_string(folder.join("questions.json"))?)?;
        Ok((texts, Kind::ALL.map(|kind| questions.remove(kind.name()).unwrap_or_default())))
    }

    /// The `k` documents nearest to some of the vectors asked about, of those that `accepts`.
    pub fn nearest(&self, rows: &[usize], k: usize, accepts: impl Fn(usize) -> bool) -> Vec<Vec<usize>> {
        let documents: Vec<usize> = (0..self.vectors.rows).filter(|doc| accepts(*doc)).collect();
        let near = |query: &[f32]| {
            let mut all: Vec<(f32, usize)> =
                documents.iter().map(|&doc| (-dot(self.vectors.row(doc), query), doc)).collect();
            let k = k.min(all.len());
            if k < all.len() {
                all.select_nth_unstable_by(k, |a, b| a.0.total_cmp(&b.0));
            }
            all[..k].iter().map(|(_, doc)| *doc).collect()
        };
        rows.iter().map(|row| near(self.asked.row(*row))).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums side by side: what a vector unit adds at once.
    let mut sums = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

fn mix(base: &Matrix<f32>, pair: [usize; 2], random: &mut Random, out: &mut Vec<f32>) {
    let start = out.len();
    let [first, second] = pair.map(|row| base.row(row));
    out.extend(first.iter().zip(second).map(|(a, b)| a + SECOND * b + NOISE * random.normal()));
    let norm = out[start..].iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-9);
    out[start..].iter_mut().for_each(|x| *x /= norm);
}

/// Words of a text as every tokenizer here cuts them: letters between anything else.
fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect()
}

fn questions_of(kind: Kind, texts: &[String], count: usize, random: &mut Random) -> Vec<Vec<String>> {
    let stop_words = StopWords::default();
    let fits = |word: &str| {
        word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_lowercase()) && !stop_words.contains(word)
    };
    let mut questions = Vec::with_capacity(count);
    // A text may have no two words in a row that fit: then another is taken.
    for _ in 0..count * 100 {
        if questions.len() == count {
            break;
        }
        let words = words_of(&texts[random.below(texts.len())]);
        let fitting: Vec<&String> = words.iter().filter(|word| fits(word)).collect();
        if fitting.is_empty() {
            continue;
        }
        let mut pick = || fitting[random.below(fitting.len())].clone();
        let question = match kind {
            Kind::Word => vec![pick()],
            Kind::Prefix => vec![pick()[..3].to_owned()],
            Kind::Two | Kind::Either => vec![pick(), pick()],
            Kind::Phrase => {
                let pairs: Vec<&[String]> =
                    words.windows(2).filter(|pair| pair.iter().all(|word| fits(word))).collect();
                if pairs.is_empty() {
                    continue;
                }
                pairs[random.below(pairs.len())].to_vec()
            }
        };
        if question.windows(2).all(|pair| pair[0] != pair[1]) {
            questions.push(question);
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Corpus {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets/wordnet-minilm-5k");
        Corpus::new(&folder, 200, 20, 5).unwrap()
    }

    #[test]
    fn a_corpus_is_the_same_each_time_and_its_questions_have_answers() {
        let (a, b) = (corpus(), corpus());
        assert_eq!((&a.texts, &a.facts, &a.questions), (&b.texts, &b.facts, &b.questions));
        for kind in Kind::ALL {
            assert_eq!(a.questions(kind).len(), 20);
            for question in a.questions(kind) {
                let answers = a.texts.iter().map(|text| words_of(text)).filter(|words| {
                    question.iter().all(|part| words.iter().any(|word| word.starts_with(part.as_str())))
                });
                assert!(answers.count() > 0, "{question:?}");
            }
        }
        let length: f32 = a.vectors.row(7).iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-4);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (corpus, folder) = (corpus(), tempfile::tempdir().unwrap());
        corpus.write(folder.path()).unwrap();
        assert_eq!(Corpus::read_texts(folder.path()).unwrap(), (corpus.texts.clone(), corpus.questions.clone()));
    }

    #[test]
    fn the_nearest_of_a_filter_are_of_it() {
        let corpus = corpus();
        let near = corpus.nearest(&[0, 3], 3, |doc| doc % 2 == 0);
        assert!(near.len() == 2 && near.iter().all(|near| near.len() == 3 && near.iter().all(|doc| doc % 2 == 0)));
    }
}
