//! One endpoint, compiled once; and one call of it, checked and built before anything is sent. No I/O.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bannou_crds::catalog::{Effect, Endpoint, Interaction, Payload, Service};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::utf8_percent_encode;

use super::breaker;
use super::caller::{Caller, RequestId, Values};
use super::effects::REQUEST_ID;
use super::error::{CallError, RouteError};
use super::http::Shared;
use super::path::{self, Template, Via};

const CLIENT_ID: HeaderName = HeaderName::from_static("bannou-client-id");
const SESSION_ID: HeaderName = HeaderName::from_static("bannou-session-id");
const SUBJECT: HeaderName = HeaderName::from_static("bannou-subject");
const ISSUER: HeaderName = HeaderName::from_static("bannou-issuer");
const TIERS: HeaderName = HeaderName::from_static("bannou-tiers");
const MESSAGE_ID: HeaderName = HeaderName::from_static("bannou-message-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("bannou-idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const DAPR_API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Direct { authority: Authority, base: String },
    Dapr { authority: Authority, api_token: Option<HeaderValue>, app: String },
    Nowhere,
}

/// An endpoint ready to be called; kept in a snapshot and shared by all sessions.
pub struct Route {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) payload: Payload,
    pub(super) timeout: Duration,
    pub(super) interaction: Interaction,
    pub(super) idempotent: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) max_request: usize,
    pub(super) max_response: usize,
    pub(super) max_in_flight: u32,
    pub(super) breaker: Option<breaker::Rules>,
    pub(super) shared: Arc<Shared>,
    pub(super) via: Via,
    /// `None`: a Dapr backend without a sidecar.
    authority: Option<Authority>,
    path: Template,
    fixed: Option<PathAndQuery>,
    /// What every request of this route carries.
    headers: HeaderMap,
    forward_authorization: bool,
}

impl Route {
    pub(super) fn new(
        service: &Service,
        endpoint: &Endpoint,
        exit: Exit,
        shared: Arc<Shared>,
    ) -> Result<Route, RouteError> {
        let name = format!("{}.{}", service.name, endpoint.name);
        let wrong = |what: String| RouteError { service: service.name.clone(), endpoint: endpoint.name.clone(), what };
        let method: Method = match endpoint.method.as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            "PATCH" => Method::PATCH,
            "DELETE" => Method::DELETE,
            other => return Err(wrong(format!("{other:?} is no method: GET, POST, PUT, PATCH or DELETE"))),
        };
        if endpoint.payload == Payload::Body && method == Method::GET {
            return Err(wrong("GET takes its payload as Query or None".into()));
        }
        let mut headers = HeaderMap::with_capacity(16);
        if endpoint.payload == Payload::Body {
            let value = HeaderValue::from_str(&endpoint.content_type);
            headers.insert(CONTENT_TYPE, value.map_err(|_| wrong("contentType is no header value".into()))?);
        }
        let (authority, prefix, via) = match exit {
            Exit::Direct { authority, base } => (Some(authority), base, Via::Direct),
            Exit::Dapr { authority, api_token, app } => {
                if let Some(token) = api_token {
                    headers.insert(DAPR_API_TOKEN, token);
                }
                // Never of known length: daprd replays such a body when a connection breaks, and a POST would arrive twice.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
                (Some(authority), format!("/v1.0/invoke/{app}/method"), Via::Dapr)
            }
            Exit::Nowhere => (None, String::new(), Via::Dapr),
        };
        if let Some(authority) = &authority {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|e| wrong(e.to_string()))?;
            headers.insert(HOST, host);
        }
        let path = Template::new(prefix, &endpoint.path, via).map_err(wrong)?;
        let fixed = path.fixed().map(PathAndQuery::try_from).transpose().map_err(|e| wrong(e.to_string()))?;
        Ok(Route {
            name,
            method,
            payload: endpoint.payload,
            timeout: Duration::from_millis(endpoint.timeout_ms),
            interaction: endpoint.interaction,
            idempotent: endpoint.idempotent,
            effects: endpoint.effects.clone(),
            max_request: endpoint.max_request_bytes as usize,
            max_response: endpoint.max_response_bytes as usize,
            max_in_flight: service.max_in_flight,
            breaker: service.breaker,
            shared,
            via,
            authority,
            fixed,
            path,
            headers,
            forward_authorization: endpoint.forward_authorization,
        })
    }

    /// `<service>.<endpoint>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn interaction(&self) -> Interaction {
        self.interaction
    }

    /// Checks the payload and builds the request. Nothing that a client chooses becomes a header.
    ///
    /// # Errors
    /// The 4xx ones of [`CallError`], and [`CallError::NotConfigured`].
    pub fn prepare(self: &Arc<Self>, caller: &Caller<'_>, payload: Bytes) -> Result<Call, CallError> {
        if payload.len() > self.max_request {
            return Err(CallError::RequestTooLarge);
        }
        match self.payload {
            Payload::Query if !path::is_query(&payload) => return Err(CallError::BadQuery),
            Payload::None if !payload.is_empty() => return Err(CallError::UnexpectedPayload),
            Payload::Body | Payload::Query | Payload::None => {}
        }
        let authority = self.authority.clone().ok_or(CallError::NotConfigured)?;
        let target = match (&self.fixed, self.payload) {
            (Some(fixed), Payload::Body | Payload::None) => fixed.clone(),
            (_, kind) => {
                let mut target = String::with_capacity(128 + payload.len());
                self.path.write(caller, &mut target)?;
                if kind == Payload::Query && !payload.is_empty() {
                    target.push('?');
                    target.push_str(std::str::from_utf8(&payload).map_err(|_| CallError::BadQuery)?);
                }
                PathAndQuery::try_from(target).map_err(|_| CallError::UnsafeVariable)?
            }
        };
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = Some(authority);
        uri.path_and_query = Some(target);
        let uri = Uri::from_parts(uri).map_err(|_| CallError::UnsafeVariable)?;
        let mut headers = self.headers.clone();
        self.write_headers(caller, &mut headers);
        let payload = if self.payload == Payload::Body { payload } else { Bytes::new() };
        Ok(Call { route: self.clone(), uri, headers, payload, request_id: caller.request_id })
    }

    fn write_headers(&self, caller: &Caller<'_>, headers: &mut HeaderMap) {
        let mut values = Values::default();
        values.add(CLIENT_ID, format_args!("{}", caller.client_id));
        values.add(SESSION_ID, format_args!("{}", caller.session_id));
        if let Some(subject) = caller.subject {
            values.add(SUBJECT, format_args!("{}", utf8_percent_encode(subject, path::SEGMENT)));
        }
        if let Some(issuer) = caller.issuer {
            values.add(ISSUER, format_args!("{}", utf8_percent_encode(issuer, path::SEGMENT)));
        }
        values.add(TIERS, format_args!("{}", caller.tiers));
        values.add(MESSAGE_ID, format_args!("{}", caller.number));
        values.add(IDEMPOTENCY_KEY, format_args!("{}-{}-{}", caller.session_id, self.name, caller.number));
        values.add(REQUEST_ID, format_args!("{}", caller.request_id));
        let RequestId { id, span } = caller.request_id;
        // Fresh per request, and not marked as sampled: whether to trace is the sidecar's decision.
        values.add(TRACEPARENT, format_args!("00-{id:032x}-{span:016x}-00"));
        if let Some(token) = caller.token.filter(|_| self.forward_authorization) {
            values.add(AUTHORIZATION, format_args!("Bearer {token}"));
        }
        values.insert_into(headers);
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("name", &self.name).field("via", &self.via).finish_non_exhaustive()
    }
}

/// One request, built and not yet sent. Owned: it outlives the frame it came in.
pub struct Call {
    pub(super) route: Arc<Route>,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
    pub(super) request_id: RequestId,
}

impl Call {
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for Call {
    /// Headers can hold tokens: they stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { route, payload, request_id, .. } = self;
        write!(f, "Call({} {request_id}, {} bytes)", route.name, payload.len())
    }
}
