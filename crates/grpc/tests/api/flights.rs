//! Arrow: bulk upserts of batches, and Flight, on a real instance.

use std::sync::Arc;

use crate::node::{Real, fields};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{
    Array as _, ArrayRef, DictionaryArray, FixedSizeListArray, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_ipc::writer::StreamWriter;
use quiver_batches::Decoder;
use quiver_grpc::flight_pb::flight_descriptor::DescriptorType;
use quiver_grpc::flight_pb::{Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket};
use quiver_grpc::pb::*;
use tonic::{Code, Request, Status};

pub(crate) fn batch(first: usize, rows: usize) -> RecordBatch {
    let ids: StringArray = (first..first + rows).map(|n| Some(format!("{n:05}"))).collect();
    let vectors = (first..first + rows).map(|n| Some([Some(1.0), Some(n as f32)]));
    let vectors = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(vectors, 2);
    let genres: DictionaryArray<Int32Type> = (0..rows).map(|n| Some(["jazz", "rock"][n % 2])).collect();
    let years: Int64Array = (first..first + rows).map(|n| Some(1_900 + n as i64)).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(ids)),
        ("vector", Arc::new(vectors)),
        ("genre", Arc::new(genres)),
        ("year", Arc::new(years)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) fn ipc(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

pub(crate) fn path(names: &[&str]) -> FlightDescriptor {
    FlightDescriptor {
        r#type: DescriptorType::Path.into(),
        path: names.iter().map(|name| name.to_string()).collect(),
        ..FlightDescriptor::default()
    }
}

/// The messages of a stream as Flight carries them, the descriptor with the first.
pub(crate) fn data(descriptor: FlightDescriptor, metadata: &'static str, batches: &[RecordBatch]) -> Vec<FlightData> {
    let bytes = ipc(batches);
    let mut rest = bytes.as_slice();
    let mut messages = Vec::new();
    while let Some((prefix, tail)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes(prefix[4..].try_into().unwrap()) as usize;
        if len == 0 {
            break;
        }
        let (header, tail) = tail.split_at(len);
        let (body, tail) = tail.split_at(arrow_ipc::root_as_message(header).unwrap().bodyLength() as usize);
        let (data_header, data_body) = (header.to_vec().into(), body.to_vec().into());
        messages.push(FlightData { data_header, data_body, ..FlightData::default() });
        rest = tail;
    }
    messages[0].flight_descriptor = Some(descriptor);
    messages[0].app_metadata = metadata.into();
    messages
}

pub(crate) async fn put(real: &Real, messages: Vec<FlightData>) -> Result<Vec<serde_json::Value>, Status> {
    let mut answers = real.flights().do_put(tokio_stream::iter(messages)).await?.into_inner();
    let mut results = Vec::new();
    while let Some(result) = answers.message().await? {
        results.push(serde_json::from_slice(&result.app_metadata).unwrap());
    }
    Ok(results)
}

pub(crate) async fn batches(mut answers: tonic::Streaming<FlightData>) -> Result<Vec<RecordBatch>, Status> {
    let (mut decoder, mut all) = (Decoder::default(), Vec::new());
    while let Some(message) = answers.message().await? {
        let taken = decoder.message(&message.data_header, &message.data_body, |batch| {
            all.push(batch.clone());
            Ok(())
        });
        taken.unwrap();
    }
    Ok(all)
}

async fn get(real: &Real, ticket: &'static str) -> Result<Vec<RecordBatch>, Status> {
    batches(real.flights().do_get(Ticket { ticket: ticket.into() }).await?.into_inner()).await
}

fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column_by_name(column).unwrap().as_string::<i32>());
    columns.flat_map(|column| column.iter().map(|text| text.unwrap_or_default().to_owned())).collect()
}

#[tokio::test]
async fn a_bulk_upsert_takes_batches_for_elements() {
    let real = Real::start().await;
    let chunk = |arrow_ipc: Vec<u8>| BulkUpsertRequest {
        collection: "films".into(),
        arrow_ipc: arrow_ipc.into(),
        ..BulkUpsertRequest::default()
    };
    let chunks =
        vec![chunk(ipc(&[batch(0, 1_500), batch(1_500, 10)])), chunk(b"no arrow".to_vec()), chunk(ipc(&[batch(0, 1)]))];
    let summary = real.vectors().bulk_upsert(tokio_stream::iter(chunks)).await.unwrap().into_inner();
    assert_eq!((summary.inserted, summary.updated), (1_510, 1));
    let [error] = summary.errors.as_slice() else { panic!("one refused chunk, not {:?}", summary.errors) };
    let status = error.status.as_ref().unwrap();
    assert_eq!((error.chunk, status.code), (1, i32::from(Code::InvalidArgument)));
    let counting = CountRequest { collection: "films".into(), filter: r#".genre == "jazz" and .year < 1910"#.into() };
    assert_eq!(real.vectors().count(counting).await.unwrap().into_inner().count, 5);
}

#[tokio::test]
async fn what_is_put_is_listed_and_got_back() {
    let real = Real::start().await;
    let messages = data(path(&["films"]), r#"{"quantization":"none","m":8}"#, &[batch(0, 3), batch(3, 2_000)]);
    let results = put(&real, messages).await.unwrap();
    assert_eq!((results.len(), &results[0]["inserted"], &results[0]["updated"]), (1, &2_003.into(), &0.into()));

    let info = real.flights().get_flight_info(path(&["films"])).await.unwrap().into_inner();
    assert_eq!((info.total_records, info.endpoint.len()), (2_003, 1));
    let schema = real.flights().get_schema(path(&["films"])).await.unwrap().into_inner().schema;
    assert_eq!(schema, info.schema);
    let mut listed = real.flights().list_flights(Criteria::default()).await.unwrap().into_inner();
    assert_eq!(listed.message().await.unwrap(), Some(info.clone()));
    assert_eq!(listed.message().await.unwrap(), None);

    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let all = batches(real.flights().do_get(ticket).await.unwrap().into_inner()).await.unwrap();
    let ids = texts(&all, "id");
    assert!(ids.len() == 2_003 && ids.is_sorted());
    let vectors = all[0].column_by_name("vector").unwrap().as_fixed_size_list().value(2);
    assert_eq!(vectors.as_primitive::<Float32Type>().values(), &[1.0, 2.0]);
    assert_eq!(texts(&all, "attributes")[1], r#"{"genre":"rock","year":1901}"#);

    let some = get(&real, r#"{"collection":"films","ids":["00007","none","00002"],"vectors":false}"#).await.unwrap();
    assert_eq!(texts(&some, "id"), ["00007", "00002"]);
    assert!(some[0].column_by_name("vector").is_none());
    let filtered = r#"{"collection":"films","filter":".year < 1905 and .genre == \"rock\"","limit":1}"#;
    assert_eq!(texts(&get(&real, filtered).await.unwrap(), "id"), ["00001"]);
}

#[tokio::test]
async fn puts_are_acknowledged_batch_by_batch_if_asked() {
    let real = Real::start().await;
    let messages = data(path(&["films"]), r#"{"acks":true}"#, &[batch(0, 3), batch(0, 2)]);
    let results = put(&real, messages).await.unwrap();
    let counts: Vec<_> = results.iter().map(|result| (result["inserted"].clone(), result["updated"].clone())).collect();
    assert_eq!(counts, [(3.into(), 0.into()), (0.into(), 2.into())]);
}

#[tokio::test]
async fn an_exchange_answers_queries_with_hits() {
    let real = Real::start().await;
    put(&real, data(path(&["films"]), "", &[batch(0, 50)])).await.unwrap();
    let descriptor = FlightDescriptor {
        r#type: DescriptorType::Cmd.into(),
        cmd: r#"{"collection":"films","limit":3,"attributes":true,"exact":true}"#.into(),
        ..FlightDescriptor::default()
    };
    let messages = data(descriptor, "", &[batch(0, 2), batch(40, 1)]);
    let answers = real.flights().do_exchange(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let found = batches(answers).await.unwrap();
    let queries: Vec<u32> = found
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<arrow_array::types::UInt32Type>().values().to_vec())
        .collect();
    assert_eq!(queries, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    let ids = texts(&found, "id");
    assert_eq!((ids[0].as_str(), ids[3].as_str()), ("00000", "00001"));
    assert!(texts(&found, "attributes")[0].contains("1900"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_column_and_nothing_is_written() {
    let real = Real::start().await;
    let without_vectors = batch(0, 3).project(&[0, 2, 3]).unwrap();
    let status = put(&real, data(path(&["films"]), "", &[without_vectors])).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["data.vector".to_owned()]));
    assert!(status.message().contains("expected a fixed size list of"), "{}", status.message());

    put(&real, data(path(&["films"]), "", &[batch(0, 1)])).await.unwrap();
    let ids: StringArray = ["x"].into_iter().map(Some).collect();
    let three = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0); 3])], 3);
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(ids)), ("vector", Arc::new(three))];
    let other_dim = RecordBatch::try_from_iter(columns).unwrap();
    let status = put(&real, data(path(&["films"]), "", &[other_dim])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let mut damaged = data(path(&["films"]), "", &[batch(0, 1)]);
    damaged[1].data_body = damaged[1].data_body.slice(..8);
    let no_descriptor = vec![FlightData::default()];
    let bad_options = data(path(&["films"]), r#"{"m":"many"}"#, &[batch(0, 1)]);
    for messages in [damaged, no_descriptor, bad_options, vec![]] {
        assert_eq!(put(&real, messages).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(real.count("films").await, 1);

    assert_eq!(get(&real, r#"{"collection":"none"}"#).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(get(&real, "films").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(real.flights().get_flight_info(path(&["none"])).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(real.flights().do_action(Action::default()).await.unwrap_err().code(), Code::Unimplemented);
    let mut actions = real.flights().list_actions(Empty {}).await.unwrap().into_inner();
    assert_eq!(actions.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_handshake_trades_a_name_and_a_password_for_a_bearer() {
    let real = Real::start().await;
    real.run("ACL SETUSER ann on >pw ~* +@all").await.unwrap();
    let shaking = |value: &'static str| {
        let mut request = Request::new(tokio_stream::iter([HandshakeRequest::default()]));
        request.metadata_mut().insert("authorization", value.parse().unwrap());
        request
    };
    let response = real.flights().handshake(shaking("Basic YW5uOnB3")).await.unwrap();
    assert_eq!(response.metadata().get("authorization").unwrap(), "Bearer ann:pw");
    let status = real.flights().handshake(shaking("Basic YW5uOnh4")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

/// Users with an age, a text and a home, to be written to a view of them.
fn users(ages: &[Option<i64>], at_ms: i64) -> RecordBatch {
    let entities: Int64Array = (1..=ages.len() as i64).map(Some).collect();
    let times: TimestampMillisecondArray = ages.iter().map(|_| Some(at_ms)).collect();
    let ages: Int64Array = ages.iter().copied().collect();
    let bios: StringArray = (0..ages.len()).map(|n| Some(format!("bio {n}"))).collect();
    let homes = (0..ages.len()).map(|n| Some([Some(0.5), Some(n as f32)]));
    let homes = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(homes, 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("entity", Arc::new(entities)),
        ("event_time", Arc::new(times)),
        ("age", Arc::new(ages)),
        ("bio", Arc::new(bios)),
        ("home", Arc::new(homes)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

async fn with_view() -> Real {
    let real = Real::start().await;
    real.run("FEAT.VIEW CREATE user PREFIX user: FEATURES age i64 bio string home vector(2)").await.unwrap();
    real
}

#[tokio::test]
async fn features_are_put_and_older_ones_are_stale() {
    let real = with_view().await;
    let view = || path(&["features", "user"]);
    let results = put(&real, data(view(), "", &[users(&[Some(41), None], 2_000)])).await.unwrap();
    let told = |result: &serde_json::Value| ["rows", "stored", "stale"].map(|name| result[name].as_u64().unwrap());
    assert_eq!((results.len(), told(&results[0])), (1, [2, 6, 0]));
    assert!(!results[0]["token"].as_str().unwrap().is_empty());
    let batches = [users(&[Some(7), Some(8)], 1_000), users(&[Some(42)], 3_000)];
    let results = put(&real, data(view(), r#"{"acks":true}"#, &batches)).await.unwrap();
    assert_eq!(results.iter().map(told).collect::<Vec<_>>(), [[2, 0, 6], [1, 3, 0]]);
    assert_eq!(real.run("HGET user:1 age").await.unwrap(), Some(reply::Value::Bulk("42".into())));
    assert_eq!(real.run("HGET user:2 bio").await.unwrap(), Some(reply::Value::Bulk("bio 1".into())));

    let found = get(&real, r#"{"views":{"user":["home","age"]},"entities":["1","2","3"],"times":true}"#).await.unwrap();
    let ages = found[0].column_by_name("user:age").unwrap();
    assert_eq!((ages.as_primitive::<Int64Type>().value(0), ages.is_null(1), ages.is_null(2)), (42, true, true));
    let homes = found[0].column_by_name("user:home").unwrap().as_fixed_size_list().value(1);
    assert_eq!(homes.as_primitive::<Float32Type>().values(), &[0.5, 1.0]);
    assert!(found[0].column_by_name("user:age.event_time").is_some() && found[0].column_by_name("user:bio").is_none());
}

#[tokio::test]
async fn more_features_than_one_step_takes_are_all_stored() {
    let real = with_view().await;
    let ages: Vec<Option<i64>> = (0..9_000).map(Some).collect();
    let results = put(&real, data(path(&["features", "user"]), "", &[users(&ages, 1)])).await.unwrap();
    assert_eq!((&results[0]["rows"], &results[0]["stored"]), (&9_000.into(), &27_000.into()));
    assert_eq!(real.run("HGET user:9000 age").await.unwrap(), Some(reply::Value::Bulk("8999".into())));
}

#[tokio::test]
async fn an_exchange_answers_entities_with_their_features() {
    let real = with_view().await;
    put(&real, data(path(&["features", "user"]), "", &[users(&[Some(41), Some(42)], 1)])).await.unwrap();
    let cmd = r#"{"views":{"user":["age"]}}"#;
    let descriptor = FlightDescriptor { r#type: DescriptorType::Cmd.into(), cmd: cmd.into(), path: vec![] };
    let asked = |ids: &[i64]| {
        let ids: ArrayRef = Arc::new(ids.iter().copied().map(Some).collect::<Int64Array>());
        RecordBatch::try_from_iter([("entity", ids)]).unwrap()
    };
    let messages = data(descriptor, "", &[asked(&[2, 1]), asked(&[9])]);
    let answers = real.flights().do_exchange(tokio_stream::iter(messages)).await.unwrap().into_inner();
    let found = batches(answers).await.unwrap();
    let ages = found[0].column_by_name("user:age").unwrap().as_primitive::<Int64Type>();
    assert_eq!(
        (ages.values().to_vec(), texts(&found, "entity")),
        (vec![42, 41], vec!["2".into(), "1".into(), "9".into()])
    );
    assert!(found[1].column_by_name("user:age").unwrap().is_null(0));
}

#[tokio::test]
async fn features_that_do_not_fit_are_refused_by_column_and_nothing_is_stored() {
    let real = with_view().await;
    let refused =
        async |batch: RecordBatch| put(&real, data(path(&["features", "user"]), "", &[batch])).await.unwrap_err();
    let without_entities = users(&[Some(1)], 1).project(&[1, 2]).unwrap();
    let status = refused(without_entities).await;
    assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["data.entity".to_owned()]));
    let only_entities = users(&[Some(1)], 1).project(&[0, 1]).unwrap();
    assert_eq!(fields(&refused(only_entities).await), ["data"]);
    let wide = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])], 1);
    let ids: ArrayRef = Arc::new(["1"].into_iter().map(Some).collect::<StringArray>());
    let odd = RecordBatch::try_from_iter([("entity", ids), ("age", Arc::new(wide) as ArrayRef)]).unwrap();
    let status = refused(odd).await;
    assert_eq!(fields(&status), ["data.age"]);
    assert!(status.message().contains("expected a string, binary, a number"), "{}", status.message());
    let messages = data(path(&["features", "none"]), "", &[users(&[Some(1)], 1)]);
    assert_eq!(put(&real, messages).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(real.run("DBSIZE").await.unwrap(), Some(reply::Value::Integer(1)), "the view alone");
}
