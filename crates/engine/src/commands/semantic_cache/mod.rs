//! SC.*: semantic caches, which answer a prompt with the response to a similar one. Redis has nothing of the kind.
//!
//! A cache is made of ordinary keys in one hash slot, so that it is saved, replicated, expired and moved as they are. Of
//! a cache `faq`:
//!
//! | key | | |
//! |---|---|---|
//! | `faq` | hash | settings and counters |
//! | `{faq}:e:ID` | hash | an entry: prompt, response, scope, model, metadata, created |
//! | `{faq}:v:SPACE` | vector set | the embeddings of one scope and model, entries' ids as elements, metadata as attributes |
//! | `{faq}:index` | hash | of each entry its size in bytes and its space |
//! | `{faq}:used` | sorted set | when each entry was used last, ms |
//! | `{faq}:due` | sorted set | when entries expire, ms |
//! | `{faq}:spaces` | set | the spaces: length of the model's name, the model, the scope |
//!
//! Invariants: an entry is only ever looked for in the vector set of its own scope and model, and is checked for them
//! once more when it is found, so no scope sees another's. The id is a digest of model, scope and prompt. Every change is
//! made by the plain command for it (`inner.rs`), which is what the stream carries.
//!
//! A lookup is a write: it counts, and it notes the use. So replicas that are read-only answer none. Whoever deletes the
//! key `faq` deletes settings and counters; SC.DROP deletes all of it.

mod inner;
mod keys;
mod lookup;
mod remove;
mod request;
mod settings;
mod store;

use crate::command::{Arg, Command, Flags, Group, KeyFlags, KeySpec, Locks};

const BASE: Command = Command {
    since: "8.2.0",
    group: Group::SemanticCache,
    keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::UPDATE))],
    locks: Locks::KeysAlone,
    ..Command::NEW
};

const VECTOR: Arg = Arg::one_of(
    "embedding",
    &[
        Arg::string("blob").after("FP32"),
        Arg::block("values", &[Arg::integer("num"), Arg::double("value").multiple()]).after("VALUES"),
    ],
);

const SCOPE: Arg = Arg::string("scope").after("SCOPE").optional();
const MODEL: Arg = Arg::string("model").after("MODEL").optional();
const FILTER: Arg = Arg::string("expression").after("FILTER").optional();
const LIFE: Arg = Arg::one_of("life", &[Arg::word("sliding", "SLIDING"), Arg::word("absolute", "ABSOLUTE")]).optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sc.config",
        summary: "Creates a semantic cache or changes its settings.",
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[
            Arg::key("cache"),
            Arg::double("score").after("THRESHOLD").optional(),
            Arg::double("score").after("NEAR").optional(),
            Arg::integer("seconds").after("TTL").optional(),
            LIFE,
            Arg::integer("bytes").after("MAXBYTES").optional(),
            Arg::integer("entries").after("MAXENTRIES").optional(),
        ],
        run: settings::config,
        ..BASE
    },
    Command {
        name: "sc.drop",
        summary: "Deletes a semantic cache with its entries, settings and counters.",
        complexity: "O(N) where N is the number of entries",
        arity: 2,
        flags: Flags::WRITE,
        args: &[Arg::key("cache")],
        run: remove::drop_cache,
        ..BASE
    },
    Command {
        name: "sc.get",
        summary: "Looks a prompt up by its text, then by the similarity of its embedding within a scope.",
        complexity: "O(log N) where N is the number of entries of the scope",
        arity: -4,
        flags: Flags::WRITE,
        args: &[
            Arg::key("cache"),
            Arg::string("prompt").after("PROMPT").optional(),
            VECTOR.optional(),
            SCOPE,
            MODEL,
            Arg::double("score").after("THRESHOLD").optional(),
            FILTER,
        ],
        run: lookup::get,
        ..BASE
    },
    Command {
        name: "sc.invalidate",
        summary: "Deletes entries of a semantic cache by id, prompt, scope, model, metadata, or all.",
        complexity: "O(N) where N is the number of entries looked at",
        arity: -3,
        flags: Flags::WRITE,
        args: &[
            Arg::key("cache"),
            Arg::one_of(
                "entries",
                &[
                    Arg::word("all", "ALL"),
                    Arg::string("id").after("ID").multiple_token(),
                    Arg::string("prompt").after("PROMPT"),
                    Arg::block("matching", &[SCOPE, MODEL, FILTER]),
                ],
            ),
        ],
        run: remove::invalidate,
        ..BASE
    },
    Command {
        name: "sc.set",
        summary: "Stores the response to a prompt with the prompt's embedding.",
        complexity: "O(log N) where N is the number of entries of the scope",
        arity: -8,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        args: &[
            Arg::key("cache"),
            Arg::string("prompt").after("PROMPT"),
            Arg::string("response").after("RESPONSE"),
            VECTOR,
            SCOPE,
            MODEL,
            Arg::string("json").after("METADATA").optional(),
            Arg::one_of(
                "expiration",
                &[
                    Arg::integer("seconds").after("EX"),
                    Arg::integer("milliseconds").after("PX"),
                    Arg::unix_time("unix-time-seconds").after("EXAT"),
                    Arg::unix_time("unix-time-milliseconds").after("PXAT"),
                    Arg::word("persist", "PERSIST"),
                ],
            )
            .optional(),
            LIFE,
        ],
        run: store::set,
        ..BASE
    },
    Command {
        name: "sc.stats",
        summary: "Tells the settings of a semantic cache, its size, and how often it had an answer.",
        arity: 2,
        flags: Flags::READONLY,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("cache")],
        run: settings::stats,
        ..BASE
    },
];
