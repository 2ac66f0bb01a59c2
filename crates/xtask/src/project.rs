//! Where things are: the repository, its build folder, its members as cargo sees them, and how programs are started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The repository that this program was started for.
pub(crate) struct Project {
    /// Top folder of the repository.
    pub(crate) root: PathBuf,
    /// Build folder, wherever cargo's configuration puts it.
    pub(crate) target: PathBuf,
    /// Members of the workspace in cargo's order.
    pub(crate) members: Vec<Member>,
    cargo: PathBuf,
}

/// One package of the workspace.
pub(crate) struct Member {
    /// Name in `Cargo.toml`, such as `quiver-resp`.
    pub(crate) package: String,
    /// Name of its folder, such as `resp`: what `crates/README.md` calls it.
    pub(crate) folder: String,
    /// Roots of its library and binaries.
    pub(crate) roots: Vec<PathBuf>,
    /// What it declares to depend on.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a member's `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
pub(crate) struct Dependency {
    /// Package name.
    pub(crate) package: String,
    /// Declared under `[dev-dependencies]`: only tests and benches see it.
    pub(crate) dev: bool,
}

impl Project {
    /// Asks cargo about the workspace of the current folder.
    pub(crate) fn locate() -> Result<Self> {
        let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        if let Some(manifest_dir) = std::env::var_os("CARGO_MANIFEST_DIR") {
            command.current_dir(manifest_dir); // set by `cargo run`: works from any folder
        }
        let metadata: Value = serde_json::from_str(&capture(&mut command)?).context("reading `cargo metadata`")?;
        let members = list(&metadata, "packages")?.iter().map(member).collect::<Result<_>>()?;
        Ok(Self {
            root: text(&metadata, "workspace_root")?.into(),
            target: text(&metadata, "target_directory")?.into(),
            members,
            cargo,
        })
    }

    /// A workspace of nothing but `members`, for tests of the checks.
    #[cfg(test)]
    pub(crate) fn with_members(members: Vec<Member>) -> Self {
        Self { root: PathBuf::new(), target: PathBuf::new(), members, cargo: PathBuf::new() }
    }

    /// The cargo that runs this program, started in the repository.
    pub(crate) fn cargo(&self) -> Command {
        self.command(&self.cargo)
    }

    /// A program started in the repository, with Python's output passed on line by line.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PYTHONUNBUFFERED", "1");
        command
    }

    /// A binary of this workspace in the build folder of `profile` (`debug` or `release`).
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// The member in the folder `folder`.
    pub(crate) fn member(&self, folder: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.folder == folder)
    }

    /// Files that are in git or would be added by `git add`, relative to the root; in a copy without git, all files
    /// that are not the results of building and testing.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        if !self.root.join(".git").exists() {
            walk(&self.root, Path::new(""), &mut files)?;
            return Ok(files);
        }
        let options = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let names = capture(self.command("git").args(options))?;
        files.extend(names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from));
        files.retain(|file| self.root.join(file).is_file());
        Ok(files)
    }
}

/// Appends the files below `root/folder`, leaving out the folders that building and testing make.
fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    const MADE: [&str; 4] = ["target", ".venv", "__pycache__", ".pytest_cache"];
    let place = root.join(folder);
    for entry in std::fs::read_dir(&place).with_context(|| format!("reading {}", place.display()))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if !MADE.iter().any(|made| entry.file_name() == *made) {
            walk(root, &path, files)?;
        }
    }
    Ok(())
}

/// Runs a program with this one's terminal; an exit code other than 0 is an error that names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program and returns what it wrote to its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", shown(command)))
}

/// The command line as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

fn member(package: &Value) -> Result<Member> {
    let manifest = PathBuf::from(text(package, "manifest_path")?);
    let path = manifest.parent().context("a manifest has a folder")?;
    let folder = path.file_name().context("a package has a folder of its own")?.to_string_lossy().into_owned();
    let mut roots = Vec::new();
    for target in list(package, "targets")? {
        let kinds = list(target, "kind")?;
        if kinds.iter().any(|kind| ["lib", "bin", "cdylib"].contains(&kind.as_str().unwrap_or_default())) {
            roots.push(text(target, "src_path")?.into());
        }
    }
    let dependencies = list(package, "dependencies")?
        .iter()
        .map(|line| Ok(Dependency { package: text(line, "name")?.to_owned(), dev: line["kind"] == "dev" }))
        .collect::<Result<_>>()?;
    Ok(Member { package: text(package, "name")?.to_owned(), folder, roots, dependencies })
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value[key].as_array().with_context(|| format!("`cargo metadata` has no list `{key}`"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("`cargo metadata` has no text `{key}`"))
}
