//! What lies at the top of the repository, and what the workspace manifest declares.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use crate::project::Project;

const FOLDERS: &[&str] = &["benches", "crates", "datasets", "proto", "python"];
const FILES: &[&str] = &["Cargo.lock", "Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Problems with the top folder and with `[workspace.dependencies]`.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let entries: BTreeSet<String> = project
        .files()?
        .iter()
        .filter_map(|file| file.components().next())
        .map(|first| first.as_os_str().to_string_lossy().into_owned())
        .collect();
    let mut problems = top_level(&entries);
    let manifest = project.root.join("Cargo.toml");
    let manifest = std::fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let used = project.members.iter().flat_map(|member| &member.dependencies).map(|line| line.package.as_str());
    problems.extend(unused(&manifest, &used.collect()));
    Ok(problems)
}

fn top_level(entries: &BTreeSet<String>) -> Vec<String> {
    let expected = || FOLDERS.iter().chain(FILES);
    let strange = entries.iter().filter(|entry| !entry.starts_with('.') && !expected().any(|known| entry == known));
    let missing = expected().filter(|known| !entries.contains(**known));
    strange
        .map(|entry| format!("{entry}: does not belong at the top level; move it into a folder or ignore it"))
        .chain(missing.map(|entry| format!("{entry}: is missing at the top level")))
        .collect()
}

/// External names declared under `[workspace.dependencies]` that no member depends on.
fn unused(manifest: &str, used: &BTreeSet<&str>) -> Vec<String> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.contains("{ path = ")) // members of this workspace
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .filter(|name| !name.starts_with('#') && !used.contains(name))
        .map(|name| format!("Cargo.toml: no member depends on `{name}`; remove it from [workspace.dependencies]"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(extra: &[&str]) -> BTreeSet<String> {
        FOLDERS.iter().chain(FILES).chain(extra).map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn dot_files_are_free_and_other_strangers_are_reported() {
        assert!(top_level(&entries(&[".ci", ".gitignore"])).is_empty());
        assert_eq!(top_level(&entries(&["notes"])).len(), 1);
    }

    #[test]
    fn a_missing_licence_is_reported() {
        let mut present = entries(&[]);
        present.remove("LICENSE-MIT");
        assert!(top_level(&present)[0].contains("LICENSE-MIT"));
    }

    #[test]
    fn a_declared_dependency_must_have_a_user() {
        let manifest = "[workspace.dependencies]\n# note = here\nx = { path = \"x\" }\ntokio = \"1\"\nhalf = { version = \"2\" }\n[profile.dev]\nx = 1\n";
        let problems = unused(manifest, &BTreeSet::from(["tokio"]));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("`half`"));
    }
}
