//! What clients of the first version of search say: documents written, read and deleted through their index.
//!
//! Since the second version documents are keys and these commands stand for HSET, HGETALL and DEL, which is what the
//! stream carries of them. A score, a language or a payload becomes the field that the index reads it from.
//!
//! Not here: NOSAVE, a document that is indexed and not stored, because an index follows the keys.

use quiver_resp::Argv;

use super::{create, index_to_ask, index_to_change, words_from};
use crate::command::{Acl, Command, CommandResult, Flags, Group, KeyFlags, Locks};
use crate::context::Ctx;
use crate::error::CommandError;
use crate::keyspace::Key;
use crate::notify::Class;
use crate::search::definition::Definition;
use crate::search::extract::Source;
use crate::search::filter::Filter;
use crate::search::index::SearchIndex;
use crate::search::words::{Words, unknown};
use crate::types::hash::{Hash, ItemText};

const OLD: Command = Command { since: "1.0.0", group: Group::Module, arity: -1, locks: Locks::All, ..Command::NEW };

const ADDS: Flags = Flags::WRITE.with(Flags::DENYOOM).with(Flags::MODULE);

/// The table entries.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "ft.add",
        summary: "Stores a document as a hash.",
        complexity: "O(N) where N is the number of fields",
        flags: ADDS,
        acl: Acl::SEARCH.with(Acl::WRITE),
        run: add,
        ..OLD
    },
    Command {
        name: "ft.del",
        summary: "Deletes a document with its key.",
        complexity: "O(1)",
        flags: Flags::WRITE.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::WRITE),
        run: del,
        ..OLD
    },
    Command {
        name: "ft.drop",
        summary: "Deletes an index with its documents.",
        complexity: "O(N) where N is the number of documents",
        flags: Flags::WRITE.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::WRITE).with(Acl::SLOW).with(Acl::DANGEROUS),
        run: create::drop_index_and_documents,
        ..OLD
    },
    Command {
        name: "ft.get",
        summary: "Answers the fields of a document.",
        complexity: "O(N) where N is the number of fields",
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        run: get,
        ..OLD
    },
    Command {
        name: "ft.mget",
        summary: "Answers the fields of several documents.",
        complexity: "O(N) where N is the number of fields of all of them",
        flags: Flags::READONLY.with(Flags::MODULE),
        acl: Acl::SEARCH.with(Acl::READ),
        tips: &["dont_cache"],
        run: get_several,
        ..OLD
    },
    Command {
        name: "ft.safeadd",
        summary: "Stores a document as a hash.",
        complexity: "O(N) where N is the number of fields",
        flags: ADDS,
        acl: Acl::SEARCH.with(Acl::WRITE),
        run: add,
        ..OLD
    },
    Command {
        name: "ft.synadd",
        summary: "Says what has taken its place.",
        complexity: "O(1)",
        flags: ADDS,
        acl: Acl::SEARCH,
        run: add_synonyms,
        ..OLD
    },
];

/// What stands between the score and the fields of FT.ADD.
#[derive(Default)]
struct How<'w> {
    replace: bool,
    partial: bool,
    no_create: bool,
    language: Option<&'w [u8]>,
    payload: Option<&'w [u8]>,
    condition: Option<Filter>,
}

impl<'w> How<'w> {
    /// Takes words up to FIELDS.
    fn parse(words: &mut Words<'w>) -> Result<Self, CommandError> {
        let mut how = Self::default();
        loop {
            let word = words.next().ok_or(CommandError::text("No field list found"))?;
            match word.to_ascii_uppercase().as_slice() {
                b"FIELDS" => return Ok(how),
                b"NOSAVE" => return Err(CommandError::text("NOSAVE is not supported: documents are keys")),
                b"REPLACE" => how.replace = true,
                b"PARTIAL" => (how.replace, how.partial) = (true, true),
                b"NOCREATE" => (how.replace, how.no_create) = (true, true),
                b"LANGUAGE" => {
                    let name = words.value("LANGUAGE")?;
                    crate::search::language(name).ok_or(CommandError::text("Unsupported language"))?;
                    how.language = Some(name);
                }
                b"PAYLOAD" => how.payload = Some(words.value("PAYLOAD")?),
                b"IF" => how.condition = Some(Filter::parse(words.value("IF")?)?),
                _ => return Err(unknown(word)),
            }
        }
    }

    /// Whether a document that is there may be changed; an error where that is not said.
    fn allows(&self, hash: Option<&Source<'_>>, name: &[u8], definition: &Definition) -> Result<bool, CommandError> {
        match hash {
            None if self.no_create => Err(CommandError::text("Document does not exist")),
            Some(_) if !self.replace => Err(CommandError::text("Document already exists")),
            Some(source) => Ok(self.condition.as_ref().is_none_or(|filter| filter.holds(source, name, definition))),
            None => Ok(true),
        }
    }
}

/// A user has to be allowed to use the keys that these commands name.
fn check(ctx: &Ctx<'_>, argv: Argv<'_>, keys: &[&[u8]], flags: KeyFlags) -> CommandResult {
    ctx.engine.check_made_keys(ctx.session, ctx.entry, argv, keys, flags, ctx.ks.now_ms)
}

fn arity(argv: Argv<'_>, fits: bool) -> CommandResult {
    if fits {
        Ok(())
    } else {
        Err(CommandError::Arity(argv.at(0).to_ascii_uppercase().escape_ascii().to_string().into()))
    }
}

fn add(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    arity(argv, argv.len() >= 5)?;
    let index = index_to_change(ctx, argv.at(1))?;
    check(ctx, argv, &[argv.at(2)], KeyFlags::RW.with(KeyFlags::UPDATE))?;
    let score = argv.at(3);
    let given = crate::number::parse_f64(score).ok_or(CommandError::text("Could not parse document score"))?;
    if !(0.0..=1.0).contains(&given) {
        return Err(CommandError::text("Document scores must be normalized between 0.0 ... 1.0"));
    }
    let all = words_from(argv, 4);
    let mut words = Words(&all);
    let how = How::parse(&mut words)?;
    if words.is_empty() || words.0.len() % 2 == 1 {
        return Err(CommandError::text("Fields must be specified in FIELD VALUE pairs"));
    }
    let (key, definition, as_of) = (ctx.key(argv.at(2)), index.definition(), ctx.ks.as_of());
    let there = ctx.ks.value::<Hash>(key)?.map(|hash| Source::Hash(hash, as_of));
    let exists = there.is_some();
    if !how.allows(there.as_ref(), key.name, &definition)? {
        ctx.reply.simple("NOADD");
        return Ok(());
    }
    let mut pairs: Vec<(&[u8], &[u8])> = words.0.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let meta = [
        (&definition.score_field, b"__score".as_slice(), (given != 1.0).then_some(score)),
        (&definition.language_field, b"__language", how.language),
        (&definition.payload_field, b"__payload", how.payload),
    ];
    for (field, usual, value) in &meta {
        pairs.extend(value.map(|value| (field.as_deref().unwrap_or(usual), value)));
    }
    if exists && !how.partial {
        ctx.ks.delete(key);
        ctx.replay_as(&[b"DEL", key.name]);
    }
    store(ctx, key, &pairs)?;
    ctx.reply.ok();
    Ok(())
}

/// HSET.
fn store(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[(&[u8], &[u8])]) -> CommandResult {
    let limits = crate::commands::hash::limits(ctx);
    ctx.ks.expire_fields(key, pairs.iter().map(|(name, _)| *name));
    ctx.ks.value_or_new::<Hash>(key)?.set_all(pairs, limits);
    ctx.ks.changed(&key);
    let words: Vec<&[u8]> = [b"HSET".as_slice(), key.name]
        .into_iter()
        .chain(pairs.iter().flat_map(|(name, value)| [*name, *value]))
        .collect();
    ctx.replay_as(&words);
    ctx.ks.notify_fields(Class::HASH, "hset", key.name, pairs.iter().map(|(name, _)| *name));
    Ok(())
}

fn del(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    arity(argv, (3..=4).contains(&argv.len()))?;
    if let Some(word) = argv.get(3).filter(|word| !word.eq_ignore_ascii_case(b"DD")) {
        return Err(unknown(word));
    }
    let index = index_to_change(ctx, argv.at(1))?;
    check(ctx, argv, &[argv.at(2)], KeyFlags::RW.with(KeyFlags::DELETE))?;
    let key = ctx.key(argv.at(2));
    let deleted = has(ctx, &index, key.name) && ctx.ks.delete(key);
    if deleted {
        ctx.ks.notify(Class::GENERIC, "del", key.name);
        ctx.replay_as(&[b"DEL", key.name]);
    }
    ctx.reply.integer(deleted.into());
    Ok(())
}

/// Whether a key is a document of an index.
fn has(ctx: &Ctx<'_>, index: &SearchIndex, name: &[u8]) -> bool {
    ctx.engine.bring_up_to_date(index, &ctx.ks);
    ctx.ks.db == 0 && index.content().find(name).is_some()
}

fn get(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    arity(argv, argv.len() == 3)?;
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    document(ctx, &index, argv.at(2))
}

fn get_several(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    arity(argv, argv.len() >= 3)?;
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    ctx.reply.array(argv.len() - 2);
    argv.from(2).iter().try_for_each(|name| document(ctx, &index, name))
}

/// The fields of a document; null for what is none, or none that has fields.
fn document(ctx: &mut Ctx<'_>, index: &SearchIndex, name: &[u8]) -> CommandResult {
    let (found, key, as_of) = (has(ctx, index, name), ctx.key(name), ctx.ks.as_of());
    let hash = if found { ctx.ks.value::<Hash>(key).ok().flatten() } else { None };
    let Some(hash) = hash else {
        ctx.reply.null();
        return Ok(());
    };
    ctx.reply.map(hash.len_at(as_of));
    for item in hash.iter(as_of).flat_map(|(field, value)| [field, value]) {
        ctx.reply.bulk(ItemText::new(item).as_bytes());
    }
    Ok(())
}

fn add_synonyms(_: &mut Ctx<'_>, _: Argv<'_>) -> CommandResult {
    Err(CommandError::text("No longer supported, use FT.SYNUPDATE"))
}
