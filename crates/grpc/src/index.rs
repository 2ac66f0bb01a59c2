//! IndexService: vector sets as indexes, and what `names` keeps beside them.
//!
//! What reads keys and then writes them watches them in between: where others were faster, nothing was written.

use std::pin::Pin;
use std::time::Duration;

use quiver_resp::{IntText, OwnedArgv, Value};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::check::{DIM_MAX, Violations};
use crate::executor::{Auth, Executor};
use crate::gateway::{Failure, Gateway, OpenSession};
use crate::names::{Entry, Place, Plan, REGISTRY};
use crate::pb::index_service_server::IndexService;
use crate::pb::{
    CreateIndexRequest, CreateIndexResponse, DropIndexRequest, DropIndexResponse, GetIndexRequest, GetIndexResponse,
    Index, IndexOptions, ListIndexesRequest, ListIndexesResponse, SetAliasRequest, SetAliasResponse,
    UpdateIndexRequest, UpdateIndexResponse, WatchBuildRequest, WatchBuildResponse,
};
use crate::status::{self, Site};

mod list;

/// How often work is begun again that others made void.
const TRIES: usize = 32;
/// How often a growing index is looked at, in ms: least, most, and when the request does not say.
const INTERVAL_MS: (u32, u32, u32) = (10, 60_000, 1_000);

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Indexes<E> {
    gateway: Gateway<E>,
}

/// What is under a key.
enum Under {
    Nothing,
    Set,
    Entry(Entry),
    Other,
}

impl<E: Executor> Indexes<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    async fn create_index(&self, auth: &Auth, request: &CreateIndexRequest) -> Result<(), Status> {
        let key = request.collection.as_str();
        let mut violations = Violations::default();
        violations.collection("", key);
        violations.index("options", request.options.as_ref());
        violations.at_most("dim", request.dim.into(), DIM_MAX.into());
        violations.into_result()?;
        let plan = Entry::Plan(Plan::new(request.options.unwrap_or_default(), request.dim));
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            if !matches!(under(&mut session, key).await?, Under::Nothing) {
                let message = format!("the key {key} exists");
                let details = ErrorDetails::with_resource_info("collection", key, "", message.as_str());
                return Err(Status::with_error_details(tonic::Code::AlreadyExists, message, details));
            }
            if write(&mut session, key, entry_writes(key, &plan)).await? {
                return Ok(());
            }
        }
        Err(status::contended("others change the key at the same time; nothing was changed"))
    }

    pub(crate) async fn index(&self, auth: &Auth, collection: &str) -> Result<Index, Status> {
        let mut violations = Violations::default();
        violations.collection("", collection);
        violations.into_result()?;
        let index = self.gateway.at(auth, collection, |place| async move { self.index_at(auth, &place).await });
        let mut index = index.await?;
        if index.collection != collection {
            collection.clone_into(&mut index.alias);
        }
        Ok(index)
    }

    async fn index_at(&self, auth: &Auth, place: &Place) -> Result<Index, Status> {
        let key = place.collection.as_str();
        let site = || Site { collection: key, ..Site::default() };
        let ends_at = self.gateway.run(auth, vec![OwnedArgv::from_slices(&["PEXPIRETIME", key])]).await;
        let ends_at = ends_at.map_err(|failure| failure.into_status(|_| site()))?;
        let expires_at_ms = ends_at.first().and_then(Value::as_i64).filter(|at_ms| *at_ms >= 0);
        let index = Index { collection: key.to_owned(), expires_at_ms, ..Index::default() };
        if let Some(plan) = place.plan {
            return Ok(Index { options: Some(plan.options()), dim: plan.dim, ..index });
        }
        let info = self.gateway.set_info(auth, key).await?.ok_or_else(|| status::not_found(&site()))?;
        Ok(Index {
            options: Some(info.options()),
            dim: info.given_dim(),
            elements: info.elements,
            max_level: info.max_level,
            elements_with_attributes: info.with_attributes,
            ..index
        })
    }

    async fn update_index(&self, auth: &Auth, request: &UpdateIndexRequest) -> Result<Index, Status> {
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        violations.index("options", request.options.as_ref());
        if request.expires_at_ms.is_some_and(|at_ms| at_ms < 0) {
            violations.add("expires_at_ms", "must not be negative");
        }
        violations.into_result()?;
        let index = self.index(auth, &request.collection).await?;
        let key = index.collection.as_str();
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            let mut commands = Vec::new();
            match (under(&mut session, key).await?, request.options) {
                (Under::Nothing, _) => {
                    return Err(status::not_found(&Site { collection: key, ..Site::default() }));
                }
                (Under::Entry(Entry::Plan(plan)), Some(options)) => {
                    let text = Entry::Plan(Plan::new(options, plan.dim)).to_text();
                    commands.push(OwnedArgv::from_slices(&["SET", key, &text, "KEEPTTL"]));
                }
                (Under::Set, Some(options)) => self.refuse_change(auth, key, options).await?,
                _ => {}
            }
            commands.extend(request.expires_at_ms.map(|at_ms| match at_ms {
                0 => OwnedArgv::from_slices(&["PERSIST", key]),
                at_ms => OwnedArgv::from_slices(&[b"PEXPIREAT", key.as_bytes(), IntText::new(at_ms).as_bytes()]),
            }));
            if commands.is_empty() || write(&mut session, key, commands).await? {
                return self.index(auth, &request.collection).await;
            }
        }
        Err(status::contended("others change the index all the time; nothing was changed"))
    }

    /// Options of an index with elements stand: an update may repeat them.
    async fn refuse_change(&self, auth: &Auth, key: &str, options: IndexOptions) -> Result<(), Status> {
        let Some(info) = self.gateway.set_info(auth, key).await? else { return Ok(()) };
        if options.ef_construction == 0 && info.complete(options) == info.options() {
            return Ok(());
        }
        let message = "the options of an index are fixed by its first element (ef_construction is said with each \
                       Upsert): write the elements to another index and move an alias to it";
        Err(Status::failed_precondition(message))
    }

    async fn drop_index(&self, auth: &Auth, key: &str) -> Result<(), Status> {
        let mut violations = Violations::default();
        violations.collection("", key);
        violations.into_result()?;
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            let mut commands = vec![OwnedArgv::from_slices(&["UNLINK", key])];
            match under(&mut session, key).await? {
                Under::Nothing => return Err(status::not_found(&Site { collection: key, ..Site::default() })),
                Under::Set => {}
                Under::Entry(_) => commands.push(OwnedArgv::from_slices(&["SREM", REGISTRY, key])),
                Under::Other => return Err(other_type(key)),
            }
            if write(&mut session, key, commands).await? {
                return Ok(());
            }
        }
        Err(status::contended("others change the index all the time; nothing was changed"))
    }

    /// What the alias named before.
    async fn alias(&self, auth: &Auth, alias: &str, collection: &str) -> Result<String, Status> {
        let mut violations = Violations::default();
        violations.not_empty("alias", alias.as_bytes());
        violations.collection("", collection);
        if alias == collection {
            violations.add("alias", "must differ from the collection");
        }
        violations.into_result()?;
        let mut session = self.gateway.session(auth).await?;
        for _ in 0..TRIES {
            match under(&mut session, collection).await? {
                Under::Set | Under::Entry(Entry::Plan(_)) => {}
                Under::Nothing => return Err(status::not_found(&Site { collection, ..Site::default() })),
                Under::Entry(Entry::Alias(_)) => {
                    return Err(Status::failed_precondition(format!("{collection} is an alias itself")));
                }
                Under::Other => return Err(other_type(collection)),
            }
            let previous = match under(&mut session, alias).await? {
                Under::Nothing => String::new(),
                Under::Entry(Entry::Alias(previous)) => previous,
                _ => return Err(other_type(alias)),
            };
            if write(&mut session, alias, entry_writes(alias, &Entry::Alias(collection.to_owned()))).await? {
                return Ok(previous);
            }
        }
        Err(status::contended("others change the alias all the time; nothing was changed"))
    }

    async fn elements(&self, auth: &Auth, collection: &str) -> Result<u64, Status> {
        let elements = self.gateway.at(auth, collection, |place| async move {
            if place.plan.is_some() {
                return Ok(0);
            }
            let key = place.collection.as_str();
            let replies = self.gateway.run(auth, vec![OwnedArgv::from_slices(&["VCARD", key])]).await;
            let site = |_| Site { collection: key, ..Site::default() };
            let replies = replies.map_err(|failure| failure.into_status(site))?;
            Ok(replies.first().and_then(Value::as_i64).and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
        });
        elements.await
    }

    async fn watch(
        &self,
        auth: &Auth,
        request: &WatchBuildRequest,
        out: &mpsc::Sender<Result<WatchBuildResponse, Status>>,
    ) -> Result<(), Status> {
        let interval_ms = if request.interval_ms == 0 { INTERVAL_MS.2 } else { request.interval_ms };
        let mut told = None;
        loop {
            let elements = self.elements(auth, &request.collection).await?;
            let ready = elements >= request.until_elements;
            if told != Some(elements) || ready {
                told = Some(elements);
                if out.send(Ok(WatchBuildResponse { elements, ready })).await.is_err() || ready {
                    return Ok(());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(interval_ms.into())) => {}
                () = out.closed() => return Ok(()),
            }
        }
    }
}

#[tonic::async_trait]
impl<E: Executor> IndexService for Indexes<E> {
    async fn create(&self, request: Request<CreateIndexRequest>) -> Result<Response<CreateIndexResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.create_index(&auth, request.get_ref()).await?;
        Ok(Response::new(CreateIndexResponse { token: self.gateway.token() }))
    }

    async fn get(&self, request: Request<GetIndexRequest>) -> Result<Response<GetIndexResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let index = self.index(&auth, &request.get_ref().collection).await?;
        Ok(Response::new(GetIndexResponse { index: Some(index) }))
    }

    async fn list(&self, request: Request<ListIndexesRequest>) -> Result<Response<ListIndexesResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.list_page(&auth, request.get_ref()).await.map(Response::new)
    }

    async fn update(&self, request: Request<UpdateIndexRequest>) -> Result<Response<UpdateIndexResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let index = self.update_index(&auth, request.get_ref()).await?;
        Ok(Response::new(UpdateIndexResponse { index: Some(index), token: self.gateway.token() }))
    }

    async fn drop(&self, request: Request<DropIndexRequest>) -> Result<Response<DropIndexResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        self.drop_index(&auth, &request.get_ref().collection).await?;
        Ok(Response::new(DropIndexResponse { token: self.gateway.token() }))
    }

    async fn set_alias(&self, request: Request<SetAliasRequest>) -> Result<Response<SetAliasResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let SetAliasRequest { alias, collection } = request.get_ref();
        let previous = self.alias(&auth, alias, collection).await?;
        Ok(Response::new(SetAliasResponse { previous, token: self.gateway.token() }))
    }

    type WatchBuildStream = Pin<Box<dyn Stream<Item = Result<WatchBuildResponse, Status>> + Send>>;

    async fn watch_build(
        &self,
        request: Request<WatchBuildRequest>,
    ) -> Result<Response<Self::WatchBuildStream>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let request = request.into_inner();
        let mut violations = Violations::default();
        violations.collection("", &request.collection);
        let (least, most, _) = INTERVAL_MS;
        if request.interval_ms != 0 && !(least..=most).contains(&request.interval_ms) {
            violations.add("interval_ms", format!("must be {least} to {most}, or 0"));
        }
        violations.into_result()?;
        let (out, answers) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.watch(&auth, &request, &out).await {
                // Whoever has left needs no reason.
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// Watches a key and tells what is under it.
async fn under<E: Executor>(session: &mut OpenSession<E>, key: &str) -> Result<Under, Status> {
    let status = |failure: Failure| failure.into_status(|_| Site { collection: key, ..Site::default() });
    let commands = ["WATCH", "TYPE"].map(|name| OwnedArgv::from_slices(&[name, key]));
    let replies = session.run(commands.into()).await.map_err(status)?;
    Ok(match replies.get(1).and_then(Value::as_str) {
        Some("none") => Under::Nothing,
        Some("vectorset") => Under::Set,
        Some("string") => {
            let replies = session.run(vec![OwnedArgv::from_slices(&["GET", key])]).await.map_err(status)?;
            let entry = replies.first().and_then(|reply| Entry::parse(reply.as_bytes()?));
            entry.map_or(Under::Other, Under::Entry)
        }
        _ => Under::Other,
    })
}

/// Runs a transaction; whether it was run, that is whether nobody has changed what is watched.
async fn write<E: Executor>(session: &mut OpenSession<E>, key: &str, commands: Vec<OwnedArgv>) -> Result<bool, Status> {
    let done = session.run_atomic(commands).await;
    let done = done.map_err(|failure| failure.into_status(|_| Site { collection: key, ..Site::default() }))?;
    Ok(done.is_some())
}

fn entry_writes(key: &str, entry: &Entry) -> Vec<OwnedArgv> {
    vec![OwnedArgv::from_slices(&["SET", key, &entry.to_text()]), OwnedArgv::from_slices(&["SADD", REGISTRY, key])]
}

fn other_type(key: &str) -> Status {
    let text = b"WRONGTYPE Operation against a key holding the wrong kind of value";
    status::of_error_reply(text, &Site { collection: key, ..Site::default() })
}
