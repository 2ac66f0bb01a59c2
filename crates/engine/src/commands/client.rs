//! CLIENT: names, descriptions and the end of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use quiver_resp::Argv;

use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{Options, is};
use crate::commands::client_tracking;
use crate::commands::client_wait::{PAUSE, UNBLOCK, UNPAUSE};
use crate::commands::connection::{bytes_of, client_name, printable, shown};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::number::parse_i64;
use crate::session::{ClientInfo, ReplyMode};
use crate::tracking::Mode;

const PLAIN: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
pub(super) const ADMIN: Flags = PLAIN.with(Flags::ADMIN);

pub(super) const SUBCOMMAND: Command = Command {
    group: Group::Connection,
    arity: 2,
    flags: PLAIN,
    acl: Acl::CONNECTION,
    locks: Locks::KeysAlone,
    ..Command::NEW
};

/// The table entries.
pub const COMMANDS: &[Command] = &[Command {
    name: "client",
    summary: "Groups the commands about client connections.",
    since: "2.4.0",
    complexity: "Depends on the subcommand",
    group: Group::Connection,
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::NEW
}];

const SUBCOMMANDS: &[Command] = &[
    client_tracking::CACHING,
    Command {
        name: "getname",
        summary: "Answers the name given to this connection.",
        since: "2.6.9",
        run: client_getname,
        ..SUBCOMMAND
    },
    client_tracking::GETREDIR,
    Command {
        name: "help",
        summary: "Explains the subcommands of CLIENT.",
        since: "5.0.0",
        flags: Flags::LOADING.with(Flags::STALE),
        run: client_help,
        ..SUBCOMMAND
    },
    Command {
        name: "id",
        summary: "Answers the unique number of this connection.",
        since: "5.0.0",
        run: client_id,
        ..SUBCOMMAND
    },
    Command {
        name: "info",
        summary: "Describes this connection.",
        since: "6.2.0",
        tips: &["nondeterministic_output"],
        run: client_info,
        ..SUBCOMMAND
    },
    Command {
        name: "kill",
        summary: "Closes connections chosen by address or by filters.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of connections",
        arity: -3,
        flags: ADMIN,
        args: &[Arg::one_of(
            "filter",
            &[Arg::string("old-format").shown("ip:port"), Arg::one_of("new-format", KILL_FILTERS).multiple()],
        )],
        run: client_kill,
        ..SUBCOMMAND
    },
    Command {
        name: "list",
        summary: "Describes the open connections.",
        since: "2.4.0",
        complexity: "O(N) where N is the number of connections",
        arity: -2,
        flags: ADMIN,
        tips: &["nondeterministic_output"],
        args: &[
            Arg::one_of(
                "client-type",
                &[
                    Arg::word("normal", "NORMAL"),
                    Arg::word("master", "MASTER"),
                    Arg::word("replica", "REPLICA"),
                    Arg::word("pubsub", "PUBSUB"),
                ],
            )
            .after("TYPE")
            .optional()
            .since("5.0.0"),
            Arg::integer("client-id").after("ID").multiple().optional().since("6.2.0"),
        ],
        run: client_list,
        ..SUBCOMMAND
    },
    Command {
        name: "no-evict",
        summary: "Exempts this connection from being closed for its memory use.",
        since: "7.0.0",
        arity: 3,
        flags: ADMIN,
        args: &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])],
        run: client_no_evict,
        ..SUBCOMMAND
    },
    Command {
        name: "no-touch",
        summary: "Keeps this connection's reads from counting as use of a key.",
        since: "7.2.0",
        arity: 3,
        args: &[Arg::one_of("enabled", &[Arg::word("on", "ON"), Arg::word("off", "OFF")])],
        run: client_no_touch,
        ..SUBCOMMAND
    },
    PAUSE,
    Command {
        name: "reply",
        summary: "Turns replies to this connection on or off, or skips one.",
        since: "3.2.0",
        arity: 3,
        args: &[Arg::one_of("action", &[Arg::word("on", "ON"), Arg::word("off", "OFF"), Arg::word("skip", "SKIP")])],
        run: client_reply,
        ..SUBCOMMAND
    },
    Command {
        name: "setinfo",
        summary: "Records the name and version of the client library.",
        since: "7.2.0",
        arity: 4,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        args: &[Arg::one_of(
            "attr",
            &[Arg::string("libname").after("LIB-NAME"), Arg::string("libver").after("LIB-VER")],
        )],
        run: client_setinfo,
        ..SUBCOMMAND
    },
    Command {
        name: "setname",
        summary: "Names this connection.",
        since: "2.6.9",
        arity: 3,
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        args: &[Arg::string("connection-name")],
        run: client_setname,
        ..SUBCOMMAND
    },
    client_tracking::TRACKING,
    client_tracking::TRACKINGINFO,
    UNBLOCK,
    UNPAUSE,
];

const KILL_FILTERS: &[Arg] = &[
    Arg::integer("client-id").after("ID").optional().since("2.8.12"),
    Arg::one_of(
        "client-type",
        &[
            Arg::word("normal", "NORMAL"),
            Arg::word("master", "MASTER").since("3.2.0"),
            Arg::word("slave", "SLAVE"),
            Arg::word("replica", "REPLICA").since("5.0.0"),
            Arg::word("pubsub", "PUBSUB"),
        ],
    )
    .after("TYPE")
    .optional()
    .since("2.8.12"),
    Arg::string("username").after("USER").optional(),
    Arg::string("addr").shown("ip:port").after("ADDR").optional(),
    Arg::string("laddr").shown("ip:port").after("LADDR").optional().since("6.2.0"),
    Arg::one_of("skipme", &[Arg::word("yes", "YES"), Arg::word("no", "NO")]).after("SKIPME").optional(),
    Arg::integer("maxage").after("MAXAGE").optional().since("7.4.0"),
];

fn client_id(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.reply.integer(ctx.session.shared.id as i64);
    Ok(())
}

fn client_getname(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let name = ctx.session.shared.texts.lock().name.clone();
    if name.is_empty() {
        ctx.reply.null()
    } else {
        ctx.reply.bulk(&bytes_of(&name))
    }
    Ok(())
}

fn client_setname(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let name = client_name(argv.at(2))?;
    ctx.session.shared.texts.lock().name = name;
    ctx.reply.ok();
    Ok(())
}

fn client_setinfo(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let attribute = argv.at(2);
    let is_name = is(attribute, "lib-name");
    if !is_name && !is(attribute, "lib-ver") {
        let attribute = String::from_utf8_lossy(attribute);
        return Err(CommandError::owned(format!("ERR Unrecognized option '{attribute}'")));
    }
    let Some(value) = printable(argv.at(3)) else {
        let attribute = String::from_utf8_lossy(attribute);
        return Err(CommandError::owned(format!(
            "ERR {attribute} cannot contain spaces, newlines or special characters."
        )));
    };
    let mut texts = ctx.session.shared.texts.lock();
    *(if is_name { &mut texts.lib_name } else { &mut texts.lib_version }) = value;
    drop(texts);
    ctx.reply.ok();
    Ok(())
}

fn client_reply(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mode = argv.at(2);
    if is(mode, "on") {
        ctx.session.reply_mode = ReplyMode::On;
        ctx.reply.ok();
    } else if is(mode, "off") {
        ctx.session.reply_mode = ReplyMode::Off;
    } else if !is(mode, "skip") {
        return Err(CommandError::Syntax);
    } else if ctx.session.reply_mode != ReplyMode::Off {
        ctx.session.reply_mode = ReplyMode::SkipNext;
    }
    Ok(())
}

fn client_no_evict(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    switch(&ctx.session.shared.no_evict, argv.at(2))?;
    ctx.reply.ok();
    Ok(())
}

fn client_no_touch(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    switch(&ctx.session.shared.no_touch, argv.at(2))?;
    ctx.ks.no_touch = ctx.session.shared.no_touch.load(Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn switch(flag: &AtomicBool, word: &[u8]) -> CommandResult {
    if !is(word, "on") && !is(word, "off") {
        return Err(CommandError::Syntax);
    }
    flag.store(is(word, "on"), Relaxed);
    Ok(())
}

// --- descriptions -------------------------------------------------------------------------------------------------

/// Kinds of connections as the TYPE filters name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientType {
    Normal,
    Primary,
    Replica,
    Pubsub,
}

impl ClientType {
    fn parse(word: &[u8]) -> Result<Self, CommandError> {
        Ok(match word.to_ascii_lowercase().as_slice() {
            b"normal" => Self::Normal,
            b"master" => Self::Primary,
            b"slave" | b"replica" => Self::Replica,
            b"pubsub" => Self::Pubsub,
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(CommandError::owned(format!("ERR Unknown client type '{word}'")));
            }
        })
    }

    fn of(client: &ClientInfo) -> Self {
        let flags = &client.texts.lock().flags;
        match flags.as_str() {
            flags if flags.contains('M') => Self::Primary,
            flags if flags.contains('S') => Self::Replica,
            _ if client.is_subscriber() => Self::Pubsub,
            _ => Self::Normal,
        }
    }
}

fn client_info(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let line = describe(ctx, &ctx.session.shared) + "\n";
    ctx.reply.verbatim(*b"txt", line.as_bytes());
    Ok(())
}

fn client_list(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let chosen: Vec<Arc<ClientInfo>> = match argv.get(2) {
        None => ctx.engine.clients.lock().values().filter(|client| !is_leaving(client)).cloned().collect(),
        Some(word) if is(word, "type") && argv.len() == 4 => {
            let wanted = ClientType::parse(argv.at(3))?;
            let clients = ctx.engine.clients.lock();
            let wanted = |client: &&Arc<ClientInfo>| !is_leaving(client) && ClientType::of(client) == wanted;
            clients.values().filter(wanted).cloned().collect()
        }
        Some(word) if is(word, "id") && argv.len() > 3 => {
            let ids: Option<Vec<i64>> = argv.from(3).iter().map(parse_i64).collect();
            let ids = ids.ok_or(CommandError::text("ERR Invalid client ID"))?;
            let clients = ctx.engine.clients.lock();
            let named = ids.iter().filter_map(|id| clients.get(&u64::try_from(*id).ok()?));
            named.filter(|client| !is_leaving(client)).cloned().collect()
        }
        Some(_) => return Err(CommandError::Syntax),
    };
    let mut text = String::new();
    for client in chosen {
        text.push_str(&describe(ctx, &client));
        text.push('\n');
    }
    ctx.reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// Whether a client was told to go: as good as gone, whatever its connection still does.
fn is_leaving(client: &ClientInfo) -> bool {
    client.killed.load(Relaxed)
}

/// The line of CLIENT LIST about one client. Fields that have no meaning here (file descriptor, events) carry the value
/// Redis prints for a client without them.
fn describe(ctx: &Ctx<'_>, client: &ClientInfo) -> String {
    describe_client(ctx.engine, client, ctx.ks.now_ms, Some((ctx.session.shared.id, ctx.entry.full_name)))
}

/// The same for who has no context; `running` is the client that is being served, and its command.
pub(crate) fn describe_client(
    engine: &Engine,
    client: &ClientInfo,
    now_ms: i64,
    running: Option<(u64, &'static str)>,
) -> String {
    let running = running.filter(|(id, _)| *id == client.id).map(|(_, command)| command);
    let mine = running.is_some();
    let idle_ms = if mine { 0 } else { now_ms - client.last_active_ms.load(Relaxed) };
    let entries = engine.registry.entries();
    let command = match client.last_command.load(Relaxed) {
        _ if mine => running.unwrap_or_default(),
        id => usize::try_from(id).ok().and_then(|id| entries.get(id)).map_or("NULL", |entry| entry.full_name),
    };
    let texts = client.texts.lock().clone();
    let buffered = client.query_bytes();
    let (sub, psub, ssub) = client.subscriptions.lock().counts();
    let waiting = client.mailbox.len() as u64;
    let output = client.output_bytes.load(Relaxed) + waiting;
    format!(
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={sub} psub={psub} ssub={ssub} multi={} \
         watch={} qbuf={buffered} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem={output} tot-mem={} \
         events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} io-thread=0 tot-net-in={} tot-net-out={} \
         tot-cmds={}",
        client.id,
        client.addr,
        client.laddr,
        shown(&texts.name),
        (now_ms - client.created_ms).max(0) / 1000,
        idle_ms.max(0) / 1000,
        flags(client, &texts.flags),
        client.db.load(Relaxed),
        client.queued.load(Relaxed),
        client.watching.load(Relaxed),
        u8::from(output > 0),
        client.memory_bytes(),
        if output > 0 { "rw" } else { "r" },
        command,
        texts.user,
        client_tracking::redirection(client),
        texts.resp,
        shown(&texts.lib_name),
        shown(&texts.lib_version),
        client.net_in_bytes.load(Relaxed),
        client.net_out_bytes.load(Relaxed),
        client.commands.load(Relaxed),
    )
}

fn flags(client: &ClientInfo, role: &str) -> String {
    let mut flags = role.to_owned();
    let mode = client.tracking_mode();
    let marks = [
        ('O', client.monitor.load(Relaxed)),
        ('P', client.is_subscriber()),
        ('U', client.addr.starts_with('/')),
        ('x', client.queued.load(Relaxed) >= 0),
        ('b', client.is_blocked()),
        ('t', mode.has(Mode::ON)),
        ('R', mode.has(Mode::BROKEN)),
        ('B', mode.has(Mode::BCAST)),
        ('A', client.killed.load(Relaxed)),
        ('e', client.no_evict.load(Relaxed)),
        ('T', client.no_touch.load(Relaxed)),
    ];
    flags.extend(marks.iter().filter(|(_, set)| *set).map(|(mark, _)| mark));
    if flags.is_empty() { "N".to_owned() } else { flags }
}

// --- KILL -----------------------------------------------------------------------------------------------------------

/// What CLIENT KILL selects; a client must fit everything that is said.
#[derive(Debug)]
struct Filter {
    id: Option<u64>,
    kind: Option<ClientType>,
    user: Option<String>,
    addr: Option<String>,
    laddr: Option<String>,
    max_age_s: Option<i64>,
    skip_me: bool,
}

impl Filter {
    fn parse(ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<Self, CommandError> {
        let mut filter =
            Self { id: None, kind: None, user: None, addr: None, laddr: None, max_age_s: None, skip_me: true };
        let mut options = Options::new(argv, 2);
        while let Some(option) = options.next() {
            let value = options.value()?;
            let text = || String::from_utf8_lossy(value).into_owned();
            match option.to_ascii_lowercase().as_slice() {
                b"id" => filter.id = Some(positive(value, "client-id should be greater than 0")? as u64),
                b"type" => filter.kind = Some(ClientType::parse(value)?),
                b"user" if ctx.engine.users.get(value).is_some() => filter.user = Some(text()),
                b"user" => return Err(CommandError::owned(format!("ERR No such user '{}'", text()))),
                b"addr" => filter.addr = Some(text()),
                b"laddr" => filter.laddr = Some(text()),
                b"maxage" => filter.max_age_s = Some(max_age(value)?),
                b"skipme" if is(value, "yes") => filter.skip_me = true,
                b"skipme" if is(value, "no") => filter.skip_me = false,
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(filter)
    }

    fn fits(&self, client: &ClientInfo, me: u64, now_ms: i64) -> bool {
        !(is_leaving(client) || self.skip_me && client.id == me)
            && self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind == ClientType::of(client))
            && self.user.as_ref().is_none_or(|user| *user == client.texts.lock().user)
            && self.addr.as_ref().is_none_or(|addr| *addr == client.addr)
            && self.laddr.as_ref().is_none_or(|laddr| *laddr == client.laddr)
            && self.max_age_s.is_none_or(|age_s| (now_ms - client.created_ms) / 1000 >= age_s)
    }
}

fn positive(text: &[u8], error: &'static str) -> Result<i64, CommandError> {
    parse_i64(text).filter(|n| *n > 0).ok_or_else(|| CommandError::owned(format!("ERR {error}")))
}

fn max_age(text: &[u8]) -> Result<i64, CommandError> {
    if parse_i64(text).is_none() {
        return Err(CommandError::text("ERR maxage is not an integer or out of range"));
    }
    positive(text, "maxage should be greater than 0")
}

fn client_kill(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    if argv.len() == 3 {
        let addr = String::from_utf8_lossy(argv.at(2)).into_owned();
        let filter =
            Filter { addr: Some(addr), id: None, kind: None, user: None, laddr: None, max_age_s: None, skip_me: false };
        if kill(ctx, &filter) == 0 {
            return Err(CommandError::text("ERR No such client"));
        }
        ctx.reply.ok();
    } else {
        let killed = kill(ctx, &Filter::parse(ctx, argv)?);
        ctx.reply.integer(killed);
    }
    Ok(())
}

/// Closes what the filter selects; the connection that asked still gets its reply.
fn kill(ctx: &mut Ctx<'_>, filter: &Filter) -> i64 {
    let (me, now_ms) = (ctx.session.shared.id, ctx.ks.now_ms);
    let mut killed = 0;
    for client in ctx.engine.clients.lock().values().filter(|client| filter.fits(client, me, now_ms)) {
        killed += 1;
        if client.id == me {
            ctx.session.close_after_reply = true;
        } else {
            client.kill();
        }
    }
    killed
}

fn client_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "CLIENT",
        &[
            ("CACHING (YES|NO)", "Whether the keys of the next command are tracked."),
            ("GETNAME", "The name of this connection."),
            ("GETREDIR", "The client that is told of changed keys in this one's place."),
            ("ID", "The unique number of this connection."),
            ("INFO", "What the server knows of this connection."),
            ("KILL <ip:port>", "Closes the connection from this address."),
            (
                "KILL <option> <value> [<option> <value> ...]",
                "Closes connections that fit every option: ID <id>, TYPE (NORMAL|MASTER|REPLICA|PUBSUB), USER <name>, \
                 ADDR <ip:port>, LADDR <ip:port>, MAXAGE <seconds>, SKIPME (YES|NO).",
            ),
            ("LIST [TYPE <type> | ID <id> [<id> ...]]", "Describes connections, one per line."),
            ("NO-EVICT (ON|OFF)", "Exempts this connection from being closed for its memory use."),
            ("NO-TOUCH (ON|OFF)", "Keeps this connection's reads from counting as use of a key."),
            ("PAUSE <milliseconds> [WRITE|ALL]", "Holds commands back: those that write, or all."),
            ("REPLY (ON|OFF|SKIP)", "Turns replies to this connection on or off, or skips one."),
            ("SETINFO (LIB-NAME|LIB-VER) <text>", "Records the client library."),
            ("SETNAME <name>", "Names this connection."),
            (
                "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
                "Whether this connection is told of keys that changed.",
            ),
            ("TRACKINGINFO", "How this connection tracks keys."),
            ("UNBLOCK <client-id> [TIMEOUT|ERROR]", "Ends the wait of a client that is blocked by a command."),
            ("UNPAUSE", "Ends a PAUSE."),
        ],
    );
    Ok(())
}
