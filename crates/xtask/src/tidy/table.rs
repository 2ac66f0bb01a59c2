//! Holds the two tables of `crates/README.md` against `cargo metadata`.
//!
//! First table, one row per member: `| crate | job | may depend on | unsafe |`. A normal or build dependency on
//! another member must be listed; `any` lifts the limit (development tools); tests may use what they like.
//! `unsafe` is `no` exactly when all roots of the crate say `#![forbid(unsafe_code)]`.
//!
//! Second table: `| external crate | only in | why |`. Whoever else names that crate outside its tests is reported.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use crate::project::{Member, Project};

const PAGE: &str = "crates/README.md";

/// Differences between the page and the workspace.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let path = project.root.join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let crates = rows(&page, "crate")?;
    let homes = rows(&page, "external crate")?;
    let mut problems = unmatched(project, &crates);
    for member in &project.members {
        if let Some(row) = crates.get(&member.folder) {
            problems.extend(edges(project, member, row));
            problems.extend(unsafety(project, member, row)?);
        }
        problems.extend(strangers(member, &homes));
    }
    Ok(problems)
}

/// The table whose head starts with the cell `first`: cells of each row by the name in its first cell.
fn rows(page: &str, first: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let head = format!("| {first} |");
    let table: Vec<&str> =
        page.lines().skip_while(|line| !line.starts_with(&head)).take_while(|line| line.starts_with('|')).collect();
    let rows = table.get(2..).with_context(|| format!("{PAGE} has no table that starts with `{head}`"))?;
    let mut found = BTreeMap::new();
    for row in rows {
        let cells: Vec<String> = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        for name in names(&cells[0]) {
            found.insert(name, cells.clone());
        }
    }
    Ok(found)
}

/// The names in backquotes of one cell.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn unmatched(project: &Project, crates: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let absent = project.members.iter().filter(|member| !crates.contains_key(&member.folder));
    let gone = crates.keys().filter(|name| project.member(name).is_none());
    absent
        .map(|member| format!("{PAGE}: the crate `{}` has no row in the table", member.folder))
        .chain(gone.map(|name| format!("{PAGE}: the row `{name}` names no member of the workspace")))
        .collect()
}

fn edges(project: &Project, member: &Member, row: &[String]) -> Vec<String> {
    let allowed = row.get(2).map_or("", String::as_str);
    if allowed == "any" {
        return Vec::new();
    }
    let allowed: BTreeSet<String> = names(allowed).into_iter().collect();
    let actual = member.dependencies.iter().filter(|line| !line.dev);
    let inner = actual.filter_map(|line| project.members.iter().find(|other| other.package == line.package));
    inner
        .filter(|other| !allowed.contains(&other.folder))
        .map(|other| {
            format!(
                "{PAGE}: `{}` may not depend on `{}`; remove the edge, or give the reason and list it",
                member.folder, other.folder
            )
        })
        .collect()
}

fn unsafety(project: &Project, member: &Member, row: &[String]) -> Result<Vec<String>> {
    let says_no = row.get(3).is_some_and(|cell| cell == "no");
    let mut problems = Vec::new();
    for root in &member.roots {
        let text = std::fs::read_to_string(root).with_context(|| format!("reading {}", root.display()))?;
        let shown = root.strip_prefix(&project.root).unwrap_or(root).display().to_string();
        match (says_no, text.contains("#![forbid(unsafe_code)]")) {
            (true, false) => problems.push(format!(
                "{shown}: needs #![forbid(unsafe_code)], {PAGE} says `{}` has no unsafe code",
                member.folder
            )),
            (false, true) => problems
                .push(format!("{shown}: forbids unsafe code; write `no` in the row `{}` of {PAGE}", member.folder)),
            _ => {}
        }
    }
    Ok(problems)
}

fn strangers(member: &Member, homes: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let outside_tests = member.dependencies.iter().filter(|line| !line.dev);
    outside_tests
        .filter_map(|line| Some((line, homes.get(&line.package)?)))
        .filter(|(_, row)| !names(row.get(1).map_or("", String::as_str)).contains(&member.folder))
        .map(|(line, row)| format!("{PAGE}: `{}` names `{}`, whose home is {}", member.folder, line.package, row[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Dependency;

    const TABLE: &str = "text\n\n| crate | job | may depend on | unsafe |\n|---|---|---|---|\n\
                         | `resp` | bytes | – | no |\n| `grpc` | service | `node`, `resp` | no |\n\nmore\n\n\
                         | external crate | only in | why |\n|---|---|---|\n| `tonic`, `prost` | `grpc` | heavy |\n";

    fn member(folder: &str, dependencies: &[(&str, bool)]) -> Member {
        Member {
            package: format!("quiver-{folder}"),
            folder: folder.to_owned(),
            roots: Vec::new(),
            dependencies: dependencies
                .iter()
                .map(|(package, dev)| Dependency { package: (*package).to_owned(), dev: *dev })
                .collect(),
        }
    }

    fn project(members: Vec<Member>) -> Project {
        Project::with_members(members)
    }

    #[test]
    fn an_edge_that_the_table_does_not_list_is_reported() {
        let rows = rows(TABLE, "crate").unwrap();
        let project = project(vec![
            member("resp", &[("quiver-grpc", false)]),
            member("grpc", &[("quiver-resp", false), ("anyhow", false)]),
        ]);
        assert_eq!(edges(&project, &project.members[0], &rows["resp"]).len(), 1);
        assert!(edges(&project, &project.members[1], &rows["grpc"]).is_empty());
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let rows = rows(TABLE, "crate").unwrap();
        let project = project(vec![member("resp", &[("quiver-grpc", true), ("tonic", true)]), member("grpc", &[])]);
        assert!(edges(&project, &project.members[0], &rows["resp"]).is_empty());
        assert!(strangers(&project.members[0], &super::rows(TABLE, "external crate").unwrap()).is_empty());
    }

    #[test]
    fn an_external_crate_outside_its_home_is_reported() {
        let homes = rows(TABLE, "external crate").unwrap();
        assert_eq!(strangers(&member("resp", &[("prost", false)]), &homes).len(), 1);
        assert!(strangers(&member("grpc", &[("prost", false), ("tonic", false)]), &homes).is_empty());
    }

    #[test]
    fn rows_without_a_crate_and_crates_without_a_row_are_reported() {
        let rows = rows(TABLE, "crate").unwrap();
        let problems = unmatched(&project(vec![member("resp", &[]), member("node", &[])]), &rows);
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn a_page_without_the_table_is_an_error() {
        assert!(rows("nothing here", "crate").is_err());
    }
}
