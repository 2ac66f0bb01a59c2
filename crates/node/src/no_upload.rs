//! What stands in the place of `upload.rs` where this is built without object storage: who asks for it is refused.

use std::path::Path;
use std::time::Duration;

use quiver_engine::config::Config;
use tracing::warn;

/// What is said to those who ask.
const WITHOUT: &str = "this server was built without object storage (features object-storage, cloud)";

/// No uploads.
#[derive(Debug, Default)]
pub(crate) struct Uploads;

#[expect(clippy::unused_self, reason = "it stands in the place of one that has something")]
impl Uploads {
    pub(crate) fn offer(&self, config: &Config, path: &Path) {
        if !config.get("snapshot-upload-url").is_empty() {
            warn!("{} is not uploaded: {WITHOUT}", path.display());
        }
    }

    pub(crate) fn finish(&self, _: Duration) -> bool {
        true
    }

    pub(crate) fn info(&self, _: &Config, _: &mut String) {}
}

/// Refuses parameters that cannot be followed.
///
/// # Errors
/// One of them is set.
pub fn restore(config: &Config) -> Result<(), String> {
    let set = ["restore-from", "snapshot-upload-url"].into_iter().find(|name| !config.get(name).is_empty());
    set.map_or(Ok(()), |name| Err(format!("{name}: {WITHOUT}")))
}
