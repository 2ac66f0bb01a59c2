//! Streams: <https://redis.io/docs/latest/develop/data-types/streams/>.
//!
//! The log itself is in `add.rs` (XADD, XTRIM, their words in `options.rs`), `range.rs` and `delete.rs`; reading that may wait is `read.rs`, with
//! `serve.rs` for what a group remembers of it; groups are `group.rs`, what they wait for `pending.rs` and `claim.rs`;
//! `info.rs` looks at all of it, `idmp.rs` sets what producers are remembered by. The value is `types/stream`.

pub mod add;
pub mod claim;
pub mod delete;
pub mod group;
pub mod idmp;
pub mod info;
mod options;
pub mod pending;
pub mod range;
pub mod read;
mod replay;
mod serve;

use quiver_resp::{Argv, Encoder};
use quiver_structures::listpack::Item;

use crate::command::{Arg, Begin, Find, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::{CommandError, quote_within};
use crate::keyspace::Key;
use crate::types::stream::idmp::Settings;
use crate::types::stream::{Entry, Id};

/// An argument that should be an id.
const BAD_ID: CommandError = CommandError::text("ERR Invalid stream ID specified as stream command argument");

/// What happens to groups' references when entries go.
const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("keepref", "KEEPREF"), Arg::word("delref", "DELREF"), Arg::word("acked", "ACKED")],
)
.optional();

/// A counted list of ids.
const IDS: Arg = Arg::block("ids", &[Arg::integer("numids"), Arg::string("id").multiple()]).after("IDS");

/// The key of a subcommand.
const fn sub_key(flags: KeyFlags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(2), find: Find::Range { last: 0, step: 1, limit: 0 } }
}

/// What a stream remembers of producers' messages until XCFGSET says otherwise.
fn default_settings(ctx: &Ctx<'_>) -> Settings {
    let config = &ctx.engine.config;
    Settings { duration_s: config.stream_idmp_duration() as u64, maxsize: config.stream_idmp_maxsize() }
}

/// An exact id.
fn exact_id(text: &[u8]) -> Result<Id, CommandError> {
    Id::parse(text, 0).ok_or(BAD_ID)
}

/// All arguments from `first` on as exact ids.
fn exact_ids(argv: Argv<'_>, first: usize) -> Result<Vec<Id>, CommandError> {
    argv.from(first).iter().map(exact_id).collect()
}

/// The lower end of a range: an id, `-`, or `(` and an id that is not in it.
fn range_start(text: &[u8]) -> Result<Id, CommandError> {
    const INVALID: CommandError = CommandError::text("ERR invalid start ID for the interval");
    match text {
        [b'(', exclusive @ ..] if !exclusive.is_empty() => Id::parse(exclusive, 0).ok_or(BAD_ID)?.next().ok_or(INVALID),
        _ => Id::parse_bound(text, 0).ok_or(BAD_ID),
    }
}

/// The upper end of a range.
fn range_end(text: &[u8]) -> Result<Id, CommandError> {
    const INVALID: CommandError = CommandError::text("ERR invalid end ID for the interval");
    match text {
        [b'(', exclusive @ ..] if !exclusive.is_empty() => {
            Id::parse(exclusive, u64::MAX).ok_or(BAD_ID)?.previous().ok_or(INVALID)
        }
        _ => Id::parse_bound(text, u64::MAX).ok_or(BAD_ID),
    }
}

/// An id as a bulk string.
fn write_id(reply: &mut Encoder<'_>, id: Id) {
    reply.bulk(id.text().as_bytes());
}

/// An entry: its id, and its fields and values in one flat array.
fn write_entry(reply: &mut Encoder<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    write_fields(reply, entry);
}

/// An entry as readers that claim get it: with how long it was idle and how often it was delivered, which Redis says in
/// strings.
fn write_delivery(reply: &mut Encoder<'_>, entry: &Entry<'_>, idle_ms: i64, delivered: i64) {
    reply.array(4);
    write_id(reply, entry.id);
    write_fields(reply, entry);
    reply.bulk_of_int(idle_ms);
    reply.bulk_of_int(delivered);
}

/// Fields and values of an entry.
fn write_fields(reply: &mut Encoder<'_>, entry: &Entry<'_>) {
    reply.array(entry.len() * 2);
    for (field, value) in entry.pairs() {
        bulk(reply, field);
        bulk(reply, value);
    }
}

/// A field or value as a bulk string.
fn bulk(reply: &mut Encoder<'_>, item: Item<'_>) {
    match item {
        Item::Int(number) => reply.bulk_of_int(number),
        Item::Str(bytes) => reply.bulk(bytes),
    }
}

/// Key or group are not there; `command` ends the sentence.
fn no_key_or_group(key: &Key<'_>, group: &[u8], command: &str) -> CommandError {
    let (key, group) = (quoted(key.name), quoted(group));
    CommandError::owned(format!("NOGROUP No such key '{key}' or consumer group '{group}'{command}"))
}

/// The group is not in the stream.
fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    CommandError::owned(format!("NOGROUP No such consumer group '{}' for key name '{}'", quoted(group), quoted(key)))
}

/// A word of the client at its full length, which Redis quotes here.
fn quoted(word: &[u8]) -> String {
    quote_within(word, usize::MAX)
}

/// A subcommand with arguments that do not fit it.
fn bad_subcommand(argv: Argv<'_>, container: &str) -> CommandError {
    let name = quote_within(argv.at(1), 128);
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

/// The counted ids behind the word IDS, and where they end.
///
/// # Errors
/// The texts of XDELEX and XACKDEL.
fn counted_ids<'a>(
    argv: Argv<'a>,
    at: usize,
) -> Result<(impl Iterator<Item = &'a [u8]> + use<'a>, usize), CommandError> {
    const NOT_POSITIVE: CommandError = CommandError::text("ERR Number of IDs must be a positive integer");
    const NOT_SO_MANY: CommandError =
        CommandError::text("ERR The `numids` parameter must match the number of arguments");
    let count = argv.get(at).ok_or(CommandError::Syntax)?;
    let count = crate::number::parse_i64(count).filter(|count| *count > 0).ok_or(NOT_POSITIVE)?;
    let count = usize::try_from(count).ok().filter(|count| *count < argv.len() - at).ok_or(NOT_SO_MANY)?;
    Ok((argv.from(at + 1).iter().take(count), at + 1 + count))
}
