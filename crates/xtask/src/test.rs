//! `cargo xtask test`: everything CI runs, cheapest first.
//!
//! One build serves all steps. Every cargo call covers the workspace in the `dev` profile, so features resolve the
//! same way each time; only clippy has artefacts of its own (it checks without generating code), and maturin builds
//! the one package that the others leave out, under the PyO3 settings of `.cargo/config.toml`.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::codegen;
use crate::project::{Project, capture, run};
use crate::python;
use crate::steps::{Step, run_named};
use crate::tidy;

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        what: "formatting of all Rust code",
        remedy: "run `cargo fmt --all` (no rustfmt? `rustup component add rustfmt`)",
        run: |project| run(project.cargo().args(["fmt", "--all", "--check"])),
    },
    Step {
        name: "tidy",
        what: "dependency table, headers, forbidden leftovers",
        remedy: "each line above names the file and the cure",
        run: tidy::run,
    },
    Step {
        name: "data",
        what: "bundled data sets against their checksums",
        remedy: "each line above names the file and the cure",
        run: |project| run(project.command(python::find()?).args(["datasets/generate.py", "check"])),
    },
    Step {
        name: "codegen",
        what: "generated gRPC code against proto/",
        remedy: "run `cargo xtask codegen` and commit what changed",
        run: |_| codegen::codegen(true),
    },
    Step {
        name: "clippy",
        what: "lints of all targets, warnings are errors",
        remedy: "fix what is reported; where a lint is wrong, `#[expect(clippy::name, reason = \"..\")]`",
        run: |project| run(project.cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    },
    Step {
        name: "build",
        what: "server, tools and test programs",
        remedy: "fix what the compiler reports; \"linker `cc` not found\" means that a C compiler must be installed",
        run: |project| run(project.cargo().arg("build").args(SELECTION).args(["--lib", "--bins", "--tests"])),
    },
    Step {
        name: "rust",
        what: "Rust tests",
        remedy: "run one alone with `cargo test -p PACKAGE NAME -- --nocapture`",
        run: rust_tests,
    },
    Step {
        name: "oracle",
        what: "random commands compared with a real Redis, and its data moved here and back",
        remedy: "each difference above comes with the commands that led to it; more in crates/README.md",
        run: oracle,
    },
    Step {
        name: "failover",
        what: "three servers killed, promoted and cut off under load, compared after each time",
        remedy: "each failure above names the cycle, the server and what differs",
        run: failover,
    },
    Step {
        name: "doc",
        what: "examples in the documentation",
        remedy: "the example named above is out of date with the code beside it",
        run: |project| run(project.cargo().args(["test", "--quiet", "--doc"]).args(SELECTION)),
    },
    Step {
        name: "venv",
        what: "Python tools in .venv",
        remedy: "needs Python 3.9 or newer with venv, and PyPI; a damaged .venv can be deleted",
        run: |project| python::Venv::ensure(project).map(drop),
    },
    Step {
        name: "wheel",
        what: "Python package built into .venv",
        remedy: "fix what maturin reports above",
        run: |project| python::Venv::ensure(project)?.develop(project, &[]),
    },
    Step {
        name: "types",
        what: "annotations and stubs of the Python package",
        remedy: "run alone with `.venv/bin/mypy --strict quiverdb` and `.venv/bin/pyright quiverdb` in python/",
        run: python_types,
    },
    Step {
        name: "python",
        what: "Python tests against the server just built",
        remedy: "run one alone with `.venv/bin/python -m pytest python/tests -k NAME`",
        run: python_tests,
    },
];

/// All packages but the Python module, which only maturin links (clippy checks it with the others).
const SELECTION: [&str; 3] = ["--workspace", "--exclude", python::PACKAGE];

/// Runs all steps, or those named in `only`, in the order of the table.
pub(crate) fn run_steps(project: &Project, only: &[&str]) -> Result<()> {
    run_named(project, "test", STEPS, only)
}

/// Prints the steps and what they do.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<10} {}", step.name, step.what);
    }
}

/// With cargo-nextest where it is installed (each test in a process of its own), else with cargo's own runner.
fn rust_tests(project: &Project) -> Result<()> {
    let nextest = capture(project.cargo().args(["nextest", "--version"])).is_ok();
    let runner: &[&str] = if nextest { &["nextest", "run", "--no-fail-fast"] } else { &["test", "--no-fail-fast"] };
    run(project.cargo().args(runner).args(SELECTION).args(["--lib", "--bins", "--tests"]))
}

/// 10^5 commands. Where no Redis 8 can be had the step says so and passes.
fn oracle(project: &Project) -> Result<()> {
    let found = project
        .command(project.root.join(".ci/oracle"))
        .arg(project.target.join("oracle"))
        .stderr(Stdio::inherit())
        .output()?;
    if found.status.code() == Some(3) {
        println!("      SKIPPED: put a redis-server of version 8 on the PATH to run it");
        return Ok(());
    }
    ensure!(found.status.success(), ".ci/oracle failed");
    let redis = String::from_utf8(found.stdout)?;
    let mut driver = project.command(project.binary("debug", "differential"));
    driver.args(["--count", "6000", "--known-only", "--again"]);
    let server = project.binary("debug", "quiver-server");
    run(driver.env("QUIVER_SERVER", &server).env("QUIVER_ORACLE", redis.trim()))?;
    let mut migrate = project.command(project.binary("debug", "migrate"));
    run(migrate.args(["--keys", "50"]).env("QUIVER_SERVER", &server).env("QUIVER_ORACLE", redis.trim()))
}

fn failover(project: &Project) -> Result<()> {
    let mut harness = project.command(project.binary("debug", "failover"));
    // A debug build on a busy machine is given more time than a server is.
    run(harness
        .args(["--cycles", "12", "--within-ms", "10000"])
        .env("QUIVER_SERVER", project.binary("debug", "quiver-server")))
}

fn python_types(project: &Project) -> Result<()> {
    let venv = python::Venv::ensure(project)?;
    let folder = project.root.join("python");
    run(project.command(venv.program("mypy")).args(["--strict", "quiverdb"]).current_dir(&folder))?;
    let mut pyright = project.command(venv.program("pyright"));
    run(pyright.arg("--pythonpath").arg(venv.python()).args(["quiverdb", "examples"]).current_dir(&folder))
}

fn python_tests(project: &Project) -> Result<()> {
    let server = project.binary("debug", "quiver-server");
    if !server.is_file() {
        bail!("{} is missing: run `cargo xtask test build` first", server.display());
    }
    let venv = python::Venv::ensure(project)?;
    let tests = |venv: &python::Venv, path| {
        let mut pytest = project.command(venv.python());
        pytest.args(["-m", "pytest", "-q", path]).env("QUIVER_SERVER", &server).env("PYTHONPATH", "python");
        run(&mut pytest).context("Python tests")
    };
    tests(&venv, "python/tests")?;
    if std::env::var_os("QUIVER_FEAST").is_some() {
        tests(&python::Venv::feast(project)?, "python/tests/test_feast.py")?;
    }
    Ok(())
}
