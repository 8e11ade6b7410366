//! The service behind the gateway: it introduces two clients to each other and answers everything else with nothing.

use std::net::SocketAddr;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;

use crate::Result;

/// Where it listens; the bench has a network namespace of its own, so fixed ports are free.
pub const ADDRESS: &str = "127.0.0.1:9100";

/// Keeps the service alive.
pub struct Backend {
    _runtime: tokio::runtime::Runtime,
}

/// # Errors
/// The port is taken.
pub fn start() -> Result<Backend> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let address: SocketAddr = ADDRESS.parse()?;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .map_err(|e| format!("the bench's service needs {ADDRESS}: {e}"))?;
    let app = Router::new().route("/introduce", post(introduce)).fallback(|| async {});
    runtime.spawn(async move { axum::serve(listener, app).await });
    Ok(Backend { _runtime: runtime })
}

/// Answers the header that makes the caller and the client named in `{"with": …}` peers.
async fn introduce(request: HeaderMap, body: String) -> Result<HeaderMap, String> {
    let body: serde_json::Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    let with = body["with"].as_str().ok_or("no \"with\"")?;
    let mut answer = HeaderMap::new();
    answer.insert("bannou-introduce", with.parse().map_err(|_| "not a header value")?);
    if let Some(id) = request.get("bannou-request-id") {
        answer.insert("bannou-request-id", id.clone());
    }
    Ok(answer)
}
