//! SORT and SORT_RO: <https://redis.io/docs/latest/commands/sort/>.
//!
//! The elements of a list, set or sorted set by their own value, or by the values under keys made from them. Those keys
//! can be anywhere, so all shards are locked. Texts are compared byte by byte, which is what Redis does in the C locale.
//!
//! Where weights tie, a list and a sorted set keep their order. A set has none that a replica would share, so there the
//! elements decide.

use std::cmp::Ordering;

use quiver_resp::Argv;
use quiver_structures::{Value, ValueRef};

use super::args::{Options, integer, is};
use super::list;
use crate::command::{Acl, Arg, Begin, Command, CommandResult, Find, Flags, KeyFlags, KeySpec, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::object::{Collection, Object};
use crate::types::hash::{Hash, ItemText};
use crate::types::list::{End, List};

const SOURCE: KeySpec = KeySpec::one(KeyFlags::RO.with(KeyFlags::ACCESS));

/// The keys that patterns name.
const LOOKED_UP: KeySpec =
    KeySpec { flags: KeyFlags::RO.with(KeyFlags::ACCESS), begin: Begin::Unknown, find: Find::Unknown };

const DESTINATION: KeySpec =
    KeySpec { flags: KeyFlags::OW.with(KeyFlags::UPDATE), begin: Begin::Unknown, find: Find::Unknown };

const BY: Arg = Arg::pattern("by-pattern").after("BY").optional();
const LIMIT: Arg = Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).after("LIMIT").optional();
const GET: Arg = Arg::pattern("get-pattern").after("GET").optional().multiple_token();
const ORDER: Arg = Arg::one_of("order", &[Arg::word("asc", "ASC"), Arg::word("desc", "DESC")]).optional();
const SORTING: Arg = Arg::word("sorting", "ALPHA").optional();

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sort",
        summary: "Sorts a list, set or sorted set, and stores the result if wanted.",
        complexity: "O(N+M*log(M)) where N is the number of elements and M of those returned",
        arity: -2,
        flags: Flags::WRITE.with(Flags::DENYOOM).with(Flags::MOVABLEKEYS),
        acl: Acl::SET.with(Acl::SORTEDSET).with(Acl::LIST).with(Acl::DANGEROUS),
        keys: &[SOURCE, LOOKED_UP, DESTINATION],
        args: &[
            Arg::key("key"),
            BY,
            LIMIT,
            GET,
            ORDER,
            SORTING,
            Arg { key_spec: Some(2), ..Arg::new("destination", crate::command::ArgKind::Key) }
                .after("STORE")
                .optional(),
        ],
        run: sort,
        locks: Locks::All,
        ..Command::NEW
    },
    Command {
        name: "sort_ro",
        summary: "Sorts a list, set or sorted set, as a command that only reads.",
        since: "7.0.0",
        complexity: "O(N+M*log(M)) where N is the number of elements and M of those returned",
        arity: -2,
        flags: Flags::READONLY.with(Flags::MOVABLEKEYS),
        acl: Acl::SET.with(Acl::SORTEDSET).with(Acl::LIST).with(Acl::DANGEROUS),
        keys: &[SOURCE, LOOKED_UP],
        args: &[Arg::key("key"), BY, LIMIT, GET, ORDER, SORTING],
        run: sort_ro,
        locks: Locks::All,
        ..Command::NEW
    },
];

fn sort(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let may_read_all = ctx.session.user.reads_every_key(ctx.entry, argv);
    let request = Request::parse(argv, true, may_read_all)?;
    run(ctx, argv, request)
}

fn sort_ro(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let may_read_all = ctx.session.user.reads_every_key(ctx.entry, argv);
    let request = Request::parse(argv, false, may_read_all)?;
    run(ctx, argv, request)
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Request<'a> {
    by: Option<&'a [u8]>,
    /// Whether there is anything to sort by: a pattern without an asterisk says no.
    sorted: bool,
    descending: bool,
    alpha: bool,
    offset: i64,
    count: i64,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// `may_read_all`: the user may read any key a pattern names.
    fn parse(argv: Argv<'a>, may_store: bool, may_read_all: bool) -> Result<Self, CommandError> {
        let mut request = Self {
            by: None,
            sorted: true,
            descending: false,
            alpha: false,
            offset: 0,
            count: -1,
            get: Vec::new(),
            store: None,
        };
        let mut options = Options::new(argv, 2);
        let mut left = argv.len() - 2;
        while let Some(word) = options.next() {
            left -= 1;
            let values = match () {
                () if is(word, "asc") => {
                    request.descending = false;
                    0
                }
                () if is(word, "desc") => {
                    request.descending = true;
                    0
                }
                () if is(word, "alpha") => {
                    request.alpha = true;
                    0
                }
                () if is(word, "limit") && left >= 2 => {
                    request.offset = integer(options.value()?)?;
                    request.count = integer(options.value()?)?;
                    2
                }
                () if is(word, "store") && may_store => {
                    request.store = Some(options.value()?);
                    1
                }
                () if is(word, "by") => {
                    let pattern = options.value()?;
                    let names_keys = before_nul(pattern).contains(&b'*');
                    if names_keys && !may_read_all {
                        return Err(denied("BY"));
                    }
                    request.sorted &= names_keys;
                    request.by = Some(pattern);
                    1
                }
                () if is(word, "get") => {
                    request.get.push(options.value()?);
                    if !may_read_all {
                        return Err(denied("GET"));
                    }
                    1
                }
                () => return Err(CommandError::Syntax),
            };
            left -= values;
        }
        Ok(request)
    }

    /// The part of so many sorted elements that is wanted.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

fn denied(option: &str) -> CommandError {
    CommandError::owned(format!("ERR {option} option of SORT denied due to insufficient ACL permissions."))
}

/// An element with what it is sorted by.
struct Element {
    text: Vec<u8>,
    weight: Weight,
}

enum Weight {
    Number(f64),
    /// A value that was looked up; there may be none.
    Text(Option<Vec<u8>>),
    /// The element itself.
    Own,
}

fn run(ctx: &mut Ctx<'_>, argv: Argv<'_>, mut request: Request<'_>) -> CommandResult {
    let key = ctx.first_key(argv);
    let (mut texts, is_set) = load(ctx, key)?;
    if !request.sorted && is_set && request.store.is_some() {
        // A set has no order that could be stored.
        (request.sorted, request.alpha, request.by) = (true, true, None);
    }
    if !request.sorted && request.descending && !is_set {
        texts.reverse();
    }
    let range = request.range(texts.len());
    let mut texts = if request.sorted { sorted(ctx, &request, texts, is_set)? } else { texts };
    texts.truncate(range.end);
    texts.drain(..range.start);
    match request.store {
        Some(name) => store(ctx, name, &request, &texts),
        None => answer(ctx, &request, &texts),
    }
    Ok(())
}

/// The elements under a key in the order they have, and whether they have none.
fn load(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<(Vec<Vec<u8>>, bool), CommandError> {
    match ctx.ks.get(key).map(|entry| entry.value()) {
        None => Ok((Vec::new(), false)),
        Some(ValueRef::Object(Object::List(list))) => Ok((list.iter().map(|item| item.to_vec()).collect(), false)),
        Some(ValueRef::Object(Object::SortedSet(set))) => {
            let mut members = Vec::with_capacity(set.len());
            set.for_each(|member, _| members.push(member.to_vec()));
            Ok((members, false))
        }
        Some(ValueRef::Object(Object::Set(set))) => Ok((set.iter().map(|item| item.to_vec()).collect(), true)),
        Some(_) => Err(CommandError::WrongType),
    }
}

fn sorted(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    texts: Vec<Vec<u8>>,
    is_set: bool,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let mut elements = Vec::with_capacity(texts.len());
    for text in texts {
        let weight = weigh(ctx, request, &text)?;
        elements.push(Element { text, weight });
    }
    let as_bytes = request.store.is_some();
    elements.sort_by(|a, b| {
        let order = compare(a, b, as_bytes).then_with(|| if is_set { a.text.cmp(&b.text) } else { Ordering::Equal });
        if request.descending { order.reverse() } else { order }
    });
    Ok(elements.into_iter().map(|element| element.text).collect())
}

fn weigh(ctx: &mut Ctx<'_>, request: &Request<'_>, text: &[u8]) -> Result<Weight, CommandError> {
    let looked_up = request.by.map(|pattern| look_up(ctx, pattern, text));
    if request.alpha {
        return Ok(looked_up.map_or(Weight::Own, Weight::Text));
    }
    let number = match &looked_up {
        // What is not there weighs nothing.
        Some(None) => Some(0.0),
        Some(Some(value)) => parse_weight(value),
        None => parse_weight(text),
    };
    number.map(Weight::Number).ok_or(CommandError::text("ERR One or more scores can't be converted into double"))
}

fn compare(a: &Element, b: &Element, as_bytes: bool) -> Ordering {
    // A text that is shown ends at its first NUL, as strings of the C library do.
    let texts = |a: &[u8], b: &[u8]| if as_bytes { a.cmp(b) } else { before_nul(a).cmp(before_nul(b)) };
    match (&a.weight, &b.weight) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.text.cmp(&b.text))
        }
        (Weight::Text(Some(x)), Weight::Text(Some(y))) => texts(x, y),
        (Weight::Text(x), Weight::Text(y)) => x.is_some().cmp(&y.is_some()),
        _ => texts(&a.text, &b.text),
    }
}

/// A decimal number or infinity; the empty string is zero, and what is beyond the range of floats is at its ends.
fn parse_weight(text: &[u8]) -> Option<f64> {
    let text = before_nul(text);
    if text.is_empty() {
        return Some(0.0);
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| !number.is_nan())
}

/// The value under the key that a pattern makes of an element: its asterisk replaced, `->` before a hash's field. `#` is
/// the element.
fn look_up(ctx: &mut Ctx<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let visible = before_nul(pattern);
    let star = visible.iter().position(|byte| *byte == b'*')?;
    let arrow = visible[star + 1..].windows(2).position(|pair| pair == b"->").map(|at| star + 1 + at);
    // An arrow with nothing behind it is part of the key.
    let arrow = arrow.filter(|at| at + 2 < visible.len());
    let end = arrow.unwrap_or(pattern.len());
    let name = [&pattern[..star], element, &pattern[star + 1..end]].concat();
    let key = ctx.key(&name);
    match arrow {
        Some(at) => {
            let as_of = ctx.ks.as_of();
            let hash = ctx.ks.value::<Hash>(key).ok().flatten()?;
            Some(ItemText::new(hash.get(&pattern[at + 2..], as_of)?).as_bytes().to_vec())
        }
        None => ctx.ks.string(key).ok().flatten().map(|text| text.as_bytes().to_vec()),
    }
}

fn answer(ctx: &mut Ctx<'_>, request: &Request<'_>, texts: &[Vec<u8>]) {
    ctx.reply.array(texts.len() * request.get.len().max(1));
    for text in texts {
        if request.get.is_empty() {
            ctx.reply.bulk(text);
        }
        for pattern in &request.get {
            match look_up(ctx, pattern, text) {
                Some(value) => ctx.reply.bulk(&value),
                None => ctx.reply.null(),
            }
        }
    }
}

fn store(ctx: &mut Ctx<'_>, name: &[u8], request: &Request<'_>, texts: &[Vec<u8>]) {
    let mut values = Vec::with_capacity(texts.len() * request.get.len().max(1));
    for text in texts {
        if request.get.is_empty() {
            values.push(text.clone());
        }
        for pattern in &request.get {
            values.push(look_up(ctx, pattern, text).unwrap_or_default());
        }
    }
    let (key, len) = (ctx.key(name), values.len());
    if len > 0 {
        let (mut list, limits) = (List::default(), list::limits(ctx));
        list.grow_for(values.iter().map(Vec::as_slice), limits);
        values.iter().for_each(|value| list.push(End::Right, value, limits));
        ctx.ks.set(key, Value::Object(Box::new(list.into_object())), None);
        ctx.ks.dirty += len as u64 - 1;
        ctx.ks.notify(Class::LIST, "sortstore", name);
    } else if ctx.ks.delete(key) {
        ctx.ks.notify(Class::GENERIC, "del", name);
    }
    ctx.reply.integer(len as i64);
}

/// The bytes the C library would see.
fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}
