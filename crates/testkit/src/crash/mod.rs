//! Crashes on purpose: writers that note what was acknowledged, a server that is killed at random moments, and a
//! comparison of what it holds after the next start with what it must hold.
//!
//! Every writer owns keys of all types and changes them in a fixed order ([`model`]), so what is found can only be the
//! state after some number of its steps. Under `appendfsync always` that number is no less than what was acknowledged;
//! under `everysec` what is missing was acknowledged less than a second before the crash. And what one writer lost,
//! no other may have later news than: the log is cut at one place ([`verdict`]).

pub mod cycle;
pub mod model;
pub mod verdict;
pub mod writer;

pub use cycle::{Harness, Options, Outcome};
