//! The table entries of bitmaps.

use super::field::{bitfield, bitfield_ro};
use super::operation::bitop;
use super::{bitcount, bitpos, getbit, setbit};
use crate::command::{Acl, Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec, Locks};

/// Whether a range counts bytes or bits.
const UNIT: Arg = Arg::one_of("unit", &[Arg::word("byte", "BYTE"), Arg::word("bit", "BIT")]).optional().since("7.0.0");

const GET: Arg = Arg::block("get-block", &[Arg::string("encoding"), Arg::integer("offset")]).after("GET");

const OVERFLOW: Arg =
    Arg::one_of("overflow-block", &[Arg::word("wrap", "WRAP"), Arg::word("sat", "SAT"), Arg::word("fail", "FAIL")])
        .after("OVERFLOW")
        .optional();

const WRITE: Arg = Arg::one_of(
    "write-operation",
    &[
        Arg::block("set-block", &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("value")]).after("SET"),
        Arg::block("incrby-block", &[Arg::string("encoding"), Arg::integer("offset"), Arg::integer("increment")])
            .after("INCRBY"),
    ],
);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "bitcount",
        summary: "Counts the bits that are set in a string or a part of it.",
        since: "2.6.0",
        complexity: "O(N) where N is the number of bytes looked at",
        group: Group::Bitmap,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::block("range", &[Arg::integer("start"), Arg::integer("end"), UNIT]).optional()],
        run: bitcount,
        ..Command::NEW
    },
    Command {
        name: "bitfield",
        summary: "Reads and changes integers of any width within a string.",
        since: "3.2.0",
        complexity: "O(1) for each operation",
        group: Group::Bitmap,
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(
            KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE).with(KeyFlags::VARIABLE_FLAGS),
        )],
        args: &[
            Arg::key("key"),
            Arg::one_of("operation", &[GET, Arg::block("write", &[OVERFLOW, WRITE])]).optional().multiple(),
        ],
        run: bitfield,
        ..Command::NEW
    },
    Command {
        name: "bitfield_ro",
        summary: "Reads integers of any width within a string.",
        since: "6.0.0",
        complexity: "O(1) for each operation",
        group: Group::Bitmap,
        arity: -2,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), GET.optional().multiple_token()],
        run: bitfield_ro,
        ..Command::NEW
    },
    Command {
        name: "bitop",
        summary: "Combines strings bit by bit and stores the result.",
        since: "2.6.0",
        complexity: "O(N) where N is the length of the longest string",
        group: Group::Bitmap,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::BITMAP,
        keys: &[
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(3),
                find: Find::Range { last: -1, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::one_of(
                "operation",
                &[
                    Arg::word("and", "AND"),
                    Arg::word("or", "OR"),
                    Arg::word("xor", "XOR"),
                    Arg::word("not", "NOT"),
                    Arg::word("diff", "DIFF"),
                    Arg::word("diff1", "DIFF1"),
                    Arg::word("andor", "ANDOR"),
                    Arg::word("one", "ONE"),
                ],
            ),
            Arg::key("destkey"),
            Arg::key("key").multiple().of_spec(1),
        ],
        locks: Locks::KeysAlone,
        run: bitop,
        ..Command::NEW
    },
    Command {
        name: "bitpos",
        summary: "Finds the first bit that is set or clear.",
        since: "2.8.7",
        complexity: "O(N) where N is the number of bytes looked at",
        group: Group::Bitmap,
        arity: -3,
        flags: Flags::READONLY,
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::integer("bit"),
            Arg::block(
                "range",
                &[Arg::integer("start"), Arg::block("end-unit-block", &[Arg::integer("end"), UNIT]).optional()],
            )
            .optional(),
        ],
        run: bitpos,
        ..Command::NEW
    },
    Command {
        name: "getbit",
        summary: "Reads one bit of a string.",
        since: "2.2.0",
        group: Group::Bitmap,
        arity: 3,
        flags: Flags::READONLY.with(Flags::FAST),
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("offset")],
        run: getbit,
        ..Command::NEW
    },
    Command {
        name: "setbit",
        summary: "Writes one bit of a string, padding with zero bytes.",
        since: "2.2.0",
        group: Group::Bitmap,
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::BITMAP,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("offset"), Arg::integer("value")],
        run: setbit,
        ..Command::NEW
    },
];
