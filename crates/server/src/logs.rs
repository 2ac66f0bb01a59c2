//! What the process prints: log lines to standard output or `logfile`, and the few words of `--help` and start errors.
//!
//! A line is what operators' tools know from Redis: `pid:role day month year hh:mm:ss.mmm level message`, the role M or
//! S, the levels `.` debug, `-` verbose, `*` notice and `#` warning. Times are UTC. The level follows CONFIG SET, and
//! the file is opened anew for every line, so that it may be moved away at any time. `syslog-enabled` sends the same
//! lines to the system's log as well.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use quiver_engine::config::Config;
use quiver_node::{Node, now_ms};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::syslog::Syslog;

/// The instance whose role and level the lines show, once there is one.
static NODE: OnceLock<Node> = OnceLock::new();

/// Sends log lines where the configuration says.
pub(crate) fn start(config: &Config) {
    let first_level = config.get("loglevel");
    let destination = Destination::of(&config.get("logfile"));
    let filter = DynFilterFn::new(move |event: &Metadata<'_>, _| match NODE.get() {
        Some(node) => shows(&node.engine().config.get("loglevel"), event.level()),
        None => shows(&first_level, event.level()),
    });
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(destination).event_format(Line);
    let system = Syslog::wanted(config).map(|syslog| {
        let form = syslog.form();
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(syslog).event_format(form)
    });
    tracing_subscriber::registry().with(lines.and_then(system).with_filter(filter)).init();
}

/// From now on lines show the role of this instance, and its level decides.
pub(crate) fn follow(node: &Node) {
    // The first one counts: a process is one instance.
    let _ = NODE.set(node.clone());
}

/// Whether lines of a level are wanted.
fn shows(loglevel: &str, level: &Level) -> bool {
    match loglevel {
        "debug" => true,
        "verbose" => *level <= Level::DEBUG,
        "warning" => *level <= Level::WARN,
        "nothing" => false,
        _ => *level <= Level::INFO,
    }
}

/// Where lines go.
enum Destination {
    Output,
    File(String),
}

impl Destination {
    fn of(path: &str) -> Self {
        if path.is_empty() {
            return Self::Output;
        }
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(_) => Self::File(path.to_owned()),
            Err(error) => {
                complain(&format!("Can't open the log file: {error}"));
                Self::Output
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Self::Writer {
        match self {
            Self::Output => Box::new(io::stdout()),
            Self::File(path) => match OpenOptions::new().create(true).append(true).open(path) {
                Ok(file) => Box::new(file),
                Err(_) => Box::new(io::sink()),
            },
        }
    }
}

/// The form of a line.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let is_replica = NODE.get().is_some_and(|node| node.engine().state.is_replica.load(Relaxed));
        let level = match *event.metadata().level() {
            Level::TRACE => '.',
            Level::DEBUG => '-',
            Level::INFO => '*',
            _ => '#',
        };
        let role = if is_replica { 'S' } else { 'M' };
        write!(out, "{}:{role} {} {level} ", std::process::id(), UtcTime(now_ms()))?;
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

/// Unix time in ms as `day month year hh:mm:ss.mmm`.
struct UtcTime(i64);

impl fmt::Display for UtcTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let month = MONTHS[month];
        write!(out, "{day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
    }
}

/// Year, month from 0 and day of a day counted from 1970. Years are counted from March, so that the leap day is a
/// year's last.
fn civil(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    (year, month as usize, day)
}

/// What a server says of itself when it starts.
pub(crate) fn banner(config: &Config) {
    let version = env!("CARGO_PKG_VERSION");
    let (pid, port) = (std::process::id(), config.get("port"));
    tracing::info!("Quiver is starting");
    tracing::info!(
        "Redis version={}, Quiver version={version}, bits=64, commit=00000000, modified=0, pid={pid}, just started",
        quiver_node::REDIS_VERSION
    );
    if config.get("always-show-logo") == "yes" {
        tracing::info!(
            "\n    >>--->   Quiver {version}, speaks Redis {}\n    >>--->   Running in standalone mode\n    >>--->   \
             Port: {port}\n    >>--->   PID: {pid}\n",
            quiver_node::REDIS_VERSION
        );
    } else {
        tracing::info!("Running mode=standalone, port={port}.");
    }
}

/// Prints to standard output and succeeds.
pub(crate) fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints to standard error.
pub(crate) fn complain(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "01 Jan 1970 00:00:00.000"),
            (951_782_400_123, "29 Feb 2000 00:00:00.123"),
            (1_709_251_199_999, "29 Feb 2024 23:59:59.999"),
            (4_107_542_400_000, "01 Mar 2100 00:00:00.000"),
        ] {
            assert_eq!(UtcTime(ms).to_string(), text);
        }
    }

    #[test]
    fn a_level_shows_what_is_as_important_or_more() {
        for (loglevel, shown) in [("debug", 4), ("verbose", 3), ("notice", 2), ("warning", 1), ("nothing", 0)] {
            let levels = [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
            assert_eq!(levels.iter().filter(|level| shows(loglevel, level)).count(), shown, "{loglevel}");
        }
    }
}
