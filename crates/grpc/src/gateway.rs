//! From commands to decoded replies or one status: what every method of the services does around its own part.
//!
//! Bounds: each trip to the executor ends at the request timeout, whatever the client's deadline; replies are decoded
//! one by one from the bytes that arrived.

use std::time::Duration;

use quiver_resp::{OwnedArgv, ReplyDecoder, Value};
use tonic::Status;

use crate::executor::{Auth, ExecuteError, Executor, Pace, Session};
use crate::status::{self, Site};

/// Commands up to which a batch is quick. A search or a small write takes some hundred microseconds.
const QUICK_COMMANDS: usize = 4;
/// Words up to which a command is quick.
const QUICK_WORDS: usize = 1_024;

/// The executor with its deadline.
#[derive(Clone, Debug)]
pub(crate) struct Gateway<E> {
    executor: E,
    request_timeout: Duration,
}

/// Why a batch of commands has no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Command `index` was answered with this error; in a transaction, none had an effect.
    Command {
        /// Position among the commands given.
        index: usize,
        /// The error, without `-` and line end.
        text: Vec<u8>,
    },
    /// The batch as a whole failed.
    Batch(Status),
}

impl Failure {
    /// The status to answer with; `site` tells what a command was about.
    pub(crate) fn into_status<'a>(self, site: impl FnOnce(usize) -> Site<'a>) -> Status {
        match self {
            Self::Command { index, text } => status::of_error_reply(&text, &site(index)),
            Self::Batch(status) => status,
        }
    }
}

impl<E: Executor> Gateway<E> {
    pub(crate) fn new(executor: E, request_timeout: Duration) -> Self {
        Self { executor, request_timeout }
    }

    /// Runs `commands` as a pipeline and returns one reply for each, none of them an error.
    ///
    /// # Errors
    /// The first command that failed; those after it ran all the same.
    pub(crate) async fn run(&self, auth: &Auth, commands: Vec<OwnedArgv>) -> Result<Vec<Value>, Failure> {
        first_error(self.replies(auth, commands).await.map_err(Failure::Batch)?)
    }

    /// Runs `commands` as one transaction and returns one reply for each, none of them an error.
    ///
    /// # Errors
    /// The first command that was refused, when queued or when run.
    pub(crate) async fn run_atomic(&self, auth: &Auth, commands: Vec<OwnedArgv>) -> Result<Vec<Value>, Failure> {
        if commands.len() <= 1 {
            return self.run(auth, commands).await;
        }
        let count = commands.len();
        let replies = self.replies(auth, transaction(commands)).await.map_err(Failure::Batch)?;
        let results = of_transaction(replies, count)?;
        results.ok_or_else(|| Failure::Batch(status::unexpected_reply("of EXEC")))
    }

    /// Runs `commands` as a pipeline and returns one reply for each, errors among them.
    pub(crate) async fn replies(&self, auth: &Auth, commands: Vec<OwnedArgv>) -> Result<Vec<Value>, Status> {
        let pace = pace_of(&commands);
        let count = commands.len();
        in_time(self.request_timeout, count, self.executor.execute(auth, commands, pace)).await
    }

    /// As [`Self::run`], for commands that look at whole collections.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn run_slow(&self, auth: &Auth, commands: Vec<OwnedArgv>) -> Result<Vec<Value>, Failure> {
        let count = commands.len();
        let run = self.executor.execute(auth, commands, Pace::Slow);
        first_error(in_time(self.request_timeout, count, run).await.map_err(Failure::Batch)?)
    }

    /// A session that stays open over several trips.
    pub(crate) async fn session(&self, auth: &Auth) -> Result<OpenSession<E>, Status> {
        let session = self.executor.open(auth).await.map_err(|error| status::of_execute_error(&error))?;
        Ok(OpenSession { session, request_timeout: self.request_timeout })
    }

    /// Where the stream of effects is by now, for whoever wants to read what was just written.
    pub(crate) fn token(&self) -> String {
        self.executor.token()
    }

    /// Whether the server takes commands; one that asks for credentials does.
    pub(crate) async fn is_ready(&self) -> bool {
        match self.run(&Auth::Anonymous, vec![OwnedArgv::from_slices(&["PING"])]).await {
            Ok(_) => true,
            Err(failure) => failure.into_status(|_| Site::default()).code() != tonic::Code::Unavailable,
        }
    }
}

/// A session and the deadline of its trips.
#[derive(Debug)]
pub(crate) struct OpenSession<E: Executor> {
    session: E::Session,
    request_timeout: Duration,
}

impl<E: Executor> OpenSession<E> {
    /// Runs `commands` as a pipeline and returns one reply for each, errors among them.
    pub(crate) async fn replies(&mut self, commands: Vec<OwnedArgv>, pace: Pace) -> Result<Vec<Value>, Status> {
        let count = commands.len();
        in_time(self.request_timeout, count, self.session.run(commands, pace)).await
    }

    /// As [`Gateway::run`].
    pub(crate) async fn run(&mut self, commands: Vec<OwnedArgv>) -> Result<Vec<Value>, Failure> {
        let pace = pace_of(&commands);
        first_error(self.replies(commands, pace).await.map_err(Failure::Batch)?)
    }

    /// As [`Gateway::run_atomic`]; `None` when a watched key has changed and nothing was done.
    pub(crate) async fn run_atomic(&mut self, commands: Vec<OwnedArgv>) -> Result<Option<Vec<Value>>, Failure> {
        let (count, pace) = (commands.len(), pace_of(&commands));
        let replies = self.replies(transaction(commands), pace).await.map_err(Failure::Batch)?;
        of_transaction(replies, count)
    }
}

fn pace_of(commands: &[OwnedArgv]) -> Pace {
    let quick = |argv: &OwnedArgv| argv.len() <= QUICK_WORDS && argv.as_argv().get(0) != Some(b"VMADD");
    if commands.len() <= QUICK_COMMANDS && commands.iter().all(quick) { Pace::Quick } else { Pace::Slow }
}

async fn in_time(
    request_timeout: Duration,
    count: usize,
    run: impl Future<Output = Result<Vec<u8>, ExecuteError>>,
) -> Result<Vec<Value>, Status> {
    let bytes = tokio::time::timeout(request_timeout, run)
        .await
        .map_err(|_| Status::deadline_exceeded("the server did not answer in time; a write may have been applied"))?
        .map_err(|error| status::of_execute_error(&error))?;
    decode_replies(&bytes, count)
}

fn transaction(mut commands: Vec<OwnedArgv>) -> Vec<OwnedArgv> {
    commands.insert(0, OwnedArgv::from_slices(&["MULTI"]));
    commands.push(OwnedArgv::from_slices(&["EXEC"]));
    commands
}

/// The replies of the commands within a transaction; `None` when a watched key had changed.
fn of_transaction(mut replies: Vec<Value>, count: usize) -> Result<Option<Vec<Value>>, Failure> {
    let executed = replies.pop().expect("one reply for each command, so one for EXEC");
    let mut queued = replies.into_iter();
    if let Some(Value::Error(text)) = queued.next() {
        return Err(Failure::Batch(status::of_error_reply(&text, &Site::default())));
    }
    // What was refused while queueing says more than the EXECABORT it leads to.
    first_error(queued.collect())?;
    match executed {
        Value::Array(results) if results.len() == count => first_error(results).map(Some),
        Value::Error(text) => Err(Failure::Batch(status::of_error_reply(&text, &Site::default()))),
        null if null.is_null() => Ok(None),
        _ => Err(Failure::Batch(status::unexpected_reply("of EXEC"))),
    }
}

/// Exactly `count` replies from `bytes`.
pub(crate) fn decode_replies(mut bytes: &[u8], count: usize) -> Result<Vec<Value>, Status> {
    let mut decoder = ReplyDecoder::default();
    let mut replies = Vec::with_capacity(count);
    for _ in 0..count {
        let (consumed, reply) = decoder.decode(bytes).map_err(|error| status::unexpected_reply(&error.to_string()))?;
        bytes = &bytes[consumed..];
        replies.push(reply.ok_or_else(|| status::unexpected_reply("fewer replies than commands"))?);
    }
    if bytes.is_empty() { Ok(replies) } else { Err(status::unexpected_reply("more replies than commands")) }
}

fn first_error(replies: Vec<Value>) -> Result<Vec<Value>, Failure> {
    match replies.iter().position(Value::is_error) {
        None => Ok(replies),
        Some(index) => match replies.into_iter().nth(index) {
            Some(Value::Error(text)) => Err(Failure::Command { index, text }),
            _ => Err(Failure::Batch(status::unexpected_reply("that is no longer an error"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_reply_for_each_command_is_accepted() {
        assert_eq!(decode_replies(b":1\r\n+OK\r\n", 2).unwrap(), [Value::Integer(1), Value::Simple(b"OK".to_vec())]);
        for bytes in [b":1\r\n".as_slice(), b":1\r\n:2\r\n:3\r\n", b":1\r\n*9\r\n", b":1\r\nrubbish", b""] {
            assert_eq!(decode_replies(bytes, 2).unwrap_err().code(), tonic::Code::Internal);
        }
    }

    #[test]
    fn the_first_error_among_replies_is_told_with_its_place() {
        let replies = vec![Value::Null, Value::Error(b"ERR one".to_vec()), Value::Error(b"ERR two".to_vec())];
        assert!(matches!(first_error(replies), Err(Failure::Command { index: 1, text }) if text == b"ERR one"));
    }
}
