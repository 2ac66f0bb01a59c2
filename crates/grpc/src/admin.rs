//! AdminService: INFO, BGSAVE and replication, as messages.

use std::collections::HashMap;
use std::time::Duration;

use quiver_resp::{OwnedArgv, Value};
use tonic::{Request, Response, Status};

use crate::check::Violations;
use crate::executor::{Auth, Executor};
use crate::gateway::Gateway;
use crate::pb::admin_service_server::AdminService;
use crate::pb::{
    InfoRequest, InfoResponse, InfoSection, PrimaryLink, Replica, ReplicationStatusRequest, ReplicationStatusResponse,
    Role, SnapshotRequest, SnapshotResponse,
};
use crate::status::{self, Site};

/// Most sections asked for at once.
const SECTIONS_MAX: u64 = 64;
/// How often a snapshot that is being written is looked at.
const SNAPSHOT_POLL: Duration = Duration::from_millis(50);

/// The service over an executor.
#[derive(Clone, Debug)]
pub(crate) struct Admin<E> {
    gateway: Gateway<E>,
}

impl<E: Executor> Admin<E> {
    pub(crate) fn new(gateway: Gateway<E>) -> Self {
        Self { gateway }
    }

    async fn command<W: AsRef<[u8]>>(&self, auth: &Auth, words: &[W]) -> Result<Value, Status> {
        let replies = self.gateway.run_slow(auth, vec![OwnedArgv::from_slices(words)]).await;
        let mut replies = replies.map_err(|failure| failure.into_status(|_| Site::default()))?;
        replies.pop().ok_or_else(|| status::unexpected_reply("of no command"))
    }

    async fn info_text<W: AsRef<[u8]>>(&self, auth: &Auth, words: &[W]) -> Result<Vec<InfoSection>, Status> {
        let reply = self.command(auth, words).await?;
        reply.as_str().map(sections).ok_or_else(|| status::unexpected_reply("of INFO"))
    }

    /// The fields of one section.
    async fn fields(&self, auth: &Auth, section: &str) -> Result<HashMap<String, String>, Status> {
        let sections = self.info_text(auth, &["INFO", section]).await?;
        Ok(sections.into_iter().next().unwrap_or_default().fields)
    }

    async fn wait_for_snapshot(&self, auth: &Auth, saves_before: &str) -> Result<(), Status> {
        loop {
            let fields = self.fields(auth, "persistence").await?;
            let field = |name| fields.get(name).map_or("", String::as_str);
            if field("rdb_bgsave_in_progress") == "0" && field("rdb_saves") != saves_before {
                return Ok(());
            }
            if field("rdb_bgsave_in_progress") == "0" && field("rdb_last_bgsave_status") == "err" {
                return Err(Status::unknown("the snapshot could not be written; the server's log says why"));
            }
            tokio::time::sleep(SNAPSHOT_POLL).await;
        }
    }
}

#[tonic::async_trait]
impl<E: Executor> AdminService for Admin<E> {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let names = request.into_inner().sections;
        let mut violations = Violations::default();
        violations.at_most("sections", names.len() as u64, SECTIONS_MAX);
        violations.into_result()?;
        let words: Vec<&str> = std::iter::once("INFO").chain(names.iter().map(String::as_str)).collect();
        Ok(Response::new(InfoResponse { sections: self.info_text(&auth, &words).await? }))
    }

    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Result<Response<SnapshotResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        if request.get_ref().wait {
            let before = self.fields(&auth, "persistence").await?;
            self.command(&auth, &["BGSAVE"]).await?;
            self.wait_for_snapshot(&auth, before.get("rdb_saves").map_or("", String::as_str)).await?;
        } else {
            self.command(&auth, &["BGSAVE"]).await?;
        }
        let saved_at_s = self.command(&auth, &["LASTSAVE"]).await?.as_i64();
        let saved_at_s = saved_at_s.ok_or_else(|| status::unexpected_reply("of LASTSAVE"))?;
        Ok(Response::new(SnapshotResponse { saved_at_s }))
    }

    async fn replication_status(
        &self,
        request: Request<ReplicationStatusRequest>,
    ) -> Result<Response<ReplicationStatusResponse>, Status> {
        let auth = Auth::from_metadata(request.metadata())?;
        let fields = self.fields(&auth, "replication").await?;
        let response = replication(&fields).ok_or_else(|| status::unexpected_reply("of INFO"))?;
        Ok(Response::new(ReplicationStatusResponse { token: self.gateway.token(), ..response }))
    }
}

/// The sections of INFO's text: `# Title` lines, each followed by `name:value` lines.
fn sections(text: &str) -> Vec<InfoSection> {
    let mut sections = Vec::<InfoSection>::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(InfoSection { name: title.to_owned(), fields: HashMap::new() });
        } else if let (Some((name, value)), Some(section)) = (line.split_once(':'), sections.last_mut()) {
            section.fields.insert(name.to_owned(), value.to_owned());
        }
    }
    sections
}

fn replication(fields: &HashMap<String, String>) -> Option<ReplicationStatusResponse> {
    let text = |name: &str| fields.get(name).map(String::as_str);
    let number = |name: &str| text(name)?.parse().ok();
    let role = if text("role")? == "master" { Role::Primary } else { Role::Replica };
    let primary = (role == Role::Replica).then(|| PrimaryLink {
        host: text("master_host").unwrap_or_default().to_owned(),
        port: text("master_port").and_then(|port| port.parse().ok()).unwrap_or_default(),
        up: text("master_link_status") == Some("up"),
        syncing: text("master_sync_in_progress") == Some("1"),
    });
    let replicas = (0..).map_while(|at| text(&format!("slave{at}"))).map(replica).collect();
    Some(ReplicationStatusResponse {
        role: role.into(),
        replid: text("master_replid")?.to_owned(),
        offset: number("master_repl_offset")?,
        token: String::new(),
        replicas,
        primary,
    })
}

/// `ip=...,port=...,state=...,offset=...,lag=...`.
fn replica(line: &str) -> Replica {
    let mut replica = Replica::default();
    for (name, value) in line.split(',').filter_map(|pair| pair.split_once('=')) {
        match name {
            "ip" => value.clone_into(&mut replica.host),
            "port" => replica.port = value.parse().unwrap_or_default(),
            "state" => value.clone_into(&mut replica.state),
            "offset" => replica.offset = value.parse().unwrap_or_default(),
            "lag" => replica.lag_s = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    replica
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_info_becomes_sections() {
        let found = sections("# Server\r\nredis_version:8.0.2\r\nexecutable:/a:b\r\n\r\n# Keyspace\r\ndb0:keys=1\r\n");
        assert_eq!(found.iter().map(|section| section.name.as_str()).collect::<Vec<_>>(), ["Server", "Keyspace"]);
        assert_eq!(found[0].fields["executable"], "/a:b");
        assert_eq!(found[1].fields["db0"], "keys=1");
    }

    #[test]
    fn replication_is_told_for_both_sides() {
        let of = |text: &str| replication(&sections(&format!("# Replication\r\n{text}"))[0].fields);
        let primary = of("role:master\r\nconnected_slaves:1\r\n\
            slave0:ip=10.0.0.2,port=6380,state=online,offset=70,lag=1\r\nmaster_replid:abc\r\nmaster_repl_offset:84\r\n");
        let primary = primary.unwrap();
        assert_eq!((primary.role(), primary.offset, primary.primary), (Role::Primary, 84, None));
        let expected = Replica { host: "10.0.0.2".into(), port: 6380, state: "online".into(), offset: 70, lag_s: 1 };
        assert_eq!(primary.replicas, [expected]);
        let replica = of("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n\
            master_sync_in_progress:0\r\nmaster_replid:abc\r\nmaster_repl_offset:84\r\n");
        let expected = PrimaryLink { host: "10.0.0.1".into(), port: 6379, up: true, syncing: false };
        assert_eq!(replica.unwrap().primary, Some(expected));
        assert!(of("role:master\r\n").is_none());
    }
}
