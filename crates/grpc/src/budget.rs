//! How much memory the messages of all calls may take together, and how long one may take to arrive.
//!
//! A message announces its length before its bytes. The announcement is held against the budget before it is passed on
//! to whoever would reserve memory for it: beyond the budget the call fails, whatever the other calls do. A message's
//! share is free again when the call is over, or when its next message begins: by then the one before has been used.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes};

use crate::status;

/// Bytes that one permit stands for. Small messages take one.
const UNIT: usize = 1 << 10;
/// A flag and a length before every message.
const HEADER: usize = 5;

/// The memory of all messages.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    message_bytes_max: usize,
    message_timeout: Duration,
}

/// What one call holds of it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    budget: Budget,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Budget {
    /// For messages of `bytes_max` together, each of at most `message_bytes_max` and arriving within `message_timeout`.
    pub(crate) fn new(bytes_max: usize, message_bytes_max: usize, message_timeout: Duration) -> Self {
        let units = (bytes_max.max(message_bytes_max) / UNIT + 1).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), message_bytes_max, message_timeout }
    }

    /// Nothing yet.
    pub(crate) fn hold(&self) -> Held {
        Held { budget: self.clone(), permit: Arc::default() }
    }
}

impl Held {
    /// Gives back the message before and takes one of `len` bytes.
    fn replace(&self, len: usize) -> Result<(), Status> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        *permit = None;
        if len > self.budget.message_bytes_max {
            // Whoever reads the message refuses it without reserving anything.
            return Ok(());
        }
        let units = u32::try_from(len / UNIT + 1).unwrap_or(u32::MAX);
        match Arc::clone(&self.budget.units).try_acquire_many_owned(units) {
            Ok(taken) => *permit = Some(taken),
            Err(_) => return Err(status::overloaded("the messages of all calls take too much memory")),
        }
        Ok(())
    }
}

/// The body of a request, its messages held against the budget.
pub(crate) struct Metered {
    body: Body,
    held: Held,
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    seen: usize,
    /// Bytes of the message that are to come.
    missing: usize,
    timeout: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    pub(crate) fn new(body: Body, held: Held) -> Self {
        Self { body, held, header: [0; HEADER], seen: 0, missing: 0, timeout: None }
    }

    /// Follows the messages within `data`.
    fn take(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.missing > 0 {
                let here = self.missing.min(data.len());
                self.missing -= here;
                data = &data[here..];
                continue;
            }
            self.header[self.seen] = data[0];
            self.seen += 1;
            data = &data[1..];
            if self.seen == HEADER {
                self.seen = 0;
                let [_, len @ ..] = self.header;
                self.missing = u32::from_be_bytes(len) as usize;
                self.held.replace(self.missing)?;
            }
        }
        Ok(())
    }

    fn is_within_message(&self) -> bool {
        self.missing > 0 || self.seen > 0
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && let Err(status) = this.take(data)
                {
                    return Poll::Ready(Some(Err(status)));
                }
                if !this.is_within_message() {
                    this.timeout = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Pending if this.is_within_message() => {
                let after = this.held.budget.message_timeout;
                let timeout = this.timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
                timeout
                    .as_mut()
                    .poll(cx)
                    .map(|()| Some(Err(Status::deadline_exceeded("the rest of the message did not arrive in time"))))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(len: u32) -> Vec<u8> {
        [&[0][..], &len.to_be_bytes(), &vec![7; len as usize]].concat()
    }

    fn metered(budget: &Budget) -> Metered {
        Metered::new(Body::empty(), budget.hold())
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let budget = Budget::new(1 << 20, 1 << 20, Duration::from_secs(1));
        let all = budget.units.available_permits();
        let bytes = [message(3_000), message(0), message(10)].concat();
        for piece in [1, 2, 7, 4_096] {
            let mut metered = metered(&budget);
            for data in bytes.chunks(piece) {
                metered.take(data).unwrap();
            }
            assert!(!metered.is_within_message());
            assert_eq!(budget.units.available_permits(), all - 1, "the last message is held");
            drop(metered);
            assert_eq!(budget.units.available_permits(), all);
        }
    }

    #[test]
    fn an_announcement_beyond_the_budget_is_refused_before_its_bytes_are_there() {
        let budget = Budget::new(100 << 10, 64 << 10, Duration::from_secs(1));
        let mut first = metered(&budget);
        first.take(&message(64 << 10)[..5]).unwrap();
        let mut second = metered(&budget);
        assert_eq!(second.take(&message(64 << 10)[..5]).unwrap_err().code(), tonic::Code::ResourceExhausted);
        drop(first);
        metered(&budget).take(&message(64 << 10)[..5]).unwrap();
    }

    #[test]
    fn what_is_too_large_anyway_takes_nothing() {
        let budget = Budget::new(100 << 10, 64 << 10, Duration::from_secs(1));
        let all = budget.units.available_permits();
        let mut large = metered(&budget);
        large.take(&[0, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!(budget.units.available_permits(), all);
    }
}
