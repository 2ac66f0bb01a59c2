//! FeatureService through a real channel, over a real instance.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type, TimestampMillisecondType, UInt8Type};
use quiver_grpc::client::FeatureServiceClient;
use quiver_grpc::pb::feature_values::Values;
use quiver_grpc::pb::*;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::node::Real;

fn feature(name: &str, kind: FeatureType, dim: u32, ttl_seconds: u64) -> Feature {
    Feature { name: name.into(), r#type: kind.into(), dim, ttl_seconds, ..Feature::default() }
}

fn rides() -> FeatureView {
    FeatureView {
        name: "rides".into(),
        key_prefix: "driver:".into(),
        ttl_seconds: 0,
        max_age_seconds: 0,
        features: vec![
            feature("rating", FeatureType::F64, 0, 0),
            feature("trips", FeatureType::I64, 0, 60),
            feature("car", FeatureType::String, 0, 0),
            feature("home", FeatureType::Vector, 2, 0),
            Feature { window_seconds: 60, tile_seconds: 10, ..feature("spent", FeatureType::Sum, 0, 0) },
        ],
    }
}

async fn with_rides() -> (Real, FeatureServiceClient<Channel>) {
    let real = Real::start().await;
    let mut client = FeatureServiceClient::new(real.channel.clone());
    client.register_view(RegisterViewRequest { view: Some(rides()), replace: false }).await.unwrap();
    (real, client)
}

fn column(feature: &str, values: Values, null_rows: &[u32]) -> FeatureValues {
    FeatureValues { feature: feature.into(), values: Some(values), null_rows: null_rows.to_vec() }
}

fn integers(values: &[i64]) -> Values {
    Values::Integers(IntegerValues { values: values.to_vec() })
}

fn batch(times: &[i64], columns: Vec<FeatureValues>) -> PutFeaturesRequest {
    let entities = vec!["1".into(), "2".into()];
    PutFeaturesRequest { view: "rides".into(), entities, event_times_ms: times.to_vec(), columns }
}

fn violated(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn views_are_registered_described_listed_and_dropped() {
    let (real, mut client) = with_rides().await;
    let view = client.get_view(GetViewRequest { view: "rides".into() }).await.unwrap().into_inner().view;
    assert_eq!(view, Some(rides()));
    assert!(
        format!("{:?}", real.run("HGET feat:views rides").await.unwrap())
            .contains("PREFIX driver: FEATURES rating f64 trips i64 TTL 60")
    );
    let again = RegisterViewRequest { view: Some(rides()), replace: false };
    assert_eq!(client.register_view(again.clone()).await.unwrap_err().code(), Code::AlreadyExists);
    client.register_view(RegisterViewRequest { replace: true, ..again }).await.unwrap();
    assert_eq!(client.list_views(ListViewsRequest {}).await.unwrap().into_inner().views, ["rides"]);
    let drop = DropViewRequest { view: "rides".into() };
    assert!(client.drop_view(drop.clone()).await.unwrap().into_inner().dropped);
    assert!(!client.drop_view(drop).await.unwrap().into_inner().dropped);
    let status = client.get_view(GetViewRequest { view: "rides".into() }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let missing = status.get_details_resource_info().unwrap();
    assert_eq!((missing.resource_type.as_str(), missing.resource_name.as_str()), ("view", "rides"));
}

#[tokio::test]
async fn columns_are_stored_and_read_with_statuses_and_times() {
    let (real, mut client) = with_rides().await;
    let packed: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let columns = vec![
        column("rating", Values::Doubles(DoubleValues { values: vec![4.5, 1e-7] }), &[]),
        column("trips", integers(&[12, 0]), &[1]),
        column("car", Values::Strings(BytesValues { values: vec!["vw".into(), "".into()] }), &[]),
        column("home", Values::PackedVectors(packed.clone().into()), &[]),
    ];
    let stored = client.put_features(batch(&[1000, 2000], columns)).await.unwrap().into_inner().stored;
    assert_eq!(stored, [4, 4]);
    assert!(format!("{:?}", real.run("HGETALL driver:1").await.unwrap()).contains("4.5"));
    let late = client.put_features(batch(&[1500], vec![column("trips", integers(&[13, 13]), &[])])).await.unwrap();
    assert_eq!(late.into_inner().stored, [1, 0]);
    let views = vec![ViewSelection { view: "rides".into(), features: vec![] }];
    let entities = vec!["1".into(), "2".into(), "3".into()];
    let read = GetFeaturesRequest { entities, views, with_event_times: true };
    let views = client.get_features(read).await.unwrap().into_inner().views;
    let [rating, trips, car, home, spent] = &views[0].columns[..] else { panic!("{views:?}") };
    let longs = |bytes: &[u8]| bytes.as_chunks::<8>().0.iter().map(|x| i64::from_le_bytes(*x)).collect::<Vec<_>>();
    assert_eq!(rating.packed[..16], [4.5_f64.to_le_bytes(), 1e-7_f64.to_le_bytes()].concat());
    assert!(f64::from_le_bytes(rating.packed[16..].try_into().unwrap()).is_nan());
    assert_eq!((longs(&trips.packed), &trips.statuses[..]), (vec![13, 0, 0], [1_u8, 2, 3].as_slice()));
    assert_eq!(longs(&trips.event_times_ms), [1500, 2000, 0]);
    assert_eq!(
        (car.strings.len(), &car.strings[0][..], &car.statuses[..]),
        (3, b"vw".as_slice(), [1_u8, 1, 3].as_slice())
    );
    assert_eq!(home.packed[..16], packed);
    assert_eq!(spent.statuses[..], [3, 3, 3]);
}

#[tokio::test]
async fn faults_are_named_and_nothing_is_stored() {
    let (real, mut client) = with_rides().await;
    for (request, fields) in [
        (PutFeaturesRequest::default(), vec!["entities", "columns"]),
        (batch(&[1, 2, 3], vec![column("trips", integers(&[1, 2]), &[])]), vec!["event_times_ms"]),
        (batch(&[1], vec![column("trips", integers(&[1]), &[])]), vec!["columns[0].integers"]),
        (batch(&[1], vec![FeatureValues::default()]), vec!["columns[0].values"]),
        (
            batch(&[1], vec![column("home", Values::PackedVectors(vec![0; 9].into()), &[])]),
            vec!["columns[0].packed_vectors"],
        ),
        (batch(&[1], vec![column("home", Values::PackedVectors(vec![0; 8].into()), &[])]), vec!["columns"]),
        (
            batch(&[1], vec![column("trips", Values::Doubles(DoubleValues { values: vec![0.5; 2] }), &[])]),
            vec!["columns"],
        ),
        (batch(&[1], vec![column("speed", integers(&[1, 2]), &[])]), vec!["features"]),
    ] {
        let status = client.put_features(request).await.unwrap_err();
        assert_eq!(
            (status.code(), violated(&status)),
            (Code::InvalidArgument, fields.into_iter().map(str::to_owned).collect())
        );
    }
    let none = PutFeaturesRequest { view: "none".into(), ..batch(&[], vec![column("trips", integers(&[1, 2]), &[])]) };
    assert_eq!(client.put_features(none).await.unwrap_err().code(), Code::NotFound);
    real.run("SET driver:2 x").await.unwrap();
    let status = client.put_features(batch(&[], vec![column("trips", integers(&[1, 2]), &[])])).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(real.run("EXISTS driver:1").await.unwrap(), Some(reply::Value::Integer(0)));
    let mut bad = rides();
    bad.features[3].dim = 0;
    bad.features[0].r#type = 0;
    let status = client.register_view(RegisterViewRequest { view: Some(bad), replace: true }).await.unwrap_err();
    assert_eq!(violated(&status), ["view.features[0].type", "view.features[3].dim"]);
    let status = client.get_features(GetFeaturesRequest::default()).await.unwrap_err();
    assert_eq!(violated(&status), ["entities", "views"]);
}

#[tokio::test]
async fn a_stream_of_batches_goes_on_behind_a_refused_one() {
    let (_, mut client) = with_rides().await;
    let batches = [
        batch(&[10], vec![column("trips", integers(&[1, 2]), &[])]),
        batch(&[10], vec![column("speed", integers(&[1, 2]), &[])]),
        batch(&[5, 15], vec![column("trips", integers(&[3, 4]), &[])]),
    ];
    let stream = tokio_stream::iter(batches.map(|batch| PushFeaturesRequest { batch: Some(batch) }));
    let summary = client.push_features(stream).await.unwrap().into_inner();
    assert_eq!((summary.rows, summary.stored, summary.stale, summary.rejected), (4, 3, 1, 2));
    assert_eq!((summary.errors.len(), summary.errors[0].batch), (1, 1));
    assert_eq!(summary.errors[0].status.as_ref().unwrap().code, i32::from(Code::InvalidArgument));
}

#[tokio::test]
async fn features_come_as_columns_of_arrow() {
    let (_, mut client) = with_rides().await;
    let homes = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let columns =
        vec![column("trips", integers(&[7, 8]), &[1]), column("home", Values::PackedVectors(homes.into()), &[])];
    client.put_features(batch(&[5_000], columns)).await.unwrap();
    let features = ["trips", "car", "home"].map(str::to_owned).to_vec();
    let request = GetFeaturesRequest {
        entities: vec!["1".into(), "2".into(), "3".into()],
        views: vec![ViewSelection { view: "rides".into(), features }],
        with_event_times: true,
    };
    let mut chunks = client.get_features_arrow(request.clone()).await.unwrap().into_inner();
    let (mut decoder, mut batches) = (quiver_batches::Decoder::default(), Vec::new());
    while let Some(chunk) = chunks.message().await.unwrap() {
        let keep = |batch: &arrow_array::RecordBatch| {
            batches.push(batch.clone());
            Ok(())
        };
        decoder.read(chunk.ipc.to_vec(), keep).unwrap();
    }
    let [batch] = batches.as_slice() else { panic!("one batch") };
    let trips = batch.column_by_name("rides:trips").unwrap().as_primitive::<Int64Type>();
    assert_eq!(trips.iter().collect::<Vec<_>>(), [Some(7), None, None]);
    let statuses = batch.column_by_name("rides:trips.status").unwrap().as_primitive::<UInt8Type>();
    assert_eq!(statuses.values(), &[1, 2, 3]);
    let homes = batch.column_by_name("rides:home").unwrap().as_fixed_size_list();
    assert_eq!(homes.value(1).as_primitive::<Float32Type>().values(), &[3.0, 4.0]);
    assert!(homes.is_null(2));
    assert_eq!(batch.column_by_name("rides:car").unwrap().null_count(), 3);
    let times = batch.column_by_name("rides:trips.event_time").unwrap();
    assert_eq!(times.as_primitive::<TimestampMillisecondType>().value(0), 5_000);

    let unknown = ViewSelection { view: "none".into(), features: vec![] };
    let status = client.get_features_arrow(GetFeaturesRequest { views: vec![unknown], ..request }).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
