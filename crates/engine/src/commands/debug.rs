//! DEBUG: what tests of servers and clients need. Allowed as `enable-debug-command` says.

mod inspect;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quiver_resp::{Argv, Encoder, Protocol};

use crate::command::{Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{float, integer, is};
use crate::commands::config::allowed;
use crate::commands::help::help;
use crate::config::parse_memory;
use crate::context::Ctx;
use crate::digest::{Digest, of_keyspace, of_value};
use crate::error::{CommandError, quote_word};
use crate::glob;
use crate::keyspace::string_value;

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    summary: "Groups commands for testing the server itself.",
    complexity: "Depends on the subcommand",
    group: Group::Server,
    arity: -2,
    flags: Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE),
    locks: Locks::All,
    run: debug,
    ..Command::NEW
}];

fn debug(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if !allowed(ctx, "enable-debug-command") {
        return Err(CommandError::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from \
             a local connection, otherwise you need to set this option in the configuration file, and then restart the \
             server.",
        ));
    }
    match (argv.at(1).to_ascii_lowercase().as_slice(), argv.len()) {
        (b"help", 2) => debug_help(ctx),
        (b"change-repl-id", 2) => {
            ctx.engine.host().change_replication_id();
            ctx.reply.ok();
        }
        (b"config-rewrite-force-all", 2) => {
            ctx.engine.host().rewrite_config(ctx.engine, true)?;
            ctx.reply.ok();
        }
        (b"digest", 2) => {
            let digest = of_keyspace(&ctx.ks);
            ctx.reply.simple(&digest.hex());
        }
        (b"digest-value", 2..) => digest_value(ctx, argv),
        (b"error", 3) => ctx.reply.error_bytes(argv.at(2)),
        (b"htstats", 3..=4) => return inspect::table_stats(ctx, argv),
        (b"listpack", 3) => return inspect::listpack(ctx, argv.at(2)),
        (b"loadaof", 2) => return load_log(ctx),
        (b"log", 3) => {
            ctx.engine.host().log(&format!("DEBUG LOG: {}", String::from_utf8_lossy(argv.at(2))));
            ctx.reply.ok();
        }
        (b"object", 3..=4) => return inspect::object(ctx, argv.at(2)),
        (b"pause-cron", 3) => {
            ctx.engine.state.cron_paused.store(integer(argv.at(2))? != 0, Relaxed);
            ctx.reply.ok();
        }
        (b"populate", 3..=5) => return populate(ctx, argv),
        (b"protocol", 3) => return protocol(&mut ctx.reply, argv.at(2)),
        (b"quicklist-packed-threshold", 3) => return quicklist_packed_threshold(ctx, argv.at(2)),
        (b"reload", _) => return reload(ctx, argv),
        (b"sdslen", 3) => return inspect::string_lengths(ctx, argv.at(2)),
        (b"set-skip-checksum-validation", 3) => {
            ctx.engine.state.skip_checksums.store(integer(argv.at(2))? != 0, Relaxed);
            ctx.reply.ok();
        }
        (b"set-active-expire", 3) => {
            ctx.engine.state.active_expire_off.store(integer(argv.at(2)) == Ok(0), Relaxed);
            ctx.reply.ok();
        }
        (b"set-disable-deny-scripts", 3) => {
            ctx.engine.state.scripts_may_look.store(integer(argv.at(2))? != 0, Relaxed);
            ctx.reply.ok();
        }
        (b"sleep", 3) => return sleep(ctx, argv.at(2)),
        (b"stringmatch-len", 4) => {
            let text = vec![b'a'; integer(argv.at(2))?.clamp(0, MATCH_LEN_MAX) as usize];
            ctx.reply.integer(i64::from(glob::matches(argv.at(3), &text)));
        }
        _ => {
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
                quote_word(argv.at(1))
            )));
        }
    }
    Ok(())
}

/// From which length on elements of lists get a node of their own; 0 for the usual rule.
fn quicklist_packed_threshold(ctx: &mut Ctx<'_>, text: &[u8]) -> CommandResult {
    let bytes = std::str::from_utf8(text).ok().and_then(parse_memory);
    let bytes = bytes.filter(|bytes| *bytes < 1 << 32).and_then(|bytes| usize::try_from(bytes).ok());
    let refused = CommandError::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb");
    ctx.engine.state.quicklist_packed_threshold.store(bytes.ok_or(refused)?, Relaxed);
    ctx.reply.ok();
    Ok(())
}

/// Reads the data back from the snapshot file. The locks are given back first: writing and reading take them as they
/// go.
fn reload(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut save = true;
    for option in argv.from(2) {
        if !is(option, "nosave") {
            return Err(CommandError::text("ERR DEBUG RELOAD only supports the NOSAVE option."));
        }
        save = false;
    }
    if ctx.ks.in_transaction {
        return Err(CommandError::NotInMulti);
    }
    ctx.ks.release();
    ctx.engine.host().reload(ctx.engine, save)?;
    ctx.reply.ok();
    Ok(())
}

/// Reads the data back from the append-only log, as [`reload`] does from the snapshot.
fn load_log(ctx: &mut Ctx<'_>) -> CommandResult {
    if ctx.ks.in_transaction {
        return Err(CommandError::NotInMulti);
    }
    ctx.ks.release();
    ctx.engine.host().reload_log(ctx.engine)?;
    ctx.reply.ok();
    Ok(())
}

/// Bytes POPULATE writes at most: they pass through the stream in one unit.
const POPULATE_BYTES_MAX: u64 = 1 << 30;

/// Makes keys `prefix:0`, `prefix:1`, ... with values `value:0`, ..., cut or filled with zeros to a size. Keys that
/// exist stay.
fn populate(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let count = integer(argv.at(2))?.max(0) as u64;
    let prefix = argv.get(3).unwrap_or(b"key");
    let size = argv.get(4).map(integer).transpose()?.map(|size| size.max(0) as u64);
    let each = size.unwrap_or(16).saturating_add(prefix.len() as u64 + 64);
    if count.saturating_mul(each) > POPULATE_BYTES_MAX {
        return Err(CommandError::text("ERR too much to populate at once"));
    }
    let before = ctx.ks.dirty;
    for number in 0..count {
        let name = [prefix, format!(":{number}").as_bytes()].concat();
        let key = ctx.key(&name);
        if ctx.ks.contains(key) {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        value.resize(size.map_or(value.len(), |size| size as usize), 0);
        ctx.ks.set(key, string_value(&value), None);
        ctx.replay_as(&[b"SET", &name, &value]);
    }
    if ctx.ks.dirty == before {
        ctx.effects().suppress();
    }
    ctx.reply.ok();
    Ok(())
}

/// Longest text STRINGMATCH-LEN makes up.
const MATCH_LEN_MAX: i64 = 1 << 20;

/// Longest sleep, s.
const SLEEP_MAX_S: f64 = 3600.0;

/// Holds everything up, which is its purpose: every shard is locked.
fn sleep(ctx: &mut Ctx<'_>, seconds: &[u8]) -> CommandResult {
    let seconds = float(seconds).unwrap_or(0.0).clamp(0.0, SLEEP_MAX_S);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    ctx.ks.slept_ms += (seconds * 1000.0) as i64;
    ctx.reply.ok();
    Ok(())
}

/// Digests of single values; of a missing key as many zeros.
fn digest_value(ctx: &mut Ctx<'_>, argv: Argv<'_>) {
    ctx.reply.array(argv.len() - 2);
    for name in argv.from(2) {
        let key = ctx.key(name);
        let digest = ctx.ks.peek(key).map(|entry| of_value(&entry.value()));
        ctx.reply.simple(&digest.map_or_else(|| "0".repeat(Digest::default().hex().len()), |digest| digest.hex()));
    }
}

/// One reply of every type there is, for tests of clients.
fn protocol(reply: &mut Encoder<'_>, kind: &[u8]) -> CommandResult {
    let attributed: &[u8] = b"Some real reply following the attribute";
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3141.0 / 1000.0),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"map" => {
            reply.map(3);
            for i in 0..3 {
                reply.integer(i);
                reply.boolean(i == 1);
            }
        }
        b"attrib" => {
            if reply.protocol() == Protocol::Resp3 {
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(attributed);
        }
        b"push" if reply.protocol() == Protocol::Resp2 => {
            return Err(CommandError::text("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"verbatim" => reply.verbatim(*b"txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"bignum" => reply.big_number(b"1234567999999999999999999999999999999"),
        _ => {
            return Err(CommandError::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn debug_help(ctx: &mut Ctx<'_>) {
    help(
        ctx,
        "DEBUG",
        &[
            ("CHANGE-REPL-ID", "Gives the stream of changes a new identity."),
            ("CONFIG-REWRITE-FORCE-ALL", "As CONFIG REWRITE, with what has its default as well."),
            ("DIGEST", "A digest of the content of every database."),
            ("DIGEST-VALUE <key> [<key> ...]", "Digests of single values."),
            ("ERROR <text>", "Answers the text as an error."),
            ("HTSTATS <dbid>", "How full the tables of a database are."),
            ("LISTPACK <key>", "Writes to the log what a value in one listpack takes."),
            ("LOADAOF", "Reads the append-only log in the place of the data there is."),
            ("LOG <text>", "Writes a line to the log."),
            ("OBJECT <key>", "How a value is stored."),
            ("PAUSE-CRON <0|1>", "Whether periodic work rests."),
            ("POPULATE <count> [<prefix>] [<size>]", "Makes keys with values of a size."),
            (
                "PROTOCOL <type>",
                "A reply of this type: string, integer, double, bignum, null, array, set, map, attrib, \
              push, verbatim, true or false.",
            ),
            ("QUICKLIST-PACKED-THRESHOLD <bytes>", "Elements of lists from which length have a node of their own."),
            ("RELOAD [NOSAVE]", "Writes a snapshot and reads it in the place of the data there is."),
            ("SDSLEN <key>", "Lengths of a key and of its string."),
            ("SET-SKIP-CHECKSUM-VALIDATION <0|1>", "Whether RESTORE takes payloads whose checksum is wrong."),
            ("SET-ACTIVE-EXPIRE <0|1>", "Whether keys are removed before somebody asks for them."),
            ("SET-DISABLE-DENY-SCRIPTS <0|1>", "Whether scripts may call CLIENT LIST and DEBUG PROTOCOL."),
            ("SLEEP <seconds>", "Holds the whole server up."),
            ("STRINGMATCH-LEN <len> <pattern>", "Whether so many letters a match the pattern."),
        ],
    );
}
