//! The table entries of the list commands.

use super::moves::{blmove, blmovem, brpoplpush, lmove, lmovem, rpoplpush};
use super::pop::{blmpop, blpop, brpop, lmpop, lpop, rpop};
use super::search::{linsert, lpos, lrem};
use super::{lindex, llen, lpush, lpushx, lrange, lset, ltrim, rpush, rpushx};
use crate::command::{Acl, Arg, Begin, Command, Find, Flags, Group, KeyFlags, KeySpec};

const LIST: Command = Command { group: Group::List, acl: Acl::LIST, ..Command::NEW };

const SIDES: &[Arg] = &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")];

/// From one list to another.
const MOVE_KEYS: &[KeySpec] = &[
    KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE)),
    KeySpec {
        flags: KeyFlags::RW.with(KeyFlags::INSERT),
        begin: Begin::Index(2),
        find: Find::Range { last: 0, step: 1, limit: 0 },
    },
];

const HOW_MANY: Arg = Arg::block(
    "how-many",
    &[
        Arg::one_of("selector", &[Arg::integer("count").after("COUNT"), Arg::integer("exactly").after("EXACTLY")]),
        Arg::one_of("ordering", &[Arg::word("obo", "OBO"), Arg::word("bulk", "BULK")]),
    ],
)
.optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "blmove",
        summary: "Moves an element from list to list, waiting for one if need be.",
        since: "6.2.0",
        arity: 6,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::BLOCKING),
        keys: MOVE_KEYS,
        args: &[
            Arg::key("source"),
            Arg::key("destination").of_spec(1),
            Arg::one_of("wherefrom", SIDES),
            Arg::one_of("whereto", SIDES),
            Arg::double("timeout"),
        ],
        run: blmove,
        ..LIST
    },
    Command {
        name: "blmovem",
        summary: "Moves elements from list to list, waiting for enough of them if need be.",
        since: "8.10.0",
        complexity: "O(N) where N is the number of elements moved",
        arity: -6,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::BLOCKING),
        keys: MOVE_KEYS,
        args: &[
            Arg::key("source"),
            Arg::key("destination").of_spec(1),
            Arg::one_of("wherefrom", SIDES),
            Arg::one_of("whereto", SIDES),
            Arg::double("timeout"),
            HOW_MANY,
        ],
        run: blmovem,
        ..LIST
    },
    Command {
        name: "blmpop",
        summary: "Takes elements from the first list that has some, waiting for one if need be.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements taken",
        arity: -5,
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::MOVABLEKEYS),
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(2),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[
            Arg::double("timeout"),
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", SIDES),
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: blmpop,
        ..LIST
    },
    Command {
        name: "blpop",
        summary: "Takes the first element of the first list that has one, waiting for it if need be.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of keys",
        arity: -3,
        flags: Flags::WRITE.with(Flags::BLOCKING),
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }],
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        run: blpop,
        ..LIST
    },
    Command {
        name: "brpop",
        summary: "Takes the last element of the first list that has one, waiting for it if need be.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of keys",
        arity: -3,
        flags: Flags::WRITE.with(Flags::BLOCKING),
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::Range { last: -2, step: 1, limit: 0 },
        }],
        args: &[Arg::key("key").multiple(), Arg::double("timeout")],
        run: brpop,
        ..LIST
    },
    Command {
        name: "brpoplpush",
        summary: "Moves the last element of a list to the head of another, waiting for it if need be.",
        since: "2.2.0",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::BLOCKING),
        keys: MOVE_KEYS,
        args: &[Arg::key("source"), Arg::key("destination").of_spec(1), Arg::double("timeout")],
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: brpoplpush,
        ..LIST
    },
    Command {
        name: "lindex",
        summary: "Reads the element at an index.",
        complexity: "O(N) where N is the number of elements to walk over; O(1) at the ends",
        arity: 3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("index")],
        run: lindex,
        ..LIST
    },
    Command {
        name: "linsert",
        summary: "Adds an element before or behind another.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements before the other",
        arity: 5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[
            Arg::key("key"),
            Arg::one_of("where", &[Arg::word("before", "BEFORE"), Arg::word("after", "AFTER")]),
            Arg::string("pivot"),
            Arg::string("element"),
        ],
        run: linsert,
        ..LIST
    },
    Command {
        name: "llen",
        summary: "Answers the length of a list.",
        arity: 2,
        flags: Flags::READONLY.with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::key("key")],
        run: llen,
        ..LIST
    },
    Command {
        name: "lmove",
        summary: "Moves an element from list to list.",
        since: "6.2.0",
        arity: 5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: MOVE_KEYS,
        args: &[
            Arg::key("source"),
            Arg::key("destination").of_spec(1),
            Arg::one_of("wherefrom", SIDES),
            Arg::one_of("whereto", SIDES),
        ],
        run: lmove,
        ..LIST
    },
    Command {
        name: "lmovem",
        summary: "Moves elements from list to list.",
        since: "8.10.0",
        complexity: "O(N) where N is the number of elements moved",
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: MOVE_KEYS,
        args: &[
            Arg::key("source"),
            Arg::key("destination").of_spec(1),
            Arg::one_of("wherefrom", SIDES),
            Arg::one_of("whereto", SIDES),
            HOW_MANY,
        ],
        run: lmovem,
        ..LIST
    },
    Command {
        name: "lmpop",
        summary: "Takes elements from the first list that has some.",
        since: "7.0.0",
        complexity: "O(N+M) where N is the number of keys and M the number of elements taken",
        arity: -4,
        flags: Flags::WRITE.with(Flags::MOVABLEKEYS),
        keys: &[KeySpec {
            flags: KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE),
            begin: Begin::Index(1),
            find: Find::KeyNum { count: 0, first: 1, step: 1 },
        }],
        args: &[
            Arg::integer("numkeys"),
            Arg::key("key").multiple(),
            Arg::one_of("where", SIDES),
            Arg::integer("count").after("COUNT").optional(),
        ],
        run: lmpop,
        ..LIST
    },
    Command {
        name: "lpop",
        summary: "Takes the first elements of a list.",
        complexity: "O(N) where N is the number of elements taken",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("count").optional().since("6.2.0")],
        run: lpop,
        ..LIST
    },
    Command {
        name: "lpos",
        summary: "Finds the index of elements that equal a value.",
        since: "6.0.6",
        complexity: "O(N) where N is the number of elements looked at",
        arity: -3,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("element"),
            Arg::integer("rank").after("RANK").optional(),
            Arg::integer("num-matches").after("COUNT").optional(),
            Arg::integer("len").after("MAXLEN").optional(),
        ],
        run: lpos,
        ..LIST
    },
    Command {
        name: "lpush",
        summary: "Adds elements at the head of a list, creating it when missing.",
        complexity: "O(N) where N is the number of elements added",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        run: lpush,
        ..LIST
    },
    Command {
        name: "lpushx",
        summary: "Adds elements at the head of a list that exists.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        run: lpushx,
        ..LIST
    },
    Command {
        name: "lrange",
        summary: "Reads a range of elements.",
        complexity: "O(S+N) where S is the distance to the nearer end and N the number of elements read",
        arity: 4,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        run: lrange,
        ..LIST
    },
    Command {
        name: "lrem",
        summary: "Removes elements that equal a value.",
        complexity: "O(N+M) where N is the length of the list and M the number of elements removed",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("count"), Arg::string("element")],
        run: lrem,
        ..LIST
    },
    Command {
        name: "lset",
        summary: "Replaces the element at an index.",
        complexity: "O(N) where N is the number of elements to walk over; O(1) at the ends",
        arity: 4,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[Arg::key("key"), Arg::integer("index"), Arg::string("element")],
        run: lset,
        ..LIST
    },
    Command {
        name: "ltrim",
        summary: "Removes all elements outside of a range.",
        complexity: "O(N) where N is the number of elements removed",
        arity: 4,
        flags: Flags::WRITE,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
        run: ltrim,
        ..LIST
    },
    Command {
        name: "rpop",
        summary: "Takes the last elements of a list.",
        complexity: "O(N) where N is the number of elements taken",
        arity: -2,
        flags: Flags::WRITE.with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::integer("count").optional().since("6.2.0")],
        run: rpop,
        ..LIST
    },
    Command {
        name: "rpoplpush",
        summary: "Moves the last element of a list to the head of another.",
        since: "1.2.0",
        arity: 3,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        keys: MOVE_KEYS,
        args: &[Arg::key("source"), Arg::key("destination").of_spec(1)],
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: rpoplpush,
        ..LIST
    },
    Command {
        name: "rpush",
        summary: "Adds elements at the tail of a list, creating it when missing.",
        complexity: "O(N) where N is the number of elements added",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        run: rpush,
        ..LIST
    },
    Command {
        name: "rpushx",
        summary: "Adds elements at the tail of a list that exists.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of elements added",
        arity: -3,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::INSERT))],
        args: &[Arg::key("key"), Arg::string("element").multiple()],
        run: rpushx,
        ..LIST
    },
];
