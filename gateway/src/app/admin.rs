//! The operations port: liveness, readiness, metrics. Never for clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use bannou_crds::catalog::Backend;
use tokio::net::TcpListener;

use super::Door;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub async fn serve(listener: TcpListener, door: Arc<Door>) {
    let router = axum::Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(door);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the operations port has failed");
    }
}

/// 200, or 503 with a line for each thing that is awaited.
async fn ready(State(door): State<Arc<Door>>) -> impl IntoResponse {
    let mut awaited = Vec::new();
    if door.draining.load(Ordering::Relaxed) {
        awaited.push("nothing: this gateway is draining and will not be ready again".to_owned());
    }
    if door.shared.awaits_catalog() {
        awaited.push("the operator's first catalog".to_owned());
    }
    awaited.extend(door.shared.desk.awaiting());
    let snapshot = door.shared.snapshot.load_full();
    let through_sidecar = snapshot.catalog.services.iter().any(|s| matches!(s.backend, Backend::Dapr { .. }));
    if through_sidecar && let Err(error) = door.shared.forwarder.ready().await {
        awaited.push(format!("the Dapr sidecar: {error}"));
    }
    if awaited.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let lines: String = awaited.iter().map(|what| format!("awaiting {what}\n")).collect();
        (StatusCode::SERVICE_UNAVAILABLE, lines)
    }
}

async fn metrics(State(door): State<Arc<Door>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &door.shared.metrics.registry) {
        Ok(()) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], String::new()),
    }
}
