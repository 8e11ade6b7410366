//! `POST /playground/api/v1/…`: the page sends an event as a service would. What comes is passed to the internal port under
//! the same path, with a token that the page never sees.

use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};

use super::{OwnOrigins, is_own};
use crate::dev::internal::{Answer, InternalPort, TOLD};

/// As much as an event may carry.
const MAX_BODY: usize = 1 << 20;

pub fn route(origins: OwnOrigins, port: InternalPort) -> MethodRouter {
    let send = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
        send(&origins, &port, &headers, uri.path(), body).await
    };
    post(send).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn send(origins: &OwnOrigins, port: &InternalPort, headers: &HeaderMap, path: &str, body: Bytes) -> Response {
    // Any page in the world can post to loopback; only the own one is served. Browsers name theirs with every POST, and
    // programs have the internal port itself.
    if !headers.get(header::ORIGIN).is_some_and(|origin| is_own(origins, origin)) {
        return (StatusCode::FORBIDDEN, "only for the playground's own page\n").into_response();
    }
    let path = path.strip_prefix("/playground/api").unwrap_or_default();
    let content_type = headers.get(header::CONTENT_TYPE).cloned();
    match port.post(path, content_type, body).await {
        Ok(Answer { status, content_type, told, body }) => {
            let mut answer = (status, body).into_response();
            answer.headers_mut().remove(header::CONTENT_TYPE);
            for (name, value) in [(header::CONTENT_TYPE, content_type), (TOLD, told)] {
                if let Some(value) = value {
                    answer.headers_mut().insert(name, value);
                }
            }
            // Never to be taken for a page, whatever a client answered.
            answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            answer
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}
