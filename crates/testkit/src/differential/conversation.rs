//! One server and several clients that hear of each other: who waits is served by somebody else's command, and messages
//! come unasked.
//!
//! What counts is what each client hears, in its order. A client's hearing is complete when the reply to a PING that was
//! sent behind everything has come; a client that waits answers none, and that it waits is asked of CLIENT LIST on a
//! connection of its own. So a step ends when every client has answered or waits, and no step depends on a clock.
//!
//! Not compared: how fast anything comes.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quiver_resp::Value;

use super::{Step, allow};
use crate::connection::{Connection, Reply};

/// How long a client is listened to before it is asked whether it waits.
const LISTEN: Duration = Duration::from_micros(400);
/// How long a server may take until everybody has answered or waits.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// What is set whenever a conversation begins.
const EVENTS: &str = "KEA";

/// A client of the conversation.
#[derive(Debug)]
struct Client {
    connection: Connection,
    /// Its number in CLIENT LIST.
    id: String,
    /// The word of the PING whose reply has not come.
    asked: Option<Vec<u8>>,
    /// Inside MULTI every command gets one reply, and a PING would be queued.
    in_multi: bool,
    ended: bool,
    /// What it has heard in this step.
    heard: Vec<String>,
}

/// One server and its clients.
#[derive(Debug)]
pub(super) struct Conversation {
    control: Connection,
    clients: Vec<Client>,
    asked: u64,
}

impl Conversation {
    /// Empties the server, ends everybody else's connections and opens some.
    pub(super) fn open(addr: SocketAddr, protocol: u8, connections: usize) -> Result<Self> {
        let mut control = Connection::connect(addr)?;
        for kind in ["normal", "pubsub"] {
            control.call(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"])?;
        }
        let begun = Instant::now();
        while text(&control.call(&["CLIENT", "LIST"])?).lines().count() > 1 {
            ensure!(begun.elapsed() < SETTLED_WITHIN, "clients that were killed stay on {addr}");
        }
        for command in [vec!["FLUSHALL"], vec!["CONFIG", "SET", "notify-keyspace-events", EVENTS]] {
            let reply = control.call(&command)?;
            ensure!(reply.value == Value::Simple(b"OK".to_vec()), "{command:?} fails on {addr}");
        }
        let clients = (0..connections).map(|_| Client::open(addr, protocol)).collect::<Result<_>>()?;
        Ok(Self { control, clients, asked: 0 })
    }

    /// Takes one step and waits until it has no further consequences.
    pub(super) fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Call { connection, words } => self.call(*connection, words)?,
            Step::Sleep(time) => sleep(*time),
            Step::Scan { .. } => anyhow::bail!("a conversation has no iterations"),
        }
        self.settle()
    }

    /// Who waits.
    pub(super) fn waiting(&self) -> Vec<bool> {
        self.clients.iter().map(|client| client.asked.is_some()).collect()
    }

    /// Gives those time who wait here and not on the other server.
    pub(super) fn wait_for(&mut self, others: &[bool]) -> Result<()> {
        const LATE: Duration = Duration::from_millis(500);
        let begun = Instant::now();
        while begun.elapsed() < LATE && self.waiting().iter().zip(others).any(|(here, there)| *here && !there) {
            sleep(Duration::from_millis(2));
            self.settle()?;
        }
        Ok(())
    }

    /// What everybody heard since the last time, one line each.
    pub(super) fn take_heard(&mut self) -> Vec<String> {
        self.clients.iter_mut().map(|client| std::mem::take(&mut client.heard).join(" ")).collect()
    }

    /// Sends one command, unless its client waits or is gone.
    fn call(&mut self, connection: usize, words: &[Vec<u8>]) -> Result<()> {
        let ids: Vec<String> = self.clients.iter().map(|client| client.id.clone()).collect();
        let words: Vec<Vec<u8>> = words.iter().map(|word| with_ids(word, &ids)).collect();
        let of_clients = words[0].eq_ignore_ascii_case(b"client");
        let client = &mut self.clients[connection];
        if client.asked.is_some() || client.ended {
            return Ok(());
        }
        let is = |name: &str| words[0].eq_ignore_ascii_case(name.as_bytes());
        if client.connection.send(&words).is_err() {
            return client.end();
        }
        let leaves = ["exec", "discard", "reset", "quit"].into_iter().any(is);
        if is("multi") || client.in_multi {
            let answer = client.hear_answer(if of_clients { &ids } else { &[] })?;
            // Said wrongly it changes nothing.
            let refused = |text: &[u8]| text.starts_with(b"ERR wrong number");
            client.in_multi = match answer {
                Some(Value::Error(text)) => client.in_multi && (!leaves || refused(&text)),
                Some(_) => !leaves,
                None => false,
            };
            return Ok(());
        }
        self.ask(connection)?;
        self.listen(connection, if of_clients { &ids } else { &[] })?;
        Ok(())
    }

    /// Lets everybody say that they have heard everything. Whoever is served late may have more to tell the others, so
    /// that is repeated until nobody is.
    fn settle(&mut self) -> Result<()> {
        loop {
            let waited = self.waiting();
            for at in 0..self.clients.len() {
                self.ask(at)?;
            }
            let mut served = false;
            for (at, waited) in waited.iter().enumerate() {
                // Who waits on has heard nothing that will not be heard later.
                let waits_on = *waited && self.waits(at)?.0;
                served |= !waits_on && self.listen(at, &[])? && *waited;
            }
            if !served {
                return Ok(());
            }
        }
    }

    /// Sends a client's PING.
    fn ask(&mut self, at: usize) -> Result<()> {
        let client = &mut self.clients[at];
        if client.asked.is_none() && !client.in_multi && !client.ended {
            self.asked += 1;
            let word = format!("~{}~", self.asked).into_bytes();
            if client.connection.send(&[b"PING".as_slice(), &word]).is_err() {
                return client.end();
            }
            client.asked = Some(word);
        }
        Ok(())
    }

    /// Whether a client waits for somebody, by what CLIENT LIST says of it.
    fn waits(&mut self, at: usize) -> Result<(bool, String)> {
        let list = text(&self.control.call(&["CLIENT", "LIST", "ID", &self.clients[at].id])?);
        let flags = list.split(' ').find_map(|fact| fact.strip_prefix("flags="));
        Ok((flags.is_some_and(|flags| flags.contains('b')), list))
    }

    /// Listens until a client has answered its PING (`true`) or is said to wait.
    fn listen(&mut self, at: usize, ids: &[String]) -> Result<bool> {
        let begun = Instant::now();
        while self.clients[at].asked.is_some() {
            if self.clients[at].hear(ids)? {
                continue;
            }
            let (waits, list) = self.waits(at)?;
            if waits {
                return Ok(false);
            }
            ensure!(begun.elapsed() < SETTLED_WITHIN, "client {at} neither answers nor waits: {list}");
        }
        Ok(true)
    }
}

impl Client {
    fn open(addr: SocketAddr, protocol: u8) -> Result<Self> {
        let mut connection = Connection::connect(addr)?;
        if protocol == 3 {
            let hello = connection.call(&["HELLO", "3"])?;
            ensure!(!matches!(hello.value, Value::Error(_)), "HELLO 3 is refused by {addr}");
        }
        let id = connection.call(&["CLIENT", "ID"])?.value.as_i64().context("CLIENT ID answers a number")?;
        let id = id.to_string();
        Ok(Self { connection, id, asked: None, in_multi: false, ended: false, heard: Vec::new() })
    }

    /// Hears one thing if there is one.
    fn hear(&mut self, ids: &[String]) -> Result<bool> {
        let Ok(heard) = self.connection.receive_within(LISTEN) else {
            self.end()?;
            return Ok(true);
        };
        let Some(reply) = heard else { return Ok(false) };
        if self.asked.as_ref().is_some_and(|word| answers(&reply.value, word)) {
            self.asked = None;
        } else {
            self.note(&reply, ids);
        }
        Ok(true)
    }

    /// Hears on until something comes that is no message.
    fn hear_answer(&mut self, ids: &[String]) -> Result<Option<Value>> {
        loop {
            let Ok(reply) = self.connection.receive() else {
                self.end()?;
                return Ok(None);
            };
            self.note(&reply, ids);
            if !is_message(&reply.value) {
                return Ok(Some(reply.value));
            }
        }
    }

    /// Numbers of clients differ between servers, and are told as the clients' places.
    fn note(&mut self, reply: &Reply, ids: &[String]) {
        const MAX_SHOWN: usize = 500;
        let mut shown = reply.raw.iter().take(MAX_SHOWN).copied().collect::<Vec<u8>>().escape_ascii().to_string();
        if let Value::Error(text) = &reply.value {
            // Quiver's errors are UTF-8, whatever words they quote.
            shown = String::from_utf8_lossy(text).into_owned();
        }
        let named = ids
            .iter()
            .enumerate()
            .fold(shown, |shown, (at, id)| shown.replace(&format!(":{id}\\r\\n"), &format!(":@{at}\\r\\n")));
        // Who the server is belongs to itself, and so does the list of classes of events.
        let named = if named.contains("$5\\r\\nproto\\r\\n") { "(a greeting)".to_owned() } else { named };
        self.heard.push(allow::known_words(&named));
    }

    /// The server has ended the connection, which the other one must do as well.
    fn end(&mut self) -> Result<()> {
        (self.ended, self.asked, self.in_multi) = (true, None, false);
        self.heard.push("(the end)".to_owned());
        Ok(())
    }
}

/// Whether this is the reply to the PING with that word: the word, or `pong` and the word where RESP2 has messages.
fn answers(value: &Value, word: &[u8]) -> bool {
    match value {
        Value::Bulk(text) => text == word,
        Value::Array(items) => matches!(items.as_slice(), [_, Value::Bulk(text)] if text == word),
        _ => false,
    }
}

/// Whether this came unasked: a push, or in RESP2 an array that begins as one does.
fn is_message(value: &Value) -> bool {
    const KINDS: &[&[u8]] = &[b"message", b"pmessage", b"smessage", b"invalidate"];
    match value {
        Value::Push(_) => true,
        Value::Array(items) => items.first().and_then(Value::as_bytes).is_some_and(|kind| KINDS.contains(&kind)),
        _ => false,
    }
}

/// `@1` is the number of the second client.
fn with_ids(word: &[u8], ids: &[String]) -> Vec<u8> {
    let at = word.strip_prefix(b"@").and_then(|at| std::str::from_utf8(at).ok()?.parse::<usize>().ok());
    at.and_then(|at| ids.get(at)).map_or_else(|| word.to_vec(), |id| id.clone().into_bytes())
}

fn text(reply: &Reply) -> String {
    match &reply.value {
        Value::Bulk(text) | Value::Verbatim { text, .. } => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}
