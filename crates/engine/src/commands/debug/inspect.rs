//! Subcommands of DEBUG that look at how things are stored.

use quiver_resp::Argv;
use quiver_structures::ValueRef;

use crate::command::CommandResult;
use crate::commands::args::integer;
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Text;
use crate::object::{Collection, encoding_name};
use crate::types::list::List;

/// DEBUG OBJECT: in Redis' form, with figures of the lists' nodes behind.
pub(super) fn object(ctx: &mut Ctx<'_>, name: &[u8]) -> CommandResult {
    let (key, now_s) = (ctx.key(name), ctx.ks.now_ms / 1000);
    let fill = ctx.engine.config.list_max_listpack_size();
    let entry = ctx.ks.peek(key).ok_or(CommandError::NoSuchKey)?;
    let (bytes, list) = match entry.value() {
        ValueRef::Int(_) => (size_of::<i64>(), None),
        ValueRef::Bytes(bytes) => (bytes.len(), None),
        ValueRef::Object(object) => (object.memory_bytes(), List::of(object)),
    };
    let nodes = list.filter(|list| list.encoding() == "quicklist").map_or(String::new(), |list| {
        let nodes = list.node_count();
        format!(
            " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{fill} ql_compressed:0 ql_uncompressed_size:{bytes}",
            list.len() as f64 / nodes.max(1) as f64
        )
    });
    let encoding = encoding_name(&entry);
    let (stamp, clock) = (entry.access(), (now_s & 0xff_ffff) as u32);
    let text = format!(
        "Value at:0x{:x} refcount:1 encoding:{encoding} serializedlength:{bytes} lru:{stamp} \
         lru_seconds_idle:{}{nodes}",
        key.hash,
        clock.wrapping_sub(stamp) & 0xff_ffff,
    );
    ctx.reply.simple(&text);
    Ok(())
}

/// DEBUG LISTPACK: what the log is told of a value in one listpack.
pub(super) fn listpack(ctx: &mut Ctx<'_>, name: &[u8]) -> CommandResult {
    let key = ctx.key(name);
    let entry = ctx.ks.peek(key).ok_or(CommandError::NoSuchKey)?;
    let encoding = encoding_name(&entry);
    let ValueRef::Object(object) = entry.value() else { return Err(NOT_A_LISTPACK) };
    if !encoding.starts_with("listpack") {
        return Err(NOT_A_LISTPACK);
    }
    let line = format!("DEBUG LISTPACK: {} in {} bytes", encoding, object.memory_bytes());
    ctx.engine.host().log(&line);
    ctx.reply.simple("Listpack structure printed on stdout");
    Ok(())
}

const NOT_A_LISTPACK: CommandError = CommandError::text("ERR Not a listpack encoded object.");

/// DEBUG SDSLEN: lengths of a key and of its string. Neither has room to grow.
pub(super) fn string_lengths(ctx: &mut Ctx<'_>, name: &[u8]) -> CommandResult {
    let key = ctx.key(name);
    let entry = ctx.ks.peek(key).ok_or(CommandError::NoSuchKey)?;
    let length = match Text::of(entry.value()) {
        Ok(text) => text.as_bytes().len(),
        Err(_) => return Err(CommandError::text("ERR Not an sds encoded string.")),
    };
    let key_bytes = name.len();
    let text = format!(
        "key_sds_len:{key_bytes}, key_sds_avail:0, key_zmalloc: {key_bytes}, val_sds_len:{length}, val_sds_avail:0, \
         val_zmalloc: {length}"
    );
    ctx.reply.simple(&text);
    Ok(())
}

/// DEBUG HTSTATS: how full the tables of a database are, all shards together.
pub(super) fn table_stats(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let db = usize::try_from(integer(argv.at(2))?).ok().filter(|db| *db < ctx.engine.config.databases());
    let db = db.ok_or(CommandError::text("ERR Out of range database"))?;
    let (mut buckets, mut keys, mut volatile) = (0, 0, 0);
    for part in ctx.ks.locked_dbs(db) {
        buckets += part.table.bucket_count();
        keys += part.table.len();
        volatile += part.table.volatile_len();
    }
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: {buckets}\n number of elements: \
         {keys}\n[Expires HT]\n number of elements: {volatile}\n"
    );
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}
