//! The upgrade: who may connect, and as whom.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::Door;
use crate::auth::{AuthError, Principal};
use crate::bus::alive::CutOff;
use crate::metrics::{Close, Refusal};
use crate::problem;
use crate::session::{Hello, Origin, Session, run};
use crate::ws::{self, handshake};
use address::client_address;

mod address;

const PROTOCOL: &str = "bannou.v1";
const RESUME: &str = "bannou.resume";
const BEARER: &str = "bannou.bearer.";
/// How long hyper may take to hand the connection over once it has answered.
const UPGRADE_WITHIN: Duration = Duration::from_secs(5);

pub fn router(door: &Arc<Door>, path: &str) -> axum::Router {
    axum::Router::new().route(path, any(connect)).with_state(door.clone())
}

/// What the client offers in `Sec-WebSocket-Protocol` and `Authorization`.
struct Offer<'a> {
    ours: bool,
    resume: bool,
    /// A token, and whether a refusal can be read as an HTTP status.
    token: Option<(&'a str, bool)>,
}

fn offer(headers: &HeaderMap) -> Result<Offer<'_>, Refused> {
    let mut offer = Offer { ours: false, resume: false, token: None };
    for protocol in handshake::protocols(headers) {
        match protocol {
            PROTOCOL => offer.ours = true,
            RESUME => offer.resume = true,
            _ => offer.token = protocol.strip_prefix(BEARER).map(|token| (token, false)).or(offer.token),
        }
    }
    if !offer.ours && (offer.resume || offer.token.is_some()) {
        return Err(Refused::plain(400, "subprotocol", "offer the subprotocol bannou.v1 beside the others"));
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = values.next() {
        let token = value
            .to_str()
            .ok()
            .and_then(|v| v.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token {
            Some((_, token)) if values.next().is_none() => offer.token = Some((token.trim(), true)),
            _ => return Err(Refused::unauthorized("send one Authorization header of the form: Bearer <jwt>")),
        }
    }
    Ok(offer)
}

/// Why there is no upgrade.
struct Refused {
    status: u16,
    reason: &'static str,
    detail: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    fn plain(status: u16, reason: &'static str, detail: impl Into<String>) -> Refused {
        Refused { status, reason, detail: detail.into(), header: None }
    }

    fn later(status: u16, reason: &'static str, detail: &str, seconds: &'static str) -> Refused {
        Refused { header: Some((RETRY_AFTER, seconds)), ..Refused::plain(status, reason, detail) }
    }

    fn unauthorized(detail: impl Into<String>) -> Refused {
        let challenge = (WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"");
        Refused { header: Some(challenge), ..Refused::plain(401, "token", detail) }
    }

    fn response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = serde_json::json!({
            "title": problem::title(self.status), "status": self.status, "detail": self.detail,
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

async fn connect(
    State(door): State<Arc<Door>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let upgrade = match handshake::check(&parts) {
        Ok(upgrade) => upgrade,
        Err(refusal) => {
            count(&door, refusal.reason());
            return refusal.response();
        }
    };
    let snapshot = door.shared.snapshot.load_full();
    let address = client_address(peer.ip(), &parts.headers, &snapshot.catalog.fleet.trusted_proxies);
    let admitted = admit(&door, &parts.headers, address).await;
    let (principal, hello, protocol, token) = match admitted {
        Ok(admitted) => admitted,
        Err(refused) => {
            count(&door, refused.reason);
            tracing::debug!(%address, reason = refused.reason, "upgrade refused");
            return refused.response();
        }
    };
    let mut request = Request::from_parts(parts, body);
    let pending = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Hyper hands the connection over when its answer is written.
        match tokio::time::timeout(UPGRADE_WITHIN, pending).await {
            Ok(Ok(upgraded)) => serve(&door, upgraded, address, principal, hello, token),
            Ok(Err(error)) => tracing::debug!(%address, %error, "the upgrade was not finished"),
            Err(_) => tracing::debug!(%address, "the upgrade was not finished in time"),
        }
    });
    upgrade.response(protocol)
}

type Admitted = (Option<Principal>, Hello, Option<&'static str>, Option<Box<str>>);

async fn admit(door: &Door, headers: &HeaderMap, address: IpAddr) -> Result<Admitted, Refused> {
    let shared = &door.shared;
    if shared.awaits_catalog() {
        let detail = "this gateway has not heard from its operator yet: try another";
        return Err(Refused::later(503, "no catalog", detail, "5"));
    }
    let snapshot = shared.snapshot.load_full();
    if let Some(origin) = headers.get(ORIGIN) {
        let allowed = |o: &String| o.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
        if !snapshot.catalog.fleet.origins.iter().chain(&door.extra_origins).any(allowed) {
            let detail = "this Origin is not on the fleet's list (spec.origins of the Fleet)";
            return Err(Refused::plain(403, "origin", detail));
        }
    }
    if door.draining.load(Ordering::Relaxed) {
        return Err(Refused::later(503, "draining", "this gateway is going away: connect to another", "1"));
    }
    if shared.alive.cut_off(snapshot.catalog.fleet.max_control_age_ms) >= CutOff::Newcomers {
        return Err(Refused::later(503, "cut off", "this gateway is cut off from its fleet: try another", "5"));
    }
    if shared.table.len() >= door.max_connections {
        return Err(Refused::later(503, "capacity", "this gateway is full: try again later", "5"));
    }
    let offer = offer(headers)?;
    let protocol = offer.ours.then_some(PROTOCOL);
    let greeting = if offer.resume { Hello::AwaitResume } else { Hello::Greet };
    let Some((token, readable)) = offer.token else {
        return Ok((None, greeting, protocol, None));
    };
    if !shared.failures.check(address, Instant::now()) {
        return Err(Refused::later(429, "failures", "too many refused tokens from this address: wait", "60"));
    }
    match snapshot.verifier.verify(token, SystemTime::now()).await {
        Ok(principal) => {
            let kept = snapshot.forwards_tokens.then(|| token.into());
            Ok((Some(principal), greeting, protocol, kept))
        }
        Err(AuthError::Expired) if offer.resume => Ok((None, greeting, protocol, None)),
        Err(error) => {
            if error.is_clients_fault() {
                shared.failures.failed(address, Instant::now());
            }
            if error == AuthError::KeysUnavailable {
                return Err(Refused::later(503, error.reason(), &error.detail(), "5"));
            }
            if readable {
                return Err(Refused { reason: error.reason(), ..Refused::unauthorized(error.detail()) });
            }
            // Upgraded, so that a browser can read why: counted here, since no refusal passes by.
            count(door, error.reason());
            Ok((None, Hello::Refuse, protocol, None))
        }
    }
}

/// Starts the session in a task of its own, so that nothing of the upgrade is kept as long as the client is idle.
fn serve(
    door: &Door,
    upgraded: hyper::upgrade::Upgraded,
    address: IpAddr,
    principal: Option<Principal>,
    hello: Hello,
    token: Option<Box<str>>,
) {
    let shared = &door.shared;
    let Ok((transport, leftover)) = handshake::transport(upgraded) else {
        return tracing::error!("an upgraded connection of a kind that the gateway does not serve");
    };
    // The view decides the limits, and the session the view: the codec begins with the fleet's and is told the rest.
    let snapshot = shared.snapshot.load_full();
    let view = snapshot.view(shared.admitted(&snapshot, principal.as_ref()));
    let (reader, writer) = ws::start(transport, leftover, Session::ws_limits(&view));
    drop((snapshot, view));
    let origin = if matches!(hello, Hello::AwaitResume) { Origin::Resuming } else { Origin::Fresh };
    let session = Session::new(shared.clone(), writer, address, principal, token, origin);
    shared.metrics.connects.inc();
    shared.metrics.connections.inc();
    let started = shared.now_ms();
    tokio::spawn(run(session, reader, hello, move |session, code| ended(session, address, code, started)));
}

fn ended(session: &Session, address: IpAddr, code: u16, started: u64) {
    let shared = &session.shared;
    shared.metrics.connections.dec();
    shared.metrics.closes.get_or_create(&Close { code }).inc();
    tracing::info!(
        target: "access",
        session = %session.id(),
        %address,
        subject = session.subject().as_deref().unwrap_or("-"),
        code,
        seconds = (shared.now_ms() - started) as f64 / 1000.0,
        "connection ended"
    );
}

fn count(door: &Door, reason: &'static str) {
    door.shared.metrics.refused.get_or_create(&Refusal { reason }).inc();
}
