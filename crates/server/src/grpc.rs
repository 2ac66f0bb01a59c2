//! The gRPC API on its own port, its commands run by the node like everybody else's.
//!
//! It is served by as many threads as there are I/O threads, all accepting from one socket. CONFIG SET of any `grpc-`
//! parameter serves anew with the values of that moment, certificates read again; what was served before ends in peace.

use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use quiver_engine::config::Config;
use quiver_grpc::{NodeExecutor, ServeLimits, Shared, Tls};
use quiver_node::Node;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// Threads that run slow commands for each that serves connections.
const SLOW_THREADS: usize = 2;

fn is_loopback(host: &str) -> bool {
    host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The gRPC API: nowhere at first, then where `bind` and `grpc-port` say.
pub(crate) struct Service {
    node: Node,
    threads: usize,
    /// What is served, if anything. `None` before [`Service::start`].
    open: Mutex<Option<Option<Open>>>,
}

struct Open {
    wanted: Wanted,
    listener: StdTcpListener,
    /// Dropping them ends the threads.
    _stop: Vec<oneshot::Sender<()>>,
}

/// What the configuration says.
#[derive(Clone, PartialEq)]
struct Wanted {
    address: String,
    limits: ServeLimits,
    tls: Option<Tls>,
}

impl Service {
    /// To be served by this many threads.
    pub(crate) fn new(node: &Node, threads: usize) -> Self {
        Self { node: node.clone(), threads, open: Mutex::default() }
    }

    /// Serves from now on.
    ///
    /// # Errors
    /// As [`Service::listen`].
    pub(crate) fn start(&self) -> Result<()> {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(None);
        self.listen()
    }

    /// Serves as the configuration says by now, and nothing else.
    ///
    /// # Errors
    /// The port could not be bound, or the certificate not be used; what was served before goes on.
    pub(crate) fn listen(&self) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.as_mut() else { return Ok(()) };
        let Some(wanted) = self.wanted()? else {
            *open = None;
            return Ok(());
        };
        let listener = match open.as_ref() {
            Some(before) if before.wanted == wanted => return Ok(()),
            Some(before) if before.wanted.address == wanted.address => before.listener.try_clone()?,
            _ => bind(&wanted.address)?,
        };
        let shared = Shared::new(wanted.limits, wanted.tls.as_ref()).context("grpc-tls-cert-file")?;
        let stop = (0..self.threads).map(|_| self.serve(&listener, shared.clone())).collect::<Result<_>>()?;
        info!("gRPC on {}{}", wanted.address, if wanted.tls.is_some() { " with TLS" } else { "" });
        *open = Some(Open { wanted, listener, _stop: stop });
        Ok(())
    }

    /// How to serve; `None` for not at all.
    fn wanted(&self) -> Result<Option<Wanted>> {
        let config = &self.node.engine().config;
        let port: u16 = config.get("grpc-port").parse().context("grpc-port")?;
        if port == 0 {
            return Ok(None);
        }
        let tls = tls(config)?;
        Ok(Some(Wanted { address: self.address(port), limits: limits(config)?, tls }))
    }

    fn address(&self, port: u16) -> String {
        let config = &self.node.engine().config;
        let bind = config.get("bind");
        let first = bind.split_ascii_whitespace().next().unwrap_or("127.0.0.1");
        let first = first.replace("::*", "::").replace('*', "0.0.0.0");
        let mut host = first.trim_start_matches('-').to_owned();
        // Protected mode of the RESP port looks at each peer; here it closes the port to other machines.
        if config.protected_mode() && self.node.engine().users.default_user().rules().nopass && !is_loopback(&host) {
            warn!("protected mode: without a password gRPC listens on 127.0.0.1 only");
            "127.0.0.1".clone_into(&mut host);
        }
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Serves on a thread of its own until the sender is dropped.
    fn serve(&self, listener: &StdTcpListener, shared: Shared) -> Result<oneshot::Sender<()>> {
        let listener = listener.try_clone()?;
        let executor = NodeExecutor::new(self.node.handle());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(SLOW_THREADS).build()?;
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("quiver-grpc".to_owned()).spawn(move || {
            let served = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let ended = async { drop(stopped.await) };
                quiver_grpc::serve_shared(listener, executor, &shared, ended).await.map_err(anyhow::Error::from)
            });
            if let Err(error) = served {
                error!("the gRPC service ended: {error:#}");
            }
        })?;
        Ok(stop)
    }
}

fn bind(address: &str) -> Result<StdTcpListener> {
    let listener = StdTcpListener::bind(address).with_context(|| format!("listening on {address} (grpc-port)"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn limits(config: &Config) -> Result<ServeLimits> {
    let number = |name: &'static str| config.get(name).parse::<u64>().context(name);
    let size = |name| Ok::<_, anyhow::Error>(usize::try_from(number(name)?)?);
    Ok(ServeLimits {
        connections_max: size("grpc-max-connections")?,
        message_bytes_max: size("grpc-max-message-size")?,
        streams_max: u32::try_from(number("grpc-max-streams")?)?,
        calls_max: size("grpc-max-calls")?,
        message_memory_max: size("grpc-max-message-memory")?,
        concurrency_max: size("grpc-max-concurrency")?,
        request_timeout: Duration::from_millis(number("grpc-request-timeout")?),
        ..ServeLimits::default()
    })
}

/// The certificates of the configuration; `None` without `grpc-tls-cert-file`.
fn tls(config: &Config) -> Result<Option<Tls>> {
    let read = |name: &'static str| {
        let path = config.get(name);
        std::fs::read(&path).with_context(|| format!("{name} {path}"))
    };
    if config.get("grpc-tls-cert-file").is_empty() {
        return Ok(None);
    }
    let ask = config.get("grpc-tls-auth-clients");
    let asks = ask != "no" && !config.get("grpc-tls-ca-cert-file").is_empty();
    Ok(Some(Tls {
        certificate: read("grpc-tls-cert-file")?,
        key: read("grpc-tls-key-file")?,
        client_ca: if asks { Some(read("grpc-tls-ca-cert-file")?) } else { None },
        client_auth_optional: ask == "optional",
    }))
}
