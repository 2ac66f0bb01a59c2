//! LATENCY: what the latency monitor saw, and how the times of commands are distributed.

use std::fmt::Write;

use quiver_resp::Argv;

use crate::command::{Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::describe::shown_name;
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::latency::{Sample, Series};
use crate::registry::{Entry, registry};

const HELP: Flags = Flags::LOADING.with(Flags::STALE);
const ADMIN: Flags = HELP.with(Flags::ADMIN).with(Flags::NOSCRIPT);

const SUBCOMMAND: Command =
    Command { since: "2.8.13", group: Group::Server, arity: 2, flags: ADMIN, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    summary: "Groups the commands about how long things take.",
    since: "2.8.13",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "doctor",
        summary: "Puts what the latency monitor saw into words.",
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: latency_doctor,
        ..SUBCOMMAND
    },
    Command {
        name: "graph",
        summary: "Draws the samples of an event.",
        arity: 3,
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        args: &[Arg::string("event")],
        run: latency_graph,
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of LATENCY.",
        flags: HELP,
        run: latency_help,
        ..SUBCOMMAND
    },
    Command {
        name: "histogram",
        summary: "Answers how the times of commands are distributed.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of commands measured",
        arity: -2,
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        args: &[Arg::string("command").optional().multiple()],
        run: latency_histogram,
        ..SUBCOMMAND
    },
    Command {
        name: "history",
        summary: "Answers the samples of an event.",
        arity: 3,
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        args: &[Arg::string("event")],
        run: latency_history,
        ..SUBCOMMAND
    },
    Command {
        name: "latest",
        summary: "Answers the latest sample of every event.",
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: latency_latest,
        ..SUBCOMMAND
    },
    Command {
        name: "reset",
        summary: "Forgets the samples of some or all events.",
        arity: -2,
        tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
        args: &[Arg::string("event").optional().multiple()],
        run: latency_reset,
        ..SUBCOMMAND
    },
];

fn latency_latest(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let events = ctx.engine.latency.all();
    ctx.reply.array(events.len());
    for (name, series) in events {
        let latest = series.samples.back().copied().unwrap_or(Sample { at_s: 0, latency_ms: 0 });
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.integer(latest.at_s);
        ctx.reply.integer(latest.latency_ms as i64);
        ctx.reply.integer(series.max_ms as i64);
    }
    Ok(())
}

fn latency_history(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let samples = ctx.engine.latency.series(argv.at(2)).map(|(_, series)| series.samples).unwrap_or_default();
    ctx.reply.array(samples.len());
    for sample in samples {
        ctx.reply.array(2);
        ctx.reply.integer(sample.at_s);
        ctx.reply.integer(sample.latency_ms as i64);
    }
    Ok(())
}

fn latency_reset(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let named = |event: &str| argv.from(2).iter().any(|name| name.eq_ignore_ascii_case(event.as_bytes()));
    let reset = ctx.engine.latency.reset(|event| argv.len() == 2 || named(event));
    ctx.reply.integer(reset as i64);
    Ok(())
}

/// Rows of the drawing.
const GRAPH_ROWS: usize = 4;

fn latency_graph(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let Some((name, series)) = ctx.engine.latency.series(argv.at(2)) else {
        let event = quote_word(argv.at(2));
        return Err(CommandError::owned(format!("ERR No samples available for event '{event}'")));
    };
    let text = graph(name, &series, ctx.ks.now_ms / 1000);
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// Bars of the samples between the best and the worst, and below each how long ago it was, read from top to bottom.
fn graph(name: &str, series: &Series, now_s: i64) -> String {
    let latencies = || series.samples.iter().map(|sample| sample.latency_ms);
    let (low, high) = (latencies().min().unwrap_or(0), latencies().max().unwrap_or(0));
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", series.max_ms);
    text.push_str(&"-".repeat(80));
    text.push('\n');
    let height = |ms: u64| (ms - low) as usize * (GRAPH_ROWS * 2 - 1) / ((high - low).max(1) as usize);
    for row in (0..GRAPH_ROWS).rev() {
        let bar = |ms: u64| match height(ms).checked_sub(row * 2) {
            None => ' ',
            Some(0) if row == 0 => '_',
            Some(0) => 'o',
            Some(_) => '#',
        };
        let line: String = latencies().map(bar).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    let ages: Vec<String> = series.samples.iter().map(|sample| age(now_s - sample.at_s)).collect();
    for at in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let line: String = ages.iter().map(|age| age.chars().nth(at).unwrap_or(' ')).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn latency_doctor(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let threshold_ms = ctx.engine.config.latency_monitor_threshold_ms();
    let events = ctx.engine.latency.all();
    let mut text = String::new();
    if threshold_ms == 0 && events.is_empty() {
        text.push_str("The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n");
    } else if events.is_empty() {
        let _ = writeln!(text, "Nothing took {threshold_ms} ms or longer so far.");
    }
    for (name, series) in &events {
        diagnose(&mut text, name, series, ctx.ks.now_ms / 1000);
    }
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn diagnose(text: &mut String, name: &str, series: &Series, now_s: i64) {
    let count = series.samples.len().max(1);
    let sum: u64 = series.samples.iter().map(|sample| sample.latency_ms).sum();
    let mean = sum / count as u64;
    let spread: u64 = series.samples.iter().map(|sample| sample.latency_ms.abs_diff(mean)).sum();
    let since = series.samples.front().map_or(0, |sample| now_s - sample.at_s);
    let _ = writeln!(
        text,
        "{name}: {count} slow seconds in the last {}, {mean} ms in the mean (mean deviation {} ms), {} ms at worst.",
        age(since),
        spread / count as u64,
        series.max_ms,
    );
    let advice = match name {
        "command" => "Commands whose cost grows with the data were slow: SLOWLOG GET shows which.",
        "fast-command" => "Commands of constant cost were slow: the machine is short of CPU or memory.",
        "expire-cycle" => "Many keys ran out of time at once: spread their expiry.",
        "eviction-cycle" => "Memory is short: raise maxmemory or write less.",
        _ => "The event's name says what was slow.",
    };
    let _ = writeln!(text, "    {advice}");
}

fn latency_histogram(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let chosen: Vec<&Entry> = if argv.len() == 2 {
        registry().entries().iter().collect()
    } else {
        let named = argv.from(2).iter().filter_map(|name| registry().find_full(name));
        // A container stands for its subcommands.
        named.flat_map(|entry| [entry].into_iter().chain(registry().subcommands(entry))).collect()
    };
    let start = ctx.reply.position();
    let mut shown = 0;
    for entry in chosen {
        let Some(times) = ctx.engine.stats.latency(entry.id) else { continue };
        shown += 1;
        let reply = &mut ctx.reply;
        reply.bulk(shown_name(entry).as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(times.total() as i64);
        reply.bulk(b"histogram_usec");
        let steps = times.cumulative_us();
        reply.map(steps.len());
        for (us, count) in steps {
            reply.integer(us as i64);
            reply.integer(count as i64);
        }
    }
    ctx.reply.map_before(start, shown);
    Ok(())
}

fn latency_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "LATENCY",
        &[
            ("DOCTOR", "What the latency monitor saw, in words."),
            ("GRAPH <event>", "A drawing of the event's samples."),
            ("HISTOGRAM [<command> ...]", "How the times of commands are distributed."),
            ("HISTORY <event>", "The event's samples: time and milliseconds."),
            ("LATEST", "Of every event the latest sample and the worst."),
            ("RESET [<event> ...]", "Forgets the samples of the events, or of all."),
        ],
    );
    Ok(())
}
