//! Small files that are replaced as a whole: users, configuration.

use std::fs::{self, File};
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use quiver_engine::Engine;
use quiver_engine::acl::lines;
use quiver_engine::config_file;

/// Puts `content` in the place of the file: written beside it, on disk before it is renamed, so that whoever reads sees
/// the old file or the new one. Permissions stay as they were.
pub(crate) fn replace(path: &str, content: &[u8]) -> Result<()> {
    // Through a symbolic link, not in its place.
    let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let mut temporary = target.clone().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = write_and_rename(Path::new(&temporary), &target, content);
    if written.is_err() {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_and_rename(temporary: &Path, target: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(temporary)?;
    if let Ok(known) = fs::metadata(target) {
        file.set_permissions(known.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(temporary, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// CONFIG REWRITE: the file as it should be, where it differs.
pub(crate) fn rewrite_config(engine: &Engine, path: &str, all: bool) -> Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let in_file = engine.config.get("aclfile").is_empty();
    let users: Vec<String> = engine.users.all().iter().map(|user| shown(&lines::line_of(user))).collect();
    let new = config_file::rewrite(&old, &engine.config, in_file.then_some(&users), all);
    if new == old { Ok(()) } else { replace(path, new.as_bytes()) }
}

/// The line of a user without its first word.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.strip_prefix("user ").unwrap_or(&text).to_owned()
}
