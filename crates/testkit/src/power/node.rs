//! A node on a disk in memory, and clients of it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use anyhow::{Context as _, Error, Result, ensure};
use quiver_engine::config::Config;
use quiver_node::{HandleSession, Node};
use quiver_persist::log::{DiskFault, MemoryDisk};
use quiver_resp::{OwnedArgv, ReplyDecoder, ReplyLimits, Value};

use crate::local::Local;

/// The data folder on the disk.
pub const DIR: &str = "/data";

/// A disk with a data folder.
pub fn disk(fault: Option<DiskFault>) -> MemoryDisk {
    MemoryDisk::new(Path::new(DIR), fault)
}

/// Starts a node on what a disk holds.
///
/// # Errors
/// What the disk holds is refused.
pub fn start(disk: &MemoryDisk, fsync: &str) -> Result<Node> {
    let config = Config::default();
    for (name, value) in [("dir", DIR), ("save", ""), ("appendonly", "yes"), ("appendfsync", fsync)] {
        config.set(name, value, false).map_err(|reason| Error::msg(format!("{name}: {reason}")))?;
    }
    let node = Node::on_disk(config, Arc::new(disk.clone()));
    node.load().map_err(Error::msg)?;
    Ok(node)
}

/// Ends what a node runs in the background. Its disk may be broken.
pub fn end(node: &Node) {
    if let Ok(mut client) = Client::new(node) {
        client.execute(&["CONFIG", "SET", "appendonly", "no"]).ok();
    }
}

/// Loads the snapshot on a disk, if there is one, which must be whole.
///
/// # Errors
/// It is not.
pub fn check_snapshot(disk: &MemoryDisk) -> Result<()> {
    let path = PathBuf::from(DIR).join("dump.rdb");
    if let Some(bytes) = disk.content(&path) {
        let local = Local::new();
        local.load(&bytes).context("the snapshot that is left")?;
        local.check();
    }
    Ok(())
}

/// A client without a socket.
pub struct Client(HandleSession);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// There are too many.
    pub fn new(node: &Node) -> Result<Self> {
        let session = node.handle().session("test:1").context("there are too many clients")?;
        let mut client = Self(session);
        // The models are written for RESP2.
        client.execute(&["HELLO", "2"])?;
        Ok(client)
    }

    /// Runs a command. The reply is given away before the log has it.
    ///
    /// # Errors
    /// The reply is none.
    pub fn execute<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value> {
        let mut out = Vec::new();
        self.0.execute(&OwnedArgv::from_slices(words), &mut out);
        let (_, value) = ReplyDecoder::new(ReplyLimits::default()).decode(&out).context("decoding a reply")?;
        value.context("a reply is complete")
    }

    /// Runs a command and waits until its reply may be given away; `false` when it must not be. A refusal may always.
    ///
    /// # Errors
    /// The reply is none.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<(Value, bool)> {
        let value = self.execute(words)?;
        Ok((value, block_on(self.0.settled())))
    }

    /// A field of INFO.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn info(&mut self, field: &str) -> Result<String> {
        let reply = self.execute(&["INFO", "persistence"])?;
        let text = reply.as_str().context("INFO is text")?;
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        ensure!(found.is_some(), "INFO has no {field}");
        Ok(found.unwrap_or_default().to_owned())
    }
}

/// Waits for a future that needs no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
