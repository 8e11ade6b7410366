//! The playground: static files on the client port, beside `/connect`, and what the page needs to know and to reach.

mod files;
mod media;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::demo::ACCOUNTS;

/// Values of `Origin` that belong to the page itself. Known only once the port is bound, and set then; until then no
/// browser is let in.
pub type OwnOrigins = Arc<OnceLock<Vec<String>>>;

/// Where a browser on this machine finds the page.
pub fn origins_of(address: SocketAddr) -> Vec<String> {
    ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{}", address.port())).into()
}

/// `game`: the only address that the media relay dials.
pub fn router(origins: OwnOrigins, game: Option<SocketAddr>) -> Router {
    let config = config();
    Router::new()
        .merge(files::router())
        .route(
            "/playground/config.json",
            get(move || async move { (files::headers("application/json"), Json(config)) }),
        )
        .route("/playground/media", media::route(origins, game))
}

/// What the page cannot know by itself. `examples`: a payload to begin with, by endpoint; a string is sent as it is,
/// anything else as JSON.
fn config() -> Value {
    json!({
        "connect": "/connect",
        "media": "/playground/media",
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
    })
}

#[cfg(test)]
mod tests;
