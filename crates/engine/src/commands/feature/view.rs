//! What a view is: the prefix its entities' hashes are found under, and features with types.
//!
//! Views are fields of one hash, [`VIEWS`]: the field is the view's name, the value the words it was created with. So
//! views are saved, replicated, copied and flushed as any key is, and the words need no second parser:
//!
//! ```text
//! HGET feat:views rides   ->   PREFIX driver: TTL 86400 MAXAGE 3600 FEATURES rating f32 trips i64 TTL 60 home vector(2)
//! ```
//!
//! The features of entity 42 of this view are the fields `rating`, `trips` and `home` of the hash `driver:42`, as text
//! (vectors as FP32 blobs); the event times are in its field `_ts:rides` (`times.rs`).
//!
//! A parsed view is kept per thread under its very words, so nothing has to be told when a view changes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use quiver_structures::listpack::Item;

use super::window::Window;
use crate::commands::args::is;
use crate::error::{CommandError, quote_word};
use crate::number::{parse_f64, parse_i64};
use crate::types::hash::{FieldSet, ItemText};

/// The hash that holds the views of a database.
pub(in crate::commands) const VIEWS: &[u8] = b"feat:views";

/// What the field of a view's event times begins with.
const TIMES_PREFIX: &[u8] = b"_ts:";

/// Most features of a view.
const FEATURES_MAX: usize = 1024;

/// Longest name of a view or feature, and longest prefix, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Most components of a vector.
const DIM_MAX: usize = 1 << 15;

/// Longest TTL and age: a thousand years and some, so that no time of expiry overflows.
const SECONDS_MAX: i64 = 1 << 35;

/// Parsed views a thread remembers.
const REMEMBERED_MAX: usize = 256;

/// Type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Kind {
    F64,
    F32,
    I64,
    Bool,
    /// Milliseconds since 1970.
    Timestamp,
    String,
    /// So many single-precision components, little-endian.
    Vector(usize),
    /// What FEAT.INCR adds up.
    Window(Window),
}

/// A feature of a view.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Feature {
    pub(in crate::commands) kind: Kind,
    /// How long a value lives, its own or the view's.
    pub(in crate::commands) ttl_ms: Option<i64>,
}

/// A view.
#[derive(Debug)]
pub(in crate::commands) struct View {
    pub(in crate::commands) name: Box<[u8]>,
    pub(in crate::commands) prefix: Box<[u8]>,
    pub(in crate::commands) ttl_ms: Option<i64>,
    pub(in crate::commands) max_age_ms: Option<i64>,
    pub(in crate::commands) features: Vec<Feature>,
    /// The names of the features, and behind them the field of the event times.
    pub(in crate::commands) fields: Rc<FieldSet>,
}

impl View {
    /// Reads the words behind `FEAT.VIEW CREATE name`.
    pub(in crate::commands) fn parse<'w>(
        name: &[u8],
        mut words: impl Iterator<Item = &'w [u8]>,
    ) -> Result<Self, CommandError> {
        check_name(name, "view")?;
        let mut word = words.next();
        let Some(prefix) = word.filter(|word| is(word, "PREFIX")).and_then(|_| words.next()) else {
            return Err(CommandError::text("ERR PREFIX and the prefix of the entities' keys must follow the name"));
        };
        check_name(prefix, "prefix")?;
        let (mut ttl_ms, mut max_age_ms) = (None, None);
        loop {
            word = words.next();
            match word {
                Some(word) if is(word, "TTL") && ttl_ms.is_none() => ttl_ms = Some(seconds(words.next(), "TTL")?),
                Some(word) if is(word, "MAXAGE") && max_age_ms.is_none() => {
                    max_age_ms = Some(seconds(words.next(), "MAXAGE")?);
                }
                Some(word) if is(word, "FEATURES") => break,
                Some(_) => return Err(CommandError::Syntax),
                None => {
                    return Err(CommandError::text("ERR FEATURES and at least one feature with its type are needed"));
                }
            }
        }
        let (names, features) = parse_features(words, ttl_ms)?;
        let times = [TIMES_PREFIX, name].concat();
        let fields = FieldSet::new(names.into_iter().chain([times.as_slice()]));
        let fields = Rc::new(fields.ok_or(CommandError::text("ERR a feature is named twice"))?);
        Ok(Self { name: name.into(), prefix: prefix.into(), ttl_ms, max_age_ms, features, fields })
    }

    /// The view with this name and these words, from what the thread remembers if it can be.
    pub(super) fn of_words(name: &[u8], words: &[u8]) -> Result<Rc<Self>, CommandError> {
        type Remembered = HashMap<Box<[u8]>, Rc<View>>;
        thread_local! {
            static REMEMBERED: RefCell<Remembered> = RefCell::default();
        }
        let id = [name, b" ", words].concat();
        REMEMBERED.with_borrow_mut(|remembered| {
            if let Some(view) = remembered.get(id.as_slice()) {
                return Ok(Rc::clone(view));
            }
            let parsed = Self::parse(name, words.split(|byte| *byte == b' ')).map_err(|_| {
                let (name, key) = (quote_word(name), quote_word(VIEWS));
                CommandError::owned(format!("ERR what the key '{key}' says about view '{name}' is no view"))
            })?;
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            let view = Rc::new(parsed);
            remembered.insert(id.into(), Rc::clone(&view));
            Ok(view)
        })
    }

    /// The words that [`Self::parse`] reads.
    pub(super) fn words(&self) -> Vec<u8> {
        let mut words = [b"PREFIX ", &*self.prefix].concat();
        let mut say = |word: &str, ms: Option<i64>| {
            if let Some(ms) = ms {
                words.extend_from_slice(format!(" {word} {}", ms / 1000).as_bytes());
            }
        };
        say("TTL", self.ttl_ms);
        say("MAXAGE", self.max_age_ms);
        words.extend_from_slice(b" FEATURES");
        for (name, feature) in self.names().zip(&self.features) {
            words.push(b' ');
            words.extend_from_slice(name);
            words.extend_from_slice(format!(" {}", feature.kind.name()).as_bytes());
            if let Some(ms) = feature.ttl_ms.filter(|_| feature.ttl_ms != self.ttl_ms) {
                words.extend_from_slice(format!(" TTL {}", ms / 1000).as_bytes());
            }
        }
        words
    }

    /// The names of the features.
    pub(in crate::commands) fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.fields.names().take(self.features.len())
    }

    /// The field of the event times.
    pub(super) fn times_field(&self) -> &[u8] {
        self.fields.name(self.features.len())
    }

    /// The place of a feature.
    pub(in crate::commands) fn place(&self, name: &[u8]) -> Result<usize, CommandError> {
        self.fields.place(name).filter(|place| *place < self.features.len()).ok_or_else(|| {
            let (feature, view) = (quote_word(name), quote_word(&self.name));
            CommandError::owned(format!("ERR view '{view}' has no feature '{feature}'"))
        })
    }

    /// The key of an entity's hash.
    pub(in crate::commands) fn key_of(&self, entity: &[u8]) -> Box<[u8]> {
        [&*self.prefix, entity].concat().into()
    }
}

/// Reads `name type [TTL seconds] ...`.
fn parse_features<'w>(
    words: impl Iterator<Item = &'w [u8]>,
    ttl_ms: Option<i64>,
) -> Result<(Vec<&'w [u8]>, Vec<Feature>), CommandError> {
    let (mut names, mut features): (Vec<&[u8]>, Vec<Feature>) = (Vec::new(), Vec::new());
    let mut words = words.peekable();
    while let Some(name) = words.next() {
        if is(name, "TTL")
            && let Some(last) = features.last_mut()
        {
            last.ttl_ms = Some(seconds(words.next(), "TTL")?);
            continue;
        }
        check_name(name, "feature")?;
        let kind = words.next().and_then(Kind::parse).ok_or_else(|| {
            let name = quote_word(name);
            CommandError::owned(format!(
                "ERR the type of feature '{name}' must be one of f64, f32, i64, bool, timestamp, string, vector(dim), \
                 sum(window,tile), count(window,tile), avg(window,tile)"
            ))
        })?;
        names.push(name);
        features.push(Feature { kind, ttl_ms });
    }
    match features.len() {
        0 => Err(CommandError::text("ERR FEATURES and at least one feature with its type are needed")),
        1..=FEATURES_MAX => Ok((names, features)),
        _ => Err(CommandError::owned(format!("ERR a view has at most {FEATURES_MAX} features"))),
    }
}

/// Names are words of the view's text and of its event times: one word each, and without the marks used there.
fn check_name(name: &[u8], what: &str) -> Result<(), CommandError> {
    let reserved = ["NULL", "TTL"].iter().any(|word| is(name, word)) || name.starts_with(TIMES_PREFIX);
    let bad = |byte: &u8| *byte <= b' ' || *byte == 0x7f || matches!(byte, b'=' | b'~');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.iter().any(bad) || what == "feature" && reserved {
        return Err(CommandError::owned(format!("ERR '{}' cannot be the name of a {what}", quote_word(name))));
    }
    Ok(())
}

/// A positive number of seconds, as milliseconds.
fn seconds(word: Option<&[u8]>, option: &str) -> Result<i64, CommandError> {
    let given = word.and_then(parse_i64).filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    let given = given.ok_or_else(|| CommandError::owned(format!("ERR {option} takes a positive number of seconds")))?;
    Ok(given * 1000)
}

impl Kind {
    fn parse(word: &[u8]) -> Option<Self> {
        let plain = [Self::F64, Self::F32, Self::I64, Self::Bool, Self::Timestamp, Self::String];
        if let Some(kind) = plain.into_iter().find(|kind| is(word, &kind.name())) {
            return Some(kind);
        }
        if let Some(window) = Window::parse(word) {
            return Some(Self::Window(window));
        }
        let dim = word.strip_suffix(b")").filter(|rest| rest.len() > 7 && is(&rest[..7], "vector("))?;
        let dim = usize::try_from(parse_i64(&dim[7..])?).ok()?;
        (1..=DIM_MAX).contains(&dim).then_some(Self::Vector(dim))
    }

    /// The word that says it.
    pub(in crate::commands) fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::I64 => "i64",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::String => "string",
            Self::Vector(dim) => return Cow::Owned(format!("vector({dim})")),
            Self::Window(window) => return Cow::Owned(window.name()),
        })
    }

    /// Bytes of a packed value; `None` for what is not packed.
    pub(super) const fn width(self) -> Option<usize> {
        match self {
            Self::F64 | Self::I64 | Self::Timestamp | Self::Window(_) => Some(8),
            Self::F32 => Some(4),
            Self::Bool => Some(1),
            Self::String => None,
            Self::Vector(dim) => Some(4 * dim),
        }
    }

    /// A value of this type as it is stored; `None` for what is none.
    pub(super) fn stored(self, value: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Bool if is(value, "true") => Some(b"1"),
            Self::Bool if is(value, "false") => Some(b"0"),
            _ => self.pack(Item::Str(value), None).then_some(value),
        }
    }

    /// Appends what is stored in packed form, if `out` wants it; `false`, and nothing appended, for what is no value of
    /// this type.
    pub(super) fn pack(self, item: Item<'_>, mut out: Option<&mut Vec<u8>>) -> bool {
        let mut append = |bytes: &[u8]| {
            if let Some(out) = out.as_deref_mut() {
                out.extend_from_slice(bytes);
            }
        };
        match (self, item) {
            (Self::String, _) => {}
            // What is stored is told by `Window::tell`.
            (Self::Window(_), _) => return false,
            (Self::I64 | Self::Timestamp, item) => match integer(item) {
                Some(number) => append(&number.to_le_bytes()),
                None => return false,
            },
            (Self::Bool, item) => match integer(item) {
                Some(number @ (0 | 1)) => append(&[number as u8]),
                _ => return false,
            },
            (Self::F64, Item::Int(number)) => append(&(number as f64).to_le_bytes()),
            (Self::F32, Item::Int(number)) => append(&(number as f32).to_le_bytes()),
            (Self::F64, Item::Str(text)) => match parse_f64(text) {
                Some(number) => append(&number.to_le_bytes()),
                None => return false,
            },
            (Self::F32, Item::Str(text)) => match parse_f64(text) {
                // A finite number must stay one.
                Some(number) if number.is_infinite() || (number as f32).is_finite() => {
                    append(&(number as f32).to_le_bytes());
                }
                _ => return false,
            },
            (Self::Vector(dim), item) => {
                let text = ItemText::new(item);
                let (components, rest) = text.as_bytes().as_chunks::<4>();
                let finite = components.iter().all(|x| f32::from_le_bytes(*x).is_finite());
                if components.len() != dim || !rest.is_empty() || !finite {
                    return false;
                }
                append(text.as_bytes());
            }
        }
        true
    }

    /// Appends what stands for a value that is not there: NaN, or zero.
    pub(super) fn pack_nothing(self, out: &mut Vec<u8>) {
        match self {
            Self::F64 | Self::Window(_) => out.extend_from_slice(&f64::NAN.to_le_bytes()),
            Self::F32 => out.extend_from_slice(&f32::NAN.to_le_bytes()),
            Self::I64 | Self::Timestamp => out.extend_from_slice(&[0; 8]),
            Self::Bool => out.push(0),
            Self::String => {}
            Self::Vector(dim) => (0..dim).for_each(|_| out.extend_from_slice(&f32::NAN.to_le_bytes())),
        }
    }
}

fn integer(item: Item<'_>) -> Option<i64> {
    match item {
        Item::Int(number) => Some(number),
        Item::Str(text) => parse_i64(text),
    }
}
