//! RESP2 and RESP3: bytes to values and back, without I/O.
//!
//! Format: <https://redis.io/docs/latest/develop/reference/protocol-spec/>. Both ends of a connection are here:
//!
//! | end | in | out |
//! |---|---|---|
//! | server | [`Decoder`] fills [`Requests`], whose commands are [`Argv`] views into the read buffer | [`Encoder`] onto a `Vec<u8>` |
//! | client | [`ReplyDecoder`] yields [`Value`] trees | [`write_command`], [`OwnedArgv::encode`] |
//!
//! Invariants: nothing is allocated because a peer merely *claims* a length; no byte sequence panics; splitting the
//! input anywhere yields the same commands, values and errors.
//!
//! Not here: sockets, buffers' growth, timeouts (callers), and what a command means.
#![forbid(unsafe_code)]

mod argv;
mod inline;
mod limits;
mod number;
mod reply;
mod reply_decoder;
mod request;
mod value;

pub use argv::{Argv, ArgvIter, OwnedArgv, Span, write_command};
pub use inline::{UnbalancedQuotes, split_inline};
pub use limits::{Limits, ProtocolError};
pub use number::{DoubleText, IntText, parse_i64};
pub use reply::{Encoder, Protocol};
pub use reply_decoder::{ReplyDecoder, ReplyError, ReplyLimits};
pub use request::{Decoder, Requests};
pub use value::Value;
