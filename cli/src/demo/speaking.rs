//! What the demo services say first, heard on the bus as a gateway hears it.

use bannou_gateway::bus::contract::{Address, Reply, ReplyAllow, Speech, parse};
use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::bus::{Bus, Log, Read, Reader, Record, Slot, Start, To};
use reqwest::Client;
use serde_json::{Value, json};

use super::*;

const SESSION: &str = "8c3f2a10-7d5e-4c21-9f9e-6a1b0c2d3e4f";

/// The demo, its gateway's bus, and what the gateway reads from its own log and from that of all.
struct World {
    demo: Demo,
    bus: Arc<dyn Bus>,
    own: Reader,
    groups: Reader,
    http: Client,
}

async fn world() -> World {
    let broker = LocalBroker::default();
    let bus = broker.bus(Slot(7), "guest");
    let voice = Voice::new(bus.clone(), "amq.gen-demo".to_owned(), broker.mailbox("amq.gen-demo"));
    let demo = Demo::start(&["chat", "game"], Arc::new(|| None), Some(voice)).await.unwrap();
    let (own, groups) = (bus.read(Log::Slot(bus.slot()), Start::First), bus.read(Log::Groups, Start::Offset(1)));
    World { demo, bus, own, groups, http: Client::builder().no_proxy().build().unwrap() }
}

impl World {
    async fn post(&self, app: &str, path: &str, client: &str, body: Value) -> reqwest::Response {
        let request = self.http.post(format!("{}{path}", self.demo.urls[app])).body(body.to_string());
        request.header("bannou-client-id", client).header("bannou-subject", "ada").send().await.unwrap()
    }

    fn client(&self) -> String {
        format!("{}.{SESSION}.1", self.bus.slot())
    }
}

async fn next(reader: &mut Reader) -> Record {
    match reader.next().await {
        Some(Read::Record(record)) => record,
        other => panic!("not a record: {other:?}"),
    }
}

fn read(record: &Record) -> (Speech<'_>, Value) {
    let speech = parse(record, &ReplyAllow::default()).expect("it keeps the contract");
    let body = serde_json::from_slice(speech.body).unwrap();
    (speech, body)
}

#[tokio::test]
async fn a_match_is_told_asked_and_told_again() {
    let mut world = world().await;
    for (status, answer, ends) in [
        (200, r#"{"ready":true}"#, json!({"status": "starting"})),
        (200, r#"{"ready":false}"#, json!({"status": "cancelled", "because": "ada is not ready"})),
        (200, "nonsense", json!({"status": "cancelled", "because": "ada is not ready"})),
        (408, "", json!({"status": "cancelled", "because": "ada did not answer in time"})),
        (501, "", json!({"status": "cancelled", "because": "the ready check ended with 501"})),
    ] {
        let begun = world.post("game", "/find_match", &world.client(), json!({})).await;
        assert_eq!(begun.status(), 200);
        let begun: Value = begun.json().await.unwrap();

        let found = next(&mut world.own).await;
        assert_eq!(found.key, world.client());
        let (speech, body) = read(&found);
        assert_eq!((speech.name().as_str(), speech.user, &speech.reply), ("game.match_found", Some("guest"), &None));
        assert_eq!(body, json!({"match": begun["match"], "status": "found", "players": ["ada", "the house"]}));

        let asked = next(&mut world.own).await;
        let (speech, body) = read(&asked);
        assert_eq!((speech.name().as_str(), speech.timeout_ms), ("game.ready_check", Some(10_000)));
        assert_eq!(body["match"], begun["match"]);
        let reply = speech.reply.expect("it wants an answer");
        // Somebody else's answer first: it is nobody's here.
        for (id, status, body) in [("guess", 500, ""), (reply.correlation_id.as_deref().unwrap(), status, answer)] {
            let reply = Reply { to: reply.to.clone(), correlation_id: Some(id.to_owned()) };
            let message = reply.message(status, body.to_owned().into());
            world.bus.publish(To::Queue(reply.to.clone()), message).unwrap().await.unwrap();
        }

        let told = next(&mut world.own).await;
        let (speech, mut body) = read(&told);
        assert_eq!(speech.name(), "game.match_found");
        assert_eq!(body.as_object_mut().unwrap().remove("match").unwrap(), begun["match"]);
        assert_eq!(body, ends);
    }
}

#[tokio::test]
async fn a_notice_goes_to_everybody() {
    let mut world = world().await;
    let said = world.post("chat", "/say", &world.client(), json!({"text": "hello"})).await;
    assert_eq!(said.json::<Value>().await.unwrap(), json!({"told": "everybody"}));
    let record = next(&mut world.groups).await;
    let (speech, body) = read(&record);
    assert_eq!((speech.to.clone(), speech.name().as_str()), (Address::All, "chat.notice"));
    assert_eq!(body, json!({"from": "ada", "text": "hello"}));
    for bad in [json!({}), json!({"text": " "}), json!({"text": "x".repeat(501)})] {
        assert_eq!(world.post("chat", "/say", &world.client(), bad).await.status(), 400);
    }
}

#[tokio::test]
async fn without_a_bus_they_say_so() {
    let demo = Demo::start(&["chat", "game"], Arc::new(|| None), None).await.unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    for (app, path, body) in [("chat", "/say", r#"{"text":"hello"}"#), ("game", "/find_match", "")] {
        let url = format!("{}{path}", demo.urls[app]);
        assert_eq!(http.post(&url).body(body).send().await.unwrap().status(), 400, "past the gateway");
        let answer = http.post(&url).body(body).header("bannou-client-id", "c").send().await.unwrap();
        assert_eq!(answer.status(), 503);
    }
}
