//! Keyspace notifications: what happened to a key, told to those who subscribed to it
//! (redis.io/docs/latest/develop/pubsub/keyspace-notifications and subkeyspace-notifications).
//!
//! A handler says what it did with [`Keyspace::notify`](crate::keyspace::Keyspace::notify), in the order it did it.
//! Nothing is kept unless `notify-keyspace-events` asks for the class. The events of a command become messages when it
//! is done, before the locks are released, so their order is the order of execution.

use quiver_structures::Value;

use crate::engine::Engine;
use crate::keyspace::{Key, Keyspace};
use crate::mailbox::Sender;
use crate::object::{Object, type_name};

/// Classes of events: the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class(u32);

#[expect(missing_docs, reason = "named after the group of commands or the cause of the events")]
impl Class {
    /// Nothing.
    pub const NONE: Self = Self(0);
    pub const GENERIC: Self = Self(1 << 2);
    pub const STRING: Self = Self(1 << 3);
    pub const LIST: Self = Self(1 << 4);
    pub const SET: Self = Self(1 << 5);
    pub const HASH: Self = Self(1 << 6);
    pub const ZSET: Self = Self(1 << 7);
    pub const EXPIRED: Self = Self(1 << 8);
    pub const EVICTED: Self = Self(1 << 9);
    pub const STREAM: Self = Self(1 << 10);
    pub const KEY_MISS: Self = Self(1 << 11);
    pub const MODULE: Self = Self(1 << 13);
    pub const NEW: Self = Self(1 << 14);
    pub const OVERWRITTEN: Self = Self(1 << 15);
    pub const TYPE_CHANGED: Self = Self(1 << 16);

    /// Whether any class of `other` is in the set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The union.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

// The channels, which stand beside the classes in the parameter.
const KEYSPACE: Class = Class(1 << 0);
const KEYEVENT: Class = Class(1 << 1);
const SUBKEYSPACE: Class = Class(1 << 17);
const SUBKEYEVENT: Class = Class(1 << 18);
const SUBKEYSPACEITEM: Class = Class(1 << 19);
const SUBKEYSPACEEVENT: Class = Class(1 << 20);

const KEY_CHANNELS: Class = KEYSPACE.with(KEYEVENT);
const SUBKEY_CHANNELS: Class = SUBKEYSPACE.with(SUBKEYEVENT).with(SUBKEYSPACEITEM).with(SUBKEYSPACEEVENT);

/// The classes of the letter A, in the order their own letters are printed.
const ALL: &[(char, Class)] = &[
    ('g', Class::GENERIC),
    ('$', Class::STRING),
    ('l', Class::LIST),
    ('s', Class::SET),
    ('h', Class::HASH),
    ('z', Class::ZSET),
    ('x', Class::EXPIRED),
    ('e', Class::EVICTED),
    ('t', Class::STREAM),
    ('d', Class::MODULE),
];

/// Not among them, but like them not printed beside an A.
const BESIDE: &[(char, Class)] = &[('n', Class::NEW), ('o', Class::OVERWRITTEN), ('c', Class::TYPE_CHANGED)];

/// The letters that are always printed.
const OTHERS: &[(char, Class)] = &[
    ('K', KEYSPACE),
    ('E', KEYEVENT),
    ('m', Class::KEY_MISS),
    ('S', SUBKEYSPACE),
    ('T', SUBKEYEVENT),
    ('I', SUBKEYSPACEITEM),
    ('V', SUBKEYSPACEEVENT),
];

/// Reads the parameter.
pub(crate) fn parse(text: &str) -> Result<Class, String> {
    text.chars().try_fold(Class::NONE, |sum, letter| {
        if letter == 'A' {
            return Ok(ALL.iter().fold(sum, |sum, (_, class)| sum.with(*class)));
        }
        match ALL.iter().chain(BESIDE).chain(OTHERS).find(|(known, _)| *known == letter) {
            Some((_, class)) => Ok(sum.with(*class)),
            None => Err("Invalid event class character. Use 'Ag$lshzxeKEtmdnocSTIV'.".to_owned()),
        }
    })
}

/// The parameter as CONFIG GET prints it; as in Redis, not all of it where there is an A.
pub(crate) fn print(set: Class) -> String {
    let all = ALL.iter().all(|(_, class)| set.has(*class));
    let letters = ALL.iter().chain(BESIDE).filter(|_| !all).chain(OTHERS).filter(|(_, class)| set.has(*class));
    letters
        .map(|(letter, _)| *letter)
        .fold(if all { "A".to_owned() } else { String::new() }, |text, l| text + &l.to_string())
}

impl Class {
    /// The set as a number, for the configuration.
    pub(crate) const fn to_number(self) -> i64 {
        self.0 as i64
    }

    /// The set of a number.
    pub(crate) const fn from_number(number: usize) -> Self {
        Self(number as u32)
    }

    /// The classes that reach anybody: none while no channel about keys is asked for.
    pub(crate) const fn wanted(self) -> Self {
        if self.any(KEY_CHANNELS) { self } else { Self::NONE }
    }

    /// Whether a channel about parts of keys is asked for. Those know no classes.
    pub(crate) const fn wants_subkeys(self) -> bool {
        self.any(SUBKEY_CHANNELS)
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: Class,
    /// Its name, such as "lpush".
    pub name: &'static str,
    /// Database of the key.
    pub db: usize,
    /// The key.
    pub key: Box<[u8]>,
    /// The fields it happened to, as far as somebody wants to hear of them.
    pub subkeys: Vec<Box<[u8]>>,
}

impl Event {
    pub(crate) fn new(class: Class, name: &'static str, db: usize, key: &[u8]) -> Self {
        Self { class, name, db, key: key.into(), subkeys: Vec::new() }
    }
}

impl Keyspace<'_> {
    /// As [`Self::set`], for commands that delete what is there and add the key anew.
    pub fn set_anew(&mut self, key: Key<'_>, value: Value<'_, Object>, expire_at_ms: Option<i64>) {
        if self.notify_classes.any(Class::NEW) && self.contains(key) {
            self.notify(Class::NEW, "new", key.name);
        }
        self.set(key, value, expire_at_ms);
    }

    /// Says what happened to a key, for keyspace notifications. Free while nobody listens.
    #[inline]
    pub fn notify(&mut self, class: Class, name: &'static str, key: &[u8]) {
        if self.notify_classes.any(class) {
            self.events.push(Event::new(class, name, self.db, key));
        }
    }

    /// As [`Self::notify`], for what happened to some fields of a key.
    #[inline]
    pub fn notify_fields<'f>(
        &mut self,
        class: Class,
        name: &'static str,
        key: &[u8],
        fields: impl Iterator<Item = &'f [u8]>,
    ) {
        if self.notify_subkeys {
            let subkeys = fields.map(Into::into).collect();
            self.events.push(Event { class, name, db: self.db, key: key.into(), subkeys });
        } else {
            self.notify(class, name, key);
        }
    }

    /// Says that a value takes the place of another one, if it does.
    #[cold]
    pub(crate) fn note_overwrite(&mut self, key: &Key<'_>, new: &Value<'_, Object>) {
        let old =
            self.table(key).and_then(|table| table.get(key.hash, key.name)).map(|entry| type_name(&entry.value()));
        let new = match new {
            Value::Object(object) => object.type_name(),
            _ => "string",
        };
        if let Some(old) = old {
            self.notify(Class::OVERWRITTEN, "overwritten", key.name);
            if old != new {
                self.notify(Class::TYPE_CHANGED, "type_changed", key.name);
            }
        }
    }
}

impl Engine {
    /// Publishes an event on the channels that are asked for.
    pub(crate) fn publish_event(&self, event: &Event, from: Sender) {
        let asked = Class::from_number(self.config.notify_keyspace_events());
        let Event { name, db, key, .. } = event;
        let send = |channel: &[u8], message: &[u8]| self.pubsub.publish(self, from, channel, message);
        if asked.any(event.class) {
            if asked.any(KEYSPACE) {
                send(&joined(&[format!("__keyspace@{db}__:").as_bytes(), key]), name.as_bytes());
            }
            if asked.any(KEYEVENT) {
                send(format!("__keyevent@{db}__:{name}").as_bytes(), key);
            }
        }
        if !event.subkeys.is_empty() && asked.wants_subkeys() {
            self.publish_subkeys(event, asked, from);
        }
    }

    fn publish_subkeys(&self, event: &Event, asked: Class, from: Sender) {
        let Event { name, db, key, subkeys, .. } = event;
        let send = |channel: &[u8], message: &[u8]| self.pubsub.publish(self, from, channel, message);
        let list = subkeys.iter().map(|subkey| sized(subkey)).collect::<Vec<_>>().join(&b","[..]);
        if asked.any(SUBKEYSPACE) {
            let channel = joined(&[format!("__subkeyspace@{db}__:").as_bytes(), key]);
            send(&channel, &joined(&[name.as_bytes(), b"|", &list]));
        }
        if asked.any(SUBKEYEVENT) {
            let channel = format!("__subkeyevent@{db}__:{name}");
            send(channel.as_bytes(), &joined(&[&sized(key), b"|", &list]));
        }
        // A line break separates key and subkey in the channel's name, so a key must not bring one of its own.
        if asked.any(SUBKEYSPACEITEM) && !key.contains(&b'\n') {
            for subkey in subkeys {
                let channel = joined(&[format!("__subkeyspaceitem@{db}__:").as_bytes(), key, b"\n", subkey]);
                send(&channel, name.as_bytes());
            }
        }
        if asked.any(SUBKEYSPACEEVENT) {
            send(&joined(&[format!("__subkeyspaceevent@{db}__:{name}|").as_bytes(), key]), &list);
        }
    }
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Bytes with their number in front, so that they may hold any separator.
fn sized(bytes: &[u8]) -> Vec<u8> {
    joined(&[format!("{}:", bytes.len()).as_bytes(), bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_printed_in_one_order_and_with_the_letter_for_all() {
        for (text, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Elg", "glE"),
            ("g$lshzxetdKE", "AKE"),
            ("KEg$lshzxet", "g$lshzxetKE"),
            ("mK$", "$Km"),
            ("nK$", "$nK"),
            ("AKEn", "AKE"),
            ("VITS", "STIV"),
        ] {
            assert_eq!(print(parse(text).unwrap()), printed, "{text}");
        }
        assert!(parse("KEQ").is_err());
    }

    #[test]
    fn classes_without_a_channel_reach_nobody() {
        assert_eq!(parse("A").unwrap().wanted(), Class::NONE);
        assert!(parse("Eg").unwrap().wanted().any(Class::GENERIC));
        assert!(parse("S").unwrap().wants_subkeys());
    }
}
