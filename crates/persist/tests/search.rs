//! Search indexes in snapshots: declared, filled, and current, whatever was written while the snapshot was taken.

mod common;

use common::{NOW_MS, bytes_of, load_into, loaded, save_options};
use quiver_engine::{Engine, Session, Worker};
use quiver_persist::SnapshotStream;
use quiver_resp::OwnedArgv;

struct Client<'e> {
    engine: &'e Engine,
    worker: Worker,
    session: Session,
}

impl<'e> Client<'e> {
    fn new(engine: &'e Engine) -> Self {
        let info = engine.connect("test:1".to_owned(), "test:2".to_owned(), NOW_MS).expect("few clients are connected");
        Self { engine, worker: engine.worker(1, || 0), session: Session::new(info, true) }
    }

    fn run_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> String {
        let argv = OwnedArgv::from_slices(words);
        let mut out = Vec::new();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), &mut out, NOW_MS);
        out.escape_ascii().to_string()
    }

    fn run(&mut self, line: &str) -> String {
        self.run_words(&line.split(' ').collect::<Vec<_>>())
    }
}

/// An engine with an index over texts, numbers and vectors.
fn filled(documents: u32) -> Engine {
    let engine = Engine::standalone();
    let mut client = Client::new(&engine);
    client.run(
        "FT.CREATE i PREFIX 1 d: SCHEMA t TEXT n NUMERIC SORTABLE g TAG v VECTOR HNSW 6 TYPE FLOAT32 DIM 2 DISTANCE_METRIC L2",
    );
    client.run("FT.ALIASADD a i");
    client.run("FT.SYNUPDATE i group fox vulpes");
    client.run("FT.DICTADD words one two");
    for n in 0..documents {
        put(&mut client, n, n);
    }
    drop(client);
    engine
}

fn put(client: &mut Client<'_>, document: u32, n: u32) {
    let vector: Vec<u8> = [n as f32, 1.0].iter().flat_map(|part| part.to_le_bytes()).collect();
    let (key, n, text) = (format!("d:{document}"), n.to_string(), format!("fox number w{n}"));
    client.run_words(&[
        b"HSET".as_slice(),
        key.as_bytes(),
        b"t",
        text.as_bytes(),
        b"n",
        n.as_bytes(),
        b"g",
        b"x",
        b"v",
        &vector,
    ]);
}

/// What several questions answer.
fn answers(engine: &Engine) -> Vec<String> {
    let mut client = Client::new(engine);
    let vector: Vec<u8> = [7.3_f32, 1.0].iter().flat_map(|part| part.to_le_bytes()).collect();
    let mut answers: Vec<String> = [
        "FT.SEARCH a vulpes NOCONTENT SORTBY n LIMIT 0 1000",
        "FT.SEARCH i @n:[3,17] NOCONTENT SORTBY n DESC",
        "FT.SEARCH i w5 RETURN 1 t",
        "FT.DICTDUMP words",
        "FT._LIST",
    ]
    .map(|line| client.run(&line.replace(',', " ").replace("@n:[3 17]", "@n:[3,17]")))
    .into();
    answers.push(client.run_words(&[b"FT.SEARCH".as_slice(), b"i", b"@n:[3 17]", b"NOCONTENT", b"SORTBY", b"n"]));
    answers.push(client.run_words(&[
        b"FT.SEARCH".as_slice(),
        b"i",
        b"*=>[KNN 5 @v $q AS d]",
        b"PARAMS",
        b"2",
        b"q",
        &vector,
        b"RETURN",
        b"1",
        b"d",
        b"DIALECT",
        b"2",
    ]));
    answers
}

#[test]
fn a_loaded_index_answers_as_the_saved_one_without_being_built_again() {
    let engine = filled(300);
    let wanted = answers(&engine);
    let (copy, _) = loaded(&bytes_of(&engine));
    assert_eq!(answers(&copy), wanted);
    let mut client = Client::new(&copy);
    let info = client.run("FT.INFO i");
    assert!(info.contains("indexing\\r\\n:0"), "{info}");
    // It goes on being fed.
    put(&mut client, 5, 9999);
    assert!(client.run_words(&["FT.SEARCH", "i", "w9999", "NOCONTENT"]).contains("d:5"));
    assert!(client.run("FT.SEARCH i w5 NOCONTENT").starts_with("*1"));
}

#[test]
fn what_is_written_while_a_snapshot_is_taken_is_not_in_the_loaded_index() {
    let engine = filled(300);
    let wanted = answers(&engine);
    let mut stream = SnapshotStream::begin(&engine, &save_options(), |_| None).expect("no other snapshot runs");
    {
        let mut client = Client::new(&engine);
        (0..50).for_each(|n| put(&mut client, n, n + 5000));
        client.run("DEL d:60 d:61");
        put(&mut client, 4000, 4);
        // The content of the index is current with these when it is written.
        assert!(client.run("FT.SEARCH i w4 NOCONTENT").contains("d:4000"));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next_piece() {
        bytes.extend_from_slice(&piece);
    }
    let (copy, _) = loaded(&bytes);
    assert_eq!(answers(&copy), wanted);
}

#[test]
fn a_damaged_content_costs_a_scan_and_nothing_else() {
    let engine = filled(100);
    let wanted = answers(&engine);
    let mut bytes = bytes_of(&engine);
    let at = bytes.windows(8).position(|window| window == b"QUIVIDX1").expect("the content is in the snapshot");
    bytes[at] = b'X';
    // The checksum is not to tell: 0 stands for none.
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    let copy = Engine::standalone();
    load_into(&copy, &bytes).expect("all keys are there");
    while copy.tend_search(NOW_MS) {}
    assert_eq!(answers(&copy), wanted);
}
