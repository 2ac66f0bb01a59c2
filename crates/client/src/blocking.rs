//! The same client for code without a runtime: it brings its own, on the calling thread.

use std::time::Duration;

use quiver_resp::Value;
use tokio::runtime::{Builder, Runtime};

use crate::{Batch, Connection, Error, Options};

/// A [`Connection`] whose calls block. Not for use inside an async runtime.
#[derive(Debug)]
pub struct Blocking {
    // Dropped before the runtime its socket is registered with.
    connection: Connection,
    runtime: Runtime,
}

impl Blocking {
    /// Connects to `host:port` with default [`Options`].
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub fn connect(address: &str) -> Result<Self, Error> {
        Self::connect_with(address, &Options::default())
    }

    /// Connects to `host:port` as `options` ask.
    ///
    /// # Errors
    /// As [`Connection::connect_with`].
    pub fn connect_with(address: &str, options: &Options) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let connection = runtime.block_on(Connection::connect_with(address, options))?;
        Ok(Self { connection, runtime })
    }

    /// Runs one command.
    ///
    /// # Errors
    /// As [`Connection::command`].
    pub fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value, Error> {
        self.runtime.block_on(self.connection.command(words))
    }

    /// Runs several commands in one round trip; error replies are among the values.
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub fn pipeline<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) -> Result<Vec<Value>, Error> {
        let mut batch = Batch::new();
        for words in commands {
            batch.push(words);
        }
        self.run(&batch)
    }

    /// Runs a batch in one round trip; error replies are among the values.
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub fn run(&mut self, batch: &Batch) -> Result<Vec<Value>, Error> {
        self.runtime.block_on(self.connection.run(batch))
    }

    /// Runs a batch, handing over each reply as it arrives.
    ///
    /// # Errors
    /// As [`Connection::run_each`].
    pub fn run_each(&mut self, batch: &Batch, on_reply: impl FnMut(Value)) -> Result<(), Error> {
        self.runtime.block_on(self.connection.run_each(batch, on_reply))
    }

    /// Waits for the next reply or pushed message.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn receive(&mut self) -> Result<Value, Error> {
        self.runtime.block_on(self.connection.receive())
    }

    /// The oldest pushed message that arrived between replies.
    pub fn take_push(&mut self) -> Option<Value> {
        self.connection.take_push()
    }

    /// Changes the longest wait without progress.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.connection.set_timeout(timeout);
    }

    /// Whether the connection can still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }
}
