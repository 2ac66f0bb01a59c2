//! The append-only log: its files of commands, and its manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quiver_persist::log::{Disk, LogFolder, Manifest, MemoryDisk};

use crate::damage::sample::{DIR, LOG_FOLDER, LOG_NAME, Sample, load_log_of};
use crate::local::Local;

fn folder() -> PathBuf {
    Path::new(DIR).join(LOG_FOLDER)
}

fn manifest_path() -> PathBuf {
    folder().join(format!("{LOG_NAME}.manifest"))
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new(Path::new(DIR), None);
    disk.create_folder(&folder()).expect("a disk without faults");
    disk
}

/// Increments with checksums, time stamps and neither; a base that commands follow.
pub(super) fn increments() -> Vec<Vec<u8>> {
    let sample = Sample::new(1).expect("an engine answers");
    let files: Vec<Vec<u8>> = sample
        .log_files()
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .filter_map(|path| sample.disk.content(&path))
        .collect();
    let plain = |file: &Vec<u8>| {
        let lines = file.split_inclusive(|byte| *byte == b'\n');
        lines.filter(|line| !line.starts_with(b"#Q:")).flatten().copied().collect::<Vec<u8>>()
    };
    let mut seeds: Vec<Vec<u8>> = files.iter().map(plain).collect();
    let with_base = Local::new().save().into_iter().chain(seeds[0].iter().copied()).collect();
    seeds.extend(files);
    seeds.push(with_base);
    seeds.push(b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEXEC\r\n#TS:1700000000\r\n".to_vec());
    // Short ones are changed where it matters more often.
    let short: Vec<Vec<u8>> = seeds.iter().map(|seed| seed[..seed.len().min(600)].to_vec()).collect();
    seeds.extend(short);
    seeds
}

pub(super) fn aof(input: &[u8]) -> bool {
    let disk = disk();
    let (name, kind) = if input.starts_with(b"REDIS") { ("base", 'b') } else { ("incr", 'i') };
    let name = format!("{LOG_NAME}.1.{name}.aof");
    disk.put(&folder().join(&name), input.to_vec());
    disk.put(&manifest_path(), format!("file {name} seq 1 type {kind}\n").into_bytes());
    let Ok((local, loaded)) = load_log_of(&disk) else { return false };
    local.check();
    if let Some(cut) = &loaded.cut {
        let (kept, lost) = (disk.content(&cut.path), disk.content(&cut.copy));
        let joined = [kept.expect("it is there"), lost.expect("what was cut off is kept")].concat();
        assert!(joined == input, "what was cut off is kept as it was");
    }
    let (again, reloaded) = load_log_of(&disk).unwrap_or_else(|error| panic!("what was loaded loads again: {error}"));
    assert!(reloaded.cut.is_none(), "what was cut is whole: {:?}", reloaded.cut);
    assert_eq!(again.digest(), local.digest(), "it loads again as the same");
    let copy = Local::new();
    copy.load(&local.save()).unwrap_or_else(|error| panic!("what was saved loads: {error}"));
    assert_eq!(copy.digest(), local.digest(), "what was saved loads as the same");
    true
}

/// Manifests of Quiver and of Redis, with names that must be quoted.
pub(super) fn manifests() -> Vec<Vec<u8>> {
    let sample = Sample::new(1).expect("an engine answers");
    let own = sample.disk.content(&manifest_path()).expect("a log has a manifest");
    let redis: &[&[u8]] = &[
        b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
        b"file appendonly.aof.2.base.rdb seq 2 type b\n# remark\nfile \"a b.1.incr.aof\" seq 1 type h startoffset 0 \
          endoffset 7\nfile 'c\\'d' seq 3 type i\nfile \"\\x00\\xff\\n\" seq 9 type i position 5 crc64 00ff\n",
    ];
    redis.iter().map(|text| text.to_vec()).chain([own]).collect()
}

pub(super) fn manifest(input: &[u8]) -> bool {
    let disk = disk();
    disk.put(&manifest_path(), input.to_vec());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    // Whatever it names is not there; what matters is that this is told.
    let opened = LogFolder::open(shared, Path::new(DIR), LOG_FOLDER, LOG_NAME);
    let Ok(read) = Manifest::parse(input) else {
        assert!(opened.is_err(), "a manifest that cannot be read is no log");
        return false;
    };
    assert!(opened.is_err() || read.parts().count() == 0, "files that are not there are missed");
    assert!(read.parts().all(|part| folder().join(&part.name).parent() == Some(&folder())), "files of its folder");
    let printed = read.print();
    let again = Manifest::parse(&printed).unwrap_or_else(|error| panic!("what is printed is read: {error}"));
    assert_eq!(again, read, "what is printed is read as the same");
    true
}
