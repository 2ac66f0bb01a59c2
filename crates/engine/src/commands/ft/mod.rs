//! FT.*: indexes over hashes and JSON documents, and questions to them.
//!
//! The table entries are in `table` and `query_table`. `create` and `dictionaries` change what is declared; `request` reads
//! the words of a question, `ask` runs it on an up-to-date index and reads the fields of what it finds in the same moment,
//! `search`, `aggregate`, `hybrid` and `profile` answer; `info` tells of indexes; `suggest` is about suggestions, which are
//! keys of their own.

mod aggregate;
mod ask;
mod config;
mod create;
mod cursor;
mod dictionaries;
mod excerpts;
mod expand;
mod explain;
mod fields;
mod hybrid;
mod info;
mod legacy;
mod profile;
mod query_table;
mod request;
mod search;
pub(super) mod server_info;
mod spell;
mod suggest;
mod table;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quiver_query::QueryError;
use quiver_resp::Argv;

pub use legacy::COMMANDS as LEGACY;
pub use query_table::COMMANDS as QUERIES;
pub use table::COMMANDS;

use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::search::index::SearchIndex;

impl From<QueryError> for CommandError {
    fn from(error: QueryError) -> Self {
        Self::owned(error.to_string())
    }
}

/// What clients look for where an index is declared or dropped.
const UNKNOWN_INDEX: CommandError = CommandError::text("Unknown index name");

/// The words behind the command's name.
fn words_from(argv: Argv<'_>, first: usize) -> Vec<&[u8]> {
    argv.iter().skip(first).collect()
}

/// The index to change.
fn index_to_change(ctx: &Ctx<'_>, name: &[u8]) -> Result<Arc<SearchIndex>, CommandError> {
    ctx.engine.search.set().find(name).cloned().ok_or(UNKNOWN_INDEX)
}

/// The index to ask, which counts as used; the user must be allowed to read all its keys.
fn index_to_ask(ctx: &Ctx<'_>, argv: Argv<'_>, name: &[u8]) -> Result<Arc<SearchIndex>, CommandError> {
    let found = ctx.engine.search.set().find(name).cloned();
    let index = found.ok_or_else(|| CommandError::owned(format!("{}: no such index", quote_word(name))))?;
    if !may_read(ctx, argv, &index) {
        return Err(CommandError::text("NOPERM User does not have the required permissions to query the index"));
    }
    index.uses.fetch_add(1, Relaxed);
    index.last_use_ms.store(ctx.ks.now_ms, Relaxed);
    Ok(index)
}

/// Whether the running user may read every key that the index can hold.
fn may_read(ctx: &Ctx<'_>, argv: Argv<'_>, index: &SearchIndex) -> bool {
    let user = &ctx.session.user;
    let reads = |prefix: &[u8]| user.reads_keys_beginning(ctx.entry, argv, prefix);
    user.is_unrestricted() || index.definition().prefixes.iter().all(|prefix| reads(prefix))
}
