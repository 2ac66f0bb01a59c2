//! What the process prints: log lines to standard output or `logfile`, and the few words of `--help` and start errors.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;

use quiver_engine::config::Config;
use tracing::level_filters::LevelFilter;

/// Sends log lines where the configuration says.
pub(crate) fn start(config: &Config) {
    let level = match config.get("loglevel").as_str() {
        "debug" => LevelFilter::DEBUG,
        "warning" => LevelFilter::WARN,
        "nothing" => LevelFilter::OFF,
        _ => LevelFilter::INFO,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    let path = config.get("logfile");
    if path.is_empty() {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stdout())).init();
        return;
    }
    match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(file) => builder.with_ansi(false).with_writer(Mutex::new(file)).init(),
        Err(error) => {
            builder.init();
            tracing::warn!("logfile {path}: {error}; logging to standard output");
        }
    }
}

/// Prints to standard output and succeeds.
pub(crate) fn say(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints to standard error.
pub(crate) fn complain(text: &str) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}
