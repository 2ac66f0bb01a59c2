//! Tests of the stream type against a map of entries.

use proptest::prelude::*;
use quiver_rdb::{Reader, Writer, code};

use super::id::Wanted;
use super::idmp::Settings;
use super::log::{Limits, Refusal};
use super::trim::{References, Threshold, Trim};
use super::*;

const LIMITS: Limits = Limits { entries: 4, bytes: 200 };

type Words = Vec<Vec<u8>>;

/// What a stream should be: its entries, and the counters.
#[derive(Debug, Default)]
struct Model {
    entries: BTreeMap<Id, Words>,
    last_id: Id,
    max_deleted_id: Id,
    added: u64,
}

const fn id(ms: u64, seq: u64) -> Id {
    Id { ms, seq }
}

fn add(stream: &mut Stream, id: Id, words: &Words) {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    stream.log.append(id, &words, LIMITS);
}

fn words_of(entry: &Entry<'_>) -> Words {
    entry.pairs().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect()
}

fn entries_of(stream: &Stream) -> BTreeMap<Id, Words> {
    stream.log.range(Id::MIN, Id::MAX).map(|entry| (entry.id, words_of(&entry))).collect()
}

fn written(stream: &Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.write_part(&mut Writer::new(&mut bytes), &mut 0, usize::MAX);
    bytes
}

fn read(bytes: &[u8], kind: u8) -> crate::codec::Result<Stream> {
    Stream::read(&mut Reader::from_slice(bytes), kind)
}

fn reloaded(stream: &Stream) -> Stream {
    let bytes = written(stream);
    let mut reader = Reader::from_slice(&bytes);
    let again = Stream::read(&mut reader, stream.rdb_kind()).unwrap();
    assert!(reader.is_at_end().unwrap(), "all bytes are read");
    assert_eq!(again.digest(), stream.digest(), "saved and loaded");
    let mut reader = Reader::from_slice(&bytes);
    quiver_rdb::walk::skip_value(&mut reader, stream.rdb_kind()).unwrap();
    assert!(reader.is_at_end().unwrap(), "a walk over a file steps over all of it");
    again
}

#[derive(Clone, Debug)]
enum Step {
    Add { ms: u64, fields: u8, value: Vec<u8> },
    Delete(u64, u64),
    TrimLen { len: u64, approximate: bool, limit: u64 },
    TrimId { ms: u64, seq: u64, approximate: bool },
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..90),
    ];
    prop_oneof![
        12 => (0..3_u64, 0..4_u8, value).prop_map(|(ms, fields, value)| Step::Add { ms, fields, value }),
        5 => (0..20_u64, 0..8_u64).prop_map(|(ms, seq)| Step::Delete(ms, seq)),
        1 => (0..30_u64, any::<bool>(), 0..9_u64)
            .prop_map(|(len, approximate, limit)| Step::TrimLen { len, approximate, limit }),
        1 => (0..20_u64, 0..5_u64, any::<bool>()).prop_map(|(ms, seq, approximate)| Step::TrimId { ms, seq, approximate }),
        1 => Just(Step::Reload),
    ]
}

impl Model {
    fn apply(&mut self, stream: &mut Stream, step: Step) {
        match step {
            Step::Add { ms, fields, value } => {
                let wanted = Wanted::Within(self.last_id.ms + ms);
                let id = stream.log.next_id(wanted, 0).unwrap();
                assert!(id > self.last_id);
                let words: Words =
                    (0..=fields).flat_map(|field| [format!("f{field}").into_bytes(), value.clone()]).collect();
                add(stream, id, &words);
                self.entries.insert(id, words);
                self.last_id = id;
                self.added += 1;
            }
            Step::Delete(ms, seq) => {
                let there = self.entries.remove(&id(ms, seq)).is_some();
                assert_eq!(stream.log.contains(id(ms, seq)), there);
                assert_eq!(stream.log.delete(id(ms, seq)), there);
                if there {
                    self.max_deleted_id = self.max_deleted_id.max(id(ms, seq));
                }
            }
            Step::TrimLen { len, approximate, limit } => {
                self.trim(stream, Threshold::MaxLen(len), approximate, limit);
            }
            Step::TrimId { ms, seq, approximate } => {
                self.trim(stream, Threshold::MinId(id(ms, seq)), approximate, 0);
            }
            Step::Reload => *stream = reloaded(stream),
        }
    }

    fn trim(&mut self, stream: &mut Stream, threshold: Threshold, approximate: bool, limit: u64) {
        let limit = if approximate { limit } else { 0 };
        let trimmed = stream.trim(&Trim { threshold, approximate, limit, references: References::Keep });
        let most = match threshold {
            Threshold::MaxLen(len) => self.entries.len().saturating_sub(len as usize),
            Threshold::MinId(id) => self.entries.range(..id).count(),
        };
        let count = trimmed.count as usize;
        assert!(if approximate { count <= most } else { count == most }, "{count} of {most}");
        assert!(limit == 0 || trimmed.count <= limit);
        for _ in 0..count {
            let (last, _) = self.entries.pop_first().unwrap();
            assert!(last <= trimmed.last);
        }
    }

    fn check(&self, stream: &Stream) {
        stream.check();
        assert_eq!(entries_of(stream), self.entries);
        let log = &stream.log;
        assert_eq!((log.last_id(), log.max_deleted_id()), (self.last_id, self.max_deleted_id));
        assert_eq!(log.entries_added(), self.added);
        assert_eq!(log.last_entry_id(), self.entries.keys().next_back().copied().unwrap_or(Id::MIN));
        let (from, to) = (id(self.last_id.ms / 2, 1), id(self.last_id.ms, 0));
        let expected: Vec<Id> =
            if from <= to { self.entries.range(from..=to).map(|(id, _)| *id).collect() } else { Vec::new() };
        assert_eq!(log.range(from, to).map(|entry| entry.id).collect::<Vec<_>>(), expected);
        let mut backwards: Vec<Id> = log.range_back(from, to).map(|entry| entry.id).collect();
        backwards.reverse();
        assert_eq!(backwards, expected);
    }
}

proptest! {
    #[test]
    fn a_stream_equals_a_map_after_every_step(steps in prop::collection::vec(step(), 0..80)) {
        let (mut stream, mut model) = (Stream::default(), Model::default());
        for step in steps {
            model.apply(&mut stream, step);
            model.check(&stream);
        }
    }

    #[test]
    fn groups_hold_their_invariants_and_survive_saving(
        steps in prop::collection::vec((0..7_u8, 0..12_u64, 0..3_u8, 0..4_i64), 0..60),
    ) {
        let mut stream = Stream::default();
        stream.groups.insert(b"g".as_slice().into(), Group::new(id(3, 4), Some(2)));
        for (kind, seq, consumer, number) in steps {
            let group = stream.groups.get_mut(b"g".as_slice()).unwrap();
            let (entry, name) = (id(1, seq), [b'a' + consumer]);
            match kind {
                0..=2 => {
                    let (owner, _) = group.find_or_create(&name, 5);
                    group.deliver(entry, owner, number, number);
                }
                3 => prop_assert_eq!(group.pending(entry).is_some(), group.acknowledge(entry)),
                4 => group.release(entry, number),
                5 => {
                    let known = group.find(&name).map(|id| group.consumer(id).pending().len());
                    prop_assert_eq!(group.remove_consumer(&name), known);
                }
                _ => {
                    let mut expected: Vec<(i64, Id)> =
                        group.pending_range(Id::MIN, Id::MAX).map(|(id, p)| (p.delivery_time, id)).collect();
                    expected.retain(|(time, _)| *time <= number);
                    expected.sort_unstable();
                    let expected: Vec<Id> = expected.into_iter().map(|(_, id)| id).take(3).collect();
                    prop_assert_eq!(group.delivered_until(number, 3), expected);
                }
            }
            stream.check();
        }
        reloaded(&stream).check();
    }

    #[test]
    fn damaged_bytes_are_refused_or_give_a_sound_stream(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), kind in 0..5_usize,
    ) {
        let kinds = [
            code::STREAM_LISTPACKS,
            code::STREAM_LISTPACKS_2,
            code::STREAM_LISTPACKS_3,
            code::STREAM_LISTPACKS_4,
            code::STREAM_LISTPACKS_5,
        ];
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes);
        writer.set_compress(false);
        sample().write_part(&mut writer, &mut 0, usize::MAX);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(stream) = read(bytes, kinds[kind]) {
                stream.check();
            }
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written(ms in any::<u64>(), seq in any::<u64>()) {
        let id = id(ms, seq);
        prop_assert_eq!(Id::parse(id.text().as_bytes(), 7), Some(id));
        prop_assert_eq!(Id::from_bytes(id.to_bytes()), id);
        prop_assert_eq!(id.next().and_then(Id::previous), id.next().map(|_| id));
    }
}

/// A stream with some of everything.
fn sample() -> Stream {
    let mut stream = Stream::default();
    for seq in 1..=9 {
        add(&mut stream, id(1, seq), &vec![b"field".to_vec(), seq.to_string().into_bytes()]);
    }
    stream.log.delete(id(1, 6));
    let mut group = Group::new(id(1, 8), None);
    let (a, _) = group.find_or_create(b"a", 100);
    let (b, _) = group.find_or_create(b"b", 200);
    group.deliver(id(1, 2), a, 50, 1);
    group.deliver(id(1, 3), b, 60, 2);
    group.release(id(1, 4), 3);
    stream.groups.insert(b"g".as_slice().into(), group);
    let mut idmp = Idmp::new(Settings { duration_s: 10, maxsize: 5 });
    idmp.record(b"p", b"m", id(1, 9));
    stream.idmp = Some(Box::new(idmp));
    stream
}

#[test]
fn what_only_later_releases_know_is_saved_in_their_types() {
    let mut stream = sample();
    assert_eq!(stream.rdb_kind(), code::STREAM_LISTPACKS_5);
    let again = reloaded(&stream);
    assert_eq!(again.groups[b"g".as_slice()].released_len(), 1);
    assert_eq!(again.idmp.as_ref().unwrap().find(b"p", b"m", 2), Some(id(1, 9)));
    stream.groups.get_mut(b"g".as_slice()).unwrap().acknowledge(id(1, 4));
    assert_eq!(stream.rdb_kind(), code::STREAM_LISTPACKS_4);
    stream.idmp = None;
    assert_eq!(stream.rdb_kind(), code::STREAM_LISTPACKS_3);
    reloaded(&stream);
}

#[test]
fn ids_have_the_forms_redis_reads() {
    let cases: &[(&str, Option<Id>)] = &[
        ("5", Some(id(5, 7))),
        ("5-1", Some(id(5, 1))),
        ("05-+1", Some(id(5, 1))),
        (" 5-1", Some(id(5, 1))),
        ("5-\u{0}1", None),
        ("5-1\u{0}x", Some(id(5, 1))),
        ("18446744073709551615-0", Some(id(u64::MAX, 0))),
        ("18446744073709551616-0", None),
        ("", None),
        ("-", None),
        ("+", None),
        ("5-", None),
        ("-1", None),
        ("5-1-1", None),
        ("5-*", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Id::parse(text.as_bytes(), 7), *expected, "{text:?}");
    }
    assert_eq!(Id::parse_bound(b"-", 7), Some(Id::MIN));
    assert_eq!(Id::parse_bound(b"+", 7), Some(Id::MAX));
    assert_eq!(Wanted::parse(b"5-*"), Some(Wanted::Within(5)));
    assert_eq!(Wanted::parse(b"5"), Some(Wanted::Exact(id(5, 0))));
    assert_eq!(Wanted::parse(b"x-*"), None);
}

#[test]
fn new_ids_only_grow() {
    let mut log = Log::default();
    assert_eq!(log.next_id(Wanted::Within(0), 9), Ok(id(0, 1)), "no entry has the id 0-0");
    assert_eq!(log.next_id(Wanted::Auto, 9), Ok(id(9, 0)));
    log.set_counters(id(9, 3), None, None);
    assert_eq!(log.next_id(Wanted::Auto, 9), Ok(id(9, 4)));
    assert_eq!(log.next_id(Wanted::Auto, 2), Ok(id(9, 4)), "a clock that went back");
    assert_eq!(log.next_id(Wanted::Within(9), 2), Ok(id(9, 4)));
    assert_eq!(log.next_id(Wanted::Exact(id(9, 3)), 2), Err(Refusal::NotGreater));
    log.set_counters(id(9, u64::MAX), None, None);
    assert_eq!(log.next_id(Wanted::Within(9), 2), Err(Refusal::NotGreater));
    assert_eq!(log.next_id(Wanted::Auto, 2), Ok(id(10, 0)));
    log.set_counters(Id::MAX, None, None);
    assert_eq!(log.next_id(Wanted::Auto, 2), Err(Refusal::Exhausted));
}

#[test]
fn trimming_keeps_what_a_group_has_not_acknowledged() {
    let mut stream = sample();
    stream.groups.get_mut(b"g".as_slice()).unwrap().last_id = id(1, 5);
    let trim =
        Trim { threshold: Threshold::MaxLen(0), approximate: false, limit: 0, references: References::Acknowledged };
    // 2, 3 and 4 are pending, 7 to 9 not read; 6 is gone already.
    assert_eq!(stream.trim(&trim).count, 2);
    stream.check();
    let left: Vec<u64> = entries_of(&stream).keys().map(|id| id.seq).collect();
    assert_eq!(left, [2, 3, 4, 7, 8, 9]);
    assert_eq!(stream.trim(&Trim { references: References::Delete, ..trim }).count, 6);
    stream.check();
    assert_eq!(stream.groups[b"g".as_slice()].pending_len(), 0, "references go with their entries");
}

#[test]
fn producers_messages_are_forgotten_by_age_and_by_number() {
    let mut idmp = Idmp::new(Settings { duration_s: 1, maxsize: 2 });
    idmp.record(b"p", b"a", id(1000, 0));
    assert_eq!(idmp.find(b"p", b"a", 1999), Some(id(1000, 0)));
    assert_eq!(idmp.find(b"p", b"a", 2000), None, "a second later");
    assert_eq!(idmp.find(b"q", b"a", 1000), None, "another producer");
    idmp.record(b"p", b"b", id(1001, 0));
    idmp.record(b"p", b"c", id(1002, 0));
    assert_eq!((idmp.messages(), idmp.find(b"p", b"a", 1002)), (2, None), "the third from last");
    idmp.record(b"p", b"c", id(5000, 0));
    assert_eq!((idmp.messages(), idmp.added), (1, 4), "the others are too old");
    idmp.configure(Settings { duration_s: 1, maxsize: 2 });
    assert_eq!(idmp.messages(), 1, "nothing changed");
    idmp.configure(Settings { duration_s: 2, maxsize: 2 });
    assert_eq!((idmp.messages(), idmp.producers()), (0, 0));
}
