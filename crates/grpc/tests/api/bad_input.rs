//! What single rpcs are told that they cannot use: the documented code, and not a byte of the data changed. What all have
//! in common (no message, too large, too late, revoked user, foreign token) is in `every_rpc`.

use prost::bytes::Bytes;
use quiver_grpc::f32_vector;
use quiver_grpc::flight_pb::flight_descriptor::DescriptorType;
use quiver_grpc::flight_pb::{FlightData, FlightDescriptor, Ticket};
use quiver_grpc::pb::expire_request::When;
use quiver_grpc::pb::feature_values::Values;
use quiver_grpc::pb::search_request::Query;
use quiver_grpc::pb::*;
use tonic::Code;

use crate::every_rpc::{
    bytes, chunk, code, command, features, films, put, search, state, stocked, store, upsert, view,
};
use crate::flights::path;

const INVALID: Code = Code::InvalidArgument;
const MISSING: Code = Code::NotFound;
const PRECONDITION: Code = Code::FailedPrecondition;

type Row = (&'static str, &'static str, Vec<Bytes>, Code);

/// Makes a good write of features a bad one.
type Alter = fn(&mut PutFeaturesRequest);

/// Vectors that nobody can use, where collections have two dimensions.
fn bad_vectors() -> Vec<(&'static str, Vector)> {
    let good = f32_vector(&[1.0, 0.0]);
    vec![
        ("another dim", f32_vector(&[1.0, 0.0, 0.0])),
        ("NaN", f32_vector(&[1.0, f32::NAN])),
        ("infinity", f32_vector(&[1.0, f32::INFINITY])),
        ("no dtype", Vector { dtype: 0, ..good.clone() }),
        ("an unknown dtype", Vector { dtype: 77, ..good.clone() }),
        ("a dtype of another size", Vector { dtype: Dtype::F64.into(), ..good.clone() }),
        ("a dim that lies", Vector { dim: u32::MAX, ..good.clone() }),
        ("packed and floats", Vector { floats: vec![1.0, 0.0], ..good }),
        ("no components", Vector::default()),
    ]
}

fn with_vectors() -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, vector) in bad_vectors() {
        // Two elements: the first is good, and must not be written either.
        let mut elements = upsert().elements;
        elements[1].vector = Some(vector.clone());
        let upsert = UpsertRequest { elements: elements.clone(), ..upsert() };
        let chunk = BulkUpsertRequest { elements, ..chunk() };
        let search = SearchRequest { query: Some(Query::Vector(vector.clone())), ..search() };
        let streamed = SearchStreamRequest { request_id: 1, search: Some(search.clone()) };
        let recall = MeasureRecallRequest { collection: films(), queries: vec![vector.clone()], ..Default::default() };
        let lookup = LookupRequest { cache: "faq".into(), embedding: Some(vector.clone()), ..Default::default() };
        let store = StoreRequest { prompt: "new".into(), embedding: Some(vector), ..store() };
        rows.extend([
            ("VectorService/Upsert", what, bytes(&upsert), INVALID),
            ("VectorService/BulkUpsert", what, bytes(&chunk), INVALID),
            ("VectorService/BulkUpsertAcked", what, bytes(&chunk), INVALID),
            ("SearchService/Search", what, bytes(&search), INVALID),
            ("SearchService/SearchBatch", what, bytes(&SearchBatchRequest { searches: vec![search] }), INVALID),
            ("SearchService/SearchStream", what, bytes(&streamed), INVALID),
            ("SearchService/MeasureRecall", what, bytes(&recall), INVALID),
            ("SemanticCacheService/Lookup", what, bytes(&lookup), INVALID),
            ("SemanticCacheService/Store", what, bytes(&store), INVALID),
        ]);
    }
    rows
}

fn elements_otherwise() -> Vec<Row> {
    let altered = |alter: fn(&mut Element)| {
        let mut request = upsert();
        alter(&mut request.elements[1]);
        bytes(&request)
    };
    let indexed = |index| bytes(&UpsertRequest { index: Some(index), ..upsert() });
    let elsewhere = |collection: &str| bytes(&UpsertRequest { collection: collection.into(), ..upsert() });
    let arrow = |ipc: &'static [u8]| bytes(&BulkUpsertRequest { elements: vec![], arrow_ipc: ipc.into(), ..chunk() });
    let twofold = bytes(&BulkUpsertRequest { arrow_ipc: "x".into(), ..chunk() });
    let rpc = "VectorService/Upsert";
    vec![
        (rpc, "no id", altered(|element| element.id = Bytes::new()), INVALID),
        (rpc, "no vector", altered(|element| element.vector = None), INVALID),
        (rpc, "too large", altered(|element| element.vector = Some(f32_vector(&[3e38, 3e38]))), INVALID),
        (rpc, "no object", altered(|element| element.attributes = Some("[]".into())), INVALID),
        (rpc, "an end before 1970", altered(|element| element.expires_at_ms = Some(-1)), INVALID),
        (rpc, "an end too far", altered(|element| element.expires_at_ms = Some(i64::MAX)), INVALID),
        (rpc, "no collection", elsewhere(""), INVALID),
        (rpc, "another type", elsewhere("feat:views"), PRECONDITION),
        (rpc, "another quantization", indexed(IndexOptions { quantization: 3, ..Default::default() }), PRECONDITION),
        (rpc, "another M", indexed(IndexOptions { m: 32, ..Default::default() }), PRECONDITION),
        (rpc, "M out of range", indexed(IndexOptions { m: 2, ..Default::default() }), INVALID),
        (rpc, "an unknown quantization", indexed(IndexOptions { quantization: 9, ..Default::default() }), INVALID),
        ("VectorService/BulkUpsert", "malformed Arrow", arrow(b"no arrow"), INVALID),
        (
            "VectorService/BulkUpsertAcked",
            "malformed Arrow",
            arrow(b"\xff\xff\xff\xff\x10\0\0\0 no arrow at all"),
            INVALID,
        ),
        ("VectorService/BulkUpsert", "elements and Arrow", twofold.clone(), INVALID),
        ("VectorService/BulkUpsertAcked", "elements and Arrow", twofold, INVALID),
        ("VectorService/BulkUpsert", "nothing", bytes(&BulkUpsertRequest::default()), INVALID),
        ("VectorService/BulkUpsertAcked", "nothing", bytes(&BulkUpsertRequest::default()), INVALID),
    ]
}

fn of_elements() -> Vec<Row> {
    let ids = |ids: &[&'static str]| ids.iter().map(|id| Bytes::from_static(id.as_bytes())).collect::<Vec<_>>();
    let get = |collection: &str, names: &[&'static str]| {
        bytes(&GetRequest { collection: collection.into(), ids: ids(names), ..Default::default() })
    };
    let delete = |names: &[&'static str]| bytes(&DeleteRequest { collection: films(), ids: ids(names) });
    let filtered = |filter: &str| bytes(&DeleteByFilterRequest { collection: films(), filter: filter.into() });
    let update = |attributes: &str, merge| {
        let updates = vec![AttributesUpdate { id: "alien".into(), attributes: attributes.into() }];
        bytes(&UpdateAttributesRequest { collection: films(), updates, merge })
    };
    let expire = |when| bytes(&ExpireRequest { collection: films(), ids: ids(&["alien"]), when, condition: 0 });
    let odd = ExpireRequest { collection: films(), ids: ids(&["alien"]), when: Some(When::TtlMs(1)), condition: 9 };
    let count = |filter: &str| bytes(&CountRequest { collection: films(), filter: filter.into() });
    let scan = |filter: &str, page_size| {
        bytes(&ScanRequest { collection: films(), filter: filter.into(), page_size, ..Default::default() })
    };
    vec![
        ("VectorService/Get", "unknown index", get("none", &["alien"]), MISSING),
        ("VectorService/Get", "unknown element", get("films", &["none"]), MISSING),
        ("VectorService/Get", "no ids", get("films", &[]), INVALID),
        ("VectorService/Get", "an empty id", get("films", &[""]), INVALID),
        ("VectorService/Delete", "no ids", delete(&[]), INVALID),
        ("VectorService/Delete", "an empty id", delete(&["alien", ""]), INVALID),
        ("VectorService/DeleteByFilter", "no filter", filtered(""), INVALID),
        ("VectorService/DeleteByFilter", "a broken filter", filtered(".year =="), INVALID),
        ("VectorService/UpdateAttributes", "no object", update("[1]", false), INVALID),
        ("VectorService/UpdateAttributes", "a patch that is none", update("{", true), INVALID),
        ("VectorService/Expire", "no time", expire(None), INVALID),
        ("VectorService/Expire", "a time too far", expire(Some(When::AtMs(i64::MAX))), INVALID),
        ("VectorService/Expire", "never, denied", expire(Some(When::Never(false))), INVALID),
        ("VectorService/Expire", "an unknown condition", bytes(&odd), INVALID),
        ("VectorService/Count", "a broken filter", count(".year >"), INVALID),
        ("VectorService/Count", "no collection", bytes(&CountRequest::default()), INVALID),
        ("VectorService/Scan", "a broken filter", scan("((", 0), INVALID),
        ("VectorService/Scan", "pages too large", scan("", 5_000), INVALID),
    ]
}

fn of_searches() -> Vec<Row> {
    let altered = |alter: fn(&mut SearchRequest)| {
        let mut request = search();
        alter(&mut request);
        bytes(&request)
    };
    let recommend = |positive: &[&'static str]| {
        let positive = positive.iter().map(|id| Bytes::from_static(id.as_bytes())).collect();
        let query = Some(Query::Recommend(Recommend { positive, negative: vec![] }));
        bytes(&SearchRequest { query, ..search() })
    };
    let recall = |alter: fn(&mut MeasureRecallRequest)| {
        let mut request = MeasureRecallRequest { collection: films(), ..Default::default() };
        alter(&mut request);
        bytes(&request)
    };
    let rpc = "SearchService/Search";
    vec![
        (rpc, "no query", altered(|search| search.query = None), INVALID),
        (rpc, "unknown element", altered(|search| search.query = Some(Query::Id("none".into()))), MISSING),
        (rpc, "limit too large", altered(|search| search.limit = 10_001), INVALID),
        (rpc, "ef too large", altered(|search| search.ef = 1_000_001), INVALID),
        (rpc, "recall out of range", altered(|search| search.recall = Some(1.5)), INVALID),
        (rpc, "a broken filter", altered(|search| search.filter = ".year ==".into()), INVALID),
        (rpc, "another type", altered(|search| search.collection = "feat:views".into()), PRECONDITION),
        (rpc, "nothing liked", recommend(&[]), INVALID),
        (rpc, "unknown element liked", recommend(&["none"]), MISSING),
        ("SearchService/SearchBatch", "nothing", bytes(&SearchBatchRequest::default()), INVALID),
        ("SearchService/SearchStream", "nothing", bytes(&SearchStreamRequest::default()), INVALID),
        ("SearchService/MeasureRecall", "no collection", recall(|request| request.collection.clear()), INVALID),
        ("SearchService/MeasureRecall", "too many neighbours", recall(|request| request.limit = 5_000), INVALID),
        ("SearchService/MeasureRecall", "a broken filter", recall(|request| request.filter = "(".into()), INVALID),
    ]
}

fn of_indexes() -> Vec<Row> {
    let create = |collection: &str, m| {
        let options = Some(IndexOptions { m, ..Default::default() });
        bytes(&CreateIndexRequest { collection: collection.into(), options, dim: 0 })
    };
    let alias = |alias: &str| bytes(&SetAliasRequest { alias: alias.into(), collection: films() });
    let list = ListIndexesRequest { page_token: "no token".into(), ..Default::default() };
    let update = UpdateIndexRequest { collection: "none".into(), expires_at_ms: Some(1), ..Default::default() };
    let watch = WatchBuildRequest { collection: films(), interval_ms: 1, ..Default::default() };
    vec![
        ("IndexService/Create", "no name", create("", 0), INVALID),
        ("IndexService/Create", "M out of range", create("new", 3), INVALID),
        ("IndexService/Create", "a name that is taken", create("films", 0), Code::AlreadyExists),
        ("IndexService/Get", "unknown index", bytes(&GetIndexRequest { collection: "none".into() }), MISSING),
        ("IndexService/Update", "unknown index", bytes(&update), MISSING),
        ("IndexService/Drop", "unknown index", bytes(&DropIndexRequest { collection: "none".into() }), MISSING),
        ("IndexService/List", "a token that is none", bytes(&list), INVALID),
        ("IndexService/SetAlias", "no name", alias(""), INVALID),
        ("IndexService/SetAlias", "the name of a view's key", alias("feat:views"), PRECONDITION),
        ("IndexService/WatchBuild", "too often", bytes(&watch), INVALID),
    ]
}

fn of_features() -> Vec<Row> {
    let none = || "none".to_owned();
    let putting = |alter: Alter| {
        let mut request = put();
        alter(&mut request);
        [bytes(&request), bytes(&PushFeaturesRequest { batch: Some(request) })]
    };
    let text: Alter = |put| {
        put.columns[0].values = Some(Values::Strings(BytesValues { values: vec!["old".into()] }));
    };
    let cases: [(&str, Alter, Code); 6] = [
        ("unknown view", |put| put.view = "none".into(), MISSING),
        ("unknown feature", |put| put.columns[0].feature = "none".into(), INVALID),
        ("a value of another type", text, INVALID),
        ("a value too few", |put| put.entities.push("2".into()), INVALID),
        ("no rows", |put| put.entities.clear(), INVALID),
        ("too many times", |put| put.event_times_ms = vec![1, 2, 3], INVALID),
    ];
    let mut rows = Vec::new();
    for (what, alter, code) in cases {
        let [put, push] = putting(alter);
        rows.push(("FeatureService/PutFeatures", what, put, code));
        rows.push(("FeatureService/PushFeatures", what, push, code));
    }
    let register = |view| bytes(&RegisterViewRequest { view: Some(view), replace: false });
    let vector = Feature { name: "v".into(), r#type: FeatureType::Vector.into(), ..Default::default() };
    let user = FeatureView { name: "user".into(), ..view() };
    for rpc in ["FeatureService/GetFeatures", "FeatureService/GetFeaturesArrow"] {
        let mut unknown = features();
        unknown.views[0].features = vec![none()];
        let elsewhere = ViewSelection { view: none(), features: vec![] };
        rows.extend([
            (rpc, "no entities", bytes(&GetFeaturesRequest { entities: vec![], ..features() }), INVALID),
            (rpc, "unknown view", bytes(&GetFeaturesRequest { views: vec![elsewhere], ..features() }), MISSING),
            (rpc, "unknown feature", bytes(&unknown), INVALID),
        ]);
    }
    rows.extend([
        ("FeatureService/RegisterView", "no view", bytes(&RegisterViewRequest::default()), INVALID),
        ("FeatureService/RegisterView", "no features", register(FeatureView { features: vec![], ..view() }), INVALID),
        ("FeatureService/RegisterView", "no dim", register(FeatureView { features: vec![vector], ..view() }), INVALID),
        ("FeatureService/RegisterView", "a name that is taken", register(user), Code::AlreadyExists),
        ("FeatureService/GetView", "unknown view", bytes(&GetViewRequest { view: none() }), MISSING),
    ]);
    rows
}

fn of_the_rest() -> Vec<Row> {
    let settings = CacheSettings { threshold: Some(2.0), ..Default::default() };
    let configure = ConfigureRequest { cache: "faq".into(), settings: Some(settings) };
    let piped = |line| bytes(&PipelineRequest { request_id: 1, argv: command(line) });
    let execute = |line| bytes(&ExecuteRequest { argv: command(line) });
    let asking_for_nothing = LookupRequest { cache: "faq".into(), ..Default::default() };
    let nothing_to_remove = InvalidateRequest { cache: "faq".into(), entries: None };
    vec![
        ("SemanticCacheService/Lookup", "no prompt at all", bytes(&asking_for_nothing), INVALID),
        ("SemanticCacheService/Store", "no embedding", bytes(&StoreRequest { embedding: None, ..store() }), INVALID),
        ("SemanticCacheService/Invalidate", "no entries named", bytes(&nothing_to_remove), INVALID),
        ("SemanticCacheService/Configure", "a threshold out of range", bytes(&configure), INVALID),
        ("CommandService/Execute", "no words", bytes(&ExecuteRequest::default()), INVALID),
        ("CommandService/Execute", "an unknown command", execute("NOSUCH"), Code::Unimplemented),
        ("CommandService/Execute", "another type", execute("LPUSH films x"), PRECONDITION),
        ("CommandService/Execute", "a command of connections", execute("MONITOR"), INVALID),
        ("CommandService/Pipeline", "no words", bytes(&PipelineRequest::default()), INVALID),
        ("CommandService/Pipeline", "an unknown command", piped("NOSUCH"), Code::Unimplemented),
    ]
}

fn of_flights() -> Vec<Row> {
    let sent = |descriptor: Option<FlightDescriptor>, header: &'static [u8]| {
        bytes(&FlightData { flight_descriptor: descriptor, data_header: header.into(), ..Default::default() })
    };
    let cmd = |json: &'static str| {
        Some(FlightDescriptor { r#type: DescriptorType::Cmd.into(), cmd: json.into(), path: vec![] })
    };
    let ticket = |json: &'static str| bytes(&Ticket { ticket: json.into() });
    let features = || Some(path(&["features", "user"]));
    vec![
        ("FlightService/GetFlightInfo", "unknown index", bytes(&path(&["none"])), MISSING),
        ("FlightService/GetFlightInfo", "a path of three", bytes(&path(&["a", "b", "c"])), INVALID),
        ("FlightService/GetSchema", "unknown index", bytes(&path(&["none"])), MISSING),
        ("FlightService/DoGet", "unknown index", ticket(r#"{"collection":"none"}"#), MISSING),
        ("FlightService/DoGet", "a ticket that is none", ticket("films"), INVALID),
        ("FlightService/DoGet", "an unknown word", ticket(r#"{"collection":"films","colour":1}"#), INVALID),
        ("FlightService/DoGet", "a broken filter", ticket(r#"{"collection":"films","filter":"(("}"#), INVALID),
        ("FlightService/DoGet", "unknown view", ticket(r#"{"views":{"none":null},"entities":["1"]}"#), MISSING),
        ("FlightService/DoGet", "no entities", ticket(r#"{"views":{"user":null}}"#), INVALID),
        ("FlightService/DoGet", "unknown feature", ticket(r#"{"views":{"user":["x"]},"entities":["1"]}"#), INVALID),
        ("FlightService/DoPut", "no descriptor", sent(None, b""), INVALID),
        ("FlightService/DoPut", "malformed Arrow", sent(Some(path(&["films"])), b"no arrow"), INVALID),
        ("FlightService/DoPut", "malformed Arrow of features", sent(features(), b"no arrow"), INVALID),
        ("FlightService/DoExchange", "no descriptor", sent(None, b""), INVALID),
        ("FlightService/DoExchange", "malformed Arrow", sent(cmd(r#"{"collection":"films"}"#), b"no"), INVALID),
        (
            "FlightService/DoExchange",
            "malformed Arrow of entities",
            sent(cmd(r#"{"views":{"user":null}}"#), b"no"),
            INVALID,
        ),
        ("FlightService/DoExchange", "a command that is none", sent(cmd("films"), b""), INVALID),
        (
            "FlightService/ListFlights",
            "no text",
            bytes(&quiver_grpc::flight_pb::Criteria { expression: b"\xff".as_slice().into() }),
            INVALID,
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_its_code_and_changes_nothing() {
    let real = stocked().await;
    let before = state(&real).await;
    let groups = [
        with_vectors(),
        elements_otherwise(),
        of_elements(),
        of_searches(),
        of_indexes(),
        of_features(),
        of_the_rest(),
        of_flights(),
    ];
    let mut wrong = Vec::new();
    for (rpc, what, messages, expected) in groups.into_iter().flatten() {
        let package = if rpc.starts_with("Flight") { "arrow.flight.protocol" } else { "quiver.v1" };
        let found = code(&real, &format!("{package}.{rpc}"), messages, &[]).await;
        if found != expected {
            wrong.push(format!("{rpc}: {what}: {found:?}, not {expected:?}"));
        }
        assert_eq!(state(&real).await, before, "{rpc}: {what}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
