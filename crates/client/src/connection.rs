//! One connection: commands out, replies in order, out-of-band messages aside.
//!
//! Writing and reading overlap. A client that writes a long pipeline first and reads later deadlocks against a server
//! whose output buffer is full; here every wait is for whichever direction can move. What the read buffer holds is
//! bounded by one string of the largest size allowed, not by the number of replies.
//!
//! Invariant: `broken` is set before the first byte of a batch leaves and cleared after its last reply, so that a
//! call dropped or failed half way can never be answered with another call's replies.

use std::collections::VecDeque;
use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use quiver_resp::{ReplyDecoder, Value};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::{Batch, Error, Options};

/// Least room offered to a read, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Most room added at once for a string whose length is only claimed.
const GROWTH_BYTES_MAX: usize = 1 << 20;
/// Memory kept between batches.
const IDLE_BYTES_MAX: usize = 1 << 20;
/// Pushed messages kept for [`Connection::take_push`]; older ones are dropped.
const PUSHES_MAX: usize = 64 * 1024;

/// One connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    read: Vec<u8>,
    /// Bytes of `read` already decoded.
    consumed: usize,
    pushes: VecDeque<Value>,
    timeout: Option<Duration>,
    broken: bool,
}

impl Connection {
    /// Connects to `host:port` with default [`Options`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Timeout`].
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Self::connect_with(address, &Options::default()).await
    }

    /// Connects to `host:port`, says HELLO, authenticates and selects the database as `options` ask.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`], or [`Error::Server`] where the server refuses.
    pub async fn connect_with(address: &str, options: &Options) -> Result<Self, Error> {
        let opened = tokio::time::timeout(options.connect_timeout, async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut connection = Self::new(stream, options);
            for reply in connection.run(&options.handshake()).await? {
                reject_error(reply)?;
            }
            Ok(connection)
        });
        opened.await.unwrap_or(Err(Error::Timeout))
    }

    /// Takes over a socket that is already connected; no handshake.
    #[must_use]
    pub fn new(stream: TcpStream, options: &Options) -> Self {
        Self {
            stream,
            decoder: ReplyDecoder::new(options.limits),
            read: Vec::new(),
            consumed: 0,
            pushes: VecDeque::new(),
            timeout: options.timeout,
            broken: false,
        }
    }

    /// Runs one command.
    ///
    /// # Errors
    /// [`Error::Server`] if the reply is an error; otherwise as [`Self::run`].
    pub async fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Value, Error> {
        let mut batch = Batch::new();
        batch.push(words);
        let mut reply = None;
        self.run_each(&batch, |value| reply = Some(value)).await?;
        reject_error(reply.ok_or(Error::Closed)?)
    }

    /// Sends all commands of `batch` and collects their replies, errors among them, in order.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Protocol`], [`Error::Timeout`], [`Error::Closed`]; unusable afterwards.
    pub async fn run(&mut self, batch: &Batch) -> Result<Vec<Value>, Error> {
        let mut replies = Vec::with_capacity(batch.len());
        self.run_each(batch, |reply| replies.push(reply)).await?;
        Ok(replies)
    }

    /// As [`Self::run`], handing over each reply as it arrives: memory does not grow with the batch's replies.
    ///
    /// # Errors
    /// As [`Self::run`]; replies already handed over stand.
    pub async fn run_each(&mut self, batch: &Batch, mut on_reply: impl FnMut(Value)) -> Result<(), Error> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::Closed);
        }
        let mut unsent = batch.wire();
        let mut missing = batch.len();
        while missing > 0 || !unsent.is_empty() {
            while missing > 0
                && let Some(reply) = self.decode()?
            {
                on_reply(reply);
                missing -= 1;
            }
            if missing > 0 || !unsent.is_empty() {
                unsent = self.exchange(unsent).await?;
            }
        }
        self.shrink();
        self.broken = false;
        Ok(())
    }

    /// Waits for the next reply or pushed message, for streams such as MONITOR and subscriptions.
    ///
    /// # Errors
    /// As [`Self::run`]; [`Error::Timeout`] alone leaves the connection usable.
    pub async fn receive(&mut self) -> Result<Value, Error> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::Closed);
        }
        let received = loop {
            match self.next_value() {
                Ok(Some(value)) => break Ok(value),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            match self.exchange(&[]).await {
                Ok(_) => {}
                Err(Error::Timeout) => break Err(Error::Timeout),
                Err(error) => return Err(error),
            }
        };
        self.broken = false;
        received
    }

    /// The oldest pushed message that arrived between replies (RESP3: invalidations, pub/sub).
    pub fn take_push(&mut self) -> Option<Value> {
        self.pushes.pop_front()
    }

    /// Changes the longest wait without progress.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Whether the connection can still be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.broken
    }

    /// The socket and the bytes read from it but not yet decoded, for protocols that leave RESP behind.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        let mut read = self.read;
        read.drain(..self.consumed);
        (self.stream, read)
    }

    /// The next complete reply in the buffer; pushed messages are put aside.
    fn decode(&mut self) -> Result<Option<Value>, Error> {
        while let Some(value) = self.next_value()? {
            if !matches!(value, Value::Push(_)) {
                return Ok(Some(value));
            }
            if self.pushes.len() == PUSHES_MAX {
                self.pushes.pop_front();
            }
            self.pushes.push_back(value);
        }
        Ok(None)
    }

    fn next_value(&mut self) -> Result<Option<Value>, Error> {
        let (consumed, value) = self.decoder.decode(&self.read[self.consumed..])?;
        self.consumed += consumed;
        Ok(value)
    }

    /// Writes some of `unsent` or reads something, whichever the socket allows first; returns what is still unsent.
    async fn exchange<'a>(&mut self, unsent: &'a [u8]) -> Result<&'a [u8], Error> {
        if !unsent.is_empty() {
            match self.stream.try_write(unsent) {
                Ok(written) => return Ok(&unsent[written..]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.make_room();
        loop {
            match self.stream.try_read_buf(&mut self.read) {
                Ok(0) => return Err(Error::Closed),
                Ok(_) => return Ok(unsent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            let writing = if unsent.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let ready = within(self.timeout, self.stream.ready(writing)).await??;
            if ready.is_writable() && !unsent.is_empty() {
                return Ok(unsent);
            }
        }
    }

    /// Drops decoded bytes and makes room for a read, by at most [`GROWTH_BYTES_MAX`] whatever a reply claims.
    fn make_room(&mut self) {
        let undecoded = self.read.len() - self.consumed;
        if undecoded <= self.consumed {
            self.read.drain(..self.consumed);
            self.consumed = 0;
        }
        let wanted = self.decoder.wanted().saturating_sub(undecoded);
        self.read.reserve(wanted.clamp(READ_BYTES, GROWTH_BYTES_MAX));
    }

    fn shrink(&mut self) {
        if self.read.len() == self.consumed {
            self.read.clear();
            self.consumed = 0;
            self.read.shrink_to(IDLE_BYTES_MAX);
        }
    }
}

fn reject_error(reply: Value) -> Result<Value, Error> {
    match reply {
        Value::Error(text) => Err(Error::Server(String::from_utf8_lossy(&text).into_owned())),
        reply => Ok(reply),
    }
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Error> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await.map_err(|_elapsed| Error::Timeout),
        None => Ok(future.await),
    }
}
