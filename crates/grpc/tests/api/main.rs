//! The services, and what surrounds them, called through a real channel on loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the failure")]

mod cache;
mod engine;
mod features;
mod search;
mod serving;
mod support;
mod vectors;
