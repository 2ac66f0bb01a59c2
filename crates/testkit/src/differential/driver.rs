//! Episodes on two servers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread::sleep;

use anyhow::{Context, Result, ensure};
use quiver_resp::Value;

use super::conversation::Conversation;
use super::families::Family;
use super::minimise::minimise;
use super::random::Rng;
use super::{Step, allow};
use crate::connection::{Connection, Reply};

/// Reports of differences that look alike.
const SAME_MAX: usize = 3;

/// What to try.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of the whole run.
    pub seed: u64,
    /// Steps for each family.
    pub count: usize,
    /// Steps in an episode.
    pub episode: usize,
    /// Protocol versions; episodes take turns.
    pub protocols: Vec<u8>,
    /// Different differences after which a family is given up.
    pub max_differences: usize,
    /// Leave out the commands Quiver does not list: they are missing, not wrong.
    pub known_only: bool,
}

/// One disagreement.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The shortest history found, the disagreeing step last.
    pub history: Vec<Step>,
    /// Protocol version spoken.
    pub protocol: u8,
    /// What Quiver answered.
    pub ours: String,
    /// What the oracle answered.
    pub theirs: String,
}

/// Two servers to compare.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Quiver.
    pub ours: SocketAddr,
    /// The server that is right.
    pub theirs: SocketAddr,
}

/// Where a replayed history first disagreed.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Index of the step.
    pub at: usize,
    /// What Quiver answered.
    pub ours: String,
    /// What the oracle answered.
    pub theirs: String,
}

impl Driver {
    /// Runs one family and returns the differences found, each with a shortened history, and the steps taken. The same
    /// command with answers that begin alike is reported three times at most.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub fn run(&self, family: &Family, options: &Options) -> Result<(Vec<Difference>, usize)> {
        let mut rng = Rng::new(options.seed ^ family.name.bytes().fold(0, |sum, b| sum * 31 + u64::from(b)));
        let (mut differences, mut seen, mut taken) = (Vec::new(), BTreeMap::new(), 0);
        let mut episode = 0;
        let known = if options.known_only { Some(self.commands()?) } else { None };
        while taken < options.count && differences.len() < options.max_differences {
            let protocol = options.protocols[episode % options.protocols.len()];
            episode += 1;
            let mut steps = Vec::new();
            while steps.len() < options.episode.min(options.count - taken) {
                steps.extend(family.steps(&mut rng));
            }
            taken += steps.len();
            if let Some(known) = &known {
                steps.retain(|step| name(step).is_none_or(|name| known.contains(&name)));
            }
            let mut from = 0;
            // After a disagreement the rest of the episode is tried without the step that caused it.
            while let Some(mismatch) = self.replay(&steps[from..], protocol, family)? {
                let end = from + mismatch.at;
                let label = label(&steps[end], &mismatch);
                let times = seen.entry(label).or_insert(0);
                *times += 1;
                if *times <= SAME_MAX {
                    let history = steps[from..=end].to_vec();
                    differences.push(self.shortest(history, mismatch, protocol, family)?);
                    if differences.len() >= options.max_differences {
                        break;
                    }
                }
                from = end + 1;
            }
        }
        Ok((differences, taken))
    }

    /// Empties both servers, replays `steps` and tells where they first disagree.
    ///
    /// # Errors
    /// When a server cannot be reached.
    pub fn replay(&self, steps: &[Step], protocol: u8, family: &Family) -> Result<Option<Mismatch>> {
        let connections = family.connections;
        if family.converses {
            return self.converse(steps, protocol, connections);
        }
        let mut ours = Side::open(self.ours, protocol, connections)?;
        let mut theirs = Side::open(self.theirs, protocol, connections)?;
        let mut queued = vec![Vec::new(); connections];
        for (at, step) in steps.iter().enumerate() {
            let (a, b) = (ours.step(step), theirs.step(step));
            let (Ok(a), Ok(b)) = (&a, &b) else {
                self.ensure_both_live(&steps[..=at])?;
                // A connection that ends on both sides ends the episode; on one side it is a disagreement.
                let same = a.is_err() && b.is_err();
                return Ok((!same).then(|| Mismatch { at, ours: outcome(&a), theirs: outcome(&b) }));
            };
            if !same_step(step, &mut queued, a, b) {
                return Ok(Some(Mismatch { at, ours: raw(a), theirs: raw(b) }));
            }
        }
        Ok(None)
    }

    /// As [`Self::replay`], for clients that hear of each other.
    fn converse(&self, steps: &[Step], protocol: u8, connections: usize) -> Result<Option<Mismatch>> {
        let mut ours = Conversation::open(self.ours, protocol, connections)?;
        let mut theirs = Conversation::open(self.theirs, protocol, connections)?;
        for (at, step) in steps.iter().enumerate() {
            ours.step(step).with_context(|| format!("Quiver at {step}"))?;
            theirs.step(step).with_context(|| format!("the oracle at {step}"))?;
            ours.wait_for(&theirs.waiting())?;
            theirs.wait_for(&ours.waiting())?;
            let told = |side: &mut Conversation| (side.waiting(), side.take_heard());
            let (a, b) = (told(&mut ours), told(&mut theirs));
            if a != b {
                let shown = |(waiting, heard): (Vec<bool>, Vec<String>)| format!("{heard:?}, waiting: {waiting:?}");
                return Ok(Some(Mismatch { at, ours: shown(a), theirs: shown(b) }));
            }
        }
        Ok(None)
    }

    /// The names Quiver lists, lower case.
    fn commands(&self) -> Result<BTreeSet<String>> {
        let reply = Connection::connect(self.ours)?.call(&["COMMAND", "LIST"])?;
        let names = reply.value.as_array().context("COMMAND LIST answers an array")?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect())
    }

    /// A server that ended is not replayed further: its last steps are the report.
    fn ensure_both_live(&self, steps: &[Step]) -> Result<()> {
        const SHOWN: usize = 12;
        for (name, addr) in [("Quiver", self.ours), ("the oracle", self.theirs)] {
            let last: Vec<String> = steps.iter().rev().take(SHOWN).rev().map(ToString::to_string).collect();
            Connection::connect(addr).with_context(|| format!("{name} ended at the last of\n{}", last.join("\n")))?;
        }
        Ok(())
    }

    fn shortest(&self, history: Vec<Step>, first: Mismatch, protocol: u8, family: &Family) -> Result<Difference> {
        let mut last = first;
        let mut replay = |steps: &[Step]| -> Result<bool> {
            let found = self.replay(steps, protocol, family)?;
            Ok(found.is_some_and(|mismatch| {
                let at_the_end = mismatch.at + 1 == steps.len();
                if at_the_end {
                    last = mismatch;
                }
                at_the_end
            }))
        };
        let history = minimise(history, &mut replay)?;
        Ok(Difference { history, protocol, ours: last.ours, theirs: last.theirs })
    }
}

/// One server during an episode.
struct Side(Vec<Connection>);

impl Side {
    fn open(addr: SocketAddr, protocol: u8, connections: usize) -> Result<Self> {
        let mut side = Self((0..connections).map(|_| Connection::connect(addr)).collect::<Result<_>>()?);
        for connection in &mut side.0 {
            if protocol == 3 {
                let hello = connection.call(&["HELLO", "3"])?;
                ensure!(!matches!(hello.value, Value::Error(_)), "HELLO 3 is refused by {addr}: {}", raw(&hello));
            }
        }
        let emptied = side.0[0].call(&["FLUSHALL"])?;
        ensure!(emptied.value == Value::Simple(b"OK".to_vec()), "FLUSHALL fails on {addr}: {}", raw(&emptied));
        Ok(side)
    }

    fn step(&mut self, step: &Step) -> Result<Reply> {
        match step {
            Step::Call { connection, words } => self.0[*connection].call(words),
            Step::Scan { before, after } => self.scan(before, after),
            Step::Sleep(time) => {
                sleep(*time);
                Ok(Reply { value: Value::Null, raw: Vec::new() })
            }
        }
    }

    /// All elements of an iteration, each once, in order; or the first reply that is no page.
    fn scan(&mut self, before: &[Vec<u8>], after: &[Vec<u8>]) -> Result<Reply> {
        const MAX_PAGES: usize = 10_000;
        let pairs = [b"hscan".as_slice(), b"zscan"].iter().any(|name| before[0].eq_ignore_ascii_case(name))
            && !after.iter().any(|w| w.eq_ignore_ascii_case(b"novalues"));
        let mut cursor = b"0".to_vec();
        let mut all = BTreeSet::new();
        for _ in 0..MAX_PAGES {
            let reply = self.0[0].call(&[before, std::slice::from_ref(&cursor), after].concat())?;
            let Value::Array(page) = &reply.value else { return Ok(reply) };
            let [Value::Bulk(next), Value::Array(items)] = page.as_slice() else { return Ok(reply) };
            all.extend(items.chunks(if pairs { 2 } else { 1 }).map(|items| format!("{items:?}")));
            if next == b"0" {
                let raw = all.into_iter().collect::<Vec<_>>().join(", ").into_bytes();
                return Ok(Reply { value: Value::Bulk(raw.clone()), raw });
            }
            cursor.clone_from(next);
        }
        anyhow::bail!("an iteration does not end within {MAX_PAGES} pages")
    }
}

/// Compares the replies to a step. `queued` holds each connection's open transaction, so that EXEC's elements are
/// compared by the commands they answer.
fn same_step(step: &Step, queued: &mut [Vec<Vec<Vec<u8>>>], a: &Reply, b: &Reply) -> bool {
    let Step::Call { connection, words } = step else { return a.raw == b.raw };
    let queue = &mut queued[*connection];
    if a.value == Value::Simple(b"QUEUED".to_vec()) {
        queue.push(words.clone());
        return a.raw == b.raw;
    }
    match words[0].to_ascii_lowercase().as_slice() {
        b"exec" => {
            let commands = std::mem::take(queue);
            match (&a.value, &b.value) {
                (Value::Array(a), Value::Array(b)) if a.len() == b.len() && a.len() == commands.len() => {
                    commands.iter().zip(a.iter().zip(b)).all(|(words, (a, b))| allow::same_values(words, a, b))
                }
                _ => a.raw == b.raw,
            }
        }
        b"multi" | b"discard" => {
            // A MULTI within another is refused and changes nothing.
            if a.value == Value::Simple(b"OK".to_vec()) {
                queue.clear();
            }
            a.raw == b.raw
        }
        _ => allow::same(words, a, b),
    }
}

/// The command a step sends, lower case.
fn name(step: &Step) -> Option<String> {
    match step {
        Step::Call { words, .. } | Step::Scan { before: words, .. } => {
            Some(String::from_utf8_lossy(&words[0]).to_ascii_lowercase())
        }
        Step::Sleep(_) => None,
    }
}

/// What makes two differences the same one: the command and the beginnings of the answers.
fn label(step: &Step, mismatch: &Mismatch) -> String {
    let name = name(step).unwrap_or_default();
    let start = |text: &str| text.chars().take_while(|c| !c.is_ascii_digit()).take(40).collect::<String>();
    format!("{name}\n{}\n{}", start(&mismatch.ours), start(&mismatch.theirs))
}

fn raw(reply: &Reply) -> String {
    const MAX_SHOWN: usize = 600;
    reply.raw.iter().take(MAX_SHOWN).copied().collect::<Vec<u8>>().escape_ascii().to_string()
}

fn outcome(reply: &Result<Reply>) -> String {
    match reply {
        Ok(reply) => raw(reply),
        Err(error) => format!("({error:#})"),
    }
}
