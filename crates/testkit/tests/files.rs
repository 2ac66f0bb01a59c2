//! Small files that real servers wrote, with what those servers said was in them (made by `exchange --keep`).

use std::path::Path;

use quiver_resp::Value;
use quiver_testkit::corpus::{Dump, differences, dump};
use quiver_testkit::local::Local;

fn content(local: &mut Local) -> Dump {
    dump(&mut |words| local.call(words)).expect("an engine answers")
}

fn holds_what_its_writer_said(name: &str, keys: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let file = std::fs::read(folder.join(format!("{name}.rdb"))).expect("the file is there");
    let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).expect("its content is there");
    let lines = text.lines().map(|line| line.split_once('\t').expect("a key, a tab, its value"));
    let said: Dump = lines.map(|(key, text)| (key.to_owned(), text.replace(" // ", "\n"))).collect();
    assert_eq!(said.len(), keys);

    let mut local = Local::new();
    let report = local.load(&file).expect("the file is whole");
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    local.check();
    let found = content(&mut local);
    let differing = differences(&found, &said);
    assert!(differing.is_empty(), "{}", differing.join("\n"));

    let mut copy = Local::new();
    copy.load(&local.save()).expect("what is saved loads");
    assert_eq!(content(&mut copy), found, "what is loaded is saved");
    assert_eq!(copy.call(&["DBSIZE"]).expect("an engine answers"), local.call(&["DBSIZE"]).expect("so does this"));
    assert!(matches!(copy.call(&["DBSIZE"]), Ok(Value::Integer(1..))));
}

#[test]
fn a_file_of_redis_8_holds_what_redis_said() {
    holds_what_its_writer_said("redis-8.0", 55);
}

#[test]
fn a_file_of_redis_7_holds_what_redis_said() {
    holds_what_its_writer_said("redis-7.0", 51);
}

#[test]
fn a_file_of_valkey_8_holds_what_valkey_said() {
    holds_what_its_writer_said("valkey-8.1", 51);
}
