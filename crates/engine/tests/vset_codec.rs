//! Vector sets as snapshot values: what is written is read as the same set, and no other bytes do harm.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::sync::Arc;

use proptest::prelude::*;
use quiver_engine::rng::Rng;
use quiver_engine::types::vset::{Effort, Projection, Query, Search, Shape, VectorSet};
use quiver_rdb::vectorset::{Links, Quantisation, VectorSetElement, VectorSetHeader, VectorSetWriter};
use quiver_rdb::{Reader, Writer, code, walk};

const KINDS: [Quantisation; 3] = [Quantisation::F32, Quantisation::Int8, Quantisation::Binary];

fn build(quantisation: Quantisation, elements: usize, dim: usize, projection: Option<Arc<Projection>>) -> VectorSet {
    let input_dim = projection.as_ref().map_or(dim, |projection| projection.input_dim());
    let mut set = VectorSet::new(Shape { dim, quantisation, m: 8, projection }).unwrap();
    let mut rng = Rng::new(11);
    for i in 0..elements {
        let vector: Vec<f32> = (0..input_dim).map(|_| rng.below(201) as f32 / 10.0 - 10.0).collect();
        let attributes = format!("{{\"i\":{i}}}").into_bytes();
        set.add(format!("e{i}").as_bytes(), &vector, (i % 3 == 0).then_some(&attributes), 50).unwrap();
    }
    for i in (0..elements).step_by(7) {
        assert!(set.remove(format!("e{i}").as_bytes()));
    }
    set
}

fn bytes_of(set: &VectorSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.write(&mut Writer::new(&mut bytes));
    bytes
}

fn read(bytes: &[u8]) -> Result<VectorSet, String> {
    VectorSet::read(&mut Reader::from_slice(bytes)).map_err(|error| error.to_string())
}

fn found(set: &VectorSet, query: &[f32]) -> Vec<(Vec<u8>, f32)> {
    let mut search = Search::default();
    set.search(Query::Vector(query), Effort::new(10, 20), None, &mut search).unwrap();
    search.found.iter().map(|neighbor| (set.name(neighbor.slot).to_vec(), neighbor.distance)).collect()
}

#[test]
fn a_set_read_back_is_the_same_set_with_the_same_graph() {
    for quantisation in KINDS {
        for projection in [None, Some(Arc::new(Projection::draw(40, 24).unwrap()))] {
            let input_dim = projection.as_ref().map_or(24, |_| 40);
            let set = build(quantisation, 900, 24, projection);
            let again = read(&bytes_of(&set)).unwrap();
            assert_eq!(again.check(), Ok(()));
            assert_eq!(set.digest(), again.digest());
            assert_eq!((set.len(), set.with_attributes()), (again.len(), again.with_attributes()));
            for name in set.names() {
                let (slot, other) = (set.slot(name).unwrap(), again.slot(name).unwrap());
                assert_eq!(set.links(slot), again.links(other));
                assert_eq!(set.attributes(slot), again.attributes(other));
            }
            let query: Vec<f32> = (0..input_dim).map(|i| (i as f32 * 0.7).sin()).collect();
            assert_eq!(found(&set, &query), found(&again, &query));
            assert_eq!(bytes_of(&again), bytes_of(&set));
        }
    }
}

#[test]
fn a_set_read_back_grows_as_the_original_does() {
    for quantisation in KINDS {
        let mut set = build(quantisation, 300, 16, None);
        let mut again = read(&bytes_of(&set)).unwrap();
        let mut copy = set.clone();
        for side in [&mut set, &mut again, &mut copy] {
            let mut rng = Rng::new(5);
            for i in 0..80 {
                let vector: Vec<f32> = (0..16).map(|_| rng.below(100) as f32 - 50.0).collect();
                side.add(format!("new{i}").as_bytes(), &vector, None, 50).unwrap();
            }
            side.remove(b"e5");
            assert_eq!(side.check(), Ok(()));
        }
        assert_eq!(bytes_of(&set), bytes_of(&again));
        assert_eq!(bytes_of(&set), bytes_of(&copy));
    }
}

#[test]
fn a_copy_is_another_set() {
    let set = build(Quantisation::Int8, 50, 8, None);
    let mut copy = set.clone();
    assert_eq!(set.digest(), copy.digest());
    assert_ne!(set.uid(), copy.uid());
    copy.remove(b"e1");
    assert_ne!(set.digest(), copy.digest());
    assert!(set.slot(b"e1").is_some());
}

#[test]
fn every_flipped_byte_is_refused_or_another_whole_set() {
    for quantisation in KINDS {
        let bytes = bytes_of(&build(quantisation, 12, 5, None));
        let mut refused = 0;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                match read(&damaged) {
                    Ok(set) => assert_eq!(set.check(), Ok(()), "byte {at}"),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > bytes.len(), "{refused} refused of {}", bytes.len() * 3);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err());
        }
    }
}

fn write_elements(header: &VectorSetHeader, elements: &[VectorSetElement]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let mut out = VectorSetWriter::begin(&mut writer, header);
    elements.iter().for_each(|element| out.element(element));
    out.finish();
    bytes
}

fn header(count: u64) -> VectorSetHeader {
    let quantisation = Quantisation::F32;
    VectorSetHeader { dim: 2, count, quantisation, m: 4, has_attributes: false, projection: None }
}

fn element(name: &str, id: u64, links: &[u64]) -> VectorSetElement {
    let mut element = VectorSetElement { name: name.into(), id, norm: 2.0, ..VectorSetElement::default() };
    element.vector = [1.0_f32, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    element.links = Links::default();
    element.links.push_level(links.iter().copied(), 8);
    element
}

/// The value in a file of Redis 8.0.2 with the one key `v`.
fn value_of_redis(file: &[u8]) -> Vec<u8> {
    let mut reader = Reader::from_slice(file);
    reader.header().unwrap();
    loop {
        match reader.byte().unwrap() {
            code::AUX => drop((reader.string().unwrap(), reader.string().unwrap())),
            code::MODULE_2 => break,
            opcode => assert!(walk::skip_hint(&mut reader, opcode).unwrap()),
        }
    }
    assert_eq!(reader.string().unwrap(), b"v");
    file[reader.offset() as usize..].to_vec()
}

#[test]
fn sets_of_redis_are_read_whole_and_searched() {
    let files: [&[u8]; 4] = [
        include_bytes!("../../rdb/tests/fixtures/vset_f32.rdb"),
        include_bytes!("../../rdb/tests/fixtures/vset_q8.rdb"),
        include_bytes!("../../rdb/tests/fixtures/vset_bin.rdb"),
        include_bytes!("../../rdb/tests/fixtures/vset_reduce.rdb"),
    ];
    for file in files {
        let set = read(&value_of_redis(file)).unwrap();
        assert_eq!(set.check(), Ok(()));
        assert!(set.len() > 10);
        for name in set.names() {
            let mut search = Search::default();
            let effort = Effort::new(set.len(), 100);
            let slot = set.slot(name).unwrap();
            set.search(Query::Slot(slot), effort, None, &mut search).unwrap();
            // One bit per component lets elements coincide; none may be nearer than the element itself.
            let own = search.found.iter().find(|neighbor| neighbor.slot == slot).unwrap();
            assert!((own.distance - search.found[0].distance).abs() < 1e-3);
        }
        assert_eq!(read(&bytes_of(&set)).unwrap().digest(), set.digest());
    }
}

#[test]
fn ids_with_wide_gaps_are_renumbered() {
    let last = 1 << 40;
    let bytes =
        write_elements(&header(3), &[element("c", last, &[7]), element("a", 5, &[7]), element("b", 7, &[5, last])]);
    let set = read(&bytes).unwrap();
    assert_eq!((set.len(), set.slots(), set.check()), (3, 3, Ok(())));
    assert_eq!([set.slot(b"a"), set.slot(b"b"), set.slot(b"c")], [Some(0), Some(1), Some(2)]);
}

#[test]
fn what_cannot_be_a_set_is_refused_with_a_reason() {
    let huge = VectorSetElement { vector: vec![0x7f; 8], ..element("a", 1, &[]) };
    let not_finite = VectorSetElement { norm: f32::NAN, ..element("a", 1, &[]) };
    let long = [10.0_f32, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let long = VectorSetElement { vector: long, ..element("a", 1, &[]) };
    let table: [(Vec<VectorSetElement>, &str); 10] = [
        (vec![], "without elements"),
        (vec![element("a", 1, &[2]), element("b", 2, &[])], "does not link back"),
        (vec![element("a", 1, &[1])], "itself"),
        (vec![element("a", 1, &[9])], "no element"),
        (vec![element("a", 1, &[2]), element("a", 2, &[1])], "share a name"),
        (vec![element("a", 1, &[]), element("b", 1, &[])], "two elements"),
        (vec![element("a", 1 << 50, &[]), element("b", 1 << 50, &[])], "share an id"),
        (vec![huge], "too large"),
        (vec![long], "length 10"),
        (vec![not_finite], "length"),
    ];
    for (elements, reason) in table {
        let error = read(&write_elements(&header(elements.len() as u64), &elements)).unwrap_err();
        assert!(error.contains(reason), "{error}, expected {reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_damage_never_panics(kind in 0..3_usize, damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = bytes_of(&build(KINDS[kind], 40, 6, Some(Arc::new(Projection::draw(9, 6).unwrap()))));
        for (at, byte) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        if let Ok(set) = read(&bytes) {
            prop_assert_eq!(set.check(), Ok(()));
            found(&set, &[1.0; 9]);
        }
    }
}
