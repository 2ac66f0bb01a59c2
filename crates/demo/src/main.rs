//! The tour that `cargo xtask demo` takes: real text embeddings through every door of a server, and back from disk.
//!
//! It starts the server on a fresh data folder, loads a data set, asks the same questions over RESP, gRPC and Python,
//! measures recall against the exact neighbours, takes a snapshot, restarts from it, attaches a replica, and compares
//! answers and digests at each stage. Anything that differs ends the tour with an error: it is a test one can watch.
//!
//! Not a benchmark: client and server share the machine, and one question is asked at a time.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod durability;
mod grpc;
mod options;
mod python;
mod report;
mod search;
mod server;
mod texts;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use quiver_client::{Blocking, Options as ClientOptions};

use options::Options;
use report::Report;
use server::Server;
use texts::Texts;

/// The vector set that the tour fills: elements are row numbers of the data set.
const KEY: &str = "glosses";
/// Neighbours asked for and compared.
const K: usize = 10;
/// What the bundled embeddings must reach with the server's default settings.
const RECALL_MIN: f64 = 0.95;

fn main() -> ExitCode {
    match Options::parse(std::env::args_os().skip(1)).and_then(|options| tour(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe tour ended early: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tour(options: &Options) -> Result<()> {
    let set = Texts::load(&options.dataset).context("the data set cannot be read")?;
    // Kept on failure, so that the logs can be read; removed at the end of a tour that went well.
    let folder = tempfile::Builder::new().prefix("quiver-demo-").disable_cleanup(true).tempdir()?;
    let mut report = Report::new();
    report.note(&format!("data folder and logs: {}", folder.path().display()));

    report.heading("Start");
    let primary = durability::start(options, folder.path(), "primary", &[])?;
    report.fact("listening", &format!("{} (RESP), process {}", primary.server.address(), primary.server.pid()));
    let mut client = connect(&primary.server)?;
    search::ordinary_keys(&mut client, &mut report)?;

    report.heading("Load");
    search::load(&mut client, &set, &mut report)?;

    report.heading("Search over RESP");
    let (answers, measured) = search::over_resp(&mut client, &set, &mut report)?;
    let mut results = vec![("RESP", measured)];

    if let Some(port) = primary.grpc_port {
        report.heading("Search over gRPC");
        results.push(("gRPC", grpc::search(port, &set, &answers, &mut report)?));
    }
    if options.python.is_some() {
        report.heading("Search from Python");
        results.push(("Python", python::search(options, &primary.server)?));
    }
    for (door, measured) in &results {
        ensure!(measured.recall >= RECALL_MIN, "recall@{K} over {door} is {:.3}, wanted {RECALL_MIN}", measured.recall);
    }

    report.heading("Snapshot and restart");
    let primary = durability::restart(options, primary, client, &set, &answers, &mut report)?;

    report.heading("Replica");
    let replica = durability::replicate(options, folder.path(), &primary, &set, &mut report)?;

    report.heading("Stop");
    for (name, server) in [("replica", replica), ("primary", primary)] {
        server.server.shutdown().with_context(|| format!("ending the {name}"))?;
        report.fact(name, "ended in order");
    }
    std::fs::remove_dir_all(folder.path()).context("removing the data folder")?;
    report.table(&results);
    Ok(())
}

/// A RESP3 connection to `server`.
fn connect(server: &Server) -> Result<Blocking> {
    Blocking::connect_with(&server.address().to_string(), &ClientOptions::resp3())
        .with_context(|| format!("connecting to {}", server.address()))
}
