//! The routes of the internal port. A request's answer is the client's; all else is JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bannou_crds::catalog::{Event, EventInteraction, Service};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::access::{Access, Unknown};
use super::speak::{Outcome, Speaker, Speech, Told};
use crate::bus::contract::{Address, MAX_PAYLOAD, MOVED_TO, STATUS, TIMEOUT_MS, subject_key};
use crate::metrics::Refusal;
use crate::problem::{self, More};
use crate::shared::Shared;
use crate::snapshot::Snapshot;

/// Bodies that are being read at once: with [`MAX_PAYLOAD`] a bound on memory.
const READING: usize = 64;
const BODY_WITHIN: Duration = Duration::from_secs(10);
const OCTETS: &str = "application/octet-stream";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

pub struct Port {
    pub shared: Arc<Shared>,
    pub speaker: Arc<Speaker>,
    pub access: Access,
    reading: Semaphore,
}

impl Port {
    pub fn new(shared: Arc<Shared>, speaker: Arc<Speaker>, access: Access) -> Port {
        Port { shared, speaker, access, reading: Semaphore::new(READING) }
    }
}

pub fn router(port: Arc<Port>) -> Router {
    Router::new()
        .route("/v1/clients/{client_id}/events/{event}", post(client))
        .route("/v1/subjects/{issuer}/{subject}/events/{event}", post(subject))
        .route("/v1/tiers/{tier}/events/{event}", post(tier))
        .route("/v1/all/events/{event}", post(all))
        .route("/v1/groups/{*rest}", any(groups))
        // What Dapr's app health checks ask.
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(|| async { Failure::new(404, "there is no such path here").into_response() })
        .method_not_allowed_fallback(|| async { Failure::new(405, "events are sent with POST").into_response() })
        .with_state(port)
}

/// Whom a path names.
enum Whom {
    Client(String),
    Subject { issuer: String, subject: String },
    Tier(String),
    All,
}

async fn client(State(port): State<Arc<Port>>, Path((id, event)): Path<(String, String)>, r: Request) -> Response {
    port.answer(Whom::Client(id), event, r).await
}

async fn subject(
    State(port): State<Arc<Port>>,
    Path((issuer, subject, event)): Path<(String, String, String)>,
    r: Request,
) -> Response {
    port.answer(Whom::Subject { issuer, subject }, event, r).await
}

async fn tier(State(port): State<Arc<Port>>, Path((tier, event)): Path<(String, String)>, r: Request) -> Response {
    port.answer(Whom::Tier(tier), event, r).await
}

async fn all(State(port): State<Arc<Port>>, Path(event): Path<String>, r: Request) -> Response {
    port.answer(Whom::All, event, r).await
}

async fn groups(State(port): State<Arc<Port>>, r: Request) -> Response {
    let failure = match port.caller(&r) {
        Ok(_) => Failure::new(501, "groups are not built yet: this gateway has none to send to or to change"),
        Err(unknown) => unknown.into(),
    };
    port.count(&failure);
    failure.into_response()
}

/// What is said instead of an answer.
struct Failure {
    status: u16,
    detail: String,
    reason: Option<&'static str>,
    id: Option<Uuid>,
    moved_to: Option<String>,
    /// Said by a gateway that has the client, not by this one alone.
    told: bool,
}

impl Failure {
    fn new(status: u16, detail: impl Into<String>) -> Failure {
        Failure { status, detail: detail.into(), reason: None, id: None, moved_to: None, told: false }
    }

    fn because(mut self, reason: &'static str) -> Failure {
        self.reason = Some(reason);
        self
    }
}

impl From<Unknown> for Failure {
    fn from(unknown: Unknown) -> Failure {
        Failure::new(401, unknown.to_string()).because(unknown.reason())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Failure { status, detail, reason, id, moved_to, told } = self;
        let instance = format!("urn:bannou:internal:{}", id.unwrap_or_else(Uuid::new_v4));
        tracing::debug!(instance, status, detail, reason, "a service's message came to nothing");
        let body = problem::body(status, &detail, &instance, More { reason, ..More::default() });
        let mut response = answered(status, PROBLEM, body.into(), moved_to);
        let headers = response.headers_mut();
        if told {
            headers.insert(HeaderName::from_static(STATUS), status.into());
        }
        match status {
            401 => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            503 => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response
    }
}

fn answered(status: u16, content_type: &'static str, body: Bytes, moved_to: Option<String>) -> Response {
    let mut response = Response::new(Body::from(body));
    // A client may end its answer with any number; what is no failure of HTTP's is one of a gateway's.
    let known = StatusCode::from_u16(status)
        .ok()
        .filter(|s| s.as_u16() == 200 || s.is_client_error() || s.is_server_error() || s.as_u16() == 202);
    *response.status_mut() = known.unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(moved_to) = moved_to.and_then(|to| HeaderValue::try_from(to).ok()) {
        response.headers_mut().insert(HeaderName::from_static(MOVED_TO), moved_to);
    }
    response
}

impl Port {
    async fn answer(&self, whom: Whom, event: String, request: Request) -> Response {
        match self.say(whom, &event, request).await {
            Ok(response) => response,
            Err(failure) => {
                self.count(&failure);
                failure.into_response()
            }
        }
    }

    fn count(&self, failure: &Failure) {
        let reason = failure.reason.unwrap_or_else(|| problem::title(failure.status));
        self.shared.metrics.internal_refused.get_or_create(&Refusal { reason }).inc();
    }

    fn caller(&self, request: &Request) -> Result<super::access::Caller, Unknown> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        // Not known where it comes from: then it does not come from here.
        let peer = peer.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into());
        self.access.caller(request.headers(), peer)
    }

    async fn say(&self, whom: Whom, name: &str, request: Request) -> Result<Response, Failure> {
        let caller = self.caller(&request)?;
        let snapshot = self.shared.snapshot.load_full();
        // One answer for what is not there and what is another's: names are nobody else's business.
        let (service, event) =
            find(&snapshot, name).filter(|(service, _)| caller.speaks_for(service)).ok_or_else(|| {
                Failure::new(403, format!("there is no event {name} that this caller may send")).because("event")
            })?;
        let request_event = event.interaction == EventInteraction::Request;
        let one = matches!(whom, Whom::Client(_));
        if request_event && !one {
            return Err(Failure::new(400, format!("{name} is a request: it can be sent to one client only")));
        }
        let timeout = wanted_timeout(request.headers())?.unwrap_or(event.timeout_ms).min(event.timeout_ms);
        let key = key(&whom, &snapshot)?;
        let body = self.body(request).await?;
        let timeout = Duration::from_millis(timeout);
        let speech = Speech { key, service: &service.name, event: &event.name, timeout, body };
        self.shared.metrics.internal_messages.inc();
        let (id, outcome) = match &whom {
            Whom::Client(_) => self.speaker.to_one(speech, request_event).await,
            Whom::Subject { issuer, subject } => {
                let issuer = exact(issuer, &snapshot).unwrap_or(issuer);
                self.speaker.to_subject(issuer, subject, speech).await
            }
            Whom::Tier(_) | Whom::All => self.speaker.to_many(speech).await,
        };
        let to_subject = matches!(whom, Whom::Subject { .. });
        response(outcome, request_event, to_subject).map_err(|failure| Failure { id, ..failure })
    }

    async fn body(&self, request: Request) -> Result<Bytes, Failure> {
        let late = || Failure::new(408, "the body did not come in time");
        let read = async {
            let _place = self.reading.acquire().await;
            to_bytes(request.into_body(), MAX_PAYLOAD).await
        };
        match timeout(BODY_WITHIN, read).await {
            Err(_) => Err(late()),
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) if too_long(&error) => {
                Err(Failure::new(413, format!("a payload has at most {MAX_PAYLOAD} bytes")))
            }
            Ok(Err(_)) => Err(Failure::new(400, "the body broke off")),
        }
    }
}

fn too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|e| e.is::<http_body_util::LengthLimitError>())
}

fn find<'a>(snapshot: &'a Snapshot, name: &str) -> Option<(&'a Service, &'a Event)> {
    let first = snapshot.entries.partition_point(|e| *e.name < *name);
    snapshot.entries[first..].iter().take_while(|e| *e.name == *name).find_map(|e| snapshot.event(e))
}

fn wanted_timeout(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let malformed = || Failure::new(400, "bannou-timeout-ms must be a whole number of milliseconds");
    let value = headers.get(TIMEOUT_MS).map(|v| v.to_str().ok().and_then(|v| v.parse().ok()).ok_or_else(malformed));
    value.transpose()
}

/// The `iss` of an issuer that is called by it or by its name in the Fleet. Sidecars decode paths on the way, and a URL
/// in one does not survive that: a name does.
fn exact<'a>(issuer: &str, snapshot: &'a Snapshot) -> Option<&'a str> {
    let issuers = &snapshot.catalog.fleet.issuers;
    issuers.iter().find(|i| i.name == issuer || i.issuer == issuer).map(|i| i.issuer.as_str())
}

/// The routing key.
fn key(whom: &Whom, snapshot: &Snapshot) -> Result<String, Failure> {
    match whom {
        Whom::Client(id) => match Address::parse(id) {
            Some(Address::Client { .. }) => Ok(id.clone()),
            _ => Err(Failure::new(404, "this is no client_id of any gateway")),
        },
        Whom::Subject { issuer, subject } => {
            let issuer = exact(issuer, snapshot).ok_or_else(|| {
                Failure::new(404, "this fleet has no such issuer: write its name in the Fleet, or its iss")
            })?;
            Ok(format!("subject.{}", subject_key(issuer, subject)))
        }
        Whom::Tier(tier) => {
            let known = snapshot.catalog.tiers.iter().any(|t| t.name == *tier);
            known.then(|| format!("tier.{tier}")).ok_or_else(|| Failure::new(404, "this fleet has no such tier"))
        }
        Whom::All => Ok("all".to_owned()),
    }
}

fn response(outcome: Outcome, request: bool, to_subject: bool) -> Result<Response, Failure> {
    let delivered = |status, n| Ok(answered(status, JSON, format!("{{\"delivered\":{n}}}").into(), None));
    match outcome {
        Outcome::Told(Told { status: 200, body, moved_to }) if request => {
            let mut response = answered(200, OCTETS, body, moved_to);
            response.headers_mut().insert(HeaderName::from_static(STATUS), 200.into());
            Ok(response)
        }
        Outcome::Told(Told { status: 200, .. }) => delivered(200, 1),
        Outcome::Told(Told { status, body, moved_to }) if request && !body.is_empty() => {
            // The client's own failure, in the client's own words.
            let mut response = answered(status, OCTETS, body, moved_to);
            response.headers_mut().insert(HeaderName::from_static(STATUS), status.into());
            Ok(response)
        }
        Outcome::Told(Told { status, moved_to, .. }) => {
            Err(Failure { moved_to, told: true, ..Failure::new(status, said(status)) })
        }
        Outcome::Delivered { clients: 0, all: true } if to_subject => {
            Err(Failure::new(404, "this subject has no connection that may receive this"))
        }
        Outcome::Delivered { clients, all } => delivered(if all { 200 } else { 202 }, clients),
        Outcome::Late if request => Err(Failure::new(408, said(408))),
        Outcome::Late => delivered(202, 0),
        Outcome::Nobody => Err(Failure::new(404, "the gateway of this client is gone, and the client with it")),
        Outcome::Unavailable(why) => Err(Failure::new(503, why)),
    }
}

/// What a status means that came without words.
fn said(status: u16) -> &'static str {
    match status {
        400 => "the message is malformed",
        403 => "the client may not receive this event, or this service may not send it",
        404 => "the client is gone",
        408 => "the client has not answered in time",
        413 => "the payload is too large",
        429 => "as many exchanges with this client are open as may",
        503 => "the client's queue was full: the message was dropped or replaced",
        _ => "it failed at the client",
    }
}
