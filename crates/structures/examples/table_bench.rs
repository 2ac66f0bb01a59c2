//! What the entry table costs: bytes per key, and nanoseconds per insertion, lookup, overwrite and removal.
//!
//! `cargo run --release -p quiver-structures --example table_bench [keys] [tables]`; keys are 16 bytes, values 32.
//! Lookups are of random keys, plain and in batches of 16 with staged prefetch. Resident bytes and the
//! processor's time (not the clock's, which counts neighbours too) come from /proc, so it wants Linux.

#![expect(clippy::print_stdout, reason = "the output is the measurement")]

use std::hint::black_box;

use quiver_structures::table::{Table, Value};

/// The server's allocator, so that bytes per key are the server's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Key = [u8; 16];

const BATCH: usize = 16;
const LOOKUPS_MIN: u64 = 2_000_000;
const VALUE: [u8; 32] = [b'v'; 32];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().ok());
    let keys = arguments.next().flatten().unwrap_or(1_000_000) as u64;
    let tables = arguments.next().flatten().unwrap_or(1);

    let resident_before = resident_bytes();
    let mut set = Set { tables: (0..tables).map(|_| Table::new(hash as fn(&[u8]) -> u64)).collect() };
    report("insert", keys, || (0..keys).for_each(|i| set.set(&key(i))));
    let resident = resident_bytes().saturating_sub(resident_before) as f64;
    println!(
        "{:<28} {:>8.1} resident, {:.1} counted",
        "bytes per key",
        resident / keys as f64,
        set.counted() / keys as f64
    );

    // Made beforehand, as a server finds keys in its read buffer; enough of them for the clock whatever the table's size.
    let lookups = keys.max(LOOKUPS_MIN);
    let present: Vec<Key> = (0..lookups).map(|i| key(mix(i) % keys)).collect();
    let absent: Vec<Key> = (0..lookups).map(|i| key(mix(i) % keys + keys)).collect();
    report("get", lookups, || present.iter().for_each(|key| set.get(key)));
    report("get, absent key", lookups, || absent.iter().for_each(|key| set.get(key)));
    report("get, batches of 16", lookups, || present.chunks(BATCH).for_each(|batch| set.get_batch(batch)));
    report("overwrite", lookups, || present.iter().for_each(|key| set.set(key)));
    report("scan", keys, || set.scan());
    report("remove", keys, || (0..keys).for_each(|i| set.remove(&key(i))));
}

/// A keyspace of one or more tables, as a server's shards.
struct Set {
    tables: Vec<Table<()>>,
}

impl Set {
    fn table_of(&self, hash: u64) -> usize {
        (hash >> 48) as usize % self.tables.len()
    }

    fn set(&mut self, key: &Key) {
        let hash = hash(key);
        let table = self.table_of(hash);
        self.tables[table].set(hash, key, Value::Bytes(&VALUE), None, 0);
    }

    fn get(&self, key: &Key) {
        let hash = hash(key);
        black_box(self.tables[self.table_of(hash)].get(hash, key).map(|entry| read(entry.value())));
    }

    fn get_batch(&self, batch: &[Key]) {
        let mut hashes = [0; BATCH];
        for (hash_of, key) in hashes.iter_mut().zip(batch) {
            *hash_of = hash(key);
            self.tables[self.table_of(*hash_of)].prefetch_bucket(*hash_of);
        }
        for &hash in &hashes[..batch.len()] {
            self.tables[self.table_of(hash)].prefetch_entry(hash);
        }
        for (key, &hash) in batch.iter().zip(&hashes) {
            black_box(self.tables[self.table_of(hash)].get(hash, key).map(|entry| read(entry.value())));
        }
    }

    fn scan(&self) {
        for table in &self.tables {
            let mut cursor = 0;
            loop {
                cursor = table.scan(cursor, &mut |entry| {
                    black_box(entry.key()[0]);
                });
                if cursor == 0 {
                    break;
                }
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        let hash = hash(key);
        let table = self.table_of(hash);
        black_box(self.tables[table].remove(hash, key).is_some());
    }

    fn counted(&self) -> f64 {
        self.tables.iter().map(Table::memory_bytes).sum::<usize>() as f64
    }
}

/// Reads the value, as a reply would copy it.
fn read(value: quiver_structures::ValueRef<'_, ()>) -> [u8; 32] {
    match value {
        quiver_structures::ValueRef::Bytes(bytes) => bytes.try_into().unwrap_or(VALUE),
        _ => VALUE,
    }
}

fn report(what: &str, operations: u64, run: impl FnOnce()) {
    let start = processor_ns();
    run();
    println!("{what:<28} {:>8.1} ns", (processor_ns() - start) as f64 / operations as f64);
}

fn key(i: u64) -> Key {
    let mut key = *b"key:000000000000";
    let mut rest = i;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Folded multiplications over eight bytes at a time: good enough to time a table with, not against an adversary.
fn hash(key: &[u8]) -> u64 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ key.len() as u64;
    for chunk in key.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let product = u128::from(state ^ u64::from_le_bytes(word)) * 0x9e37_79b9_7f4a_7c15;
        state = (product >> 64) as u64 ^ product as u64;
    }
    mix(state)
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Nanoseconds this thread has spent on a processor.
fn processor_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
