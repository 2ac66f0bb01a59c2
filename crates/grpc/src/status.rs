//! Failures as google.rpc statuses, with details that a program can act on.
//!
//! | failure | code | details |
//! |---|---|---|
//! | malformed field, dimension, filter | INVALID_ARGUMENT | BadRequest |
//! | no such collection, element, view or cache | NOT_FOUND | ResourceInfo |
//! | a view that is there already | ALREADY_EXISTS | |
//! | wrong type, read-only replica, contradicting index options | FAILED_PRECONDITION | |
//! | the key of a new index exists | ALREADY_EXISTS | |
//! | others changed what was to be changed, again and again | ABORTED | RetryInfo |
//! | out of memory, overloaded | RESOURCE_EXHAUSTED | RetryInfo |
//! | loading, link down, busy script | UNAVAILABLE | RetryInfo |
//! | no or wrong credentials / no permission | UNAUTHENTICATED / PERMISSION_DENIED | |
//! | a command this server does not have | UNIMPLEMENTED | |
//!
//! Every status that stems from an error reply also has an ErrorInfo whose reason is that reply's first word. The same
//! google.rpc.Status travels in `grpc-status-details-bin` of a failed call and inside the messages of streams.

use std::borrow::Cow;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _, pb};

use crate::executor::{ExecuteError, MalformedAuth, TokenError};

/// The domain of every ErrorInfo.
pub const ERROR_DOMAIN: &str = "quiver";
/// Suggested wait before a retry: long enough that a crowd of clients does not keep a struggling server down.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Longest text of a status, in bytes. A status travels in HTTP/2 headers, several texts at once, and clients commonly
/// refuse more than 8 or 16 KiB of those.
const TEXT_BYTES_MAX: usize = 512;
/// Most field violations that a status lists, for the same reason.
pub(crate) const VIOLATIONS_MAX: usize = 8;

/// What a command was about, to name it in a status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site<'a> {
    /// Key of the vector set.
    pub(crate) collection: &'a str,
    /// Element id, if the command names one that must exist.
    pub(crate) element: Option<&'a [u8]>,
    /// Path of the request's part the command was made from, with its dot: `elements[3].`; empty for the whole.
    pub(crate) path: String,
}

/// The status of an error reply to the command made from `site`.
pub(crate) fn of_error_reply(text: &[u8], site: &Site<'_>) -> Status {
    let text = clip(&String::from_utf8_lossy(text));
    let reason = text.split(' ').next().unwrap_or_default();
    let code = code_of_error(reason, &text);
    let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, []);
    match code {
        Code::Unavailable | Code::ResourceExhausted => {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Code::NotFound => {
            let (kind, name) = resource(site);
            details.set_resource_info(kind, name, "", text.as_str());
        }
        Code::InvalidArgument => {
            if let Some(field) = field_of_error(&text) {
                let field = if field.starts_with("index.") { field.into() } else { format!("{}{field}", site.path) };
                details.add_bad_request_violation(field, text.as_str());
            }
        }
        _ => {}
    }
    Status::with_error_details(code, text, details)
}

/// The status of commands that were not run.
pub(crate) fn of_execute_error(error: &ExecuteError) -> Status {
    let code = match error {
        ExecuteError::Refused(text) => return of_error_reply(text.as_bytes(), &Site::default()),
        ExecuteError::Overloaded => Code::ResourceExhausted,
        ExecuteError::Unavailable(_) => Code::Unavailable,
    };
    Status::with_error_details(code, error.to_string(), ErrorDetails::with_retry_info(Some(RETRY_DELAY)))
}

/// The status of a request whose fields are at fault.
///
/// The message repeats the first violation: many clients show nothing else.
pub(crate) fn of_violations(mut violations: Vec<FieldViolation>) -> Status {
    violations.truncate(VIOLATIONS_MAX);
    let message = match violations.as_slice() {
        [] => "invalid request".to_owned(),
        [only] => format!("{}: {}", only.field, only.description),
        [first, rest @ ..] => format!("{}: {} (and {} more)", first.field, first.description, rest.len()),
    };
    Status::with_error_details(Code::InvalidArgument, message, ErrorDetails::with_bad_request(violations))
}

/// The status of a collection, or the element within it, that does not exist.
pub(crate) fn not_found(site: &Site<'_>) -> Status {
    let (kind, name) = resource(site);
    let message = format!("no such {kind}: {name}");
    let details = ErrorDetails::with_resource_info(kind, name.clone(), "", message.clone());
    Status::with_error_details(Code::NotFound, message, details)
}

/// `status` with what it is about: the kind of thing and its name where that does not exist, the request's field where
/// the request is at fault.
pub(crate) fn about(status: Status, kind: &str, name: &str, field: Option<&str>) -> Status {
    let (code, text) = (status.code(), status.message());
    let mut details = status.get_error_details();
    match (code, field) {
        (Code::NotFound, _) => {
            details.set_resource_info(kind, clip(name), "", text);
        }
        (Code::InvalidArgument, Some(field)) => {
            details.set_bad_request(vec![FieldViolation::new(field, text)]);
        }
        _ => return status,
    }
    Status::with_error_details(code, text, details)
}

/// The status of a reply that the server never gives: a defect, not the caller's doing.
pub(crate) fn unexpected_reply(what: &str) -> Status {
    Status::internal(format!("unexpected reply: {what}"))
}

/// As a message of a stream carries it.
pub(crate) fn to_message(status: &Status) -> pb::Status {
    match pb::Status::decode(status.details()) {
        Ok(message) if message.code == i32::from(status.code()) => message,
        _ => pb::Status { code: status.code().into(), message: status.message().to_owned(), details: Vec::new() },
    }
}

/// The code that belongs to a message that could not be received.
///
/// tonic calls one beyond the size limit OUT_OF_RANGE, where gRPC's own word is RESOURCE_EXHAUSTED, and one that is no
/// protobuf INTERNAL, as if it were not the sender's doing.
pub(crate) fn code_of_transport(code: Code, message: &str) -> Code {
    let of_the_sender =
        ["failed to decode Protobuf message", "protocol error", "Unexpected EOF", "Error decompressing"];
    match code {
        Code::OutOfRange => Code::ResourceExhausted,
        Code::Internal if of_the_sender.iter().any(|start| message.starts_with(start)) => Code::InvalidArgument,
        code => code,
    }
}

/// The status of a message that could not be received.
pub(crate) fn of_transport(status: Status) -> Status {
    let code = code_of_transport(status.code(), status.message());
    if code == status.code() { status } else { Status::new(code, status.message()) }
}

/// The status of work that others made void again and again.
pub(crate) fn contended(message: &str) -> Status {
    Status::with_error_details(Code::Aborted, message, ErrorDetails::with_retry_info(Some(RETRY_DELAY)))
}

/// The status of what a limit of this server does not admit now.
pub(crate) fn overloaded(message: &str) -> Status {
    Status::with_error_details(Code::ResourceExhausted, message, ErrorDetails::with_retry_info(Some(RETRY_DELAY)))
}

/// Whether a status says that a key holds another type.
pub(crate) fn is_wrong_type(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
        && status.get_details_error_info().is_some_and(|info| info.reason == "WRONGTYPE")
}

impl From<TokenError> for Status {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Malformed => Code::InvalidArgument,
            TokenError::Foreign => Code::FailedPrecondition,
        };
        Self::new(code, error.to_string())
    }
}

impl From<MalformedAuth> for Status {
    fn from(error: MalformedAuth) -> Self {
        Self::unauthenticated(error.to_string())
    }
}

fn code_of_error(reason: &str, text: &str) -> Code {
    match reason {
        "ERR" => code_of_plain_error(text),
        "WRONGTYPE" | "READONLY" | "MOVED" | "ASK" | "CROSSSLOT" | "MISCONF" | "NOREPLICAS" => Code::FailedPrecondition,
        "OOM" => Code::ResourceExhausted,
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => Code::Unavailable,
        "NOAUTH" | "WRONGPASS" => Code::Unauthenticated,
        "NOPERM" => Code::PermissionDenied,
        "EXECABORT" => Code::Aborted,
        "BUSYKEY" => Code::AlreadyExists,
        "NOSCRIPT" | "UNBLOCKED" | "INPROG" => Code::FailedPrecondition,
        _ => Code::Unknown,
    }
}

/// `ERR` says only that something is wrong; the text says what. By far most are the request's fault.
fn code_of_plain_error(text: &str) -> Code {
    if ["ERR element not found", "ERR no such view", "ERR no such key"].iter().any(|words| text.starts_with(words)) {
        Code::NotFound
    } else if text.starts_with("ERR view ") && text.ends_with(" already exists") {
        Code::AlreadyExists
    } else if is_index_mismatch(text.as_bytes()) {
        Code::FailedPrecondition
    } else if text.starts_with("ERR AUTH ") {
        Code::Unauthenticated
    } else if text.starts_with("ERR unknown command") {
        Code::Unimplemented
    } else if text.starts_with("ERR Background save already in progress") {
        Code::FailedPrecondition
    } else if text.starts_with("ERR max number of clients") {
        Code::ResourceExhausted
    } else {
        Code::InvalidArgument
    }
}

/// Whether an error reply says that the index options asked for contradict the existing collection.
pub(crate) fn is_index_mismatch(text: &[u8]) -> bool {
    text.ends_with(b"mismatch with existing vector set")
}

/// The request's field an error text is about, as far as it tells.
fn field_of_error(text: &str) -> Option<&'static str> {
    let fields = [
        ("FILTER", "filter"),
        ("RECALL", "recall"),
        ("dimension", "vector"),
        ("invalid vector", "vector"),
        ("invalid COUNT", "limit"),
        ("invalid EF", "ef"),
        ("invalid M", "index.m"),
    ];
    fields.into_iter().find(|(words, _)| text.contains(words)).map(|(_, field)| field)
}

fn resource(site: &Site<'_>) -> (&'static str, String) {
    match site.element {
        Some(id) => ("element", clip(&format!("{}/{}", site.collection, printable(id)))),
        None => ("collection", clip(site.collection)),
    }
}

/// An id as text: itself if it is UTF-8, else escaped.
fn printable(id: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(id).map_or_else(|_| Cow::Owned(id.escape_ascii().to_string()), Cow::Borrowed)
}

/// The text, cut to [`TEXT_BYTES_MAX`].
fn clip(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let cut = (0..=TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).expect("0 is a boundary");
    format!("{}...", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> Status {
        let site = Site { collection: "films", element: Some(b"alien"), path: "elements[3].".into() };
        of_error_reply(text.as_bytes(), &site)
    }

    #[test]
    fn each_error_reply_has_its_code_and_reason() {
        let table = [
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Code::FailedPrecondition),
            ("READONLY You can't write against a read only replica.", Code::FailedPrecondition),
            ("MOVED 1 127.0.0.1:7000", Code::FailedPrecondition),
            ("OOM command not allowed when used memory > 'maxmemory'.", Code::ResourceExhausted),
            ("LOADING Redis is loading the dataset in memory", Code::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Code::Unavailable),
            ("NOAUTH Authentication required.", Code::Unauthenticated),
            ("WRONGPASS invalid username-password pair or user is disabled.", Code::Unauthenticated),
            ("ERR AUTH <password> called without any password configured", Code::Unauthenticated),
            ("NOPERM User ann has no permissions to run the 'vadd' command", Code::PermissionDenied),
            ("EXECABORT Transaction discarded because of previous errors.", Code::Aborted),
            ("ERR element not found in set", Code::NotFound),
            ("ERR asked quantization mismatch with existing vector set", Code::FailedPrecondition),
            ("ERR unknown command 'VADD', with args beginning with: ", Code::Unimplemented),
            ("ERR Vector dimension mismatch - got 2 but set has 3", Code::InvalidArgument),
            ("ERR syntax error in FILTER expression near: .x ==", Code::InvalidArgument),
            ("STRANGE thing", Code::Unknown),
            ("", Code::Unknown),
        ];
        for (text, code) in table {
            let status = status(text);
            assert_eq!((status.code(), status.message()), (code, text));
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (text.split(' ').next().unwrap(), "quiver"));
        }
    }

    #[test]
    fn invalid_arguments_name_the_field() {
        let field = |text| status(text).get_details_bad_request().unwrap().field_violations[0].field.clone();
        assert_eq!(field("ERR Vector dimension mismatch - got 2 but set has 3"), "elements[3].vector");
        assert_eq!(field("ERR syntax error in FILTER expression near: .x =="), "elements[3].filter");
        assert_eq!(field("ERR invalid M"), "index.m");
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = status("ERR element not found in set").get_details_resource_info().unwrap();
        assert_eq!((missing.resource_type.as_str(), missing.resource_name.as_str()), ("element", "films/alien"));
        let odd = not_found(&Site { collection: "films", element: Some(b"\xff"), ..Site::default() });
        assert_eq!(odd.get_details_resource_info().unwrap().resource_name, "films/\\xff");
        let collection = not_found(&Site { collection: "films", ..Site::default() });
        assert_eq!(collection.get_details_resource_info().unwrap().resource_type, "collection");
    }

    #[test]
    fn what_passes_suggests_when_to_retry() {
        let loading = status("LOADING Redis is loading the dataset in memory");
        let overloaded = of_execute_error(&ExecuteError::Overloaded);
        let stopping = of_execute_error(&ExecuteError::Unavailable("stopping".into()));
        for status in [loading, overloaded, stopping] {
            assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(RETRY_DELAY));
        }
        assert_eq!(of_execute_error(&ExecuteError::Refused("NOAUTH x".into())).code(), Code::Unauthenticated);
    }

    #[test]
    fn a_status_stays_small_whatever_the_request_was() {
        let long = format!("ERR syntax error in FILTER expression near: {}", "é".repeat(100_000));
        assert!(status(&long).details().len() < 2_000);
        let violations = vec![FieldViolation::new("elements[0].id", "must not be empty"); 1000];
        assert!(of_violations(violations).details().len() < 2_000);
    }

    #[test]
    fn the_message_of_a_stream_is_the_same_status() {
        let message = to_message(&status("ERR invalid M"));
        assert_eq!((message.code, message.message.as_str(), message.details.len()), (3, "ERR invalid M", 2));
        let plain = to_message(&Status::deadline_exceeded("late"));
        assert_eq!((plain.code, plain.message.as_str(), plain.details.len()), (4, "late", 0));
    }
}
