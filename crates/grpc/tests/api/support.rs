//! An executor over a small in-memory model of vector sets, and a server over that executor on a loopback port.
//!
//! The model compares with every element and answers with the texts and shapes of the real commands, as far as the
//! services use them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quiver_grpc::client::{SearchServiceClient, VectorServiceClient};
use quiver_grpc::pb::Element;
use quiver_grpc::{
    Auth, ExecuteError, Executor, Pace, ServeError, ServeLimits, Session, TokenError, f32_vector, serve_with,
};
use quiver_resp::{Encoder, OwnedArgv, Protocol};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// The model, shared by the server and the test.
#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    sets: BTreeMap<Vec<u8>, Set>,
    /// Keys that hold something other than a vector set.
    pub(crate) strings: Vec<Vec<u8>>,
    /// The default user's password.
    pub(crate) password: Option<Vec<u8>>,
    /// Answered to every command in place of running it.
    pub(crate) fault: Option<&'static str>,
    /// How long every batch takes.
    pub(crate) delay: Duration,
    /// Names of the commands received.
    pub(crate) received: Vec<String>,
}

#[derive(Clone, Default)]
struct Set {
    dim: usize,
    quantization: String,
    elements: BTreeMap<Vec<u8>, Stored>,
}

/// Vector and attributes.
type Stored = (Vec<f32>, Option<Vec<u8>>);

impl Model {
    /// Changes or reads the model.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// A session of the model.
pub(crate) struct ModelSession(Model);

impl Executor for Model {
    type Session = ModelSession;

    async fn open(&self, auth: &Auth) -> Result<ModelSession, ExecuteError> {
        self.with(|state| {
            match (&state.password, auth) {
                (Some(password), Auth::Password(given)) if given != password => {
                    return Err(ExecuteError::Refused("WRONGPASS invalid username-password pair".into()));
                }
                (Some(_), Auth::Anonymous) => state.fault = Some("NOAUTH Authentication required."),
                (Some(_), _) => state.fault = None,
                _ => {}
            }
            Ok(())
        })?;
        Ok(ModelSession(self.clone()))
    }

    fn token(&self) -> String {
        "model:0".to_owned()
    }

    async fn reached(&self, token: &str) -> Result<(), TokenError> {
        match token {
            "model:0" => Ok(()),
            "model:never" => std::future::pending().await,
            _ => Err(TokenError::Foreign),
        }
    }
}

impl Session for ModelSession {
    async fn run(&mut self, commands: Vec<OwnedArgv>, _pace: Pace) -> Result<Vec<u8>, ExecuteError> {
        let delay = self.0.with(|state| state.delay);
        tokio::time::sleep(delay).await;
        Ok(self.0.with(|state| state.run_all(&commands)))
    }
}

impl State {
    fn run_all(&mut self, commands: &[OwnedArgv]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut queue: Option<Vec<&OwnedArgv>> = None;
        for command in commands {
            let name = String::from_utf8(command.as_argv().at(0).to_vec()).unwrap();
            self.received.push(name.clone());
            let mut encoder = Encoder::new(&mut out, Protocol::Resp3);
            match (name.as_str(), &mut queue) {
                ("MULTI", None) => {
                    queue = Some(Vec::new());
                    encoder.ok();
                }
                ("EXEC", Some(_)) if self.fault.is_some() => {
                    encoder.error("EXECABORT Transaction discarded because of previous errors.");
                }
                ("EXEC", Some(queued)) => {
                    encoder.array(queued.len());
                    for command in queue.take().unwrap() {
                        self.run(command, &mut out);
                    }
                }
                (_, Some(queue)) => {
                    if let Some(fault) = self.fault {
                        encoder.error(fault);
                        continue;
                    }
                    queue.push(command);
                    encoder.simple("QUEUED");
                }
                _ => self.run(command, &mut out),
            }
        }
        out
    }

    fn run(&mut self, command: &OwnedArgv, out: &mut Vec<u8>) {
        let argv: Vec<&[u8]> = command.as_argv().iter().collect();
        let start = out.len();
        let outcome = match self.fault {
            Some(fault) => Err(fault.to_owned()),
            None if argv.get(1).is_some_and(|key| self.strings.iter().any(|string| string == key)) => {
                Err("WRONGTYPE Operation against a key holding the wrong kind of value".into())
            }
            None => self.dispatch(&argv, &mut Encoder::new(out, Protocol::Resp3)),
        };
        if let Err(text) = outcome {
            out.truncate(start);
            Encoder::new(out, Protocol::Resp3).error(&text);
        }
    }

    fn dispatch(&mut self, argv: &[&[u8]], out: &mut Encoder<'_>) -> Result<(), String> {
        let key = argv.get(1).map(|key| key.to_vec()).unwrap_or_default();
        let set = self.sets.get(&key).cloned().unwrap_or_default();
        let element = argv.get(2).and_then(|id| set.elements.get(*id));
        match argv[0] {
            b"PING" => out.simple("PONG"),
            b"VADD" => out.boolean(self.vadd(key, argv)?),
            b"VMADD" => out.integer(self.vmadd(&key, argv)?),
            b"VSIM" => vsim(&set, argv, out)?,
            b"VCARD" => out.integer(set.elements.len() as i64),
            b"VISMEMBER" => out.boolean(element.is_some()),
            b"VREM" => {
                out.boolean(element.is_some());
                self.sets.entry(key).or_default().elements.remove(argv[2]);
            }
            b"VGETATTR" => match element.and_then(|(_, attributes)| attributes.as_ref()) {
                Some(attributes) => out.bulk(attributes),
                None => out.null(),
            },
            b"VEMB" => match element {
                Some((vector, _)) => {
                    out.array(vector.len());
                    vector.iter().for_each(|component| out.double(f64::from(*component)));
                }
                None => out.null(),
            },
            b"VINFO" => {
                out.map(2);
                out.bulk(b"quant-type");
                out.bulk(set.quantization.as_bytes());
                out.bulk(b"hnsw-m");
                out.integer(16);
            }
            other => return Err(format!("ERR unknown command '{}', with args beginning with: ", other.escape_ascii())),
        }
        Ok(())
    }

    /// A VADD for each, all or none.
    fn vmadd(&mut self, key: &[u8], argv: &[&[u8]]) -> Result<i64, String> {
        let before = self.sets.clone();
        let count: usize = String::from_utf8_lossy(argv[2]).parse().unwrap();
        let (ids, mut options) = argv[5..].split_at(count);
        let mut attributes: &[&[u8]] = &[];
        if let Some(at) = options.iter().position(|word| *word == b"SETATTR") {
            (options, attributes) = (&options[..at], &options[at + 1..]);
        }
        let mut new = 0;
        for (at, (id, blob)) in ids.iter().zip(argv[4].chunks(argv[4].len() / count)).enumerate() {
            let mut words = [&[b"VADD".as_slice(), key, b"FP32", blob, id][..], options].concat();
            if let Some(attributes) = attributes.get(at) {
                words.extend([b"SETATTR".as_slice(), attributes]);
            }
            match self.vadd(key.to_vec(), &words) {
                Ok(is_new) => new += i64::from(is_new),
                Err(refused) => {
                    self.sets = before;
                    return Err(refused);
                }
            }
        }
        Ok(new)
    }

    fn vadd(&mut self, key: Vec<u8>, argv: &[&[u8]]) -> Result<bool, String> {
        let (vector, id) = (floats(argv[3]), argv[4].to_vec());
        let has = |option: &[u8]| argv[5..].contains(&option);
        let quantization = if has(b"NOQUANT") {
            "f32"
        } else if has(b"BIN") {
            "bin"
        } else {
            "int8"
        };
        let set = self.sets.entry(key).or_default();
        if set.elements.is_empty() {
            (set.dim, set.quantization) = (vector.len(), quantization.into());
        }
        if set.quantization != quantization {
            return Err("ERR asked quantization mismatch with existing vector set".into());
        }
        if set.dim != vector.len() {
            return Err(format!("ERR Vector dimension mismatch - got {} but set has {}", vector.len(), set.dim));
        }
        let kept = set.elements.get(&id).and_then(|(_, attributes)| attributes.clone());
        let given = option(argv, b"SETATTR").map(<[u8]>::to_vec);
        let attributes = given.or(kept).filter(|attributes| !attributes.is_empty());
        Ok(set.elements.insert(id, (vector, attributes)).is_none())
    }
}

fn vsim(set: &Set, argv: &[&[u8]], out: &mut Encoder<'_>) -> Result<(), String> {
    if option(argv, b"FILTER").is_some_and(|filter| filter.ends_with(b"==")) {
        return Err("ERR syntax error in FILTER expression near: ==".into());
    }
    if set.elements.is_empty() {
        out.array(0);
        return Ok(());
    }
    let query = match argv[2] {
        b"ELE" => set.elements.get(argv[3]).ok_or("ERR element not found in set")?.0.clone(),
        _ => floats(argv[3]),
    };
    if query.len() != set.dim {
        return Err(format!("ERR Vector dimension mismatch - got {} but set has {}", query.len(), set.dim));
    }
    let mut found: Vec<_> =
        set.elements.iter().map(|(id, (vector, attributes))| (similarity(&query, vector), id, attributes)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let count = String::from_utf8_lossy(option(argv, b"COUNT").unwrap()).parse().unwrap();
    found.truncate(count);
    out.map(found.len());
    for (score, id, attributes) in found {
        out.bulk(id);
        if argv.contains(&b"WITHATTRIBS".as_slice()) {
            out.array(2);
            out.double(score);
            match attributes {
                Some(attributes) => out.bulk(attributes),
                None => out.null(),
            }
        } else {
            out.double(score);
        }
    }
    Ok(())
}

fn option<'a>(argv: &[&'a [u8]], name: &[u8]) -> Option<&'a [u8]> {
    let at = argv.iter().position(|word| *word == name)?;
    argv.get(at + 1).copied()
}

fn floats(blob: &[u8]) -> Vec<f32> {
    blob.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn similarity(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    (1.0 + dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)) / 2.0
}

/// A running server, its model and a channel to it.
pub(crate) struct Server {
    pub(crate) model: Model,
    pub(crate) address: String,
    pub(crate) channel: Channel,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Model::default(), ServeLimits::default()).await
    }

    pub(crate) async fn start_with(model: Model, limits: ServeLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let executor = model.clone();
        let ended = tokio::spawn(async move {
            let shutdown = async { stopped.await.unwrap_or_default() };
            serve_with(listener, executor, limits, shutdown).await
        });
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        Self { model, address, channel, stop, ended }
    }

    pub(crate) fn vectors(&self) -> VectorServiceClient<Channel> {
        VectorServiceClient::new(self.channel.clone())
    }

    pub(crate) fn searches(&self) -> SearchServiceClient<Channel> {
        SearchServiceClient::new(self.channel.clone())
    }

    /// Sends the shutdown signal and waits for the end.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap()
    }
}

/// An element for an upsert.
pub(crate) fn element(id: &str, vector: &[f32], attributes: Option<&str>) -> Element {
    Element {
        id: id.to_owned().into(),
        vector: Some(f32_vector(vector)),
        attributes: attributes.map(Into::into),
        expires_at_ms: None,
    }
}
