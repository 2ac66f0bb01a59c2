//! The [`Executor`] of a running instance: every session is one of its own in the engine, like a connection's.
//!
//! Quick commands run where connections are served, and let others go on every now and then; slow ones run on a thread
//! apart. A caller who gives up ends what has not begun: a transaction whose EXEC has not begun never happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use quiver_node::{Handle, HandleSession};
use quiver_resp::OwnedArgv;

use crate::executor::{Auth, ExecuteError, Executor, Pace, Session, TokenError};

/// How long quick commands run before other calls have their turn.
const TURN: Duration = Duration::from_millis(1);

/// Runs each request's commands in a session of their own.
#[derive(Clone)]
pub struct NodeExecutor(Handle);

/// A session of the engine; taken while it is on another thread.
pub struct NodeSession(Option<HandleSession>);

impl NodeExecutor {
    /// Runs commands through this handle.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }
}

impl Executor for NodeExecutor {
    type Session = NodeSession;

    async fn open(&self, auth: &Auth) -> Result<NodeSession, ExecuteError> {
        let mut session = self.0.session("grpc").ok_or(ExecuteError::Overloaded)?;
        if let Some(login) = auth.to_command() {
            let mut out = Vec::new();
            session.execute(&login, &mut out);
            if out.first() == Some(&b'-') {
                return Err(ExecuteError::Refused(String::from_utf8_lossy(&out[1..]).trim_end().to_owned()));
            }
        }
        Ok(NodeSession(Some(session)))
    }

    fn token(&self) -> String {
        let (id, offset) = self.0.position();
        format!("{id}:{offset}")
    }

    async fn reached(&self, token: &str) -> Result<(), TokenError> {
        let parsed = token.split_once(':').and_then(|(id, offset)| Some((id, offset.parse().ok()?)));
        let (id, offset) = parsed.ok_or(TokenError::Malformed)?;
        if self.0.reached(id, offset).await { Ok(()) } else { Err(TokenError::Foreign) }
    }
}

impl Session for NodeSession {
    async fn run(&mut self, commands: Vec<OwnedArgv>, pace: Pace) -> Result<Vec<u8>, ExecuteError> {
        let lost = || ExecuteError::Unavailable("the session has ended".to_owned());
        let mut session = self.0.take().ok_or_else(lost)?;
        let mut out = Vec::new();
        match pace {
            Pace::Quick => run_here(&mut session, &commands, &mut out).await,
            Pace::Slow => {
                let wanted = Wanted::default();
                let still = Arc::clone(&wanted.0);
                let apart = tokio::task::spawn_blocking(move || {
                    let wanted = commands.iter().take_while(|_| still.load(Relaxed));
                    wanted.for_each(|command| session.execute(command, &mut out));
                    (session, out)
                });
                (session, out) = apart.await.map_err(|_| lost())?;
            }
        }
        let settled = session.settled().await;
        self.0 = Some(session);
        if settled {
            return Ok(out);
        }
        let reason = "the append only file could not be written; what was done may be lost";
        Err(ExecuteError::Unavailable(reason.to_owned()))
    }
}

async fn run_here(session: &mut HandleSession, commands: &[OwnedArgv], out: &mut Vec<u8>) {
    let mut turn = Instant::now();
    for command in commands {
        if turn.elapsed() > TURN {
            tokio::task::yield_now().await;
            turn = Instant::now();
        }
        session.execute(command, out);
    }
}

/// Whether somebody waits for the outcome: until this is dropped.
struct Wanted(Arc<AtomicBool>);

impl Default for Wanted {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}
