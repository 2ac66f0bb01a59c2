//! FeatureService: FEAT.VIEW, FEAT.MPUT and FEAT.GET.

mod arrow;

use std::pin::Pin;

use prost::bytes::Bytes;
use quiver_resp::{OwnedArgv, Value};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::check::Violations;
use crate::executor::{Auth, Executor};
use crate::gateway::{Failure, Gateway};
use crate::pb::feature_service_server::FeatureService;
use crate::pb::feature_values::Values;
use crate::pb::{
    ArrowChunk, DropViewRequest, DropViewResponse, Feature, FeatureColumn, FeatureStatus, FeatureType, FeatureValues,
    FeatureView, GetFeaturesRequest, GetFeaturesResponse, GetViewRequest, GetViewResponse, ListViewsRequest,
    ListViewsResponse, PushFeaturesError, PushFeaturesRequest, PushFeaturesResponse, PutFeaturesRequest,
    PutFeaturesResponse, RegisterViewRequest, RegisterViewResponse, ViewColumns,
};
use crate::search::text;
use crate::status::{self, Site};

/// Most entities of a request; the server bounds the number of values.
pub(crate) const ENTITIES_MAX: usize = 1 << 16;
/// Most features of a view, and most columns of a request.
const FEATURES_MAX: usize = 1024;
/// Most views of a request.
const VIEWS_MAX: usize = 64;
/// Most refused batches that the summary of PushFeatures lists.
const ERRORS_MAX: usize = 100;
/// Stands for null among the values of a FEAT.MPUT; no number is spelled so, and a string is refused that is.
const NULL: &[u8] = b"\0null\0";

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Features<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Features<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    /// Runs one command; `view` is what it is about.
    async fn run(&self, auth: &Auth, command: OwnedArgv, view: &str) -> Result<Value, Status> {
        let mut replies = self.gateway.run(auth, vec![command]).await.map_err(|failure| status_of(failure, view))?;
        Ok(replies.pop().expect("one reply for each command"))
    }

    async fn put(&self, auth: &Auth, request: &PutFeaturesRequest) -> Result<PutFeaturesResponse, Status> {
        let command = mput(request)?;
        let reply = self.run(auth, command, &request.view).await?;
        let stored = reply.as_array().unwrap_or_default().iter().map(|count| u32::try_from(count.as_i64()?).ok());
        let stored = stored.collect::<Option<Vec<u32>>>().filter(|stored| stored.len() == request.entities.len());
        Ok(PutFeaturesResponse { stored: stored.ok_or_else(|| status::unexpected_reply("of FEAT.MPUT"))? })
    }

    async fn push(
        &self,
        auth: &Auth,
        mut batches: Streaming<PushFeaturesRequest>,
    ) -> Result<PushFeaturesResponse, Status> {
        let mut summary = PushFeaturesResponse::default();
        let mut number = 0;
        while let Some(request) = batches.message().await.map_err(status::of_transport)? {
            let batch = request.batch.unwrap_or_default();
            let rows = batch.entities.len() as u64;
            match self.put(auth, &batch).await {
                Ok(done) => {
                    let stored = done.stored.iter().map(|stored| u64::from(*stored)).sum::<u64>();
                    summary.rows += rows;
                    summary.stored += stored;
                    summary.stale += rows * batch.columns.len() as u64 - stored;
                }
                Err(status) if matches!(status.code(), Code::InvalidArgument | Code::NotFound) => {
                    summary.rejected += rows;
                    if summary.errors.len() < ERRORS_MAX {
                        let status = Some(status::to_message(&status));
                        summary.errors.push(PushFeaturesError { batch: number, status });
                    }
                }
                Err(status) => return Err(status),
            }
            number += 1;
        }
        Ok(summary)
    }

    async fn get(&self, auth: &Auth, request: &GetFeaturesRequest) -> Result<GetFeaturesResponse, Status> {
        let command = get(request)?;
        let names: Vec<&str> = request.views.iter().map(|view| view.view.as_str()).collect();
        let views = self.run(auth, command, &names.join(", ")).await?.into_pairs();
        let views = views.and_then(|views| views.into_iter().map(view_columns).collect());
        Ok(GetFeaturesResponse { views: views.ok_or_else(|| status::unexpected_reply("of FEAT.GET"))? })
    }
}

#[tonic::async_trait]
impl<E: Executor> FeatureService for Features<E> {
    async fn register_view(
        &self,
        request: Request<RegisterViewRequest>,
    ) -> Result<Response<RegisterViewResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        let view = request.view.unwrap_or_default();
        self.run(&auth, create(&view, request.replace)?, &view.name).await?;
        Ok(Response::new(RegisterViewResponse {}))
    }

    async fn get_view(&self, request: Request<GetViewRequest>) -> Result<Response<GetViewResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let name = request.into_inner().view;
        let reply = self.run(&auth, OwnedArgv::from_slices(&["FEAT.VIEW", "INFO", &name]), &name).await?;
        let view = described(reply).ok_or_else(|| status::unexpected_reply("of FEAT.VIEW INFO"))?;
        Ok(Response::new(GetViewResponse { view: Some(view) }))
    }

    async fn list_views(&self, request: Request<ListViewsRequest>) -> Result<Response<ListViewsResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let reply = self.run(&auth, OwnedArgv::from_slices(&["FEAT.VIEW", "LIST"]), "").await?;
        let views = reply.as_array().unwrap_or_default().iter().filter_map(Value::as_bytes).map(text).collect();
        Ok(Response::new(ListViewsResponse { views }))
    }

    async fn drop_view(&self, request: Request<DropViewRequest>) -> Result<Response<DropViewResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let name = request.into_inner().view;
        let reply = self.run(&auth, OwnedArgv::from_slices(&["FEAT.VIEW", "DROP", &name]), &name).await?;
        Ok(Response::new(DropViewResponse { dropped: reply.as_i64() == Some(1) }))
    }

    async fn put_features(
        &self,
        request: Request<PutFeaturesRequest>,
    ) -> Result<Response<PutFeaturesResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.put(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn push_features(
        &self,
        request: Request<Streaming<PushFeaturesRequest>>,
    ) -> Result<Response<PushFeaturesResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.push(&auth, request.into_inner()).await.map(Response::new)
    }

    async fn get_features(
        &self,
        request: Request<GetFeaturesRequest>,
    ) -> Result<Response<GetFeaturesResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.get(&auth, request.get_ref()).await.map(Response::new)
    }

    type GetFeaturesArrowStream = Pin<Box<dyn Stream<Item = Result<ArrowChunk, Status>> + Send>>;

    async fn get_features_arrow(
        &self,
        request: Request<GetFeaturesRequest>,
    ) -> Result<Response<Self::GetFeaturesArrowStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let chunks = self.get_arrow(&auth, request.get_ref()).await?;
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks.into_iter().map(Ok)))))
    }
}

/// The status of a command about a view.
fn status_of(failure: Failure, view: &str) -> Status {
    let status = failure.into_status(|_| Site { collection: view, ..Site::default() });
    let fields =
        [("the value of feature", "columns"), (" of feature '", "view.features"), ("has no feature", "features")];
    let field = fields.into_iter().find(|(words, _)| status.message().contains(words)).map(|(_, field)| field);
    status::about(status, "view", view, field)
}

/// The FEAT.VIEW CREATE of a view.
fn create(view: &FeatureView, replace: bool) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    if view.name.is_empty() {
        violations.add("view.name", "must not be empty");
    }
    if view.key_prefix.is_empty() {
        violations.add("view.key_prefix", "must not be empty");
    }
    violations.count("view.features", view.features.len(), FEATURES_MAX);
    let mut argv = OwnedArgv::from_slices(&["FEAT.VIEW", "CREATE", &view.name]);
    if replace {
        argv.push(b"REPLACE");
    }
    argv.push(b"PREFIX");
    argv.push(view.key_prefix.as_bytes());
    push_seconds(&mut argv, "TTL", view.ttl_seconds);
    push_seconds(&mut argv, "MAXAGE", view.max_age_seconds);
    argv.push(b"FEATURES");
    for (index, feature) in view.features.iter().take(FEATURES_MAX).enumerate() {
        let kind = feature.r#type();
        if kind == FeatureType::Unspecified {
            violations.add(format!("view.features[{index}].type"), "is required and must be a known type");
        }
        if (kind == FeatureType::Vector) != (feature.dim > 0) {
            violations.add(format!("view.features[{index}].dim"), "must be given for vectors, and only for them");
        }
        if is_window(kind) != (feature.window_seconds > 0) || is_window(kind) != (feature.tile_seconds > 0) {
            let text = "must be given with tile_seconds for windows, and only for them";
            violations.add(format!("view.features[{index}].window_seconds"), text);
        }
        argv.push(feature.name.as_bytes());
        argv.push(type_word(feature).as_bytes());
        push_seconds(&mut argv, "TTL", feature.ttl_seconds);
    }
    violations.into_result()?;
    Ok(argv)
}

fn push_seconds(argv: &mut OwnedArgv, option: &str, seconds: u64) {
    if seconds > 0 {
        argv.push(option.as_bytes());
        argv.push(seconds.to_string().as_bytes());
    }
}

const TYPES: [(FeatureType, &str); 10] = [
    (FeatureType::F64, "f64"),
    (FeatureType::F32, "f32"),
    (FeatureType::I64, "i64"),
    (FeatureType::Bool, "bool"),
    (FeatureType::Timestamp, "timestamp"),
    (FeatureType::String, "string"),
    (FeatureType::Vector, "vector"),
    (FeatureType::Sum, "sum"),
    (FeatureType::Count, "count"),
    (FeatureType::Avg, "avg"),
];

fn is_window(kind: FeatureType) -> bool {
    matches!(kind, FeatureType::Sum | FeatureType::Count | FeatureType::Avg)
}

/// The word for the type of a feature, with its numbers.
fn type_word(feature: &Feature) -> String {
    let kind = feature.r#type();
    let name = TYPES.into_iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name);
    match kind {
        FeatureType::Vector => format!("{name}({})", feature.dim),
        kind if is_window(kind) => format!("{name}({},{})", feature.window_seconds, feature.tile_seconds),
        _ => name.to_owned(),
    }
}

/// Takes the word that [`type_word`] makes.
fn set_type(feature: &mut Feature, word: &str) -> Option<()> {
    let (name, numbers) = word.strip_suffix(')').and_then(|word| word.split_once('(')).unwrap_or((word, ""));
    let (kind, _) = TYPES.into_iter().find(|(_, known)| *known == name)?;
    feature.set_type(kind);
    if kind == FeatureType::Vector {
        feature.dim = numbers.parse().ok()?;
    } else if is_window(kind) {
        let (window, tile) = numbers.split_once(',')?;
        (feature.window_seconds, feature.tile_seconds) = (window.parse().ok()?, tile.parse().ok()?);
    }
    Some(())
}

/// A view as FEAT.VIEW INFO tells it.
fn described(reply: Value) -> Option<FeatureView> {
    let mut view = FeatureView::default();
    for (name, value) in reply.into_pairs()? {
        match name.as_str()? {
            "name" => view.name = text(value.as_bytes()?),
            "prefix" => view.key_prefix = text(value.as_bytes()?),
            "ttl" => view.ttl_seconds = seconds(&value),
            "max-age" => view.max_age_seconds = seconds(&value),
            "features" => {
                let Value::Array(features) = value else { return None };
                view.features = features.into_iter().map(described_feature).collect::<Option<_>>()?;
            }
            _ => {}
        }
    }
    Some(view)
}

fn described_feature(reply: Value) -> Option<Feature> {
    let mut feature = Feature::default();
    for (name, value) in reply.into_pairs()? {
        match (name.as_str()?, &value) {
            ("name", value) => feature.name = text(value.as_bytes()?),
            ("ttl", value) => feature.ttl_seconds = seconds(value),
            ("type", value) => set_type(&mut feature, value.as_str()?)?,
            _ => {}
        }
    }
    Some(feature)
}

fn seconds(value: &Value) -> u64 {
    value.as_i64().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0)
}

/// The FEAT.MPUT of a batch.
fn mput(request: &PutFeaturesRequest) -> Result<OwnedArgv, Status> {
    let rows = request.entities.len();
    let mut violations = Violations::default();
    violations.count("entities", rows, ENTITIES_MAX);
    violations.count("columns", request.columns.len(), FEATURES_MAX);
    if !matches!(request.event_times_ms.len(), 0 | 1) && request.event_times_ms.len() != rows {
        violations.add("event_times_ms", "must be one for each entity, one for all, or none");
    }
    for (index, column) in request.columns.iter().take(FEATURES_MAX).enumerate() {
        check_column(&mut violations, &format!("columns[{index}]."), column, rows);
    }
    violations.into_result()?;
    let mut argv = OwnedArgv::from_slices(&[b"FEAT.MPUT", request.view.as_bytes(), b"NULL", NULL, b"FEATURES"]);
    argv.push(request.columns.len().to_string().as_bytes());
    request.columns.iter().for_each(|column| argv.push(column.feature.as_bytes()));
    argv.push(b"ROWS");
    argv.push(rows.to_string().as_bytes());
    let nulls: Vec<Vec<u32>> = request.columns.iter().map(|column| sorted(&column.null_rows)).collect();
    for (row, entity) in request.entities.iter().enumerate() {
        argv.push(entity);
        match request.event_times_ms.get(row).or(request.event_times_ms.first()) {
            Some(at_ms) => argv.push(at_ms.to_string().as_bytes()),
            None => argv.push(b"*"),
        }
        for (column, nulls) in request.columns.iter().zip(&nulls) {
            if nulls.binary_search(&(row as u32)).is_ok() {
                argv.push(NULL);
            } else {
                push_value(&mut argv, column, row, rows);
            }
        }
    }
    Ok(argv)
}

fn sorted(rows: &[u32]) -> Vec<u32> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows
}

fn check_column(violations: &mut Violations, path: &str, column: &FeatureValues, rows: usize) {
    let (field, found) = match &column.values {
        None => return violations.add(format!("{path}values"), "are required"),
        Some(Values::Doubles(doubles)) => ("doubles", doubles.values.len()),
        Some(Values::Integers(integers)) => ("integers", integers.values.len()),
        Some(Values::Strings(strings)) => {
            if strings.values.iter().any(|value| value == NULL) {
                violations.add(format!("{path}strings"), "hold a value that is reserved");
            }
            ("strings", strings.values.len())
        }
        Some(Values::PackedVectors(packed)) => {
            let whole = rows > 0 && packed.len().is_multiple_of(4 * rows);
            ("packed_vectors", if whole && !packed.is_empty() { rows } else { 0 })
        }
    };
    if found != rows {
        violations.add(format!("{path}{field}"), format!("must hold a value for each of {rows} entities"));
    }
}

/// The value of a row, of a column that was checked.
fn push_value(argv: &mut OwnedArgv, column: &FeatureValues, row: usize, rows: usize) {
    match &column.values {
        Some(Values::Doubles(doubles)) => argv.push(doubles.values[row].to_string().as_bytes()),
        Some(Values::Integers(integers)) => argv.push(integers.values[row].to_string().as_bytes()),
        Some(Values::Strings(strings)) => argv.push(&strings.values[row]),
        Some(Values::PackedVectors(packed)) => {
            let bytes = packed.len() / rows;
            argv.push(&packed[row * bytes..(row + 1) * bytes]);
        }
        None => argv.push(NULL),
    }
}

/// The FEAT.GET of a request.
fn get(request: &GetFeaturesRequest) -> Result<OwnedArgv, Status> {
    let mut violations = Violations::default();
    violations.count("entities", request.entities.len(), ENTITIES_MAX);
    violations.count("views", request.views.len(), VIEWS_MAX);
    violations.into_result()?;
    let mut argv = OwnedArgv::from_slices(&["FEAT.GET", "ENTITIES"]);
    argv.push(request.entities.len().to_string().as_bytes());
    request.entities.iter().for_each(|entity| argv.push(entity));
    for view in &request.views {
        argv.push(b"VIEW");
        argv.push(view.view.as_bytes());
        if !view.features.is_empty() {
            argv.push(b"FEATURES");
            argv.push(view.features.len().to_string().as_bytes());
            view.features.iter().for_each(|feature| argv.push(feature.as_bytes()));
        }
    }
    if request.with_event_times {
        argv.push(b"WITHTIMES");
    }
    argv.push(b"PACKED");
    Ok(argv)
}

fn view_columns((view, columns): (Value, Value)) -> Option<ViewColumns> {
    let columns = columns.into_pairs()?.into_iter().map(|(name, column)| feature_column(&name, column));
    Some(ViewColumns { view: text(view.as_bytes()?), columns: columns.collect::<Option<_>>()? })
}

fn feature_column(name: &Value, column: Value) -> Option<FeatureColumn> {
    let Value::Array(parts) = column else { return None };
    let mut parts = parts.into_iter();
    let mut column = FeatureColumn { feature: text(name.as_bytes()?), ..FeatureColumn::default() };
    match parts.next()? {
        Value::Bulk(packed) => column.packed = packed.into(),
        Value::Array(strings) => column.strings = strings.into_iter().map(bytes).collect(),
        _ => return None,
    }
    let statuses =
        parts.next()?.as_bytes()?.iter().map(|letter| status_number(*letter)).collect::<Option<Vec<u8>>>()?;
    column.statuses = statuses.into();
    column.event_times_ms = parts.next().map_or_else(Bytes::new, bytes);
    Some(column)
}

/// A string's bytes; none where there is no string.
fn bytes(value: Value) -> Bytes {
    if let Value::Bulk(bytes) = value { bytes.into() } else { Bytes::new() }
}

/// The number of a status that FEAT.GET tells by a letter.
fn status_number(letter: u8) -> Option<u8> {
    let status = match letter {
        b'P' => FeatureStatus::Present,
        b'N' => FeatureStatus::Null,
        b'-' => FeatureStatus::NotFound,
        b'O' => FeatureStatus::OutsideMaxAge,
        b'!' => FeatureStatus::Invalid,
        _ => return None,
    };
    u8::try_from(i32::from(status)).ok()
}
