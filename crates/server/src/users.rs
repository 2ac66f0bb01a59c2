//! The users a server starts with: `user` lines of its configuration, or those of the ACL file.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use quiver_engine::acl::lines;
use quiver_node::Node;

/// Reads the users. A mistake ends the start: a server without the users it was told to have is an open one.
///
/// # Errors
/// What is wrong, with the place.
pub(crate) fn load(node: &Node, configured: &[Vec<String>]) -> Result<()> {
    let config = &node.engine().config;
    let path = config.get("aclfile");
    let all_channels = config.get("acl-pubsub-default") == "allchannels";
    if path.is_empty() {
        return define(node, configured, all_channels);
    }
    if !configured.is_empty() {
        bail!("users are defined in the configuration file and in an ACL file (aclfile {path}): only one can be used");
    }
    let text = std::fs::read(&path).with_context(|| format!("the ACL file {path:?} (parameter aclfile)"))?;
    let users = lines::parse_file(&path, &text, all_channels).map_err(anyhow::Error::msg)?;
    node.engine().users.replace_all(users);
    Ok(())
}

fn define(node: &Node, configured: &[Vec<String>], all_channels: bool) -> Result<()> {
    let mut users = BTreeMap::new();
    for words in configured {
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        lines::parse_line(&mut users, &words, all_channels)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("user {}", String::from_utf8_lossy(words.get(1).unwrap_or(&b"".as_slice()))))?;
    }
    for (name, rules) in users {
        node.engine().users.put(&name, rules);
    }
    Ok(())
}
