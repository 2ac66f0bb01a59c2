//! A file goes to a store and comes back, and what fails leaves nothing behind.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use quiver_objects::{ObjectError, Store};

/// A store in memory, and one in a folder.
fn stores(folder: &Path) -> Vec<Store> {
    let url = format!("file://{}/place/of objects", folder.display());
    vec![
        Store::with(Arc::new(InMemory::new()), ObjectPath::from("a/b")).expect("a store in memory"),
        Store::open(&url).expect("a folder"),
    ]
}

fn file_of(folder: &Path, len: usize) -> std::path::PathBuf {
    let path = folder.join(format!("file-{len}"));
    let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    fs::write(&path, bytes).expect("a file to upload");
    path
}

#[test]
fn files_of_all_sizes_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        assert_eq!(store.list("").unwrap(), [], "a place that is not there yet is empty");
        for len in [1, 1000, 8 << 20, (20 << 20) + 3] {
            let (from, to) = (file_of(folder.path(), len), folder.path().join("back"));
            let name = format!("object-{len:09}.rdb");
            assert_eq!(store.upload(&mut File::open(&from).unwrap(), &name, &|| true).unwrap(), len as u64);
            assert_eq!(store.download(&name, &to).unwrap(), len as u64);
            assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap(), "{len} bytes");
            assert!(matches!(store.download(&name, &to), Err(ObjectError::File(_))), "no file is overwritten");
            fs::remove_file(to).unwrap();
        }
        let names: Vec<u64> = store.list("object-").unwrap().iter().map(|object| object.bytes).collect();
        assert_eq!(names, [1, 1000, 8 << 20, (20 << 20) + 3]);
        assert_eq!(store.list("other-").unwrap(), []);
        store.remove("object-000000001.rdb").unwrap();
        assert_eq!(store.list("").unwrap().len(), 3);
    }
}

#[test]
fn an_upload_that_is_given_up_leaves_the_object_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let (old, new) = (file_of(folder.path(), 10), file_of(folder.path(), 20 << 20));
        store.upload(&mut File::open(old).unwrap(), "x.rdb", &|| true).unwrap();
        let asked = std::cell::Cell::new(0);
        let goes_on = || asked.replace(asked.get() + 1) < 1;
        let given_up = store.upload(&mut File::open(new).unwrap(), "x.rdb", &goes_on);
        assert!(matches!(given_up, Err(ObjectError::GivenUp)), "{given_up:?}");
        assert_eq!(store.list("").unwrap()[0].bytes, 10);
    }
}

#[test]
fn what_is_not_there_is_told_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for store in stores(folder.path()) {
        let to = folder.path().join("back");
        assert_eq!(store.download("none.rdb", &to).unwrap_err().to_string(), "there is no none.rdb");
        assert!(!to.exists());
    }
}

#[test]
fn places_that_are_none_are_refused_without_their_passwords() {
    let refused = |url: &str| Store::open(url).unwrap_err().to_string();
    assert!(refused("no url").starts_with("\"no url\" is no place for objects: "));
    let shown = refused("gopher://user:secret@host/x");
    assert!(shown.contains("gopher://host/x") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_url_that_ends_with_a_snapshot_names_one_object() {
    assert_eq!(Store::split("s3://bucket/a/dump.rdb"), Some(("s3://bucket/a", "dump.rdb")));
    assert_eq!(Store::split("s3://bucket/a"), None);
}
