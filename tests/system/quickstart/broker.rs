//! The quickstart on a real broker: the same services, and one more that speaks AMQP alone.

use bannou_gateway::bus::{Message, Value};
use serde_json::json;

use super::dev::{Dev, quickstart};
use crate::support::amqp::Peer;
use crate::support::broker::shared;
use crate::support::client::{Client, Frame, INBOUND, LOGGED, ONE_WAY};

const NUMBER: u64 = (1 << 56) - 1;

fn event(name: &str, body: &str) -> Message {
    let headers = [("bannou-service", "game"), ("bannou-event", name)];
    let headers = headers.map(|(key, value)| (key.to_owned(), Value::Text(value.to_owned())));
    Message { body: body.to_owned().into(), headers: headers.into(), ..Message::default() }
}

fn is_push(frame: &Frame) -> bool {
    frame.id & !NUMBER == INBOUND | ONE_WAY | LOGGED
}

fn is_asked(frame: &Frame) -> bool {
    frame.id & !NUMBER == INBOUND | LOGGED
}

#[tokio::test]
async fn the_same_quickstart_on_a_broker_with_a_service_that_only_speaks_amqp() {
    let (broker, vhost) = shared().await;
    let dev = Dev::start(&quickstart(), &["--broker", &broker.url(&vhost)]).await;
    let mut client = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let address = client.discovery["client_id"].as_str().unwrap().to_owned();

    let mut service = Peer::connect(broker, "guest", &vhost).await;
    // Where nothing is bound yet the broker gives it back.
    while service.publish("bannou.clients", &address, event("match_found", "by amqp")).await.is_err() {}
    let push = client.frame(is_push).await;
    assert_eq!(push.payload, b"by amqp");

    let (reply_to, mut answers) = service.inbox().await;
    let asks =
        Message { reply_to: Some(reply_to), correlation_id: Some("c1".to_owned()), ..event("ready_check", "ready?") };
    service.publish("bannou.clients", &address, asks).await.unwrap();
    let asked = client.frame(is_asked).await;
    client.reply(&asked, b"yes").await;
    let answer = answers.recv().await.unwrap();
    assert_eq!((&answer.body[..], answer.correlation_id.as_deref()), (&b"yes"[..], Some("c1")));

    // The demo's own services, which speak HTTP, by the same logs.
    assert_eq!(client.call("chat.say", &json!({"text": "hello"})).await.status, 200);
    let notice = client.frame(is_push).await;
    assert_eq!((notice.id & NUMBER) >> 48, 0, "from the log of all");
    assert_eq!(client.call("game.find_match", &json!({})).await.status, 200);
    let found = client.frame(is_push).await;
    assert!(String::from_utf8_lossy(&found.payload).contains("found"));
    let asked = client.frame(is_asked).await;
    client.reply(&asked, br#"{"ready":true}"#).await;
    let outcome = client.frame(is_push).await;
    assert!(String::from_utf8_lossy(&outcome.payload).contains("starting"));
}
