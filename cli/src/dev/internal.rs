//! The internal port of a gateway, as a service calls it, by itself or through its sidecar: for the demo services and the playground.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// Longer than any event of a quickstart waits; the gateway answers by its event's `timeout`.
const PATIENCE: Duration = Duration::from_secs(75);
pub const TOLD: HeaderName = HeaderName::from_static("bannou-status");
/// As much as a client may send.
const MAX_ANSWER: usize = 16 << 20;

/// Clones are the same one.
#[derive(Clone)]
pub struct InternalPort {
    /// What comes before `/v1/…`. Known once it is bound.
    base: Arc<OnceLock<String>>,
    /// `None`: who calls is known by the sidecar.
    authorization: Option<HeaderValue>,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of a request the client's own; 404 gone, 408 no answer in time.
    pub status: StatusCode,
    pub content_type: Option<HeaderValue>,
    /// `bannou-status`: there when the status and the body are a client's own.
    pub told: Option<HeaderValue>,
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    #[error("the gateway is not there yet")]
    Early,
    #[error("the gateway's internal port cannot be asked for this path")]
    Path,
    #[error("the gateway's internal port did not answer")]
    Silent,
}

impl InternalPort {
    /// `None`: the token is nothing that a header can hold.
    pub fn new(token: &str) -> Option<InternalPort> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        authorization.set_sensitive(true);
        Some(InternalPort::with(Some(authorization)))
    }

    /// One that a sidecar leads to, `http://127.0.0.1:3500/v1.0/invoke/bannou-gateway/method` for example.
    pub fn by_sidecar(base: &str) -> InternalPort {
        let port = InternalPort::with(None);
        port.found(base.trim_end_matches('/').to_owned());
        port
    }

    fn with(authorization: Option<HeaderValue>) -> InternalPort {
        InternalPort { base: Arc::default(), authorization, http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Where it is from now on, as a URL without a path at its end.
    pub fn found(&self, base: String) {
        let _ = self.base.set(base);
    }

    /// Sends an event; `path` begins with `/v1/`.
    ///
    /// # Errors
    /// When there was no answer at all.
    pub async fn post(
        &self,
        path: &str,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Answer, Unreachable> {
        let base = self.base.get().ok_or(Unreachable::Early)?;
        let uri = Uri::try_from(format!("{base}{path}")).map_err(|_| Unreachable::Path)?;
        let mut request = Request::post(uri);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(Full::new(body)).map_err(|_| Unreachable::Path)?;
        let answer = async {
            let (head, body) = self.http.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.ok()?.to_bytes();
            let get = |name| head.headers.get(name).cloned();
            Some(Answer { status: head.status, content_type: get(header::CONTENT_TYPE), told: get(TOLD), body })
        };
        timeout(PATIENCE, answer).await.ok().flatten().ok_or(Unreachable::Silent)
    }
}
