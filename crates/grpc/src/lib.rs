//! The gRPC API: vectors stored, read and searched, over the same collections as the vector set commands.
//!
//! The schemas lie in `proto/quiver/v1`; what they generate is committed in `generated/` and renewed by
//! `cargo xtask codegen`. Each method becomes vector set commands, which run through an [`Executor`]: one dispatcher,
//! one set of permissions and one stream of effects for both protocols, so what one writes the other reads.
//!
//! Invariants: a request is checked whole before any of it runs; a write is one transaction; every failure is a
//! google.rpc status with details (`status.rs` has the table) and no request can cause INTERNAL; every message, batch,
//! stream and connection has a bound ([`ServeLimits`], [`limits`]).
//!
//! Not here: TLS, and which address to listen on (the server's part); the vector index itself.
#![forbid(unsafe_code)]

mod cache;
mod check;
mod convert;
mod executor;
mod features;
mod gateway;
mod generated;
mod incoming;
mod search;
mod serve;
mod status;
mod vectors;

pub use convert::{VectorError, f32_vector, fp32_blob};
pub use executor::{Auth, ExecuteError, Executor, MalformedAuth};
pub use generated::{FILE_DESCRIPTOR_SET, pb};
pub use serve::{ServeError, ServeLimits, serve, serve_with};
pub use status::ERROR_DOMAIN;

/// Clients of the services over a `tonic` channel.
pub mod client {
    pub use crate::generated::pb::feature_service_client::FeatureServiceClient;
    pub use crate::generated::pb::search_service_client::SearchServiceClient;
    pub use crate::generated::pb::semantic_cache_service_client::SemanticCacheServiceClient;
    pub use crate::generated::pb::vector_service_client::VectorServiceClient;
}

/// Bounds of single requests.
pub mod limits {
    pub use crate::check::{EF_MAX, GET_IDS_MAX, LIMIT_DEFAULT, LIMIT_MAX, SEARCHES_MAX, WRITE_ELEMENTS_MAX};
}
