//! Checks of the text of every file: headers, length, leftovers.
//!
//! Generated code (a folder named `generated`) needs no header and may be long.

use std::path::Path;

use anyhow::{Context, Result};

use crate::project::Project;

/// Above this a file's header has to give a reason in a line that starts with [`LONG`].
const LINES_MAX: usize = 1000;
const LONG: &str = "//! Long on purpose:";

/// What must not stay in the code. Spelled in two parts, so that this file does not report itself.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("todo", "!("), "finish it or open an issue"),
    (concat!("unimplemented", "!("), "finish it or return an error"),
    (concat!("#[ig", "nore"), "a test runs or is removed"),
];

/// Beginnings of paths that exist on one person's machine only.
const HOMES: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("C:\\Us", "ers")];

/// Problems in the files that are in git or about to be.
pub(super) fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in project.files()? {
        let bytes = std::fs::read(project.root.join(&file)).with_context(|| format!("reading {}", file.display()))?;
        // What is not text (arrays, images) has nothing to say here; neither has data.
        if let Ok(text) = String::from_utf8(bytes)
            && !file.starts_with("datasets/wordnet-minilm-5k")
        {
            problems.extend(check_file(&file, &text));
            if file.extension().is_some_and(|extension| extension == "md") {
                problems.extend(dead_links(project, &file, &text));
            }
        }
    }
    Ok(problems)
}

fn check_file(file: &Path, text: &str) -> Vec<String> {
    let generated = file.components().any(|part| part.as_os_str() == "generated");
    let mut problems = Vec::new();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs") if !generated => {
            problems.extend(rust_header(text));
            problems.extend(leftovers(text));
        }
        Some("py") => problems.extend(python_header(text)),
        _ => {}
    }
    problems.extend(home_paths(text));
    problems.into_iter().map(|(line, problem)| format!("{}:{line}: {problem}", file.display())).collect()
}

/// Links to files of the repository that are not there.
fn dead_links(project: &Project, file: &Path, text: &str) -> Vec<String> {
    let folder = project.root.join(file).parent().map(Path::to_owned).unwrap_or_default();
    let mut problems = Vec::new();
    for (line, content) in numbered(text) {
        for target in content.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                problems.push(format!("{}:{line}: links to {target}, which does not exist", file.display()));
            }
        }
    }
    problems
}

fn rust_header(text: &str) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        problems.push((1, "has to open with `//!` lines that say what the file is".to_owned()));
    }
    let lines = text.lines().count();
    let explained = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(LONG));
    if lines > LINES_MAX && !explained {
        problems.push((1, format!("{lines} lines: split it, or give the reason in a header line `{LONG} ..`")));
    }
    problems
}

fn python_header(text: &str) -> Option<(usize, String)> {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    let documented = ["\"\"\"", "r\"\"\""].iter().any(|quote| first.starts_with(quote));
    (!documented).then(|| (1, "has to open with a docstring that says what the file is".to_owned()))
}

fn leftovers(text: &str) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    for (line, content) in numbered(text) {
        for (leftover, cure) in LEFTOVERS.iter().filter(|(leftover, _)| content.contains(leftover)) {
            problems.push((line, format!("`{leftover}` is left: {cure}")));
        }
    }
    problems
}

fn home_paths(text: &str) -> Vec<(usize, String)> {
    numbered(text)
        .filter_map(|(line, content)| Some((line, HOMES.iter().find(|home| begins_path(content, home))?)))
        .map(|(line, home)| (line, format!("names a place of one machine (`{home}`)")))
        .collect()
}

/// Whether `home` occurs at the start of a path, not inside one (`docs/home/x` is fine).
fn begins_path(content: &str, home: &str) -> bool {
    content.match_indices(home).any(|(at, _)| {
        let before = content[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-/*}".contains(c))
    })
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, text: &str) -> Vec<String> {
        check_file(Path::new(name), text)
    }

    #[test]
    fn a_module_without_a_header_is_reported() {
        assert_eq!(problems("crates/x/src/a.rs", "use std::fmt;\n").len(), 1);
        assert!(problems("crates/x/src/a.rs", "//! What it is.\nuse std::fmt;\n").is_empty());
        assert!(problems("crates/x/src/generated/a.rs", "use std::fmt;\n").is_empty());
    }

    #[test]
    fn python_files_open_with_a_docstring_or_are_empty() {
        assert_eq!(problems("a.py", "import os\n").len(), 1);
        assert!(problems("a.py", "#!/usr/bin/env python3\n\"\"\"What it is.\"\"\"\n").is_empty());
        assert!(problems("a/__init__.py", "").is_empty());
    }

    #[test]
    fn each_leftover_is_found_with_its_line() {
        for (leftover, _) in LEFTOVERS {
            let found = problems("a.rs", &format!("//! A.\n\nfn f() {{ {leftover}) }}\n"));
            assert_eq!(found.len(), 1, "{leftover}");
            assert!(found[0].starts_with("a.rs:3:"), "{found:?}");
        }
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let body = "fn f() {}\n".repeat(LINES_MAX + 1);
        assert_eq!(problems("a.rs", &format!("//! A.\n{body}")).len(), 1);
        assert!(problems("a.rs", &format!("//! A.\n{LONG} one table.\n{body}")).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_reported_but_not_their_look_alikes() {
        for home in HOMES {
            assert_eq!(problems("a.md", &format!("see {home}me\n")).len(), 1, "{home}");
            assert!(problems("a.md", &format!("see docs{home}me\n")).is_empty(), "{home}");
        }
    }

    #[test]
    fn a_link_to_a_file_that_is_gone_is_reported() {
        let project = Project::with_members(Vec::new()); // its root is the folder tests run in: this crate's
        let page = "[here](Cargo.toml) [part](src/main.rs#l1) [web](https://example.org) [gone](gone.md)\n";
        let found = dead_links(&project, Path::new("page.md"), page);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("gone.md"));
    }
}
