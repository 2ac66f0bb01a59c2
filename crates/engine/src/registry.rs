//! The command table at run time: every entry of `commands/*.rs`, found by name.

use std::sync::OnceLock;

use quiver_resp::Argv;

use crate::command::{Begin, Command, Find, Flags, Group, Locks};
use crate::commands::TABLES;
use crate::error::{CommandError, quote_within, quote_word};
use crate::long::Cost;
use crate::prefetch::element_at;

/// A command or subcommand with what is derived from its entry.
#[derive(Debug)]
pub struct Entry {
    /// The entry.
    pub command: &'static Command,
    /// Position in [`Registry::entries`]; indexes statistics.
    pub id: usize,
    /// "get", or "config|get".
    pub full_name: &'static str,
    /// Exactly one key, behind the name.
    pub one_key: bool,
    /// May run under the locks of a pipelined batch.
    pub groupable: bool,
    /// Runs a script.
    pub runs_script: bool,
    /// The name clients call it by; empty when they may not.
    called: String,
    /// How its work grows.
    pub cost: Cost,
    /// It is worth asking whether it takes long.
    pub may_be_long: bool,
    /// With so many words it is too quick to be worth timing by itself.
    pub(crate) quick_words: usize,
    /// Where it names the element of its collection that it is about.
    pub(crate) element_at: Option<usize>,
    /// First subcommand in the entries, and their number.
    children: (usize, usize),
}

/// All entries, and an open-addressing table from names to those at the top.
#[derive(Debug)]
pub struct Registry {
    entries: Vec<Entry>,
    top: usize,
    slots: Vec<u16>,
}

/// Longest command name; longer words are unknown without a look.
const NAME_MAX: usize = 32;
const FREE: u16 = u16::MAX;
const SLOTS: usize = 2048;

/// The registry of this process.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::build(RENAMED.get().map_or(&[], Vec::as_slice)))
}

/// Commands under other names: the old name and the new one, which is empty for a command that nobody may run.
static RENAMED: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Gives commands other names (`rename-command`). Only before the registry is used for the first time.
///
/// # Errors
/// Which line is wrong, in Redis' words.
pub fn rename(names: Vec<(String, String)>) -> Result<(), &'static str> {
    let known = |name: &str| commands().any(|command| command.name.eq_ignore_ascii_case(name));
    let mut taken: Vec<&str> = Vec::new();
    for (old, new) in &names {
        if !known(old) {
            return Err("No such command in rename-command");
        }
        if known(new) || taken.iter().any(|other| !new.is_empty() && other.eq_ignore_ascii_case(new)) {
            return Err("Target command name already exists");
        }
        taken.push(new);
    }
    // Without a renamed command there is nothing to remember, and with one the server has just begun.
    if names.is_empty() { Ok(()) } else { RENAMED.set(names).map_err(|_| "commands are renamed at the start only") }
}

/// Every top-level command.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().flat_map(|table| table.iter())
}

impl Registry {
    fn build(renamed: &[(String, String)]) -> Self {
        let mut entries: Vec<Entry> =
            commands().enumerate().map(|(id, command)| Entry::new(id, command, None)).collect();
        for (old, new) in renamed {
            for entry in entries.iter_mut().filter(|entry| entry.command.name.eq_ignore_ascii_case(old)) {
                entry.called = new.to_ascii_lowercase();
            }
        }
        let top = entries.len();
        for parent in 0..top {
            let (container, first) = (entries[parent].command, entries.len());
            entries[parent].children = (first, container.subcommands.len());
            for sub in container.subcommands {
                entries.push(Entry::new(entries.len(), sub, Some(container)));
            }
        }
        let mut registry = Self { entries, top, slots: vec![FREE; SLOTS] };
        assert!(registry.top * 2 < SLOTS, "the name table must stay sparse");
        for id in 0..registry.top {
            let called = registry.entries[id].called.as_bytes();
            if called.is_empty() || called.len() > NAME_MAX {
                continue;
            }
            let slot = registry.slot_of(called);
            assert_eq!(registry.slots[slot], FREE, "two commands share a name");
            registry.slots[slot] = id as u16;
        }
        registry
    }

    /// Every entry, subcommands included.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The top-level entries.
    pub fn top(&self) -> &[Entry] {
        &self.entries[..self.top]
    }

    /// The subcommands of a container.
    pub fn subcommands(&self, entry: &Entry) -> &[Entry] {
        &self.entries[entry.children.0..entry.children.0 + entry.children.1]
    }

    /// Finds a top-level command by name, ASCII case ignored.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        if name.len() > NAME_MAX {
            return None;
        }
        let mut lower = [0u8; NAME_MAX];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        match self.slots[self.slot_of(lower)] {
            FREE => None,
            id => Some(&self.entries[id as usize]),
        }
    }

    /// Finds by full name ("config|get" or "get").
    pub fn find_full(&self, name: &[u8]) -> Option<&Entry> {
        match name.iter().position(|b| *b == b'|') {
            None => self.find(name),
            Some(bar) => self.find_sub(self.find(&name[..bar])?, &name[bar + 1..]),
        }
    }

    /// Finds a subcommand.
    pub fn find_sub(&self, container: &Entry, name: &[u8]) -> Option<&Entry> {
        self.subcommands(container).iter().find(|sub| name.eq_ignore_ascii_case(sub.command.name.as_bytes()))
    }

    /// The entry a request names, whatever its arity.
    pub fn named(&self, argv: Argv<'_>) -> Option<&Entry> {
        let entry = self.find(argv.get(0)?)?;
        match argv.get(1) {
            Some(sub) if entry.children.1 > 0 => self.find_sub(entry, sub),
            _ => Some(entry),
        }
    }

    /// The entry a request names, arity checked, with Redis' errors for what is not there.
    #[inline]
    pub fn resolve(&self, argv: Argv<'_>) -> Result<&Entry, CommandError> {
        let Some(mut entry) = self.find(argv.at(0)) else { return Err(unknown(argv)) };
        if entry.children.1 > 0 && argv.len() > 1 {
            entry = match self.find_sub(entry, argv.at(1)) {
                Some(sub) => sub,
                None if entry.command.name == "command" && argv.len() == 1 => entry,
                None => return Err(unknown_sub(entry, argv)),
            };
        }
        if entry.command.accepts(argv.len()) { Ok(entry) } else { Err(wrong_arity(entry)) }
    }

    /// The slot that holds `lower` or where it would stand.
    #[inline]
    fn slot_of(&self, lower: &[u8]) -> usize {
        let mut hash = lower.len() as u64;
        for chunk in lower.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 29;
        }
        let mut slot = (hash >> 32) as usize % SLOTS;
        loop {
            match self.slots[slot] {
                FREE => return slot,
                id if self.entries[id as usize].called.as_bytes() == lower => return slot,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }
}

/// The names of a batch. A pipeline is mostly runs of one command, spelled alike: then one comparison finds it.
#[derive(Default)]
pub(crate) struct Names<'a> {
    last: Option<(&'a [u8], &'static Entry)>,
}

impl<'a> Names<'a> {
    /// [`Registry::resolve`].
    #[inline]
    pub(crate) fn resolve(
        &mut self,
        registry: &'static Registry,
        argv: Argv<'a>,
    ) -> Result<&'static Entry, CommandError> {
        let name = argv.at(0);
        if let Some((last, entry)) = self.last
            && last == name
            && entry.command.accepts(argv.len())
        {
            return Ok(entry);
        }
        let entry = registry.resolve(argv)?;
        self.last =
            (entry.command.subcommands.is_empty() && entry.full_name == entry.command.name).then_some((name, entry));
        Ok(entry)
    }
}

impl Entry {
    fn new(id: usize, command: &'static Command, parent: Option<&'static Command>) -> Self {
        let full_name: &'static str = match parent {
            None => command.name,
            // Leaked once per process: the table lives as long as it does.
            Some(parent) => Box::leak(format!("{}|{}", parent.name, command.name).into_boxed_str()),
        };
        let one_key = matches!(
            command.keys,
            [spec] if matches!((spec.begin, spec.find), (Begin::Index(1), Find::Range { last: 0, .. }))
        );
        let quick =
            matches!(command.group, Group::Connection) && command.flags.has(Flags::FAST) && command.keys.is_empty();
        let runs_script = command.flags.has(Flags::SCRIPT_RUNNER);
        let groupable = runs_script
            || command.locks == Locks::Keys
                && !command.flags.any(Flags::BLOCKING.with(Flags::MOVABLEKEYS))
                && (!command.keys.is_empty() && command.group != Group::Transactions
                    || quick && command.name == "ping");
        let cost = Cost::of(full_name);
        let quick_words = quick_words(command, cost);
        let may_be_long = cost != Cost::Words || command.locks == Locks::Transaction;
        let element_at = element_at(command, one_key);
        Self {
            command,
            id,
            full_name,
            one_key,
            groupable,
            runs_script,
            called: command.name.to_owned(),
            cost,
            may_be_long,
            quick_words,
            element_at,
            children: (0, 0),
        }
    }

    /// Indices of all keys of a request.
    pub fn key_positions(&self, argv: Argv<'_>) -> impl Iterator<Item = usize> {
        self.command.keys.iter().filter_map(move |spec| spec.positions(argv)).flatten()
    }
}

/// The longest request of a command that cannot be slow: any if its cost is constant, a short one if it is fast for each
/// of its words, one without the number if it has as much to do as that says.
fn quick_words(command: &Command, cost: Cost) -> usize {
    const FEW: usize = 8;
    let (complexity, fast) = (command.complexity, command.flags.has(Flags::FAST));
    match cost {
        _ if complexity == "O(1)" || fast && !complexity.starts_with("O(N)") => usize::MAX,
        Cost::Words if fast => FEW,
        Cost::Number if fast => 2,
        _ => 0,
    }
}

/// What Redis has as modules quotes its names in upper case.
fn wrong_arity(entry: &Entry) -> CommandError {
    if entry.command.flags.has(Flags::MODULE) {
        CommandError::Arity(entry.full_name.to_ascii_uppercase().into())
    } else {
        CommandError::Arity(entry.full_name.into())
    }
}

fn unknown(argv: Argv<'_>) -> CommandError {
    let mut args = String::new();
    for word in argv.iter().skip(1) {
        if args.len() >= 128 {
            break;
        }
        let room = 128 - args.len();
        args.push_str(&format!("'{}' ", quote_within(word, room)));
    }
    CommandError::UnknownCommand { name: quote_word(argv.at(0)), args }
}

fn unknown_sub(container: &Entry, argv: Argv<'_>) -> CommandError {
    CommandError::UnknownSubcommand {
        name: quote_word(argv.at(1)),
        container: container.command.name.to_ascii_uppercase(),
    }
}
