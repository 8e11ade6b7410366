//! What the demo services say first, heard at a stand-in for the gateway's internal port.

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::dev::internal::InternalPort;

/// What was sent: path and payload, and where its answer goes.
type Heard = (String, Value, oneshot::Sender<(u16, String)>);

struct World {
    demo: Demo,
    heard: mpsc::Receiver<Heard>,
    http: Client,
}

async fn gateway(
    State(heard): State<mpsc::Sender<Heard>>,
    uri: Uri,
    headers: axum::http::HeaderMap,
    body: String,
) -> axum::response::Response {
    assert_eq!(headers[header::AUTHORIZATION], "Bearer a-token");
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    let (tell, told) = oneshot::channel();
    heard.send((uri.path().to_owned(), serde_json::from_str(&body).unwrap(), tell)).await.unwrap();
    let (status, body) = told.await.unwrap();
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn world() -> World {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = InternalPort::new("a-token").unwrap();
    port.found(format!("http://{}", listener.local_addr().unwrap()));
    let (sender, heard) = mpsc::channel(8);
    let router = Router::new().fallback(gateway).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let demo = Demo::start(&["account", "chat", "game"], Arc::new(|| None), Some(Voice::new(port))).await.unwrap();
    World { demo, heard, http: Client::builder().no_proxy().build().unwrap() }
}

impl World {
    fn post(&self, app: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.demo.urls[app])).body(body.to_string());
        request.header("bannou-client-id", "slot.session.1").header("bannou-subject", "ada")
    }

    /// The next thing said; it is answered with this.
    async fn hears(&mut self, status: u16, answer: &str) -> (String, Value) {
        let (path, payload, tell) = self.heard.recv().await.unwrap();
        tell.send((status, answer.to_owned())).unwrap();
        (path, payload)
    }
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
        let begun = world.post("game", "/find_match", &json!({})).send().await.unwrap();
        assert_eq!(begun.status(), 200, "it waits for nobody");
        let id = begun.json::<Value>().await.unwrap()["match"].clone();

        let (found, asked) = (
            "/v1/clients/slot.session.1/events/game.match_found",
            "/v1/clients/slot.session.1/events/game.ready_check",
        );
        let players = json!({"match": id, "status": "found", "players": ["ada", "the house"]});
        assert_eq!(world.hears(200, "{}").await, (found.to_owned(), players));
        assert_eq!(world.hears(status, answer).await, (asked.to_owned(), json!({"match": id, "answer_within_s": 10})));
        let (path, mut told) = world.hears(200, "{}").await;
        assert_eq!((path.as_str(), told.as_object_mut().unwrap().remove("match")), (found, Some(id)));
        assert_eq!(told, ends);
    }
}

#[tokio::test]
async fn a_new_account_is_welcomed_in_passing() {
    let mut world = world().await;
    let created = world.post("account", "/v1/accounts", &json!({"name": "Ada"})).send().await.unwrap();
    assert_eq!(created.status(), 201, "before anything is heard");
    let welcome = "/v1/clients/slot.session.1/events/account.welcome".to_owned();
    assert_eq!(world.hears(404, "").await, (welcome, json!({"name": "Ada"})));
}

#[tokio::test]
async fn a_notice_goes_to_everybody() {
    let mut world = world().await;
    for (status, then) in [(200, 200), (202, 200), (403, 502)] {
        let said = tokio::spawn(world.post("chat", "/say", &json!({"text": "hello"})).send());
        let notice = json!({"from": "ada", "text": "hello"});
        assert_eq!(world.hears(status, "{}").await, ("/v1/all/events/chat.notice".to_owned(), notice));
        assert_eq!(said.await.unwrap().unwrap().status(), then);
    }
    for bad in [json!({}), json!({"text": " "}), json!({"text": "x".repeat(501)})] {
        assert_eq!(world.post("chat", "/say", &bad).send().await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn without_a_voice_they_say_so() {
    let demo = Demo::start(&["chat", "game"], Arc::new(|| None), None).await.unwrap();
    let http = Client::builder().no_proxy().build().unwrap();
    for (app, path, body) in [("chat", "/say", r#"{"text":"hello"}"#), ("game", "/find_match", "")] {
        let url = format!("{}{path}", demo.urls[app]);
        assert_eq!(http.post(&url).body(body).send().await.unwrap().status(), 400, "past the gateway");
        let answer = http.post(&url).body(body).header("bannou-client-id", "c").send().await.unwrap();
        assert_eq!(answer.status(), 503);
    }
}
