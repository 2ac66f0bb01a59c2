//! Vector sets: those of Redis 8.0.2 are understood, written back the same, and survive no damage unnoticed.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use quiver_rdb::vectorset::{
    Links, MODULE_ID, Projection, Quantisation, VectorSetElement, VectorSetHeader, VectorSetReader, VectorSetWriter,
};
use quiver_rdb::{Error, Reader, Writer, code, walk};

const F32: &[u8] = include_bytes!("fixtures/vset_f32.rdb");
const INT8: &[u8] = include_bytes!("fixtures/vset_q8.rdb");
const BINARY: &[u8] = include_bytes!("fixtures/vset_bin.rdb");
const REDUCED: &[u8] = include_bytes!("fixtures/vset_reduce.rdb");

/// The module value in a file with one key.
fn value(file: &[u8]) -> &[u8] {
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
    let start = reader.offset() as usize;
    walk::skip_value(&mut reader, code::MODULE_2).unwrap();
    &file[start..reader.offset() as usize]
}

fn decode(bytes: &[u8]) -> Result<(VectorSetHeader, Vec<VectorSetElement>), Error> {
    let mut reader = Reader::from_slice(bytes);
    let mut set = VectorSetReader::begin(&mut reader)?;
    let (mut element, mut elements) = (VectorSetElement::default(), Vec::new());
    while set.next(&mut element)? {
        elements.push(element.clone());
    }
    let header = set.header().clone();
    set.finish()?;
    Ok((header, elements))
}

fn encode(header: &VectorSetHeader, elements: &[VectorSetElement]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    let mut set = VectorSetWriter::begin(&mut writer, header);
    elements.iter().for_each(|element| set.element(element));
    set.finish();
    bytes
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

#[test]
fn headers_say_what_the_sets_were_made_with() {
    for (file, quantisation) in [(F32, Quantisation::F32), (INT8, Quantisation::Int8), (BINARY, Quantisation::Binary)] {
        let (header, elements) = decode(value(file)).unwrap();
        let expected =
            VectorSetHeader { dim: 8, count: 20, quantisation, m: 4, has_attributes: true, projection: None };
        assert_eq!(header, expected);
        assert_eq!(elements.len(), 20);
    }
    let (header, _) = decode(value(REDUCED)).unwrap();
    let Projection { input_dim, matrix } = header.projection.unwrap();
    assert_eq!((header.dim, input_dim, matrix.len(), header.has_attributes), (4, 8, 32, false));
    assert!(matrix.iter().all(|x| (x.abs() - 0.353_553_4).abs() < 1e-6), "plus or minus 1/sqrt(8)");
}

#[test]
fn elements_carry_their_names_attributes_and_unit_vectors() {
    let (_, elements) = decode(value(F32)).unwrap();
    for element in &elements {
        let i = element.id - 1;
        assert_eq!(element.name, format!("e{i}").into_bytes());
        let attributes = if i % 3 == 0 { format!("{{\"i\":{i}}}") } else { String::new() };
        assert_eq!(element.attributes, attributes.into_bytes());
        let length: f32 = floats(&element.vector).iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
        assert!(element.norm > 0.5 && element.norm < 3.0 && element.range == 0.0);
    }
}

#[test]
fn bytes_and_bits_are_the_floats_quantised() {
    let by_id = |file| -> BTreeMap<u64, VectorSetElement> {
        decode(value(file)).unwrap().1.into_iter().map(|element| (element.id, element)).collect()
    };
    let (plain, bytes, bits) = (by_id(F32), by_id(INT8), by_id(BINARY));
    for (id, element) in &plain {
        let x = floats(&element.vector);
        let range = x.iter().fold(0f32, |max, x| max.max(x.abs()));
        assert!((bytes[id].range - range).abs() < 1e-6);
        assert_eq!(bytes[id].norm, element.norm);
        let quantised: Vec<u8> = x.iter().map(|x| (x * 127.0 / range).round() as i8 as u8).collect();
        assert_eq!(bytes[id].vector, quantised);
        let word = x.iter().enumerate().fold(0u64, |word, (i, x)| word | u64::from(*x > 0.0) << i);
        assert_eq!(bits[id].vector, word.to_le_bytes());
    }
}

#[test]
fn graphs_of_redis_are_mutual_and_within_their_levels() {
    for file in [F32, INT8, BINARY, REDUCED] {
        let (_, elements) = decode(value(file)).unwrap();
        let edges: BTreeSet<(usize, u64, u64)> = elements
            .iter()
            .flat_map(|node| {
                let levels = node.links.levels().enumerate();
                levels.flat_map(move |(level, (ids, _))| ids.iter().map(move |id| (level, node.id, *id)))
            })
            .collect();
        assert!(edges.iter().all(|&(level, from, to)| from != to && edges.contains(&(level, to, from))));
        for (level, (ids, max)) in elements.iter().flat_map(|node| node.links.levels().enumerate()) {
            assert!(ids.len() as u64 <= max && max >= if level == 0 { 8 } else { 4 });
        }
    }
}

#[test]
fn what_redis_wrote_is_written_back() {
    // Byte for byte where no item is compressed and no field has stray bits; else as the same values.
    let (header, elements) = decode(value(INT8)).unwrap();
    assert_eq!(encode(&header, &elements), value(INT8));
    for file in [F32, BINARY, REDUCED] {
        let (header, elements) = decode(value(file)).unwrap();
        assert_eq!(decode(&encode(&header, &elements)).unwrap(), (header, elements));
    }
}

#[test]
fn damage_is_an_error_or_another_value_but_never_a_panic() {
    for file in [F32, INT8, BINARY, REDUCED] {
        let bytes = value(file);
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).unwrap_err().is_truncated(), "{len} bytes");
        }
        let mut damaged = bytes.to_vec();
        for bit in 0..bytes.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok((header, elements)) = decode(&damaged) {
                assert_eq!(elements.len() as u64, header.count);
            }
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_claimed_count_of_elements_costs_nothing() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.length(MODULE_ID);
    for n in [2, u64::MAX, 16 << 8, 0] {
        writer.length(2);
        writer.length(n);
    }
    assert!(decode(&bytes).unwrap_err().is_truncated());
}

fn any_set() -> impl Strategy<Value = (VectorSetHeader, Vec<VectorSetElement>)> {
    let kind = prop_oneof![Just(Quantisation::F32), Just(Quantisation::Int8), Just(Quantisation::Binary)];
    let levels = proptest::collection::vec(proptest::collection::vec(any::<u64>(), 0..9), 1..5);
    let element = (any::<Vec<u8>>(), any::<u16>(), 1..u64::MAX, levels, 0f32..9.0, 0f32..1.0);
    let elements = proptest::collection::vec(element, 0..6);
    let projected = proptest::option::of(1usize..20);
    (1usize..150, kind, 1u16..4096, any::<bool>(), projected, elements).prop_map(
        |(dim, quantisation, m, has_attributes, projected, elements)| {
            let projection = projected.map(|input_dim| Projection { input_dim, matrix: vec![0.5; dim * input_dim] });
            let elements: Vec<_> = elements
                .into_iter()
                .map(|(name, seed, id, levels, norm, range)| {
                    let mut links = Links::default();
                    levels.into_iter().for_each(|ids| links.push_level(ids, u64::from(m)));
                    let attributes = if has_attributes { seed.to_string().into_bytes() } else { Vec::new() };
                    let vector = (0..quantisation.vector_len(dim)).map(|i| (i * usize::from(seed)) as u8).collect();
                    let range = if quantisation == Quantisation::Int8 { range } else { 0.0 };
                    VectorSetElement { name, attributes, vector, id, norm, range, links }
                })
                .collect();
            let count = elements.len() as u64;
            (VectorSetHeader { dim, count, quantisation, m, has_attributes, projection }, elements)
        },
    )
}

proptest! {
    #[test]
    fn any_set_comes_back((header, elements) in any_set()) {
        let bytes = encode(&header, &elements);
        prop_assert_eq!(decode(&bytes).unwrap(), (header, elements));
        let mut reader = Reader::from_slice(&bytes);
        walk::skip_value(&mut reader, code::MODULE_2).unwrap();
        prop_assert!(reader.is_at_end().unwrap());
    }
}
