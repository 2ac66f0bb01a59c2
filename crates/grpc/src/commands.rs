//! CommandService: commands as they are in RESP, their replies as messages.

use std::pin::Pin;
use std::sync::Arc;

use prost::bytes::Bytes;
use quiver_resp::{OwnedArgv, Value};
use tokio::sync::Mutex;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use crate::check::Violations;
use crate::executor::{Auth, Executor, Pace};
use crate::gateway::{Failure, Gateway, OpenSession};
use crate::pb::command_service_server::CommandService;
use crate::pb::pipeline_response::Result as PipelineResult;
use crate::pb::reply::Value as ReplyValue;
use crate::pb::{ExecuteRequest, ExecuteResponse, PipelineRequest, PipelineResponse, Reply, ReplyList};
use crate::status::{self, Site};

/// Most words of a command, as RESP has it.
const WORDS_MAX: usize = 1 << 20;

/// Commands that answer more or less than one reply, or make a connection something else.
const OF_CONNECTIONS: &[&str] = &[
    "hello",
    "monitor",
    "psubscribe",
    "psync",
    "punsubscribe",
    "quit",
    "replconf",
    "reset",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "sync",
    "unsubscribe",
];

/// And such subcommands of CLIENT.
const OF_CONNECTIONS_CLIENT: &[&str] = &["caching", "reply", "tracking"];

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Commands<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Commands<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }
}

#[tonic::async_trait]
impl<E: Executor> CommandService for Commands<E> {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let mut session = self.gateway.session(&auth).await?;
        let reply = run(&mut session, &request.into_inner().argv).await?;
        Ok(Response::new(ExecuteResponse { reply: Some(reply), token: self.gateway.token() }))
    }

    type PipelineStream = Pin<Box<dyn Stream<Item = Result<PipelineResponse, Status>> + Send>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        // `then` pulls the next command only when the last answer was taken, so the lock never waits.
        let session = Arc::new(Mutex::new(self.gateway.session(&auth).await?));
        let answers = request.into_inner().then(move |request| {
            let session = Arc::clone(&session);
            async move {
                let PipelineRequest { request_id, argv } = request.map_err(status::of_transport)?;
                let result = match run(&mut *session.lock().await, &argv).await {
                    Ok(reply) => PipelineResult::Reply(reply),
                    Err(status) => PipelineResult::Error(status::to_message(&status)),
                };
                Ok(PipelineResponse { request_id, result: Some(result) })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn run<E: Executor>(session: &mut OpenSession<E>, argv: &[Bytes]) -> Result<Reply, Status> {
    let mut violations = Violations::default();
    violations.count("argv", argv.len(), WORDS_MAX);
    if is_of_connections(argv) {
        violations.add("argv[0]", "needs a connection of its own, which only RESP has");
    }
    violations.into_result()?;
    let reply = session.replies(vec![OwnedArgv::from_slices(argv)], Pace::Slow).await?.pop();
    match reply {
        Some(Value::Error(text)) => Err(Failure::Command { index: 0, text }.into_status(|_| Site::default())),
        Some(reply) => Ok(to_reply(reply)),
        None => Err(status::unexpected_reply("of no command")),
    }
}

fn is_of_connections(argv: &[Bytes]) -> bool {
    let is_among = |at: usize, names: &[&str]| {
        argv.get(at).is_some_and(|word| names.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes())))
    };
    is_among(0, OF_CONNECTIONS) || is_among(0, &["client"]) && is_among(1, OF_CONNECTIONS_CLIENT)
}

/// The reply as a message. The decoder's limit of depth bounds the recursion.
fn to_reply(value: Value) -> Reply {
    let value = match value {
        Value::Simple(text) => ReplyValue::Simple(text.into()),
        Value::Error(text) => ReplyValue::Error(text.into()),
        Value::Integer(number) => ReplyValue::Integer(number),
        Value::Bulk(bytes) => ReplyValue::Bulk(bytes.into()),
        Value::Null | Value::NullArray => return Reply { value: None },
        Value::Array(items) | Value::Push(items) => ReplyValue::Array(list(items.into_iter())),
        Value::Set(items) => ReplyValue::Set(list(items.into_iter())),
        Value::Map(pairs) => ReplyValue::Map(list(pairs.into_iter().flat_map(|(key, value)| [key, value]))),
        Value::Double(number) => ReplyValue::Double(number),
        Value::Boolean(truth) => ReplyValue::Boolean(truth),
        Value::BigNumber(digits) => ReplyValue::BigNumber(digits.into()),
        Value::Verbatim { text, .. } => ReplyValue::Verbatim(text.into()),
        Value::Attributed { value, .. } => return to_reply(*value),
    };
    Reply { value: Some(value) }
}

fn list(items: impl Iterator<Item = Value>) -> ReplyList {
    ReplyList { items: items.map(to_reply).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_need_a_connection_are_told_by_name() {
        let is = |words: &[&'static str]| {
            is_of_connections(&words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>())
        };
        assert!(is(&["Subscribe", "news"]) && is(&["CLIENT", "Reply", "OFF"]) && is(&["hello", "2"]));
        assert!(!is(&["GET", "subscribe"]) && !is(&["CLIENT", "LIST"]) && !is(&[]) && !is(&["client"]));
    }

    #[test]
    fn every_kind_of_reply_has_its_message() {
        let map = Value::Map(vec![(Value::Bulk(b"k".to_vec()), Value::Null)]);
        let reply = to_reply(Value::Array(vec![Value::Integer(1), map, Value::Error(b"ERR x".to_vec())]));
        let Some(ReplyValue::Array(ReplyList { items })) = reply.value else { panic!("no array") };
        assert_eq!(items[0].value, Some(ReplyValue::Integer(1)));
        let Some(ReplyValue::Map(pairs)) = &items[1].value else { panic!("no map") };
        assert_eq!((pairs.items.len(), &pairs.items[1].value), (2, &None));
        assert_eq!(items[2].value, Some(ReplyValue::Error(Bytes::from_static(b"ERR x"))));
    }
}
