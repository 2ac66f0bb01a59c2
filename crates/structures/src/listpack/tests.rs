//! The listpack against a list of strings, against known bytes, and against damage.

use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 3 } else { 256 };

fn list(items: &[&[u8]]) -> ListPack {
    items.iter().map(|item| Item::Str(item)).collect()
}

fn strings(list: &ListPack) -> Vec<Vec<u8>> {
    list.iter().map(|item| item.to_vec()).collect()
}

#[test]
fn encodings_have_the_bytes_of_the_format() {
    let cases: [(&[u8], &[u8]); 13] = [
        (b"0", &[0x00, 1]),
        (b"127", &[0x7f, 1]),
        (b"128", &[0xc0, 0x80, 2]),
        (b"-1", &[0xdf, 0xff, 2]),
        (b"4095", &[0xcf, 0xff, 2]),
        (b"-4096", &[0xd0, 0x00, 2]),
        (b"4096", &[0xf1, 0x00, 0x10, 3]),
        (b"-32769", &[0xf2, 0xff, 0x7f, 0xff, 4]),
        (b"8388608", &[0xf3, 0x00, 0x00, 0x80, 0x00, 5]),
        (b"4294967296", &[0xf4, 0, 0, 0, 0, 1, 0, 0, 0, 9]),
        (b"", &[0x80, 1]),
        (b"01", &[0x82, b'0', b'1', 3]),
        (b"-0", &[0x82, b'-', b'0', 3]),
    ];
    for (string, element) in cases {
        let list = list(&[string]);
        let expected = [&[7 + element.len() as u8, 0, 0, 0, 1, 0], element, &[0xff]].concat();
        assert_eq!(list.as_bytes(), expected, "{string:?}");
    }
}

/// A list node as Redis 8.0.2 dumps it: integers at the edges of every encoding, then strings likewise.
#[test]
fn the_bytes_are_those_that_redis_writes() {
    let ints = [
        0,
        127,
        128,
        -1,
        -4096,
        4095,
        4096,
        -32768,
        32767,
        -32769,
        8388607,
        -8388608,
        8388608,
        2147483647,
        -2147483648,
        2147483648,
        i64::MIN,
        i64::MAX,
    ];
    let strings =
        [b"9223372036854775808", b"".as_slice(), b"hello", b"01", b"-0", &[b'x'; 63], &[b'x'; 64], &[b'y'; 130]];
    let built: ListPack = ints.map(Item::Int).into_iter().chain(strings.map(Item::Str)).collect();
    let theirs = include_bytes!("../../fixtures/redis-8.0.2.listpack");
    assert_eq!(built.as_bytes(), theirs);
    assert_eq!(ListPack::from_bytes(theirs.to_vec()), Ok(built));
}

#[test]
fn lengths_behind_long_strings_are_read_from_the_right() {
    // At 16383 bytes of body the format takes three bytes where two would do.
    for (len, behind) in [
        (125, vec![0x7f]),
        (126, vec![0x01, 0x80]),
        (16_377, vec![0x7f, 0xfe]),
        (16_378, vec![0x00, 0xff, 0xff]),
        (16_379, vec![0x01, 0x80, 0x80]),
    ] {
        let list = list(&[&vec![b'x'; len]]);
        let bytes = list.as_bytes();
        assert_eq!(bytes[bytes.len() - 1 - behind.len()..bytes.len() - 1], behind, "{len} bytes");
        assert_eq!(list.iter().next_back().map(|item| item.to_vec().len()), Some(len));
        assert!(ListPack::from_bytes(bytes.to_vec()).is_ok());
    }
}

#[test]
fn canonical_decimals_of_64_bits_and_no_others_are_integers() {
    for int in [0, 1, -1, 10, i64::MAX, i64::MIN, 1_000_000_000_000_000_000] {
        assert_eq!(parse_int(int.to_string().as_bytes()), Some(int));
    }
    for string in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809"] {
        assert_eq!(parse_int(string.as_bytes()), None, "{string:?}");
    }
}

#[test]
fn more_elements_than_the_header_counts_are_counted_by_walking() {
    let count = 65_536;
    let mut list: ListPack = (0..count).map(|_| Item::Int(1)).collect();
    assert_eq!(list.len(), count as usize);
    assert_eq!(list.as_bytes()[4..6], [0xff, 0xff]);
    let first = list.first().expect("the list is not empty");
    assert_eq!(list.remove(first, 65_530), 65_530);
    assert_eq!(list.len(), 6);
    assert_eq!(ListPack::from_bytes(list.as_bytes().to_vec()), Ok(list));
}

#[test]
fn a_key_of_a_pair_is_found_and_an_equal_value_is_not() {
    let list = list(&[b"a", b"b", b"b", b"7", b"7", b"c"]);
    let found = list.find(b"b", 2).expect("b is a key");
    assert_eq!(list.next(found).map(|value| list.item(value)), Some(Item::Int(7)));
    assert_eq!(list.find(b"7", 2).and_then(|key| list.next(key)).map(|value| list.item(value)), Some(Item::Str(b"c")));
    assert!(list.find(b"c", 2).is_none());
    assert!(list.find(b"c", 1).is_some());
    assert!(list.find(b"07", 1).is_none());
}

#[test]
fn memory_is_given_back_once_most_of_it_is_unused() {
    let mut list: ListPack = (0..1000).map(Item::Int).collect();
    let full = list.allocation_bytes();
    list.remove(list.first().unwrap(), 500);
    list.shrink_if_sparse();
    assert_eq!(list.allocation_bytes(), full);
    list.remove(list.first().unwrap(), 490);
    list.shrink_if_sparse();
    assert!(list.allocation_bytes() < full / 16, "{} bytes", list.allocation_bytes());
    assert_eq!(list.iter().collect::<Vec<_>>(), (990..1000).map(Item::Int).collect::<Vec<_>>());
}

#[test]
fn damage_is_refused_with_its_reason() {
    let good = list(&[b"hello", b"12"]).into_bytes();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        ListPack::from_bytes(bytes).expect_err("the damage is noticed")
    };
    assert_eq!(damaged(&|bytes| bytes.truncate(6)), CorruptListPack::Length(6));
    assert_eq!(damaged(&|bytes| bytes[0] += 1), CorruptListPack::Total { claimed: 17, actual: 16 });
    assert_eq!(damaged(&|bytes| bytes[15] = 0), CorruptListPack::End);
    assert_eq!(damaged(&|bytes| bytes[6] = 0xbf), CorruptListPack::Element(6));
    assert_eq!(damaged(&|bytes| bytes[13] = 0xf9), CorruptListPack::Element(13));
    assert_eq!(damaged(&|bytes| bytes[12] = 5), CorruptListPack::Backlen(6));
    assert_eq!(damaged(&|bytes| bytes[4] = 3), CorruptListPack::Count { claimed: 3, actual: 2 });
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    PushFront(Vec<u8>),
    Insert(usize, Vec<Vec<u8>>),
    Replace(usize, Vec<u8>),
    Remove(usize, usize),
}

fn any_string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i64>().prop_map(|int| int.to_string().into_bytes()),
        4 => (-5000i64..5000).prop_map(|int| int.to_string().into_bytes()),
        8 => prop::collection::vec(any::<u8>(), 0..100),
        1 => (4000usize..4200, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any_string().prop_map(Step::Push),
        2 => any_string().prop_map(Step::PushFront),
        2 => (any::<usize>(), prop::collection::vec(any_string(), 0..4)).prop_map(|(at, items)| Step::Insert(at, items)),
        2 => (any::<usize>(), any_string()).prop_map(|(at, item)| Step::Replace(at, item)),
        2 => (any::<usize>(), 0usize..4).prop_map(|(at, count)| Step::Remove(at, count)),
    ]
}

fn apply(step: Step, list: &mut ListPack, model: &mut Vec<Vec<u8>>) {
    let index = |at: usize, model: &[Vec<u8>]| (!model.is_empty()).then(|| at % model.len());
    match step {
        Step::Push(item) => {
            list.push(item.as_slice());
            model.push(item);
        }
        Step::PushFront(item) => {
            list.push_front(item.as_slice());
            model.insert(0, item);
        }
        Step::Insert(at, items) => {
            let Some(i) = index(at, model) else { return };
            let place = list.at(i).expect("the index is in range");
            list.insert(place, &items.iter().map(|item| Item::Str(item)).collect::<Vec<_>>());
            model.splice(i..i, items);
        }
        Step::Replace(at, item) => {
            let Some(i) = index(at, model) else { return };
            list.replace(list.at(i).expect("the index is in range"), item.as_slice());
            model[i] = item;
        }
        Step::Remove(at, count) => {
            let Some(i) = index(at, model) else { return };
            let end = model.len().min(i + count);
            assert_eq!(list.remove(list.at(i).expect("the index is in range"), count), end - i);
            model.drain(i..end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_sequence_of_changes_agrees_with_a_list_of_strings(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut list = ListPack::new();
        let mut model = Vec::new();
        for step in steps {
            apply(step, &mut list, &mut model);
            prop_assert_eq!(ListPack::from_bytes(list.as_bytes().to_vec()), Ok(list.clone()));
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.is_empty(), model.is_empty());
            prop_assert_eq!(&strings(&list), &model);
            let backward: Vec<_> = list.iter().rev().map(|item| item.to_vec()).collect();
            prop_assert!(backward.iter().eq(model.iter().rev()));
            prop_assert_eq!(list.get(model.len()), None);
            for (i, string) in model.iter().enumerate() {
                prop_assert!(list.get(i).is_some_and(|item| item.is(string)));
                prop_assert!(list.iter_from(i).map(|item| item.to_vec()).eq(model[i..].iter().cloned()));
                prop_assert!(list.iter_before(i).map(|item| item.to_vec()).eq(model[..i].iter().cloned()));
                let first = model.iter().position(|other| other == string).and_then(|first| list.at(first));
                prop_assert_eq!(list.find(string, 1), first);
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_but_never_panic(
        items in prop::collection::vec(any_string(), 0..8),
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let mut bytes = list(&items.iter().map(Vec::as_slice).collect::<Vec<_>>()).into_bytes();
        let len = bytes.len();
        damage.into_iter().for_each(|(at, byte)| bytes[at % len] = byte);
        let cut_off = bytes[..cut % len].to_vec();
        for bytes in [bytes, cut_off] {
            if let Ok(list) = ListPack::from_bytes(bytes) {
                prop_assert_eq!(list.iter().count(), list.iter().rev().count());
                prop_assert_eq!(list.len(), list.iter().count());
            }
        }
    }

    #[test]
    fn foreign_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 7..200)) {
        let len = bytes.len();
        bytes[..6].copy_from_slice(&[len as u8, 0, 0, 0, 0xff, 0xff]);
        bytes[len - 1] = END;
        if let Ok(list) = ListPack::from_bytes(bytes) {
            prop_assert_eq!(list.iter().count(), list.iter().rev().count());
        }
    }
}
