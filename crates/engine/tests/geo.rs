//! The geo commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::Harness;

const SYNTAX: &str = "-ERR syntax error";

fn sicily() -> Harness {
    let mut harness = Harness::new();
    harness.expect(&[(
        "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 13.583333 37.316667 Agrigento",
        ":3",
    )]);
    harness
}

#[test]
fn places_are_added_and_answered() {
    let mut harness = sicily();
    harness.expect(&[
        ("GEOADD g NX 1 1 Palermo 12.758489 38.788135 edge", ":1"),
        ("GEOADD g XX CH 13.361389 38.115556 Palermo", ":0"),
        ("ZSCORE g Palermo", "'3479099956230698'"),
        ("GEOPOS g Palermo nope", "*2[*2['13.361389338970184' '38.1155563954963'] *-1]"),
        ("GEOPOS nokey a", "*1[*-1]"),
        ("GEOPOS g", "*0[]"),
        ("GEOHASH g Palermo Catania nope", "*3['sqc8b49rny0' 'sqdtr74hyu0' $-1]"),
        ("GEODIST g Palermo Catania", "'166274.1516'"),
        ("GEODIST g Palermo Catania km", "'166.2742'"),
        ("GEODIST g Palermo Palermo", "'0.0000'"),
        ("GEODIST g Palermo nope", "$-1"),
        ("GEODIST nokey a b", "$-1"),
        ("GEODIST g Palermo Catania x", "-ERR unsupported unit provided. please use M, KM, FT, MI"),
        ("GEODIST g Palermo Catania km x", SYNTAX),
        ("GEOADD g 200 0 a", "-ERR invalid longitude,latitude pair 200.000000,0.000000"),
        ("GEOADD g x 0 a", "-ERR value is not a valid float"),
        ("GEOADD g 1 1 a 2", SYNTAX),
        ("GEOADD g NX XX 1 1 a", SYNTAX),
    ]);
    assert_eq!(harness.run3("GEOPOS g Palermo"), "*1[*2[,13.361389338970184 ,38.1155563954963]]");
    assert_eq!(harness.run3("GEODIST g Palermo Catania"), "'166274.1516'");
}

#[test]
fn searches_find_what_is_inside() {
    let from = "FROMLONLAT 15 37";
    let mut harness = sicily();
    for (words, reply) in [
        ("BYRADIUS 200 km ASC", "*3['Catania' 'Agrigento' 'Palermo']"),
        ("BYRADIUS 200 km DESC", "*3['Palermo' 'Agrigento' 'Catania']"),
        ("BYRADIUS 100 km", "*1['Catania']"),
        (
            "BYBOX 400 400 km ASC WITHDIST",
            "*3[*2['Catania' '56.4413'] *2['Agrigento' '130.4235'] *2['Palermo' '190.4424']]",
        ),
        ("BYRADIUS 200 km COUNT 1", "*1['Catania']"),
        ("BYRADIUS 100 km WITHHASH", "*1[*2['Catania' :3479447370796909]]"),
        ("BYRADIUS 1 m", "*0[]"),
        ("BYRADIUS 200 km COUNT 0", "-ERR COUNT must be > 0"),
        ("BYRADIUS 200 km ANY", "-ERR the ANY argument requires COUNT argument"),
        ("BYRADIUS -1 km", "-ERR radius cannot be negative"),
        ("BYRADIUS x km", "-ERR need numeric radius"),
        ("BYBOX 1 x km", "-ERR need numeric height"),
        ("BYBOX 1 -1 km", "-ERR height or width cannot be negative"),
        ("BYRADIUS 1 km BYBOX 1 1 km", SYNTAX),
        ("FROMMEMBER Palermo BYRADIUS 1 km", SYNTAX),
        ("ASC DESC COUNT 1", "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH"),
    ] {
        let line = format!("GEOSEARCH g {from} {words}");
        assert_eq!(harness.run(&line), reply, "{line}");
    }
    harness.expect(&[
        (
            "GEOSEARCH g BYRADIUS 1 km ASC ASC ASC",
            "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
        ),
        ("GEOSEARCH g FROMMEMBER nope BYRADIUS 1 km", "-ERR could not decode requested zset member"),
        ("GEOSEARCH nokey FROMMEMBER nope BYRADIUS 1 km", "*0[]"),
        ("GEORADIUS g 15 37 100 km", "*1['Catania']"),
        ("GEORADIUSBYMEMBER g Agrigento 100 km ASC", "*2['Agrigento' 'Palermo']"),
        ("GEORADIUS_RO g 15 37 200 km STORE d", SYNTAX),
    ]);
}

#[test]
fn results_are_stored_as_places_or_distances() {
    let mut harness = sicily();
    harness.expect(&[
        ("GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km ASC COUNT 2", ":2"),
        ("ZRANGE d 0 -1 WITHSCORES", "*4['Agrigento' '3479030013248308' 'Catania' '3479447370796909']"),
        ("GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 100 km STOREDIST", ":1"),
        ("ZRANGE d 0 -1 WITHSCORES", "*2['Catania' '56.4412578701582']"),
        ("GEORADIUS g 15 37 200 km STORE d", ":3"),
        ("GEORADIUS g 15 37 200 km STORE d STORE d", ":3"),
        ("GEORADIUSBYMEMBER g Catania 1 m STOREDIST d", ":1"),
        ("ZRANGE d 0 -1 WITHSCORES", "*2['Catania' '0']"),
        ("GEORADIUS g 0 0 1 m STORE d", ":0"),
        ("EXISTS d", ":0"),
        (
            "GEORADIUS g 15 37 200 km WITHDIST STORE d",
            "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        (
            "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST",
            "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
        ),
        ("SET s v", "+OK"),
        ("GEOPOS s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GEOADD s 1 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GEORADIUS s 15 37 200 km", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}
