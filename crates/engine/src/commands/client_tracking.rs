//! CLIENT TRACKING and its relatives: which keys a client that caches wants to hear of.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::Argv;

use crate::command::{Arg, Command, CommandResult};
use crate::commands::args::{Options, integer, is};
use crate::commands::client::SUBCOMMAND;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::session::ClientInfo;
use crate::tracking::Mode;

pub(super) const CACHING: Command = Command {
    name: "caching",
    summary: "Says whether the keys of the next command are tracked.",
    since: "6.0.0",
    arity: 3,
    args: &[Arg::one_of("mode", &[Arg::word("yes", "YES"), Arg::word("no", "NO")])],
    run: caching,
    ..SUBCOMMAND
};

pub(super) const GETREDIR: Command = Command {
    name: "getredir",
    summary: "Answers the client that is told of changed keys in this one's place.",
    since: "6.0.0",
    run: getredir,
    ..SUBCOMMAND
};

pub(super) const TRACKING: Command = Command {
    name: "tracking",
    summary: "Turns on or off that this connection is told of keys that changed.",
    since: "6.0.0",
    arity: -3,
    args: &[
        Arg::one_of("status", &[Arg::word("on", "ON"), Arg::word("off", "OFF")]),
        Arg::integer("client-id").after("REDIRECT").optional(),
        Arg::string("prefix").after("PREFIX").optional().multiple_token(),
        Arg::word("bcast", "BCAST").optional(),
        Arg::word("optin", "OPTIN").optional(),
        Arg::word("optout", "OPTOUT").optional(),
        Arg::word("noloop", "NOLOOP").optional(),
    ],
    run: tracking,
    ..SUBCOMMAND
};

pub(super) const TRACKINGINFO: Command = Command {
    name: "trackinginfo",
    summary: "Describes how this connection tracks keys.",
    since: "6.2.0",
    run: trackinginfo,
    ..SUBCOMMAND
};

const SWITCH_BCAST: CommandError = CommandError::text(
    "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);
const SWITCH_OPT: CommandError = CommandError::text(
    "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a \
     different mode.",
);

/// What stands behind ON.
struct Wish {
    mode: Mode,
    redirect: u64,
    prefixes: Vec<Box<[u8]>>,
}

impl Wish {
    fn parse(ctx: &Ctx<'_>, argv: Argv<'_>) -> Result<Self, CommandError> {
        let mut wish = Self { mode: Mode::OFF, redirect: 0, prefixes: Vec::new() };
        let mut options = Options::new(argv, 3);
        while let Some(word) = options.next() {
            match word.to_ascii_lowercase().as_slice() {
                b"redirect" => wish.redirect = redirect(ctx, &wish, options.value()?)?,
                b"bcast" => wish.mode = wish.mode.with(Mode::BCAST),
                b"optin" => wish.mode = wish.mode.with(Mode::OPTIN),
                b"optout" => wish.mode = wish.mode.with(Mode::OPTOUT),
                b"noloop" => wish.mode = wish.mode.with(Mode::NOLOOP),
                b"prefix" => wish.prefixes.push(options.value()?.into()),
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(wish)
    }

    /// Whether the words go together, and with what the client has said before.
    fn check(&self, client: &ClientInfo) -> CommandResult {
        let (new, old) = (self.mode, client.tracking_mode());
        let refuse = |text| Err(CommandError::text(text));
        if !new.has(Mode::BCAST) && !self.prefixes.is_empty() {
            return refuse("ERR PREFIX option requires BCAST mode to be enabled");
        }
        if old.has(Mode::ON) && old.has(Mode::BCAST) != new.has(Mode::BCAST) {
            return Err(SWITCH_BCAST);
        }
        if new.has(Mode::BCAST) && (new.has(Mode::OPTIN) || new.has(Mode::OPTOUT)) {
            return refuse("ERR OPTIN and OPTOUT are not compatible with BCAST");
        }
        if new.has(Mode::OPTIN) && new.has(Mode::OPTOUT) {
            return refuse("ERR You can't specify both OPTIN mode and OPTOUT mode");
        }
        if new.has(Mode::OPTIN) && old.has(Mode::OPTOUT) || new.has(Mode::OPTOUT) && old.has(Mode::OPTIN) {
            return Err(SWITCH_OPT);
        }
        self.check_prefixes(client)
    }

    fn check_prefixes(&self, client: &ClientInfo) -> CommandResult {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let known = client.prefixes.lock();
        for (at, new) in self.prefixes.iter().enumerate() {
            if let Some(old) = known.iter().find(|old| overlap(old, new)) {
                return Err(overlapping(new, "an existing", old));
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(other, new)) {
                return Err(overlapping(new, "another provided", other));
            }
        }
        Ok(())
    }
}

fn overlapping(new: &[u8], which: &str, other: &[u8]) -> CommandError {
    CommandError::owned(format!(
        "ERR Prefix '{}' overlaps with {which} prefix '{}'. Prefixes for a single client must not overlap.",
        quote_word(new),
        quote_word(other)
    ))
}

/// The client that is to be told, which must exist now.
fn redirect(ctx: &Ctx<'_>, wish: &Wish, text: &[u8]) -> Result<u64, CommandError> {
    if wish.redirect != 0 {
        return Err(CommandError::text("ERR A client can only redirect to a single other client"));
    }
    let id = integer(text)?;
    match u64::try_from(id) {
        Ok(id) if ctx.engine.clients.lock().contains_key(&id) => Ok(id),
        _ => Err(CommandError::text("ERR The client ID you want redirect to does not exist")),
    }
}

fn tracking(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let mut wish = Wish::parse(ctx, argv)?;
    let client = Arc::clone(&ctx.session.shared);
    if is(argv.at(2), "on") {
        wish.check(&client)?;
        if wish.mode.has(Mode::BCAST) && wish.prefixes.is_empty() {
            wish.prefixes.push([].into());
        }
        ctx.engine.tracking.enable(&client, wish.mode, wish.redirect, &wish.prefixes);
    } else if is(argv.at(2), "off") {
        ctx.engine.tracking.disable(&client);
    } else {
        return Err(CommandError::Syntax);
    }
    ctx.reply.ok();
    Ok(())
}

fn caching(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let client = &ctx.session.shared;
    let mode = client.tracking_mode();
    if !mode.has(Mode::ON) {
        return Err(CommandError::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    }
    let (needed, error) = if is(argv.at(2), "yes") {
        (Mode::OPTIN, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    } else if is(argv.at(2), "no") {
        (Mode::OPTOUT, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    } else {
        return Err(CommandError::Syntax);
    };
    if !mode.has(needed) {
        return Err(CommandError::text(error));
    }
    client.tracking.fetch_or(Mode::CACHING.0, Relaxed);
    ctx.reply.ok();
    Ok(())
}

fn getredir(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let redirect = redirection(&ctx.session.shared);
    ctx.reply.integer(redirect);
    Ok(())
}

/// Whom a client redirects to: 0 for nobody, -1 where it does not track.
pub(super) fn redirection(client: &ClientInfo) -> i64 {
    if client.tracking_mode().has(Mode::ON) { client.redirect.load(Relaxed) as i64 } else { -1 }
}

fn trackinginfo(ctx: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    let client = Arc::clone(&ctx.session.shared);
    let mode = client.tracking_mode();
    let caching = |opt: Mode| mode.has(opt) && mode.has(Mode::CACHING);
    let marks = [
        ("off", !mode.has(Mode::ON)),
        ("on", mode.has(Mode::ON)),
        ("bcast", mode.has(Mode::BCAST)),
        ("optin", mode.has(Mode::OPTIN)),
        ("caching-yes", caching(Mode::OPTIN)),
        ("optout", mode.has(Mode::OPTOUT)),
        ("caching-no", caching(Mode::OPTOUT)),
        ("noloop", mode.has(Mode::NOLOOP)),
        ("broken_redirect", mode.has(Mode::BROKEN)),
    ];
    let marks: Vec<&str> = marks.iter().filter(|(_, set)| *set).map(|(mark, _)| *mark).collect();
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(marks.len());
    marks.iter().for_each(|mark| ctx.reply.bulk(mark.as_bytes()));
    ctx.reply.bulk(b"redirect");
    ctx.reply.integer(redirection(&client));
    ctx.reply.bulk(b"prefixes");
    let prefixes = client.prefixes.lock();
    ctx.reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| ctx.reply.bulk(prefix));
    Ok(())
}
