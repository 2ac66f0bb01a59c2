//! A data set small enough to be compared after every step, with commands that show when one is lost, doubled or run in
//! the wrong database.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Keys by database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Data(BTreeMap<(u32, String), String>);

impl Data {
    /// Runs one command that changes data.
    pub(crate) fn run(&mut self, db: u32, words: &[String]) {
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        let value = self.0.entry((db, word(1))).or_default();
        match words[0].as_str() {
            "INCR" => *value = (value.parse::<i64>().unwrap_or(0) + 1).to_string(),
            "APPEND" => {
                value.push_str(&word(2));
                // Short, but still dependent on everything before.
                if value.len() > 24 {
                    *value = format!("{:x}", hash(value));
                }
            }
            "SET" => *value = word(2),
            other => panic!("{other} is no command"),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        hash(&self.0)
    }

    /// The data as a snapshot: a line for each key.
    pub(crate) fn save(&self) -> Vec<u8> {
        let lines: Vec<String> = self.0.iter().map(|((db, key), value)| format!("{db} {key} {value}.\n")).collect();
        format!("{}\n{}", lines.len(), lines.concat()).into_bytes()
    }

    /// Reads [`Self::save`]; `None` unless it is whole.
    pub(crate) fn load(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines();
        let count: usize = lines.next()?.parse().ok()?;
        let keys = lines.map(|line| {
            let mut words = line.strip_suffix('.')?.splitn(3, ' ');
            Some(((words.next()?.parse().ok()?, words.next()?.to_owned()), words.next()?.to_owned()))
        });
        let keys: Option<BTreeMap<_, _>> = keys.collect();
        keys.filter(|keys| keys.len() == count).map(Self)
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
