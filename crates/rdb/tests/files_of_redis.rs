//! Files made by Redis 8.0.2: what they hold, and that no damage to them goes unnoticed or harms.
#![expect(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::io::Read;

use proptest::prelude::*;
use quiver_rdb::{Reader, VERSION, Writer, code, crc64, walk};

const FIXTURES: [&[u8]; 6] = [
    include_bytes!("fixtures/core.rdb"),
    include_bytes!("fixtures/types.rdb"),
    include_bytes!("fixtures/vset_f32.rdb"),
    include_bytes!("fixtures/vset_q8.rdb"),
    include_bytes!("fixtures/vset_bin.rdb"),
    include_bytes!("fixtures/vset_reduce.rdb"),
];

/// A source that hands out a few bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(out.len()).min(self.0.len());
        out[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

/// (db, key, expiry, value) of every string key, in file order.
type Strings = Vec<(u64, Vec<u8>, Option<i64>, Vec<u8>)>;

fn strings(bytes: &[u8]) -> Strings {
    let mut reader = Reader::from_slice(bytes);
    assert_eq!(reader.header().unwrap().number(), VERSION);
    let (mut found, mut db, mut expiry) = (Vec::new(), 0, None);
    loop {
        match reader.byte().unwrap() {
            code::EOF => break,
            code::AUX => drop((reader.string().unwrap(), reader.string().unwrap())),
            code::SELECTDB => db = reader.length().unwrap(),
            code::EXPIRETIME_MS => expiry = Some(reader.i64().unwrap()),
            code::STRING => {
                let (key, value) = (reader.string().unwrap(), reader.string().unwrap());
                found.push((db, key, expiry.take(), value));
            }
            kind => {
                if !walk::skip_hint(&mut reader, kind).unwrap() {
                    reader.skip_string().unwrap();
                    walk::skip_value(&mut reader, kind).unwrap();
                    expiry = None;
                }
            }
        }
    }
    reader.verify_checksum().unwrap();
    found
}

#[test]
fn every_fixture_is_walked_to_its_checksum() {
    let summaries = FIXTURES.map(|bytes| walk::file(&mut Reader::from_slice(bytes)).unwrap());
    assert_eq!(summaries.each_ref().map(|found| found.keys), [27, 10, 1, 1, 1, 1]);
    assert_eq!(summaries[0].expires, 3);
    assert_eq!(summaries[1].functions, 1);
    for (found, bytes) in summaries.iter().zip(FIXTURES) {
        assert_eq!(found.len_bytes, bytes.len() as u64);
        assert_eq!(found.properties.server_version, "8.0.2");
        assert!(!found.properties.is_aof_base);
    }
}

#[test]
fn strings_of_redis_come_out_as_they_went_in() {
    let found = strings(FIXTURES[0]);
    let value = |db: u64, key: &str| {
        let entry = found.iter().find(|entry| entry.0 == db && entry.1 == key.as_bytes());
        entry.unwrap_or_else(|| panic!("{key} is missing")).3.clone()
    };
    for n in ["0", "-1", "127", "-128", "128", "32767", "-32768", "32768"] {
        assert_eq!(value(0, &format!("i:{n}")), n.as_bytes());
    }
    assert_eq!(value(0, "i:min32"), b"-2147483648");
    assert_eq!(value(0, "i:not"), b"007");
    assert_eq!(value(0, "s:empty"), b"");
    assert_eq!(value(0, "s:lzf"), b"abcdefgh".repeat(20));
    assert_eq!(value(0, "s:lzf2"), b"a".repeat(600));
    assert_eq!(value(0, "s:bin"), (0..=255).collect::<Vec<u8>>());
    assert_eq!(value(0, "s:len14").len(), 900);
    assert_eq!(value(3, "in3"), b"three");
    assert_eq!(value(9, "in9"), b"9");
    let expiries: Vec<i64> = found.iter().filter_map(|entry| entry.2).collect();
    assert_eq!(expiries.len(), 2);
    assert!(expiries.contains(&4_102_444_800_123) && expiries.contains(&4_102_444_800_999));
}

#[test]
fn a_source_that_drips_reads_the_same() {
    for bytes in FIXTURES {
        let whole = walk::file(&mut Reader::from_slice(bytes)).unwrap();
        for step in [1, 7, 100] {
            let mut drip = Drip(bytes, step);
            assert_eq!(walk::file(&mut Reader::new(&mut drip)).unwrap(), whole);
        }
    }
}

#[test]
fn every_prefix_is_truncated() {
    for bytes in FIXTURES {
        for len in 0..bytes.len() {
            let error = walk::file(&mut Reader::from_slice(&bytes[..len])).unwrap_err();
            assert!(error.is_truncated(), "{len} bytes: {error}");
            assert!(error.offset <= len as u64);
        }
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    for bytes in FIXTURES {
        let mut damaged = bytes.to_vec();
        for bit in 0..bytes.len() * 8 {
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(walk::file(&mut Reader::from_slice(&damaged)).is_err(), "bit {bit}");
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_claimed_length_allocates_nothing() {
    for claim in [&b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff"[..], b"\x80\xff\xff\xff\xff"] {
        let mut raw = claim.to_vec();
        raw.extend_from_slice(b"abc");
        let mut out = Vec::new();
        assert!(Reader::from_slice(&raw).string_into(&mut out).unwrap_err().is_truncated());
        assert!(out.capacity() < 1024);

        let mut packed = b"\xc3\x02".to_vec();
        packed.extend_from_slice(claim);
        packed.extend_from_slice(b"\x00a");
        assert!(Reader::from_slice(&packed).string_into(&mut out).is_err());
        assert!(out.capacity() < 1024);
    }
}

#[test]
fn checksum_zero_means_unchecked_but_another_must_match() {
    let mut bytes = FIXTURES[0].to_vec();
    let end = bytes.len() - 8;
    assert_eq!(bytes[end..], crc64(&bytes[..end]).to_le_bytes());
    bytes[end..].fill(0);
    walk::file(&mut Reader::from_slice(&bytes)).unwrap();
    bytes[end] = 1;
    walk::file(&mut Reader::from_slice(&bytes)).unwrap_err();
}

fn any_string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        any::<i16>().prop_map(|n| n.to_string().into_bytes()),
        (proptest::collection::vec(0u8..3, 1..50), 1usize..3000).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read(strings in proptest::collection::vec(any_string(), 0..12), lengths in proptest::collection::vec(any::<u64>(), 4), shift in 0u32..64, compress: bool, step in 1usize..70_000) {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.set_compress(compress);
        for string in &strings {
            writer.string(string);
        }
        for length in &lengths {
            writer.length(length >> shift);
        }
        writer.f64(1e-300);
        writer.integer(lengths[0] as i64);
        let sum = crc64(&bytes);
        let mut drip = Drip(&bytes, step);
        let mut reader = Reader::new(&mut drip);
        for string in &strings {
            prop_assert_eq!(&reader.string().unwrap(), string);
        }
        for length in &lengths {
            prop_assert_eq!(reader.length().unwrap(), length >> shift);
        }
        prop_assert_eq!(reader.f64().unwrap(), 1e-300);
        prop_assert_eq!(reader.string().unwrap(), (lengths[0] as i64).to_string().into_bytes());
        prop_assert_eq!(reader.checksum(), sum);
        prop_assert_eq!(reader.offset(), bytes.len() as u64);
        prop_assert!(reader.is_at_end().unwrap());
    }

    #[test]
    fn any_bytes_end_in_a_value_or_an_error(kind in 0u8..30, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = Reader::from_slice(&bytes);
        let _ = walk::skip_value(&mut reader, kind);
        prop_assert!(reader.offset() <= bytes.len() as u64);
        let _ = Reader::from_slice(&bytes).string();
    }
}
