//! The operations port: liveness, readiness, metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::lease::Role;
use crate::tls::Serving;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub struct Admin {
    pub registry: Registry,
    pub role: watch::Receiver<Role>,
    pub serving: Arc<Serving>,
    /// Why there is no certificate to serve with.
    pub lacking: watch::Receiver<String>,
}

pub async fn serve(listener: TcpListener, admin: Admin) {
    let router = axum::Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(admin));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the operations port has failed");
    }
}

/// 200, or 503 with a line for each thing that is awaited. Who stands by is ready: it says where the holder is. So is one whose API server
/// goes away later: gateways go on with what they have.
async fn ready(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let mut awaited = String::new();
    if matches!(*admin.role.borrow(), Role::Unknown) {
        awaited.push_str("awaiting the API server's word about the lease\n");
    }
    if !admin.serving.is_there() {
        awaited.push_str(&format!("awaiting a certificate to serve with: {}\n", *admin.lacking.borrow()));
    }
    match awaited.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, awaited),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], String::new()),
    }
}
