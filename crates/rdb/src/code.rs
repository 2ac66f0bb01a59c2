//! The one-byte codes of the format: opcodes between records and the types of values.

/// What modules note beside a key (Redis 8.6), or a slot on its way in (Valkey 9). Neither is read.
pub const KEY_META: u8 = 243;
/// Hash-slot sizes of the keys that follow (three lengths: slot, keys, keys with an expiry). A hint only.
pub const SLOT_INFO: u8 = 244;
/// A function library's source (one string).
pub const FUNCTION2: u8 = 245;
/// A function library as release candidates of Redis 7.0 wrote it. No released server reads it.
pub const FUNCTION_PRE_GA: u8 = 246;
/// Data a module keeps beside the keyspace: module id, then module opcodes.
pub const MODULE_AUX: u8 = 247;
/// Idle time of the next key in seconds (a length), written under LRU policies.
pub const IDLE: u8 = 248;
/// Access frequency of the next key (one byte), written under LFU policies.
pub const FREQ: u8 = 249;
/// A named property of the file: two strings.
pub const AUX: u8 = 250;
/// Sizes of the selected database and of its expiries: two lengths. A hint only.
pub const RESIZEDB: u8 = 251;
/// Expiry of the next key: unix milliseconds, 8 bytes, little-endian.
pub const EXPIRETIME_MS: u8 = 252;
/// Expiry of the next key: unix seconds, 4 bytes, little-endian. Only in old files.
pub const EXPIRETIME: u8 = 253;
/// Selects the database of the keys that follow (a length).
pub const SELECTDB: u8 = 254;
/// End of the records; the CRC64 follows.
pub const EOF: u8 = 255;

/// A string.
pub const STRING: u8 = 0;
/// List of strings, one by one.
pub const LIST: u8 = 1;
/// Set of strings, one by one.
pub const SET: u8 = 2;
/// Sorted set with scores in ASCII. Only in old files.
pub const ZSET: u8 = 3;
/// Hash, field and value one by one.
pub const HASH: u8 = 4;
/// Sorted set with binary scores, highest first as Redis writes it.
pub const ZSET_2: u8 = 5;
/// A module's value as a release candidate of Redis 4.0 wrote it: only the module knows where it ends.
pub const MODULE: u8 = 6;
/// A module's value: id and self-describing opcodes, see [`crate::module`].
pub const MODULE_2: u8 = 7;
/// Hash as a zipmap. Only in old files.
pub const HASH_ZIPMAP: u8 = 9;
/// List as one ziplist. Only in old files.
pub const LIST_ZIPLIST: u8 = 10;
/// Set of integers as one intset.
pub const SET_INTSET: u8 = 11;
/// Sorted set as one ziplist. Only in old files.
pub const ZSET_ZIPLIST: u8 = 12;
/// Hash as one ziplist. Only in old files.
pub const HASH_ZIPLIST: u8 = 13;
/// List of ziplists. Only in old files.
pub const LIST_QUICKLIST: u8 = 14;
/// Stream of Redis 5.
pub const STREAM_LISTPACKS: u8 = 15;
/// Hash as one listpack: field, value, ...
pub const HASH_LISTPACK: u8 = 16;
/// Sorted set as one listpack: member, score, ...
pub const ZSET_LISTPACK: u8 = 17;
/// List of nodes, each a container kind (1 plain, 2 listpack) and a string.
pub const LIST_QUICKLIST_2: u8 = 18;
/// Stream of Redis 7.0.
pub const STREAM_LISTPACKS_2: u8 = 19;
/// Set as one listpack.
pub const SET_LISTPACK: u8 = 20;
/// Stream of Redis 7.2.
pub const STREAM_LISTPACKS_3: u8 = 21;
/// Hash with field expiries as release candidates of Redis 7.4 wrote it: a count, then (expiry, field, value). In files
/// of Valkey 9 it is (field, value, expiry of 8 bytes, -1 for none).
pub const HASH_CANDIDATE: u8 = 22;
/// Hash with field expiries as one listpack, without the earliest before it: release candidates of Redis 7.4.
pub const HASH_LISTPACK_CANDIDATE: u8 = 23;
/// Hash with field expiries: the earliest, a count, then (expiry offset, field, value).
pub const HASH_METADATA: u8 = 24;
/// Hash with field expiries as one listpack: the earliest, then field, value, expiry, ...
pub const HASH_LISTPACK_EX: u8 = 25;
/// Stream of Redis 8.6: the memory of producers' messages follows the groups.
pub const STREAM_LISTPACKS_4: u8 = 26;
/// Stream of Redis 8.8: groups have released entries.
pub const STREAM_LISTPACKS_5: u8 = 27;
/// Array: cursor, count, then (distance, element). Quiver's own, far from the numbers that Redis gives out.
pub const QUIVER_ARRAY: u8 = 200;
/// Vector set with elements that expire: their number, (name, unix ms) of each, then the module value. Quiver's own.
pub const QUIVER_VECTOR_SET: u8 = 201;
/// Vector set with indexes over attributes: their number, the fields; then as [`QUIVER_VECTOR_SET`]. Quiver's own.
pub const QUIVER_VECTOR_SET_2: u8 = 202;
