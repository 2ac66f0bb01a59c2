//! Commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET.
//!
//! Users and their passwords are in `acl`; the parameter `requirepass` is the password of the user `default`.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Protocol};

use crate::acl::log::{Context, Denial, Reason};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, Locks};
use crate::commands::args::{Options, integer, integer_32, is};
use crate::commands::module::modules;
use crate::commands::transactions::forget_watches;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::host::RoleReply;
use crate::session::ReplyMode;

/// What QUIT, RESET, AUTH and HELLO share: they work in every state of server and connection.
const ANY_STATE: Flags = Flags::NOSCRIPT
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::FAST)
    .with(Flags::NO_AUTH)
    .with(Flags::ALLOW_BUSY);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "auth",
        summary: "Proves who the connection speaks for.",
        complexity: "O(N) where N is the number of passwords of the user",
        group: Group::Connection,
        arity: -2,
        flags: ANY_STATE,
        acl: Acl::CONNECTION,
        args: &[Arg::string("username").optional().since("6.0.0"), Arg::string("password")],
        locks: Locks::KeysAlone,
        run: auth,
        ..Command::NEW
    },
    Command {
        name: "echo",
        summary: "Answers its argument.",
        group: Group::Connection,
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        acl: Acl::CONNECTION,
        args: &[Arg::string("message")],
        run: echo,
        ..Command::NEW
    },
    Command {
        name: "hello",
        summary: "Agrees on the protocol version and introduces both sides.",
        since: "6.0.0",
        group: Group::Connection,
        arity: -1,
        flags: ANY_STATE,
        acl: Acl::CONNECTION,
        args: &[Arg::block(
            "arguments",
            &[
                Arg::integer("protover"),
                Arg::block("auth", &[Arg::string("username"), Arg::string("password")]).after("AUTH").optional(),
                Arg::string("clientname").after("SETNAME").optional(),
            ],
        )
        .optional()],
        locks: Locks::KeysAlone,
        run: hello,
        ..Command::NEW
    },
    Command {
        name: "ping",
        summary: "Answers PONG or its argument, to show that the server lives.",
        group: Group::Connection,
        arity: -1,
        flags: Flags::FAST,
        acl: Acl::CONNECTION,
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        args: &[Arg::string("message").optional()],
        run: ping,
        ..Command::NEW
    },
    Command {
        name: "quit",
        summary: "Answers OK and closes the connection.",
        group: Group::Connection,
        arity: -1,
        flags: ANY_STATE,
        acl: Acl::CONNECTION,
        deprecated: Some(("7.2.0", "just closing the connection")),
        locks: Locks::KeysAlone,
        run: quit,
        ..Command::NEW
    },
    Command {
        name: "reset",
        summary: "Brings the connection back to the state it had when new.",
        since: "6.2.0",
        group: Group::Connection,
        flags: ANY_STATE,
        acl: Acl::CONNECTION,
        locks: Locks::KeysAlone,
        run: reset,
        ..Command::NEW
    },
    Command {
        name: "select",
        summary: "Chooses the database for the commands that follow.",
        group: Group::Connection,
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE).with(Flags::FAST),
        acl: Acl::CONNECTION,
        args: &[Arg::integer("index")],
        locks: Locks::KeysAlone,
        run: select,
        ..Command::NEW
    },
];

fn ping(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    match argv.len() {
        // A subscriber of RESP2 reads messages only, so this is shaped like one.
        1 | 2 if ctx.session.protocol == Protocol::Resp2 && ctx.session.shared.is_subscriber() => {
            ctx.reply.array(2);
            ctx.reply.bulk(b"pong");
            ctx.reply.bulk(argv.get(1).unwrap_or_default());
        }
        1 => ctx.reply.simple("PONG"),
        2 => ctx.reply.bulk(argv.at(1)),
        _ => return Err(CommandError::Arity("ping".into())),
    }
    Ok(())
}

fn echo(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    ctx.reply.bulk(argv.at(1));
    Ok(())
}

fn select(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let db = database(ctx, integer_32(argv.at(1))?).ok_or(CommandError::DbIndex)?;
    choose_database(ctx, db);
    ctx.reply.ok();
    Ok(())
}

/// A number as the index of a database that exists.
pub(crate) fn database(ctx: &Ctx<'_>, index: i32) -> Option<usize> {
    usize::try_from(index).ok().filter(|db| *db < ctx.engine.config.databases())
}

fn choose_database(ctx: &mut Ctx<'_>, db: usize) {
    ctx.session.db = db;
    ctx.ks.db = db;
}

fn quit(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.session.close_after_reply = true;
    ctx.reply.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    ctx.session.multi = None;
    forget_watches(ctx.session);
    ctx.session.fieldsets.clear();
    choose_database(ctx, 0);
    speak(ctx, Protocol::Resp2);
    ctx.session.reply_mode = ReplyMode::On;
    ctx.session.authenticated = ctx.engine.users.is_open();
    ctx.session.become_user(ctx.engine.users.default_user());
    ctx.engine.leave(&ctx.session.shared);
    ctx.session.limited = false;
    let shared = &ctx.session.shared;
    shared.no_evict.store(false, Relaxed);
    shared.no_touch.store(false, Relaxed);
    shared.texts.lock().name.clear();
    ctx.reply.simple("RESET");
    Ok(())
}

fn auth(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let (user, password) = match argv.len() {
        2 if ctx.engine.users.default_user().rules().nopass => {
            return Err(CommandError::text(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        2 => (b"default".as_slice(), argv.at(1)),
        3 => (argv.at(1), argv.at(2)),
        _ => return Err(CommandError::Syntax),
    };
    authenticate(ctx, argv.at(0), user, password)?;
    ctx.reply.ok();
    Ok(())
}

/// Goes on as the user a name and password belong to; `command` is the word that asked for it.
fn authenticate(ctx: &mut Ctx<'_>, command: &[u8], user: &[u8], password: &[u8]) -> CommandResult {
    let Some(user) = ctx.engine.users.authenticate(user, password) else {
        let context = if ctx.ks.in_transaction { Context::Multi } else { Context::Toplevel };
        let denial = Denial { reason: Reason::Auth, context, object: command, username: user };
        ctx.engine.log_denial(ctx.session, ctx.entry, &denial, ctx.ks.now_ms);
        return Err(CommandError::WrongPass);
    };
    ctx.session.authenticated = true;
    ctx.session.become_user(user);
    Ok(())
}

/// What HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<String>,
}

fn hello(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let wanted = parse_hello(argv)?;
    if let Some((user, password)) = wanted.auth {
        authenticate(ctx, argv.at(0), user, password)?;
    }
    if !ctx.session.authenticated && !ctx.engine.users.is_open() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = wanted.name {
        ctx.session.shared.texts.lock().name = name;
    }
    if let Some(protocol) = wanted.protocol {
        speak(ctx, protocol);
    }
    introduce(ctx);
    Ok(())
}

fn parse_hello(argv: Argv<'_>) -> Result<Hello<'_>, CommandError> {
    let mut wanted = Hello::default();
    let Some(version) = argv.get(1) else { return Ok(wanted) };
    let not_a_number = CommandError::text("ERR Protocol version is not an integer or out of range");
    wanted.protocol = match integer(version).map_err(|_| not_a_number)? {
        2 => Some(Protocol::Resp2),
        3 => Some(Protocol::Resp3),
        _ => return Err(CommandError::NoProto),
    };
    let mut options = Options::new(argv, 2);
    while let Some(option) = options.next() {
        if is(option, "auth") {
            wanted.auth = options.next().zip(options.next());
        } else if is(option, "setname") {
            wanted.name = options.next().map(client_name).transpose()?;
        }
        if !(is(option, "auth") && wanted.auth.is_some() || is(option, "setname") && wanted.name.is_some()) {
            let option = quote_word(option);
            return Err(CommandError::owned(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    Ok(wanted)
}

/// The rest of the conversation is in this protocol, the running reply included.
fn speak(ctx: &mut Ctx<'_>, protocol: Protocol) {
    // What waits was spelled in the dialect spoken so far, so it must come before this reply.
    ctx.session.shared.mailbox.speak(protocol, |bytes| ctx.reply.raw(bytes));
    ctx.session.protocol = protocol;
    ctx.reply.set_protocol(protocol);
    ctx.session.shared.texts.lock().resp = if protocol == Protocol::Resp3 { 3 } else { 2 };
}

fn introduce(ctx: &mut Ctx<'_>) {
    let role = match ctx.engine.host().role() {
        RoleReply::Primary(..) => "master",
        RoleReply::Replica(..) => "replica",
    };
    let (protocol, id) = (if ctx.session.protocol == Protocol::Resp3 { 3 } else { 2 }, ctx.session.shared.id);
    let reply = &mut ctx.reply;
    reply.map(7);
    for (name, value) in [("server", "redis"), ("version", crate::REDIS_VERSION)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    for (name, value) in [("proto", protocol), ("id", id as i64)] {
        reply.bulk(name.as_bytes());
        reply.integer(value);
    }
    for (name, value) in [("mode", "standalone"), ("role", role)] {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    modules(reply);
}

/// A name for a connection: printable and without spaces, so that CLIENT LIST stays readable by programs.
pub(crate) fn client_name(text: &[u8]) -> Result<String, CommandError> {
    printable(text).ok_or(CommandError::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// Text of bytes that are all printable ASCII without the space, but for what stands behind a NUL: Redis does not look
/// there, and does not show it. Each byte becomes one character; [`bytes_of`] gives them back.
pub(crate) fn printable(text: &[u8]) -> Option<String> {
    let plain = text.iter().take_while(|byte| **byte != 0).all(u8::is_ascii_graphic);
    plain.then(|| text.iter().copied().map(char::from).collect())
}

/// The bytes of a text that [`printable`] made.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

/// As much of such a text as is shown.
pub(crate) fn shown(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}
