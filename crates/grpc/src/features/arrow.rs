//! GetFeaturesArrow: the answer of GetFeatures as an Arrow IPC stream.
//!
//! What the bytes of a column mean the view tells, which is read in the same trip; one that was replaced in between does
//! not fit, and is an error.

use prost::bytes::Bytes;
use quiver_batches::{FeatureColumn as Column, FeatureKind, Stream, features_batch};
use quiver_resp::OwnedArgv;
use tonic::Status;

use super::{Features, described, get, status_of, view_columns};
use crate::arrow::refused;
use crate::executor::{Auth, Executor};
use crate::pb::{
    ArrowChunk, Feature, FeatureColumn, FeatureStatus, FeatureType, FeatureView, GetFeaturesRequest, ViewColumns,
};
use crate::status;

/// Most bytes of a chunk.
const CHUNK_BYTES: usize = 1 << 20;

impl<E: Executor> Features<E> {
    pub(super) async fn get_arrow(&self, auth: &Auth, request: &GetFeaturesRequest) -> Result<Vec<ArrowChunk>, Status> {
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
        let bytes = features_batch(&entities, columns).and_then(|batch| Stream::whole(&batch));
        let bytes = Bytes::from(bytes.map_err(|error| refused("features", &error))?);
        let chunks = (0..bytes.len()).step_by(CHUNK_BYTES);
        Ok(chunks.map(|at| ArrowChunk { ipc: bytes.slice(at..bytes.len().min(at + CHUNK_BYTES)) }).collect())
    }
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
