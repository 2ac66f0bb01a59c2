//! Lists, and the commands that wait for their elements as long as the driver can wait with them.

use super::Weighted;

pub(super) const LIST: Weighted = &[
    (14, "rpush <key> <value>+"),
    (10, "lpush <key> <value>+"),
    (6, "rpush <key> {1|2|3|a|b|hello}+ {1|2|3|a|b|hello}+ {1|2|3|a|b|hello}+"),
    (2, "lpushx <key> <value>+"),
    (2, "rpushx <key> <value>+"),
    (4, "lpop <key> [<count>]"),
    (4, "rpop <key> [<count>]"),
    (3, "llen <key>"),
    (4, "lindex <key> <int>"),
    (6, "lrange <key> <int> <int>"),
    (3, "lrange <key> 0 -1"),
    (3, "ltrim <key> <int> <int>"),
    (5, "lset <key> <int> <value>"),
    (6, "linsert <key> {before|after} {1|2|3|a|b|hello|<value>} <value>"),
    (5, "lrem <key> <int> {1|2|3|a|b|hello|<value>}"),
    (6, "lpos <key> {1|2|3|a|b|hello|<value>} [rank <int>] [count <int>] [maxlen <int>]"),
    (5, "lmove <key> <key> {left|right} {left|right}"),
    (3, "rpoplpush <key> <key>"),
    (4, "lmpop {1|2|3|<int>} <key>+ {left|right} [count <count>]"),
    (2, "blpop <key>+ <timeout>"),
    (2, "brpop <key>+ <timeout>"),
    (2, "blmove <key> <key> {left|right} {left|right} <timeout>"),
    (2, "brpoplpush <key> <key> <timeout>"),
    (2, "blmpop <timeout> {1|2} <key>+ {left|right} [count <count>]"),
    (6, "object encoding <key>"),
    (1, "type <key>"),
    (1, "copy <key> <key> [replace]"),
    (1, "rename <key> <key>"),
    (1, "dump <key>"),
    (1, "debug quicklist-packed-threshold {200|100b|1gb|5gb|x}"),
    (2, "config set list-max-listpack-size {-2|-1|1|2|4|8|0}"),
];

/// Where a command that waits has the length of its wait; 0 stands for the last word.
const TIMEOUTS: &[(&[u8], usize)] = &[
    (b"blpop", 0),
    (b"brpop", 0),
    (b"brpoplpush", 0),
    (b"blmove", 5),
    (b"blmpop", 1),
    (b"bzpopmin", 0),
    (b"bzpopmax", 0),
    (b"bzmpop", 1),
    (b"wait", 2),
];

/// Shortens a wait that would hold the driver up.
pub(super) fn shorten_wait(words: &mut [Vec<u8>]) {
    const LONGEST_S: f64 = 0.05;
    let Some((_, at)) = TIMEOUTS.iter().find(|(name, _)| words[0].eq_ignore_ascii_case(name)) else { return };
    let at = if *at == 0 { words.len() - 1 } else { *at };
    let Some(word) = words.get_mut(at).filter(|_| at > 0) else { return };
    let seconds: Option<f64> =
        std::str::from_utf8(word).ok().and_then(|text| text.trim_start_matches('+').parse().ok());
    if seconds.is_some_and(|seconds| seconds == 0.0 || seconds > LONGEST_S && seconds < 1e12) || word.starts_with(b"0x")
    {
        *word = b"0.01".to_vec();
    }
}
