//! What the tour prints: numbered headings, facts, questions with the texts found, one table at the end.

use std::io::{IsTerminal as _, Write as _};

use crate::K;
use crate::search::Measured;

const TEXT_WIDTH: usize = 96;

/// Prints as the tour goes; colours and progress bars on a terminal only.
pub(crate) struct Report {
    terminal: bool,
    sections: usize,
}

impl Report {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { terminal, sections: 0 }
    }

    /// A line outside any section.
    pub(crate) fn note(&self, text: &str) {
        println!("{}", self.paint("2", text));
    }

    /// Begins a section.
    pub(crate) fn heading(&mut self, text: &str) {
        self.sections += 1;
        println!("\n{}", self.paint("1;36", &format!("{}. {text}", self.sections)));
    }

    /// One fact of the section.
    pub(crate) fn fact(&self, name: &str, value: &str) {
        println!("   {name:<22} {value}");
    }

    /// What was measured through one door.
    pub(crate) fn measured(&self, measured: &Measured) {
        let Measured { recall, queries_per_second } = measured;
        self.fact("measured", &format!("recall@{K} {recall:.3}, {queries_per_second:.0} queries/s, one at a time"));
    }

    /// A question and the texts found, best first, each with its score.
    pub(crate) fn answer(&self, question: &str, found: &[(f64, &str)]) {
        println!("   {} {}", self.paint("33", "?"), self.paint("1", &shortened(question)));
        for (score, text) in found {
            println!("     {} {}", self.paint("32", &format!("{score:.3}")), shortened(text));
        }
    }

    /// Overwrites the line with how far something has come; silent where lines cannot be overwritten.
    pub(crate) fn progress(&self, what: &str, done: usize, all: usize) {
        if self.terminal {
            let filled = done * 30 / all.max(1);
            print!("\r   {what:<22} [{}{}] {done}/{all} ", "#".repeat(filled), " ".repeat(30 - filled));
            if done >= all {
                print!("\r{}\r", " ".repeat(80));
            }
            // A progress bar that cannot be shown is no reason to stop.
            let _ = std::io::stdout().flush();
        }
    }

    /// What was measured through each door.
    pub(crate) fn table(&self, rows: &[(&str, Measured)]) {
        println!("\n   {:<10} {:>10} {:>12}", "through", format!("recall@{K}"), "queries/s");
        for (door, measured) in rows {
            println!("   {door:<10} {:>10.3} {:>12.0}", measured.recall, measured.queries_per_second);
        }
        println!("\n{}", self.paint("1;32", "Same answers from all of them, after the restart and on the replica."));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.terminal { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The first [`TEXT_WIDTH`] characters of a text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_WIDTH) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let long = "é".repeat(TEXT_WIDTH + 5);
        assert_eq!(shortened(&long).chars().count(), TEXT_WIDTH + 1);
    }
}
