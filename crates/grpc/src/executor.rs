//! The one door to the server: commands in, RESP3 replies out, on behalf of a caller.
//!
//! Everything the services do goes through [`Executor`], so that both protocols share one dispatcher, one set of
//! permissions and one stream of effects. Credentials travel beside the commands rather than as a first command: when
//! they are refused nothing else must run, least of all as the default user.

use std::fmt;
use std::future::Future;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use quiver_resp::OwnedArgv;
use thiserror::Error;
use tonic::metadata::MetadataMap;

/// Opens sessions, in which commands run.
pub trait Executor: Clone + Send + Sync + 'static {
    /// A session without a connection.
    type Session: Session;

    /// Opens a session that speaks RESP3 and authenticates it as `auth` says ([`Auth::to_command`]).
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing ran then.
    fn open(&self, auth: &Auth) -> impl Future<Output = Result<Self::Session, ExecuteError>> + Send;

    /// Runs commands in a session of their own; as [`Session::run`].
    ///
    /// # Errors
    /// [`ExecuteError`] if no command ran. An error reply of a command is not an error here.
    fn execute(
        &self,
        auth: &Auth,
        commands: Vec<OwnedArgv>,
        pace: Pace,
    ) -> impl Future<Output = Result<Vec<u8>, ExecuteError>> + Send {
        async move { self.open(auth).await?.run(commands, pace).await }
    }

    /// Where the stream of effects is by now: what was answered before stands before it.
    fn token(&self) -> String;

    /// Waits until the stream of effects is at `token`.
    ///
    /// # Errors
    /// [`TokenError`]: it will never be there.
    fn reached(&self, token: &str) -> impl Future<Output = Result<(), TokenError>> + Send;
}

/// Commands one after another, with what they leave behind: a database selected, keys watched, a transaction begun.
pub trait Session: Send + 'static {
    /// Runs `commands` in order like one pipeline and returns their replies' bytes, one reply for each.
    ///
    /// A transaction (MULTI to EXEC) within `commands` must run whole or not at all even if the returned future is
    /// dropped: callers give up at deadlines. Of other commands those that have not begun by then must not run.
    ///
    /// # Errors
    /// [`ExecuteError`]: the replies must not be believed.
    fn run(
        &mut self,
        commands: Vec<OwnedArgv>,
        pace: Pace,
    ) -> impl Future<Output = Result<Vec<u8>, ExecuteError>> + Send;
}

/// How long commands are likely to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A millisecond at most: they may run where connections are served.
    Quick,
    /// Longer, or who knows: they must not hold up other calls.
    Slow,
}

/// Why a token is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is no token.
    #[error("quiver-consistency-token is not a token of a write")]
    Malformed,
    /// It is of a history that this server does not share.
    #[error("the token is of a write that this server does not have and will not get")]
    Foreign,
}

/// Why commands were not run.
#[derive(Clone, Debug, Error)]
pub enum ExecuteError {
    /// The server refused the session with this error line, as `WRONGPASS ...`; without `-` and line end.
    #[error("{0}")]
    Refused(String),
    /// Too much work is queued.
    #[error("the server is overloaded")]
    Overloaded,
    /// The server is stopping or out of reach.
    #[error("the server is unavailable: {0}")]
    Unavailable(String),
}

/// Who a caller claims to be.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// No credentials: the default user, if it needs none.
    #[default]
    Anonymous,
    /// The password of the default user: `authorization: Bearer <password>` or `api-key: <password>`.
    Password(Vec<u8>),
    /// A named user: `authorization: Basic <base64 of name:password>`, or `name:password` where a password may stand.
    User {
        /// Name of the ACL user.
        name: Vec<u8>,
        /// Its password.
        password: Vec<u8>,
    },
}

/// Credentials that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("authorization must be `Bearer <name:password>` or `Basic <base64 of name:password>`")]
pub struct MalformedAuth;

impl Auth {
    /// The credentials in the metadata of a call; `authorization` wins over `api-key`.
    ///
    /// A bearer's text with a colon is a name and a password: the default user's password has none there, or is given by
    /// `Basic` with the name `default`.
    ///
    /// # Errors
    /// [`MalformedAuth`] for an `authorization` of another scheme or without a colon inside `Basic`.
    pub fn from_metadata(metadata: &MetadataMap) -> Result<Self, MalformedAuth> {
        let Some(value) = metadata.get("authorization") else {
            let key = metadata.get("api-key").map(|key| Self::of_secret(key.as_bytes()));
            return Ok(key.unwrap_or_default());
        };
        let value = value.as_bytes();
        let space = value.iter().position(|byte| *byte == b' ').ok_or(MalformedAuth)?;
        let (scheme, credentials) = (&value[..space], value[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return Ok(Self::of_secret(credentials));
        }
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(MalformedAuth);
        }
        let decoded = BASE64_STANDARD.decode(credentials).map_err(|_| MalformedAuth)?;
        Self::of_pair(&decoded).ok_or(MalformedAuth)
    }

    /// The value of `authorization` that presents these credentials; `None` if there are none.
    #[must_use]
    pub fn to_bearer(&self) -> Option<Vec<u8>> {
        let secret = match self {
            Self::Anonymous => return None,
            Self::Password(password) => password.clone(),
            Self::User { name, password } => [name.as_slice(), b":", password].concat(),
        };
        Some([b"Bearer ", secret.as_slice()].concat())
    }

    fn of_secret(secret: &[u8]) -> Self {
        Self::of_pair(secret).unwrap_or_else(|| Self::Password(secret.to_vec()))
    }

    fn of_pair(pair: &[u8]) -> Option<Self> {
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(Self::User { name: pair[..colon].to_vec(), password: pair[colon + 1..].to_vec() })
    }

    /// The AUTH command that presents these credentials; `None` if there are none.
    #[must_use]
    pub fn to_command(&self) -> Option<OwnedArgv> {
        match self {
            Self::Anonymous => None,
            Self::Password(password) => Some(OwnedArgv::from_slices(&[b"AUTH", password.as_slice()])),
            Self::User { name, password } => Some(OwnedArgv::from_slices(&[b"AUTH", name.as_slice(), password])),
        }
    }
}

/// Shows who, never the secret.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password(_) => f.write_str("Password(..)"),
            Self::User { name, .. } => write!(f, "User({}, ..)", name.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(name: &'static str, value: &str) -> Result<Auth, MalformedAuth> {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().unwrap());
        Auth::from_metadata(&metadata)
    }

    #[test]
    fn credentials_are_read_from_either_header() {
        assert_eq!(Auth::from_metadata(&MetadataMap::new()), Ok(Auth::Anonymous));
        assert_eq!(auth("api-key", "secret"), Ok(Auth::Password(b"secret".to_vec())));
        assert_eq!(auth("authorization", "Bearer secret"), Ok(Auth::Password(b"secret".to_vec())));
        let user = Auth::User { name: b"ann".to_vec(), password: b"a:b".to_vec() };
        assert_eq!(auth("authorization", "basic YW5uOmE6Yg=="), Ok(user.clone()));
        assert_eq!(auth("authorization", "Bearer ann:a:b"), Ok(user.clone()));
        assert_eq!(auth("api-key", "ann:a:b"), Ok(user));
    }

    #[test]
    fn unreadable_credentials_are_refused_not_taken_for_none() {
        for value in ["Digest x", "Bearer", "Basic ?", "Basic YW5u"] {
            assert_eq!(auth("authorization", value), Err(MalformedAuth), "{value}");
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let user = Auth::User { name: b"ann".to_vec(), password: b"hunter2".to_vec() };
        assert_eq!(format!("{user:?} {:?}", Auth::Password(b"hunter2".to_vec())), "User(ann, ..) Password(..)");
    }

    #[test]
    fn credentials_become_the_auth_command() {
        assert_eq!(Auth::Anonymous.to_command(), None);
        assert_eq!(Auth::Password(b"p".to_vec()).to_command(), Some(OwnedArgv::from_slices(&["AUTH", "p"])));
        let user = Auth::User { name: b"u".to_vec(), password: b"p".to_vec() };
        assert_eq!(user.to_command(), Some(OwnedArgv::from_slices(&["AUTH", "u", "p"])));
    }
}
