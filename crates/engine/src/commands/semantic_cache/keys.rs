//! The names of a cache's keys, and what can be said of them before a command begins.

use quiver_resp::Argv;

use crate::context::Ctx;
use crate::digest::Digest;
use crate::error::{CommandError, quote_word};
use crate::keyspace::KeyHasher;
use crate::object::SharedVectorSet;
use crate::session::Pause;
use crate::types::hash::Hash;
use crate::types::set::Set;
use crate::types::zset::SortedSet;

/// Longest scope and name of a model, in bytes.
const SCOPE_BYTES_MAX: usize = 1024;

/// The keys of a cache.
pub(super) struct Cache<'a> {
    /// Settings and counters.
    pub(super) name: &'a [u8],
    pub(super) index: Vec<u8>,
    pub(super) used: Vec<u8>,
    pub(super) due: Vec<u8>,
    pub(super) spaces: Vec<u8>,
}

impl<'a> Cache<'a> {
    /// The cache named behind the command's name, its keys being of their types; `None` when the command was given back
    /// to be run again in a moment.
    pub(super) fn open(ctx: &mut Ctx<'_>, argv: Argv<'a>) -> Result<Option<Self>, CommandError> {
        let name = argv.at(1);
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'{' | b'}')) {
            let name = quote_word(name);
            return Err(CommandError::owned(format!("ERR '{name}' cannot be the name of a cache")));
        }
        let key = |end: &str| [b"{", name, b"}:", end.as_bytes()].concat();
        let (index, used, due, spaces) = (key("index"), key("used"), key("due"), key("spaces"));
        let cache = Self { name, index, used, due, spaces };
        if !cache.settle(ctx)? {
            return Ok(None);
        }
        ctx.ks.value_mut::<Hash>(KeyHasher.key(name))?;
        ctx.ks.value_mut::<Hash>(KeyHasher.key(&cache.index))?;
        ctx.ks.value_mut::<SortedSet>(KeyHasher.key(&cache.used))?;
        ctx.ks.value_mut::<SortedSet>(KeyHasher.key(&cache.due))?;
        ctx.ks.value_mut::<Set>(KeyHasher.key(&cache.spaces))?;
        Ok(Some(cache))
    }

    /// Waits until none of the keys is lent to a long command, or leaves that to the caller's thread: then `false`.
    fn settle(&self, ctx: &mut Ctx<'_>) -> Result<bool, CommandError> {
        let engine = ctx.engine;
        let names = [self.name, &self.index, &self.used, &self.due, &self.spaces];
        while engine.loans.any() && names.iter().any(|name| ctx.ks.is_lent(name)) {
            if ctx.ks.in_transaction {
                return Err(CommandError::text("TRYAGAIN a long command works on a key of the cache"));
            }
            if ctx.session.yields {
                ctx.session.pause = Some(Pause::Locked);
                return Ok(false);
            }
            ctx.ks.unlocked(|| engine.loans.wait());
        }
        Ok(true)
    }

    /// The key of an entry.
    pub(super) fn entry(&self, id: &[u8]) -> Vec<u8> {
        [b"{", self.name, b"}:e:", id].concat()
    }

    /// The key of the vector set of a space.
    pub(super) fn vectors(&self, space: &[u8]) -> Vec<u8> {
        [b"{", self.name, b"}:v:", space].concat()
    }

    /// The vector set of a space.
    pub(super) fn vectors_of(&self, ctx: &Ctx<'_>, space: &[u8]) -> Option<SharedVectorSet> {
        ctx.ks.seen::<SharedVectorSet>(&KeyHasher.key(&self.vectors(space))).cloned()
    }
}

/// The name of a scope and model together; no two pairs have the same.
pub(super) fn space(model: &[u8], scope: &[u8]) -> Result<Vec<u8>, CommandError> {
    if model.len().max(scope.len()) > SCOPE_BYTES_MAX {
        return Err(CommandError::owned(format!("ERR SCOPE and MODEL take at most {SCOPE_BYTES_MAX} bytes")));
    }
    Ok([model.len().to_string().as_bytes(), b":", model, b":", scope].concat())
}

/// Model and scope of a space.
pub(super) fn parts_of(space: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = space.iter().position(|byte| *byte == b':')?;
    let len = usize::try_from(crate::number::parse_i64(&space[..colon])?).ok()?;
    let rest = &space[colon + 1..];
    Some((rest.get(..len)?, rest.get(len + 1..)?))
}

/// The id of the entry of a prompt.
pub(super) fn id_of(model: &[u8], scope: &[u8], prompt: &[u8]) -> Vec<u8> {
    Digest::of(&[model, scope, prompt]).hex().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pairs_of_model_and_scope_share_a_space() {
        let pairs: [(&[u8], &[u8]); 6] =
            [(b"", b""), (b"a", b"b"), (b"a:b", b""), (b"a", b":b"), (b"", b"a:b"), (b"1:a", b"b")];
        for (i, (model, scope)) in pairs.into_iter().enumerate() {
            let name = space(model, scope).unwrap();
            assert_eq!(parts_of(&name), Some((model, scope)));
            assert!(pairs[..i].iter().all(|(model, scope)| space(model, scope).unwrap() != name));
        }
        assert!(parts_of(b"9:a:b").is_none() && parts_of(b"x").is_none());
    }
}
