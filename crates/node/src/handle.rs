//! Commands from inside the process: what gRPC and tests use instead of a socket.

use std::sync::Arc;

use quiver_engine::{ClientInfo, Engine, Session, Worker};
use quiver_resp::{OwnedArgv, Protocol};

use crate::clock::now_ms;
use crate::log::Log;
use crate::stream::Stream;

/// Opens sessions on the engine.
#[derive(Clone)]
pub struct Handle {
    engine: Arc<Engine>,
    log: Arc<Log>,
    stream: Arc<Stream>,
}

/// A session without a socket.
pub struct HandleSession {
    engine: Arc<Engine>,
    log: Arc<Log>,
    worker: Worker,
    session: Session,
}

impl Handle {
    pub(crate) fn new(engine: Arc<Engine>, log: Arc<Log>, stream: Arc<Stream>) -> Self {
        Self { engine, log, stream }
    }

    /// The stream's id and how far it is: what was answered before stands before it.
    pub fn position(&self) -> (String, u64) {
        let facts = self.stream.facts();
        (facts.history.id, facts.offset)
    }

    /// Waits until this instance has the stream `id` up to `offset`; `false` if it follows another history, which has
    /// not or may not have that.
    pub async fn reached(&self, id: &str, offset: u64) -> bool {
        // From before the first look, so that no growth is missed.
        let mut growth = self.stream.growth();
        loop {
            let facts = self.stream.facts();
            if facts.history.before.as_ref().is_some_and(|(before, end)| before == id && offset <= *end) {
                return true;
            }
            if facts.history.id != id {
                return false;
            }
            if facts.offset >= offset {
                return true;
            }
            if growth.changed().await.is_err() {
                return false;
            }
        }
    }

    /// A session, for one thread at a time. It answers in RESP3. `None` when `maxclients` is reached.
    pub fn session(&self, addr: &str) -> Option<HandleSession> {
        let client: Arc<ClientInfo> = self.engine.connect(addr.to_owned(), String::new(), now_ms())?;
        let authenticated = self.engine.users.is_open();
        let mut session = Session::new(client, authenticated);
        session.protocol = Protocol::Resp3;
        // The caller is answered when the call returns.
        session.can_block = false;
        let worker = crate::memory::worker(&self.engine);
        Some(HandleSession { engine: Arc::clone(&self.engine), log: Arc::clone(&self.log), worker, session })
    }
}

impl HandleSession {
    /// Waits until what was executed is as durable as the configuration promises; `false` when the log failed and the
    /// replies must not be believed.
    #[must_use]
    pub async fn settled(&self) -> bool {
        match self.log.hold(true) {
            Some(position) => self.log.passed(position).await,
            None => true,
        }
    }

    /// Runs one command and appends its reply in RESP3 to `out`.
    pub fn execute(&mut self, argv: &OwnedArgv, out: &mut Vec<u8>) {
        // What this thread did before is no news: the worker may come from another one.
        crate::memory::take_net_bytes();
        self.engine.run_one(&mut self.worker, &mut self.session, argv.as_argv(), out, now_ms());
    }
}

impl Drop for HandleSession {
    fn drop(&mut self) {
        self.engine.disconnect(self.session.shared.id);
    }
}
