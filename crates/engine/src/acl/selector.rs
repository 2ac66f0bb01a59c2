//! A selector: one set of permissions of a user, complete in itself (commands, keys, channels).
//!
//! Commands are a bitmap by the id of the registry, so a check costs one load and one test; the words that led to it are
//! kept as well, because ACL LIST prints them and because they say more than the bits (categories, first arguments).
//! The rules are those of <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::acl::ordered::Ordered;
use crate::acl::rules::RuleError;
use crate::command::{Acl, KeyFlags};
use crate::registry::{Entry, registry};

type Bytes = Box<[u8]>;

/// What a key pattern allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Rights {
    pub(crate) const ALL: Self = Self { read: true, write: true };

    /// What a command needs that uses a key in this way. What neither returns nor changes data (EXISTS) needs no more
    /// than any pattern that matches.
    pub(crate) fn needed(flags: KeyFlags) -> Self {
        Self {
            read: flags.has(KeyFlags::ACCESS),
            write: flags.any(KeyFlags::INSERT.with(KeyFlags::UPDATE).with(KeyFlags::DELETE)),
        }
    }

    pub(crate) fn cover(self, needed: Self) -> bool {
        (self.read || !needed.read) && (self.write || !needed.write)
    }

    fn prefix(self) -> &'static str {
        match (self.read, self.write) {
            (true, false) => "%R~",
            (false, true) => "%W~",
            _ => "~",
        }
    }
}

/// One set of permissions.
#[derive(Clone, Debug)]
pub struct Selector {
    pub(crate) all_keys: bool,
    pub(crate) all_channels: bool,
    /// Every command, without a look at the bits.
    pub(crate) all_commands: bool,
    /// The words begin with `+@all` rather than `-@all`.
    from_all: bool,
    commands: Box<[u64]>,
    /// By command: first arguments allowed although the command is not, lower case.
    first_args: BTreeMap<usize, BTreeSet<Bytes>>,
    /// The words since the last `+@all` or `-@all`: whether they allow.
    words: Ordered<Bytes, bool>,
    pub(crate) keys: Ordered<Bytes, Rights>,
    pub(crate) channels: Ordered<Bytes, ()>,
}

impl Selector {
    /// Nothing is allowed but channels, if `all_channels`.
    pub fn new(all_channels: bool) -> Self {
        Self {
            all_keys: false,
            all_channels,
            all_commands: false,
            from_all: false,
            commands: vec![0; registry().entries().len().div_ceil(64)].into_boxed_slice(),
            first_args: BTreeMap::new(),
            words: Ordered::default(),
            keys: Ordered::default(),
            channels: Ordered::default(),
        }
    }

    /// Whether there is nothing left to check.
    pub fn is_unrestricted(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// The bit of a command.
    pub(crate) fn has_command(&self, id: usize) -> bool {
        self.commands[id / 64] >> (id % 64) & 1 == 1
    }

    /// Whether the first argument is allowed although the command is not.
    pub(crate) fn has_first_arg(&self, id: usize, argument: &[u8]) -> bool {
        self.first_args.get(&id).is_some_and(|args| args.contains(argument.to_ascii_lowercase().as_slice()))
    }

    /// Applies one rule.
    ///
    /// # Errors
    /// What is wrong with it; nothing changed then.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            // Nothing is no rule and no mistake, as in Redis.
            b"" => {}
            b"allkeys" | b"~*" => self.set_all_keys(true),
            b"resetkeys" => self.set_all_keys(false),
            b"allchannels" | b"&*" => self.set_all_channels(true),
            b"resetchannels" => self.set_all_channels(false),
            b"allcommands" | b"+@all" => self.set_all_commands(true),
            b"nocommands" | b"-@all" => self.set_all_commands(false),
            _ => return self.apply_prefixed(rule),
        }
        Ok(())
    }

    fn apply_prefixed(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            [b'~' | b'%', ..] => self.add_key_pattern(rule),
            [b'&', pattern @ ..] => self.add_channel(pattern),
            [b'+', b'@', category @ ..] => self.set_category(category, true),
            [b'-', b'@', category @ ..] => self.set_category(category, false),
            [b'+', name @ ..] => self.allow(name),
            [b'-', name @ ..] => {
                let entry = registry().find_full(name).ok_or(RuleError::Unknown)?;
                self.set_command(entry, false);
                self.note(entry.full_name.as_bytes(), false);
                Ok(())
            }
            _ => Err(RuleError::Syntax),
        }
    }

    fn set_all_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_all_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn set_all_commands(&mut self, all: bool) {
        (self.all_commands, self.from_all) = (all, all);
        self.commands.fill(if all { u64::MAX } else { 0 });
        self.first_args.clear();
        self.words.clear();
    }

    fn add_key_pattern(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AllKeys);
        }
        let (rights, pattern) = parse_key_pattern(rule)?;
        let pattern: Bytes = pattern.into();
        match self.keys.get_mut(&pattern) {
            Some(known) => *known = Rights { read: known.read || rights.read, write: known.write || rights.write },
            None => self.keys.add(pattern, rights),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AllChannels);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        self.channels.add(pattern.into(), ());
        Ok(())
    }

    fn set_category(&mut self, name: &[u8], allow: bool) -> Result<(), RuleError> {
        let category = Acl::from_name(name).ok_or(RuleError::Unknown)?;
        self.note(&[b"@", name].concat(), allow);
        for entry in registry().top() {
            if entry.command.acl_categories().has(category) {
                self.set_command(entry, allow);
            }
            for sub in registry().subcommands(entry) {
                if sub.command.acl_categories().has(category) {
                    self.set_command(sub, allow);
                }
            }
        }
        Ok(())
    }

    /// `+name`, `+container|sub`, or `+name|first-argument` of a command that has no subcommands.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            let entry = registry().find(name).ok_or(RuleError::Unknown)?;
            self.set_command(entry, true);
            self.note(entry.full_name.as_bytes(), true);
            return Ok(());
        };
        let (command, argument) = (&name[..bar], &name[bar + 1..]);
        let entry = registry().find_full(command).ok_or(RuleError::Unknown)?;
        if entry.full_name.contains('|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if entry.command.subcommands.is_empty() {
            self.first_args.entry(entry.id).or_default().insert(argument.to_ascii_lowercase().into());
        } else {
            let sub = registry().find_sub(entry, argument).ok_or(RuleError::Unknown)?;
            self.set_command(sub, true);
        }
        self.note(name, true);
        Ok(())
    }

    /// Sets the bit of a command and those of its subcommands.
    fn set_command(&mut self, entry: &Entry, allow: bool) {
        let bit = 1 << (entry.id % 64);
        if allow {
            self.commands[entry.id / 64] |= bit;
        } else {
            self.commands[entry.id / 64] &= !bit;
            self.all_commands = false;
        }
        self.first_args.remove(&entry.id);
        for sub in registry().subcommands(entry) {
            self.set_command(sub, allow);
        }
    }

    /// Remembers the words of a rule; what it overrides is forgotten: the same, and what is under it.
    fn note(&mut self, name: &[u8], allow: bool) {
        let name: Bytes = name.to_ascii_lowercase().into();
        self.words.remove(&name);
        let under: Bytes = [&*name, b"|"].concat().into();
        for sub in self.words.run_of(&under, |word| word.starts_with(&under)) {
            self.words.remove(&sub);
        }
        self.words.add(name, allow);
    }

    /// The commands as words: `-@all +get ...`.
    pub fn commands_text(&self) -> String {
        let mut text = if self.from_all { "+@all" } else { "-@all" }.to_owned();
        for (word, allow) in self.words.iter() {
            let _ = write!(text, " {}{}", if *allow { '+' } else { '-' }, String::from_utf8_lossy(word));
        }
        text
    }

    /// The key patterns as words; empty for none.
    pub fn keys_text(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let words: Vec<Vec<u8>> =
            self.keys.iter().map(|(pattern, rights)| [rights.prefix().as_bytes(), pattern].concat()).collect();
        words.join(&b' ')
    }

    /// The channel patterns as words; empty for none.
    pub fn channels_text(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let words: Vec<Vec<u8>> = self.channels.iter().map(|(pattern, ())| [b"&", &**pattern].concat()).collect();
        words.join(&b' ')
    }

    /// Everything as the rules that make it: `~* resetchannels &a -@all +get`.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = vec![self.keys_text()];
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.channels_text());
        parts.push(self.commands_text().into_bytes());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn parse_key_pattern(rule: &[u8]) -> Result<(Rights, &[u8]), RuleError> {
    let (rights, pattern) = match rule {
        [b'~', pattern @ ..] => (Rights::ALL, pattern),
        _ => {
            let tilde = rule.iter().position(|byte| *byte == b'~').unwrap_or(rule.len());
            let mut rights = Rights { read: false, write: false };
            for letter in &rule[1..tilde] {
                let right = match letter.to_ascii_uppercase() {
                    b'R' => &mut rights.read,
                    b'W' => &mut rights.write,
                    _ => return Err(RuleError::Syntax),
                };
                if std::mem::replace(right, true) {
                    return Err(RuleError::Syntax);
                }
            }
            (rights, rule.get(tilde + 1..).unwrap_or_default())
        }
    };
    if !(rights.read || rights.write) || has_spaces(pattern) {
        return Err(RuleError::Syntax);
    }
    Ok((rights, pattern))
}

/// Whether a name or pattern could not be written in a line of words.
pub(crate) fn has_spaces(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
}
