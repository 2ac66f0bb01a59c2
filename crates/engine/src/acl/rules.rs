//! What a user may do: state, passwords and selectors, changed by the rules of ACL SETUSER.
//!
//! Passwords are kept as their SHA-256 only. A given password is hashed and compared with every stored one, each in full,
//! so the time tells neither which one came close nor how close.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::acl::ordered::Ordered;
use crate::acl::selector::{Rights, Selector};

/// A rule that cannot be applied, in Redis' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "each variant is its message")]
pub enum RuleError {
    #[error("Unknown command or category name in ACL")]
    Unknown,
    #[error("Syntax error")]
    Syntax,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    AllKeys,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try \
         'resetchannels' to start with an empty list of channels"
    )]
    AllChannels,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    #[error("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")]
    BadHash,
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgOfSubcommand,
}

type Hash = [u8; 32];

/// What a user may do.
#[derive(Clone, Debug)]
pub struct Rules {
    /// May log in.
    pub enabled: bool,
    /// Any password will do.
    pub nopass: bool,
    /// Payloads of RESTORE are checked in depth.
    pub sanitize_payload: bool,
    passwords: Ordered<Hash, ()>,
    /// The user's own permissions first, then those in parentheses.
    pub selectors: Vec<Selector>,
}

impl Rules {
    /// A new user: off, without a password or permissions.
    pub fn new(all_channels: bool) -> Self {
        Self {
            enabled: false,
            nopass: false,
            sanitize_payload: true,
            passwords: Ordered::default(),
            selectors: vec![Selector::new(all_channels)],
        }
    }

    /// The default user as the server starts: everything, without a password.
    pub fn everything() -> Self {
        let mut rules = Self::new(true);
        for rule in ["+@all", "~*", "&*", "on", "nopass"] {
            rules.apply(rule.as_bytes(), true).expect("rules without arguments apply");
        }
        rules
    }

    /// Whether there is nothing to check.
    pub fn is_unrestricted(&self) -> bool {
        self.selectors.iter().any(Selector::is_unrestricted)
    }

    /// Applies one rule; `all_channels` is what a reset user may listen to.
    ///
    /// # Errors
    /// What is wrong with it; nothing changed then.
    pub fn apply(&mut self, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            b"sanitize-payload" => self.sanitize_payload = true,
            b"skip-sanitize-payload" => self.sanitize_payload = false,
            b"clearselectors" => self.selectors.truncate(1),
            b"reset" => *self = Self::new(all_channels),
            _ => return self.apply_prefixed(rule),
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(hash(password)),
            [b'#', hex @ ..] => self.add_password(parse_hash(hex)?),
            [b'<', password @ ..] => return self.remove_password(&hash(password)),
            [b'!', hex @ ..] => return self.remove_password(&parse_hash(hex)?),
            [b'(', inner @ ..] => {
                let inner = inner.strip_suffix(b")").ok_or(RuleError::Syntax)?;
                let mut selector = Selector::new(false);
                for rule in inner.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
                    selector.apply(rule)?;
                }
                self.selectors.push(selector);
            }
            _ => return self.selectors[0].apply(rule),
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Hash) {
        self.nopass = false;
        self.passwords.add(hash, ());
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), RuleError> {
        if self.passwords.remove(hash) { Ok(()) } else { Err(RuleError::NoSuchPassword) }
    }

    /// Whether this password opens the account.
    pub fn accepts(&self, password: &[u8]) -> bool {
        if !self.enabled {
            return false;
        }
        if self.nopass {
            return true;
        }
        let given = hash(password);
        self.passwords.iter().fold(false, |found, (stored, ())| found | same(&given, stored))
    }

    /// The stored hashes, in hexadecimal.
    pub fn passwords(&self) -> Vec<String> {
        self.passwords.iter().map(|(hash, ())| hash.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
    }

    /// The flags, as ACL GETUSER lists them.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        flags.extend(self.nopass.then_some("nopass"));
        flags.push(if self.sanitize_payload { "sanitize-payload" } else { "skip-sanitize-payload" });
        flags
    }

    /// Everything as the rules that make it.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = self.flags().iter().map(|flag| flag.as_bytes().to_vec()).collect();
        parts.extend(self.passwords().iter().map(|hash| format!("#{hash}").into_bytes()));
        parts.push(self.selectors[0].describe());
        parts.extend(self.selectors[1..].iter().map(|selector| [b"(", &*selector.describe(), b")"].concat()));
        parts.join(&b' ')
    }

    /// The channels these rules allow, all selectors together; `None` for every channel.
    pub fn channels(&self) -> Option<Vec<&[u8]>> {
        if self.selectors.iter().any(|selector| selector.all_channels) {
            return None;
        }
        Some(self.selectors.iter().flat_map(|s| s.channels.iter().map(|(pattern, ())| &**pattern)).collect())
    }

    /// Whether a selector that allows the command lets every key be read.
    pub(crate) fn reads_every_key(&self, allows: impl Fn(&Selector) -> bool) -> bool {
        let all = |selector: &Selector| {
            selector.all_keys || selector.keys.iter().any(|(pattern, rights)| **pattern == *b"*" && rights.read)
        };
        self.selectors.iter().any(|selector| allows(selector) && all(selector))
    }

    /// Whether one of the selectors that `allows` picks may read every key that begins with `prefix`: a pattern of theirs
    /// is a beginning of it and a star.
    pub(crate) fn reads_keys_beginning(&self, prefix: &[u8], allows: impl Fn(&Selector) -> bool) -> bool {
        let plain = |text: &[u8]| !text.iter().any(|byte| b"*?[\\".contains(byte));
        let covers = |pattern: &[u8]| {
            pattern.split_last().is_some_and(|(last, start)| *last == b'*' && plain(start) && prefix.starts_with(start))
        };
        let all = |selector: &Selector| {
            selector.all_keys || selector.keys.iter().any(|(pattern, rights)| rights.read && covers(pattern))
        };
        self.selectors.iter().any(|selector| allows(selector) && all(selector))
    }
}

impl Rights {
    /// Whether a pattern with these rights opens a key for what is needed.
    pub(crate) fn opens(self, pattern: &[u8], key: &[u8], needed: Self) -> bool {
        self.cover(needed) && crate::glob::matches(pattern, key)
    }
}

fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

fn parse_hash(hex: &[u8]) -> Result<Hash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RuleError::BadHash),
    };
    let mut hash = [0; 32];
    if hex.len() != 2 * hash.len() {
        return Err(RuleError::BadHash);
    }
    for (byte, [high, low]) in hash.iter_mut().zip(hex.as_chunks::<2>().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(hash)
}

/// Looks at every byte whatever the first ones were.
fn same(a: &Hash, b: &Hash) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
}

/// Joins the words of a rule in parentheses that was given as several arguments.
///
/// # Errors
/// The word that opens a parenthesis nobody closes.
pub fn merge_parentheses(words: &[&[u8]]) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut merged: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut opened_at: Option<usize> = None;
    for (at, word) in words.iter().enumerate() {
        match (opened_at, merged.last_mut()) {
            (Some(_), Some(rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
                if word.ends_with(b")") {
                    opened_at = None;
                }
            }
            _ => {
                merged.push(word.to_vec());
                if word.starts_with(b"(") && !word.ends_with(b")") {
                    opened_at = Some(at);
                }
            }
        }
    }
    match opened_at {
        Some(at) => Err(words[at].to_vec()),
        None => Ok(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(rules: &[&str]) -> String {
        let mut user = Rules::new(false);
        rules.iter().for_each(|rule| user.apply(rule.as_bytes(), false).unwrap());
        String::from_utf8(user.describe()).unwrap()
    }

    #[test]
    fn a_user_is_described_by_rules_that_make_it_again() {
        for rules in [
            &["on", ">secret", "~a*", "%R~b", "&c", "+@read", "-get", "+config|get"][..],
            &["reset", "nopass", "allkeys", "allchannels", "allcommands", "-debug"],
            &["(~a +get)", "(%W~b &c -@all +set)", "+select|0", "skip-sanitize-payload"],
        ] {
            let text = described(rules);
            let (words, mut again) = (text.split(' ').map(str::as_bytes).collect::<Vec<_>>(), Rules::new(false));
            for rule in merge_parentheses(&words).unwrap() {
                again.apply(&rule, false).unwrap();
            }
            assert_eq!(String::from_utf8(again.describe()).unwrap(), text);
        }
    }

    #[test]
    fn a_rule_replaces_what_it_overrides_in_the_description() {
        let commands = |rules: &[&str]| described(rules).split("resetchannels ").nth(1).unwrap().to_owned();
        assert_eq!(commands(&["+config|get", "+config|set", "-config"]), "-@all -config");
        assert_eq!(commands(&["+get", "+set", "-get"]), "-@all +set -get");
        assert_eq!(commands(&["+@read", "-@read", "+client|id"]), "-@all -@read +client|id");
        assert_eq!(commands(&["+get", "+@all", "-acl"]), "+@all -acl");
    }

    #[test]
    fn passwords_open_only_what_they_were_given_for() {
        let mut user = Rules::new(false);
        user.apply(b">one", false).unwrap();
        user.apply(b">two", false).unwrap();
        assert!(!user.accepts(b"one"), "the user is off");
        user.apply(b"on", false).unwrap();
        assert!(user.accepts(b"one") && user.accepts(b"two") && !user.accepts(b"three") && !user.accepts(b""));
        user.apply(b"<one", false).unwrap();
        assert!(!user.accepts(b"one"));
        assert_eq!(user.apply(b"<one", false), Err(RuleError::NoSuchPassword));
        assert_eq!(user.apply(b"#abc", false), Err(RuleError::BadHash));
        user.apply(b"nopass", false).unwrap();
        assert!(user.accepts(b"anything"));
    }

    #[test]
    fn a_hundred_thousand_patterns_take_no_quadratic_time() {
        let mut user = Rules::new(false);
        for i in 0..100_000 {
            user.apply(format!("~key:{i}:*").as_bytes(), false).unwrap();
            user.apply(format!("&channel:{i}").as_bytes(), false).unwrap();
            user.apply(format!("+select|{i}").as_bytes(), false).unwrap();
        }
        assert_eq!(user.channels().unwrap().len(), 100_000);
    }
}
