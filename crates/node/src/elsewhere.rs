//! Commands for other servers, on behalf of MIGRATE.
//!
//! A connection stays open for a while after its last use, because keys are moved one after the other. Who logged in
//! over it, and the database, are part of what it is known by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quiver_client::{Batch, Blocking, Error, Options, Value};
use quiver_engine::host::Unreached;

/// Connections kept at most.
const KEPT_MAX: usize = 64;
/// How long one is kept unused.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// Words of a command.
type Words = Vec<Vec<u8>>;
/// What the other server says to each command.
type Answers = Vec<Result<(), String>>;

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(Mutex<BTreeMap<String, (Blocking, Instant)>>);

impl Elsewhere {
    /// Connections that are kept.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Closes what was not used for a while.
    pub(crate) fn close_idle(&self) {
        self.0.lock().retain(|_, (_, used)| used.elapsed() < KEPT_FOR);
    }

    /// Runs commands on the server at `host:port`, behind those of `opening`.
    ///
    /// On a thread of its own: the caller's may be one of an event loop, where waiting is not allowed.
    ///
    /// # Errors
    /// The server could not be reached, or the connection broke.
    pub(crate) fn run(
        &self,
        target: &str,
        timeout: Duration,
        opening: &[Words],
        commands: &[Words],
    ) -> Result<Answers, Unreached> {
        std::thread::scope(|scope| {
            let talk = std::thread::Builder::new().name("quiver-migrate".to_owned());
            let talk = talk.spawn_scoped(scope, || self.talk(target, timeout, opening, commands));
            talk.ok().and_then(|talk| talk.join().ok()).unwrap_or(Err(Unreached::Connecting))
        })
    }

    fn talk(
        &self,
        target: &str,
        timeout: Duration,
        opening: &[Words],
        commands: &[Words],
    ) -> Result<Answers, Unreached> {
        let known_by = format!("{target} {opening:?}");
        let kept = self.0.lock().remove(&known_by);
        if let Some((mut connection, _)) = kept {
            connection.set_timeout(Some(timeout));
            match self.talk_over(connection, known_by.clone(), opening, commands) {
                Err(Error::Timeout) => return Err(Unreached::Talking),
                // Most likely it was closed at the other end while nobody used it.
                Err(_) => {}
                Ok(answers) => return Ok(answers),
            }
        }
        let options = Options { connect_timeout: timeout, timeout: Some(timeout), ..Options::default() };
        let connection = Blocking::connect_with(target, &options).map_err(|error| match error {
            Error::Timeout => Unreached::Connecting,
            _ => Unreached::Refused,
        })?;
        self.talk_over(connection, known_by, opening, commands).map_err(|_| Unreached::Talking)
    }

    /// Runs the commands behind those of `opening`, whose errors stand for all, and keeps the connection.
    fn talk_over(
        &self,
        mut connection: Blocking,
        known_by: String,
        opening: &[Words],
        commands: &[Words],
    ) -> Result<Answers, Error> {
        let opened = run(&mut connection, opening)?;
        if let Some(refused) = opened.into_iter().find_map(Result::err) {
            return Ok(vec![Err(refused); commands.len()]);
        }
        let answers = run(&mut connection, commands)?;
        let mut kept = self.0.lock();
        if kept.len() < KEPT_MAX {
            kept.insert(known_by, (connection, Instant::now()));
        }
        Ok(answers)
    }
}

fn run(connection: &mut Blocking, commands: &[Words]) -> Result<Answers, Error> {
    let mut batch = Batch::new();
    commands.iter().for_each(|words| batch.push(words));
    let answer = |reply| match reply {
        Value::Error(text) => Err(String::from_utf8_lossy(&text).into_owned()),
        _ => Ok(()),
    };
    Ok(connection.run(&batch)?.into_iter().map(answer).collect())
}
