//! Indexes in a snapshot.
//!
//! What declares them stands in its head, as the commands that would declare them again; what is in them behind the keys,
//! as it is when the keys are out. That may be later than the cut: loading holds every document against the keys that were
//! loaded with it and looks at those again that differ, so the place in time of the content need not be exact, and a
//! content that cannot be read costs a scan of the keys and nothing else. Both are properties of the file, which other
//! servers pass over.

use std::collections::HashMap;
use std::sync::Arc;

use quiver_query::Index;
use quiver_resp::{Decoder, Limits, Requests, write_command};

use super::definition::Definition;
use super::extract::{Seen, look};
use super::index::{Scan, SearchIndex, version_of};
use super::{IndexSet, Search};
use crate::commands::args::is;
use crate::error::CommandError;
use crate::keyspace::{KeyHasher, Shard};

/// Bytes of a part of a content.
const PART_BYTES: usize = 1 << 20;

/// The property with the commands.
pub const DEFINITIONS: &str = "quiver-search";

/// A property with a part of a content.
pub const CONTENT: &str = "quiver-index";

/// Properties of a snapshot that are about indexes: names and values.
pub type Records = Vec<(String, Vec<u8>)>;

/// What is in the indexes, in parts.
#[derive(Debug)]
pub struct Contents {
    left: Vec<Arc<SearchIndex>>,
    /// The name in front of each part, and the bytes of the index that are not out yet.
    open: Option<(Vec<u8>, Vec<u8>, usize)>,
}

impl Search {
    /// The commands that declare everything, as RESP; empty for nothing. The caller holds all shards.
    pub fn declare(&self) -> Vec<u8> {
        let (set, mut out) = (self.set(), Vec::new());
        for index in set.indexes() {
            let definition = index.definition();
            let mut words: Vec<&[u8]> = vec![b"FT.CREATE", &index.name];
            words.extend(definition.words.iter().map(|word| &**word));
            write_command(&mut out, &words);
            for (group, terms) in index.synonyms().iter() {
                let mut words: Vec<&[u8]> = vec![b"FT.SYNUPDATE", &index.name, group];
                words.extend(terms.iter().map(Vec::as_slice));
                write_command(&mut out, &words);
            }
        }
        for (alias, index) in set.aliases() {
            write_command(&mut out, &[b"FT.ALIASADD", alias, index]);
        }
        for (name, terms) in &set.dictionaries {
            let mut words: Vec<&[u8]> = vec![b"FT.DICTADD", name];
            words.extend(terms.iter().map(String::as_bytes));
            write_command(&mut out, &words);
        }
        out
    }

    /// What is in the indexes there are now.
    pub fn contents(&self) -> Contents {
        Contents { left: self.set().indexes().cloned().collect(), open: None }
    }
}

impl Contents {
    /// The next part; `None` when all is out.
    pub fn next_part(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((head, bytes, at)) = &mut self.open {
                let end = bytes.len().min(*at + PART_BYTES);
                if *at < end {
                    let part = [head.as_slice(), &bytes[*at..end]].concat();
                    *at = end;
                    return Some(part);
                }
                self.open = None;
            }
            let index = self.left.pop()?;
            let mut bytes = Vec::new();
            index.content().save(&mut |piece| bytes.extend_from_slice(piece));
            let len = u32::try_from(index.name.len()).unwrap_or(u32::MAX);
            self.open = Some(([&len.to_le_bytes(), &*index.name].concat(), bytes, 0));
        }
    }
}

/// Takes the name of an index from the front of a part.
fn split_part(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = part.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

/// Indexes of a snapshot's properties, current with the keys of its shards.
pub(crate) fn restore(records: Records, shards: &[Shard], now_ms: i64) -> Result<IndexSet, CommandError> {
    let mut contents: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut set = IndexSet::default();
    for (name, value) in &records {
        if name == CONTENT
            && let Some((index, bytes)) = split_part(value)
        {
            contents.entry(index.to_vec()).or_default().extend_from_slice(bytes);
        }
    }
    for (_, value) in records.iter().filter(|(name, _)| name == DEFINITIONS) {
        declare_again(value, &mut set, &mut contents, shards, now_ms)?;
    }
    Ok(set)
}

fn declare_again(
    commands: &[u8],
    set: &mut IndexSet,
    contents: &mut HashMap<Vec<u8>, Vec<u8>>,
    shards: &[Shard],
    now_ms: i64,
) -> Result<(), CommandError> {
    const DAMAGED: CommandError = CommandError::text("ERR the declarations of indexes are damaged");
    let (mut decoder, mut requests) = (Decoder::new(), Requests::new());
    let used = decoder.decode(commands, &Limits::default(), &mut requests, usize::MAX).map_err(|_| DAMAGED)?;
    if used != commands.len() {
        return Err(DAMAGED);
    }
    for argv in requests.iter(commands) {
        let words: Vec<&[u8]> = argv.iter().collect();
        match words.as_slice() {
            [command, name, words @ ..] if is(command, "FT.CREATE") => {
                let definition = Definition::parse(words)?;
                let content = contents.remove(*name);
                let index = restore_index(name, definition, content.as_deref(), shards, now_ms)?;
                set.indexes.insert((*name).into(), Arc::new(index));
            }
            [command, index, group, terms @ ..] if is(command, "FT.SYNUPDATE") => {
                set.find(index).ok_or(DAMAGED)?.add_synonyms(group, terms);
            }
            [command, alias, index] if is(command, "FT.ALIASADD") => {
                set.aliases.insert((*alias).into(), (*index).into());
            }
            [command, name, terms @ ..] if is(command, "FT.DICTADD") => {
                let terms = terms.iter().map(|term| String::from_utf8_lossy(term).into_owned()).collect();
                set.dictionaries.insert((*name).into(), Arc::new(terms));
            }
            _ => return Err(DAMAGED),
        }
    }
    Ok(())
}

fn restore_index(
    name: &[u8],
    definition: Definition,
    saved: Option<&[u8]>,
    shards: &[Shard],
    now_ms: i64,
) -> Result<SearchIndex, CommandError> {
    let definition = Arc::new(definition);
    let loaded = saved.and_then(|saved| SearchIndex::load_content(&definition.schema, saved));
    let is_fresh = loaded.is_none();
    let content = match loaded {
        Some(content) => content,
        None => SearchIndex::new_content(&definition.schema)?,
    };
    let index = SearchIndex::new(name, Arc::clone(&definition), content, now_ms);
    if is_fresh {
        if !definition.skip_initial_scan {
            *index.scan.lock() = Some(Scan::default());
        }
        return Ok(index);
    }
    compare(&index, &definition, shards, now_ms);
    Ok(index)
}

/// Lets an index look again at every key that is not as it knows it.
fn compare(index: &SearchIndex, definition: &Definition, shards: &[Shard], now_ms: i64) {
    let content: &Index = &index.content();
    let mut known = 0;
    for shard in shards {
        let Some(db) = shard.dbs().first() else { continue };
        for entry in db.table.iter().filter(|entry| definition.covers(entry.key())) {
            let version = version_of(content, entry.key());
            known += usize::from(version.is_some());
            // A key that was passed over when it was indexed first is passed over now.
            if version.is_none() && definition.skip_initial_scan {
                continue;
            }
            let now = match look(shard, &KeyHasher.key(entry.key()), now_ms, definition) {
                Seen::Found(_, version) => Some(version),
                _ => None,
            };
            if now != version {
                index.push(entry.key());
            }
        }
    }
    if known != content.len() {
        let gone = |name: &&[u8]| {
            let key = KeyHasher.key(name);
            shards[key.shard].dbs().first().is_none_or(|db| db.table.get(key.hash, key.name).is_none())
        };
        content.documents().map(|(_, name)| name).filter(gone).for_each(|name| {
            index.push(name);
        });
    }
}
