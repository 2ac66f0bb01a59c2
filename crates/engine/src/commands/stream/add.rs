//! XADD and XTRIM.
//!
//! What is replayed is exact: the id the entry got, and instead of "about so many" the number or the id that trimming
//! arrived at.

use quiver_resp::Argv;
use smallvec::SmallVec;

use super::options::{Message, Options, named};
use super::{CONDITION, write_id};
use crate::command::{Acl, Arg, Command, CommandResult, Flags, Group, KeyFlags, KeySpec};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::notify::Class;
use crate::number::IntText;
use crate::session::Role;
use crate::types::stream::id::Wanted;
use crate::types::stream::idmp::{Idmp, Settings};
use crate::types::stream::log::{Limits, Refusal};
use crate::types::stream::trim::{References, Threshold, Trim, Trimmed};
use crate::types::stream::{Id, Log, Stream};

const STRATEGY: Arg =
    Arg::one_of("strategy", &[Arg::word("maxlen", "MAXLEN"), Arg::word("minid", "MINID").since("6.2.0")]);
const OPERATOR: Arg = Arg::one_of("operator", &[Arg::word("equal", "="), Arg::word("approximately", "~")]).optional();
const LIMIT: Arg = Arg::integer("count").after("LIMIT").optional().since("6.2.0");

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "xadd",
        summary: "Adds an entry to a stream, creating it when missing.",
        since: "5.0.0",
        complexity: "O(1), and O(N) where N is the number of entries trimmed",
        group: Group::Stream,
        arity: -5,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::FAST),
        acl: Acl::STREAM,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::UPDATE))],
        args: &[
            Arg::key("key"),
            Arg::word("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
            CONDITION,
            Arg::one_of(
                "idmp",
                &[
                    Arg::string("pid").after("IDMPAUTO"),
                    Arg::block("idmp", &[Arg::string("pid"), Arg::string("iid")]).after("IDMP"),
                ],
            )
            .optional()
            .since("8.6.0"),
            Arg::block("trim", &[STRATEGY, OPERATOR, Arg::string("threshold"), LIMIT]).optional(),
            Arg::one_of("id-selector", &[Arg::word("auto-id", "*"), Arg::string("id")]),
            Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
        ],
        run: xadd,
        ..Command::NEW
    },
    Command {
        name: "xtrim",
        summary: "Removes the oldest entries of a stream.",
        since: "5.0.0",
        complexity: "O(N) where N is the number of entries removed",
        group: Group::Stream,
        arity: -4,
        flags: Flags::WRITE,
        acl: Acl::STREAM,
        tips: &["nondeterministic_output"],
        keys: &[KeySpec::one(KeyFlags::RW.with(KeyFlags::DELETE))],
        args: &[Arg::key("key"), Arg::block("trim", &[STRATEGY, OPERATOR, Arg::string("threshold"), LIMIT, CONDITION])],
        run: xtrim,
        ..Command::NEW
    },
];

/// An entry to be added, and what is to be done with it.
struct Job<'a> {
    wanted: Wanted,
    words: &'a [&'a [u8]],
    message: Option<Message<'a>>,
    trim: Option<Trim>,
    limits: Limits,
    settings: Settings,
    now_ms: i64,
}

/// What became of it.
enum Outcome {
    /// It has this id, and so much was trimmed; the threshold would do the same once more.
    Added(Id, Trimmed, Option<Threshold>),
    /// The producer's message is already there.
    Known(Id),
}

fn xadd(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    const TOO_SMALL: CommandError = CommandError::text("ERR The ID specified in XADD must be greater than 0-0");
    const TOO_LARGE: CommandError = CommandError::text("ERR Elements are too large to be stored");
    let options = Options::parse(argv, true, ctx.session.role)?;
    let words: SmallVec<[&[u8]; 16]> = argv.from(options.id_at + 1).iter().collect();
    if words.len() < 2 || words.len() % 2 == 1 {
        return Err(CommandError::Arity("xadd".into()));
    }
    let wanted = options.wanted.expect("without an id there would be no fields");
    if wanted == Wanted::Exact(Id::MIN) {
        return Err(TOO_SMALL);
    }
    if options.message.is_some() && wanted != Wanted::Auto && ctx.session.role != Role::Primary {
        return Err(CommandError::text("ERR IDMP/IDMPAUTO can be used only with auto-generated IDs"));
    }
    if !Log::can_hold(&words) {
        return Err(TOO_LARGE);
    }
    let key = ctx.first_key(argv);
    let job = Job {
        wanted,
        words: &words,
        message: options.message,
        trim: options.trim(ctx),
        limits: limits(ctx),
        settings: super::default_settings(ctx),
        now_ms: ctx.ks.now_ms,
    };
    let outcome = match ctx.ks.value_mut::<Box<Stream>>(key)? {
        Some(stream) => job.run(stream)?,
        None if options.no_mkstream => {
            ctx.reply.null();
            return Ok(());
        }
        // Every id but 0-0 is greater than an empty stream's: what is made here is filled.
        None => job.run(ctx.ks.value_or_new::<Box<Stream>>(key)?)?,
    };
    let (id, trimmed, threshold) = match outcome {
        Outcome::Added(id, trimmed, threshold) => (id, trimmed, threshold),
        Outcome::Known(id) => {
            write_id(&mut ctx.reply, id);
            return Ok(());
        }
    };
    ctx.ks.changed(&key);
    ctx.ks.notify(Class::STREAM, "xadd", key.name);
    if trimmed.count > 0 {
        ctx.ks.notify(Class::STREAM, "xtrim", key.name);
    }
    if !matches!(wanted, Wanted::Exact(_)) || options.approximate {
        replay_add(ctx, argv, &options, id, threshold);
    }
    write_id(&mut ctx.reply, id);
    Ok(())
}

impl Job<'_> {
    fn run(&self, stream: &mut Stream) -> Result<Outcome, CommandError> {
        const EXHAUSTED: CommandError =
            CommandError::text("ERR The stream has exhausted the last possible ID, unable to add more items");
        const NOT_GREATER: CommandError =
            CommandError::text("ERR The ID specified in XADD is equal or smaller than the target stream top item");
        let id = stream.log.next_id(self.wanted, self.now_ms);
        let id = id.map_err(|refusal| if refusal == Refusal::Exhausted { EXHAUSTED } else { NOT_GREATER })?;
        if let Some(message) = self.message {
            let idmp = stream.idmp.get_or_insert_with(|| Box::new(Idmp::new(self.settings)));
            let (producer, name) = named(message, self.words);
            // A replica asks the time of the id it was given: what its primary added is new here, too.
            let now_ms = if self.wanted == Wanted::Auto { u64::try_from(self.now_ms).unwrap_or(0) } else { id.ms };
            if let Some(known) = idmp.find(producer, &name, now_ms) {
                idmp.duplicates += 1;
                return Ok(Outcome::Known(known));
            }
            idmp.record(producer, &name, id);
        }
        stream.log.append(id, self.words, self.limits);
        let Some(trim) = &self.trim else { return Ok(Outcome::Added(id, Trimmed::default(), None)) };
        let trimmed = stream.trim(trim);
        Ok(Outcome::Added(id, trimmed, Some(exact_threshold(stream, trim, trimmed))))
    }
}

/// When blocks are closed, from the configuration.
fn limits(ctx: &Ctx<'_>) -> Limits {
    let config = &ctx.engine.config;
    Limits { entries: config.stream_node_max_entries(), bytes: config.stream_node_max_bytes() }
}

/// The threshold that removes, without an approximation, exactly what was removed.
fn exact_threshold(stream: &Stream, trim: &Trim, trimmed: Trimmed) -> Threshold {
    match trim.threshold {
        threshold if !trim.approximate => threshold,
        Threshold::MaxLen(_) => Threshold::MaxLen(stream.log.len()),
        Threshold::MinId(_) => Threshold::MinId(match trimmed.count {
            0 => Id::MIN,
            _ => trimmed.last.next().unwrap_or(Id::MAX),
        }),
    }
}

/// Replays XADD with the id the entry got and an exact threshold.
fn replay_add(ctx: &mut Ctx<'_>, argv: Argv<'_>, options: &Options<'_>, id: Id, threshold: Option<Threshold>) {
    if !ctx.effects().is_active() {
        return;
    }
    let (id, threshold) = (id.text(), threshold.map(ThresholdText::new));
    let mut words: SmallVec<[&[u8]; 24]> = SmallVec::new();
    words.extend([b"XADD".as_slice(), argv.at(1)]);
    words.extend(options.references.map(condition_word));
    match options.message {
        Some(Message::Auto(producer)) => words.extend([b"IDMPAUTO".as_slice(), producer]),
        Some(Message::Named(producer, name)) => words.extend([b"IDMP".as_slice(), producer, name]),
        None => {}
    }
    if let Some(threshold) = &threshold {
        words.extend(threshold.words());
    }
    words.push(id.as_bytes());
    words.extend(argv.from(options.id_at + 1).iter());
    ctx.replay_as(&words);
}

fn condition_word(references: References) -> &'static [u8] {
    match references {
        References::Keep => b"KEEPREF",
        References::Delete => b"DELREF",
        References::Acknowledged => b"ACKED",
    }
}

/// A threshold as words.
enum ThresholdText {
    MaxLen(IntText),
    MinId(crate::types::stream::id::IdText),
}

impl ThresholdText {
    fn new(threshold: Threshold) -> Self {
        match threshold {
            Threshold::MaxLen(len) => Self::MaxLen(IntText::new(len as i64)),
            Threshold::MinId(id) => Self::MinId(id.text()),
        }
    }

    fn words(&self) -> [&[u8]; 3] {
        match self {
            Self::MaxLen(len) => [b"MAXLEN", b"=", len.as_bytes()],
            Self::MinId(id) => [b"MINID", b"=", id.as_bytes()],
        }
    }
}

fn xtrim(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let options = Options::parse(argv, false, ctx.session.role)?;
    let trim = options.trim(ctx).expect("XTRIM has a threshold");
    let key = ctx.first_key(argv);
    let Some(stream) = ctx.ks.value_mut::<Box<Stream>>(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let trimmed = stream.trim(&trim);
    let threshold = ThresholdText::new(exact_threshold(stream, &trim, trimmed));
    if trimmed.count > 0 {
        ctx.ks.changed(&key);
        ctx.ks.dirty += trimmed.count - 1;
        ctx.ks.notify(Class::STREAM, "xtrim", key.name);
        if trim.approximate {
            let mut words = vec![b"XTRIM".as_slice(), key.name];
            words.extend(threshold.words());
            words.extend(options.references.map(condition_word));
            ctx.replay_as(&words);
        }
    }
    ctx.reply.integer(trimmed.count as i64);
    Ok(())
}
