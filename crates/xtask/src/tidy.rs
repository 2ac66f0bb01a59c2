//! The project's own rules, those that no compiler or linter checks.
//!
//! - [`layout`]: the top folder holds what it should and nothing else; only dependencies that are used are declared.
//! - [`table`]: the tables in `crates/README.md` agree with what cargo sees: who depends on whom, which crates may
//!   name an external dependency, which forbid unsafe code.
//! - [`sources`]: every file says what it is, nothing unfinished or of one person's machine is left behind.
//!
//! All problems are reported at once, each with its place and its cure.

mod layout;
mod sources;
mod table;

use anyhow::{Result, bail};

use crate::project::Project;

/// Runs all checks.
pub(crate) fn run(project: &Project) -> Result<()> {
    let mut problems = layout::check(project)?;
    problems.extend(table::check(project)?);
    problems.extend(sources::check(project)?);
    for problem in &problems {
        eprintln!("      {problem}");
    }
    if !problems.is_empty() {
        bail!("tidy found {} problem(s)", problems.len());
    }
    Ok(())
}
