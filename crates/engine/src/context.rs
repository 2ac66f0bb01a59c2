//! What a handler works with.

use quiver_resp::{Argv, Encoder};

use crate::effects::Effects;
use crate::engine::Engine;
use crate::keyspace::{Key, Keyspace};
use crate::mailbox::Sender;
use crate::meter::Meter;
use crate::registry::Entry;
use crate::rng::Rng;
use crate::session::Session;

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

    /// Replays as `words` instead of the command received.
    pub fn replay_as(&mut self, words: &[&[u8]]) {
        self.ks.effects.replace(self.ks.db, words);
    }
}
