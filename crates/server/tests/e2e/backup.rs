//! BACKUP: files that hold the data of the moment at which they were sealed, with and without a log.

use std::path::Path;

use quiver_resp::Value;
use quiver_testkit::Connection;

use crate::support::{connect, error, eventually, fill, fingerprint, run, start_in};

/// The state of the backup, and its error.
fn status(connection: &mut Connection) -> (String, String) {
    let Value::Array(fields) = run(connection, "BACKUP STATUS") else { panic!("no array") };
    let texts: Vec<String> = fields.iter().map(|field| field.as_str().expect("text").to_owned()).collect();
    let names: Vec<&str> = texts.iter().step_by(2).map(String::as_str).collect();
    assert_eq!(names, ["state", "error", "start_time", "end_time"]);
    (texts[1].clone(), texts[3].clone())
}

fn files(connection: &mut Connection) -> Vec<String> {
    let Value::Array(files) = run(connection, "BACKUP LIST") else { panic!("no array") };
    files.iter().map(|file| file.as_str().expect("a path").to_owned()).collect()
}

fn until_snapshot_is_there(connection: &mut Connection) {
    eventually("the snapshot of the backup", || status(connection).0 == "incrementing");
}

/// Copies the files to where the log of another server is.
fn restore(files: &[String], folder: &Path) {
    let target = folder.join("appendonlydir");
    std::fs::create_dir(&target).expect("the folder is writable");
    for file in files {
        let name = Path::new(file).file_name().expect("a file");
        std::fs::copy(file, target.join(name)).expect("the file is there");
    }
}

fn goes_up_to_its_seal(args: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(folder.path(), args);
    let mut connection = connect(&server);
    fill(&mut connection);
    run(&mut connection, "SELECT 2");
    run(&mut connection, "SET before 1");
    assert_eq!(run(&mut connection, "BACKUP START"), Value::Simple(b"OK".to_vec()));
    until_snapshot_is_there(&mut connection);
    assert_eq!(files(&mut connection).len(), 1);
    run(&mut connection, "SET between 1");
    run(&mut connection, "SELECT 0");
    for line in ["MULTI", "INCR counter", "RPUSH list:1 more", "EXEC", "DEL string:7"] {
        run(&mut connection, line);
    }
    run(&mut connection, "VADD vectors VALUES 3 0.3 0.2 0.1 late");
    let wanted = fingerprint(&mut connection);
    assert_eq!(run(&mut connection, "BACKUP SEAL"), Value::Simple(b"OK".to_vec()));
    run(&mut connection, "SET after 1");
    run(&mut connection, "DEL counter");
    assert_eq!(status(&mut connection), ("sealed".to_owned(), String::new()));
    let files = files(&mut connection);
    let names: Vec<&str> = files.iter().filter_map(|file| file.rsplit('/').next()).collect();
    assert_eq!(names, ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof", "appendonly.aof.manifest"]);

    let other = tempfile::tempdir().expect("a folder");
    restore(&files, other.path());
    let restored = start_in(other.path(), &["--appendonly", "yes"]);
    let mut there = connect(&restored);
    assert_eq!(fingerprint(&mut there), wanted);
    assert_eq!(run(&mut there, "GET counter"), Value::Bulk(b"1".to_vec()));
    assert_eq!(run(&mut there, "EXISTS after string:7"), Value::Integer(0));
    run(&mut there, "SELECT 2");
    assert_eq!(run(&mut there, "EXISTS before between"), Value::Integer(2));

    assert_eq!(run(&mut connection, "BACKUP CLEANUP"), Value::Simple(b"OK".to_vec()));
    assert_eq!(status(&mut connection).0, "idle");
    assert!(files.iter().all(|file| !Path::new(file).exists()));
}

#[test]
fn a_backup_restores_to_the_moment_it_was_sealed_at() {
    goes_up_to_its_seal(&[]);
}

#[test]
fn a_backup_beside_a_log_restores_to_the_moment_it_was_sealed_at() {
    goes_up_to_its_seal(&["--appendonly", "yes"]);
}

#[test]
fn what_cannot_be_done_with_a_backup_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(folder.path(), &[]);
    let mut connection = connect(&server);
    for line in ["BACKUP SEAL", "BACKUP ABORT", "BACKUP CLEANUP"] {
        assert!(error(&mut connection, line).starts_with("ERR There is no "), "{line}");
    }
    let target = folder.path().join("backupdir");
    std::fs::create_dir(&target).expect("the folder is writable");
    std::fs::write(target.join("mine"), b"x").expect("the folder is writable");
    assert!(error(&mut connection, "BACKUP START").ends_with("is not empty"));
    assert_eq!(status(&mut connection).0, "idle");
    std::fs::remove_file(target.join("mine")).expect("it is there");

    run(&mut connection, "BACKUP START");
    until_snapshot_is_there(&mut connection);
    assert_eq!(error(&mut connection, "BACKUP START"), "ERR A backup is already in progress");
    run(&mut connection, "BACKUP ABORT");
    assert_eq!(status(&mut connection), ("failed".to_owned(), "aborted".to_owned()));
    assert_eq!(std::fs::read_dir(&target).expect("it is there").count(), 0);
    run(&mut connection, "BACKUP START");
    until_snapshot_is_there(&mut connection);
    run(&mut connection, "BACKUP SEAL");
    assert!(error(&mut connection, "BACKUP ABORT").starts_with("ERR There is no backup in progress"));
}

#[test]
fn a_sealed_backup_is_removed_after_its_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = start_in(folder.path(), &["--backup-sealed-ttl", "1"]);
    let mut connection = connect(&server);
    run(&mut connection, "BACKUP START");
    until_snapshot_is_there(&mut connection);
    run(&mut connection, "BACKUP SEAL");
    eventually("the end of the backup", || status(&mut connection).0 == "idle");
    assert_eq!(files(&mut connection), Vec::<String>::new());
}
