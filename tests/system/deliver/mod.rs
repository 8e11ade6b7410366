//! Services speak first: a gateway in this process, on a broker that the tests own, with clients on real sockets.

mod push;
mod request;
mod resume;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use bannou_crds::catalog::{Catalog, Event, EventInteraction, OnOverflow};
use bannou_gateway::app;
use bannou_gateway::auth::Secrets;
use bannou_gateway::bus::contract::{DELIVERED, EVENT, SERVICE, STATUS, TIMEOUT_MS};
use bannou_gateway::bus::local::{self, LocalBroker, Retention};
use bannou_gateway::bus::{Bus, Log, Message, Read, Reader, Slot, Start, Value};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::support::catalog::{SECRET, SECRET_FILE, catalog, direct, endpoint, event, token, with_events};
use crate::support::process::PATIENCE;
use crate::wire::raw::{Came, Handle, Raw, handle};

const INBOUND: u64 = 1 << 63;
const ERROR: u64 = 1 << 62;
const ONE_WAY: u64 = 1 << 60;
const LOGGED: u64 = 1 << 59;
const NUMBER: u64 = (1 << 56) - 1;
/// The user that the catalog names as sender of `game`.
const GAME: &str = "game-amqp";

fn events() -> Vec<Event> {
    let lossy = |name, on_overflow| Event { on_overflow, ..event(name, EventInteraction::Push, "anonymous") };
    vec![
        event("news", EventInteraction::Push, "anonymous"),
        event("found", EventInteraction::Push, "player"),
        event("ready", EventInteraction::Request, "anonymous"),
        lossy("position", OnOverflow::KeepLatest),
        lossy("noise", OnOverflow::Drop),
    ]
}

fn game() -> Catalog {
    let mut game = with_events(direct("game", vec![endpoint("x", "POST /x")]), events());
    game.senders = vec![GAME.into()];
    let other = with_events(direct("other", vec![]), vec![event("news", EventInteraction::Push, "anonymous")]);
    let mut catalog = catalog(vec![game, other]);
    for tier in &mut catalog.tiers {
        tier.limits.send_queue_bytes = Some(64 * 1024);
    }
    catalog
}

struct World {
    broker: LocalBroker,
    slot: Slot,
    url: String,
    admin: String,
    catalogs: watch::Sender<Arc<Catalog>>,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<Result<(), app::Deposed>>,
}

impl World {
    async fn start() -> World {
        World::with(game()).await
    }

    async fn with(catalog: Catalog) -> World {
        // Room for all that a test says: retention is for others to show.
        let retention = Retention { messages: 1_000_000, bytes: 1 << 30 };
        let broker = LocalBroker::new(local::Limits { retention, ..local::Limits::default() });
        let slot = Slot(0x1234);
        let (catalogs, receiver) = watch::channel(Arc::new(catalog));
        let mut options = app::Options {
            client_addr: ([127, 0, 0, 1], 0).into(),
            admin_addr: ([127, 0, 0, 1], 0).into(),
            secrets: Secrets::Memory([(SECRET_FILE.to_owned(), SECRET.to_vec())].into()),
            bus: broker.bus(slot, "gateway-amqp"),
            drain: Duration::from_millis(200),
            ..app::Options::default()
        };
        options.internal.addr.set_port(0);
        let bound = app::build(options, receiver).await.unwrap();
        let url = format!("ws://{}/connect", bound.client_addr());
        let admin = format!("http://{}", bound.admin_addr());
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        let world = World { broker, slot, url, admin, catalogs, stop: Some(stop), ended };
        world.until("/readyz", |text| text == "ready\n").await;
        world
    }

    async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut last = String::new();
        let waits = async {
            loop {
                last = client.get(format!("{}{path}", self.admin)).send().await.unwrap().text().await.unwrap();
                if holds(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waits).await.is_err() {
            panic!("{path} never was as expected: {last}");
        }
        last
    }

    async fn metric(&self, sample: &str, value: f64) {
        let is = |text: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(sample)?.strip_prefix(' ')?.parse::<f64>().ok());
            line.unwrap_or_default() == value
        };
        self.until("/metrics", is).await;
    }

    async fn anonymous(&self) -> Raw {
        Raw::connect(&self.url, &[("sec-websocket-protocol", "bannou.v1")]).await.greeted().await
    }

    async fn player(&self, subject: &str) -> Raw {
        let bearer = format!("Bearer {}", token(subject, &json!({})));
        let headers = [("sec-websocket-protocol", "bannou.v1"), ("authorization", bearer.as_str())];
        Raw::connect(&self.url, &headers).await.greeted().await
    }

    /// A connection that offers to resume; nothing is said on it yet.
    async fn returning(&self) -> Raw {
        let offers = [("sec-websocket-protocol", "bannou.v1, bannou.resume")];
        Raw::connect(&self.url, &offers).await
    }

    fn say(&self, key: &str, message: Message) {
        self.broker.publish_as(GAME, key, message).unwrap();
    }

    /// Answers to messages that name this queue in `reply_to`.
    fn replies(&self) -> Replies {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("amq.gen-{number}");
        Replies { receiver: self.broker.mailbox(&name), name }
    }

    /// Session events from now on.
    fn session_events(&self) -> SessionEvents {
        let bus = self.broker.bus(Slot(0x5678), "watcher");
        SessionEvents { reader: bus.read(Log::Sessions, Start::Next), _bus: bus }
    }

    /// Waits for a record of this kind in the log of the gateway.
    async fn log_has(&self, kind: &str) {
        let bus = self.broker.bus(Slot(0x5678), "watcher");
        let mut reader = bus.read(Log::Slot(self.slot), Start::First);
        let found = async {
            while let Some(read) = reader.next().await {
                let Read::Record(record) = read else { continue };
                let body = serde_json::from_slice::<serde_json::Value>(&record.message.body).unwrap_or_default();
                if record.key == Log::Slot(self.slot).name() && body["record"] == kind {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {kind} in the log"));
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
    }
}

struct SessionEvents {
    reader: Reader,
    /// A reader ends with its bus.
    _bus: Arc<dyn Bus>,
}

impl SessionEvents {
    /// The next event: whose, which, and its reason.
    async fn next(&mut self) -> (String, String, serde_json::Value) {
        loop {
            let read =
                tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("no session event comes").unwrap();
            let Read::Record(record) = read else { panic!("{read:?}") };
            if record.key == Log::Sessions.name() {
                continue;
            }
            let event: serde_json::Value = serde_json::from_slice(&record.message.body).unwrap();
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            return (text("session_id"), text("event"), event["reason"].clone());
        }
    }
}

struct Replies {
    name: String,
    receiver: mpsc::Receiver<Message>,
}

impl Replies {
    /// The next answer: whose, its status and its body.
    async fn next(&mut self) -> (String, i64, Vec<u8>) {
        let message = tokio::time::timeout(PATIENCE, self.receiver.recv()).await.expect("no reply comes").unwrap();
        let Some(Value::Int(status)) = message.headers.get(STATUS) else { panic!("no status in {message:?}") };
        (message.correlation_id.unwrap_or_default(), *status, message.body.to_vec())
    }

    async fn status(&mut self) -> i64 {
        self.next().await.1
    }
}

/// `game.<name>` with this payload.
fn of_game(name: &str, body: &[u8]) -> Message {
    let text = |t: &str| Value::Text(t.to_owned());
    Message {
        body: body.to_vec().into(),
        headers: [(SERVICE.to_owned(), text("game")), (EVENT.to_owned(), text(name))].into(),
        ..Message::default()
    }
}

/// The same, with somebody who waits.
fn asked(name: &str, body: &[u8], replies: &Replies, correlation_id: &str) -> Message {
    Message {
        reply_to: Some(replies.name.clone()),
        correlation_id: Some(correlation_id.to_owned()),
        ..of_game(name, body)
    }
}

fn text(client: &Raw, field: &str) -> String {
    client.discovery[field].as_str().unwrap().to_owned()
}

fn event_handle(client: &Raw, name: &str) -> Handle {
    handle(&client.discovery["events"][name])
}

/// The next push, which must be of this event: its number and payload.
async fn pushed(client: &mut Raw, event: Handle) -> (u64, Vec<u8>) {
    let (from, id, payload) = client.frame().await;
    assert_eq!(from, event);
    assert_eq!(id & !NUMBER, INBOUND | LOGGED | ONE_WAY, "{id:x}");
    (id & NUMBER, payload)
}

/// The next request of a service: its number and payload.
async fn requested(client: &mut Raw, event: Handle) -> (u64, Vec<u8>) {
    let (from, id, payload) = client.frame().await;
    assert_eq!(from, event);
    assert_eq!(id & !NUMBER, INBOUND | LOGGED, "{id:x}");
    (id & NUMBER, payload)
}
