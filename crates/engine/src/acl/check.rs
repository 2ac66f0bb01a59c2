//! A request held against the rules of a user.
//!
//! One selector must allow all of it: command, every key, every channel. When none does, the error is of the selector
//! that came furthest, as in Redis.

use std::cell::OnceCell;

use quiver_resp::Argv;

use crate::acl::User;
use crate::acl::log::{Context, Denial, Reason};
use crate::acl::rules::Rules;
use crate::acl::selector::{Rights, Selector};
use crate::command::{Flags, KeyFlags};
use crate::commands::command::keys_in;
use crate::commands::describe::shown_name;
use crate::engine::Engine;
use crate::error::{CommandError, quote_within};
use crate::registry::Entry;
use crate::session::{Role, Session};

/// What a selector did not allow. Ordered by how far the check came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command or subcommand.
    Command,
    /// The key at this index of the argument vector.
    Key(usize),
    /// The channel at this index.
    Channel(usize),
}

impl Denied {
    /// The error a client gets.
    pub fn error(self, user: &User, entry: &Entry) -> CommandError {
        match self {
            Self::Command => CommandError::owned(format!(
                "NOPERM User {} has no permissions to run the '{}' command",
                user.shown_name(),
                shown_name(entry)
            )),
            Self::Key(_) => CommandError::text("NOPERM No permissions to access a key"),
            Self::Channel(_) => CommandError::text("NOPERM No permissions to access a channel"),
        }
    }

    /// The same with names, for ACL DRYRUN.
    pub fn explain(self, user: &User, entry: &Entry, argv: Argv<'_>) -> String {
        let word = |at: usize| quote_within(argv.get(at).unwrap_or_default(), usize::MAX);
        let name = user.shown_name();
        match self {
            Self::Command => format!("User {name} has no permissions to run the '{}' command", shown_name(entry)),
            Self::Key(at) => format!("User {name} has no permissions to access the '{}' key", word(at)),
            Self::Channel(at) => format!("User {name} has no permissions to access the '{}' channel", word(at)),
        }
    }

    /// Why a queued command is refused although it was taken.
    pub fn since_queued(self) -> CommandError {
        let reason = match self {
            Self::Command => "no permission to execute the command or subcommand",
            Self::Key(_) => "no permission to touch the specified keys",
            Self::Channel(_) => "no permission to access one of the channels used as arguments to the command",
        };
        CommandError::owned(format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
             command is no longer allowed for the following reason: {reason}"
        ))
    }
}

/// A request with its keys, found once however many selectors look at them.
struct Request<'a> {
    entry: &'a Entry,
    argv: Argv<'a>,
    keys: OnceCell<Vec<(usize, KeyFlags)>>,
}

impl Rules {
    /// Checks a request.
    ///
    /// # Errors
    /// What stood in the way.
    pub fn check(&self, entry: &Entry, argv: Argv<'_>) -> Result<(), Denied> {
        let request = Request { entry, argv, keys: OnceCell::new() };
        let mut furthest = Denied::Command;
        for selector in &self.selectors {
            match selector.check(&request) {
                Ok(()) => return Ok(()),
                Err(denied) => furthest = furthest.max(denied),
            }
        }
        Err(furthest)
    }

    /// Whether a channel may be listened or published to; a pattern must be allowed as it is written.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allows_channel(channel, is_pattern))
    }
}

impl Selector {
    fn check(&self, request: &Request<'_>) -> Result<(), Denied> {
        let Request { entry, argv, keys } = request;
        if !self.allows_command(entry, *argv) {
            return Err(Denied::Command);
        }
        if !self.all_keys && !entry.command.keys.is_empty() {
            for (at, flags) in keys.get_or_init(|| keys_in(entry, *argv)) {
                if !flags.has(KeyFlags::NOT_KEY) && !self.allows_key(argv.at(*at), *flags) {
                    return Err(Denied::Key(*at));
                }
            }
        }
        if !self.all_channels && entry.command.flags.has(Flags::PUBSUB) {
            let (channels, are_patterns) = channels_of(entry, *argv);
            for at in channels {
                if !self.allows_channel(argv.at(at), are_patterns) {
                    return Err(Denied::Channel(at));
                }
            }
        }
        Ok(())
    }

    fn allows_command(&self, entry: &Entry, argv: Argv<'_>) -> bool {
        self.all_commands
            || entry.command.flags.has(Flags::NO_AUTH)
            || self.has_command(entry.id)
            || argv.get(1).is_some_and(|argument| self.has_first_arg(entry.id, argument))
    }

    fn allows_key(&self, key: &[u8], flags: KeyFlags) -> bool {
        let needed = Rights::needed(flags);
        self.keys.iter().any(|(pattern, rights)| rights.opens(pattern, key, needed))
    }

    fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|(allowed, ())| {
                if is_pattern { **allowed == *channel } else { crate::glob::matches(allowed, channel) }
            })
    }
}

/// Where the channels of a request stand, and whether they are patterns. Leaving a channel needs no permission.
fn channels_of(entry: &Entry, argv: Argv<'_>) -> (std::ops::Range<usize>, bool) {
    match entry.full_name {
        "publish" | "spublish" => (1..2, false),
        "subscribe" | "ssubscribe" => (1..argv.len(), false),
        "psubscribe" => (1..argv.len(), true),
        _ => (0..0, false),
    }
}

impl Selector {
    /// Whether a command may use keys in this way that are not among its words.
    fn opens<'k>(
        &self,
        entry: &Entry,
        argv: Argv<'_>,
        mut keys: impl Iterator<Item = &'k [u8]>,
        flags: KeyFlags,
    ) -> bool {
        self.allows_command(entry, argv) && (self.all_keys || keys.all(|key| self.allows_key(key, flags)))
    }
}

impl User {
    /// Whether a command lets this user read every key, as SORT's patterns do.
    pub fn reads_every_key(&self, entry: &Entry, argv: Argv<'_>) -> bool {
        self.is_unrestricted() || self.rules().reads_every_key(|selector| selector.allows_command(entry, argv))
    }

    /// Whether a command lets this user read every key that begins so, as a search in an index of such keys does.
    pub fn reads_keys_beginning(&self, entry: &Entry, argv: Argv<'_>, prefix: &[u8]) -> bool {
        self.is_unrestricted()
            || self.rules().reads_keys_beginning(prefix, |selector| selector.allows_command(entry, argv))
    }
}

impl Engine {
    /// Checks keys that a command of a restricted user has made of its words, and writes down what is refused. What
    /// comes from a primary is not checked.
    ///
    /// # Errors
    /// The user may not use one of them in this way.
    pub fn check_made_keys(
        &self,
        session: &Session,
        entry: &'static Entry,
        argv: Argv<'_>,
        keys: &[impl AsRef<[u8]>],
        flags: KeyFlags,
        now_ms: i64,
    ) -> Result<(), CommandError> {
        let user = &session.user;
        if session.role == Role::Primary || user.is_unrestricted() {
            return Ok(());
        }
        let opens = |keys: &[&[u8]]| {
            user.rules().selectors.iter().any(|selector| selector.opens(entry, argv, keys.iter().copied(), flags))
        };
        let all: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        if opens(&all) {
            return Ok(());
        }
        // Where no key is to blame alone, it is one of them.
        let object = all.iter().find(|key| !opens(&[**key])).or(all.first()).copied().unwrap_or_default();
        let denial = Denial { reason: Reason::Key, context: Context::of(session), object, username: user.name() };
        self.log_denial(session, entry, &denial, now_ms);
        Err(CommandError::text("NOPERM No permissions to access a key"))
    }

    /// Checks a request of a restricted user, and writes down what is refused.
    ///
    /// # Errors
    /// What stood in the way.
    #[cold]
    pub fn check_permissions(
        &self,
        session: &Session,
        entry: &'static Entry,
        argv: Argv<'_>,
        context: Context,
        now_ms: i64,
    ) -> Result<(), Denied> {
        let checked = session.user.rules().check(entry, argv);
        if let Err(denied) = checked {
            let shown = shown_name(entry);
            let object = match denied {
                Denied::Command => shown.as_bytes(),
                Denied::Key(at) | Denied::Channel(at) => argv.at(at),
            };
            let denial = Denial { reason: denied.into(), context, object, username: session.user.name() };
            self.log_denial(session, entry, &denial, now_ms);
        }
        checked
    }
}
