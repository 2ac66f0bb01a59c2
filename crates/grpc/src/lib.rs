//! The gRPC API: vectors stored, read and searched, over the same collections as the vector set commands.
//!
//! The schemas lie in `proto/quiver/v1`; what they generate is committed in `generated/` and renewed by
//! `cargo xtask codegen`. Each method becomes vector set commands, which run through an [`Executor`]: one dispatcher,
//! one set of permissions and one stream of effects for both protocols, so what one writes the other reads.
//!
//! Invariants: a request is checked whole before any of it runs; a write is one transaction; every failure is a
//! google.rpc status with details (`status.rs` has the table) and no request can cause INTERNAL; every message, batch,
//! stream and connection has a bound ([`ServeLimits`], [`limits`]), and all of them together (`guard`, `budget`).
//!
//! Not here: which address to listen on and which certificate to show (the server's part); the vector index itself.
#![forbid(unsafe_code)]

mod admin;
mod arrow;
mod budget;
mod cache;
mod check;
mod commands;
mod convert;
mod executor;
mod features;
mod flight;
mod gateway;
mod generated;
mod guard;
mod health;
mod incoming;
mod index;
mod names;
mod node_executor;
mod search;
mod serve;
mod set_info;
mod status;
mod vectors;

pub use convert::{VectorError, f32_vector, fp32_blob};
pub use executor::{Auth, ExecuteError, Executor, MalformedAuth, Pace, Session, TokenError};
pub use generated::{FILE_DESCRIPTOR_SET, flight as flight_pb, health as health_pb, pb};
pub use node_executor::NodeExecutor;
pub use serve::{ServeError, ServeLimits, Shared, Tls, serve, serve_shared, serve_with};
pub use status::ERROR_DOMAIN;

/// Clients of the services over a `tonic` channel.
pub mod client {
    pub use crate::generated::flight::flight_service_client::FlightServiceClient;
    pub use crate::generated::pb::admin_service_client::AdminServiceClient;
    pub use crate::generated::pb::command_service_client::CommandServiceClient;
    pub use crate::generated::pb::feature_service_client::FeatureServiceClient;
    pub use crate::generated::pb::index_service_client::IndexServiceClient;
    pub use crate::generated::pb::search_service_client::SearchServiceClient;
    pub use crate::generated::pb::semantic_cache_service_client::SemanticCacheServiceClient;
    pub use crate::generated::pb::vector_service_client::VectorServiceClient;
}

/// Bounds of single requests.
pub mod limits {
    pub use crate::check::{
        ARROW_ROWS_MAX, DIM_MAX, EF_MAX, GET_IDS_MAX, LIMIT_DEFAULT, LIMIT_MAX, PAGE_MAX, RECOMMEND_MAX, SEARCHES_MAX,
        WRITE_ELEMENTS_MAX,
    };
}
