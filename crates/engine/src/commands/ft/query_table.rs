//! The table entries of FT.*: what asks indexes, and suggestions.

use super::{aggregate, cursor, explain, hybrid, profile, search, spell, suggest};
use crate::command::{Acl, Arg, Command, Flags, Group, KeyFlags, KeySpec, Locks};

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ft.aggregate",
        summary: "Groups, computes and sorts what a query finds.",
        since: "1.1.0",
        complexity: "O(N) where N is the number of matches",
        group: Group::Search,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        locks: Locks::Walk,
        run: aggregate::aggregate,
        ..Command::NEW
    },
    Command {
        name: "ft.cursor",
        summary: "Groups the commands about cursors of FT.AGGREGATE.",
        since: "1.0.0",
        complexity: "Depends on the subcommand",
        group: Group::Module,
        arity: -2,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        subcommands: &[
            Command {
                name: "del",
                summary: "Drops a cursor.",
                since: "1.1.0",
                complexity: "O(1)",
                group: Group::Search,
                arity: -4,
                flags: Flags::READONLY.with(Flags::MODULE),
                acl: Acl::SEARCH.with(Acl::READ),
                tips: &["request_policy:special", "dont_cache"],
                args: &[Arg::string("index"), Arg::integer("cursor_id")],
                run: cursor::del,
                ..Command::NEW
            },
            Command {
                name: "gc",
                summary: "Drops cursors that were not read for too long.",
                since: "1.0.0",
                complexity: "O(N) where N is the number of cursors",
                group: Group::Module,
                arity: -2,
                flags: Flags::READONLY.with(Flags::MODULE),
                acl: Acl::SEARCH.with(Acl::READ),
                tips: &["dont_cache"],
                run: cursor::gc,
                ..Command::NEW
            },
            Command {
                name: "read",
                summary: "Answers further rows of FT.AGGREGATE.",
                since: "1.1.0",
                complexity: "O(N) where N is the number of rows",
                group: Group::Search,
                arity: -4,
                flags: Flags::READONLY.with(Flags::MODULE),
                acl: Acl::SEARCH.with(Acl::READ),
                tips: &["request_policy:special", "dont_cache"],
                args: &[
                    Arg::string("index"),
                    Arg::integer("cursor_id"),
                    Arg::integer("read size").after("COUNT").optional(),
                ],
                run: cursor::read,
                ..Command::NEW
            },
        ],
        ..Command::NEW
    },
    Command {
        name: "ft.explain",
        summary: "Shows how a query is understood.",
        since: "1.0.0",
        complexity: "O(N) where N is the length of the query",
        group: Group::Search,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH,
        tips: &["dont_cache"],
        args: &[
            Arg::string("index"),
            Arg::string("query"),
            Arg::integer("dialect").after("DIALECT").since("2.4.3").optional(),
        ],
        locks: Locks::Walk,
        run: explain::explain,
        ..Command::NEW
    },
    Command {
        name: "ft.explaincli",
        summary: "Shows how a query is understood, a line at a time.",
        since: "1.0.0",
        complexity: "O(N) where N is the length of the query",
        group: Group::Search,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH,
        tips: &["dont_cache"],
        args: &[
            Arg::string("index"),
            Arg::string("query"),
            Arg::integer("dialect").after("DIALECT").since("2.4.3").optional(),
        ],
        locks: Locks::Walk,
        run: explain::explain_lines,
        ..Command::NEW
    },
    Command {
        name: "ft.hybrid",
        summary: "Finds by words and by nearness, and makes one ranking of both.",
        since: "8.4.4",
        complexity: "O(N log N) where N is the number of matches",
        group: Group::Search,
        arity: -7,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        locks: Locks::Walk,
        run: hybrid::hybrid,
        ..Command::NEW
    },
    Command {
        name: "ft.profile",
        summary: "Runs a query and tells what it cost.",
        since: "2.2.0",
        complexity: "O(N) where N is the number of matches",
        group: Group::Search,
        arity: -5,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        args: &[
            Arg::string("index"),
            Arg::one_of(
                "querytype",
                &[Arg::word("search", "SEARCH"), Arg::word("aggregate", "AGGREGATE"), Arg::word("hybrid", "HYBRID")],
            ),
            Arg::word("limited", "LIMITED").optional(),
            Arg::word("queryword", "QUERY"),
            Arg::string("query"),
        ],
        locks: Locks::Walk,
        run: profile::profile,
        ..Command::NEW
    },
    Command {
        name: "ft.search",
        summary: "Finds documents.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of matches",
        group: Group::Search,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        args: &[
            Arg::string("index"),
            Arg::string("query"),
            Arg::word("nocontent", "NOCONTENT").optional(),
            Arg::word("verbatim", "VERBATIM").optional(),
            Arg::word("nostopwords", "NOSTOPWORDS").optional(),
            Arg::word("withscores", "WITHSCORES").optional(),
            Arg::word("withpayloads", "WITHPAYLOADS").optional(),
            Arg::word("withsortkeys", "WITHSORTKEYS").optional(),
            Arg::block(
                "filter",
                &[Arg::string("numeric_field").after("FILTER"), Arg::double("min"), Arg::double("max")],
            )
            .optional()
            .multiple(),
            Arg::block(
                "geo_filter",
                &[
                    Arg::string("geo_field").after("GEOFILTER"),
                    Arg::double("lon"),
                    Arg::double("lat"),
                    Arg::double("radius"),
                    Arg::one_of(
                        "radius_type",
                        &[Arg::word("m", "m"), Arg::word("km", "km"), Arg::word("mi", "mi"), Arg::word("ft", "ft")],
                    ),
                ],
            )
            .optional()
            .multiple(),
            Arg::block("in_keys", &[Arg::string("count").after("INKEYS"), Arg::string("key").multiple()]).optional(),
            Arg::block("in_fields", &[Arg::string("count").after("INFIELDS"), Arg::string("field").multiple()])
                .optional(),
            Arg::block(
                "return",
                &[
                    Arg::string("count").after("RETURN"),
                    Arg::block(
                        "identifiers",
                        &[Arg::string("identifier"), Arg::string("property").after("AS").optional()],
                    )
                    .multiple(),
                ],
            )
            .optional(),
            Arg::block(
                "summarize",
                &[
                    Arg::word("summarize", "SUMMARIZE"),
                    Arg::block("fields", &[Arg::string("count").after("FIELDS"), Arg::string("field").multiple()])
                        .optional(),
                    Arg::integer("num").after("FRAGS").optional(),
                    Arg::integer("fragsize").after("LEN").optional(),
                    Arg::string("separator").after("SEPARATOR").optional(),
                ],
            )
            .optional(),
            Arg::block(
                "highlight",
                &[
                    Arg::word("highlight", "HIGHLIGHT"),
                    Arg::block("fields", &[Arg::string("count").after("FIELDS"), Arg::string("field").multiple()])
                        .optional(),
                    Arg::block("tags", &[Arg::word("tags", "TAGS"), Arg::string("open"), Arg::string("close")])
                        .optional(),
                ],
            )
            .optional(),
            Arg::integer("slop").after("SLOP").optional(),
            Arg::integer("timeout").after("TIMEOUT").optional(),
            Arg::word("inorder", "INORDER").optional(),
            Arg::string("language").after("LANGUAGE").optional(),
            Arg::string("expander").after("EXPANDER").optional(),
            Arg::string("scorer").after("SCORER").optional(),
            Arg::word("explainscore", "EXPLAINSCORE").optional(),
            Arg::string("payload").after("PAYLOAD").optional(),
            Arg::block(
                "sortby",
                &[
                    Arg::string("sortby").after("SORTBY"),
                    Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
                ],
            )
            .optional(),
            Arg::block("limit", &[Arg::word("limit", "LIMIT"), Arg::integer("offset"), Arg::integer("num")]).optional(),
            Arg::block(
                "params",
                &[
                    Arg::word("params", "PARAMS"),
                    Arg::integer("nargs"),
                    Arg::block("values", &[Arg::string("name"), Arg::string("value")]).multiple(),
                ],
            )
            .optional(),
            Arg::integer("dialect").after("DIALECT").since("2.4.3").optional(),
        ],
        locks: Locks::Walk,
        run: search::search,
        ..Command::NEW
    },
    Command {
        name: "ft.spellcheck",
        summary: "Suggests corrections for the words of a query.",
        since: "1.4.0",
        complexity: "O(N) where N is the number of terms in the index",
        group: Group::Search,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH,
        tips: &["dont_cache"],
        args: &[
            Arg::string("index"),
            Arg::string("query"),
            Arg::integer("distance").after("DISTANCE").optional(),
            Arg::block(
                "terms",
                &[
                    Arg::one_of("inclusion", &[Arg::word("include", "INCLUDE"), Arg::word("exclude", "EXCLUDE")]),
                    Arg::string("dictionary"),
                    Arg::string("terms").optional().multiple(),
                ],
            )
            .after("TERMS")
            .optional(),
            Arg::integer("dialect").after("DIALECT").since("2.4.3").optional(),
        ],
        locks: Locks::Walk,
        run: spell::spellcheck,
        ..Command::NEW
    },
    Command {
        name: "ft.sugadd",
        summary: "Adds a suggestion to a dictionary of suggestions.",
        since: "1.0.0",
        complexity: "O(L) where L is the length of the suggestion",
        group: Group::Suggestion,
        arity: -4,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::WRITE),
        tips: &["dont_cache"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::string("key"),
            Arg::string("string"),
            Arg::double("score"),
            Arg::one_of("increment score", &[Arg::word("incr", "INCR")]).optional(),
            Arg::string("payload").after("PAYLOAD").optional(),
        ],
        run: suggest::add,
        ..Command::NEW
    },
    Command {
        name: "ft.sugdel",
        summary: "Removes a suggestion.",
        since: "1.0.0",
        complexity: "O(L) where L is the length of the suggestion",
        group: Group::Suggestion,
        arity: 3,
        flags: Flags::WRITE.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::WRITE),
        tips: &["dont_cache"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::string("key"), Arg::string("string")],
        run: suggest::del,
        ..Command::NEW
    },
    Command {
        name: "ft.sugget",
        summary: "Answers suggestions that begin with a text.",
        since: "1.0.0",
        complexity: "O(N) where N is the number of suggestions that begin so",
        group: Group::Suggestion,
        arity: -3,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::string("key"),
            Arg::string("prefix"),
            Arg::word("fuzzy", "FUZZY").optional(),
            Arg::word("withscores", "WITHSCORES").optional(),
            Arg::word("withpayloads", "WITHPAYLOADS").optional(),
            Arg::integer("max").after("MAX").optional(),
        ],
        run: suggest::get,
        ..Command::NEW
    },
    Command {
        name: "ft.suglen",
        summary: "Counts suggestions.",
        since: "1.0.0",
        complexity: "O(1)",
        group: Group::Suggestion,
        arity: 2,
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        keys: &[KeySpec::one(KeyFlags::RO)],
        args: &[Arg::string("key")],
        run: suggest::len,
        ..Command::NEW
    },
];
