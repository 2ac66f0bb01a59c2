//! Damaged logs are refused, or load as what they were up to some point, which is told. Never as anything else.

use std::path::PathBuf;

use proptest::prelude::*;
use quiver_persist::log::MemoryDisk;

use crate::common::digest;
use crate::driver::{Instance, disk_with, load};

/// A log of a base and three increments, and what it held after each command.
fn sample() -> (MemoryDisk, Instance) {
    let disk = disk_with(None);
    let mut instance = Instance::start(&disk).expect("nothing fails");
    for line in ["SET base 1", "RPUSH base:list a b"] {
        instance.run(line);
    }
    instance.rewrite().expect("nothing fails");
    for (step, lines) in
        [["SET a 1", "INCR a"], ["MULTI ; SADD s 1 2 ; SET a 9 ; EXEC", "HSET h f v"], ["DEL s", "SET z 0123456789"]]
            .into_iter()
            .enumerate()
    {
        lines.into_iter().for_each(|line| instance.run(line));
        if step < 2 {
            let base = instance.folder.manifest().base.clone();
            instance.next_file();
            assert_eq!(instance.folder.manifest().base, base);
        }
    }
    (disk, instance)
}

fn files(disk: &MemoryDisk) -> Vec<PathBuf> {
    let files = disk.paths();
    assert_eq!(files.len(), 5, "{files:?}");
    files
}

fn copy_of(disk: &MemoryDisk) -> MemoryDisk {
    disk.after_crash()
}

#[test]
fn the_sample_loads() {
    let (disk, instance) = sample();
    assert_eq!(digest(&load(&disk).expect("it is whole").0), *instance.history.last().expect("there is one"));
}

#[test]
fn every_flipped_bit_is_found_or_without_effect() {
    let (disk, instance) = sample();
    let whole = instance.history.last().expect("there is one");
    for path in files(&disk) {
        let content = disk.content(&path).expect("it is there");
        for bit in 0..content.len() * 8 {
            let damaged = copy_of(&disk);
            let mut bytes = content.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damaged.put(&path, bytes);
            if let Ok((engine, ..)) = load(&damaged) {
                assert_eq!(digest(&engine), *whole, "bit {bit} of {}", path.display());
            }
        }
    }
}

#[test]
fn every_truncation_is_refused_or_loads_a_prefix_and_says_so() {
    let (disk, instance) = sample();
    for path in files(&disk) {
        let content = disk.content(&path).expect("it is there");
        for len in 0..content.len() {
            let damaged = copy_of(&disk);
            damaged.put(&path, content[..len].to_vec());
            let Ok((engine, _, report)) = load(&damaged) else { continue };
            let found = digest(&engine);
            let at = instance.history.iter().rposition(|state| *state == found);
            let at = at.unwrap_or_else(|| panic!("{} cut at {len} loads as something new", path.display()));
            assert!(report.cut.is_some() || at + 3 >= instance.history.len(), "{} at {len}", path.display());
        }
    }
}

#[test]
fn zeroed_ranges_are_refused_or_without_effect() {
    let (disk, instance) = sample();
    let whole = instance.history.last().expect("there is one");
    for path in files(&disk) {
        let content = disk.content(&path).expect("it is there");
        for from in 0..content.len() {
            for len in [1, 7, 64, 512] {
                let damaged = copy_of(&disk);
                let mut bytes = content.clone();
                let end = bytes.len().min(from + len);
                bytes[from..end].fill(0);
                damaged.put(&path, bytes);
                if let Ok((engine, ..)) = load(&damaged) {
                    assert_eq!(digest(&engine), *whole, "{len} bytes from {from} of {}", path.display());
                }
            }
        }
    }
}

#[test]
fn exchanged_and_repeated_files_are_refused() {
    let (disk, _) = sample();
    let files = files(&disk);
    for one in &files {
        for other in files.iter().filter(|other| *other != one) {
            let (a, b) = (disk.content(one).expect("it is there"), disk.content(other).expect("it is there"));
            let swapped = copy_of(&disk);
            swapped.put(one, b.clone());
            swapped.put(other, a);
            assert!(load(&swapped).is_err(), "{} and {} exchanged", one.display(), other.display());
            let repeated = copy_of(&disk);
            repeated.put(one, b);
            assert!(load(&repeated).is_err(), "{} twice", other.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever is done to the files: no panic, and what loads is what the log once was.
    #[test]
    fn any_damage_is_refused_or_loads_what_once_was(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), edit()), 1..6),
    ) {
        let (disk, instance) = sample();
        let paths = files(&disk);
        for (path, at, edit) in edits {
            let path = path.get(&paths);
            let mut bytes = disk.content(path).expect("it is there");
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            match edit {
                Edit::Write(new) => {
                    let end = bytes.len().min(at + new.len());
                    bytes.splice(at..end, new);
                }
                Edit::Insert(new) => drop(bytes.splice(at..at, new)),
                Edit::Remove(len) => drop(bytes.drain(at..bytes.len().min(at + len))),
                Edit::Repeat(len) => {
                    let piece = bytes[at..bytes.len().min(at + len)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            disk.put(path, bytes);
        }
        if let Ok((engine, ..)) = load(&disk) {
            prop_assert!(instance.history.contains(&digest(&engine)));
        }
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Write(Vec<u8>),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        Just(b"*1\r\n$4\r\nEXEC\r\n".to_vec()),
        Just(b"*1\r\n$5\r\nMULTI\r\n".to_vec()),
        Just(b"#Q:0:0:00000000\r\n".to_vec()),
        Just(b"$99999999999\r\n".to_vec()),
        Just(b"*2147483647\r\n".to_vec()),
    ];
    prop_oneof![
        piece.clone().prop_map(Edit::Write),
        piece.prop_map(Edit::Insert),
        (1usize..400).prop_map(Edit::Remove),
        (1usize..400).prop_map(Edit::Repeat),
    ]
}
