//! What ROLE and INFO tell of replication.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use quiver_engine::Engine;
use quiver_engine::host::RoleReply;

use crate::clock::now_ms;
use crate::host::NodeHost;
use crate::replication::{Primary, Step};
use crate::stream::{Facts, Replica};

/// Names of the steps of a link in ROLE.
const STEPS: [&str; 5] = ["connect", "connecting", "handshake", "sync", "connected"];

impl NodeHost {
    pub(crate) fn refuses(&self, engine: &Engine) -> bool {
        self.part.following.borrow().is_some() && !engine.state.link_up.load(Relaxed)
    }

    pub(crate) fn role_reply(&self) -> RoleReply {
        let offset = self.stream.end();
        match self.part.following.borrow().clone() {
            Some(Primary { host, port, .. }) => {
                let step = STEPS[self.step()];
                RoleReply::Replica(host, port, step, if step == "connected" { offset as i64 } else { -1 })
            }
            None => {
                let online = self.stream.replicas().into_iter().filter(Replica::is_online);
                RoleReply::Primary(offset, online.map(|r| (r.ip, r.port, r.acknowledged)).collect())
            }
        }
    }

    pub(crate) fn replication_info(&self, engine: &Engine, out: &mut String) {
        let facts = self.stream.facts();
        let primary = self.part.following.borrow().clone();
        match &primary {
            None => out.push_str("role:master\r\n"),
            Some(primary) => self.link_info(engine, primary, &facts, out),
        }
        let replicas = self.stream.replicas();
        let _ = write!(out, "connected_slaves:{}\r\n", replicas.len());
        let config = &engine.config;
        if config.min_replicas_to_write() > 0 && config.min_replicas_max_lag_s() > 0 {
            let _ = write!(out, "min_slaves_good_slaves:{}\r\n", self.good_replicas(engine));
        }
        for (number, replica) in replicas.iter().enumerate() {
            let lag = if replica.is_online() { replica.lag_s(now_ms()) } else { 0 };
            let _ = write!(
                out,
                "slave{number}:ip={},port={},state={},offset={},lag={lag}\r\n",
                replica.ip, replica.port, replica.state, replica.acknowledged,
            );
        }
        let (old, old_end) = match &facts.history.before {
            Some((id, end)) => (id.clone(), *end as i64 + 1),
            None => ("0".repeat(40), -1),
        };
        let (size, first, held) = facts.backlog.unwrap_or((config.repl_backlog_size(), 0, 0));
        let _ = write!(
            out,
            "master_failover_state:{}\r\nmaster_replid:{}\r\nmaster_replid2:{old}\r\n\
             master_repl_offset:{}\r\nsecond_repl_offset:{old_end}\r\nrepl_backlog_active:{}\r\n\
             repl_backlog_size:{size}\r\nrepl_backlog_first_byte_offset:{}\r\nrepl_backlog_histlen:{held}\r\n",
            self.failover_state(),
            facts.history.id,
            facts.offset,
            u8::from(facts.backlog.is_some()),
            if facts.backlog.is_some() { first + 1 } else { 0 },
        );
    }

    fn link_info(&self, engine: &Engine, primary: &Primary, facts: &Facts, out: &mut String) {
        let link = &self.part.link;
        let up = engine.state.link_up.load(Relaxed);
        let syncing = self.step() == Step::Transfer as usize;
        let since_s = |ms: i64| if ms == 0 { -1 } else { (now_ms() - ms) / 1000 };
        let read = facts.offset + facts.unfinished + link.unapplied.load(Relaxed);
        let _ = write!(
            out,
            "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{}\r\n\
             master_last_io_seconds_ago:{}\r\nmaster_sync_in_progress:{}\r\nslave_read_repl_offset:{read}\r\n\
             slave_repl_offset:{}\r\n",
            primary.host,
            primary.port,
            if up { "up" } else { "down" },
            if up { since_s(link.last_io_ms.load(Relaxed)) } else { -1 },
            u8::from(syncing),
            facts.offset,
        );
        if syncing {
            let (read, total) = (link.transferred.load(Relaxed), link.transfer_total.load(Relaxed));
            let left = if total == 0 { -1 } else { total.saturating_sub(read) as i64 };
            let share = if total == 0 { 0.0 } else { read as f64 / total as f64 * 100.0 };
            let _ = write!(
                out,
                "master_sync_total_bytes:{total}\r\nmaster_sync_read_bytes:{read}\r\nmaster_sync_left_bytes:{left}\r\n\
                 master_sync_perc:{share:.2}\r\nmaster_sync_last_io_seconds_ago:{}\r\n",
                since_s(link.last_io_ms.load(Relaxed)),
            );
        }
        if !up {
            let down = since_s(link.down_since_ms.load(Relaxed));
            let _ = write!(out, "master_link_down_since_seconds:{down}\r\n");
        }
        let _ = write!(
            out,
            "replica_full_sync_buffer_size:0\r\nreplica_full_sync_buffer_peak:0\r\nslave_priority:{}\r\nslave_read_only:{}\r\nreplica_announced:{}\r\n",
            engine.config.get("replica-priority"),
            u8::from(engine.config.replica_read_only()),
            u8::from(engine.config.replica_announced()),
        );
    }
}
