//! A client that changes its keys and notes when each step was sent and acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use quiver_resp::Value;

use super::model::commands;
use crate::Connection;

/// When a step was sent and acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Before the first byte left.
    pub sent: Instant,
    /// After the reply was read.
    pub acknowledged: Option<Instant>,
}

/// Steps from `first` on, `depth` at once, until the server is gone or `stop` is set.
///
/// # Errors
/// A step was refused.
pub fn run(addr: SocketAddr, writer: usize, first: u64, depth: u64, stop: &Arc<AtomicBool>) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let Ok(mut connection) = Connection::connect(addr) else { return Ok(steps) };
    while !stop.load(Ordering::Relaxed) {
        let begun = steps.len();
        for _ in 0..depth {
            let step = first + steps.len() as u64;
            steps.push(Step { sent: Instant::now(), acknowledged: None });
            for command in commands(writer, step) {
                if connection.send(&command).is_err() {
                    return Ok(steps);
                }
            }
        }
        for at in begun..steps.len() {
            for command in commands(writer, first + at as u64) {
                let Ok(reply) = connection.receive() else { return Ok(steps) };
                let shown = String::from_utf8_lossy(&reply.raw).into_owned();
                if matches!(reply.value, Value::Error(_)) && shown.contains("shutting down") {
                    return Ok(steps);
                }
                ensure!(!matches!(reply.value, Value::Error(_)), "{command:?} was refused: {shown}");
            }
            steps[at].acknowledged = Some(Instant::now());
        }
    }
    Ok(steps)
}
