//! The scripts all threads know, by digest.
//!
//! Scripts that were loaded stay until SCRIPT FLUSH. Of those that came with EVAL at most [`EVAL_SCRIPTS_MAX`] are kept,
//! the ones used last.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_engine::CommandError;

use crate::script::{Script, Sha, digest_again};

/// Most scripts that were not loaded but came with EVAL.
pub(crate) const EVAL_SCRIPTS_MAX: usize = 500;

/// Bytes an entry needs besides its text, roughly.
const ENTRY_BYTES: usize = 160;

/// A digest is as good as any hash: some of its bytes are taken.
#[derive(Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

/// A map from digests.
pub(crate) type ByDigest<V> = HashMap<Sha, V, BuildHasherDefault<DigestHasher>>;

/// The cache.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    scripts: Mutex<Scripts>,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Scripts {
    by_digest: ByDigest<Arc<Script>>,
    evictable: usize,
    bytes: usize,
}

impl Cache {
    /// A script by its digest.
    pub(crate) fn get(&self, sha: &Sha) -> Option<Arc<Script>> {
        self.scripts.lock().by_digest.get(sha).cloned()
    }

    /// Takes a script in unless it is there; one that is `loaded` stays from now on.
    ///
    /// # Errors
    /// What is wrong with its first line.
    pub(crate) fn add(&self, text: &[u8], loaded: bool, now_ms: i64) -> Result<Arc<Script>, CommandError> {
        let sha = digest_again(text);
        let mut scripts = self.scripts.lock();
        if let Some(known) = scripts.by_digest.get(&sha).cloned() {
            if loaded && known.evictable.swap(false, Relaxed) {
                scripts.evictable -= 1;
            }
            return Ok(known);
        }
        let script = Arc::new(Script::new(sha, text, !loaded)?);
        script.last_used_ms.store(now_ms, Relaxed);
        if !loaded && scripts.evictable == EVAL_SCRIPTS_MAX {
            scripts.evict();
            self.evicted.fetch_add(1, Relaxed);
        }
        scripts.evictable += usize::from(!loaded);
        scripts.bytes += text.len() + ENTRY_BYTES;
        scripts.by_digest.insert(sha, Arc::clone(&script));
        Ok(script)
    }

    /// Takes a script out again that turned out not to compile.
    pub(crate) fn remove(&self, script: &Script) {
        self.scripts.lock().remove(&script.sha);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let scripts = std::mem::take(&mut *self.scripts.lock());
        #[expect(clippy::iter_over_hash_type, reason = "each is marked, in whatever order")]
        for script in scripts.by_digest.values() {
            script.gone.store(true, Relaxed);
        }
    }

    /// Number of scripts, and bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        let scripts = self.scripts.lock();
        (scripts.by_digest.len(), scripts.bytes)
    }

    /// How many left for others.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }
}

impl Scripts {
    /// Takes out the one that was used longest ago. Looks at all of them, which are few, once per new script.
    fn evict(&mut self) {
        let evictable = self.by_digest.values().filter(|script| script.evictable.load(Relaxed));
        let oldest = evictable.min_by_key(|script| (script.last_used_ms.load(Relaxed), script.sha));
        if let Some(sha) = oldest.map(|script| script.sha) {
            self.remove(&sha);
        }
    }

    fn remove(&mut self, sha: &Sha) {
        if let Some(script) = self.by_digest.remove(sha) {
            script.gone.store(true, Relaxed);
            self.evictable -= usize::from(script.evictable.load(Relaxed));
            self.bytes -= script.text.len() + ENTRY_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eval_scripts_make_room_for_each_other_and_loaded_ones_stay() {
        let cache = Cache::default();
        let loaded = cache.add(b"return 'loaded'", true, 0).expect("a script");
        let first = cache.add(b"return 'first'", false, 1).expect("a script");
        for n in 0..EVAL_SCRIPTS_MAX {
            cache.add(format!("return {n}").as_bytes(), false, 2).expect("a script");
        }
        assert_eq!(cache.size().0, EVAL_SCRIPTS_MAX + 1);
        assert_eq!(cache.evicted(), 1);
        assert!(first.gone.load(Relaxed) && cache.get(&first.sha).is_none());
        assert!(cache.get(&loaded.sha).is_some());
        cache.clear();
        assert_eq!(cache.size(), (0, 0));
        assert!(loaded.gone.load(Relaxed));
    }

    #[test]
    fn loading_a_script_of_eval_makes_it_stay() {
        let cache = Cache::default();
        let script = cache.add(b"return 1", false, 0).expect("a script");
        cache.add(b"return 1", true, 0).expect("the same");
        for n in 2..EVAL_SCRIPTS_MAX + 4 {
            cache.add(format!("return {n}").as_bytes(), false, 9).expect("a script");
        }
        assert!(!script.gone.load(Relaxed));
    }
}
