//! The data set with its texts: vectors and exact neighbours are read by the benchmarks' reader, texts here.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use quiver_benches::dataset::Dataset;

/// Vectors, questions, exact neighbours, and the text behind each.
pub(crate) struct Texts {
    /// Vectors to index, questions, and the rows nearest to each question.
    pub(crate) vectors: Dataset,
    /// The text behind each row to index.
    pub(crate) base: Vec<String>,
    /// The text of each question.
    pub(crate) questions: Vec<String>,
}

impl Texts {
    /// Reads a folder in the layout of `datasets/generate.py`.
    pub(crate) fn load(folder: &Path) -> Result<Self> {
        let vectors = Dataset::load(folder)?;
        let base = lines(&folder.join("base.txt"), vectors.base.rows)?;
        let questions = lines(&folder.join("query.txt"), vectors.queries.rows)?;
        Ok(Self { vectors, base, questions })
    }

    /// The text of the row that a server named; a question mark if there is no such row.
    pub(crate) fn text(&self, row: i32) -> &str {
        usize::try_from(row).ok().and_then(|row| self.base.get(row)).map_or("?", String::as_str)
    }
}

/// The lines of a file, which must be `count`.
fn lines(path: &Path, count: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    ensure!(lines.len() == count, "{} has {} lines for {count} vectors", path.display(), lines.len());
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_neighbours_are_exact() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/wordnet-minilm-5k");
        let set = Texts::load(&folder).unwrap();
        let base: Vec<&[f32]> = (0..set.base.len()).map(|row| set.vectors.base.row(row)).collect();
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        for question in (0..set.questions.len()).step_by(20) {
            let vector = set.vectors.queries.row(question);
            let score = |row: &usize| dot(base[*row], vector) / dot(base[*row], base[*row]).sqrt();
            let nearest = (0..base.len()).max_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            assert_eq!(nearest, set.vectors.truth.row(question)[0] as usize, "{}", set.questions[question]);
        }
    }
}
