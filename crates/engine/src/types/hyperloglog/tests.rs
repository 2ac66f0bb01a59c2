//! Tests of HyperLogLogs. The bytes are compared with those of Redis where commands are (crate `testkit`).

use proptest::prelude::*;

use super::*;

const SPARSE_MAX: usize = 3000;

fn element(number: u64) -> Vec<u8> {
    format!("element:{number}").into_bytes()
}

/// Panics if an invariant is broken.
fn check(bytes: &[u8]) {
    assert!(is_valid(bytes));
    each_run_if_sparse(bytes);
}

fn each_run_if_sparse(bytes: &[u8]) {
    if is_sparse(bytes) {
        each_run(bytes, |_, _, _| ()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn sparse_dense_and_merged_registers_are_the_same(
        numbers in prop::collection::vec(0..3000u64, 0..400), sparse_max in prop_oneof![Just(0usize), 20..400usize, Just(3000)]
    ) {
        let (mut sparse, mut dense, mut raw) = (empty(), empty(), Registers::new());
        make_dense(&mut dense).unwrap();
        for number in numbers {
            let changed = add(&mut sparse, &element(number), sparse_max).unwrap();
            prop_assert_eq!(changed, add(&mut dense, &element(number), sparse_max).unwrap());
            raw.add(&element(number));
            check(&sparse);
        }
        for bytes in [&sparse, &dense] {
            let mut merged = Registers::new();
            merged.merge(bytes).unwrap();
            prop_assert!(merged == raw);
            prop_assert_eq!(estimate(bytes).unwrap(), raw.estimate());
        }
        make_dense(&mut sparse).unwrap();
        prop_assert_eq!(&sparse[HEADER_BYTES..], &dense[HEADER_BYTES..]);
    }

    #[test]
    fn foreign_bytes_never_panic(
        tail in prop::collection::vec(any::<u8>(), 0..60), dense in any::<bool>(), number in any::<u64>()
    ) {
        let mut bytes = empty();
        bytes.truncate(HEADER_BYTES);
        bytes.extend(tail);
        if dense {
            bytes[ENCODING_AT] = DENSE;
        }
        if is_valid(&bytes) {
            let _ = (estimate(&bytes), Registers::new().merge(&bytes), describe_runs(&bytes));
            let _ = add(&mut bytes, &element(number), SPARSE_MAX);
            let _ = make_dense(&mut bytes);
        }
    }
}

#[test]
fn words_have_the_hashes_that_the_published_function_gives() {
    for (word, expected) in [
        ("", 0xd8df_ea65_85bc_9732),
        ("a", 0x53d2_470a_9b43_b1a7),
        ("1234567", 0x8556_3db1_6363_2857),
        ("12345678", 0x95eb_b863_8913_2953),
        ("123456789", 0x2175_32cb_09f2_a44d),
    ] {
        let hash = hash::murmur(word.as_bytes());
        assert_eq!(hash, expected, "{word}");
        assert_eq!(hash::place(word.as_bytes()).0, (hash & 0x3fff) as usize);
    }
}

#[test]
fn estimates_are_within_three_percent() {
    let mut bytes = empty();
    assert_eq!((estimate(&bytes), cached_estimate(&bytes)), (Ok(0), Some(0)));
    for number in 1..=20_000_u64 {
        add(&mut bytes, &element(number), SPARSE_MAX).unwrap();
        if [1, 10, 100, 1000, 5000, 20_000].contains(&number) {
            let error = estimate(&bytes).unwrap().abs_diff(number);
            assert!(error * 100 <= number * 3, "{error} of {number}");
        }
    }
    assert!(!is_sparse(&bytes));
}

#[test]
fn a_run_is_split_where_a_register_is_raised_and_joined_with_its_neighbours() {
    let mut bytes = empty();
    assert_eq!(describe_runs(&bytes), "Z:16384");
    for (index, rank, runs) in [
        (100, 2, "Z:100 v:2,1 Z:16283"),
        (101, 2, "Z:100 v:2,2 Z:16282"),
        (0, 1, "v:1,1 Z:99 v:2,2 Z:16282"),
        (50, 32, "v:1,1 z:49 v:32,1 z:49 v:2,2 Z:16282"),
        (101, 3, "v:1,1 z:49 v:32,1 z:49 v:2,1 v:3,1 Z:16282"),
        (100, 3, "v:1,1 z:49 v:32,1 z:49 v:3,2 Z:16282"),
        (16383, 1, "v:1,1 z:49 v:32,1 z:49 v:3,2 Z:16281 v:1,1"),
    ] {
        assert_eq!(raise(&mut bytes, index, rank, SPARSE_MAX), Ok(true));
        assert_eq!(describe_runs(&bytes), runs);
        assert_eq!(raise(&mut bytes, index, rank, SPARSE_MAX), Ok(false));
        assert_eq!(cached_estimate(&bytes), None);
    }
    assert_eq!(raise(&mut bytes, 7, 33, SPARSE_MAX), Ok(true), "no run can hold this rank");
    assert!(!is_sparse(&bytes));
}

#[test]
fn runs_that_do_not_cover_the_registers_are_corrupt() {
    let with_runs = |runs: &[u8]| [&empty()[..HEADER_BYTES], runs].concat();
    for runs in [&b""[..], b"\x80", b"\x7f", b"\x7f\xfe", b"\x80\x7f\xff", b"\x7f\xff\x00"] {
        let mut bytes = with_runs(runs);
        assert!(is_valid(&bytes));
        assert_eq!(estimate(&bytes), Err(Corrupt));
        assert_eq!(Registers::new().merge(&bytes), Err(Corrupt));
        assert_eq!(make_dense(&mut bytes), Err(Corrupt));
        assert_eq!(bytes, with_runs(runs), "left as it was");
    }
    assert_eq!(raise(&mut with_runs(b"\x80"), 1, 1, SPARSE_MAX), Err(Corrupt));
}
