//! Python for tests and the demo: finds an interpreter, keeps a virtual environment in `.venv`, builds the package into it.
//!
//! Nothing is installed outside `.venv`. The packages are fetched once and again only when the list here changes.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::project::{Project, capture, run};

/// Cargo's name of the Python package's native module.
pub(crate) const PACKAGE: &str = "quiverdb-python";

const OLDEST: (u32, u32) = (3, 9);
const TOOLS: &[&str] = &[
    "grpcio",
    "grpcio-health-checking",
    "grpcio-reflection",
    "grpcio-tools",
    "maturin>=1.9,<2",
    "mypy",
    "numpy",
    "pandas",
    "pandas-stubs",
    "polars",
    "pyarrow",
    "pyright",
    "pytest",
    "redis",
    "redisvl",
    "tqdm",
];
/// Half a gigabyte, and it pins what others want newer: in an environment of its own, where it is asked for.
const FEAST: &[&str] = &["feast[redis]", "pytest"];
const ABSENT: &str = "no Python 3.9 or newer found: install one (Debian and Ubuntu: `apt install python3 python3-venv`; \
                      Fedora: `dnf install python3`; macOS: `brew install python`) or name it in the variable PYTHON";

/// A Python of at least version 3.9: `$PYTHON`, else the first that fits on the PATH.
pub(crate) fn find() -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os("PYTHON") {
        let chosen = PathBuf::from(chosen);
        return match version(&chosen) {
            Some(found) if found >= OLDEST => Ok(chosen),
            Some((major, minor)) => {
                bail!("PYTHON={} is {major}.{minor}, 3.9 is the oldest that will do", chosen.display())
            }
            None => bail!("PYTHON={} does not start", chosen.display()),
        };
    }
    let plain = ["python3", "python"].map(str::to_owned);
    let versioned = (OLDEST.1..=20).rev().map(|minor| format!("python3.{minor}"));
    let mut candidates = plain.into_iter().chain(versioned).map(PathBuf::from);
    candidates.find(|candidate| version(candidate).is_some_and(|found| found >= OLDEST)).context(ABSENT)
}

/// The project's virtual environment.
pub(crate) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// `.venv` with [`TOOLS`].
    pub(crate) fn ensure(project: &Project) -> Result<Self> {
        Self::with(project, ".venv", TOOLS)
    }

    /// `.venv/feast` with [`FEAST`].
    pub(crate) fn feast(project: &Project) -> Result<Self> {
        Self::with(project, ".venv/feast", FEAST)
    }

    /// Makes an environment if there is none that works, and installs `tools` if they are not those installed last.
    fn with(project: &Project, folder: &str, tools: &[&str]) -> Result<Self> {
        let venv = Self { folder: project.root.join(folder) };
        if version(&venv.python()).is_none() {
            let python = find()?;
            println!("      making {folder} with {}", python.display());
            run(project.command(&python).args(["-m", "venv", "--clear"]).arg(&venv.folder))
                .context("Python cannot make a virtual environment (Debian and Ubuntu: `apt install python3-venv`)")?;
        }
        let receipt = venv.folder.join("quiver-tools.txt");
        let wanted = tools.join("\n");
        if std::fs::read_to_string(&receipt).is_ok_and(|installed| installed == wanted) {
            return Ok(venv);
        }
        println!("      installing {} into {folder}", tools.join(" "));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(project.command(venv.python()).args(pip).args(tools)).context("pip could not install the tools")?;
        std::fs::write(&receipt, wanted).with_context(|| format!("writing {}", receipt.display()))?;
        Ok(venv)
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// Builds `python/` with maturin and links it into this environment; `options` such as `--release`.
    pub(crate) fn develop(&self, project: &Project, options: &[&str]) -> Result<()> {
        run(project
            .command(self.program("maturin"))
            .args(["develop", "--quiet", "--manifest-path", "python/Cargo.toml"])
            .args(options)
            .env("VIRTUAL_ENV", &self.folder)
            .env_remove("CONDA_PREFIX")) // maturin refuses two environments at once
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let folder = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder.join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}

/// Major and minor version, or `None` if the program does not start or is no Python.
fn version(python: &PathBuf) -> Option<(u32, u32)> {
    let script = "import sys; print(*sys.version_info[:2])";
    let printed = capture(std::process::Command::new(python).args(["-c", script])).ok()?;
    let (major, minor) = printed.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
