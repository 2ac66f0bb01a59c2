//! Features as Arrow batches: what GetFeatures answers, and what PutFeatures takes.
//!
//! What the bytes of a column mean the view tells, which is read in the same trip; one that was replaced in between does
//! not fit, and is an error.

use std::ops::Range;

use prost::bytes::Bytes;
use quiver_batches::{
    FeatureColumn as Column, FeatureKind, FeatureRows, FeatureWords, RecordBatch, Stream, features_batch,
};
use quiver_resp::{IntText, OwnedArgv, Value};
use tonic::Status;

use super::{FEATURES_MAX, Features, NULL, described, get, status_of, view_columns};
use crate::arrow::refused;
use crate::check::Violations;
use crate::executor::{Auth, Executor};
use crate::pb::{
    ArrowChunk, Feature, FeatureColumn, FeatureStatus, FeatureType, FeatureView, GetFeaturesRequest, ViewColumns,
};
use crate::status;

/// Values and names of a step, about: what is stored while others wait.
const STEP_CELLS: usize = 20_000;
/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 1 << 20;

impl<E: Executor> Features<E> {
    /// The answer of GetFeatures as an IPC stream in chunks.
    pub(super) async fn get_arrow(&self, auth: &Auth, request: &GetFeaturesRequest) -> Result<Vec<ArrowChunk>, Status> {
        let bytes = Stream::whole(&self.look_up(auth, request).await?);
        let bytes = Bytes::from(bytes.map_err(|error| refused("features", &error))?);
        let chunks = (0..bytes.len()).step_by(CHUNK_BYTES);
        Ok(chunks.map(|at| ArrowChunk { ipc: bytes.slice(at..bytes.len().min(at + CHUNK_BYTES)) }).collect())
    }

    /// The answer of GetFeatures as a batch.
    pub(crate) async fn look_up(&self, auth: &Auth, request: &GetFeaturesRequest) -> Result<RecordBatch, Status> {
        let mut commands = vec![get(request)?];
        let names = request.views.iter().map(|view| OwnedArgv::from_slices(&["FEAT.VIEW", "INFO", &view.view]));
        commands.extend(names);
        let about: Vec<&str> = request.views.iter().map(|view| view.view.as_str()).collect();
        let replies = self.gateway.run(auth, commands).await;
        let mut replies = replies.map_err(|failure| status_of(failure, &about.join(", ")))?.into_iter();
        let unexpected = || status::unexpected_reply("of FEAT.GET");
        let found = replies.next().and_then(|reply| reply.into_pairs()).ok_or_else(unexpected)?;
        let mut columns = Vec::new();
        for (pair, view) in found.into_iter().zip(replies.map(described)) {
            let (ViewColumns { columns: features, .. }, view) = view_columns(pair).zip(view).ok_or_else(unexpected)?;
            for feature in features {
                columns.push(column(&view, feature).ok_or_else(unexpected)?);
            }
        }
        let entities: Vec<Vec<u8>> = request.entities.iter().map(|entity| entity.to_vec()).collect();
        features_batch(&entities, columns).map_err(|error| refused("features", &error))
    }

    /// Stores rows in steps, each all or nothing; how many values were stored.
    pub(crate) async fn put_rows(&self, auth: &Auth, view: &str, rows: &FeatureRows) -> Result<u64, Status> {
        let mut violations = Violations::default();
        violations.not_empty("flight_descriptor.path", view.as_bytes());
        violations.count("data", rows.columns.len(), FEATURES_MAX);
        for FeatureWords { feature, words } in &rows.columns {
            if words.iter().flatten().any(|word| word == NULL) {
                violations.add(format!("data.{feature}"), "holds a value that is reserved");
            }
        }
        violations.into_result()?;
        let size = (STEP_CELLS / (rows.columns.len() + 2)).max(1);
        let mut stored = 0;
        for first in (0..rows.entities.len()).step_by(size) {
            let command = mput_rows(view, rows, first..rows.entities.len().min(first + size));
            let reply = self.run(auth, command, view).await?;
            stored += reply.as_array().unwrap_or_default().iter().filter_map(Value::as_i64).sum::<i64>().unsigned_abs();
        }
        Ok(stored)
    }
}

/// The FEAT.MPUT of some rows.
fn mput_rows(view: &str, rows: &FeatureRows, some: Range<usize>) -> OwnedArgv {
    let mut argv = OwnedArgv::from_slices(&[b"FEAT.MPUT", view.as_bytes(), b"NULL", NULL, b"FEATURES"]);
    argv.push(IntText::unsigned(rows.columns.len() as u64).as_bytes());
    rows.columns.iter().for_each(|column| argv.push(column.feature.as_bytes()));
    argv.push(b"ROWS");
    argv.push(IntText::unsigned(some.len() as u64).as_bytes());
    for row in some {
        argv.push(&rows.entities[row]);
        match rows.event_times_ms[row] {
            Some(at_ms) => argv.push(IntText::new(at_ms).as_bytes()),
            None => argv.push(b"*"),
        }
        rows.columns.iter().for_each(|column| argv.push(column.words[row].as_deref().unwrap_or(NULL)));
    }
    argv
}

fn column(view: &FeatureView, column: FeatureColumn) -> Option<Column> {
    let feature = view.features.iter().find(|feature| feature.name == column.feature)?;
    let present = i32::from(FeatureStatus::Present);
    Some(Column {
        name: format!("{}:{}", view.name, feature.name),
        kind: kind(feature)?,
        packed: column.packed.to_vec(),
        strings: column.strings.iter().map(|string| string.to_vec()).collect(),
        present: column.statuses.iter().map(|status| i32::from(*status) == present).collect(),
        statuses: column.statuses.to_vec(),
        event_times_ms: column.event_times_ms.to_vec(),
    })
}

fn kind(feature: &Feature) -> Option<FeatureKind> {
    Some(match feature.r#type() {
        FeatureType::F64 | FeatureType::Sum | FeatureType::Count | FeatureType::Avg => FeatureKind::F64,
        FeatureType::F32 => FeatureKind::F32,
        FeatureType::I64 => FeatureKind::I64,
        FeatureType::Bool => FeatureKind::Bool,
        FeatureType::Timestamp => FeatureKind::Timestamp,
        FeatureType::String => FeatureKind::String,
        FeatureType::Vector => FeatureKind::Vector(feature.dim as usize),
        FeatureType::Unspecified => return None,
    })
}
