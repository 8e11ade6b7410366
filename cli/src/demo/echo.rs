//! Endpoints for trying things out: the payload back, late answers, failures to order, answers in parts.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{parse, problem};

const MAX_SLOW_MS: u64 = 60_000;
const MAX_PARTS: u64 = 1000;
const MAX_PART_MS: u64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    status: u16,
    #[serde(default)]
    body: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    parts: u64,
    #[serde(default)]
    ms: u64,
}

pub fn router() -> Router {
    Router::new()
        .route("/bytes", post(bytes))
        .route("/slow", post(slow))
        .route("/fail", post(fail))
        .route("/stream", post(stream))
}

async fn bytes(headers: HeaderMap, body: Bytes) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).cloned();
    let mut answer = body.into_response();
    if let Some(content_type) = content_type {
        answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    answer
}

async fn slow(body: Bytes) -> Response {
    let Slow { ms } = match parse(&body, r#"{"ms":500}"#) {
        Ok(slow) => slow,
        Err(refusal) => return refusal,
    };
    let ms = ms.min(MAX_SLOW_MS);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(json!({"waited_ms": ms})).into_response()
}

/// A string is sent as it is, anything else as JSON, nothing as an empty body.
async fn fail(body: Bytes) -> Response {
    let Fail { status, body } = match parse(&body, r#"{"status":418,"body":"short and stout"}"#) {
        Ok(fail) => fail,
        Err(refusal) => return refusal,
    };
    // 1xx are no answers: hyper would wait for the real one.
    let status = match StatusCode::from_u16(status) {
        Ok(status) if (200..600).contains(&status.as_u16()) => status,
        _ => return problem(StatusCode::BAD_REQUEST, "status: 200 to 599"),
    };
    match body {
        Value::Null => status.into_response(),
        Value::String(text) => (status, text).into_response(),
        other => (status, Json(other)).into_response(),
    }
}

/// Each part is one write, `ms` after the one before it; the first comes at once.
async fn stream(body: Bytes) -> Response {
    let Stream { parts, ms } = match parse(&body, r#"{"parts":5,"ms":200}"#) {
        Ok(stream) => stream,
        Err(refusal) => return refusal,
    };
    if parts > MAX_PARTS {
        return problem(StatusCode::BAD_REQUEST, format!("parts: 0 to {MAX_PARTS}"));
    }
    let pause = Duration::from_millis(ms.min(MAX_PART_MS));
    let parts = futures_util::stream::unfold(1, move |part| async move {
        if part > parts {
            return None;
        }
        if part > 1 {
            tokio::time::sleep(pause).await;
        }
        let line = format!("{}\n", json!({"part": part, "of": parts}));
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), part + 1))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(parts)).into_response()
}
