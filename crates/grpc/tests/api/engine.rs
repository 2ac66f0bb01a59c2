//! A server over the engine itself, for services whose commands the model does not know.

use std::sync::{Arc, Mutex};

use quiver_engine::{Engine, Session, Worker};
use quiver_grpc::{Auth, ExecuteError, Executor, Pace, ServeLimits, TokenError, serve_with};
use quiver_resp::{OwnedArgv, Protocol};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

/// The time all commands see, ms since 1970.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// An engine and its only thread.
#[derive(Clone)]
pub(crate) struct OverEngine(Arc<Mutex<(Engine, Worker)>>);

impl OverEngine {
    /// Runs a command from a line of words; its reply as bytes.
    pub(crate) fn run(&self, line: &str) -> String {
        let argv = OwnedArgv::from_slices(&line.split(' ').collect::<Vec<_>>());
        String::from_utf8_lossy(&self.run_all(&[argv])).into_owned()
    }

    fn run_all(&self, commands: &[OwnedArgv]) -> Vec<u8> {
        let (engine, worker) = &mut *self.0.lock().unwrap();
        let client = engine.connect("test:1".into(), "test:2".into(), NOW_MS).unwrap();
        let mut session = Session::new(client, true);
        session.protocol = Protocol::Resp3;
        let mut out = Vec::new();
        for argv in commands {
            engine.run_one(worker, &mut session, argv.as_argv(), &mut out, NOW_MS);
        }
        out
    }
}

impl Executor for OverEngine {
    type Session = Self;

    async fn open(&self, _: &Auth) -> Result<Self, ExecuteError> {
        Ok(self.clone())
    }

    fn token(&self) -> String {
        String::new()
    }

    async fn reached(&self, _: &str) -> Result<(), TokenError> {
        Err(TokenError::Foreign)
    }
}

impl quiver_grpc::Session for OverEngine {
    async fn run(&mut self, commands: Vec<OwnedArgv>, _: Pace) -> Result<Vec<u8>, ExecuteError> {
        Ok(self.run_all(&commands))
    }
}

/// A server that lives as long as the test's runtime, and a channel to it.
pub(crate) async fn serve_engine() -> (OverEngine, Channel) {
    let engine = Engine::standalone();
    let worker = engine.worker(1, || 0);
    let executor = OverEngine(Arc::new(Mutex::new((engine, worker))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = executor.clone();
    tokio::spawn(serve_with(listener, served, ServeLimits::default(), std::future::pending()));
    (executor, Endpoint::from_shared(address).unwrap().connect().await.unwrap())
}
