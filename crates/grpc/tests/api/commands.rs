//! CommandService and AdminService on a real instance.

use crate::node::{Real, fields};
use quiver_grpc::pb::pipeline_response::Result as PipelineResult;
use quiver_grpc::pb::reply::Value;
use quiver_grpc::pb::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

fn simple(text: &'static str) -> Option<Value> {
    Some(Value::Simple(text.into()))
}

#[tokio::test]
async fn a_command_answers_as_in_resp() {
    let real = Real::start().await;
    assert_eq!(real.run("SET k 5").await.unwrap(), simple("OK"));
    assert_eq!(real.run("INCR k").await.unwrap(), Some(Value::Integer(6)));
    assert_eq!(real.run("GET none").await.unwrap(), None);
    real.run("HSET h f v").await.unwrap();
    let Some(Value::Map(pairs)) = real.run("HGETALL h").await.unwrap() else { panic!("no map") };
    assert_eq!(pairs.items.len(), 2);

    let status = real.run("LPUSH k x").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.get_details_error_info().unwrap().reason, "WRONGTYPE");
    assert_eq!(real.run("NOSUCH").await.unwrap_err().code(), Code::Unimplemented);
    for line in ["SUBSCRIBE news", "client reply off", "HELLO 2", "MONITOR"] {
        assert_eq!(fields(&real.run(line).await.unwrap_err()), ["argv[0]"], "{line}");
    }
    let status = real.commands().execute(ExecuteRequest::default()).await.unwrap_err();
    assert_eq!(fields(&status), ["argv"]);
}

#[tokio::test]
async fn a_pipeline_is_one_session_and_goes_on_after_an_error() {
    let real = Real::start().await;
    let (requests, stream) = mpsc::channel(1);
    let mut answers = real.commands().pipeline(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let mut results = Vec::new();
    for (request_id, line) in (0..).zip(["SELECT 3", "MULTI", "SET k v", "EXEC", "LPUSH k x", "GET k", "DBSIZE"]) {
        let argv = line.split(' ').map(|word| word.to_owned().into()).collect();
        requests.send(PipelineRequest { request_id, argv }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.request_id, request_id);
        results.push(match answer.result.unwrap() {
            PipelineResult::Reply(reply) => Ok(reply.value),
            PipelineResult::Error(status) => Err(status.code),
        });
    }
    let executed = Value::Array(ReplyList { items: vec![Reply { value: simple("OK") }] });
    assert_eq!(results[3], Ok(Some(executed)));
    assert_eq!(results[4], Err(Code::FailedPrecondition.into()));
    assert_eq!(results[5..], [Ok(Some(Value::Bulk("v".into()))), Ok(Some(Value::Integer(1)))]);
    assert_eq!(real.run("GET k").await.unwrap(), None, "another session is in another database");
}

#[tokio::test]
async fn a_transaction_whose_stream_ends_never_happens() {
    let real = Real::start().await;
    let lines = ["MULTI", "SET k v"];
    let requests = lines.map(|line| PipelineRequest {
        request_id: 0,
        argv: line.split(' ').map(|word| word.to_owned().into()).collect(),
    });
    let mut answers = real.commands().pipeline(tokio_stream::iter(requests)).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    assert_eq!(real.run("EXISTS k").await.unwrap(), Some(Value::Integer(0)));
}

#[tokio::test]
async fn info_comes_in_sections_and_replication_is_told() {
    let real = Real::with_films().await;
    let request = InfoRequest { sections: vec!["server".into(), "keyspace".into()] };
    let sections = real.admin().info(request).await.unwrap().into_inner().sections;
    assert_eq!(sections.iter().map(|section| section.name.as_str()).collect::<Vec<_>>(), ["Server", "Keyspace"]);
    assert!(sections[0].fields.contains_key("redis_version"));
    assert!(sections[1].fields["db0"].starts_with("keys=1"));

    let status = real.admin().replication_status(ReplicationStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.role(), status.replicas.len(), status.primary), (Role::Primary, 0, None));
    assert_eq!(status.token, format!("{}:{}", status.replid, status.offset));
}

#[tokio::test]
async fn a_snapshot_is_there_when_it_was_waited_for() {
    let real = Real::with_films().await;
    let folder = tempfile::tempdir().unwrap();
    real.node.engine().config.set("dir", folder.path().to_str().unwrap(), false).unwrap();
    let saved = real.admin().snapshot(SnapshotRequest { wait: true }).await.unwrap().into_inner();
    assert!(saved.saved_at_s > 1_700_000_000);
    assert!(folder.path().join("dump.rdb").metadata().unwrap().len() > 100);
}
