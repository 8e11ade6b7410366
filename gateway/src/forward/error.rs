//! Why a call ended without a service's own answer, and what the client is told.

use serde_json::json;

/// One reason each; `status` and `reason` are total, so a new reason cannot be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the payload is larger than this endpoint takes")]
    RequestTooLarge,
    #[error("the request's headers are larger than the sidecar takes")]
    HeadersTooLarge,
    #[error("the payload is not a query string (RFC 3986)")]
    BadQuery,
    #[error("this endpoint takes no payload")]
    UnexpectedPayload,
    /// The path has a variable that this caller's token says nothing about.
    #[error("this endpoint needs a claim that the caller's token does not carry")]
    MissingVariable,
    /// The value is there, but no path segment: empty, too long, dots alone, control characters.
    #[error("a claim of the caller's token cannot stand in a path")]
    UnsafeVariable,
    #[error("the service has as many requests in flight as it takes")]
    Overloaded,
    #[error("the service failed too often and is given time to recover")]
    BreakerOpen,
    /// A Dapr backend, but neither a sidecar nor an override: an operator's mistake.
    #[error("no sidecar is configured for this service")]
    NotConfigured,
    #[error("the service cannot be reached")]
    Unreachable,
    /// The connection broke, or what came is not HTTP.
    #[error("the service's answer broke off or is not HTTP")]
    BrokenAnswer,
    #[error("the service's answer is larger than this endpoint allows")]
    AnswerTooLarge,
    /// The sidecar's own word: unknown app, app gone, access denied.
    #[error("the sidecar could not deliver the request")]
    SidecarRefused,
    /// The sidecar wants another API token than ours: an operator's mistake.
    #[error("the sidecar does not accept this gateway")]
    SidecarToken,
    #[error("the service did not answer in time")]
    Timeout,
}

impl CallError {
    /// The HTTP status that the client sees.
    pub fn status(self) -> u16 {
        match self {
            Self::BadQuery | Self::UnexpectedPayload | Self::UnsafeVariable => 400,
            Self::MissingVariable => 403,
            Self::RequestTooLarge | Self::HeadersTooLarge => 413,
            Self::NotConfigured
            | Self::Unreachable
            | Self::BrokenAnswer
            | Self::AnswerTooLarge
            | Self::SidecarRefused
            | Self::SidecarToken => 502,
            Self::Overloaded | Self::BreakerOpen => 503,
            Self::Timeout => 504,
        }
    }

    /// A name for metrics and logs, `snake_case`, never changed once published.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RequestTooLarge => "request_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::BadQuery => "bad_query",
            Self::UnexpectedPayload => "unexpected_payload",
            Self::MissingVariable => "missing_variable",
            Self::UnsafeVariable => "unsafe_variable",
            Self::Overloaded => "overloaded",
            Self::BreakerOpen => "breaker_open",
            Self::NotConfigured => "not_configured",
            Self::Unreachable => "unreachable",
            Self::BrokenAnswer => "broken_answer",
            Self::AnswerTooLarge => "answer_too_large",
            Self::SidecarRefused => "sidecar_refused",
            Self::SidecarToken => "sidecar_token",
            Self::Timeout => "timeout",
        }
    }

    /// An RFC 9457 problem document. `instance` is the request id that the logs carry.
    pub fn problem(self, instance: &str) -> Vec<u8> {
        let title = match self.status() {
            400 => "Bad Request",
            403 => "Forbidden",
            413 => "Content Too Large",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            _ => "Gateway Timeout",
        };
        json!({
            "type": "about:blank",
            "title": title,
            "status": self.status(),
            "detail": self.to_string(),
            "reason": self.reason(),
            "instance": instance,
        })
        .to_string()
        .into_bytes()
    }
}

/// What makes a catalog's endpoint impossible to call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{service}.{endpoint}: {what}")]
pub struct RouteError {
    pub service: String,
    pub endpoint: String,
    pub what: String,
}

/// What makes a [`super::Config`] unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{url:?} is no backend address: write http://HOST:PORT (TLS is the sidecar's work)")]
    Address { url: String },
    #[error("the Dapr API token holds characters that a header cannot carry")]
    Token,
    #[error("{domain:?} is no cluster domain: write for example cluster.local")]
    Domain { domain: String },
}

impl ConfigError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Token => "token",
            Self::Domain { .. } => "domain",
        }
    }
}

/// Why [`super::Forwarder::ready`] says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the Dapr sidecar does not answer")]
    SidecarUnreachable,
    #[error("the Dapr sidecar says that it is not ready (status {0})")]
    SidecarNotReady(u16),
}

impl NotReady {
    pub fn reason(self) -> &'static str {
        match self {
            Self::SidecarUnreachable => "sidecar_unreachable",
            Self::SidecarNotReady(_) => "sidecar_not_ready",
        }
    }
}
