//! Services speak first: several ways in, one behaviour. `cases` says what happens; each way brings a [`Way`] to it.

#[macro_use]
mod cases;
mod http;
mod local;
mod rabbitmq;

use std::time::Duration;

use bannou_crds::Catalog;
use bannou_crds::catalog::EventInteraction::{Push, Request};
use bannou_gateway::bus::contract::subject_key;
use serde_json::{Value, json};

use crate::support::catalog::{ISSUER, catalog, direct, endpoint, event, token, with_events};
use crate::support::client::{Client, Frame};
use crate::support::process::PATIENCE;

/// To whom something is said.
#[derive(Clone, Copy)]
pub enum Whom<'a> {
    Client(&'a str),
    /// Of [`ISSUER`].
    Subject(&'a str),
    Tier(&'a str),
    All,
}

impl Whom<'_> {
    /// The routing key.
    pub fn key(self) -> String {
        match self {
            Whom::Client(id) => id.to_owned(),
            Whom::Subject(subject) => format!("subject.{}", subject_key(ISSUER, subject)),
            Whom::Tier(tier) => format!("tier.{tier}"),
            Whom::All => "all".to_owned(),
        }
    }

    /// How many gateways answer.
    pub fn answers(self) -> usize {
        if matches!(self, Whom::Client(_)) { 1 } else { GATEWAYS }
    }
}

/// What a service says.
#[derive(Clone, Copy)]
pub struct Say<'a> {
    pub whom: Whom<'a>,
    pub service: &'a str,
    pub event: &'a str,
    pub body: &'a [u8],
    pub timeout_ms: Option<u64>,
    /// Whether it wants to hear what came of it. Over HTTP it does in any case.
    pub receipt: bool,
    /// By a service that `game`'s exposure does not name.
    pub stranger: bool,
}

impl<'a> Say<'a> {
    pub fn new(whom: Whom<'a>, event: &'a str, body: &'a [u8]) -> Say<'a> {
        Say { whom, service: "game", event, body, timeout_ms: None, receipt: true, stranger: false }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// `bannou-status`, or the status that stands for it where a gateway refuses before anything is sent.
    pub status: u16,
    /// Of what goes to many: to how many clients.
    pub delivered: u64,
    pub body: Vec<u8>,
}

impl Said {
    pub fn status(status: u16) -> Said {
        Said { status, delivered: 0, body: Vec::new() }
    }
}

/// One fleet of [`GATEWAYS`], and one way to speak to its clients.
pub trait Way {
    fn doors(&self) -> &[Door; GATEWAYS];

    fn say(&self, say: Say<'_>) -> impl Future<Output = Said> + Send;
}

/// A caller speaks at one gateway and reaches clients of both.
pub const GATEWAYS: usize = 2;

/// Where a gateway is.
pub struct Door {
    /// For clients.
    pub url: String,
    pub admin: String,
    pub internal: String,
}

impl Door {
    /// Returns when a sample of the metrics has this value.
    pub async fn metric_is(&self, sample: &str, value: &str) {
        let line = format!("bannou_gateway_{sample} {value}");
        self.says("/metrics", |text| text.lines().any(|l| l == line)).await;
    }

    /// Returns when what is at this path of the operations port is right.
    async fn says(&self, path: &str, right: impl Fn(&str) -> bool) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let text = http.get(format!("{}{path}", self.admin)).send().await.unwrap().text().await.unwrap();
            if right(&text) {
                return;
            }
            assert!(tokio::time::Instant::now() < give_up, "{path} stays\n{text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Until the gateways read all logs and know of each other: what is said to many is awaited from all of them.
pub async fn acquainted(doors: &[Door; GATEWAYS]) {
    for door in doors {
        door.says("/readyz", |text| text == "ready\n").await;
        door.metric_is("fleet_alive", &GATEWAYS.to_string()).await;
    }
}

/// `game` has `note` (push, everybody), `found` (push, player), `check` (request, player); its senders are `game` alone.
pub fn services() -> Catalog {
    let game = direct("game", vec![endpoint("play", "POST /play")]);
    let events =
        vec![event("note", Push, "anonymous"), event("found", Push, "player"), event("check", Request, "player")];
    let mut game = with_events(game, events);
    game.senders = vec!["game".to_owned()];
    let other = with_events(direct("chat", vec![endpoint("say", "POST /say")]), vec![event("notice", Push, "player")]);
    catalog(vec![other, game])
}

/// A client of one gateway, anonymous or as this subject, and its `client_id`.
pub async fn client(door: &Door, subject: Option<&str>) -> (Client, String) {
    let client = match subject {
        None => Client::connect(&door.url).await,
        Some(subject) => {
            let bearer = format!("Bearer {}", token(subject, &json!({})));
            Client::connect_with(&door.url, &[("authorization", &bearer)]).await
        }
    };
    let id = client.discovery["client_id"].as_str().unwrap().to_owned();
    (client, id)
}

/// The handle under which a client knows an event.
pub fn handle(client: &Client, event: &str) -> [u8; 16] {
    let handle = client.discovery["events"][event].as_str().unwrap_or_else(|| panic!("no {event}"));
    handle.parse::<uuid::Uuid>().unwrap().into_bytes()
}

/// The next frame that another party started.
pub async fn inbound(client: &mut Client) -> Frame {
    client.frame(Frame::is_inbound).await
}

/// Answers of gateways as one [`Said`].
pub fn sum(answers: Vec<(Value, Vec<u8>)>) -> Said {
    assert!(!answers.is_empty(), "nobody answered");
    let mut said = Said::status(0);
    for (headers, body) in answers {
        said.status = headers["bannou-status"].as_u64().expect("an integer").try_into().unwrap();
        said.delivered += headers["bannou-delivered"].as_u64().unwrap_or(0);
        said.body = body;
    }
    said
}
