//! The services, and what surrounds them, called through a real channel on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the failure")]

mod bad_input;
mod bounds;
mod cache;
mod changes;
mod commands;
mod every_rpc;
mod features;
mod finding;
mod flights;
mod indexes;
mod node;
mod refusals;
mod search;
mod serving;
mod support;
mod vectors;
