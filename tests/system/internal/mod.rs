//! Services speak first, over HTTP: the internal port.

mod access;
mod dapr;

use std::path::Path;

use bannou_crds::Catalog;
use bannou_crds::catalog::EventInteraction::{Push, Request};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::support::catalog::{catalog, dapr, direct, endpoint, event, with_events};
use crate::support::gateway::{Gateway, NO_PINGS};

/// The token that speaks for `game` alone.
pub const GAME_TOKEN: &str = "a token that speaks for game";

/// `game`, behind the Dapr app `game-app`, has `note` (push, everybody), `found` (push, player) and `check` (request, player);
/// `chat`, no Dapr app, has `notice` (push, everybody).
pub fn services() -> Catalog {
    let game = dapr("game", "game-app", vec![endpoint("play", "POST /play")]);
    let chat = direct("chat", vec![endpoint("say", "POST /say")]);
    let of_game =
        vec![event("note", Push, "anonymous"), event("found", Push, "player"), event("check", Request, "player")];
    catalog(vec![with_events(chat, vec![event("notice", Push, "anonymous")]), with_events(game, of_game)])
}

/// A gateway at which [`GAME_TOKEN`] speaks for `game`.
pub async fn gateway(folder: &Path) -> Gateway {
    std::fs::write(folder.join("game.token"), GAME_TOKEN).unwrap();
    std::fs::write(folder.join("tokens.yaml"), "- tokenFile: game.token\n  services: [game]\n").unwrap();
    Gateway::start(&services(), |command| {
        command.args(NO_PINGS).arg("--internal-tokens").arg(folder.join("tokens.yaml"));
    })
    .await
}

/// What the port answers.
pub struct Answer {
    pub status: StatusCode,
    /// The header `bannou-status`.
    pub told: Option<u16>,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(response: Response) -> Answer {
        let told = response.headers().get("bannou-status").map(|v| v.to_str().unwrap().parse().unwrap());
        Answer { status: response.status(), told, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

pub async fn post(url: String, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.post(url).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Answer::of(request.send().await.unwrap()).await
}
