//! The gRPC API on its own port, its commands run by the node like everybody else's.

use std::net::IpAddr;

use anyhow::{Context, Result};
use quiver_grpc::{Auth, ExecuteError, Executor};
use quiver_node::{Handle, Node};
use quiver_resp::OwnedArgv;
use tokio::net::TcpListener;
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
        if !session.settled().await {
            let reason = "the append only file could not be written; what was done may be lost";
            return Err(ExecuteError::Unavailable(reason.to_owned()));
        }
        Ok(out)
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Serves gRPC on a thread of its own when `grpc-port` is set.
///
/// # Errors
/// The port could not be bound.
pub(crate) async fn start(node: &Node) -> Result<()> {
    let config = &node.engine().config;
    let port: u16 = config.get("grpc-port").parse().context("grpc-port")?;
    if port == 0 {
        return Ok(());
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
    if config.protected_mode() && node.engine().users.default_user().rules().nopass && !is_loopback(&host) {
        warn!("protected mode: without a password gRPC listens on 127.0.0.1 only");
        "127.0.0.1".clone_into(&mut host);
    }
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let listener = TcpListener::bind(&address).await.with_context(|| format!("listening on {address} (grpc-port)"))?;
    let listener = listener.into_std()?;
    info!("gRPC on {address}");
    let executor = NodeExecutor(node.handle());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("quiver-grpc".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            quiver_grpc::serve(listener, executor, std::future::pending()).await.map_err(anyhow::Error::from)
        });
        if let Err(error) = served {
            error!("the gRPC service ended: {error:#}");
        }
    })?;
    Ok(())
}
