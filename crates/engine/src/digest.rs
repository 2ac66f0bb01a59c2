//! A digest of the logical content of the keyspace: equal content gives an equal digest, whatever the encodings, the
//! order of insertion or the graph links. Compared between primary, replica and a restarted server.

use quiver_structures::ValueRef;

use crate::keyspace::Keyspace;
use crate::number::IntText;
use crate::object::Object;
use crate::rng::mix;

/// 160 bits, printed as 40 hexadecimal digits like Redis' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; 3]);

impl Digest {
    /// The digest of an ordered list of byte strings.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut lanes = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0];
        for part in parts {
            for (i, lane) in lanes.iter_mut().enumerate() {
                *lane = absorb(*lane, part.len() as u64 ^ (i as u64) << 56);
                for chunk in part.chunks(8) {
                    let mut word = [0u8; 8];
                    word[..chunk.len()].copy_from_slice(chunk);
                    *lane = absorb(*lane, u64::from_le_bytes(word));
                }
            }
        }
        Self(lanes)
    }

    /// Adds a member of a set: the order of additions does not matter, repetition does.
    pub fn add(&mut self, other: Self) {
        for (lane, other) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(mix(other));
        }
    }

    /// The bytes, to be part of another digest.
    pub fn bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (i, lane) in self.0.iter().enumerate() {
            bytes[i * 8..i * 8 + 8].copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// 40 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:016x}{:016x}{:08x}", self.0[0], self.0[1], self.0[2] as u32)
    }
}

const fn absorb(lane: u64, word: u64) -> u64 {
    mix(lane ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// The digest of one value.
pub fn of_value(value: &ValueRef<'_, Object>) -> Digest {
    match value {
        ValueRef::Int(number) => Digest::of(&[b"string", IntText::new(*number).as_bytes()]),
        ValueRef::Bytes(bytes) => Digest::of(&[b"string", bytes]),
        ValueRef::Object(object) => object.digest(),
    }
}

/// The digest of every database in the locked shards (all of them, for a digest of the whole). Keys whose time is over
/// at `now_ms` do not count.
pub fn of_keyspace(keyspace: &Keyspace<'_>) -> Digest {
    let mut sum = Digest::default();
    for db in 0..keyspace.dbs_in_use() {
        keyspace.for_each(db, &mut |entry| {
            let expire = entry.expire_at();
            if expire.is_some_and(|at| at <= keyspace.now_ms) {
                return;
            }
            let expire = expire.unwrap_or(-1).to_le_bytes();
            let value = of_value(&entry.value()).bytes();
            sum.add(Digest::of(&[&(db as u64).to_le_bytes(), entry.key(), &expire, &value]));
        });
    }
    sum
}
