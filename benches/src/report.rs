//! Results: aligned tables for people, JSON for later comparison.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::Provenance;

/// One result file: where and when, the settings, and everything measured.
#[derive(Debug, Serialize)]
pub struct Document<'a, S, R> {
    /// "load", "vectors" or "latency".
    pub kind: &'static str,
    /// Machine, date, commit.
    pub provenance: &'a Provenance,
    /// Settings of the run, without paths.
    pub settings: &'a S,
    /// Raw rows and their summary.
    pub results: &'a R,
}

impl<S: Serialize, R: Serialize> Document<'_, S, R> {
    /// Writes `FOLDER/LABEL-KIND-STAMP.json` and returns its path.
    pub fn write(&self, folder: &Path, label: &str) -> Result<PathBuf> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(format!("{label}-{}-{}.json", self.kind, self.provenance.stamp()));
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Rows of cells under a header; the first column is aligned left, the others right.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column titles.
    pub fn new(titles: &[impl AsRef<str>]) -> Self {
        Self { rows: vec![titles.iter().map(|title| title.as_ref().to_owned()).collect()] }
    }

    /// Appends a row; missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines of text.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                // Writing to a String cannot fail.
                let _ = if column == 0 { write!(line, "{cell:<width$}") } else { write!(line, "  {cell:>width$}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// `value` with as many decimals as a reader can use; "-" for nothing.
pub fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

/// A ratio as `0.44x`; "-" for nothing.
pub fn times(ratio: Option<f64>) -> String {
    ratio.map_or("-".into(), |ratio| format!("{ratio:.2}x"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["test", "us"]);
        table.row(["get".into(), figure(Some(1.234))]);
        table.row(["mixed".into(), figure(Some(12_345.6))]);
        assert_eq!(table.render(), "test      us\nget     1.23\nmixed  12346\n");
    }

    #[test]
    fn nothing_is_shown_as_a_dash() {
        assert_eq!((figure(None), times(None), times(Some(0.4449))), ("-".into(), "-".into(), "0.44x".into()));
    }

    #[test]
    fn a_document_is_written_under_its_label_kind_and_date() {
        let folder = tempfile::tempdir().unwrap();
        let provenance = Provenance::collect();
        let document = Document { kind: "load", provenance: &provenance, settings: &1, results: &[0.5] };
        let path = document.write(&folder.path().join("new"), "local").unwrap();
        let value: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!((&value["kind"], &value["results"][0]), (&"load".into(), &0.5.into()));
        assert!(path.file_name().unwrap().to_str().unwrap().starts_with("local-load-"));
    }
}
