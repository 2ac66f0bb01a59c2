//! A connection whose next command was given back: it takes long, or its shards are held for long by somebody else.
//!
//! Either way the thread goes on with its other connections. A long command runs on a helper's thread and this one waits
//! for its reply; a locked one is tried again after a moment.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use quiver_engine::Session;
use quiver_engine::session::Pause;
use quiver_resp::{Decoder, OwnedArgv, Requests};

use super::{Conn, Place};
use crate::turns::{limits, with_shared};

/// After this a command whose shards are locked is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// Gets the connection past its pause, if it is in one; `false` when it is to be closed.
pub(super) async fn pass(place: &Place) -> bool {
    match place.with(|conn| conn.session.pause.take()) {
        None => true,
        Some(Pause::Locked) => {
            tokio::time::sleep(RETRY_AFTER).await;
            place.with(|conn| !conn.session.shared.killed.load(Acquire))
        }
        Some(Pause::Long) => run_elsewhere(place).await,
    }
}

/// Runs the first command of the connection's buffer on another thread, waits for it and writes its reply.
async fn run_elsewhere(place: &Place) -> bool {
    let (engine, helpers) = with_shared(|shared| (Arc::clone(&shared.engine), shared.helpers.clone()));
    let Some((session, argv)) = place.with(|conn| conn.take_command(&engine)) else { return true };
    let Some((session, reply)) = helpers.run(Arc::clone(&engine), session, argv).await else { return false };
    let peer = place.with(|conn| {
        conn.session = session;
        let client = &conn.session.shared;
        client.net_out_bytes.fetch_add(reply.len() as u64, Relaxed);
        if engine.config.output_limits.of(client.output_class()).over_hard(reply.len() as u64) {
            engine.close_slow(client);
        } else {
            conn.peer.leave(reply);
        }
        conn.note_buffers(&engine);
        Arc::clone(&conn.peer)
    });
    let written = peer.finish().await;
    place.with(|conn| {
        conn.note_buffers(&engine);
        written && !conn.session.close_after_reply
    })
}

impl Conn {
    /// Takes the first command out of the buffer, and the session to run it with.
    fn take_command(&mut self, engine: &quiver_engine::Engine) -> Option<(Session, OwnedArgv)> {
        let mut requests = Requests::new();
        // What is wrong with the input behind the command shows when that is decoded.
        let _ = Decoder::new().decode(&self.pending, &limits(engine, &self.session), &mut requests, 1);
        if requests.is_empty() {
            return None;
        }
        let argv = requests.argv(0, &self.pending).to_owned();
        self.pending.drain(..requests.end(0));
        let stand_in = Session::new(Arc::clone(&self.session.shared), false);
        Some((std::mem::replace(&mut self.session, stand_in), argv))
    }
}
