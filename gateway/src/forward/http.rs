//! Sending a built request and reading its answer: limits, deadlines, breaker and places in flight.
//!
//! hyper's pooled client and nothing above it: no redirects, proxies, cookies, decompression or headers of its own, so
//! that what a service sees is what `route` wrote. Its pool repeats a request on another connection only while not a
//! byte of it was written; everything after that is an error here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bannou_crds::catalog::Interaction;
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::time::timeout_at;

use super::Config;
use super::breaker::{Breaker, Outcome, Ticket};
use super::dapr;
use super::effects::{self, Dropped, EffectHeader, Effects};
use super::error::CallError;
use super::path::Via;
use super::route::{Call, Route};

/// The head of an answer may take so much.
const MAX_HEAD: usize = 64 * 1024;

pub(super) type Http = Client<HttpConnector, Outgoing>;

pub(super) fn client(config: &Config, idle: Duration) -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(config.connect_timeout));
    connector.set_keepalive(Some(Duration::from_secs(30)));
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(idle)
        .pool_max_idle_per_host(config.max_idle_per_host)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(MAX_HEAD)
        .set_host(false)
        .build(connector)
}

/// What all endpoints of one service share; it outlives the catalog's versions.
#[derive(Debug, Default)]
pub(super) struct Shared {
    in_flight: AtomicU32,
    breaker: Mutex<Breaker>,
}

/// A request's place among those in flight; tells the breaker how it went when it is given back.
struct Place {
    route: Arc<Route>,
    ticket: Option<Ticket>,
    outcome: Outcome,
}

impl Place {
    fn take(route: &Arc<Route>) -> Result<Place, CallError> {
        let shared = &route.shared;
        let before = shared.in_flight.fetch_add(1, Ordering::Relaxed);
        // From here on the drop of this gives the count back.
        let mut place = Place { route: route.clone(), ticket: None, outcome: Outcome::Neither };
        if before >= route.max_in_flight {
            return Err(CallError::Overloaded);
        }
        if let Some(rules) = &route.breaker {
            place.ticket = Some(shared.breaker.lock().admit(rules, Instant::now()).ok_or(CallError::BreakerOpen)?);
        }
        Ok(place)
    }

    /// What the breaker should learn from an error. A too large answer, or one of our own refusals, says nothing about
    /// whether the service lives.
    fn failed(&mut self, error: CallError) {
        self.outcome = match error {
            CallError::Unreachable | CallError::BrokenAnswer | CallError::SidecarRefused | CallError::Timeout => {
                Outcome::Failure
            }
            _ => Outcome::Neither,
        };
    }

    /// A status of 500 can be any client's doing, so it must not close the service to all others.
    fn answered(&mut self, status: u16) {
        self.outcome = if matches!(status, 502..=504) { Outcome::Failure } else { Outcome::Success };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.route.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let (Some(ticket), Some(rules)) = (self.ticket, &self.route.breaker) {
            self.route.shared.breaker.lock().settle(ticket, self.outcome, rules, Instant::now());
        }
    }
}

/// A request's body: one piece, and a length that is told or not.
pub(super) struct Outgoing {
    piece: Option<Bytes>,
    told: bool,
}

impl Outgoing {
    pub(super) fn empty() -> Self {
        Outgoing { piece: None, told: true }
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.piece.take().filter(|p| !p.is_empty()).map(|p| Ok(Frame::data(p))))
    }

    fn is_end_stream(&self) -> bool {
        // An empty body of untold length still has to say so, in chunks.
        if self.told { self.piece.as_ref().is_none_or(Bytes::is_empty) } else { self.piece.is_none() }
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.piece.as_ref().map_or(0, Bytes::len) as u64;
        if self.told { SizeHint::with_exact(len) } else { SizeHint::default() }
    }
}

/// When the next byte is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A request: the whole answer by then.
    At(tokio::time::Instant),
    /// A stream: each part so long after it was asked for.
    Each(Duration),
}

impl Due {
    fn next(self) -> tokio::time::Instant {
        match self {
            Due::At(at) => at,
            Due::Each(wait) => tokio::time::Instant::now() + wait,
        }
    }
}

/// A service's own answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Only what the endpoint declares, and only when the answer repeats our request id.
    pub effects: Vec<EffectHeader>,
    pub dropped: Dropped,
    pub body: Body,
}

/// The rest of an answer, read as it comes. Dropping it closes the connection to the service.
pub struct Body {
    source: Source,
    /// Of a stream: read while its head was awaited.
    first: Option<Bytes>,
    left: usize,
    /// As the service announced it, never more than the endpoint allows.
    expected: usize,
    due: Due,
    place: Place,
}

enum Source {
    Live(Incoming),
    /// Read already.
    Held(Bytes),
    Ended,
}

impl Body {
    /// The next part, never empty; `None` at the end.
    ///
    /// # Errors
    /// [`CallError::AnswerTooLarge`], [`CallError::Timeout`], [`CallError::BrokenAnswer`]; nothing follows an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let part = self.read().await;
        if let Err(error) = part {
            self.place.failed(error);
        }
        if !matches!(part, Ok(Some(_))) {
            self.source = Source::Ended;
        }
        part
    }

    async fn read(&mut self) -> Result<Option<Bytes>, CallError> {
        let until = self.due.next();
        loop {
            let part = match &mut self.source {
                Source::Ended => return Ok(None),
                Source::Held(_) => match std::mem::replace(&mut self.source, Source::Ended) {
                    Source::Held(bytes) => bytes,
                    _ => return Ok(None),
                },
                Source::Live(incoming) => match timeout_at(until, incoming.frame()).await {
                    Err(_) => return Err(CallError::Timeout),
                    Ok(None) => return Ok(None),
                    Ok(Some(Err(_))) => return Err(CallError::BrokenAnswer),
                    // Trailers are no part of the protocol.
                    Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                },
            };
            self.left = self.left.checked_sub(part.len()).ok_or(CallError::AnswerTooLarge)?;
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
    }

    /// The whole rest; of one part without a copy.
    ///
    /// # Errors
    /// As [`Body::next`].
    pub async fn all(mut self) -> Result<Bytes, CallError> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut whole = BytesMut::with_capacity(self.expected.max(first.len() + second.len()));
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(part) = self.next().await? {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("route", &self.place.route).field("left", &self.left).finish_non_exhaustive()
    }
}

pub(super) async fn call(http: &Http, call: Call) -> Result<Answer, CallError> {
    let mut place = Place::take(&call.route)?;
    let (route, id) = (call.route.clone(), call.request_id);
    let until = tokio::time::Instant::now() + route.timeout;
    let sent = timeout_at(until, send(http, call)).await.unwrap_or(Err(CallError::Timeout));
    let (head, source) = sent.inspect_err(|error| place.failed(*error))?;
    let status = head.status.as_u16();
    place.answered(status);
    let Effects { honoured, dropped } = effects::read(&head.headers, &route.effects, &id.to_string());
    let expected = match &source {
        Source::Live(incoming) => usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX),
        Source::Held(bytes) => bytes.len(),
        Source::Ended => 0,
    };
    if expected > route.max_response {
        return Err(CallError::AnswerTooLarge);
    }
    let mut body = Body { source, first: None, left: route.max_response, expected, due: Due::At(until), place };
    if route.interaction == Interaction::Stream {
        // Its time runs until the first byte, not until the head.
        body.first = body.next().await?;
        body.due = Due::Each(route.timeout);
    }
    Ok(Answer { status, effects: honoured, dropped, body })
}

/// Sends, once, and receives the head. An answer that the sidecar itself made is an error.
async fn send(http: &Http, call: Call) -> Result<(http::response::Parts, Source), CallError> {
    let Call { route, uri, headers, payload, request_id } = call;
    let build = || {
        let mut request = Request::new(Outgoing { piece: Some(payload.clone()), told: route.via == Via::Direct });
        *request.method_mut() = route.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers.clone();
        request
    };
    let mut sent = http.request(build()).await;
    if sent.is_err() && route.idempotent {
        sent = http.request(build()).await;
    }
    let response = sent.map_err(|error| {
        let fault = if error.is_connect() { CallError::Unreachable } else { CallError::BrokenAnswer };
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(endpoint = route.name, instance = %request_id, reason = fault.reason(), "{error}: {cause}");
        fault
    })?;
    if !(200..600).contains(&response.status().as_u16()) {
        return Err(CallError::BrokenAnswer);
    }
    let (head, mut body) = response.into_parts();
    if route.via == Via::Direct || !dapr::may_be_its_own(&head) {
        return Ok((head, Source::Live(body)));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| CallError::BrokenAnswer)?.into_data().unwrap_or_default();
        if whole.len() + data.len() > dapr::MAX_OWN_ANSWER {
            return Err(CallError::AnswerTooLarge);
        }
        whole.extend_from_slice(&data);
    }
    match dapr::own_word(&head, &whole) {
        None => Ok((head, Source::Held(whole.freeze()))),
        Some(word) => {
            dapr::tell(&word, &route.name, request_id);
            Err(word.error)
        }
    }
}
