//! Failures that the gateway itself makes: RFC 9457 problem JSON with an instance that the logs know.

use serde::Serialize;

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// The payload of an `ERROR` frame: `u16` status, big-endian, then the body.
pub fn payload(status: u16, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(2 + body.len());
    payload.extend_from_slice(&status.to_be_bytes());
    payload.extend_from_slice(body);
    payload
}

/// The whole payload of a failure that the gateway made.
pub fn made(status: u16, detail: &str, instance: &str, more: More) -> Vec<u8> {
    payload(status, &body(status, detail, instance, more))
}

/// The problem document alone.
pub fn body(status: u16, detail: &str, instance: &str, more: More) -> Vec<u8> {
    let More { reason, retry_after_ms } = more;
    let problem = Problem { title: title(status), status, detail, instance, reason, retry_after_ms };
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// What some failures say beside status and detail.
#[derive(Clone, Copy, Debug, Default)]
pub struct More {
    /// A call's, as `forward::CallError::reason` names it.
    pub reason: Option<&'static str>,
    pub retry_after_ms: Option<u64>,
}

impl More {
    pub fn retry_after(ms: u64) -> More {
        More { retry_after_ms: Some(ms), ..More::default() }
    }
}

pub fn title(status: u16) -> &'static str {
    match status {
        400 => "malformed",
        401 => "not authenticated",
        403 => "not permitted",
        404 => "no such party any more",
        408 => "deadline passed",
        409 => "duplicate",
        413 => "too large",
        429 => "rate limited",
        499 => "cancelled",
        501 => "not implemented",
        502 => "backend unreachable",
        503 => "unavailable",
        504 => "backend timed out",
        _ => "failed",
    }
}
