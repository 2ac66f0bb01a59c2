//! INFO: the state of the server as lines of `name:value` in sections.
//!
//! The engine answers what it knows itself; what belongs to the process, the disk and the links comes from the host.
//! Only figures that are counted are printed; fields of features that do not exist here are printed as zero where
//! monitoring tools rely on them.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use crate::acl::log::Reason;
use crate::blocking::Waiter;
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::describe::{MODULES, shown_name};
use crate::commands::keysizes;
use crate::context::Ctx;
use crate::host::RoleReply;
use crate::stats::{CommandStats, Counter};

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    summary: "Reports on the state of the server in sections.",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.with(Flags::STALE),
    acl: Acl::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    args: &[Arg::string("section").multiple().optional()],
    locks: Locks::All,
    run: info,
    ..Command::NEW
}];

/// A section: its name, its heading, whether plain INFO shows it, and who writes it.
type Section = (&'static str, &'static str, bool, fn(&mut Ctx<'_>, &mut String));

/// In the order they are printed.
const SECTIONS: &[Section] = &[
    ("server", "Server", true, |ctx, out| host_section(ctx, "server", out)),
    ("clients", "Clients", true, clients),
    ("memory", "Memory", true, |ctx, out| host_section(ctx, "memory", out)),
    ("persistence", "Persistence", true, |ctx, out| host_section(ctx, "persistence", out)),
    ("stats", "Stats", true, stats),
    ("replication", "Replication", true, replication),
    ("cpu", "CPU", true, |ctx, out| host_section(ctx, "cpu", out)),
    ("modules", "Modules", true, modules),
    ("commandstats", "Commandstats", false, command_stats),
    ("errorstats", "Errorstats", true, error_stats),
    ("latencystats", "Latencystats", false, latency_stats),
    ("cluster", "Cluster", true, |_, out| out.push_str("cluster_enabled:0\r\n")),
    ("keyspace", "Keyspace", true, keyspace),
];

fn info(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let words: Vec<String> = argv.from(1).iter().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let named = |name: &str| words.iter().any(|word| word == name);
    let all = named("all") || named("everything");
    let default = words.is_empty() || named("default");
    let mut text = String::new();
    for (name, heading, by_default, write) in SECTIONS {
        if named(name) || default && *by_default || all && (*name != "modules" || named("everything")) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {heading}\r\n");
            write(ctx, &mut text);
        }
    }
    // What modules of Redis would say of themselves.
    if named("search") || named("modules") || named("everything") {
        crate::commands::ft::server_info::write(ctx, &mut text);
    }
    // Last, because it gives the locks back.
    if named("keysizes") {
        text.push_str(if text.is_empty() { "# Keysizes\r\n" } else { "\r\n# Keysizes\r\n" });
        keysizes::write(ctx, &mut text);
    }
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn host_section(ctx: &mut Ctx<'_>, name: &str, out: &mut String) {
    ctx.engine.host().info(ctx.engine, name, out);
}

/// What Redis has as modules. Tools split the line at commas and expect seven parts.
fn modules(_: &mut Ctx<'_>, out: &mut String) {
    for (name, version) in MODULES {
        let _ = write!(out, "module:name={name},ver={version},api=1,filters=0,usedby=[],using=[],options=[]\r\n");
    }
}

fn clients(ctx: &mut Ctx<'_>, out: &mut String) {
    let clients = ctx.engine.clients.lock();
    let watching = clients.values().filter(|client| client.watching.load(Relaxed) > 0).count();
    let watched: u64 = clients.values().map(|client| client.watching.load(Relaxed)).sum();
    let blocked = clients.values().filter(|client| client.is_blocked()).count();
    let ends = |waiter: &Waiter| waiter.lasts() && waiter.deadline_ms.is_some();
    let timed = clients.values().filter(|client| client.waiter.lock().as_deref().is_some_and(ends)).count();
    let waited = ctx.ks.waited_keys();
    let of_groups = ctx.ks.waited_keys_of_groups();
    let replicas = clients.values().filter(|client| client.texts.lock().flags.contains('S')).count();
    let buffered = clients.values().map(|client| client.query_bytes()).max().unwrap_or(0);
    let unsent = clients.values().map(|client| client.output_bytes.load(Relaxed)).max().unwrap_or(0);
    let _ = write!(
        out,
        "connected_clients:{}\r\ncluster_connections:0\r\nmaxclients:{}\r\nclient_recent_max_input_buffer:{buffered}\r\n\
         client_recent_max_output_buffer:{unsent}\r\nblocked_clients:{blocked}\r\ntracking_clients:{}\r\npubsub_clients:{}\r\n\
         watching_clients:{watching}\r\nclients_in_timeout_table:{timed}\r\ntotal_watched_keys:{watched}\r\n\
         total_blocking_keys:{waited}\r\ntotal_blocking_keys_on_nokey:{of_groups}\r\n",
        clients.len() - replicas,
        ctx.engine.config.maxclients(),
        ctx.engine.tracking.clients(),
        ctx.engine.pubsub.subscribers(),
    );
}

fn stats(ctx: &mut Ctx<'_>, out: &mut String) {
    let stats = &ctx.engine.stats;
    let (channels, patterns, shard_channels) = ctx.engine.pubsub.counts();
    let tracked_items = ctx.engine.tracked_items(&mut ctx.ks);
    let figures: &[(&str, u64)] = &[
        ("total_connections_received", stats.connections_received.load(Relaxed)),
        ("total_commands_processed", stats.sum(|thread| thread.processed.get())),
        ("instantaneous_ops_per_sec", stats.ops_per_second.load(Relaxed)),
        ("total_net_input_bytes", stats.sum(|thread| thread.net_in_bytes.get())),
        ("total_net_output_bytes", stats.sum(|thread| thread.net_out_bytes.get())),
        ("total_net_repl_input_bytes", stats.replication_in_bytes.load(Relaxed)),
        ("total_net_repl_output_bytes", stats.replication_out_bytes.load(Relaxed)),
        ("rejected_connections", stats.connections_rejected.load(Relaxed)),
        ("sync_full", stats.full_syncs.load(Relaxed)),
        ("sync_partial_ok", stats.partial_syncs.load(Relaxed)),
        ("sync_partial_err", stats.partial_syncs_refused.load(Relaxed)),
        ("expired_keys", stats.sum(|thread| thread.expired.get())),
        ("expired_subkeys", stats.sum(|thread| thread.expired_fields.get())),
        ("expired_time_cap_reached_count", 0),
        ("expire_cycle_cpu_milliseconds", stats.expire_cycle_ns.load(Relaxed) / 1_000_000),
        ("evicted_keys", stats.sum(|thread| thread.evicted.get())),
        ("evicted_clients", stats.evicted_clients.load(Relaxed)),
        ("evicted_scripts", ctx.engine.scripts.facts().evicted),
        ("keyspace_hits", stats.sum(|thread| thread.hits.get())),
        ("keyspace_misses", stats.sum(|thread| thread.misses.get())),
        ("pubsub_channels", channels as u64),
        ("pubsub_patterns", patterns as u64),
        ("pubsubshard_channels", shard_channels as u64),
        ("latest_fork_usec", 0),
        ("total_forks", 0),
        ("tracking_total_keys", ctx.engine.tracking.keys.load(Relaxed) as u64),
        ("tracking_total_items", tracked_items as u64),
        ("tracking_total_prefixes", ctx.engine.tracking.prefixes() as u64),
        ("client_query_buffer_limit_disconnections", stats.query_limit_disconnections.load(Relaxed)),
        ("client_output_buffer_limit_disconnections", stats.output_limit_disconnections.load(Relaxed)),
        ("acl_access_denied_auth", ctx.engine.users.denied.get(Reason::Auth)),
        ("acl_access_denied_cmd", ctx.engine.users.denied.get(Reason::Command)),
        ("acl_access_denied_key", ctx.engine.users.denied.get(Reason::Key)),
        ("acl_access_denied_channel", ctx.engine.users.denied.get(Reason::Channel)),
        ("slave_expires_tracked_keys", 0),
        ("active_defrag_hits", 0),
        ("active_defrag_misses", 0),
        ("active_defrag_key_hits", 0),
        ("active_defrag_key_misses", 0),
        ("total_active_defrag_time", 0),
        ("current_active_defrag_time", 0),
        ("unexpected_error_replies", 0),
        ("dump_payload_sanitizations", 0),
        ("total_error_replies", stats.sum(|thread| thread.errors.get())),
    ];
    for (name, value) in figures {
        let _ = write!(out, "{name}:{value}\r\n");
    }
    for (name, bytes) in [("input", &stats.net_in_per_second), ("output", &stats.net_out_per_second)] {
        let _ = write!(out, "instantaneous_{name}_kbps:{:.2}\r\n", bytes.load(Relaxed) as f64 / 1024.0);
    }
    ctx.engine.host().info(ctx.engine, "stats", out);
}

/// The host's lines where it has links; else what ROLE says.
fn replication(ctx: &mut Ctx<'_>, out: &mut String) {
    let start = out.len();
    host_section(ctx, "replication", out);
    if out.len() > start {
        return;
    }
    let _ = match ctx.engine.host().role() {
        RoleReply::Primary(offset, replicas) => write!(
            out,
            "role:master\r\nconnected_slaves:{}\r\nmaster_failover_state:no-failover\r\nmaster_repl_offset:{offset}\r\n",
            replicas.len(),
        ),
        RoleReply::Replica(host, port, state, offset) => write!(
            out,
            "role:slave\r\nmaster_host:{host}\r\nmaster_port:{port}\r\nmaster_link_status:{}\r\n\
             slave_repl_offset:{offset}\r\n",
            if state == "connected" { "up" } else { "down" },
        ),
    };
}

fn command_stats(ctx: &mut Ctx<'_>, out: &mut String) {
    let stats = &ctx.engine.stats;
    for entry in ctx.engine.registry.entries() {
        let sum = |pick: fn(&CommandStats) -> &Counter| stats.sum(|thread| pick(&thread.commands[entry.id]).get());
        let (calls, rejected) = (sum(|command| &command.calls), sum(|command| &command.rejected));
        if calls + rejected == 0 {
            continue;
        }
        let microseconds = sum(|command| &command.nanoseconds) as f64 / 1000.0;
        let _ = write!(
            out,
            "cmdstat_{}:calls={calls},usec={microseconds:.0},usec_per_call={:.2},rejected_calls={rejected},\
             failed_calls={}\r\n",
            shown_name(entry),
            microseconds / calls.max(1) as f64,
            sum(|command| &command.failed),
        );
    }
}

fn error_stats(ctx: &mut Ctx<'_>, out: &mut String) {
    for (code, count) in ctx.engine.stats.errors_by_code.lock().iter() {
        let _ = write!(out, "errorstat_{code}:count={count}\r\n");
    }
}

fn latency_stats(ctx: &mut Ctx<'_>, out: &mut String) {
    let percentiles = ctx.engine.config.get("latency-tracking-info-percentiles");
    for entry in ctx.engine.registry.entries() {
        let Some(times) = ctx.engine.stats.latency(entry.id) else { continue };
        let _ = write!(out, "latency_percentiles_usec_{}:", shown_name(entry));
        for (at, text) in percentiles.split_ascii_whitespace().enumerate() {
            let us = times.percentile_ns(text.parse().unwrap_or(0.0)) as f64 / 1000.0;
            let _ = write!(out, "{}p{text}={us:.3}", if at == 0 { "" } else { "," });
        }
        out.push_str("\r\n");
    }
}

/// Samples looked at for the mean time to live of a database.
const TTL_SAMPLES: usize = 32;

fn keyspace(ctx: &mut Ctx<'_>, out: &mut String) {
    let selected = ctx.ks.db;
    for db in 0..ctx.ks.dbs_in_use() {
        let (keys, volatile) = ctx.ks.db_len(db);
        if keys > 0 {
            ctx.ks.db = db;
            let hashes = ctx.ks.hashes_with_expiries(db);
            let ttl_ms = if volatile == 0 { 0 } else { mean_ttl_ms(ctx) };
            let _ = write!(out, "db{db}:keys={keys},expires={volatile},avg_ttl={ttl_ms},subexpiry={hashes}\r\n");
        }
    }
    ctx.ks.db = selected;
}

/// The mean time to live among random keys of the selected database; 0 when none of them has one.
fn mean_ttl_ms(ctx: &mut Ctx<'_>) -> i64 {
    let now_ms = ctx.ks.now_ms;
    let draws = (0..TTL_SAMPLES).filter_map(|_| ctx.ks.sample(ctx.rng.next())?.expire_at());
    // Times near the largest there are add up to more than 64 bits hold; their mean is one of them at most.
    let ttls: Vec<i128> = draws.map(|at| i128::from(at - now_ms).max(0)).collect();
    (ttls.iter().sum::<i128>() / ttls.len().max(1) as i128) as i64
}
