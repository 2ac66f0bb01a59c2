//! FT.SPELLCHECK: what the words of a query may have been meant to be.

use std::collections::BTreeSet;
use std::sync::Arc;

use quiver_query::index::Index;
use quiver_query::spell::{Correction, SpellOptions, Vocabulary, spellcheck as check};
use quiver_resp::{Argv, Encoder, Protocol};

use super::request::{Reading, dialect};
use super::{index_to_ask, words_from};
use crate::command::CommandResult;
use crate::context::Ctx;
use crate::error::{CommandError, quote_word};
use crate::search::words::{Words, unknown};

/// Largest distance of a correction.
const DISTANCE_MAX: i64 = 4;

struct Terms<'i>(&'i Index);

impl Vocabulary for Terms<'_> {
    fn documents(&self) -> usize {
        self.0.len()
    }
    fn documents_with(&self, word: &str) -> usize {
        self.0.term_documents(word)
    }
    fn similar(&self, word: &str, distance: u8, take: &mut dyn FnMut(&str, usize)) {
        self.0.similar(word, distance).for_each(|(word, documents)| take(word, documents));
    }
}

pub(super) fn spellcheck(ctx: &mut Ctx<'_>, argv: Argv<'_>) -> CommandResult {
    let index = index_to_ask(ctx, argv, argv.at(1))?;
    let all = words_from(argv, 3);
    let (mut words, mut reading, mut distance) = (Words(&all), Reading::new(ctx), 1);
    let (mut include, mut exclude): (Vec<Arc<BTreeSet<String>>>, Vec<_>) = (Vec::new(), Vec::new());
    let set = ctx.engine.search.set();
    while let Some(word) = words.next() {
        match word.to_ascii_uppercase().as_slice() {
            b"DISTANCE" => {
                let given = words.number("DISTANCE", 1).ok().filter(|distance| *distance <= DISTANCE_MAX);
                distance = given.ok_or(CommandError::text(
                    "invalid distance given, distance must be a natural number between 1 to 4",
                ))?;
            }
            b"DIALECT" => reading.dialect = dialect(&mut words)?,
            b"TERMS" => {
                let (how, name) = (words.value("TERMS")?, words.value("TERMS")?);
                let dictionary = set
                    .dictionary(name)
                    .cloned()
                    .ok_or_else(|| CommandError::owned(format!("Dict does not exist: {}", quote_word(name))))?;
                match how.to_ascii_uppercase().as_slice() {
                    b"INCLUDE" => include.push(dictionary),
                    b"EXCLUDE" => exclude.push(dictionary),
                    _ => return Err(CommandError::text("bad format, exclude/include operation was not given")),
                }
            }
            _ => return Err(unknown(word)),
        }
    }
    let query = reading.parse(argv.at(2), &index.definition().schema)?;
    ctx.engine.bring_up_to_date(&index, &ctx.ks);
    let options = SpellOptions {
        distance: distance as u8,
        include: include.iter().map(|terms| &**terms).collect(),
        exclude: exclude.iter().map(|terms| &**terms).collect(),
    };
    let corrections = check(&query, &Terms(&index.content()), &options);
    write(&mut ctx.reply, &corrections);
    Ok(())
}

fn write(reply: &mut Encoder<'_>, corrections: &[Correction]) {
    match reply.protocol() {
        Protocol::Resp2 => {
            reply.array(corrections.len());
            for Correction { word, suggestions } in corrections {
                reply.array(3);
                reply.bulk(b"TERM");
                reply.bulk(word.as_bytes());
                reply.array(suggestions.len());
                for (score, suggestion) in suggestions {
                    reply.array(2);
                    reply.double(*score);
                    reply.bulk(suggestion.as_bytes());
                }
            }
        }
        Protocol::Resp3 => {
            reply.map(1);
            reply.bulk(b"results");
            reply.map(corrections.len());
            for Correction { word, suggestions } in corrections {
                reply.bulk(word.as_bytes());
                reply.array(suggestions.len());
                for (score, suggestion) in suggestions {
                    reply.map(1);
                    reply.bulk(suggestion.as_bytes());
                    reply.double(*score);
                }
            }
        }
    }
}
