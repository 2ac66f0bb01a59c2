//! The sorted set commands, their replies as Redis 8.0.2 gives them.

mod common;

use common::Harness;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn members_are_added_under_conditions() {
    let both = "-ERR XX and NX options at the same time are not compatible";
    let compared = "-ERR GT, LT, and/or NX options at the same time are not compatible";
    Harness::new().expect(&[
        ("ZADD z 1 a 2 b 3 c", ":3"),
        ("ZADD z 1 a 5 b", ":0"),
        ("ZADD z CH 1 a 4 b 9 d", ":2"),
        ("ZADD z NX 100 a 1 e", ":1"),
        ("ZADD z XX 2 e 2 f", ":0"),
        ("ZADD z XX CH 3 e", ":1"),
        ("ZADD z GT CH 2 e 5 a", ":1"),
        ("ZADD z LT CH 6 e 1 a 7 new", ":2"),
        ("ZADD z INCR 2.5 a", "'3.5'"),
        ("ZADD z NX INCR 1 a", "$-1"),
        ("ZADD z XX INCR 1 nope", "$-1"),
        ("ZADD nokey XX INCR 1 a", "$-1"),
        ("ZADD nokey XX 1 a", ":0"),
        ("ZADD z GT INCR -1 a", "$-1"),
        ("ZINCRBY z -3.5 a", "'0'"),
        ("ZINCRBY z 1 fresh", "'1'"),
        ("ZINCRBY z XX fresh", SYNTAX),
        ("ZRANGE z 0 -1 WITHSCORES", "*14['a' '0' 'fresh' '1' 'c' '3' 'e' '3' 'b' '4' 'new' '7' 'd' '9']"),
        ("ZADD z NX XX 1 a", both),
        ("ZADD z GT LT 1 a", compared),
        ("ZADD z NX GT 1 a", compared),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("ZADD z 1", "-ERR wrong number of arguments for 'zadd' command"),
        ("ZADD z 1 a 2", SYNTAX),
        ("ZADD z NX CH", SYNTAX),
        ("ZADD z 1 a x b", NOT_FLOAT),
        ("ZADD z nan a", NOT_FLOAT),
        ("ZADD z 1e400 a", NOT_FLOAT),
        ("ZADD z 1e-400 a", NOT_FLOAT),
        ("ZADD other inf a", ":1"),
        ("ZINCRBY other -inf a", "-ERR resulting score is not a number (NaN)"),
        ("ZSCORE other a", "'inf'"),
        ("EXISTS nokey", ":0"),
    ]);
}

#[test]
fn scores_and_ranks_are_answered() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ZADD z 1 a 2.5 b 3 c 3 d", ":4"),
        ("ZCARD z", ":4"),
        ("ZCARD nokey", ":0"),
        ("ZSCORE z b", "'2.5'"),
        ("ZSCORE z nope", "$-1"),
        ("ZSCORE nokey a", "$-1"),
        ("ZMSCORE z a nope c", "*3['1' $-1 '3']"),
        ("ZMSCORE nokey a", "*1[$-1]"),
        ("ZRANK z c", ":2"),
        ("ZREVRANK z c", ":1"),
        ("ZRANK z c WITHSCORE", "*2[:2 '3']"),
        ("ZRANK z nope", "$-1"),
        ("ZRANK z nope WITHSCORE", "*-1"),
        ("ZRANK nokey a withscore", "*-1"),
        ("ZRANK z a foo", SYNTAX),
        ("ZRANK z a withscore x", "-ERR wrong number of arguments for 'zrank' command"),
        ("ZREM z a nope a", ":1"),
        ("ZREM z b c d", ":3"),
        ("EXISTS z", ":0"),
    ]);
    harness.expect3(&[
        ("ZADD z 1 a 2.5 b", ":2"),
        ("ZSCORE z b", ",2.5"),
        ("ZSCORE z nope", "_"),
        ("ZMSCORE z a nope", "*2[,1 _]"),
        ("ZINCRBY z 1 a", ",2"),
        ("ZRANK z b WITHSCORE", "*2[:1 ,2.5]"),
        ("ZRANGE z 0 -1", "*2['a' 'b']"),
        ("ZRANGE z 0 -1 WITHSCORES", "*2[*2['a' ,2] *2['b' ,2.5]]"),
        ("ZUNION 1 z WITHSCORES", "*2[*2['a' ,2] *2['b' ,2.5]]"),
        ("ZSCAN z 0", "*2['0' *4['a' '2' 'b' '2.5']]"),
        ("ZRANDMEMBER z 5 WITHSCORES", "*2[*2['a' ,2] *2['b' ,2.5]]"),
        ("ZPOPMIN z 1", "*1[*2['a' ,2]]"),
        ("ZPOPMAX z", "*2['b' ,2.5]"),
        ("ZPOPMAX z", "*0[]"),
        ("ZMPOP 1 z MIN", "_"),
    ]);
}

#[test]
fn ranges_are_answered_in_both_directions() {
    let limit = "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    let not_float = "-ERR min or max is not a float";
    let not_name = "-ERR min or max not valid string range item";
    Harness::new().expect(&[
        ("ZADD z 1 a 2 b 3 c 4 d", ":4"),
        ("ZADD l 0 a 0 b 0 c 0 d", ":4"),
        ("ZRANGE z 1 2", "*2['b' 'c']"),
        ("ZRANGE z -2 100", "*2['c' 'd']"),
        ("ZRANGE z 2 1", "*0[]"),
        ("ZRANGE z 0 1 REV WITHSCORES", "*4['d' '4' 'c' '3']"),
        ("ZREVRANGE z 0 0", "*1['d']"),
        ("ZRANGE z (1 3 BYSCORE", "*2['b' 'c']"),
        ("ZRANGE z (3 (1 BYSCORE REV WITHSCORES", "*2['b' '2']"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "*2['b' 'c']"),
        ("ZRANGE z +inf -inf BYSCORE REV LIMIT 1 -1", "*3['c' 'b' 'a']"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT -1 2", "*0[]"),
        ("ZRANGEBYSCORE z 2 3 WITHSCORES LIMIT 1 1", "*2['c' '3']"),
        ("ZREVRANGEBYSCORE z 3 2", "*2['c' 'b']"),
        ("ZRANGE l [b + BYLEX", "*3['b' 'c' 'd']"),
        ("ZRANGE l (d - BYLEX REV LIMIT 0 2", "*2['c' 'b']"),
        ("ZRANGEBYLEX l - (c", "*2['a' 'b']"),
        ("ZREVRANGEBYLEX l + [c LIMIT 1 5", "*1['c']"),
        ("ZCOUNT z (1 4", ":3"),
        ("ZCOUNT nokey 1 4", ":0"),
        ("ZLEXCOUNT l [a (c", ":2"),
        ("ZRANGE z 0 1 LIMIT 0 1", limit),
        ("ZRANGE l - + BYLEX WITHSCORES", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX"),
        ("ZRANGE z x 1", NOT_INTEGER),
        ("ZRANGE z x 1 BYSCORE", not_float),
        ("ZRANGE z a b BYLEX", not_name),
        ("ZRANGEBYSCORE z 1 2 REV", SYNTAX),
        ("ZRANGE z 0 1 LIMIT 1", SYNTAX),
        ("ZCOUNT z 1 x", not_float),
        ("ZLEXCOUNT l a b", not_name),
        ("ZRANGE nokey 0 -1", "*0[]"),
        ("ZRANGESTORE dst z 1 2", ":2"),
        ("ZRANGE dst 0 -1 WITHSCORES", "*4['b' '2' 'c' '3']"),
        ("ZRANGESTORE dst z 3 4 BYSCORE REV", ":0"),
        ("EXISTS dst", ":0"),
        ("ZRANGESTORE dst z 0 1 WITHSCORES", SYNTAX),
        ("ZREMRANGEBYRANK z 0 0", ":1"),
        ("ZREMRANGEBYSCORE z (2 3", ":1"),
        ("ZREMRANGEBYLEX l [b (d", ":2"),
        ("ZRANGE l 0 -1", "*2['a' 'd']"),
        ("ZREMRANGEBYRANK z 0 -1", ":2"),
        ("EXISTS z", ":0"),
        ("ZREMRANGEBYSCORE nokey 0 x", not_float),
    ]);
}

#[test]
fn members_are_taken_from_either_end() {
    Harness::new().expect(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", ":5"),
        ("ZPOPMIN z", "*2['a' '1']"),
        ("ZPOPMAX z 2", "*4['e' '5' 'd' '4']"),
        ("ZPOPMIN z 0", "*0[]"),
        ("ZPOPMIN z -1", "-ERR value is out of range, must be positive"),
        ("ZPOPMIN z x", "-ERR value is out of range, must be positive"),
        ("ZPOPMIN z 1 1", SYNTAX),
        ("ZMPOP 2 nokey z MIN COUNT 1", "*2['z' *1[*2['b' '2']]]"),
        ("BZPOPMIN nokey z 0", "*3['z' 'c' '3']"),
        ("EXISTS z", ":0"),
        ("ZADD z 1 a 2 b 3 c", ":3"),
        ("BZPOPMAX z 0.5", "*3['z' 'c' '3']"),
        ("BZMPOP 1 1 z MAX COUNT 5", "*2['z' *2[*2['b' '2'] *2['a' '1']]]"),
        ("ZMPOP 1 z MIN", "*-1"),
        ("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0"),
        ("ZMPOP 1 z", "-ERR wrong number of arguments for 'zmpop' command"),
        ("ZMPOP 2 z MIN", SYNTAX),
        ("ZMPOP 1 z UP", SYNTAX),
        ("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0"),
        ("ZMPOP 1 z MIN COUNT 1 COUNT 1", SYNTAX),
        ("BZPOPMIN z -1", "-ERR timeout is negative"),
        ("BZPOPMIN z x", "-ERR timeout is not a float or out of range"),
        ("BZMPOP x 1 z MIN", "-ERR timeout is not a float or out of range"),
    ]);
}

#[test]
fn sets_are_combined() {
    let no_key = |name: &str| format!("-ERR at least 1 input key is needed for '{name}' command");
    let mut harness = Harness::new();
    harness.expect(&[
        ("ZADD x 1 a 2 b 3 c", ":3"),
        ("ZADD y 10 b 20 c 30 d", ":3"),
        ("ZUNION 2 x y WITHSCORES", "*8['a' '1' 'b' '12' 'c' '23' 'd' '30']"),
        ("ZUNION 2 x y WEIGHTS 2 0.5 WITHSCORES", "*8['a' '2' 'b' '9' 'd' '15' 'c' '16']"),
        ("ZINTER 2 x y WITHSCORES AGGREGATE MIN", "*4['b' '2' 'c' '3']"),
        ("ZINTER 2 x y AGGREGATE MAX WITHSCORES", "*4['b' '10' 'c' '20']"),
        ("ZUNION 3 x y x AGGREGATE COUNT WITHSCORES", "*8['d' '1' 'a' '2' 'b' '3' 'c' '3']"),
        ("ZINTER 2 x y WEIGHTS 2 5 AGGREGATE COUNT WITHSCORES", "*4['b' '7' 'c' '7']"),
        ("ZINTER 2 x nokey", "*0[]"),
        ("ZDIFF 2 x y WITHSCORES", "*2['a' '1']"),
        ("ZDIFF 1 x", "*3['a' 'b' 'c']"),
        ("ZINTERCARD 2 x y", ":2"),
        ("ZINTERCARD 2 x y LIMIT 1", ":1"),
        ("ZINTERCARD 2 x y LIMIT 0", ":2"),
        ("ZINTERCARD 2 x y LIMIT -1", "-ERR LIMIT can't be negative"),
        ("ZUNIONSTORE u 2 x y", ":4"),
        ("ZINTERSTORE x 2 x y WEIGHTS inf 0", ":2"),
        ("ZRANGE x 0 -1 WITHSCORES", "*4['b' 'inf' 'c' 'inf']"),
        ("ZDIFFSTORE u 2 y y", ":0"),
        ("EXISTS u", ":0"),
        ("ZUNIONSTORE u 1 nokey", ":0"),
        ("ZUNION 0 x", &no_key("zunion")),
        ("ZINTERSTORE u 0 x", &no_key("zinterstore")),
        ("ZUNION x x", NOT_INTEGER),
        ("ZUNION 3 x y", SYNTAX),
        ("ZUNION 1 x WEIGHTS", SYNTAX),
        ("ZUNION 1 x WEIGHTS z", "-ERR weight value is not a float"),
        ("ZUNION 1 x AGGREGATE avg", SYNTAX),
        ("ZDIFF 1 x WEIGHTS 1", SYNTAX),
        ("ZUNIONSTORE u 1 x WITHSCORES", SYNTAX),
        ("ZINTERCARD 1 x WITHSCORES", SYNTAX),
    ]);
}

#[test]
fn members_of_plain_sets_have_the_score_one() {
    Harness::new().expect(&[
        ("SADD s a b 12", ":3"),
        ("ZADD z 5 a 7 12 9 c", ":3"),
        ("ZUNION 2 z s WITHSCORES", "*8['b' '1' 'a' '6' '12' '8' 'c' '9']"),
        ("ZINTER 2 s z WEIGHTS 10 1 WITHSCORES", "*4['a' '15' '12' '17']"),
        ("ZDIFF 2 s z WITHSCORES", "*2['b' '1']"),
        ("ZINTERCARD 2 s z", ":2"),
        ("ZUNIONSTORE s 1 s", ":3"),
        ("TYPE s", "+zset"),
    ]);
}

#[test]
fn random_members_are_of_the_set() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ZADD z 1 a", ":1"),
        ("ZRANDMEMBER z", "'a'"),
        ("ZRANDMEMBER z -3", "*3['a' 'a' 'a']"),
        ("ZRANDMEMBER z -2 WITHSCORES", "*4['a' '1' 'a' '1']"),
        ("ZRANDMEMBER z 5", "*1['a']"),
        ("ZRANDMEMBER z 0", "*0[]"),
        ("ZRANDMEMBER nokey", "$-1"),
        ("ZRANDMEMBER nokey 2", "*0[]"),
        ("ZRANDMEMBER z x", NOT_INTEGER),
        ("ZRANDMEMBER z 1 foo", SYNTAX),
        (
            "ZRANDMEMBER z -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("ZRANDMEMBER z -9223372036854775807 WITHSCORES", "-ERR value is out of range"),
    ]);
    for i in 0..300 {
        harness.run(&format!("ZADD big {i} m{i}"));
    }
    for count in [1, 10, 150, 299] {
        let reply = harness.run(&format!("ZRANDMEMBER big {count}"));
        let mut members: Vec<&str> = reply[reply.find('[').expect("a list") + 1..].split(' ').collect();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), count, "different members");
    }
}

#[test]
fn a_key_of_another_type_is_refused() {
    let mut harness = Harness::new();
    harness.run("SET s v");
    for line in [
        "ZADD s 1 a",
        "ZADD s XX 1 a",
        "ZINCRBY s 1 a",
        "ZREM s a",
        "ZCARD s",
        "ZSCORE s a",
        "ZMSCORE s a",
        "ZCOUNT s 0 1",
        "ZLEXCOUNT s - +",
        "ZRANK s a",
        "ZRANGE s 0 1",
        "ZRANGESTORE d s 0 1",
        "ZREMRANGEBYRANK s 0 1",
        "ZPOPMIN s",
        "ZPOPMIN s 0",
        "ZMPOP 1 s MIN",
        "BZPOPMIN s 0",
        "BZMPOP 0 1 s MIN",
        "ZUNION 2 nokey s",
        "ZINTERCARD 1 s",
        "ZDIFFSTORE d 1 s",
        "ZRANDMEMBER s",
        "ZRANDMEMBER s 1",
        "ZSCAN s 0",
    ] {
        assert_eq!(harness.run(line), WRONG_TYPE, "{line}");
    }
    assert_eq!(harness.run("GET s"), "'v'");
}

#[test]
fn encodings_follow_the_configuration() {
    let mut harness = Harness::new();
    harness.run("CONFIG SET zset-max-listpack-entries 3");
    harness.run("CONFIG SET zset-max-listpack-value 5");
    harness.expect(&[
        ("ZADD z 1 a 2 b 3 c", ":3"),
        ("OBJECT ENCODING z", "'listpack'"),
        ("ZADD z 4 d", ":1"),
        ("OBJECT ENCODING z", "'skiplist'"),
        ("ZREM z d c", ":2"),
        ("OBJECT ENCODING z", "'skiplist'"),
        ("ZUNIONSTORE u 1 z", ":2"),
        ("OBJECT ENCODING u", "'listpack'"),
        ("ZADD u 1 abcdef", ":1"),
        ("OBJECT ENCODING u", "'skiplist'"),
        ("TYPE u", "+zset"),
    ]);
}

#[test]
fn scans_answer_all_members_with_their_scores() {
    let mut harness = Harness::new();
    harness.expect(&[
        ("ZADD z 1 a 2.5 b", ":2"),
        ("ZSCAN z 0", "*2['0' *4['a' '1' 'b' '2.5']]"),
        ("ZSCAN z 0 MATCH b*", "*2['0' *2['b' '2.5']]"),
        ("ZSCAN z x", "-ERR invalid cursor"),
        ("ZSCAN z 0 COUNT 0", SYNTAX),
        ("ZSCAN z 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN"),
        ("ZSCAN nokey 0 FOO", "*2['0' *0[]]"),
    ]);
    for i in 0..500 {
        harness.run(&format!("ZADD big {i} m{i}"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = harness.run(&format!("ZSCAN big {cursor}"));
        let words: Vec<&str> = reply.split('\'').skip(1).step_by(2).collect();
        seen.extend(words[1..].chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())));
        words[0].clone_into(&mut cursor);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
    assert!(seen.iter().all(|(member, score)| member[1..] == **score));
}
