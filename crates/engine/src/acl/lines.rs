//! Users as lines `user <name> <rule> ...`: the ACL file, redis.conf, ACL LIST.

use std::collections::BTreeMap;

use crate::acl::rules::{Rules, merge_parentheses};
use crate::acl::selector::has_spaces;
use crate::acl::{User, Users};

/// A user as the line that makes it.
pub fn line_of(user: &User) -> Vec<u8> {
    [b"user ", user.name(), b" ", &*user.rules().describe()].concat()
}

/// Every user, a line each.
pub fn file_of(users: &Users) -> Vec<u8> {
    users.all().iter().flat_map(|user| [line_of(user), b"\n".to_vec()].concat()).collect()
}

/// Reads the lines of an ACL file.
///
/// # Errors
/// Everything that is wrong with them, as ACL LOAD reports it.
pub fn parse_file(path: &str, text: &[u8], all_channels: bool) -> Result<BTreeMap<Box<[u8]>, Rules>, String> {
    let (mut users, mut errors) = (BTreeMap::new(), String::new());
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
        if let Err(reason) = parse_line(&mut users, &words, all_channels) {
            errors.push_str(&format!("{path}:{}: {reason}. ", number + 1));
        }
    }
    if errors.is_empty() {
        return Ok(users);
    }
    errors.push_str("WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    Err(errors)
}

/// Adds the user a line describes.
///
/// # Errors
/// What is wrong with it.
pub fn parse_line(users: &mut BTreeMap<Box<[u8]>, Rules>, words: &[&[u8]], all_channels: bool) -> Result<(), String> {
    let [b"user", name, rules @ ..] = words else {
        return Err("should start with user keyword followed by the username".to_owned());
    };
    if has_spaces(name) {
        return Err(format!("username '{}' contains invalid characters", String::from_utf8_lossy(name)));
    }
    if users.contains_key(*name) {
        return Err(format!("WARNING: Duplicate user '{}' found", String::from_utf8_lossy(name)));
    }
    let rules = merge_parentheses(rules).map_err(|_| "Unmatched parenthesis in selector definition".to_owned())?;
    let mut user = Rules::new(all_channels);
    for rule in rules {
        user.apply(&rule, all_channels).map_err(|error| error.to_string())?;
    }
    users.insert((*name).into(), user);
    Ok(())
}
