//! `cargo xtask demo`: builds everything in release and takes the tour of `crates/demo`.

use anyhow::Result;

use crate::project::{Project, run};
use crate::python::Venv;
use crate::steps::{Step, run_named};

const STEPS: &[Step] = &[
    Step {
        name: "venv",
        what: "Python tools in .venv",
        remedy: "needs Python 3.9 or newer with venv, and PyPI; a damaged .venv can be deleted",
        run: |project| Venv::ensure(project).map(drop),
    },
    Step {
        name: "build",
        what: "server and tour in release (some minutes the first time)",
        remedy: "fix what the compiler reports; \"linker `cc` not found\" means that a C compiler must be installed",
        run: |project| {
            run(project.cargo().args(["build", "--release", "--package", "quiver-server", "--package", "quiver-demo"]))
        },
    },
    Step {
        name: "wheel",
        what: "Python package built in release into .venv",
        remedy: "fix what maturin reports above",
        run: |project| Venv::ensure(project)?.develop(project, &["--release"]),
    },
    Step {
        name: "tour",
        what: "load, search, snapshot, restart, replicate",
        remedy: "the last line above says which part failed; the servers' own logs are in the folder it names",
        run: tour,
    },
];

/// Runs the demo from building to the last comparison, or only the steps named in `only`.
pub(crate) fn run_steps(project: &Project, only: &[&str]) -> Result<()> {
    run_named(project, "demo", STEPS, only)
}

fn tour(project: &Project) -> Result<()> {
    let venv = Venv::ensure(project)?;
    run(project
        .command(project.binary("release", "quiver-demo"))
        .arg("--server")
        .arg(project.binary("release", "quiver-server"))
        .arg("--python")
        .arg(venv.python())
        .args(["--script", "python/examples/demo.py", "--dataset", "datasets/wordnet-minilm-5k"]))
}
