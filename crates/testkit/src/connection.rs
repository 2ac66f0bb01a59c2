//! A blocking connection for tests.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use quiver_resp::{ReplyDecoder, ReplyLimits, Value, write_command};

/// How long a reply may take before the test counts it as missing.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// One reply: what it means, and the bytes it came in.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The decoded reply.
    pub value: Value,
    /// Its exact bytes.
    pub raw: Vec<u8>,
}

/// A connection that sends commands and waits for their replies.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    decoder: ReplyDecoder,
    received: Vec<u8>,
    /// Bytes of a reply whose end has not come.
    partial: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens at `addr`.
    pub fn connect(addr: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&addr, REPLY_TIMEOUT).with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let decoder = ReplyDecoder::new(ReplyLimits::default());
        Ok(Self { stream, decoder, received: Vec::new(), partial: Vec::new() })
    }

    /// Where it leads.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peer(&self) -> Result<SocketAddr> {
        Ok(self.stream.peer_addr()?)
    }

    /// Sends one command and waits for its reply.
    ///
    /// # Errors
    /// When the connection ends or stays silent, or sends what is no reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply> {
        self.send(words)?;
        self.receive()
    }

    /// Sends one command without waiting.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<()> {
        let mut request = Vec::new();
        write_command(&mut request, words);
        Ok(self.stream.write_all(&request)?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Tells the server that nothing more will be sent; replies can still be read.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn end_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// Everything the server still sends until it closes the connection. A reset counts as the end.
    ///
    /// # Errors
    /// When it does not close the connection in time.
    pub fn receive_to_end(&mut self) -> Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.received);
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(bytes),
            Err(error) => Err(error).context("the server keeps the connection open"),
        }
    }

    /// Waits for the next reply or push message.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn receive(&mut self) -> Result<Reply> {
        loop {
            if let Some(reply) = self.received_already()? {
                return Ok(reply);
            }
            if !self.read_more()? {
                bail!("no reply within {} s", REPLY_TIMEOUT.as_secs());
            }
        }
    }

    /// The next reply or push message, if it comes in this time.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no reply.
    pub fn receive_within(&mut self, time: Duration) -> Result<Option<Reply>> {
        if let Some(reply) = self.received_already()? {
            return Ok(Some(reply));
        }
        self.stream.set_read_timeout(Some(time))?;
        let read = self.read_more();
        self.stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        if read? { self.received_already() } else { Ok(None) }
    }

    /// The next reply, if all of it has been read.
    fn received_already(&mut self) -> Result<Option<Reply>> {
        let (consumed, value) = self.decoder.decode(&self.received).context("decoding a reply")?;
        self.partial.extend(self.received.drain(..consumed));
        Ok(value.map(|value| Reply { value, raw: std::mem::take(&mut self.partial) }))
    }

    /// Reads what there is; `false` when nothing came in time.
    fn read_more(&mut self) -> Result<bool> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(len) => self.received.extend_from_slice(&chunk[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// A peer that sends `chunks` one after the other once it has read something, then closes.
    fn peer(chunks: &'static [&'static [u8]]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the test connects");
            let _ = stream.read(&mut [0; 1024]).expect("the test sends");
            for chunk in chunks {
                stream.write_all(chunk).expect("the test reads");
                thread::sleep(Duration::from_millis(5));
            }
        });
        addr
    }

    #[test]
    fn replies_in_pieces_keep_their_bytes_and_leave_the_next_reply() {
        let mut connection =
            Connection::connect(peer(&[b"*2\r\n:", b"1\r\n$3\r\na\r", b"b\r\n+O", b"K\r\n"])).expect("a peer");
        let first = connection.call(&["X"]).expect("a reply");
        assert_eq!(first.raw, b"*2\r\n:1\r\n$3\r\na\rb\r\n");
        assert_eq!(first.value, Value::Array(vec![Value::Integer(1), Value::Bulk(b"a\rb".to_vec())]));
        assert_eq!(connection.receive().expect("a second reply").raw, b"+OK\r\n");
        assert!(connection.receive().is_err(), "the peer has closed");
    }

    #[test]
    fn garbage_is_an_error() {
        let mut connection = Connection::connect(peer(&[b"what?\r\n"])).expect("a peer");
        assert!(connection.call(&["X"]).is_err());
    }
}
