//! The server binary: `quiver-server [redis.conf] [--port 6379 --dir D --save "" ...]`, and `quiver-server --check-aof`.
//!
//! Reads the configuration, starts the I/O threads, loads the data (clients are answered LOADING meanwhile), opens the
//! listeners, and waits for SHUTDOWN or a signal. Exit code 0 means that everything that was to be saved is on disk.

#![forbid(unsafe_code)]

mod check_aof;
mod check_rdb;
mod conf_file;
mod grpc;
mod listen;
mod logs;
mod process;
mod syslog;
mod system;
mod users;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use quiver_engine::config::Config;
use quiver_engine::registry;
use quiver_node::{Exit, IoThreads, Node};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--version" || argument == "-v") {
        return logs::say(&format!(
            "quiver-server {} (speaks Redis {})",
            env!("CARGO_PKG_VERSION"),
            quiver_node::REDIS_VERSION
        ));
    }
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return logs::say(conf_file::HELP);
    }
    if arguments.iter().any(|argument| argument == "--check-system") {
        return system::check();
    }
    if let [option, file] = arguments.as_slice()
        && option == "--check-rdb"
    {
        return check_rdb::check(file);
    }
    if arguments.first().is_some_and(|argument| argument == "--check-aof") {
        return check_aof::run(&arguments[1..]);
    }
    match run(&arguments) {
        Ok(Exit::Clean) => ExitCode::SUCCESS,
        Ok(Exit::Forced) => ExitCode::FAILURE,
        Err(error) => {
            logs::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<Exit> {
    let config = Config::default();
    let mut startup = conf_file::apply(&config, arguments)?;
    registry::rename(std::mem::take(&mut startup.renamed)).map_err(anyhow::Error::msg)?;
    if process::go_to_background(&config)? {
        return Ok(Exit::Clean);
    }
    logs::start(&config);
    logs::banner(&config);
    enter_folder(&config)?;
    let _pid_file = process::PidFile::write(&config);
    quiver_node::restore(&config).map_err(anyhow::Error::msg).context("object storage")?;
    let node = Node::new(config);
    logs::follow(&node);
    users::load(&node, &startup.users)?;
    node.configure_process();
    if let Some(file) = &startup.file {
        node.use_config_file(file);
    }
    let config = &node.engine().config;
    let io = IoThreads::start(&node, io_threads(config)).context("starting the I/O threads")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        node.mark_loading();
        let grpc = Arc::new(grpc::Service::new(&node, io_threads(config)));
        listen::start(&node, io, Arc::clone(&grpc)).await?;
        info!("Server initialized");
        let loading = node.clone();
        let loaded = tokio::task::spawn_blocking(move || loading.load()).await?;
        loaded.map_err(anyhow::Error::msg).context("the data could not be loaded; nothing was started")?;
        node.start_cron();
        grpc.start()?;
        node.start_replication().map_err(anyhow::Error::msg)?;
        let config = &node.engine().config;
        process::tell_supervisor(config);
        if config.get("port") != "0" {
            info!("Ready to accept connections tcp");
        }
        if !config.get("unixsocket").is_empty() {
            info!("Ready to accept connections unix");
        }
        wait_for_end(&node).await
    })
}

/// Waits for SHUTDOWN, SIGTERM or SIGINT.
async fn wait_for_end(node: &Node) -> Result<Exit> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        let parameter = tokio::select! {
            exit = node.ended() => return Ok(exit),
            _ = terminate.recv() => {
                info!("Received SIGTERM scheduling shutdown...");
                "shutdown-on-sigterm"
            }
            _ = interrupt.recv() => {
                info!("Received SIGINT scheduling shutdown...");
                "shutdown-on-sigint"
            }
        };
        let ending = node.clone();
        let shut_down = tokio::task::spawn_blocking(move || ending.shutdown(parameter));
        let again = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tokio::select! {
            shut_down = shut_down => match shut_down? {
                Ok(()) => return Ok(node.ended().await),
                Err(reason) => error!("not shutting down: {reason}"),
            },
            () = again => {
                error!("asked a second time: ending at once, whatever is not on disk");
                std::process::exit(1);
            }
        }
    }
}

/// The number of I/O threads: as configured, or one per core this process may use.
fn io_threads(config: &Config) -> usize {
    match config.get("io-threads").parse() {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
        Ok(threads) => threads,
    }
}

/// Checks the data folder before anything depends on it.
fn enter_folder(config: &Config) -> Result<()> {
    let dir = config.get("dir");
    let full = std::fs::canonicalize(&dir).with_context(|| format!("the data folder {dir:?} (parameter dir)"))?;
    if !full.is_dir() {
        anyhow::bail!("the data folder {dir:?} (parameter dir) is not a folder");
    }
    if let Err(reason) = config.set("dir", &full.to_string_lossy(), false) {
        warn!("dir: {reason}");
    }
    Ok(())
}
