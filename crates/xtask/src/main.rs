//! Project chores, run as `cargo xtask <chore>`: what CI runs, the demo, and the checks no compiler makes.
//!
//! Each chore is a list of named steps ([`steps`]) that print their number, what they run and how long they took;
//! a step that fails says what to do about it. Everything a chore makes stays inside the repository's ignored
//! folders (`target/`, `.venv/`). This package depends on no crate of the server, so that `tidy` still runs
//! when one of them does not compile.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

mod codegen;
mod demo;
mod project;
mod python;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

use project::Project;

const USAGE: &str = "\
cargo xtask <chore>

  test [step...]   everything CI runs, or only the named steps; `cargo xtask test list` names them
  demo [step...]   build in release, load real embeddings, search over RESP, gRPC and Python, restart, replicate
  codegen          compile proto/ into crates/grpc/src/generated (`--check`: only compare)
  tidy             the checks of the project's own rules: dependency table, headers, forbidden leftovers
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = Project::locate().and_then(|project| match words.as_slice() {
        ["test", "list"] => {
            test::list();
            Ok(())
        }
        ["test", steps @ ..] => test::run_steps(&project, steps),
        ["demo", steps @ ..] => demo::run_steps(&project, steps),
        ["codegen"] => codegen::codegen(false),
        ["codegen", "--check"] => codegen::codegen(true),
        ["tidy"] => tidy::run(&project),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(anyhow::anyhow!("unknown chore `{}`\n\n{USAGE}", words.join(" "))),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
