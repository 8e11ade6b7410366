//! Several gateways on one broker: what becomes of what one leaves that dies, stops or leaves.

mod ends;
mod stops;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bannou_crds::Catalog;
use bannou_crds::catalog::EventInteraction::{Push, Request};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use serde_json::Value;
use tokio::time::timeout;

use bannou_gateway::bus::{Message, Unpublished, Value as Header};

use crate::support::amqp::Peer;
use crate::support::broker::{Broker, shared};
use crate::support::catalog::{catalog, direct, endpoint, event, with_events};
use crate::support::client::Client;
use crate::support::gateway::{Gateway, NO_PINGS};
use crate::support::process::PATIENCE;

/// Until a silent gateway is dead, here: long enough for a machine that is busy.
const DEAD_AFTER_MS: u64 = 3_000;
const WINDOW_MS: u64 = 1_000;

/// A broker's vhost, gateways on it, and a service that looks at everything.
struct Fleet {
    broker: &'static Broker,
    vhost: String,
    catalog: Catalog,
    key: tempfile::TempDir,
    game: tokio::sync::Mutex<Peer>,
    replies: Replies,
    events: SessionEvents,
}

impl Fleet {
    async fn new() -> Fleet {
        Fleet::with_window(WINDOW_MS).await
    }

    async fn with_window(window_ms: u64) -> Fleet {
        let (broker, vhost) = shared().await;
        let game = direct("game", vec![endpoint("play", "POST /play")]);
        let events = vec![event("found", Push, "anonymous"), event("check", Request, "anonymous")];
        let mut catalog = catalog(vec![with_events(game, events)]);
        catalog.fleet.resume_window_ms = window_ms;
        catalog.services[0].senders = vec!["guest".into()];
        let key = tempfile::tempdir().unwrap();
        std::fs::write(key.path().join("fleet.key"), [7; 32]).unwrap();
        let game = Peer::connect(broker, "guest", &vhost).await;
        let replies = Replies::new(&game).await;
        let events = SessionEvents { consumer: None, seen: Vec::new() };
        Fleet { broker, vhost, catalog, key, game: tokio::sync::Mutex::new(game), replies, events }
    }

    fn key(&self) -> PathBuf {
        self.key.path().join("fleet.key")
    }

    /// One more gateway, which knows the others when this returns.
    async fn gateway(&mut self, grace_ms: u64) -> Gateway {
        self.gateway_with(&["--dead-after-ms", &DEAD_AFTER_MS.to_string(), "--log-grace-ms", &grace_ms.to_string()])
            .await
    }

    async fn gateway_with(&mut self, flags: &[&str]) -> Gateway {
        let gateway = Gateway::start(&self.catalog, |command| {
            command.args(NO_PINGS).arg("--broker").arg(self.broker.url(&self.vhost));
            command.arg("--fleet-key-file").arg(self.key()).args(flags);
        })
        .await;
        gateway.ready().await;
        if self.events.consumer.is_none() {
            // The exchange is there since the first gateway is.
            let channel = self.game.lock().await.channel().await;
            self.events.consumer = Some(consume(&channel, Some("bannou.sessions")).await.1);
        }
        gateway
    }

    /// Publishes to a client, with a reply asked for under this id.
    async fn send(&self, event: &str, client: &Client, id: &str) -> Result<(), Unpublished> {
        self.send_within(event, client, id, None).await
    }

    /// The same with a deadline of the caller's, in milliseconds.
    async fn send_within(
        &self,
        event: &str,
        client: &Client,
        id: &str,
        timeout_ms: Option<u64>,
    ) -> Result<(), Unpublished> {
        let header = |text: &str| Header::Text(text.to_owned());
        let named = [("bannou-service", header("game")), ("bannou-event", header(event))];
        let deadline = timeout_ms.map(|ms| ("bannou-timeout-ms", Header::Int(ms as i64)));
        let headers = named.into_iter().chain(deadline);
        let message = Message {
            body: id.to_owned().into(),
            reply_to: Some(self.replies.queue.clone()),
            correlation_id: Some(id.to_owned()),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Message::default()
        };
        let client_id = client.discovery["client_id"].as_str().unwrap();
        self.game.lock().await.publish("bannou.clients", client_id, message).await
    }
}

/// All that comes to a queue of the service, by correlation id.
struct Replies {
    queue: String,
    consumer: Consumer,
    seen: Vec<(String, i64)>,
}

impl Replies {
    async fn new(peer: &Peer) -> Replies {
        let (queue, consumer) = consume(&peer.channel().await, None).await;
        Replies { queue, consumer, seen: Vec::new() }
    }

    /// The first status for this id.
    async fn status(&mut self, id: &str) -> i64 {
        loop {
            if let Some((_, status)) = self.seen.iter().find(|(of, _)| of == id) {
                return *status;
            }
            let reply = next(&mut self.consumer, &format!("no reply to {id}; came: {:?}", self.seen)).await;
            let of = reply.properties.correlation_id().as_ref().unwrap().as_str().to_owned();
            let headers = reply.properties.headers().as_ref().unwrap();
            let status = headers.inner().get("bannou-status").and_then(AMQPValue::as_long_long_int).unwrap();
            self.seen.push((of, status));
        }
    }

    fn all(&self, id: &str) -> Vec<i64> {
        self.seen.iter().filter(|(of, _)| of == id).map(|(_, status)| *status).collect()
    }
}

/// What services hear of sessions.
struct SessionEvents {
    consumer: Option<Consumer>,
    seen: Vec<Value>,
}

impl SessionEvents {
    /// The first event of this name for this client.
    async fn wait(&mut self, name: &str, client: &Client) -> Value {
        loop {
            if let Some(event) = self.all(name, client).into_iter().next() {
                return event;
            }
            let seen: HashMap<_, _> = self.seen.iter().map(|e| (e["session_id"].clone(), e["event"].clone())).collect();
            let consumer = self.consumer.as_mut().unwrap();
            let delivery = next(consumer, &format!("no {name}; came: {seen:?}")).await;
            self.seen.push(serde_json::from_slice(&delivery.data).unwrap());
        }
    }

    fn all(&self, name: &str, client: &Client) -> Vec<Value> {
        let of_it = |e: &&Value| e["event"] == name && e["session_id"] == client.discovery["session_id"];
        self.seen.iter().filter(of_it).cloned().collect()
    }
}

async fn next(consumer: &mut Consumer, what: &str) -> Delivery {
    timeout(PATIENCE, consumer.next()).await.unwrap_or_else(|_| panic!("{what}")).unwrap().unwrap()
}

/// A queue of its own, bound to everything of an exchange where one is named.
async fn consume(channel: &Channel, exchange: Option<&str>) -> (String, Consumer) {
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
    let name = queue.name().as_str().to_owned();
    if let Some(exchange) = exchange {
        let (options, table) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(name.as_str().into(), exchange.into(), "#".into(), options, table).await.unwrap();
    }
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let consumer =
        channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
    (name, consumer)
}

/// Until the log of a client's gateway is gone: what is sent there comes back.
async fn log_is_gone(fleet: &Fleet, client: &Client) {
    let gone = async {
        while fleet.send("found", client, "into the void").await != Err(Unpublished::Returned) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the log of the dead gateway is not deleted");
}
