//! HOTKEYS: the keys that cost most, by time and by bytes (see `hotkeys`).

use quiver_resp::Argv;

use crate::command::{Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{Options, integer, is};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::hotkeys::{KEYS_MAX, Wanted};

const HELP: Flags = Flags::LOADING.with(Flags::STALE);
const ADMIN: Flags = Flags::ADMIN.with(Flags::NOSCRIPT);

const SUBCOMMAND: Command =
    Command { since: "8.6.0", group: Group::Server, arity: 2, flags: ADMIN, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "hotkeys",
    summary: "Groups the commands about the keys that cost most.",
    since: "8.6.0",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        summary: "Answers which keys cost most.",
        complexity: "O(K) where K is the number of keys answered",
        tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        run: hotkeys_get,
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of HOTKEYS.",
        since: "8.6.1",
        flags: HELP,
        run: hotkeys_help,
        ..SUBCOMMAND
    },
    Command {
        name: "reset",
        summary: "Forgets which keys cost most.",
        tips: &["request_policy:special"],
        run: hotkeys_reset,
        ..SUBCOMMAND
    },
    Command {
        name: "start",
        summary: "Begins to look for the keys that cost most.",
        arity: -2,
        tips: &["request_policy:special"],
        args: &[
            Arg::block(
                "metrics",
                &[Arg::integer("count"), Arg::word("cpu", "CPU").optional(), Arg::word("net", "NET").optional()],
            )
            .after("METRICS"),
            Arg::integer("k").after("COUNT").optional(),
            Arg::integer("seconds").after("DURATION").optional(),
            Arg::integer("ratio").after("SAMPLE").optional(),
            Arg::block("slots", &[Arg::integer("count"), Arg::integer("slot").multiple()]).after("SLOTS").optional(),
        ],
        run: hotkeys_start,
        ..SUBCOMMAND
    },
    Command {
        name: "stop",
        summary: "Ends the search for the keys that cost most.",
        tips: &["request_policy:special"],
        run: hotkeys_stop,
        ..SUBCOMMAND
    },
];

/// Keys answered when nothing is said.
const KEYS: usize = 10;

const RUNNING: CommandError = CommandError::text("ERR a search for hot keys is running, HOTKEYS STOP ends it");

fn hotkeys_start(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wanted = parse_start(argv, ctx.ks.now_ms)?;
    if !ctx.engine.hotkeys.start(wanted, ctx.ks.now_ms, ctx.engine.host().cpu_ms()) {
        return Err(RUNNING);
    }
    ctx.reply.ok();
    Ok(())
}

fn parse_start(argv: Argv<'_>, now_ms: i64) -> Result<Wanted, CommandError> {
    let mut wanted = Wanted { cpu: false, net: false, keys: KEYS, sample: 1, until_ms: None };
    let (mut metrics, mut options) = (None, Options::new(argv, 2));
    while let Some(option) = options.next() {
        if is(option, "metrics") {
            metrics = Some(within(options.value()?, 1, 2, "METRICS")?);
        } else if is(option, "cpu") && metrics.is_some() {
            wanted.cpu = true;
        } else if is(option, "net") && metrics.is_some() {
            wanted.net = true;
        } else if is(option, "count") {
            wanted.keys = within(options.value()?, 1, KEYS_MAX as i64, "COUNT")? as usize;
        } else if is(option, "duration") {
            let seconds = within(options.value()?, 0, 1_000_000_000, "DURATION")?;
            wanted.until_ms = (seconds > 0).then_some(now_ms + seconds * 1000);
        } else if is(option, "sample") {
            wanted.sample = within(options.value()?, 1, i64::from(i32::MAX), "SAMPLE")? as u64;
        } else if is(option, "slots") {
            return Err(CommandError::text("ERR SLOTS is for clusters only"));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    match metrics {
        None => Err(CommandError::text("ERR METRICS is missing")),
        Some(count) if count == i64::from(wanted.cpu) + i64::from(wanted.net) => Ok(wanted),
        Some(_) => Err(CommandError::text("ERR METRICS must be followed by as many of CPU and NET as it says")),
    }
}

fn within(text: &[u8], low: i64, high: i64, option: &str) -> Result<i64, CommandError> {
    let number = integer(text)?;
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    Err(CommandError::owned(format!("ERR {option} must be between {low} and {high}")))
}

fn hotkeys_stop(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    if ctx.engine.hotkeys.stop(ctx.ks.now_ms, ctx.engine.host().cpu_ms()) {
        ctx.reply.ok();
    } else {
        ctx.reply.null();
    }
    Ok(())
}

fn hotkeys_reset(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    if !ctx.engine.hotkeys.reset(ctx.ks.now_ms, ctx.engine.host().cpu_ms()) {
        return Err(RUNNING);
    }
    ctx.reply.ok();
    Ok(())
}

fn hotkeys_get(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let Some(report) = ctx.engine.hotkeys.report(ctx.ks.now_ms, ctx.engine.host().cpu_ms()) else {
        ctx.reply.null();
        return Ok(());
    };
    let (cpu, net) = (report.wanted.cpu, report.wanted.net);
    let mut figures = vec![
        ("all-commands-all-slots-us", report.all_us),
        ("net-bytes-all-commands-all-slots", report.all_bytes),
        ("collection-start-time-unix-ms", report.started_ms as u64),
        ("collection-duration-ms", report.duration_ms as u64),
    ];
    if cpu {
        figures.extend([("total-cpu-time-user-ms", report.cpu_ms.0), ("total-cpu-time-sys-ms", report.cpu_ms.1)]);
    }
    if net {
        figures.push(("total-net-bytes", report.all_bytes));
    }
    let lists = [("by-cpu-time-us", cpu, &report.by_time_us), ("by-net-bytes", net, &report.by_bytes)];
    let reply = &mut ctx.reply;
    // One report in a list, as the nodes of a cluster would give several.
    reply.array(1);
    reply.map(3 + figures.len() + usize::from(cpu) + usize::from(net));
    for (name, value) in [("tracking-active", u64::from(report.active)), ("sample-ratio", report.wanted.sample)] {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    reply.bulk(b"selected-slots");
    reply.array(0);
    for (name, value) in figures {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    for (name, _, keys) in lists.iter().filter(|(_, shown, _)| *shown) {
        reply.bulk(name.as_bytes());
        reply.array(keys.len() * 2);
        for (key, value) in keys.iter() {
            reply.bulk(key);
            reply.integer(*value as i64);
        }
    }
    Ok(())
}

fn hotkeys_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "HOTKEYS",
        &[
            ("GET", "Which keys cost most, in the search that runs or ended last."),
            ("RESET", "Forgets what was found."),
            (
                "START METRICS <count> [CPU] [NET] [COUNT <keys>] [DURATION <seconds>] [SAMPLE <ratio>]",
                "Begins to look for the keys that cost most time or bytes.",
            ),
            ("STOP", "Ends the search."),
        ],
    );
    Ok(())
}
