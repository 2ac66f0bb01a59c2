//! Publish and subscribe: <https://redis.io/docs/latest/develop/pubsub/>.
//!
//! What subscribing answers is a message of its own for each name, which RESP3 marks as a push. PUBLISH goes into the
//! stream although it changes nothing, so that subscribers of replicas hear it.

use std::sync::Arc;

use quiver_resp::{Argv, Encoder};

use crate::command::{Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec, Locks};
use crate::commands::help::help;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::pubsub::Kind;
use crate::session::ReplyMode;

const LEAVE: Flags = Flags::PUBSUB.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const JOIN: Flags = LEAVE.with(Flags::DENYOOM);
const SEND: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE).with(Flags::FAST);
const LOOK: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE);

/// Shard channels are routed like keys.
const SLOT_OF_ALL: KeySpec = KeySpec::all(KeyFlags::NOT_KEY);
const SLOT_OF_ONE: KeySpec =
    KeySpec { flags: KeyFlags::NOT_KEY, begin: Begin::Index(1), find: Find::Range { last: 0, step: 1, limit: 0 } };

const PUBSUB_COMMAND: Command =
    Command { since: "2.0.0", group: Group::Pubsub, arity: -2, locks: Locks::KeysAlone, ..Command::NEW };

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "psubscribe",
        summary: "Listens to all channels whose names match patterns.",
        complexity: "O(N) where N is the number of patterns",
        flags: JOIN,
        args: &[Arg::pattern("pattern").multiple()],
        run: |ctx, argv| join(ctx, argv, Kind::Pattern, b"psubscribe"),
        ..PUBSUB_COMMAND
    },
    Command {
        name: "publish",
        summary: "Sends a message to all who listen to a channel.",
        complexity: "O(N+M) where N is the number of subscribers of the channel and M the number of patterns",
        arity: 3,
        flags: SEND,
        args: &[Arg::string("channel"), Arg::string("message")],
        run: publish,
        ..PUBSUB_COMMAND
    },
    Command {
        name: "pubsub",
        summary: "Groups the commands that look into publish and subscribe.",
        since: "2.8.0",
        complexity: "Depends on the subcommand",
        subcommands: SUBCOMMANDS,
        ..PUBSUB_COMMAND
    },
    Command {
        name: "punsubscribe",
        summary: "Ends listening to patterns, or to all of them.",
        complexity: "O(N) where N is the number of patterns",
        arity: -1,
        flags: LEAVE,
        args: &[Arg::pattern("pattern").multiple().optional()],
        run: |ctx, argv| leave(ctx, argv, Kind::Pattern, b"punsubscribe"),
        ..PUBSUB_COMMAND
    },
    Command {
        name: "spublish",
        summary: "Sends a message to all who listen to a shard channel.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of subscribers of the channel",
        arity: 3,
        flags: SEND,
        keys: &[SLOT_OF_ONE],
        args: &[Arg::string("shardchannel"), Arg::string("message")],
        run: spublish,
        ..PUBSUB_COMMAND
    },
    Command {
        name: "ssubscribe",
        summary: "Listens to shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        flags: JOIN,
        keys: &[SLOT_OF_ALL],
        args: &[Arg::string("shardchannel").multiple()],
        run: |ctx, argv| join(ctx, argv, Kind::Shard, b"ssubscribe"),
        ..PUBSUB_COMMAND
    },
    Command {
        name: "subscribe",
        summary: "Listens to channels.",
        complexity: "O(N) where N is the number of channels",
        flags: JOIN,
        args: &[Arg::string("channel").multiple()],
        run: |ctx, argv| join(ctx, argv, Kind::Channel, b"subscribe"),
        ..PUBSUB_COMMAND
    },
    Command {
        name: "sunsubscribe",
        summary: "Ends listening to shard channels, or to all of them.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        arity: -1,
        flags: LEAVE,
        keys: &[SLOT_OF_ALL],
        args: &[Arg::string("shardchannel").multiple().optional()],
        run: |ctx, argv| leave(ctx, argv, Kind::Shard, b"sunsubscribe"),
        ..PUBSUB_COMMAND
    },
    Command {
        name: "unsubscribe",
        summary: "Ends listening to channels, or to all of them.",
        complexity: "O(N) where N is the number of channels",
        arity: -1,
        flags: LEAVE,
        args: &[Arg::string("channel").multiple().optional()],
        run: |ctx, argv| leave(ctx, argv, Kind::Channel, b"unsubscribe"),
        ..PUBSUB_COMMAND
    },
];

const SUBCOMMAND: Command = Command { since: "2.8.0", flags: LOOK, ..PUBSUB_COMMAND };

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "channels",
        summary: "Lists the channels somebody listens to.",
        complexity: "O(N) where N is the number of channels",
        args: &[Arg::pattern("pattern").optional()],
        run: |ctx, argv| channels(ctx, argv, Kind::Channel),
        ..SUBCOMMAND
    },
    Command {
        name: "help",
        summary: "Explains the subcommands of PUBSUB.",
        since: "6.2.0",
        arity: 2,
        flags: Flags::LOADING.with(Flags::STALE),
        run: pubsub_help,
        ..SUBCOMMAND
    },
    Command {
        name: "numpat",
        summary: "Counts the patterns somebody listens to.",
        arity: 2,
        run: numpat,
        ..SUBCOMMAND
    },
    Command {
        name: "numsub",
        summary: "Counts the subscribers of channels.",
        complexity: "O(N) where N is the number of channels",
        args: &[Arg::string("channel").multiple().optional()],
        run: |ctx, argv| numsub(ctx, argv, Kind::Channel),
        ..SUBCOMMAND
    },
    Command {
        name: "shardchannels",
        summary: "Lists the shard channels somebody listens to.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        args: &[Arg::pattern("pattern").optional()],
        run: |ctx, argv| channels(ctx, argv, Kind::Shard),
        ..SUBCOMMAND
    },
    Command {
        name: "shardnumsub",
        summary: "Counts the subscribers of shard channels.",
        since: "7.0.0",
        complexity: "O(N) where N is the number of channels",
        args: &[Arg::string("shardchannel").multiple().optional()],
        run: |ctx, argv| numsub(ctx, argv, Kind::Shard),
        ..SUBCOMMAND
    },
];

fn join(ctx: &mut Ctx<'_>, argv: Argv<'_>, kind: Kind, word: &[u8]) -> CommandResult {
    if kind == Kind::Shard && ctx.ks.in_transaction {
        return Err(CommandError::text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    let client = Arc::clone(&ctx.session.shared);
    ctx.session.limited = true;
    for name in argv.from(1) {
        let count = ctx.engine.pubsub.subscribe(&client, kind, name);
        answer(ctx, |reply| {
            reply.push(3);
            reply.bulk(word);
            reply.bulk(name);
            reply.integer(count as i64);
        });
    }
    Ok(())
}

fn leave(ctx: &mut Ctx<'_>, argv: Argv<'_>, kind: Kind, word: &[u8]) -> CommandResult {
    let client = Arc::clone(&ctx.session.shared);
    let names: Vec<Box<[u8]>> = match argv.len() {
        1 => client.subscriptions.lock().names(kind),
        _ => argv.from(1).iter().map(Into::into).collect(),
    };
    let counts: Vec<usize> = names.iter().map(|name| ctx.engine.pubsub.unsubscribe(&client, kind, name)).collect();
    ctx.session.limited = client.is_subscriber() || client.monitor.load(std::sync::atomic::Ordering::Relaxed);
    // What was sent before comes first: behind its confirmation nothing must come from a channel that was left. Inside
    // EXEC messages wait for the end of its reply.
    if !ctx.ks.in_transaction && ctx.session.reply_mode == ReplyMode::On {
        client.mailbox.drain(|bytes| ctx.reply.raw(bytes));
    }
    for (name, count) in names.iter().zip(counts) {
        answer(ctx, |reply| {
            reply.push(3);
            reply.bulk(word);
            reply.bulk(name);
            reply.integer(count as i64);
        });
    }
    if names.is_empty() {
        let count = client.subscriptions.lock().count(kind);
        answer(ctx, |reply| {
            reply.push(3);
            reply.bulk(word);
            reply.null();
            reply.integer(count as i64);
        });
    }
    Ok(())
}

/// Writes a message in the reply's place. CLIENT REPLY silences replies, not messages, so there it goes by the mailbox.
fn answer(ctx: &mut Ctx<'_>, write: impl FnOnce(&mut Encoder<'_>)) {
    if ctx.session.reply_mode == ReplyMode::On {
        return write(&mut ctx.reply);
    }
    let mut message = Vec::new();
    write(&mut Encoder::new(&mut message, ctx.session.protocol));
    let from = ctx.sender();
    ctx.engine.push(&ctx.session.shared, from, &message);
}

fn publish(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let from = ctx.sender();
    let told = ctx.engine.pubsub.publish(ctx.engine, from, argv.at(1), argv.at(2));
    ctx.replay_as(&[b"PUBLISH", argv.at(1), argv.at(2)]);
    ctx.reply.integer(told as i64);
    Ok(())
}

fn spublish(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let from = ctx.sender();
    let told = ctx.engine.pubsub.publish_sharded(ctx.engine, from, argv.at(1), argv.at(2));
    ctx.replay_as(&[b"SPUBLISH", argv.at(1), argv.at(2)]);
    ctx.reply.integer(told as i64);
    Ok(())
}

fn channels(ctx: &mut Ctx<'_>, argv: Argv<'_>, kind: Kind) -> CommandResult {
    if argv.len() > 3 {
        let word = quote_word(argv.at(1));
        return Err(CommandError::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )));
    }
    let names = ctx.engine.pubsub.channels(kind, argv.get(2));
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name));
    Ok(())
}

fn numsub(ctx: &mut Ctx<'_>, argv: Argv<'_>, kind: Kind) -> CommandResult {
    ctx.reply.array((argv.len() - 2) * 2);
    for name in argv.from(2) {
        let receivers = ctx.engine.pubsub.receivers_of(kind, name);
        ctx.reply.bulk(name);
        ctx.reply.integer(receivers as i64);
    }
    Ok(())
}

fn numpat(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let (_, patterns, _) = ctx.engine.pubsub.counts();
    ctx.reply.integer(patterns as i64);
    Ok(())
}

fn pubsub_help(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    help(
        ctx,
        "PUBSUB",
        &[
            ("CHANNELS [<pattern>]", "Channels with subscribers, all or those that match."),
            ("NUMPAT", "Number of patterns with subscribers."),
            ("NUMSUB [<channel> ...]", "Number of subscribers of each channel, patterns aside."),
            ("SHARDCHANNELS [<pattern>]", "Shard channels with subscribers, all or those that match."),
            ("SHARDNUMSUB [<shardchannel> ...]", "Number of subscribers of each shard channel."),
        ],
    );
    Ok(())
}
