//! Client eviction: connections are closed when all clients' buffers together are over `maxmemory-clients`
//! (<https://redis.io/docs/latest/develop/reference/clients#client-eviction>).
//!
//! The largest goes first. Replicas, the primary and clients under CLIENT NO-EVICT stay. What a client that was already
//! told to close still holds is not counted, so that one too many does not cost two.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::config::Config;
use crate::engine::Engine;
use crate::session::ClientInfo;

/// The smallest limit in force: below it nobody could talk to the server to set another.
const LIMIT_MIN: u64 = 128 * 1024;

/// The limit in bytes; `None` for none.
fn limit(config: &Config) -> Option<u64> {
    let bytes = match config.maxmemory_clients() {
        0 => return None,
        percent @ ..0 => match config.maxmemory() {
            0 => return None,
            maxmemory => (maxmemory as f64 * -percent as f64 / 100.0) as u64,
        },
        bytes => bytes as u64,
    };
    Some(bytes.max(LIMIT_MIN))
}

impl ClientInfo {
    /// Bytes this client takes: its buffers, the messages that wait for it and what every client takes.
    pub fn memory_bytes(&self) -> u64 {
        self.buffer_bytes.load(Relaxed) + self.mailbox.len() as u64 + size_of::<Self>() as u64
    }

    /// Bytes of its queries and its transaction.
    pub fn query_bytes(&self) -> u64 {
        let others = self.output_bytes.load(Relaxed) + self.held_bytes.load(Relaxed);
        self.buffer_bytes.load(Relaxed).saturating_sub(others)
    }

    fn is_link(&self) -> bool {
        self.texts.lock().flags.contains(['S', 'M'])
    }
}

impl Engine {
    /// Notes the bytes a client has in its buffers, and makes room when that is too much.
    pub fn note_client_buffers(&self, client: &ClientInfo, bytes: u64) {
        let before = client.buffer_bytes.swap(bytes, Relaxed);
        if before != bytes {
            self.memory.add_client_buffers(bytes.wrapping_sub(before) as i64);
            if bytes > before && self.clients_may_be_over() {
                self.evict_clients();
            }
        }
    }

    /// Whether clients come near their limit, told without looking at each. Messages that wait are not in it.
    fn clients_may_be_over(&self) -> bool {
        let Some(limit) = limit(&self.config) else { return false };
        let bare = || self.clients.lock().len() as u64 * size_of::<ClientInfo>() as u64;
        self.memory.client_buffers() >= limit / 2 || bare() >= limit / 2
    }

    /// Closes the largest clients until the others are within the limit; gives how many.
    pub fn evict_clients(&self) -> usize {
        let Some(limit) = limit(&self.config) else { return 0 };
        let clients: Vec<_> = self.clients.lock().values().map(Arc::clone).collect();
        let mut clients: Vec<_> = clients
            .into_iter()
            .filter(|client| !client.killed.load(Relaxed) && !client.is_link())
            .map(|client| (client.memory_bytes(), client))
            .collect();
        let mut total: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
        clients.retain(|(_, client)| !client.no_evict.load(Relaxed));
        clients.sort_by_key(|(bytes, client)| (*bytes, client.id));
        let mut evicted = 0;
        while total >= limit
            && let Some((bytes, client)) = clients.pop()
        {
            client.kill();
            total -= bytes;
            evicted += 1;
        }
        self.stats.evicted_clients.fetch_add(evicted as u64, Relaxed);
        evicted
    }
}
