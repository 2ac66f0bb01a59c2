//! Benchmarks of a running server and of the index as a library, with their peers in the same run: the parts of the
//! program `quiver-bench`.
//!
//! Idea: servers are measured from outside, over sockets and `/proc`, so that one program drives Quiver, Redis and
//! Valkey alike. The servers share one core and the generator has another; rounds are interleaved between the servers,
//! figures are medians over rounds, and the figure that counts is *server CPU time per operation*, which neither the
//! generator's own cost nor a neighbour on the machine can inflate much.
//!
//! Invariants: every reply is counted and checked, an error reply ends the run; a server never outlives its
//! [`server::Server`].
//!
//! Not here: microbenchmarks of single functions (beside the code they measure), open-loop load, clusters.
#![forbid(unsafe_code)]

pub mod bounds;
pub mod contender;
pub mod dataset;
pub mod documents;
pub mod driver;
pub mod histogram;
pub mod latency;
pub mod library;
pub mod library_results;
pub mod load;
pub mod machine;
pub mod npy;
pub mod plot;
pub mod procfs;
pub mod progress;
pub mod replication;
pub mod reply;
pub mod report;
pub mod server;
pub mod snapshot;
pub mod stats;
pub mod template;
pub mod traffic;
pub mod vector_results;
pub mod vector_traffic;
pub mod vectors;
