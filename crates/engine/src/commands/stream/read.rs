//! XREAD and XREADGROUP: entries of several streams behind the ids a reader has seen, waiting for them if need be.
//!
//! A reader that waits is run again when one of its streams changes, with `$` and `+` replaced by the ids they meant when
//! it began to wait. Pending entries that only become old enough to claim (CLAIM) while it waits do not wake it.

use quiver_resp::{Argv, Encoder, OwnedArgv, Protocol};

use super::super::args::integer;
use super::serve::serve_group;
use super::{exact_id, no_key_or_group, write_entry};
use crate::blocking::{Absent, deadline_of_ms};
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::number::parse_i64;
use crate::types::stream::{Entry, Id, Log, Stream};

const fn keys_behind_streams(start_from: i32) -> KeySpec {
    KeySpec {
        flags: KeyFlags::RO.with(KeyFlags::ACCESS),
        begin: Begin::Keyword { keyword: "STREAMS", start_from },
        find: Find::Range { last: -1, step: 1, limit: 2 },
    }
}

const COUNT: Arg = Arg::integer("count").after("COUNT").optional();
const MAXCOUNT: Arg = Arg::integer("maxcount").after("MAXCOUNT").optional().since("8.10.0");
const MAXSIZE: Arg = Arg::integer("maxsize").after("MAXSIZE").optional().since("8.10.0");
const BLOCK: Arg = Arg::integer("milliseconds").after("BLOCK").optional();
const STREAMS: Arg =
    Arg::block("streams", &[Arg::key("key").multiple(), Arg::string("id").multiple()]).after("STREAMS");

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xread",
        summary: "Reads entries of streams behind given ids, and waits for them if wanted.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries read",
        group: Group::Stream,
        arity: -4,
        flags: Flags::READONLY.with(Flags::BLOCKING).with(Flags::MOVABLEKEYS),
        acl: Acl::STREAM,
        keys: &[keys_behind_streams(1)],
        args: &[COUNT, MAXCOUNT, MAXSIZE, BLOCK, STREAMS],
        run: xread,
        ..Command::NEW
    },
    Command {
        name: "xreadgroup",
        summary: "Reads entries of streams as a consumer of a group, and waits for them if wanted.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries read",
        group: Group::Stream,
        arity: -7,
        flags: Flags::WRITE.with(Flags::BLOCKING).with(Flags::MOVABLEKEYS),
        acl: Acl::STREAM,
        keys: &[keys_behind_streams(4)],
        args: &[
            Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")]).after("GROUP"),
            COUNT,
            MAXCOUNT,
            MAXSIZE,
            BLOCK,
            Arg::integer("min-idle-time").after("CLAIM").optional().since("8.4.0"),
            Arg::word("noack", "NOACK").optional(),
            STREAMS,
        ],
        run: xreadgroup,
        ..Command::NEW
    },
];

/// Who reads for a group, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) group: &'a [u8],
    pub(super) consumer: &'a [u8],
    pub(super) no_ack: bool,
    /// Claim first what has been pending for so long, ms.
    pub(super) claim_ms: Option<i64>,
}

/// The words of either command.
struct Request<'a> {
    reader: Option<Reader<'a>>,
    budget: Budget,
    /// Until when to wait; nothing inside means for ever.
    deadline: Option<Option<i64>>,
    streams_at: usize,
    streams: usize,
}

/// How much may be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Entries of each stream.
    pub(super) count: usize,
    /// Entries in all.
    max_count: usize,
    /// Bytes of the reply, but never less than one entry.
    max_size: usize,
    /// Entries so far.
    written: usize,
    /// Where the reply begins.
    start: usize,
}

impl Budget {
    /// Writes one more entry with `write` if it is within the limits of the whole reply.
    pub(super) fn write(&mut self, reply: &mut Encoder<'_>, write: impl FnOnce(&mut Encoder<'_>)) -> bool {
        if self.written >= self.max_count {
            return false;
        }
        let before = reply.position();
        write(reply);
        if self.written > 0 && reply.position() - self.start > self.max_size {
            reply.truncate(before);
            // What comes after it in order must not overtake it.
            self.max_count = self.written;
            return false;
        }
        self.written += 1;
        true
    }
}

/// From where a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Behind this id.
    Behind(Id),
    /// `>`: what the group has not delivered yet.
    New,
}

fn xread(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    read(ctx, argv, false)
}

fn xreadgroup(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    read(ctx, argv, true)
}

fn read(ctx: &mut Ctx<'_>, argv: Argv<'_>, grouped: bool) -> CommandResult {
    let mut request = Request::parse(argv, grouped, ctx.ks.now_ms)?;
    let places = request.places(ctx, argv)?;
    let start = ctx.reply.position();
    request.budget.start = start;
    let mut served = 0;
    for (index, from) in places.iter().enumerate() {
        let name = argv.at(request.streams_at + index);
        let at = ctx.reply.position();
        if ctx.reply.protocol() == Protocol::Resp2 {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(name);
        let any = match request.reader {
            Some(reader) => serve_group(ctx, name, reader, *from, &mut request.budget)?,
            None => serve(ctx, name, *from, &mut request.budget)?,
        };
        if any {
            served += 1;
        } else {
            ctx.reply.truncate(at);
        }
    }
    if served > 0 {
        match ctx.reply.protocol() {
            Protocol::Resp2 => ctx.reply.array_before(start, served),
            Protocol::Resp3 => ctx.reply.map_before(start, served),
        }
        return Ok(());
    }
    match request.deadline {
        Some(deadline) if ctx.may_block() => {
            let names = argv.from(request.streams_at).iter().take(request.streams);
            ctx.block_on(names, deadline, Absent::NullArray, request.again(argv, &places));
        }
        _ => ctx.reply.null_array(),
    }
    Ok(())
}

/// Entries behind an id, if there are any.
fn serve(ctx: &mut Ctx<'_>, name: &[u8], from: From, budget: &mut Budget) -> Result<bool, CommandError> {
    let key = ctx.key(name);
    let stream = ctx.ks.value::<Box<Stream>>(key)?;
    let (Some(stream), From::Behind(id)) = (stream, from) else { return Ok(false) };
    let at = ctx.reply.position();
    let written = write_behind(&stream.log, id, &mut ctx.reply, budget, write_entry, &mut |_| ());
    ctx.reply.array_before(at, written);
    Ok(written > 0)
}

/// Writes the entries behind an id in a form; `delivered` hears of each. The number of entries, whose header is the caller's.
pub(super) fn write_behind(
    log: &Log,
    id: Id,
    reply: &mut Encoder<'_>,
    budget: &mut Budget,
    form: fn(&mut Encoder<'_>, &Entry<'_>),
    delivered: &mut dyn FnMut(&Entry<'_>),
) -> usize {
    let mut written = 0;
    for entry in id.next().into_iter().flat_map(|from| log.range(from, Id::MAX)).take(budget.count) {
        if !budget.write(reply, |reply| form(reply, &entry)) {
            break;
        }
        delivered(&entry);
        written += 1;
    }
    written
}

impl<'a> Request<'a> {
    fn parse(argv: Argv<'a>, grouped: bool, now_ms: i64) -> Result<Self, CommandError> {
        let unlimited = Budget { count: usize::MAX, max_count: usize::MAX, max_size: usize::MAX, written: 0, start: 0 };
        let mut request = Self { reader: None, budget: unlimited, deadline: None, streams_at: 0, streams: 0 };
        let (mut group, mut no_ack, mut claim_ms) = (None, false, None);
        let mut at = 1;
        while let Some(word) = argv.get(at) {
            let value = argv.get(at + 1);
            match (word.to_ascii_uppercase().as_slice(), value) {
                (b"BLOCK", Some(value)) => request.deadline = Some(deadline_of_ms(value, now_ms)?),
                (b"COUNT", Some(value)) => request.budget.count = count(integer(value)?),
                (b"MAXCOUNT", Some(value)) => request.budget.max_count = limit(value, "MAXCOUNT")?,
                (b"MAXSIZE", Some(value)) => request.budget.max_size = limit(value, "MAXSIZE")?,
                (b"STREAMS", Some(_)) => {
                    request.set_streams(argv, at + 1, grouped)?;
                    break;
                }
                (b"GROUP", Some(name)) if at + 2 < argv.len() => {
                    only_for_groups(grouped, "GROUP")?;
                    group = Some((name, argv.at(at + 2)));
                    at += 1;
                }
                (b"CLAIM", Some(value)) => {
                    only_for_groups(grouped, "CLAIM")?;
                    claim_ms = Some(claim_time(value)?);
                }
                (b"NOACK", _) => {
                    only_for_groups(grouped, "NOACK")?;
                    no_ack = true;
                    // No value follows.
                    at -= 1;
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 2;
        }
        if request.streams_at == 0 {
            return Err(CommandError::Syntax);
        }
        if request.budget.count != usize::MAX && request.budget.max_count < request.budget.count {
            return Err(CommandError::text("ERR MAXCOUNT must be greater than or equal to COUNT"));
        }
        request.reader = group.map(|(group, consumer)| Reader { group, consumer, no_ack, claim_ms });
        if grouped && request.reader.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }

    fn set_streams(&mut self, argv: Argv<'_>, at: usize, grouped: bool) -> CommandResult {
        const UNBALANCED: CommandError = CommandError::text(
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.",
        );
        const UNBALANCED_GROUPED: CommandError = CommandError::text(
            "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.",
        );
        let words = argv.len() - at;
        if !words.is_multiple_of(2) {
            return Err(if grouped { UNBALANCED_GROUPED } else { UNBALANCED });
        }
        (self.streams_at, self.streams) = (at, words / 2);
        Ok(())
    }

    /// Where to read each stream from; the groups have to exist.
    fn places(&self, ctx: &mut Ctx<'_>, argv: Argv<'_>) -> Result<Vec<From>, CommandError> {
        let mut places = Vec::with_capacity(self.streams);
        for index in self.streams_at..self.streams_at + self.streams {
            let (key, id) = (ctx.key(argv.at(index)), argv.at(index + self.streams));
            if ctx.ks.locked() & key.shard_set() == 0 {
                // Another word STREAMS stands before the one that counts, and its keys were locked.
                return Err(CommandError::Syntax);
            }
            let stream = ctx.ks.value::<Box<Stream>>(key)?;
            if let Some(reader) = self.reader {
                if stream.is_none_or(|stream| !stream.groups.contains_key(reader.group)) {
                    return Err(no_key_or_group(&key, reader.group, " in XREADGROUP with GROUP option"));
                }
                places.push(place_in_group(id)?);
            } else {
                places.push(place(id, stream.map(|stream| &stream.log))?);
            }
        }
        Ok(places)
    }

    /// The command to run when a stream changes: it must not take later entries for the ones it has seen.
    fn again(&self, argv: Argv<'_>, places: &[From]) -> OwnedArgv {
        let mut again = OwnedArgv::new();
        let ids_at = self.streams_at + self.streams;
        for (index, word) in argv.iter().enumerate() {
            match (word, index.checked_sub(ids_at).map(|index| places[index])) {
                (b"$" | b"+", Some(From::Behind(id))) => again.push(id.text().as_bytes()),
                _ => again.push(word),
            }
        }
        again
    }
}

fn place(id: &[u8], log: Option<&Log>) -> Result<From, CommandError> {
    const ONLY_FOR_GROUPS: CommandError = CommandError::text(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
    );
    match id {
        b"$" => Ok(From::Behind(log.map_or(Id::MIN, Log::last_id))),
        // The last entry is the only one behind the id right before it.
        b"+" => Ok(From::Behind(log.map_or(Id::MIN, |log| match log.last_entry_id() {
            Id::MIN => log.last_id(),
            last => last.previous().unwrap_or(Id::MIN),
        }))),
        b">" => Err(ONLY_FOR_GROUPS),
        _ => exact_id(id).map(From::Behind),
    }
}

fn place_in_group(id: &[u8]) -> Result<From, CommandError> {
    const NOT_THE_END: CommandError = CommandError::text(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
         specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
    );
    const NOT_THE_LAST: CommandError = CommandError::text(
        "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
         specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
    );
    match id {
        b"$" => Err(NOT_THE_END),
        b"+" => Err(NOT_THE_LAST),
        b">" => Ok(From::New),
        _ => Ok(match exact_id(id)? {
            Id::MAX => From::New,
            id => From::Behind(id),
        }),
    }
}

fn only_for_groups(grouped: bool, option: &str) -> CommandResult {
    if grouped {
        return Ok(());
    }
    Err(CommandError::owned(format!(
        "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
    )))
}

/// COUNT: what is not positive means all.
fn count(given: i64) -> usize {
    usize::try_from(given).ok().filter(|count| *count > 0).unwrap_or(usize::MAX)
}

fn limit(text: &[u8], name: &str) -> Result<usize, CommandError> {
    let positive = usize::try_from(integer(text)?).ok().filter(|limit| *limit > 0);
    positive.ok_or_else(|| CommandError::owned(format!("ERR {name} must be a positive integer")))
}

fn claim_time(text: &[u8]) -> Result<i64, CommandError> {
    let time = parse_i64(text).filter(|time| *time >= 0);
    time.ok_or(CommandError::text("ERR min-idle-time is not an integer or out of range"))
}
