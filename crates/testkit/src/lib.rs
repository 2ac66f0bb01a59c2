//! Test support: servers started for one test, a real Redis as oracle, and the differential driver.
//!
//! - [`server`] starts a binary on a free port in a directory of its own and ends it on drop.
//! - [`connection`] is a blocking connection that keeps the bytes of each reply, so that replies can be compared exactly.
//! - [`content`] is everything a server holds, in a form that two servers can be compared by.
//! - [`crash`] kills servers and looks whether they lost what they had acknowledged.
//! - [`damage`] damages copies of a data folder and looks at what they are loaded as.
//! - [`differential`] sends the same seeded commands to two servers and reports where their replies differ.
//! - [`corpus`] fills a server with one of everything and writes down what it holds; [`local`] is an engine without one.
//! - [`power`] cuts the power of a node in this process, and lets operations on its disk fail.
//! - [`fuzz`] runs parsers and loaders on mutated inputs.
//!
//! It never reads a server's memory or debug commands: what a client cannot see is not compared.
#![forbid(unsafe_code)]

pub mod connection;
pub mod content;
pub mod corpus;
pub mod crash;
pub mod damage;
pub mod differential;
pub mod fuzz;
pub mod local;
pub mod power;
pub mod server;

pub use connection::{Connection, Reply};
pub use server::Server;
