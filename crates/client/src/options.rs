//! How to open a connection.

use std::time::Duration;

use quiver_resp::{Protocol, ReplyLimits};

/// How to open a connection and what to expect of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// The dialect to ask for. RESP2 sends no HELLO.
    pub protocol: Protocol,
    /// ACL user; `default` if there is only a password.
    pub username: Option<String>,
    /// Password; sent by HELLO or AUTH.
    pub password: Option<String>,
    /// Database to select.
    pub database: u32,
    /// Longest wait for the connection to open, its handshake included.
    pub connect_timeout: Duration,
    /// Longest wait without a byte moving in either direction; `None` waits for ever, as blocking commands need.
    pub timeout: Option<Duration>,
    /// Largest reply accepted.
    pub limits: ReplyLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            protocol: Protocol::Resp2,
            username: None,
            password: None,
            database: 0,
            connect_timeout: Duration::from_secs(5),
            timeout: Some(Duration::from_secs(30)),
            limits: ReplyLimits::default(),
        }
    }
}

impl Options {
    /// Defaults, speaking RESP3.
    #[must_use]
    pub fn resp3() -> Self {
        Self { protocol: Protocol::Resp3, ..Self::default() }
    }

    /// The commands that open a connection.
    pub(crate) fn handshake(&self) -> crate::Batch {
        let mut batch = crate::Batch::new();
        let user = self.username.as_deref();
        match (self.protocol, self.password.as_deref()) {
            (Protocol::Resp3, Some(password)) => {
                batch.push(&["HELLO", "3", "AUTH", user.unwrap_or("default"), password]);
            }
            (Protocol::Resp3, None) => batch.push(&["HELLO", "3"]),
            (Protocol::Resp2, Some(password)) => match user {
                Some(user) => batch.push(&["AUTH", user, password]),
                None => batch.push(&["AUTH", password]),
            },
            (Protocol::Resp2, None) => {}
        }
        if self.database != 0 {
            batch.push(&["SELECT", &self.database.to_string()]);
        }
        batch
    }
}
