//! What every call passes before its method runs: the number of calls, its deadline, its consistency token, and the
//! memory of its messages (`budget`).
//!
//! tonic's own deadline answers CANCELLED; this one is a little earlier and says DEADLINE_EXCEEDED. A call that is given up
//! at it, or by its client, is dropped: commands that have not begun do not run.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service};
use tonic::{Code, Status};
use tower::Layer;

use crate::budget::{Budget, Metered};
use crate::executor::Executor;
use crate::status;

/// Metadata that names a write this call wants to see.
const TOKEN_HEADER: &str = "quiver-consistency-token";
/// How much earlier than tonic's a deadline is: both timers tick in milliseconds.
const DEADLINE_EARLIER: Duration = Duration::from_millis(2);

/// Bounds that all connections of a server share.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) budget: Budget,
}

/// Puts a [`Guard`] around the services.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer<E> {
    pub(crate) bounds: Bounds,
    pub(crate) executor: E,
    /// Longest wait for what a token names.
    pub(crate) request_timeout: Duration,
}

/// The services and what guards them.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S, E> {
    inner: S,
    layer: GuardLayer<E>,
}

impl<S, E: Executor> Layer<S> for GuardLayer<E> {
    type Service = Guard<S, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Guard { inner, layer: self.clone() }
    }
}

impl<S, E> Service<Request<Body>> for Guard<S, E>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    E: Executor,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready must be the one that is called.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Box::pin(async move {
            let Ok(call) = Arc::clone(&layer.bounds.calls).try_acquire_owned() else {
                return Ok(status::overloaded("too many calls are open").into_http());
            };
            let deadline = deadline(request.headers());
            let answering = answer(inner, layer, request);
            let response = match deadline {
                None => answering.await?,
                Some(Duration::ZERO) => Status::deadline_exceeded("the deadline of the call has passed").into_http(),
                Some(left) => match tokio::time::timeout(left, answering).await {
                    Ok(response) => response?,
                    Err(_) => Status::deadline_exceeded("the deadline of the call has passed").into_http(),
                },
            };
            Ok(response.map(|body| Body::new(Counted { body, _call: call })))
        })
    }
}

async fn answer<S, E>(mut inner: S, layer: GuardLayer<E>, request: Request<Body>) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    E: Executor,
{
    if let Some(token) = request.headers().get(TOKEN_HEADER)
        && let Err(status) = wait_for(&layer, token).await
    {
        return Ok(status.into_http());
    }
    let held = layer.bounds.budget.hold();
    let metered = held.clone();
    let response = inner.call(request.map(|body| Body::new(Metered::new(body, metered)))).await?;
    // Until here a unary method may have used its message.
    drop(held);
    Ok(renamed(response))
}

async fn wait_for<E: Executor>(layer: &GuardLayer<E>, token: &HeaderValue) -> Result<(), Status> {
    let token = token.to_str().map_err(|_| crate::executor::TokenError::Malformed)?;
    match tokio::time::timeout(layer.request_timeout, layer.executor.reached(token)).await {
        Ok(reached) => Ok(reached?),
        Err(_) => Err(Status::deadline_exceeded("what the token names has not arrived here in time")),
    }
}

/// Gives the failures that tonic finds itself, before or instead of a method, the codes they are documented with.
fn renamed(mut response: Response<Body>) -> Response<Body> {
    let header = |name| response.headers().get(name).map_or(b"".as_slice(), HeaderValue::as_bytes);
    let code = header("grpc-status");
    if !code.is_empty() {
        let message = String::from_utf8_lossy(header("grpc-message")).replace("%20", " ");
        let code = Code::from_bytes(code);
        let right = status::code_of_transport(code, &message);
        if right != code {
            response.headers_mut().insert("grpc-status", HeaderValue::from(i32::from(right)));
        }
    }
    response
}

/// Time that `grpc-timeout` leaves: up to eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    let left = match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(left.saturating_sub(DEADLINE_EARLIER))
}

/// The body of an answer; its call is open until it ends.
struct Counted {
    body: Body,
    _call: OwnedSemaphorePermit,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use quiver_resp::OwnedArgv;
    use tower::ServiceExt as _;

    use super::*;
    use crate::executor::{Auth, ExecuteError, Pace, TokenError};

    fn left(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_static(text));
        deadline(&headers)
    }

    #[test]
    fn a_deadline_is_read_in_every_unit() {
        let expected =
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("40m", 40), ("50000u", 50), ("2M", 120_000)];
        for (text, ms) in expected {
            assert_eq!(left(text), Some(Duration::from_millis(ms) - DEADLINE_EARLIER), "{text}");
        }
        assert_eq!(left("1n"), Some(Duration::ZERO));
        for text in ["", "S", "5", "5x", "123456789S", "-1S"] {
            assert_eq!(left(text), None, "{text}");
        }
    }

    #[derive(Clone)]
    struct Stub;

    struct NoSession;

    impl crate::executor::Session for NoSession {
        async fn run(&mut self, _: Vec<OwnedArgv>, _: Pace) -> Result<Vec<u8>, ExecuteError> {
            Ok(Vec::new())
        }
    }

    impl Executor for Stub {
        type Session = NoSession;

        async fn open(&self, _: &Auth) -> Result<NoSession, ExecuteError> {
            Ok(NoSession)
        }

        fn token(&self) -> String {
            String::new()
        }

        async fn reached(&self, _: &str) -> Result<(), TokenError> {
            std::future::pending().await
        }
    }

    /// The status of a call with this header to a method that takes as long as it is given, and whether it was begun.
    async fn call(header: &'static str, value: &'static str, takes: Duration) -> (Code, bool) {
        let begun = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&begun);
        let method = tower::service_fn(move |_: Request<Body>| {
            seen.store(true, Relaxed);
            async move {
                tokio::time::sleep(takes).await;
                Ok::<_, std::convert::Infallible>(Status::ok("").into_http())
            }
        });
        let budget = Budget::new(1 << 20, 1 << 20, Duration::from_secs(1));
        let bounds = Bounds { calls: Arc::new(Semaphore::new(1)), budget };
        let layer = GuardLayer { bounds, executor: Stub, request_timeout: Duration::from_millis(20) };
        let request = Request::builder().header(header, value).body(Body::empty()).unwrap();
        let response = layer.layer(method).oneshot(request).await.unwrap();
        (Code::from_bytes(response.headers()["grpc-status"].as_bytes()), begun.load(Relaxed))
    }

    #[tokio::test]
    async fn a_call_ends_at_its_deadline_and_one_that_has_passed_is_not_begun() {
        let (quick, slow) = (Duration::ZERO, Duration::from_secs(60));
        assert_eq!(call("grpc-timeout", "30m", slow).await, (Code::DeadlineExceeded, true));
        assert_eq!(call("grpc-timeout", "30S", quick).await, (Code::Ok, true));
        assert_eq!(call("grpc-timeout", "1n", slow).await, (Code::DeadlineExceeded, false));
    }

    #[tokio::test]
    async fn a_token_is_waited_for_before_the_call_and_not_forever() {
        assert_eq!(call("quiver-consistency-token", "never", Duration::ZERO).await, (Code::DeadlineExceeded, false));
    }
}
