//! INFO keysizes: how long the strings and how large the collections are, by type and database, in powers of two.
//!
//! Counted when asked for by name, in slices that hold one shard for a few buckets; plain INFO, which tools ask for all
//! the time, leaves it out. A key that moves during the count may be missed or counted twice.

use std::collections::BTreeMap;
use std::fmt::Write;

use quiver_structures::ValueRef;

use crate::context::Ctx;
use crate::keyspace::{KeyEntry, SHARDS};
use crate::number::IntText;
use crate::object::type_name;

/// Buckets passed under one hold of a shard's lock.
const BUCKETS_PER_HOLD: usize = 64;

/// The types that are counted, with their names in INFO, in its order.
const COUNTED: &[(&str, &str)] = &[
    ("string", "strings_sizes"),
    ("list", "lists_items"),
    ("set", "sets_items"),
    ("zset", "zsets_items"),
    ("hash", "hashes_items"),
];

/// Keys by type and by the power of two of their size.
type Counts = BTreeMap<(usize, u32), u64>;

/// Writes the lines; gives the locks of the turn back.
pub(crate) fn write(ctx: &mut Ctx<'_>, out: &mut String) {
    let (selected, databases) = (ctx.ks.db, ctx.ks.dbs_in_use());
    for db in 0..databases {
        ctx.ks.db = db;
        let counts = count(ctx);
        for (at, (_, name)) in COUNTED.iter().enumerate() {
            let bins: Vec<String> = counts
                .range((at, 0)..(at + 1, 0))
                .map(|((_, power), count)| format!("{}={count}", label(*power)))
                .collect();
            if !bins.is_empty() {
                let _ = write!(out, "db{db}_distrib_{name}:{}\r\n", bins.join(","));
            }
        }
    }
    ctx.ks.db = selected;
}

fn count(ctx: &mut Ctx<'_>) -> Counts {
    let mut counts = Counts::new();
    for shard in 0..SHARDS {
        let mut place = 0;
        loop {
            ctx.ks.release();
            ctx.ks.lock_only(shard);
            for _ in 0..BUCKETS_PER_HOLD {
                place = ctx.ks.scan_shard(shard, place, &mut |entry| add(&mut counts, &entry));
                if place == 0 {
                    break;
                }
            }
            if place == 0 {
                break;
            }
        }
    }
    ctx.ks.release();
    counts
}

fn add(counts: &mut Counts, entry: &KeyEntry<'_>) {
    let value = entry.value();
    let size = match &value {
        ValueRef::Int(number) => IntText::new(*number).as_bytes().len(),
        ValueRef::Bytes(bytes) => bytes.len(),
        ValueRef::Object(object) => object.len(),
    };
    if let Some(at) = COUNTED.iter().position(|(name, _)| *name == type_name(&value)) {
        // 0 for nothing, then 1 for 1, 2 for 2 and 3, ...
        *counts.entry((at, usize::BITS - size.leading_zeros())).or_default() += 1;
    }
}

/// The smallest size of a bin: 0, 1, 2, 4, ..., 512, 1K, 2K, ...
fn label(power: u32) -> String {
    let Some(bits) = power.checked_sub(1) else { return "0".to_owned() };
    let unit = ["", "K", "M", "G", "T", "P"][(bits / 10).min(5) as usize];
    format!("{}{unit}", 1u64 << (bits % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_labelled_by_their_smallest_size() {
        let labels: Vec<String> = [0, 1, 2, 3, 10, 11, 12, 21, 31].map(label).to_vec();
        assert_eq!(labels, ["0", "1", "2", "4", "512", "1K", "2K", "1M", "1G"]);
    }
}
