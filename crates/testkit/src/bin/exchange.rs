//! Carries snapshot files between Quiver and a real server, both ways: `exchange --large`.
//!
//! The real server (`QUIVER_ORACLE`) is filled with one of everything and saves; Quiver (`QUIVER_SERVER`, or the binary
//! beside this one) loads its file and must hold the same. Quiver saves in turn, and the real server must load that.
//! With `--keep NAME` the real server's file and its content as text are kept as a fixture. Ends with status 1 when
//! contents differ.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use quiver_testkit::corpus::{Dump, Size, differences, dump, fill};
use quiver_testkit::{Connection, Server};

/// Carry snapshot files between Quiver and a real server.
#[derive(Debug, Parser)]
struct Arguments {
    /// Collections of thousands of elements.
    #[arg(long)]
    large: bool,
    /// Keep the real server's file and its content as NAME.rdb and NAME.txt.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What both servers are started with.
const SETTINGS: &[&str] = &["--enable-debug-command", "yes"];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let size = if arguments.large { Size::Large } else { Size::Small };
    let (theirs, ours) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut out = std::io::stdout().lock();

    let server = oracle(theirs.path())?;
    let mut connection = server.connect()?;
    let refused = fill(&mut |words| Ok(connection.call(words)?.value), size)?;
    let filled = content(&mut connection)?;
    save(&mut connection)?;
    drop(server);
    writeln!(out, "the real server holds {} keys; it refused {refused} commands", filled.len())?;
    if let Some(name) = &arguments.keep {
        keep(name, &theirs.path().join("dump.rdb"), &filled)?;
    }

    carry(theirs.path(), ours.path())?;
    let server = quiver(ours.path())?;
    let mut connection = server.connect()?;
    let loaded = content(&mut connection)?;
    let mut found = report(&mut out, "Quiver loads what the real server saved", &loaded, &filled)?;
    save(&mut connection)?;
    drop(server);

    let back = tempfile::tempdir()?;
    carry(ours.path(), back.path())?;
    let server = oracle(back.path())?;
    let returned = content(&mut server.connect()?)?;
    found += report(&mut out, "the real server loads what Quiver saved", &loaded, &returned)?;
    Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn oracle(folder: &Path) -> Result<Server> {
    let with_debug = Server::start_oracle_in(folder, SETTINGS);
    // Servers before 7.0 know no such parameter.
    let server = with_debug.or_else(|_| Server::start_oracle_in(folder, &[]))?;
    server.context("set QUIVER_ORACLE")
}

fn quiver(folder: &Path) -> Result<Server> {
    let program = match std::env::var_os("QUIVER_SERVER") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?.with_file_name("quiver-server"),
    };
    Server::start_in(&program, folder, SETTINGS)
}

fn content(connection: &mut Connection) -> Result<Dump> {
    dump(&mut |words| Ok(connection.call(words)?.value))
}

fn save(connection: &mut Connection) -> Result<()> {
    let reply = connection.call(&["SAVE"])?.value;
    ensure!(reply.as_str() == Some("OK"), "SAVE answers {reply:?}");
    Ok(())
}

fn carry(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from.join("dump.rdb"), to.join("dump.rdb")).context("the saved file")?;
    Ok(())
}

fn keep(name: &Path, file: &Path, content: &Dump) -> Result<()> {
    let with = |extension| PathBuf::from(format!("{}.{extension}", name.display()));
    std::fs::copy(file, with("rdb"))?;
    let lines: Vec<String> =
        content.iter().map(|(key, text)| format!("{key}\t{}\n", text.replace('\n', " // "))).collect();
    Ok(std::fs::write(with("txt"), lines.concat())?)
}

fn report(out: &mut impl Write, what: &str, ours: &Dump, theirs: &Dump) -> Result<usize> {
    let found = differences(ours, theirs);
    writeln!(out, "{what}: {} keys, {} differences", ours.len(), found.len())?;
    for difference in &found {
        writeln!(out, "{difference}")?;
    }
    Ok(found.len())
}
