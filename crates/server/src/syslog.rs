//! The system's log: lines as datagrams to the socket that syslogd and journald listen at, `<priority>name[pid]: message`
//! (RFC 3164 as local programs speak it; whoever receives them adds the time).

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use quiver_engine::config::{Config, syslog_facility};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::logs::complain;

/// Where the system's log listens.
const SOCKET: &str = "/dev/log";

/// The system's log.
#[derive(Debug)]
pub(crate) struct Syslog {
    socket: UnixDatagram,
    form: Form,
}

/// How lines begin.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    facility: usize,
    ident: String,
}

impl Syslog {
    /// The system's log, where the configuration wants it. A server whose system has none serves all the same.
    pub(crate) fn wanted(config: &Config) -> Option<Self> {
        if config.get("syslog-enabled") != "yes" {
            return None;
        }
        let form =
            Form { facility: syslog_facility(&config.get("syslog-facility")), ident: config.get("syslog-ident") };
        match Self::open(Path::new(SOCKET), form) {
            Ok(syslog) => Some(syslog),
            Err(error) => {
                complain(&format!("Can't reach the system's log at {SOCKET}: {error}"));
                None
            }
        }
    }

    fn open(path: &Path, form: Form) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A log that does not keep up must not hold the server up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, form })
    }

    pub(crate) fn form(&self) -> Form {
        self.form.clone()
    }
}

/// One line is one datagram; what cannot be sent is lost, as datagrams are.
#[derive(Debug)]
pub(crate) struct Datagrams<'a>(&'a UnixDatagram);

impl Write for Datagrams<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(line.trim_ascii_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Datagrams<'a>;

    fn make_writer(&'a self) -> Datagrams<'a> {
        Datagrams(&self.socket)
    }
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let severity = match *event.metadata().level() {
            Level::TRACE => 7,
            Level::DEBUG => 6,
            Level::INFO => 5,
            Level::WARN => 4,
            Level::ERROR => 3,
        };
        write!(out, "<{}>{}[{}]: ", self.facility * 8 + severity, self.ident, std::process::id())?;
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_a_datagram_with_its_priority_and_who_says_it() {
        let path = std::env::temp_dir().join(format!("quiver-syslog-{}", std::process::id()));
        let log = UnixDatagram::bind(&path).unwrap();
        let form = Form { facility: syslog_facility("local3"), ident: "me".to_owned() };
        let syslog = Syslog::open(&path, form).unwrap();
        std::fs::remove_file(&path).unwrap();
        let form = syslog.form();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(syslog).event_format(form);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!("something happens");
            tracing::warn!("something is wrong");
        });
        let mut line = [0; 256];
        for text in ["<157>me[PID]: something happens", "<156>me[PID]: something is wrong"] {
            let len = log.recv(&mut line).unwrap();
            let wanted = text.replace("PID", &std::process::id().to_string());
            assert_eq!(String::from_utf8_lossy(&line[..len]), wanted);
        }
    }
}
