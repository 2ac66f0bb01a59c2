//! MONITOR: every command, shown to whoever asked to see them.
//!
//! A line has the time, the database, the sender's address and the words, quoted. Passwords are not shown, nor are
//! administrative commands. While nobody monitors, a command pays for one load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use quiver_resp::Argv;

use crate::command::Flags;
use crate::engine::Engine;
use crate::mailbox::Sender;
use crate::registry::Entry;
use crate::session::ClientInfo;
use crate::slowlog::secrets;

/// Clients in MONITOR mode.
#[derive(Debug, Default)]
pub struct Monitors {
    clients: Mutex<Vec<Arc<ClientInfo>>>,
    count: AtomicUsize,
}

impl Monitors {
    /// Whether anybody looks.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    pub(crate) fn join(&self, client: &Arc<ClientInfo>) {
        client.monitor.store(true, Relaxed);
        let mut clients = self.clients.lock();
        clients.push(Arc::clone(client));
        self.count.store(clients.len(), Relaxed);
    }

    pub(crate) fn leave(&self, client: &ClientInfo) {
        if client.monitor.swap(false, Relaxed) {
            let mut clients = self.clients.lock();
            clients.retain(|known| known.id != client.id);
            self.count.store(clients.len(), Relaxed);
        }
    }

    /// Shows a command that ran; `in_script`: a script ran it for the sender.
    #[expect(clippy::too_many_arguments, reason = "what a line shows has no other use together")]
    pub(crate) fn show(
        &self,
        engine: &Engine,
        sender: &ClientInfo,
        in_script: bool,
        now_ms: i64,
        db: usize,
        entry: &Entry,
        argv: Argv<'_>,
    ) {
        if !entry.command.flags.any(Flags::SKIP_MONITOR.with(Flags::ADMIN)) {
            self.tell(engine, sender, in_script, now_ms, db, entry, argv);
        }
    }

    /// [`Self::show`] of a command that is shown before it runs, so that it stands before those it runs itself.
    #[expect(clippy::too_many_arguments, reason = "what a line shows has no other use together")]
    pub(crate) fn tell(
        &self,
        engine: &Engine,
        sender: &ClientInfo,
        in_script: bool,
        now_ms: i64,
        db: usize,
        entry: &Entry,
        argv: Argv<'_>,
    ) {
        let addr = if in_script { "lua" } else { &sender.addr };
        let line = line(addr, now_ms, db, entry, argv);
        let from = Sender { id: sender.id, now_ms };
        self.clients.lock().iter().for_each(|client| engine.push(client, from, &line));
    }
}

fn line(addr: &str, now_ms: i64, db: usize, entry: &Entry, argv: Argv<'_>) -> Vec<u8> {
    let (seconds, micros) = (now_ms / 1000, now_ms % 1000 * 1000);
    let mut line = format!("+{seconds}.{micros:06} [{db} {addr}]").into_bytes();
    let secret = secrets(entry, argv);
    for (at, word) in argv.iter().enumerate() {
        line.push(b' ');
        quote(if secret.contains(&at) { b"(redacted)" } else { word }, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Bytes in double quotes; what is not printable is escaped.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(*byte),
            other => out.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use quiver_resp::OwnedArgv;

    use super::*;
    use crate::registry::registry;

    fn shown(words: &[&[u8]]) -> String {
        let argv = OwnedArgv::from_slices(words);
        let entry = registry().find(words[0]).expect("a command of the table");
        String::from_utf8(line("1.2.3.4:5", 1_700_000_000_123, 9, entry, argv.as_argv())).expect("escaped text")
    }

    #[test]
    fn a_line_has_time_database_address_and_quoted_words() {
        assert_eq!(
            shown(&[b"SET", b"a b", b"\"\\\n\r\t\x07\x08\x00\xff~"]),
            "+1700000000.123000 [9 1.2.3.4:5] \"SET\" \"a b\" \"\\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff~\"\r\n"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(shown(&[b"auth", b"me", b"pw"]).ends_with("] \"auth\" \"(redacted)\" \"(redacted)\"\r\n"));
        assert!(
            shown(&[b"hello", b"3", b"AUTH", b"me", b"pw", b"SETNAME", b"x"])
                .ends_with("\"AUTH\" \"(redacted)\" \"(redacted)\" \"SETNAME\" \"x\"\r\n")
        );
    }
}
