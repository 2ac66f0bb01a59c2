//! The I/O threads: each runs its connections on a `current_thread` runtime, commands included. An acceptor deals
//! connections out in turn; a connection stays on its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use quiver_engine::session::ClientInfo;
use tokio::sync::mpsc;
use tracing::warn;

use crate::Node;
use crate::conn::serve;
use crate::helpers::LONG_AT_ONCE;
use crate::memory;
use crate::poller::Poller;
use crate::socket::Accepted;
use crate::turns::{Shared, run_turns};

/// Steps of tasks after which a thread that always has some looks at timers and other sources.
const EVENT_INTERVAL: u32 = 16;

/// A connection on its way to a thread. Their number is bounded by `maxclients`.
type Handover = (Accepted, Arc<ClientInfo>);

/// The running threads.
pub struct IoThreads {
    threads: Vec<mpsc::UnboundedSender<Handover>>,
    next: AtomicUsize,
}

impl IoThreads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system gave no thread or no poller.
    pub fn start(node: &Node, count: usize) -> std::io::Result<Self> {
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, receiver) = mpsc::unbounded_channel();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.max_blocking_threads(LONG_AT_ONCE).thread_name(format!("quiver-long-{index}"));
            let runtime = runtime.enable_io().enable_time().event_interval(EVENT_INTERVAL).build()?;
            let poller = {
                let _entered = runtime.enter();
                Poller::new()?
            };
            let node = node.clone();
            std::thread::Builder::new()
                .name(format!("quiver-io-{index}"))
                .spawn(move || runtime.block_on(run(node, poller, receiver)))?;
            threads.push(sender);
        }
        Ok(Self { threads, next: AtomicUsize::new(0) })
    }

    /// Hands a fresh connection to the next thread.
    pub fn hand_over(&self, stream: Accepted, client: Arc<ClientInfo>) {
        let thread = self.next.fetch_add(1, Relaxed) % self.threads.len();
        if self.threads[thread].send((stream, client)).is_err() {
            warn!("an I/O thread has ended; a connection was dropped");
        }
    }
}

async fn run(node: Node, poller: Poller, mut receiver: mpsc::UnboundedReceiver<Handover>) {
    let worker = memory::worker(&node.engine);
    Shared::new(Arc::clone(&node.engine), Arc::clone(&node.host.log), worker, poller).install();
    tokio::spawn(run_turns());
    while let Some((stream, client)) = receiver.recv().await {
        let node = node.clone();
        tokio::spawn(async move {
            let _registered = Registered { node: node.clone(), id: client.id };
            match stream.prepare() {
                Ok(()) => {
                    if let Some((stream, session, takeover)) = serve(stream, client).await {
                        node.take_over(stream, session, takeover).await;
                    }
                }
                Err(error) => warn!("a connection could not be registered: {error}"),
            }
        });
    }
}

/// A client in the engine's list. It leaves with its task, whether that ends or panics.
struct Registered {
    node: Node,
    id: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.node.engine.disconnect(self.id);
    }
}
