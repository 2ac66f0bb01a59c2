//! CLUSTER and the commands of cluster clients, as an instance answers that is not part of a cluster.
//!
//! Every name is known and its arity checked, so that clients see a server without a cluster and not one without the
//! commands.

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group};
use crate::context::Ctx;
use crate::error::CommandError;

const HELP: Flags = Flags::LOADING.with(Flags::STALE);
const ADMIN: Flags = Flags::ADMIN.with(Flags::STALE).with(Flags::NO_ASYNC_LOADING);
const ADMIN_LOADING: Flags = HELP.with(Flags::ADMIN);

const SUBCOMMAND: Command =
    Command { since: "3.0.0", group: Group::Cluster, arity: 2, flags: HELP, run: no_cluster, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "asking",
        summary: "Lets the next command reach a slot that is being imported.",
        since: "3.0.0",
        group: Group::Cluster,
        flags: Flags::FAST,
        acl: Acl::CONNECTION,
        run: no_cluster,
        ..Command::NEW
    },
    Command {
        name: "cluster",
        summary: "Groups the commands about the cluster.",
        since: "3.0.0",
        complexity: "Depends on the subcommand",
        group: Group::Cluster,
        arity: -2,
        subcommands: SUBCOMMANDS,
        ..Command::NEW
    },
    Command {
        name: "readonly",
        summary: "Lets this connection read from a replica in a cluster.",
        since: "3.0.0",
        group: Group::Cluster,
        flags: HELP.with(Flags::FAST),
        acl: Acl::CONNECTION,
        run: no_cluster,
        ..Command::NEW
    },
    Command {
        name: "readwrite",
        summary: "Ends READONLY.",
        since: "3.0.0",
        group: Group::Cluster,
        flags: HELP.with(Flags::FAST),
        acl: Acl::CONNECTION,
        run: no_cluster,
        ..Command::NEW
    },
    Command {
        name: "trimslots",
        summary: "Removes the keys of hash slots that moved away.",
        since: "8.4.0",
        complexity: "O(N) where N is the number of keys in the slots",
        group: Group::Server,
        arity: -5,
        flags: Flags::WRITE,
        acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
        args: &[Arg::block(
            "ranges",
            &[
                Arg::integer("numranges"),
                Arg::block("slots", &[Arg::integer("startslot"), Arg::integer("endslot")]).multiple(),
            ],
        )
        .after("RANGES")],
        run: no_cluster,
        ..Command::NEW
    },
];

fn no_cluster(_: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    Err(CommandError::text("ERR This instance has cluster support disabled"))
}

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "addslots",
        summary: "Takes slots over.",
        arity: -3,
        flags: ADMIN,
        args: &[Arg::integer("slot").multiple()],
        ..SUBCOMMAND
    },
    Command {
        name: "addslotsrange",
        summary: "Takes ranges of slots over.",
        since: "7.0.0",
        arity: -4,
        flags: ADMIN,
        args: &[Arg::block("range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple()],
        ..SUBCOMMAND
    },
    Command {
        name: "bumpepoch",
        summary: "Raises the epoch of the configuration.",
        flags: ADMIN,
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "count-failure-reports",
        summary: "Counts the reports that a node has failed.",
        arity: 3,
        flags: ADMIN_LOADING,
        tips: &["nondeterministic_output"],
        args: &[Arg::string("node-id")],
        ..SUBCOMMAND
    },
    Command {
        name: "countkeysinslot",
        summary: "Counts the keys of a slot.",
        arity: 3,
        flags: Flags::STALE,
        args: &[Arg::integer("slot")],
        ..SUBCOMMAND
    },
    Command {
        name: "delslots",
        summary: "Gives slots up.",
        arity: -3,
        flags: ADMIN,
        args: &[Arg::integer("slot").multiple()],
        ..SUBCOMMAND
    },
    Command {
        name: "delslotsrange",
        summary: "Gives ranges of slots up.",
        since: "7.0.0",
        arity: -4,
        flags: ADMIN,
        args: &[Arg::block("range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple()],
        ..SUBCOMMAND
    },
    Command {
        name: "failover",
        summary: "Makes a replica take over from its primary.",
        arity: -2,
        flags: ADMIN,
        args: &[Arg::one_of("options", &[Arg::word("force", "FORCE"), Arg::word("takeover", "TAKEOVER")]).optional()],
        ..SUBCOMMAND
    },
    Command { name: "flushslots", summary: "Gives all slots up.", flags: ADMIN, ..SUBCOMMAND },
    Command {
        name: "forget",
        summary: "Removes a node from the table of nodes.",
        arity: 3,
        flags: ADMIN,
        args: &[Arg::string("node-id")],
        ..SUBCOMMAND
    },
    Command {
        name: "getkeysinslot",
        summary: "Lists keys of a slot.",
        arity: 4,
        flags: Flags::STALE,
        tips: &["nondeterministic_output"],
        args: &[Arg::integer("slot"), Arg::integer("count")],
        ..SUBCOMMAND
    },
    Command { name: "help", summary: "Explains the subcommands of CLUSTER.", since: "5.0.0", ..SUBCOMMAND },
    Command {
        name: "info",
        summary: "Reports on the state of the cluster.",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "keyslot",
        summary: "Computes the slot of a key.",
        arity: 3,
        args: &[Arg::string("key")],
        ..SUBCOMMAND
    },
    Command {
        name: "links",
        summary: "Lists the links to other nodes.",
        since: "7.0.0",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "meet",
        summary: "Introduces a node to the cluster.",
        arity: -4,
        flags: ADMIN,
        args: &[Arg::string("ip"), Arg::integer("port"), Arg::integer("cluster-bus-port").optional().since("4.0.0")],
        ..SUBCOMMAND
    },
    Command {
        name: "migration",
        summary: "Moves slots between nodes.",
        since: "8.4.0",
        arity: -4,
        flags: ADMIN,
        args: &[Arg::one_of(
            "subcommand",
            &[
                Arg::block("import", &[Arg::integer("start-slot"), Arg::integer("end-slot")])
                    .after("IMPORT")
                    .multiple(),
                Arg::one_of("cancel", &[Arg::string("task-id").after("ID"), Arg::word("all", "ALL")]).after("CANCEL"),
                Arg::one_of(
                    "status",
                    &[Arg::string("task-id").after("ID").optional(), Arg::word("all", "ALL").optional()],
                )
                .after("STATUS"),
            ],
        )],
        ..SUBCOMMAND
    },
    Command { name: "myid", summary: "Answers the id of this node.", ..SUBCOMMAND },
    Command {
        name: "myshardid",
        summary: "Answers the id of the shard of this node.",
        since: "7.2.0",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "nodes",
        summary: "Lists the nodes of the cluster.",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "replicas",
        summary: "Lists the replicas of a node.",
        since: "5.0.0",
        arity: 3,
        flags: ADMIN_LOADING,
        tips: &["nondeterministic_output"],
        args: &[Arg::string("node-id")],
        ..SUBCOMMAND
    },
    Command {
        name: "replicate",
        summary: "Makes this node follow another.",
        arity: 3,
        flags: ADMIN,
        args: &[Arg::string("node-id")],
        ..SUBCOMMAND
    },
    Command {
        name: "reset",
        summary: "Makes this node forget its cluster.",
        arity: -2,
        flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE),
        args: &[Arg::one_of("reset-type", &[Arg::word("hard", "HARD"), Arg::word("soft", "SOFT")]).optional()],
        ..SUBCOMMAND
    },
    Command { name: "saveconfig", summary: "Writes the table of nodes to disk.", flags: ADMIN, ..SUBCOMMAND },
    Command {
        name: "set-config-epoch",
        summary: "Sets the epoch of a fresh node.",
        arity: 3,
        flags: ADMIN,
        args: &[Arg::integer("config-epoch")],
        ..SUBCOMMAND
    },
    Command {
        name: "setslot",
        summary: "Binds a slot to a node or a migration.",
        arity: -4,
        flags: ADMIN,
        args: &[
            Arg::integer("slot"),
            Arg::one_of(
                "subcommand",
                &[
                    Arg::string("importing").after("IMPORTING"),
                    Arg::string("migrating").after("MIGRATING"),
                    Arg::string("node").after("NODE"),
                    Arg::word("stable", "STABLE"),
                ],
            ),
        ],
        ..SUBCOMMAND
    },
    Command {
        name: "shards",
        summary: "Lists the shards of the cluster.",
        since: "7.0.0",
        tips: &["nondeterministic_output"],
        ..SUBCOMMAND
    },
    Command {
        name: "slaves",
        summary: "Lists the replicas of a node.",
        arity: 3,
        flags: ADMIN_LOADING,
        tips: &["nondeterministic_output"],
        args: &[Arg::string("node-id")],
        deprecated: Some(("5.0.0", "CLUSTER REPLICAS")),
        ..SUBCOMMAND
    },
    Command {
        name: "slot-stats",
        summary: "Answers how much each slot is used.",
        since: "8.2.0",
        arity: -4,
        tips: &["nondeterministic_output", "request_policy:all_shards"],
        args: &[Arg::one_of(
            "filter",
            &[
                Arg::block("slotsrange", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).after("SLOTSRANGE"),
                Arg::block(
                    "orderby",
                    &[
                        Arg::string("metric"),
                        Arg::integer("limit").after("LIMIT").optional(),
                        Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional(),
                    ],
                )
                .after("ORDERBY"),
            ],
        )],
        ..SUBCOMMAND
    },
    Command {
        name: "slots",
        summary: "Lists which nodes serve which slots.",
        tips: &["nondeterministic_output"],
        deprecated: Some(("7.0.0", "CLUSTER SHARDS")),
        ..SUBCOMMAND
    },
    Command {
        name: "syncslots",
        summary: "Carries slots from node to node.",
        since: "8.4.0",
        arity: -3,
        flags: ADMIN,
        tips: &["nondeterministic_output"],
        args: &[Arg::one_of(
            "subcommand",
            &[
                Arg::block(
                    "sync",
                    &[
                        Arg::string("task-id"),
                        Arg::block("slot-range", &[Arg::integer("start-slot"), Arg::integer("end-slot")]).multiple(),
                    ],
                )
                .after("SYNC"),
                Arg::string("task-id").after("RDBCHANNEL"),
                Arg::word("snapshot-eof", "SNAPSHOT-EOF"),
                Arg::word("stream-eof", "STREAM-EOF"),
                Arg::block("ack", &[Arg::string("state"), Arg::integer("offset")]).after("ACK"),
                Arg::string("error").after("FAIL"),
                Arg::block("conf", &[Arg::string("option").multiple(), Arg::string("value").multiple()]).after("CONF"),
            ],
        )],
        ..SUBCOMMAND
    },
];
