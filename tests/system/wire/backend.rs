//! Services that do as a test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::{Semaphore, watch};

#[derive(Clone)]
pub struct Backend {
    pub address: SocketAddr,
    /// Each permit lets one held request be answered, or one part of a stream go out.
    pub gate: Arc<Semaphore>,
    state: Arc<Shared>,
}

struct Shared {
    gate: Arc<Semaphore>,
    begun: AtomicUsize,
    /// How many held requests have begun, and how many were dropped unanswered.
    counts: watch::Sender<(usize, usize)>,
}

/// Notices that the gateway let go of a request.
struct Watched(Arc<Shared>, bool);

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.1 {
            self.0.counts.send_modify(|(_, dropped)| *dropped += 1);
        }
    }
}

impl Backend {
    pub async fn start() -> Backend {
        let gate = Arc::new(Semaphore::new(0));
        let state =
            Arc::new(Shared { gate: gate.clone(), begun: AtomicUsize::new(0), counts: watch::channel((0, 0)).0 });
        let router = Router::new()
            .route("/echo", post(|body: Bytes| async { body }))
            .route("/held", post(held))
            .route("/stream", post(stream))
            .route("/introduce", post(introduce))
            .with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Backend { address, gate, state }
    }

    /// Waits until so many held requests have arrived.
    pub async fn begun(&self, count: usize) {
        self.state.counts.subscribe().wait_for(|(begun, _)| *begun >= count).await.unwrap();
    }

    /// Waits until so many held requests were let go of before they were answered.
    pub async fn dropped(&self, count: usize) {
        self.state.counts.subscribe().wait_for(|(_, dropped)| *dropped >= count).await.unwrap();
    }

    pub fn held(&self) -> usize {
        self.state.begun.load(Ordering::SeqCst)
    }
}

async fn held(State(state): State<Arc<Shared>>, body: Bytes) -> Bytes {
    let mut watched = Watched(state.clone(), false);
    state.begun.fetch_add(1, Ordering::SeqCst);
    state.counts.send_modify(|(begun, _)| *begun += 1);
    state.gate.acquire().await.unwrap().forget();
    watched.1 = true;
    body
}

/// One part for each permit, three in all.
async fn stream(State(state): State<Arc<Shared>>) -> Response {
    let parts = futures_util::stream::unfold((0u8, state), |(n, state)| async move {
        if n == 3 {
            return None;
        }
        state.gate.acquire().await.unwrap().forget();
        Some((Ok::<_, std::io::Error>(Bytes::from(format!("part {n}"))), (n + 1, state)))
    });
    Body::from_stream(parts).into_response()
}

/// The body is the list that the answer introduces, one `bannou-introduce` value a line.
async fn introduce(headers: HeaderMap, body: String) -> Response {
    let mut response = "introduced".into_response();
    for line in body.lines() {
        response.headers_mut().append("bannou-introduce", line.parse().unwrap());
    }
    if let Some(id) = headers.get("bannou-request-id") {
        response.headers_mut().insert("bannou-request-id", id.clone());
    }
    response
}
