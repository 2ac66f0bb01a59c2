//! What a handler works with.

use std::sync::atomic::Ordering::Relaxed;

use quiver_resp::{Argv, Encoder};

use crate::command::CommandResult;
use crate::effects::Effects;
use crate::engine::Engine;
use crate::error::CommandError;
use crate::keyspace::{Key, Keyspace};
use crate::mailbox::Sender;
use crate::meter::Meter;
use crate::registry::Entry;
use crate::rng::Rng;
use crate::session::{Role, Session};

/// One command's surroundings: the locked keyspace, who asked, where the reply goes.
pub struct Ctx<'a> {
    /// The locked keyspace, its clock and effects.
    pub ks: Keyspace<'a>,
    /// Who asked.
    pub session: &'a mut Session,
    /// Where the reply goes, in the client's protocol.
    pub reply: Encoder<'a>,
    /// Everything shared: configuration, statistics, the host.
    pub engine: &'a Engine,
    /// Randomness.
    pub rng: &'a mut Rng,
    /// The running command.
    pub entry: &'static Entry,
    /// Hash and shard of the first argument when the planner located it.
    pub(crate) located: Option<(u64, usize)>,
    /// What the commands of this hold cost.
    pub(crate) meter: Meter<'a>,
}

impl Ctx<'_> {
    /// The key behind the command's name, located once by the planner.
    #[inline]
    pub fn first_key<'k>(&self, argv: Argv<'k>) -> Key<'k> {
        match self.located {
            Some((hash, shard)) => Key { name: argv.at(1), hash, shard },
            None => self.ks.key(argv.at(1)),
        }
    }

    /// Locates any key.
    pub fn key<'k>(&self, name: &'k [u8]) -> Key<'k> {
        self.ks.key(name)
    }

    /// The running unit of effects, for commands that replay as something else.
    pub fn effects(&mut self) -> &mut Effects {
        self.ks.effects
    }

    /// This client as the cause of messages to others.
    pub fn sender(&self) -> Sender {
        Sender { id: self.session.shared.id, now_ms: self.ks.now_ms }
    }

    /// Refuses a write that was admitted before this instance became a replica, or began to hand its part over: for
    /// commands that were admitted before they had a lock.
    ///
    /// # Errors
    /// Writes are not for this instance any more.
    pub(crate) fn may_still_write(&self) -> CommandResult {
        let state = &self.engine.state;
        if self.session.role == Role::Primary {
            return Ok(());
        }
        if state.is_replica.load(Relaxed) && self.engine.config.replica_read_only() {
            return Err(CommandError::ReadOnly);
        }
        if state.failing_over.load(Relaxed) {
            return Err(CommandError::text("TRYAGAIN a failover is in progress"));
        }
        Ok(())
    }

    /// Replays as `words` instead of the command received.
    pub fn replay_as(&mut self, words: &[&[u8]]) {
        self.ks.effects.replace(self.ks.db, words);
    }
}
