//! Every rpc of every service, called by its path with the bytes of a message: one valid call of each, and what the
//! services have in common to refuse. That no rpc is left out the protos themselves tell.

use std::collections::BTreeSet;

use prost::Message as _;
use prost::bytes::{Buf, BufMut, Bytes};
use quiver_grpc::flight_pb::{self, Ticket};
use quiver_grpc::pb::expire_request::When;
use quiver_grpc::pb::feature_values::Values;
use quiver_grpc::pb::invalidate_request::Entries;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use quiver_grpc::{ServeLimits, f32_vector, health_pb};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::flights::{batch, data, path};
use crate::node::Real;
use crate::support::element;

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Calls an rpc with these messages; its first answer, behind the schema where one precedes it.
pub(crate) async fn call(
    real: &Real,
    rpc: &str,
    messages: Vec<Bytes>,
    metadata: &[(&'static str, &str)],
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(real.channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter(messages));
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    // On the wire a call of one message is a stream of one message.
    let path = PathAndQuery::try_from(format!("/{rpc}")).unwrap();
    let mut answers = client.streaming(request, path, Raw).await?.into_inner();
    if rpc.ends_with("/DoExchange") || rpc.ends_with("/DoGet") {
        answers.message().await?;
    }
    Ok(answers.message().await?.unwrap_or_default())
}

/// The bytes of a message.
pub(crate) fn bytes<M: prost::Message>(message: &M) -> Vec<Bytes> {
    vec![message.encode_to_vec().into()]
}

/// A server with three films, a view of users and a cache, and messages of at most 64 KiB.
pub(crate) async fn stocked() -> Real {
    let limits = ServeLimits { message_bytes_max: 64 << 10, ..ServeLimits::default() };
    let real = Real::with_films_and(limits).await;
    real.run("FEAT.VIEW CREATE user PREFIX user: FEATURES age i64 bio string home vector(2)").await.unwrap();
    real.run("FEAT.PUT user 1 AT 5 age 41").await.unwrap();
    call(&real, "quiver.v1.SemanticCacheService/Store", bytes(&store()), &[]).await.unwrap();
    real
}

pub(crate) fn films() -> String {
    "films".to_owned()
}

pub(crate) fn search() -> SearchRequest {
    let query = Some(Query::Vector(f32_vector(&[1.0, 0.0])));
    SearchRequest { collection: films(), query, ..SearchRequest::default() }
}

pub(crate) fn upsert() -> UpsertRequest {
    let elements = vec![element("dune", &[0.0, 1.0], None), element("fargo", &[0.5, 1.0], None)];
    UpsertRequest { collection: films(), elements, index: None }
}

pub(crate) fn chunk() -> BulkUpsertRequest {
    let UpsertRequest { collection, elements, index } = upsert();
    BulkUpsertRequest { collection, elements, index, arrow_ipc: Bytes::new() }
}

pub(crate) fn put() -> PutFeaturesRequest {
    let ages = Values::Integers(IntegerValues { values: vec![42] });
    let columns = vec![FeatureValues { feature: "age".into(), values: Some(ages), null_rows: vec![] }];
    PutFeaturesRequest { view: "user".into(), entities: vec!["1".into()], event_times_ms: vec![9], columns }
}

pub(crate) fn features() -> GetFeaturesRequest {
    let views = vec![ViewSelection { view: "user".into(), features: vec![] }];
    GetFeaturesRequest { entities: vec!["1".into()], views, with_event_times: false }
}

pub(crate) fn view() -> FeatureView {
    let feature = Feature { name: "x".into(), r#type: FeatureType::F64.into(), ..Feature::default() };
    FeatureView { name: "new".into(), key_prefix: "n:".into(), features: vec![feature], ..FeatureView::default() }
}

pub(crate) fn store() -> StoreRequest {
    StoreRequest {
        cache: "faq".into(),
        prompt: "hello".into(),
        embedding: Some(f32_vector(&[1.0, 0.0])),
        response: "hi".into(),
        ..StoreRequest::default()
    }
}

/// Messages of a stream of Arrow batches.
fn flight(descriptor: flight_pb::FlightDescriptor, columns: &[usize]) -> Vec<Bytes> {
    let rows = batch(0, 2).project(columns).unwrap();
    data(descriptor, "", &[rows]).iter().map(|message| message.encode_to_vec().into()).collect()
}

pub(crate) fn command(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| word.to_owned().into()).collect()
}

/// A call of each rpc that a stocked server answers, those that remove things last.
pub(crate) fn valid() -> Vec<(&'static str, Vec<Bytes>)> {
    let (ids, alien) = (vec!["alien".into()], || Bytes::from_static(b"alien"));
    let updates = vec![AttributesUpdate { id: alien(), attributes: "{}".into() }];
    let update = UpdateAttributesRequest { collection: films(), updates, merge: false };
    let expire = ExpireRequest { collection: films(), ids: ids.clone(), when: Some(When::Never(true)), condition: 0 };
    let delete = DeleteByFilterRequest { collection: films(), filter: ".year == 1985".into() };
    let pushed = PushFeaturesRequest { batch: Some(put()) };
    let lookup = LookupRequest { cache: "faq".into(), prompt: Some("hello".into()), ..LookupRequest::default() };
    let invalidate = InvalidateRequest { cache: "faq".into(), entries: Some(Entries::All(true)) };
    let piped = PipelineRequest { request_id: 1, argv: command("PING") };
    let streamed = SearchStreamRequest { request_id: 1, search: Some(search()) };
    let get = GetRequest { collection: films(), ids: ids.clone(), ..GetRequest::default() };
    let watch = WatchBuildRequest { collection: films(), ..WatchBuildRequest::default() };
    let health = health_pb::HealthCheckRequest::default();
    let cmd = |json: &'static str| flight_pb::FlightDescriptor {
        r#type: flight_pb::flight_descriptor::DescriptorType::Cmd.into(),
        cmd: json.into(),
        path: vec![],
    };
    vec![
        ("quiver.v1.VectorService/Upsert", bytes(&upsert())),
        ("quiver.v1.VectorService/BulkUpsert", bytes(&chunk())),
        ("quiver.v1.VectorService/BulkUpsertAcked", bytes(&chunk())),
        ("quiver.v1.VectorService/Get", bytes(&get)),
        ("quiver.v1.VectorService/UpdateAttributes", bytes(&update)),
        ("quiver.v1.VectorService/Expire", bytes(&expire)),
        ("quiver.v1.VectorService/Count", bytes(&CountRequest { collection: films(), ..Default::default() })),
        ("quiver.v1.VectorService/Scan", bytes(&ScanRequest { collection: films(), ..Default::default() })),
        ("quiver.v1.SearchService/Search", bytes(&search())),
        ("quiver.v1.SearchService/SearchBatch", bytes(&SearchBatchRequest { searches: vec![search()] })),
        ("quiver.v1.SearchService/SearchStream", bytes(&streamed)),
        (
            "quiver.v1.SearchService/MeasureRecall",
            bytes(&MeasureRecallRequest { collection: films(), sample: 2, ..Default::default() }),
        ),
        (
            "quiver.v1.IndexService/Create",
            bytes(&CreateIndexRequest { collection: "new".into(), ..Default::default() }),
        ),
        ("quiver.v1.IndexService/Get", bytes(&GetIndexRequest { collection: films() })),
        ("quiver.v1.IndexService/List", bytes(&ListIndexesRequest::default())),
        (
            "quiver.v1.IndexService/Update",
            bytes(&UpdateIndexRequest { collection: films(), expires_at_ms: Some(0), ..Default::default() }),
        ),
        ("quiver.v1.IndexService/SetAlias", bytes(&SetAliasRequest { alias: "movies".into(), collection: films() })),
        ("quiver.v1.IndexService/WatchBuild", bytes(&watch)),
        ("quiver.v1.FeatureService/RegisterView", bytes(&RegisterViewRequest { view: Some(view()), replace: false })),
        ("quiver.v1.FeatureService/GetView", bytes(&GetViewRequest { view: "user".into() })),
        ("quiver.v1.FeatureService/ListViews", bytes(&ListViewsRequest {})),
        ("quiver.v1.FeatureService/PutFeatures", bytes(&put())),
        ("quiver.v1.FeatureService/PushFeatures", bytes(&pushed)),
        ("quiver.v1.FeatureService/GetFeatures", bytes(&features())),
        ("quiver.v1.FeatureService/GetFeaturesArrow", bytes(&features())),
        ("quiver.v1.SemanticCacheService/Store", bytes(&store())),
        ("quiver.v1.SemanticCacheService/Lookup", bytes(&lookup)),
        ("quiver.v1.SemanticCacheService/Stats", bytes(&StatsRequest { cache: "faq".into() })),
        ("quiver.v1.SemanticCacheService/Configure", bytes(&ConfigureRequest { cache: "faq".into(), settings: None })),
        ("quiver.v1.CommandService/Execute", bytes(&ExecuteRequest { argv: command("PING") })),
        ("quiver.v1.CommandService/Pipeline", bytes(&piped)),
        ("quiver.v1.AdminService/Info", bytes(&InfoRequest::default())),
        ("quiver.v1.AdminService/ReplicationStatus", bytes(&ReplicationStatusRequest {})),
        ("quiver.v1.AdminService/Snapshot", bytes(&SnapshotRequest { wait: true })),
        ("arrow.flight.protocol.FlightService/Handshake", bytes(&flight_pb::HandshakeRequest::default())),
        ("arrow.flight.protocol.FlightService/ListFlights", bytes(&flight_pb::Criteria::default())),
        ("arrow.flight.protocol.FlightService/GetFlightInfo", bytes(&path(&["films"]))),
        ("arrow.flight.protocol.FlightService/PollFlightInfo", bytes(&path(&["films"]))),
        ("arrow.flight.protocol.FlightService/GetSchema", bytes(&path(&["films"]))),
        ("arrow.flight.protocol.FlightService/DoGet", bytes(&Ticket { ticket: r#"{"collection":"films"}"#.into() })),
        ("arrow.flight.protocol.FlightService/DoPut", flight(path(&["films"]), &[0, 1])),
        ("arrow.flight.protocol.FlightService/DoExchange", flight(cmd(r#"{"collection":"films"}"#), &[1])),
        ("arrow.flight.protocol.FlightService/DoAction", bytes(&flight_pb::Action::default())),
        ("arrow.flight.protocol.FlightService/ListActions", bytes(&flight_pb::Empty {})),
        ("grpc.health.v1.Health/Check", bytes(&health)),
        ("grpc.health.v1.Health/List", bytes(&health_pb::HealthListRequest {})),
        ("grpc.health.v1.Health/Watch", bytes(&health)),
        ("quiver.v1.SemanticCacheService/Invalidate", bytes(&invalidate)),
        ("quiver.v1.FeatureService/DropView", bytes(&DropViewRequest { view: "user".into() })),
        ("quiver.v1.VectorService/DeleteByFilter", bytes(&delete)),
        ("quiver.v1.VectorService/Delete", bytes(&DeleteRequest { collection: films(), ids })),
        ("quiver.v1.IndexService/Drop", bytes(&DropIndexRequest { collection: films() })),
    ]
}

/// What the protos declare.
fn declared() -> BTreeSet<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files = ["vectors", "search", "index", "features", "cache", "commands", "admin"];
    let mut files: Vec<String> = files.iter().map(|name| format!("quiver/v1/{name}.proto")).collect();
    files.extend(["arrow/flight/protocol/Flight.proto", "grpc/health/v1/health.proto"].map(str::to_owned));
    let mut rpcs = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let (mut package, mut service) = ("", "");
        for line in text.lines() {
            let name = |rest: &'_ str| rest.split(['(', ' ', ';', '{']).next().unwrap_or_default().to_owned();
            if let Some(rest) = line.strip_prefix("package ") {
                package = rest.trim_end_matches(';');
            } else if let Some(rest) = line.strip_prefix("service ") {
                service = rest.split(' ').next().unwrap();
            } else if let Some(rest) = line.trim_start().strip_prefix("rpc ") {
                rpcs.insert(format!("{package}.{service}/{}", name(rest)));
            }
        }
    }
    rpcs
}

/// The code of an answer that carries a status of its own.
fn code_within(rpc: &str, answer: &Bytes) -> Option<Code> {
    let code = match rpc.rsplit('/').next().unwrap() {
        "BulkUpsert" => BulkUpsertResponse::decode(answer.clone()).unwrap().errors.first()?.status.clone()?.code,
        "BulkUpsertAcked" => match BulkUpsertAck::decode(answer.clone()).unwrap().result? {
            bulk_upsert_ack::Result::Error(status) => status.code,
            bulk_upsert_ack::Result::Written(_) => return None,
        },
        "SearchStream" => match SearchStreamResponse::decode(answer.clone()).unwrap().result? {
            search_stream_response::Result::Error(status) => status.code,
            search_stream_response::Result::Response(_) => return None,
        },
        "PushFeatures" => PushFeaturesResponse::decode(answer.clone()).unwrap().errors.first()?.status.clone()?.code,
        "Pipeline" => match PipelineResponse::decode(answer.clone()).unwrap().result? {
            pipeline_response::Result::Error(status) => status.code,
            pipeline_response::Result::Reply(_) => return None,
        },
        _ => return None,
    };
    Some(Code::from(code))
}

/// The code of a call, also where the call goes on and an answer carries it.
pub(crate) async fn code(real: &Real, rpc: &str, messages: Vec<Bytes>, metadata: &[(&'static str, &str)]) -> Code {
    loop {
        match call(real, rpc, messages.clone(), metadata).await {
            Ok(answer) => return code_within(rpc, &answer).unwrap_or(Code::Ok),
            // The client has a clock of its own, and was faster than the server.
            Err(status) if status.code() == Code::Cancelled => {}
            Err(status) => return status.code(),
        }
    }
}

/// All that the server holds, byte by byte.
pub(crate) async fn state(real: &Real) -> Vec<(Bytes, Option<reply::Value>)> {
    let Some(reply::Value::Array(keys)) = real.run("KEYS *").await.unwrap() else { panic!("no keys") };
    let mut state = Vec::new();
    for key in keys.items {
        let Some(reply::Value::Bulk(key)) = key.value else { panic!("no key") };
        let argv = vec!["DUMP".into(), key.clone()];
        let dumped = real.commands().execute(ExecuteRequest { argv }).await.unwrap().into_inner();
        state.push((key, dumped.reply.unwrap().value));
    }
    state.sort_by(|a, b| a.0.cmp(&b.0));
    state
}

/// What no rpc here offers.
const UNIMPLEMENTED: [&str; 2] = ["FlightService/PollFlightInfo", "FlightService/DoAction"];

fn is_among(rpc: &str, names: &[&str]) -> bool {
    names.iter().any(|name| rpc.ends_with(name))
}

#[tokio::test]
async fn every_rpc_that_is_declared_is_called_here_and_answers() {
    let real = stocked().await;
    let folder = tempfile::tempdir().unwrap();
    real.node.engine().config.set("dir", folder.path().to_str().unwrap(), false).unwrap();
    let called: BTreeSet<String> = valid().into_iter().map(|(rpc, _)| rpc.to_owned()).collect();
    assert_eq!(called, declared());
    for (rpc, messages) in valid() {
        let expected = if is_among(rpc, &UNIMPLEMENTED) { Code::Unimplemented } else { Code::Ok };
        assert_eq!(code(&real, rpc, messages, &[]).await, expected, "{rpc}");
    }
}

/// Calls every rpc and compares its code; the state stays as it is.
async fn all_refuse(
    what: &str,
    alter: impl Fn(Vec<Bytes>) -> Vec<Bytes>,
    metadata: &[(&'static str, &str)],
    expected: impl Fn(&str) -> Code,
) {
    let real = stocked().await;
    real.run("ACL SETUSER gone on >pw ~* +@all").await.unwrap();
    real.run("ACL DELUSER gone").await.unwrap();
    real.run("ACL SETUSER poor on >pw").await.unwrap();
    let before = state(&real).await;
    for (rpc, messages) in valid() {
        assert_eq!(code(&real, rpc, alter(messages), metadata).await, expected(rpc), "{what}: {rpc}");
    }
    assert_eq!(state(&real).await, before, "{what}");
}

/// What does not read its messages does not mind them either.
const READS_NOTHING: [&str; 1] = ["FlightService/Handshake"];

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_by_every_rpc() {
    let garbage = |_| vec![Bytes::from_static(&[0xff; 9])];
    all_refuse("no message", garbage, &[], |rpc| {
        if is_among(rpc, &READS_NOTHING) { Code::Ok } else { Code::InvalidArgument }
    })
    .await;
}

#[tokio::test]
async fn messages_beyond_the_limit_are_refused_by_every_rpc() {
    let large = |_| vec![Bytes::from(vec![0; 80 << 10])];
    all_refuse(
        "too large",
        large,
        &[],
        |rpc| {
            if is_among(rpc, &READS_NOTHING) { Code::Ok } else { Code::ResourceExhausted }
        },
    )
    .await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_ends_every_rpc_before_it_begins() {
    // What is left of two milliseconds is taken for nothing.
    all_refuse("late", |messages| messages, &[("grpc-timeout", "2m")], |_| Code::DeadlineExceeded).await;
}

#[tokio::test]
async fn a_token_of_another_history_is_refused_by_every_rpc() {
    let foreign = format!("{}:7", "0".repeat(40));
    let token = [("quiver-consistency-token", foreign.as_str())];
    all_refuse("foreign", |messages| messages, &token, |_| Code::FailedPrecondition).await;
    let token = [("quiver-consistency-token", "no token")];
    all_refuse("no token", |messages| messages, &token, |_| Code::InvalidArgument).await;
}

/// What tells nothing of the data: a health check comes from whoever balances the load.
const OPEN: [&str; 4] = ["Health/Check", "Health/List", "Health/Watch", "FlightService/ListActions"];

#[tokio::test]
async fn a_revoked_user_is_refused_by_every_rpc() {
    let gone = [("authorization", "Bearer gone:pw")];
    all_refuse(
        "revoked",
        |messages| messages,
        &gone,
        |rpc| {
            if is_among(rpc, &OPEN) {
                Code::Ok
            } else if is_among(rpc, &UNIMPLEMENTED) {
                Code::Unimplemented
            } else {
                Code::Unauthenticated
            }
        },
    )
    .await;
}

#[tokio::test]
async fn credentials_of_an_unknown_form_are_refused_by_every_rpc() {
    let odd = [("authorization", "Digest x")];
    all_refuse(
        "odd",
        |messages| messages,
        &odd,
        |rpc| {
            if is_among(rpc, &OPEN[..3]) {
                Code::Ok
            } else if is_among(rpc, &UNIMPLEMENTED) {
                Code::Unimplemented
            } else {
                Code::Unauthenticated
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_user_without_permissions_is_refused_by_every_rpc() {
    let poor = [("authorization", "Bearer poor:pw")];
    all_refuse(
        "poor",
        |messages| messages,
        &poor,
        |rpc| {
            if is_among(rpc, &OPEN) || is_among(rpc, &READS_NOTHING) {
                Code::Ok
            } else if is_among(rpc, &UNIMPLEMENTED) {
                Code::Unimplemented
            } else {
                Code::PermissionDenied
            }
        },
    )
    .await;
}
