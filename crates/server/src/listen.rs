//! The RESP listeners: every address of `bind` with the backlog, keepalive and protected mode of the configuration, and
//! the socket file of `unixsocket`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use quiver_node::{Accepted, IoThreads, Node, now_ms};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;
use tracing::warn;

use crate::grpc;

const PROTECTED: &[u8] =
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. Set a password \
(requirepass), or turn protected mode off (protected-mode no) if every client that can reach this port is trusted.\r\n";
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// Opens the listeners and accepts in the background; from now on CONFIG SET of `port`, `bind` and `grpc-port` opens
/// others.
///
/// # Errors
/// An address could not be bound.
pub(crate) async fn start(node: &Node, io: IoThreads, grpc: Arc<grpc::Service>) -> Result<()> {
    let config = &node.engine().config;
    let path = config.get("unixsocket");
    if config.get("port") == "0" && path.is_empty() {
        anyhow::bail!("Configured to not listen anywhere, exiting.");
    }
    let io = Arc::new(io);
    let runtime = tokio::runtime::Handle::current();
    let tcp = Tcp { node: node.clone(), io: Arc::clone(&io), runtime, open: Mutex::default() };
    tcp.listen()?;
    node.on_rebind(Box::new(move || {
        let opened = tcp.listen().and_then(|()| grpc.listen());
        opened.map_err(|_| "Unable to listen on this port. Check server logs.")
    }));
    if !path.is_empty() {
        let listener = bind_file(&path, &config.get("unixsocketperm"), backlog(node))
            .with_context(|| format!("Failed opening Unix socket: {path}"))?;
        tokio::spawn(accept_local(node.clone(), io, listener, path));
    }
    Ok(())
}

fn backlog(node: &Node) -> i32 {
    node.engine().config.get("tcp-backlog").parse().unwrap_or(511)
}

/// The TCP listeners.
struct Tcp {
    node: Node,
    io: Arc<IoThreads>,
    runtime: tokio::runtime::Handle,
    open: Mutex<BTreeMap<SocketAddr, AbortHandle>>,
}

impl Tcp {
    /// Listens where `bind` and `port` say, and nowhere else: what is open and still wanted stays as it is, so that
    /// nothing is lost when something else cannot be opened.
    fn listen(&self) -> Result<()> {
        let wanted = wanted(&self.node)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh = Vec::new();
        for (address, optional) in &wanted {
            if open.contains_key(address) {
                continue;
            }
            match bind(*address, backlog(&self.node)) {
                Ok(listener) => fresh.push((*address, listener)),
                Err(_) if *optional => {}
                Err(error) => {
                    let port = address.port();
                    warn!("Could not create server TCP listening socket {address}: bind: {error}");
                    warn!("Failed listening on port {port} (tcp), aborting.");
                    return Err(error).with_context(|| format!("listening on {address}"));
                }
            }
        }
        for (address, listener) in fresh {
            let accepting = self.runtime.spawn(accept(self.node.clone(), Arc::clone(&self.io), listener));
            open.insert(address, accepting.abort_handle());
        }
        open.retain(|address, accepting| {
            let keep = wanted.contains_key(address);
            if !keep {
                accepting.abort();
            }
            keep
        });
        Ok(())
    }
}

/// The addresses of the configuration, and whether the server does without.
fn wanted(node: &Node) -> Result<BTreeMap<SocketAddr, bool>> {
    let config = &node.engine().config;
    let port: u16 = config.get("port").parse().context("port")?;
    if port == 0 {
        return Ok(BTreeMap::new());
    }
    let bind = config.get("bind");
    let addresses = bind.split_ascii_whitespace().map(|address| {
        // A leading minus means: no error when the system lacks this address.
        let (optional, address) = address.strip_prefix('-').map_or((false, address), |address| (true, address));
        let ip: IpAddr = match address {
            "*" => IpAddr::from([0, 0, 0, 0]),
            "::*" => IpAddr::from([0u16; 8]),
            other => other.parse().with_context(|| format!("bind address {other:?}"))?,
        };
        Ok((SocketAddr::new(ip, port), optional))
    });
    addresses.collect()
}

fn bind(address: SocketAddr, backlog: i32) -> std::io::Result<StdTcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if address.ip().is_loopback() {
        spare_congestion_control(&socket);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Binds the socket file with the permissions of `unixsocketperm`, before the first client can come: nobody but the
/// owner may connect until they hold.
fn bind_file(path: &str, permissions: &str, backlog: i32) -> std::io::Result<UnixListener> {
    // What a server that ended without cleaning up left there.
    let _ = std::fs::remove_file(path);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let mode = u32::from_str_radix(permissions, 8).unwrap_or(0);
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    UnixListener::from_std(socket.into())
}

/// Nothing is congested between processes of one machine, but where BBR is the system's default, it paces every reply
/// with a timer. Connections inherit the choice from their listener. A system that lacks Reno keeps what it has.
fn spare_congestion_control(listener: &Socket) {
    #[cfg(target_os = "linux")]
    let _ = listener.set_tcp_congestion(b"reno");
}

async fn accept(node: Node, io: Arc<IoThreads>, listener: StdTcpListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return warn!("a listener could not be registered: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match stream.into_std() {
                Ok(stream) => admit(&node, &io, stream, peer),
                Err(error) => warn!("a connection could not be taken over: {error}"),
            },
            Err(error) => rest(&error).await,
        }
    }
}

async fn accept_local(node: Node, io: Arc<IoThreads>, listener: UnixListener, path: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match stream.into_std() {
                Ok(mut stream) => match node.engine().connect(format!("{path}:0"), format!("{path}:0"), now_ms()) {
                    Some(client) => io.hand_over(Accepted::Unix(stream), client),
                    None => refuse(&mut stream, FULL),
                },
                Err(error) => warn!("a connection could not be taken over: {error}"),
            },
            Err(error) => rest(&error).await,
        }
    }
}

/// Most likely no file descriptor is left: those who are connected go on, others wait.
async fn rest(error: &std::io::Error) {
    warn!("Accepting client connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn refuse(stream: &mut impl Write, text: &[u8]) {
    // Nothing depends on the refused client reading why.
    let _ = stream.write_all(text);
}

fn admit(node: &Node, io: &IoThreads, mut stream: TcpStream, peer: SocketAddr) {
    let config = &node.engine().config;
    if config.protected_mode()
        && !peer.ip().to_canonical().is_loopback()
        && node.engine().users.default_user().rules().nopass
    {
        return refuse(&mut stream, PROTECTED);
    }
    let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
    let Some(client) = node.engine().connect(peer.to_string(), local, now_ms()) else {
        return refuse(&mut stream, FULL);
    };
    if config.tcp_keepalive_s() > 0 {
        let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(config.tcp_keepalive_s() as u64));
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    }
    io.hand_over(Accepted::Tcp(stream), client);
}
