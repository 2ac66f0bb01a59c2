//! Publish and subscribe, client-side caching, and the parameters of both.
//!
//! Nobody subscribes and nothing is written: a message that comes on its own is no reply, and this driver waits for one
//! reply to each command.

/// Templates.
pub(super) const PUBSUB: &[(usize, &str)] = &[
    (5, "publish {news|other|<value>} <value>"),
    (3, "spublish {news|other|<value>} <value>"),
    (2, "pubsub channels [<pattern>]"),
    (2, "pubsub shardchannels [<pattern>]"),
    (3, "pubsub numsub [{news|other|<value>}+]"),
    (2, "pubsub shardnumsub [{news|other|<value>}+]"),
    (2, "pubsub numpat"),
    (1, "pubsub {nosuch|channels|numpat} [<value>] [<value>]"),
    (8, "client tracking {on|on|on|off|x} [bcast] [optin] [optout] [noloop] [prefix {a|ab|b|k}] [prefix {a|c|kk}]"),
    (2, "client tracking on redirect {<odd>|0|999999999}"),
    (4, "client tracking {on|off}"),
    (5, "client caching {yes|no|x}"),
    (6, "client trackinginfo"),
    (3, "client getredir"),
    (4, "get <key>"),
    (1, "mget <key>+"),
    (2, "multi"),
    (2, "exec"),
    (3, "config set notify-keyspace-events {KEA|Eg$|Kh|AKEnm|g$lshzxetdKE|Ex|m}"),
    (3, "config set client-output-buffer-limit {normal|replica|slave|pubsub|master} {0|1gb|x} {0|1gb|-1} {0|60|x}"),
    (1, "config set tracking-table-max-keys {0|1000000|-1|x}"),
    (1, "reset"),
    (1, "ping [<value>]"),
    (1, "{subscribe|psubscribe|ssubscribe|publish|spublish|publish x}"),
    (1, "unsubscribe"),
    (1, "punsubscribe"),
    (1, "sunsubscribe"),
];
