//! MIGRATE: keys move to another server.
//!
//! The locks are given back while the values travel, so that a slow target holds nobody up. A key is deleted here only
//! when the target has taken it and it is still what was sent; one that changed meanwhile is sent again. Inside a
//! transaction the locks stay, as nothing may happen between its commands.

use std::time::Duration;

use quiver_resp::{Argv, IntText};

use super::dump::sealed;
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, KeyFlags, KeySpec, Locks};
use crate::commands::args::{integer, is};
use crate::context::Ctx;
use crate::dispatch::note_error;
use crate::error::CommandError;
use crate::host::Unreached;
use crate::notify::Class;

const MOVES: KeyFlags = KeyFlags::RW.with(KeyFlags::ACCESS).with(KeyFlags::DELETE);

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "migrate",
    summary: "Moves keys to another server, all that it takes or none.",
    since: "2.6.0",
    complexity: "O(N) where N is the size of the values, on both servers, and their way through the network",
    arity: -6,
    flags: Flags::WRITE.with(Flags::MOVABLEKEYS),
    acl: Acl::KEYSPACE.with(Acl::DANGEROUS),
    tips: &["nondeterministic_output"],
    keys: &[
        KeySpec { flags: MOVES, begin: Begin::Index(3), find: Find::Range { last: 0, step: 1, limit: 0 } },
        KeySpec {
            flags: MOVES.with(KeyFlags::INCOMPLETE),
            begin: Begin::Keyword { keyword: "KEYS", start_from: -2 },
            find: Find::Range { last: -1, step: 1, limit: 0 },
        },
    ],
    args: &[
        Arg::string("host"),
        Arg::integer("port"),
        Arg::one_of("key-selector", &[Arg::key("key"), Arg::word("empty-string", "")]),
        Arg::integer("destination-db"),
        Arg::integer("timeout"),
        Arg::word("copy", "COPY").optional().since("3.0.0"),
        Arg::word("replace", "REPLACE").optional().since("3.0.0"),
        Arg::one_of(
            "authentication",
            &[
                Arg::string("auth").after("AUTH").since("4.0.7"),
                Arg::block("auth2", &[Arg::string("username"), Arg::string("password")]).after("AUTH2").since("6.0.0"),
            ],
        )
        .optional(),
        Arg { key_spec: Some(1), ..Arg::key("keys").after("KEYS").optional().multiple().since("3.0.6") },
    ],
    locks: Locks::KeysAlone,
    run: migrate,
    ..Command::NEW
}];

/// How often a key that changes on the way is sent.
const SENT_MAX: usize = 16;

/// What is asked for.
struct Wish<'a> {
    target: String,
    timeout: Duration,
    copy: bool,
    replace: bool,
    credentials: Option<Vec<&'a [u8]>>,
    db: i64,
    keys: Vec<&'a [u8]>,
}

impl<'a> Wish<'a> {
    fn parse(argv: Argv<'a>) -> Result<Self, CommandError> {
        let (mut copy, mut replace, mut credentials, mut keys) = (false, false, None, vec![argv.at(3)]);
        let mut at = 6;
        while let Some(word) = argv.get(at) {
            let left = argv.len() - at - 1;
            if is(word, "copy") {
                copy = true;
            } else if is(word, "replace") {
                replace = true;
            } else if is(word, "auth") && left >= 1 {
                credentials = Some(vec![argv.at(at + 1)]);
                at += 1;
            } else if is(word, "auth2") && left >= 2 {
                credentials = Some(vec![argv.at(at + 1), argv.at(at + 2)]);
                at += 2;
            } else if is(word, "keys") {
                if !argv.at(3).is_empty() {
                    return Err(CommandError::text(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                keys = argv.from(at + 1).iter().collect();
                break;
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        let timeout_ms = integer(argv.at(5))?;
        let db = integer(argv.at(4))?;
        let timeout_ms = if timeout_ms <= 0 { 1000 } else { timeout_ms as u64 };
        let (host, port) = (String::from_utf8_lossy(argv.at(1)), String::from_utf8_lossy(argv.at(2)));
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self { target, timeout: Duration::from_millis(timeout_ms), copy, replace, credentials, db, keys })
    }

    /// What opens the connection.
    fn opening(&self) -> Vec<Vec<Vec<u8>>> {
        let mut commands = Vec::new();
        if let Some(credentials) = &self.credentials {
            commands.push([b"AUTH".as_slice()].iter().chain(credentials).map(|word| word.to_vec()).collect());
        }
        commands.push(vec![b"SELECT".to_vec(), self.db.to_string().into_bytes()]);
        commands
    }
}

/// A key on its way.
struct Parcel<'a> {
    key: &'a [u8],
    expire_at_ms: Option<i64>,
    payload: Vec<u8>,
}

impl<'a> Parcel<'a> {
    /// What is at a key now. Nothing is changed, not even a key whose time is over: the locks may be given back next.
    fn pack(ctx: &mut Ctx<'_>, name: &'a [u8]) -> Option<Self> {
        let key = ctx.key(name);
        let (compress, now_ms) = (ctx.engine.config.rdbcompression(), ctx.ks.now_ms);
        let entry = ctx.ks.peek(key).filter(|entry| entry.expire_at().is_none_or(|at| at > now_ms))?;
        Some(Self { key: name, expire_at_ms: entry.expire_at(), payload: sealed(&entry.value(), compress) })
    }

    fn command(&self, now_ms: i64, replace: bool) -> Vec<Vec<u8>> {
        let ttl_ms = self.expire_at_ms.map_or(0, |at| (at - now_ms).max(1));
        let ttl = IntText::new(ttl_ms).as_bytes().to_vec();
        let mut words = vec![b"RESTORE".to_vec(), self.key.to_vec(), ttl, self.payload.clone()];
        words.extend(replace.then(|| b"REPLACE".to_vec()));
        words
    }
}

fn migrate(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wish = Wish::parse(argv)?;
    let mut parcels: Vec<Parcel<'_>> = wish.keys.iter().filter_map(|name| Parcel::pack(ctx, name)).collect();
    if parcels.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(());
    }
    let mut moved: Vec<&[u8]> = Vec::new();
    let (mut refused, mut replace) = (None, wish.replace);
    for sent in 1.. {
        let answers = match send(ctx, &wish, &parcels, replace) {
            Ok(answers) => answers,
            Err(error) => {
                fail(ctx, &error);
                return Ok(());
            }
        };
        let mut again = Vec::new();
        for (parcel, answer) in parcels.into_iter().zip(answers) {
            match answer {
                Err(text) => refused = refused.or(Some(text)),
                Ok(()) if wish.copy => {}
                Ok(()) => match Parcel::pack(ctx, parcel.key) {
                    Some(now) if now.payload == parcel.payload && now.expire_at_ms == parcel.expire_at_ms => {
                        moved.push(parcel.key);
                    }
                    Some(now) => again.push(now),
                    None => {}
                },
            }
        }
        delete(ctx, &std::mem::take(&mut moved));
        if again.is_empty() {
            break;
        }
        if sent == SENT_MAX {
            fail(ctx, &CommandError::text("IOERR the keys change faster than they can be moved"));
            return Ok(());
        }
        // The target has them by now.
        (parcels, replace) = (again, true);
    }
    match refused {
        Some(text) => fail(ctx, &CommandError::owned(format!("ERR Target instance replied with error: {text}"))),
        None => ctx.reply.ok(),
    }
    Ok(())
}

/// Answers an error although keys may have moved before.
fn fail(ctx: &mut Ctx<'_>, error: &CommandError) {
    ctx.reply.error(&error.to_string());
    note_error(ctx.engine, error);
}

/// Sends parcels; gives what the target says to each.
fn send(
    ctx: &mut Ctx<'_>,
    wish: &Wish<'_>,
    parcels: &[Parcel<'_>],
    replace: bool,
) -> Result<Vec<Result<(), String>>, CommandError> {
    let now_ms = ctx.ks.now_ms;
    let commands: Vec<_> = parcels.iter().map(|parcel| parcel.command(now_ms, replace)).collect();
    let locked = ctx.ks.locked();
    ctx.ks.release();
    let answers = ctx.engine.host().run_elsewhere(&wish.target, wish.timeout, &wish.opening(), &commands);
    if !ctx.ks.in_transaction {
        ctx.ks.relock(locked);
    }
    answers.map_err(|unreached| match unreached {
        Unreached::Connecting => CommandError::text("IOERR error or timeout connecting to the client"),
        Unreached::Refused => CommandError::text("IOERR error or timeout writing to target instance"),
        Unreached::Talking => CommandError::text("IOERR error or timeout reading to target instance"),
    })
}

fn delete(ctx: &mut Ctx<'_>, keys: &[&[u8]]) {
    for name in keys {
        let key = ctx.key(name);
        if ctx.ks.delete(key) {
            ctx.ks.notify(Class::GENERIC, "del", name);
            ctx.replay_as(&[b"DEL", name]);
        }
    }
}
