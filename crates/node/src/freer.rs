//! The thread that frees what is large, away from the threads that serve clients.
//!
//! It runs at a lower priority than those: what it frees is no longer part of the data, and its slices of the processor
//! are better spent on clients while there are any. Values are freed in the order they came.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, mpsc};

use parking_lot::Mutex;
use quiver_engine::Engine;
use quiver_engine::engine::Freeing;
use quiver_engine::host::LazyFree;
use quiver_engine::keyspace::Garbage;
use tracing::warn;

use crate::memory::net_bytes;
use crate::priority::{TIDYING, stand_back};

/// What to free, and why.
type Job = (Vec<Garbage>, Freeing);

/// The way to the thread, and what waits there.
#[derive(Debug, Default)]
pub(crate) struct Freer {
    jobs: OnceLock<Mutex<mpsc::Sender<Job>>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    pending: AtomicU64,
    evicted_pending: AtomicU64,
    freed: AtomicU64,
}

impl Freer {
    /// Starts the thread. It ends with the last sender.
    pub(crate) fn start(&self, engine: &Arc<Engine>) {
        let (sender, receiver) = mpsc::channel::<Job>();
        let (counts, engine) = (Arc::clone(&self.counts), Arc::downgrade(engine));
        let thread = std::thread::Builder::new().name("quiver-free".to_owned());
        let started = thread.spawn(move || {
            stand_back(TIDYING);
            for (garbage, freeing) in receiver {
                for value in garbage {
                    let (objects, before) = (value.objects() as u64, net_bytes());
                    drop(value);
                    counts.done(objects, freeing);
                    if let Some(engine) = engine.upgrade() {
                        engine.memory.add(net_bytes() - before);
                    }
                }
            }
        });
        match started {
            Ok(_) => drop(self.jobs.set(Mutex::new(sender))),
            Err(error) => warn!("no thread for background freeing: {error}"),
        }
    }

    /// Takes something to free.
    pub(crate) fn free_later(&self, garbage: Vec<Garbage>, freeing: Freeing) {
        let objects: u64 = garbage.iter().map(|value| value.objects() as u64).sum();
        self.counts.waiting(objects, freeing);
        let refused = match self.jobs.get() {
            Some(jobs) => jobs.lock().send((garbage, freeing)).is_err(),
            None => true,
        };
        if refused {
            // There is no thread, or the process is ending: it was freed here.
            self.counts.done(objects, freeing);
        }
    }

    pub(crate) fn counts(&self) -> LazyFree {
        LazyFree {
            pending: self.counts.pending.load(Relaxed),
            evicted_pending: self.counts.evicted_pending.load(Relaxed),
            freed: self.counts.freed.load(Relaxed),
        }
    }

    pub(crate) fn reset(&self) {
        self.counts.freed.store(0, Relaxed);
    }
}

impl Counts {
    fn waiting(&self, objects: u64, freeing: Freeing) {
        self.pending.fetch_add(objects, Relaxed);
        if freeing == Freeing::Evicted {
            self.evicted_pending.fetch_add(objects, Relaxed);
        }
    }

    fn done(&self, objects: u64, freeing: Freeing) {
        self.freed.fetch_add(objects, Relaxed);
        self.pending.fetch_sub(objects, Relaxed);
        if freeing == Freeing::Evicted {
            self.evicted_pending.fetch_sub(objects, Relaxed);
        }
    }
}
