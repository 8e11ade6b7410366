//! The playground: static files on the client port, beside `/connect`, and what the page needs to know and to reach.

mod files;
mod media;
mod send;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::http::HeaderValue;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::demo::ACCOUNTS;
use crate::dev::internal::InternalPort;

/// Values of `Origin` that belong to the page itself. Known only once the port is bound, and set then; until then no
/// browser is let in.
pub type OwnOrigins = Arc<OnceLock<Vec<String>>>;

/// Where a browser on this machine finds the page.
pub fn origins_of(address: SocketAddr) -> Vec<String> {
    ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{}", address.port())).into()
}

/// Whether a page with this `Origin` is the playground itself.
fn is_own(origins: &OwnOrigins, origin: &HeaderValue) -> bool {
    origins.get().is_some_and(|own| own.iter().any(|o| o.as_bytes() == origin.as_bytes()))
}

/// `game`: the only address that the media relay dials. `port`: where the page's events go.
pub fn router(origins: OwnOrigins, game: Option<SocketAddr>, port: InternalPort) -> Router {
    page("/connect")
        .route("/playground/media", media::route(origins.clone(), game))
        .route("/playground/api/v1/{*rest}", send::route(origins, port))
}

/// The page alone, for a gateway elsewhere: `connect` is its URL. Services are not spoken for there.
pub fn page(connect: &str) -> Router {
    let config = config(connect);
    let csp = files::content_security_policy(connect);
    let json = files::headers("application/json", &csp);
    Router::new()
        .merge(files::router(&csp))
        .route("/playground/config.json", get(move || async move { (json, Json(config)) }))
}

/// What the page cannot know by itself. `examples`: a payload to begin with, by endpoint; a string is sent as it is,
/// anything else as JSON. `events`: the same for what services send.
fn config(connect: &str) -> Value {
    let own = connect.starts_with('/');
    json!({
        "connect": connect,
        // The relay is beside the gateway of `bannou dev`.
        "media": own.then_some("/playground/media"),
        "accounts": ACCOUNTS.map(|(name, password)| json!({"name": name, "password": password})),
        "examples": {
            "account.create": {"name": "Ada Lovelace"},
            "account.get": "",
            "auth.login": {"name": "ada", "password": "lovelace"},
            "chat.join": {"room": "lobby"},
            "chat.say": {"text": "Good evening, everybody"},
            "echo.bytes": "Hello, Bannou!",
            "echo.fail": {"status": 418, "body": {"reason": "I am a teapot"}},
            "echo.slow": {"ms": 1500},
            "echo.stream": {"parts": 8, "ms": 250},
            "game.connect": {},
            "game.find_match": {},
        },
        "events": if !own { json!({}) } else { json!({
            "account.welcome": {"name": "Ada"},
            "chat.notice": {"from": "the playground", "text": "Hello, everybody"},
            "game.match_found": {"match": "c0ffee01", "status": "found", "players": ["ada", "grace"]},
            "game.ready_check": {"match": "c0ffee01", "answer_within_s": 10},
        }) },
    })
}

#[cfg(test)]
mod tests;
