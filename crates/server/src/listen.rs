//! The RESP listeners: every address of `bind`, with the backlog, keepalive and protected mode of the configuration.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use quiver_node::{IoThreads, Node, now_ms};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tracing::{info, warn};

const PROTECTED: &[u8] =
    b"-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. Set a password \
(requirepass), or turn protected mode off (protected-mode no) if every client that can reach this port is trusted.\r\n";
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

/// Opens the listeners and accepts in the background.
///
/// # Errors
/// An address could not be bound.
pub(crate) async fn start(node: &Node, io: IoThreads) -> Result<()> {
    let config = &node.engine().config;
    let port: u16 = config.get("port").parse().context("port")?;
    if port == 0 {
        return Ok(());
    }
    let backlog = config.get("tcp-backlog").parse().unwrap_or(511);
    let io = Arc::new(io);
    for address in config.get("bind").split_ascii_whitespace() {
        // A leading minus means: no error when the system lacks this address.
        let (optional, address) = address.strip_prefix('-').map_or((false, address), |address| (true, address));
        let ip: IpAddr = match address {
            "*" => IpAddr::from([0, 0, 0, 0]),
            "::*" => IpAddr::from([0u16; 8]),
            other => other.parse().with_context(|| format!("bind address {other:?}"))?,
        };
        match bind(SocketAddr::new(ip, port), backlog) {
            Ok(listener) => {
                info!("listening on {}", SocketAddr::new(ip, port));
                tokio::spawn(accept(node.clone(), Arc::clone(&io), listener));
            }
            Err(_) if optional => {}
            Err(error) => return Err(error).with_context(|| format!("listening on {}", SocketAddr::new(ip, port))),
        }
    }
    Ok(())
}

fn bind(address: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
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
    TcpListener::from_std(socket.into())
}

/// Nothing is congested between processes of one machine, but where BBR is the system's default, it paces every reply
/// with a timer. Connections inherit the choice from their listener. A system that lacks Reno keeps what it has.
fn spare_congestion_control(listener: &Socket) {
    #[cfg(target_os = "linux")]
    let _ = listener.set_tcp_congestion(b"reno");
}

async fn accept(node: Node, io: Arc<IoThreads>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match stream.into_std() {
                Ok(stream) => admit(&node, &io, stream, peer),
                Err(error) => warn!("a connection could not be taken over: {error}"),
            },
            Err(error) => {
                // Most likely no file descriptor is left: those who are connected go on, others wait.
                warn!("accept failed: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn admit(node: &Node, io: &IoThreads, mut stream: TcpStream, peer: SocketAddr) {
    let config = &node.engine().config;
    let refuse = |stream: &mut TcpStream, text: &[u8]| {
        // Nothing depends on the refused client reading why.
        let _ = std::io::Write::write_all(stream, text);
    };
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
    io.hand_over(stream, client);
}
