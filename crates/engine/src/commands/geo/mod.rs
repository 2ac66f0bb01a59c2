//! Geography on sorted sets: <https://redis.io/docs/latest/develop/data-types/geospatial/>.
//!
//! A member's score stands for its place (`geo.rs`); so every command of sorted sets works on these keys too. The table
//! entries and the commands on single members are here, searches in `search.rs`, their words in `request.rs`.

mod request;
mod search;

use quiver_resp::{Argv, Encoder};
use smallvec::SmallVec;

use super::args::is;
use super::zset::number::double;
use super::zset::{Addition, add_members};
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::geo::Place;
use crate::types::zset::SortedSet;
use search::{georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore};

const UNIT: Arg =
    Arg::one_of("unit", &[Arg::word("m", "M"), Arg::word("km", "KM"), Arg::word("ft", "FT"), Arg::word("mi", "MI")]);
const ORDER: Arg = Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();
const COUNT: Arg = Arg::block(
    "count-block",
    &[Arg::integer("count").after("COUNT"), Arg::word("any", "ANY").optional().since("6.2.0")],
)
.optional();
const COUNT_ANY: Arg =
    Arg::block("count-block", &[Arg::integer("count").after("COUNT"), Arg::word("any", "ANY").optional()]).optional();
const WITH_COORD: Arg = Arg::word("withcoord", "WITHCOORD").optional();
const WITH_DIST: Arg = Arg::word("withdist", "WITHDIST").optional();
const WITH_HASH: Arg = Arg::word("withhash", "WITHHASH").optional();
const FROM: Arg = Arg::one_of(
    "from",
    &[
        Arg::string("member").after("FROMMEMBER"),
        Arg::block("fromlonlat", &[Arg::double("longitude"), Arg::double("latitude")]).after("FROMLONLAT"),
    ],
);
const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[Arg::double("radius").after("BYRADIUS"), UNIT]),
        Arg::block("box", &[Arg::double("width").after("BYBOX"), Arg::double("height"), UNIT]),
    ],
);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        summary: "Adds members with their coordinates.",
        since: "3.2.0",
        complexity: "O(log(N)) for each member, where N is the size of the sorted set",
        group: Group::Geo,
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional().since("6.2.0"),
            Arg::word("change", "CH").optional().since("6.2.0"),
            Arg::block("data", &[Arg::double("longitude"), Arg::double("latitude"), Arg::string("member")]).multiple(),
        ],
        run: geoadd,
        ..Command::NEW
    },
    Command {
        name: "geodist",
        summary: "Answers the distance between two members.",
        since: "3.2.0",
        group: Group::Geo,
        arity: -4,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("member1"),
            Arg::string("member2"),
            Arg::one_of(
                "unit",
                &[Arg::word("m", "M"), Arg::word("km", "KM"), Arg::word("ft", "FT"), Arg::word("mi", "MI")],
            )
            .optional(),
        ],
        run: geodist,
        ..Command::NEW
    },
    Command {
        name: "geohash",
        summary: "Answers the positions of members as geohash strings.",
        since: "3.2.0",
        complexity: "O(N) where N is the number of members asked for",
        group: Group::Geo,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member").optional().multiple()],
        run: geohash,
        ..Command::NEW
    },
    Command {
        name: "geopos",
        summary: "Answers the coordinates of members.",
        since: "3.2.0",
        complexity: "O(N) where N is the number of members asked for",
        group: Group::Geo,
        arity: -2,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), Arg::string("member").optional().multiple()],
        run: geopos,
        ..Command::NEW
    },
    Command {
        name: "georadius",
        summary: "Finds the members within a distance of a place; may store them.",
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of members around the circle and M the size of the set",
        group: Group::Geo,
        arity: -6,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::GEO,
        keys: &[
            KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS)),
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Keyword { keyword: "STORE", start_from: 6 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Keyword { keyword: "STOREDIST", start_from: 6 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::key("key"),
            Arg::double("longitude"),
            Arg::double("latitude"),
            Arg::double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
            Arg::one_of(
                "store",
                &[
                    Arg::key("storekey").of_spec(1).after("STORE"),
                    Arg::key("storedistkey").of_spec(2).after("STOREDIST"),
                ],
            )
            .optional(),
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
        run: georadius,
        ..Command::NEW
    },
    Command {
        name: "georadius_ro",
        summary: "Finds the members within a distance of a place.",
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of members around the circle and M the size of the set",
        group: Group::Geo,
        arity: -6,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::double("longitude"),
            Arg::double("latitude"),
            Arg::double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        run: georadius_ro,
        ..Command::NEW
    },
    Command {
        name: "georadiusbymember",
        summary: "Finds the members within a distance of a member; may store them.",
        since: "3.2.0",
        complexity: "O(N+log(M)) where N is the number of members around the circle and M the size of the set",
        group: Group::Geo,
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::GEO,
        keys: &[
            KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS)),
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Keyword { keyword: "STORE", start_from: 5 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
            KeySpec {
                flags: KeyFlags::OW.with(KeyFlags::UPDATE),
                begin: Begin::Keyword { keyword: "STOREDIST", start_from: 5 },
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::key("key"),
            Arg::string("member"),
            Arg::double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT_ANY,
            ORDER,
            Arg::one_of(
                "store",
                &[
                    Arg::key("storekey").of_spec(1).after("STORE"),
                    Arg::key("storedistkey").of_spec(2).after("STOREDIST"),
                ],
            )
            .optional(),
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: georadiusbymember,
        ..Command::NEW
    },
    Command {
        name: "georadiusbymember_ro",
        summary: "Finds the members within a distance of a member.",
        since: "3.2.10",
        complexity: "O(N+log(M)) where N is the number of members around the circle and M the size of the set",
        group: Group::Geo,
        arity: -5,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[
            Arg::key("key"),
            Arg::string("member"),
            Arg::double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT_ANY,
            ORDER,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: georadiusbymember_ro,
        ..Command::NEW
    },
    Command {
        name: "geosearch",
        summary: "Finds the members inside a circle or a box.",
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of members around the shape and M the size of the set",
        group: Group::Geo,
        arity: -7,
        flags: Flags::READONLY,
        acl: Acl::GEO,
        keys: &[KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS))],
        args: &[Arg::key("key"), FROM, BY, ORDER, COUNT_ANY, WITH_COORD, WITH_DIST, WITH_HASH],
        run: geosearch,
        ..Command::NEW
    },
    Command {
        name: "geosearchstore",
        summary: "Stores the members inside a circle or a box.",
        since: "6.2.0",
        complexity: "O(N+log(M)) where N is the number of members around the shape and M the size of the set",
        group: Group::Geo,
        arity: -8,
        flags: Flags::WRITE.with(Flags::DENYOOM),
        acl: Acl::GEO,
        keys: &[
            KeySpec::one(KeyFlags::OW.with(KeyFlags::UPDATE)),
            KeySpec {
                flags: KeyFlags::RO.with(KeyFlags::ACCESS),
                begin: Begin::Index(2),
                find: Find::Range { last: 0, step: 1, limit: 0 },
            },
        ],
        args: &[
            Arg::key("destination"),
            Arg::key("source").of_spec(1),
            FROM,
            BY,
            ORDER,
            COUNT_ANY,
            Arg::word("storedist", "STOREDIST").optional(),
        ],
        run: geosearchstore,
        ..Command::NEW
    },
];

fn geoadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut options = Addition::default();
    let mut first = 2;
    while let Some(word) = argv.get(first) {
        match word {
            word if is(word, "nx") => options.nx = true,
            word if is(word, "xx") => options.xx = true,
            word if is(word, "ch") => options.ch = true,
            _ => break,
        }
        first += 1;
    }
    let words = argv.len() - first;
    if words == 0 || !words.is_multiple_of(3) || options.nx && options.xx {
        return Err(CommandError::Syntax);
    }
    let mut pairs: SmallVec<[(f64, &[u8]); 8]> = SmallVec::new();
    for at in (first..argv.len()).step_by(3) {
        pairs.push((place(argv.at(at), argv.at(at + 1))?.score(), argv.at(at + 2)));
    }
    add_members(ctx, ctx.first_key(argv), &pairs, options)
}

fn geodist(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let metres = match argv.len() {
        4 => 1.0,
        5 => unit_m(argv.at(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<SortedSet>(key)?;
    let place = |at: usize| set.and_then(|set| set.score(argv.at(at))).map(Place::of_score);
    match place(2).zip(place(3)) {
        Some((from, to)) => distance(&mut ctx.reply, from.distance_m(to) / metres),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<SortedSet>(key)?;
    ctx.reply.array(argv.len() - 2);
    for member in argv.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.reply.bulk(&Place::of_score(score).geohash()),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn geopos(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let set = ctx.ks.value::<SortedSet>(key)?;
    ctx.reply.array(argv.len() - 2);
    for member in argv.from(2) {
        match set.and_then(|set| set.score(member)) {
            Some(score) => coordinates(&mut ctx.reply, Place::of_score(score)),
            None => ctx.reply.null_array(),
        }
    }
    Ok(())
}

/// A place from its two words.
fn place(longitude: &[u8], latitude: &[u8]) -> Result<Place, CommandError> {
    let place = Place { longitude: double(longitude)?, latitude: double(latitude)? };
    if place.is_covered() {
        return Ok(place);
    }
    let Place { longitude, latitude } = place;
    Err(CommandError::owned(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// Metres in a unit.
fn unit_m(word: &[u8]) -> Result<f64, CommandError> {
    Ok(match word {
        word if is(word, "m") => 1.0,
        word if is(word, "km") => 1000.0,
        word if is(word, "ft") => 0.3048,
        word if is(word, "mi") => 1609.34,
        _ => return Err(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    })
}

/// A distance, with four decimals.
fn distance(reply: &mut Encoder<'_>, distance: f64) {
    let scaled = (distance * 10_000.0).round_ties_even() as u64;
    reply.bulk(format!("{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Longitude and latitude.
fn coordinates(reply: &mut Encoder<'_>, place: Place) {
    reply.array(2);
    reply.double(place.longitude);
    reply.double(place.latitude);
}
