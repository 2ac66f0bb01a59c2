//! The options that XADD and XTRIM share, and those that only XADD has.

use std::borrow::Cow;

use quiver_resp::Argv;

use super::super::args::{integer, is};
use super::delete::condition;
use super::{BAD_ID, exact_id};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::digest::Digest;
use crate::error::CommandError;
use crate::session::Role;
use crate::types::stream::id::Wanted;
use crate::types::stream::trim::{References, Threshold, Trim};

/// How a producer names its message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message<'a> {
    /// IDMPAUTO: by its content.
    Auto(&'a [u8]),
    /// IDMP.
    Named(&'a [u8], &'a [u8]),
}

/// The options of both commands.
#[derive(Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) no_mkstream: bool,
    pub(super) references: Option<References>,
    pub(super) message: Option<Message<'a>>,
    pub(super) threshold: Option<Threshold>,
    pub(super) approximate: bool,
    limit: Option<u64>,
    pub(super) wanted: Option<Wanted>,
    /// Where the id stands; behind it are the fields.
    pub(super) id_at: usize,
}

impl<'a> Options<'a> {
    /// Reads the words from the second on; XADD's up to the id. A primary's stream says exactly what to remove, but may
    /// still carry the LIMIT that it arrived at it with.
    pub(super) fn parse(argv: Argv<'a>, xadd: bool, from: Role) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while let Some(word) = argv.get(at) {
            let more = argv.len() - 1 - at;
            if xadd && word == b"*" {
                options.wanted = Some(Wanted::Auto);
                break;
            }
            if let Some(references) = condition(word).filter(|_| options.references.is_none()) {
                options.references = Some(references);
            } else if is(word, "maxlen") && more > 0 {
                at = options.threshold_words(argv, at)?;
                options.threshold = Some(Threshold::MaxLen(not_negative(argv.at(at), "MAXLEN")?));
            } else if is(word, "minid") && more > 0 {
                at = options.threshold_words(argv, at)?;
                options.threshold = Some(Threshold::MinId(exact_id(argv.at(at))?));
            } else if is(word, "limit") && more > 0 {
                at += 1;
                options.limit = Some(not_negative(argv.at(at), "LIMIT")?);
            } else if xadd && is(word, "nomkstream") {
                options.no_mkstream = true;
            } else if xadd && is(word, "idmpauto") && more >= 1 {
                options.set_message(Message::Auto(argv.at(at + 1)))?;
                at += 1;
            } else if xadd && is(word, "idmp") && more >= 2 {
                options.set_message(Message::Named(argv.at(at + 1), argv.at(at + 2)))?;
                at += 2;
            } else if xadd {
                options.wanted = Some(Wanted::parse(word).ok_or(BAD_ID)?);
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        options.id_at = at;
        options.check(xadd, from)?;
        if from == Role::Primary {
            options.limit = Some(0);
        }
        Ok(options)
    }

    /// Steps over a strategy and its operator: where its threshold stands.
    fn threshold_words(&mut self, argv: Argv<'_>, at: usize) -> Result<usize, CommandError> {
        if self.threshold.is_some() {
            return Err(CommandError::text(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let has_operator = argv.len() - 1 - at >= 2 && matches!(argv.at(at + 1), b"~" | b"=");
        self.approximate = has_operator && argv.at(at + 1) == b"~";
        Ok(at + 1 + usize::from(has_operator))
    }

    fn set_message(&mut self, message: Message<'a>) -> CommandResult {
        const EMPTY_PRODUCER: CommandError = CommandError::text("ERR IDMP/IDMPAUTO requires a non-empty producer ID");
        const EMPTY_MESSAGE: CommandError = CommandError::text("ERR IDMP requires a non-empty idempotent ID");
        if self.message.is_some() {
            return Err(CommandError::text("ERR IDMP/IDMPAUTO specified multiple times"));
        }
        match message {
            Message::Auto(b"") | Message::Named(b"", _) => return Err(EMPTY_PRODUCER),
            Message::Named(_, b"") => return Err(EMPTY_MESSAGE),
            _ => self.message = Some(message),
        }
        Ok(())
    }

    /// What options may not be without each other.
    fn check(&self, xadd: bool, from: Role) -> CommandResult {
        if self.limit.is_some_and(|limit| limit > 0) && self.threshold.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            ));
        }
        if !xadd && self.threshold.is_none() {
            return Err(CommandError::text(
                "ERR syntax error, XTRIM must be called with at least one trimming strategy",
            ));
        }
        if self.limit.is_some() && !self.approximate && from != Role::Primary {
            return Err(CommandError::text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
        }
        Ok(())
    }

    /// What to trim, if anything.
    pub(super) fn trim(&self, ctx: &Ctx<'_>) -> Option<Trim> {
        /// Most entries removed at once where the configuration would allow more.
        const LIMIT_MAX: u64 = 1_000_000;
        let per_block = ctx.engine.config.stream_node_max_entries() as u64;
        let limit = match self.limit {
            _ if !self.approximate => 0,
            Some(limit) => limit,
            None if per_block == 0 => 10_000,
            None => per_block.saturating_mul(100).min(LIMIT_MAX),
        };
        let references = self.references.unwrap_or_default();
        Some(Trim { threshold: self.threshold?, approximate: self.approximate, limit, references })
    }
}

fn not_negative(text: &[u8], name: &str) -> Result<u64, CommandError> {
    u64::try_from(integer(text)?).map_err(|_| CommandError::owned(format!("ERR The {name} argument must be >= 0.")))
}

/// Producer and name of a message.
pub(super) fn named<'a>(message: Message<'a>, words: &[&[u8]]) -> (&'a [u8], Cow<'a, [u8]>) {
    match message {
        Message::Named(producer, name) => (producer, name.into()),
        Message::Auto(producer) => {
            let digest = Digest::of(words).bytes();
            (producer, digest[..16].to_vec().into())
        }
    }
}
