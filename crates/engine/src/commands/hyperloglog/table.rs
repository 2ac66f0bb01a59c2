//! The table entries of HyperLogLogs.

use super::debug::{pfdebug, pfselftest};
use super::{pfadd, pfcount, pfmerge};
use crate::command::{Acl, Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Locks};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        summary: "Adds elements to a HyperLogLog, creating it when missing.",
        since: "2.8.9",
        complexity: "O(1) for each element",
        group: Group::HyperLogLog,
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::HYPERLOGLOG,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("element").optional().multiple()],
        run: pfadd,
        ..Command::NEW
    },
    Command {
        name: "pfcount",
        summary: "Estimates how many different elements HyperLogLogs have seen.",
        since: "2.8.9",
        complexity: "O(1) for one key, O(N) with a large constant for N keys",
        group: Group::HyperLogLog,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::HYPERLOGLOG,
        keys: &[KeySpec::all(KeyFlags::RW.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key").multiple()],
        run: pfcount,
        ..Command::NEW
    },
    Command {
        name: "pfdebug",
        summary: "Shows or changes how a HyperLogLog is kept.",
        since: "2.8.9",
        complexity: "O(N) where N is the number of registers",
        group: Group::HyperLogLog,
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::ADMIN),
        acl: Acl::HYPERLOGLOG,
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS),
            begin: Begin::Index(2),
            find: Find::Range { last: 0, step: 1, limit: 0 },
        }],
        args: &[Arg::string("subcommand"), Arg::key("key")],
        run: pfdebug,
        ..Command::NEW
    },
    Command {
        name: "pfmerge",
        summary: "Merges HyperLogLogs into one.",
        since: "2.8.9",
        complexity: "O(N) with a large constant for N keys",
        group: Group::HyperLogLog,
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::HYPERLOGLOG,
        keys: &[
            KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::INSERT)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::Range { last: -1, step: 1, limit: 0 },
            },
        ],
        args: &[Arg::key("destkey"), Arg::key("sourcekey").optional().multiple().of_spec(1)],
        locks: Locks::KeysAlone,
        run: pfmerge,
        ..Command::NEW
    },
    Command {
        name: "pfselftest",
        summary: "Checks the arithmetic of HyperLogLogs.",
        since: "2.8.9",
        complexity: "O(N) where N is the number of registers",
        group: Group::HyperLogLog,
        arity: 1,
        flags: Flags::ADMIN,
        acl: Acl::HYPERLOGLOG,
        locks: Locks::KeysAlone,
        run: pfselftest,
        ..Command::NEW
    },
];
