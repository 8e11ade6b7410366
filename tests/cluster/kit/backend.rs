//! An HTTP server in the place of apps and of their sidecar.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use tokio::runtime::Runtime;

/// Ends when dropped, with every connection: further ones are refused.
pub struct Backend {
    address: SocketAddr,
    /// Of its own, since what it spawned ends with it.
    runtime: Option<Runtime>,
}

impl Backend {
    /// Answers with method, path and body of the request; and as a sidecar that is ready.
    pub async fn start() -> Backend {
        let echo = |method: Method, uri: Uri, body: Bytes| async move {
            format!("{method} {} {}", uri.path(), String::from_utf8_lossy(&body))
        };
        let router =
            Router::new().route("/v1.0/healthz/outbound", get(|| async { StatusCode::NO_CONTENT })).fallback(echo);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listening = runtime.spawn(async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() });
        let listener = listening.await.unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Backend { address, runtime: Some(runtime) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
