//! The routes of the inspect port.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bannou_crds::Catalog;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::people;
use super::preview::preview;
use super::report::{CatalogStatus, Kick, OperatorLink, Problem, RefusedVersion, Status};
use crate::app::offline;
use crate::problem;
use crate::shared::Shared;
use crate::sync;

/// As much as a catalog file may have.
const MAX_CATALOG: usize = 64 << 20;
const MAX_WISH: usize = 16 << 10;
const BODY_WITHIN: Duration = Duration::from_secs(30);

pub struct Port {
    shared: Arc<Shared>,
    draining: Box<dyn Fn() -> bool + Send + Sync>,
    /// One at a time of what looks at everybody: a person asks, and clients are served beside.
    looking: Arc<Semaphore>,
}

impl Port {
    pub fn new(shared: Arc<Shared>, draining: Box<dyn Fn() -> bool + Send + Sync>) -> Port {
        Port { shared, draining, looking: Arc::new(Semaphore::new(1)) }
    }
}

type At = State<Arc<Port>>;

pub fn router(port: Arc<Port>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/catalog", get(catalog))
        .route("/v1/connections", get(connections))
        .route("/v1/why", get(why))
        .route("/v1/kick", post(kick))
        .route("/v1/preview", post(previewed))
        .fallback(|| async { failure(404, "there is no such path here") })
        .method_not_allowed_fallback(|| async { failure(405, "this path is asked in another way") })
        .layer(from_fn(no_browser))
        .with_state(port)
}

/// A page of somebody else's site must not reach what is bound to loopback, whatever name it gives it.
async fn no_browser(request: Request, next: Next) -> Response {
    if is_local(request.headers()) {
        next.run(request).await
    } else {
        failure(403, "not for web pages: ask by `bannou`")
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "localhost" | "[::1]") && !headers.contains_key(ORIGIN)
}

fn failure(status: u16, detail: &str) -> Response {
    let problem = Problem { title: problem::title(status).to_owned(), status, detail: detail.to_owned() };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/problem+json")], Json(problem).into_response().into_body()).into_response()
}

async fn status(State(port): At) -> Json<Status> {
    let shared = &port.shared;
    let snapshot = shared.snapshot.load_full();
    let catalog = &snapshot.catalog;
    Json(Status {
        software: env!("CARGO_PKG_VERSION").to_owned(),
        slot: shared.slot.to_string(),
        uptime_s: shared.now_ms() / 1000,
        connections: shared.table.len(),
        draining: (port.draining)(),
        awaiting: awaiting(shared),
        anonymous_only: shared.holds_anonymous_only(),
        operator: shared.operator.as_ref().map(|operator| link(operator.status())),
        catalog: CatalogStatus {
            fleet: format!("{}/{}", catalog.fleet.namespace, catalog.fleet.name),
            hash: snapshot.hash().to_string(),
            services: catalog.services.len(),
            endpoints: catalog.services.iter().map(|s| s.endpoints.len()).sum(),
            events: catalog.services.iter().map(|s| s.events.len()).sum(),
            tiers: catalog.tiers.len(),
        },
    })
}

fn awaiting(shared: &Shared) -> Vec<String> {
    let mut awaiting = shared.desk.awaiting();
    if shared.awaits_catalog() {
        awaiting.push("the operator's first catalog".to_owned());
    }
    awaiting
}

fn link(status: sync::Status) -> OperatorLink {
    let sync::Status { version, since, from_file, linked, silent_ms, last_dial, refused } = status;
    OperatorLink {
        version: version.map(|v| v.to_string()),
        synced_s: since.and_then(|since| since.elapsed().ok()).map(|age| age.as_secs()),
        from_file,
        linked,
        silent_s: silent_ms / 1000,
        last_dial: last_dial.map(str::to_owned),
        refused: refused.map(|(version, reasons)| RefusedVersion {
            version: version.to_string(),
            reasons: reasons.into_iter().map(|r| r.why).collect(),
        }),
    }
}

async fn catalog(State(port): At) -> Response {
    match serde_json::to_vec(&*port.shared.snapshot.load().catalog) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => failure(500, "the catalog cannot be written"),
    }
}

async fn connections(State(port): At, Query(query): Query<people::Query>) -> Response {
    look(port, move |shared| people::page(shared, &query)).await
}

async fn why(State(port): At, Query(query): Query<people::Query>) -> Response {
    look(port, move |shared| people::why(shared, &query, SystemTime::now())).await
}

async fn kick(State(port): At, request: Request) -> Response {
    match read::<Kick>(request.into_body(), MAX_WISH).await {
        Ok(wish) => look(port, move |shared| people::kick(shared, &wish)).await,
        Err(refused) => refused,
    }
}

async fn previewed(State(port): At, request: Request) -> Response {
    match read::<Catalog>(request.into_body(), MAX_CATALOG).await {
        Ok(catalog) => {
            look(port, move |shared| {
                let candidate = offline(Arc::new(catalog), &shared.forwarder).map_err(|e| e.to_string())?;
                Ok(preview(shared, &candidate))
            })
            .await
        }
        Err(refused) => refused,
    }
}

/// Looks at everybody, beside the tasks that serve.
async fn look<T: serde::Serialize + Send + 'static>(
    port: Arc<Port>,
    f: impl FnOnce(&Shared) -> Result<T, String> + Send + 'static,
) -> Response {
    // Never closed.
    let Ok(turn) = port.looking.clone().acquire_owned().await else { return failure(503, "shutting down") };
    let looked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        f(&port.shared)
    });
    match looked.await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(wrong)) => failure(400, &wrong),
        Err(_) => failure(500, "the question could not be answered: this is a bug"),
    }
}

async fn read<T: serde::de::DeserializeOwned>(body: Body, most: usize) -> Result<T, Response> {
    let bytes = match timeout(BODY_WITHIN, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(failure(413, &format!("more than {most} bytes, or not whole"))),
        Err(_) => return Err(failure(408, "the body did not come in time")),
    };
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| failure(400, &format!("not as it should be: {}: {}", error.path(), error.inner())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_turned_away_by_their_origin_and_by_other_names_for_loopback() {
        let with = |pairs: &[(axum::http::HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
            is_local(&pairs.collect())
        };
        for host in ["127.0.0.1:9082", "localhost", "localhost:1", "[::1]:9082"] {
            assert!(with(&[(HOST, host)]), "{host}");
            assert!(!with(&[(HOST, host), (ORIGIN, "http://127.0.0.1:9082")]), "{host}");
        }
        for host in ["rebound.example:9082", "127.0.0.1.example", "", "10.0.0.1:9082"] {
            assert!(!with(&[(HOST, host)]), "{host}");
        }
    }
}
