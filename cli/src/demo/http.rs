//! What every demo service needs of HTTP: problem answers, strict JSON, the gateway's headers.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::json;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("bannou-request-id");

/// An RFC 9457 body, made by the service itself: the gateway passes it through unread.
pub fn problem(status: StatusCode, detail: impl Into<String>) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({"type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail.into()});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
}

/// Reads a JSON body; the refusal says where it is wrong and what was expected.
#[allow(clippy::result_large_err, reason = "it is the answer itself, made once per bad request")]
pub fn parse<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Response> {
    serde_json::from_slice(body)
        .map_err(|e| problem(StatusCode::BAD_REQUEST, format!("the body is not what this takes ({e}); try {example}")))
}

/// A header that the gateway sets, percent-decoded; `None` when absent, empty or not UTF-8.
pub fn from_gateway(headers: &HeaderMap, name: &str) -> Option<String> {
    let raw = headers.get(name)?.to_str().ok()?;
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
}

/// A call that came past the gateway.
pub fn no_client() -> Response {
    problem(StatusCode::BAD_REQUEST, "there is no bannou-client-id: this is meant to be called through Bannou")
}

/// What a service says that was given no way to speak first.
pub fn silent() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "there is no bus here, so no client can be told anything")
}

/// Effects are honoured only in an answer that repeats the request's id, so that no cache can replay them.
pub fn repeat_request_id(request: &HeaderMap, answer: &mut Response) {
    if let Some(id) = request.get(REQUEST_ID) {
        answer.headers_mut().insert(REQUEST_ID, id.clone());
    }
}

pub async fn unknown_path(uri: Uri) -> Response {
    problem(StatusCode::NOT_FOUND, format!("this service has no {}", uri.path()))
}
