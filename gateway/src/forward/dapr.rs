//! The sidecar: its address for an app, and how its own words differ from a service's.
//!
//! daprd answers with a service's status, headers and body, or with an error of its own, both as plain HTTP. A service
//! can write any body, also one that looks like daprd's. What it cannot choose is the framing: daprd drops the
//! `content-length` of an answer that it passes on and flushes it piece by piece, so it arrives in chunks (or with length
//! 0, when there is no body), as long as the request was chunked too, and ours always are. What daprd says itself is
//! written at once, and Go gives it a length; what Go's HTTP server says before daprd is asked (431, 400) ends with the
//! connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::response::Parts;
use serde::Deserialize;

use super::RequestId;
use super::error::CallError;

/// Longer answers are never daprd's own.
pub(super) const MAX_OWN_ANSWER: usize = 64 * 1024;

/// What daprd answered in its own name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnWord {
    pub error: CallError,
    /// For our log alone: it names addresses.
    pub said: String,
}

#[derive(Deserialize)]
struct DaprError {
    #[serde(rename = "errorCode")]
    code: String,
    #[serde(default)]
    message: String,
}

/// Whether the framing leaves it open that daprd speaks for itself: then the body decides.
pub(super) fn may_be_its_own(head: &Parts) -> bool {
    if head.status.as_u16() < 400 || head.headers.contains_key(TRANSFER_ENCODING) {
        return false;
    }
    match head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok()) {
        Some(len) => (1..=MAX_OWN_ANSWER).contains(&len),
        None => true,
    }
}

/// `None`: a service's answer after all.
pub(super) fn own_word(head: &Parts, body: &[u8]) -> Option<OwnWord> {
    let status = head.status.as_u16();
    let text = || String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
    let is = |kind: &str| head.headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(kind.as_bytes()));
    if !head.headers.contains_key(CONTENT_LENGTH) {
        let error = if status == 431 { CallError::HeadersTooLarge } else { CallError::SidecarRefused };
        return Some(OwnWord { error, said: text() });
    }
    if status == 401 && is("text/plain") && body.trim_ascii() == b"invalid api token" {
        return Some(OwnWord { error: CallError::SidecarToken, said: text() });
    }
    if !is("application/json") {
        return None;
    }
    let DaprError { code, message } = serde_json::from_slice(body).ok()?;
    if !code.starts_with("ERR_") {
        return None;
    }
    // The sidecar's own limit of a body (4 MiB), met while it read ours.
    let error =
        if message.contains("stream too large") { CallError::RequestTooLarge } else { CallError::SidecarRefused };
    Some(OwnWord { error, said: format!("{code}: {message}") })
}

/// Logs what daprd said. A refused token concerns every call, so it is said loudly, but not with every call.
pub(super) fn tell(word: &OwnWord, endpoint: &str, request_id: RequestId) {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let (reason, said) = (word.error.reason(), &word.said);
    if word.error != CallError::SidecarToken {
        tracing::warn!(endpoint, instance = %request_id, reason, "the sidecar refused a call: {said}");
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let last = LAST.load(Ordering::Relaxed);
    if now >= last + 10 && LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        tracing::error!(
            endpoint,
            instance = %request_id,
            reason,
            "the sidecar refuses this gateway's API token, so every call through it fails: \
             give the gateway the same DAPR_API_TOKEN as its daprd"
        );
    }
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
    }

    const UNKNOWN_APP: &str = r#"{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: nobody, err: x"}"#;

    #[test]
    fn daprds_own_errors_have_a_length() {
        let own = head(500, &[("content-type", "application/json"), ("content-length", "82")]);
        assert!(may_be_its_own(&own));
        assert_eq!(own_word(&own, UNKNOWN_APP.as_bytes()).map(|w| w.error), Some(CallError::SidecarRefused));
        let denied = head(403, &[("content-type", "application/json"), ("content-length", "82")]);
        assert_eq!(own_word(&denied, UNKNOWN_APP.as_bytes()).map(|w| w.error), Some(CallError::SidecarRefused));
    }

    #[test]
    fn a_services_imitation_comes_in_chunks() {
        let passed_on = head(500, &[("content-type", "application/json"), ("transfer-encoding", "chunked")]);
        assert!(!may_be_its_own(&passed_on));
        assert!(!may_be_its_own(&head(401, &[("content-length", "0")])));
        assert!(!may_be_its_own(&head(200, &[("content-length", "82")])));
        assert!(!may_be_its_own(&head(500, &[("content-length", "65537")])));
    }

    #[test]
    fn a_body_over_the_sidecars_limit_is_the_clients_affair() {
        let own = head(500, &[("content-type", "application/json"), ("content-length", "82")]);
        let said = r#"{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: a, err: stream too large"}"#;
        assert_eq!(own_word(&own, said.as_bytes()).map(|w| w.error.status()), Some(413));
    }

    #[test]
    fn what_is_not_daprs_form_is_a_services() {
        let json = head(500, &[("content-type", "application/json"), ("content-length", "9")]);
        for body in ["", "{}", "[1]", r#"{"errorCode":"OOPS"}"#, r#"{"errorCode":1}"#, "\u{1f600}"] {
            assert_eq!(own_word(&json, body.as_bytes()), None, "{body}");
        }
        let text = head(401, &[("content-type", "text/plain"), ("content-length", "5")]);
        assert_eq!(own_word(&text, b"nope!"), None);
    }

    #[test]
    fn a_refused_token_is_our_mistake_and_not_the_clients() {
        let refused = head(401, &[("content-type", "text/plain; charset=utf-8"), ("content-length", "18")]);
        assert!(may_be_its_own(&refused));
        let word = own_word(&refused, b"invalid api token\n").expect("daprd's");
        assert_eq!((word.error, word.error.status()), (CallError::SidecarToken, 502));
    }

    #[test]
    fn what_gos_server_says_before_daprd_is_asked() {
        let too_large = head(431, &[("content-type", "text/plain; charset=utf-8"), ("connection", "close")]);
        assert!(may_be_its_own(&too_large));
        let word = own_word(&too_large, b"431 Request Header Fields Too Large").expect("Go's");
        assert_eq!(word.error.status(), 413);
        assert_eq!(own_word(&head(400, &[]), b"400 Bad Request").map(|w| w.error), Some(CallError::SidecarRefused));
    }
}
