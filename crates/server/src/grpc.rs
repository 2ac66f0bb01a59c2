//! The gRPC API on its own port, its commands run by the node like everybody else's.

use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use quiver_grpc::{Auth, ExecuteError, Executor};
use quiver_node::{Handle, Node};
use quiver_resp::OwnedArgv;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

/// Runs each request's commands in a session of its own.
#[derive(Clone)]
struct NodeExecutor(Handle);

impl Executor for NodeExecutor {
    async fn execute(&self, auth: &Auth, commands: Vec<OwnedArgv>) -> Result<Vec<u8>, ExecuteError> {
        let mut session = self.0.session("grpc").ok_or(ExecuteError::Overloaded)?;
        let mut out = Vec::new();
        if let Some(login) = auth.to_command() {
            session.execute(&login, &mut out);
            if out.first() == Some(&b'-') {
                return Err(ExecuteError::Refused(String::from_utf8_lossy(&out[1..]).trim_end().to_owned()));
            }
            out.clear();
        }
        // No await in here: a request whose deadline passes is dropped before or after its commands, never between.
        for command in &commands {
            session.execute(command, &mut out);
        }
        Ok(out)
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The gRPC API: nowhere at first, then where `bind` and `grpc-port` say.
pub(crate) struct Service {
    node: Node,
    /// Where it is served, and what ends that. `None` before [`Service::start`].
    open: Mutex<Option<Open>>,
}

#[derive(Default)]
struct Open {
    address: String,
    stop: Option<oneshot::Sender<()>>,
}

impl Service {
    pub(crate) fn new(node: &Node) -> Self {
        Self { node: node.clone(), open: Mutex::default() }
    }

    /// Serves from now on.
    ///
    /// # Errors
    /// The port could not be bound.
    pub(crate) fn start(&self) -> Result<()> {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open::default());
        self.listen()
    }

    /// Serves where the configuration says by now, and nowhere else.
    ///
    /// # Errors
    /// The port could not be bound; what was served before goes on.
    pub(crate) fn listen(&self) -> Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = open.as_mut() else { return Ok(()) };
        let address = self.address()?;
        if address != open.address {
            let stop = if address.is_empty() { None } else { Some(self.serve(&address)?) };
            // Dropping the old one's sender ends it.
            *open = Open { address, stop };
        }
        debug_assert_eq!(open.stop.is_none(), open.address.is_empty());
        Ok(())
    }

    /// Where to serve; empty for nowhere.
    fn address(&self) -> Result<String> {
        let config = &self.node.engine().config;
        let port: u16 = config.get("grpc-port").parse().context("grpc-port")?;
        if port == 0 {
            return Ok(String::new());
        }
        let first = config
            .get("bind")
            .split_ascii_whitespace()
            .next()
            .unwrap_or("127.0.0.1")
            .replace("::*", "::")
            .replace('*', "0.0.0.0");
        let mut host = first.trim_start_matches('-').to_owned();
        // Protected mode of the RESP port looks at each peer; here it closes the port to other machines.
        if config.protected_mode() && self.node.engine().users.default_user().rules().nopass && !is_loopback(&host) {
            warn!("protected mode: without a password gRPC listens on 127.0.0.1 only");
            "127.0.0.1".clone_into(&mut host);
        }
        Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    /// Serves on a thread of its own until the sender is dropped.
    fn serve(&self, address: &str) -> Result<oneshot::Sender<()>> {
        let listener = StdTcpListener::bind(address).with_context(|| format!("listening on {address} (grpc-port)"))?;
        listener.set_nonblocking(true)?;
        info!("gRPC on {address}");
        let executor = NodeExecutor(self.node.handle());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("quiver-grpc".to_owned()).spawn(move || {
            let served = runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                let ended = async { drop(stopped.await) };
                quiver_grpc::serve(listener, executor, ended).await.map_err(anyhow::Error::from)
            });
            if let Err(error) = served {
                error!("the gRPC service ended: {error:#}");
            }
        })?;
        Ok(stop)
    }
}
