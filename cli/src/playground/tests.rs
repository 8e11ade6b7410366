//! The page's files and the media relay, over real sockets.

use axum::http::{HeaderMap, StatusCode};
use futures_util::{SinkExt, StreamExt};
use reqwest::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;
use crate::demo::Demo;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Served {
    address: SocketAddr,
    demo: Demo,
    http: Client,
}

async fn serve(apps: &[&str]) -> Served {
    let demo = Demo::start(apps, Arc::new(|| None), None).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = InternalPort::new("the-token").unwrap();
    port.found(format!("http://{}", internal().await));
    let router = router(OwnOrigins::new(origins_of(address).into()), demo.game, port);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Served { address, demo, http: Client::builder().no_proxy().build().unwrap() }
}

/// In the place of the gateway's internal port: says what it was asked, as a client's answer.
async fn internal() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(|uri: axum::http::Uri, headers: HeaderMap, body: String| async move {
        let asked = json!({"path": uri.path(), "as": headers["authorization"].to_str().unwrap(), "body": body});
        (StatusCode::CONFLICT, [("bannou-status", "409"), ("x-internal", "1")], Json(asked))
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

impl Served {
    async fn media(&self, origin: Option<&str>) -> Result<Socket, Error> {
        let mut request = format!("ws://{}/playground/media", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        connect_async(request).await.map(|(socket, _)| socket)
    }

    /// What `game.connect` answers.
    async fn ticket(&self) -> Value {
        let url = format!("{}/connect", self.demo.urls["game"]);
        self.http.post(url).header("bannou-client-id", "c").send().await.unwrap().json().await.unwrap()
    }
}

async fn say(socket: &mut Socket, text: impl ToString) {
    socket.send(Message::text(text.to_string())).await.unwrap();
}

async fn hear(socket: &mut Socket) -> String {
    socket.next().await.unwrap().unwrap().into_text().unwrap().to_string()
}

/// The code and reason of the close that must come next.
async fn closed(socket: &mut Socket) -> (u16, String) {
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("expected a close, got {other:?}"),
    }
}

#[tokio::test]
async fn the_page_and_the_client_are_served_with_their_types_and_nothing_else_is() {
    let served = serve(&[]).await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/client/index.js", "text/javascript; charset=utf-8"),
        ("/playground/config.json", "application/json"),
    ] {
        let answer = served.http.get(format!("http://{}{path}", served.address)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), content_type, "{path}");
        assert_eq!(header("cache-control"), "no-cache", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(!answer.bytes().await.unwrap().is_empty(), "{path}");
    }
    for path in ["/client/", "/client/../Cargo.toml", "/client/%2e%2e/package.json", "/nothing"] {
        let answer = served.http.get(format!("http://{}{path}", served.address)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn the_config_names_what_the_page_needs() {
    let served = serve(&[]).await;
    let config: Value = served
        .http
        .get(format!("http://{}/playground/config.json", served.address))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(config["connect"], "/connect");
    assert_eq!(config["media"], "/playground/media");
    assert_eq!(config["accounts"][0], json!({"name": "ada", "password": "lovelace"}));
    assert_eq!(config["examples"]["auth.login"], config["accounts"][0]);
}

#[tokio::test]
async fn lines_pass_both_ways_after_the_ticket() {
    let served = serve(&["game"]).await;
    let own = format!("http://localhost:{}", served.address.port());
    for origin in [None, Some(own.as_str())] {
        let mut socket = served.media(origin).await.unwrap();
        say(&mut socket, served.ticket().await).await;
        assert_eq!(hear(&mut socket).await, "ok");
        for position in ["1 2 3", "", "ä"] {
            say(&mut socket, position).await;
            assert_eq!(hear(&mut socket).await, position);
        }
        let longest = "x".repeat(4096);
        say(&mut socket, &longest).await;
        assert_eq!(hear(&mut socket).await, longest);
        socket.close(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_used_ticket_is_denied_by_the_server_itself() {
    let served = serve(&["game"]).await;
    let ticket = served.ticket().await;
    let mut first = served.media(None).await.unwrap();
    say(&mut first, &ticket).await;
    assert_eq!(hear(&mut first).await, "ok");
    let mut second = served.media(None).await.unwrap();
    say(&mut second, &ticket).await;
    assert_eq!(hear(&mut second).await, "denied");
    assert_eq!(closed(&mut second).await, (1000, "the game server closed the connection".into()));
}

#[tokio::test]
async fn only_the_demo_server_is_dialled() {
    let served = serve(&["game", "echo"]).await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for target in [elsewhere.local_addr().unwrap().to_string(), "example.com:80".into(), String::new()] {
        let mut socket = served.media(None).await.unwrap();
        say(&mut socket, json!({"tcp_url": target, "auth_token": "x"})).await;
        let (code, reason) = closed(&mut socket).await;
        assert_eq!(code, 1008);
        assert!(reason.contains("only the demo's own game server"), "{reason}");
    }
    let without = serve(&["echo"]).await;
    let mut socket = without.media(None).await.unwrap();
    say(&mut socket, json!({"tcp_url": "127.0.0.1:1", "auth_token": "x"})).await;
    assert_eq!(closed(&mut socket).await.0, 1008);
}

#[tokio::test]
async fn what_is_no_line_ends_the_relay() {
    let served = serve(&["game"]).await;
    let mut socket = served.media(None).await.unwrap();
    say(&mut socket, "hello").await;
    assert_eq!(closed(&mut socket).await.0, 1008);

    let address = served.demo.game.unwrap().to_string();
    let mut socket = served.media(None).await.unwrap();
    say(&mut socket, json!({"tcp_url": address, "auth_token": "x\ny"})).await;
    assert_eq!(closed(&mut socket).await, (1008, "a ticket is one line".into()));

    for (message, code) in [
        (Message::text("two\nlines"), 1008),
        (Message::binary(vec![1, 2]), 1003),
        (Message::text("x".repeat(4097)), 1009),
    ] {
        let mut socket = served.media(None).await.unwrap();
        say(&mut socket, served.ticket().await).await;
        assert_eq!(hear(&mut socket).await, "ok");
        socket.send(message).await.unwrap();
        assert_eq!(closed(&mut socket).await.0, code);
    }
}

#[tokio::test]
async fn other_origins_and_plain_requests_are_refused() {
    let served = serve(&["game"]).await;
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        match served.media(Some(origin)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(|_| "connected")),
        }
    }
    let plain = served.http.get(format!("http://{}/playground/media", served.address)).send().await.unwrap();
    assert_eq!(plain.status(), 426);
}

#[tokio::test]
async fn the_page_alone_sends_events_and_never_sees_the_token() {
    let served = serve(&[]).await;
    let (own, port) = (format!("http://127.0.0.1:{}", served.address.port()), served.address.port());
    let url = format!("{own}/playground/api/v1/all/events/chat.notice");
    let post = |origin: Option<String>| {
        let request = served.http.post(&url).body("hello");
        origin.map_or(served.http.post(&url), |origin| request.header("origin", origin)).send()
    };
    for foreign in [
        None,
        Some("null".to_owned()),
        Some(format!("http://evil.example:{port}")),
        Some(format!("https://127.0.0.1:{port}")),
        Some("http://127.0.0.1:1".to_owned()),
    ] {
        let refused = post(foreign.clone()).await.unwrap();
        assert_eq!(refused.status(), 403, "{foreign:?}");
        assert!(refused.headers().get("access-control-allow-origin").is_none());
    }
    let answer = post(Some(own)).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["bannou-status"]), (409, &HeaderValue::from_static("409")));
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert!(answer.headers().get("x-internal").is_none());
    let asked: Value = answer.json().await.unwrap();
    assert_eq!(asked, json!({"path": "/v1/all/events/chat.notice", "as": "Bearer the-token", "body": "hello"}));

    let localhost = post(Some(format!("http://localhost:{port}"))).await.unwrap();
    assert_eq!(localhost.status(), 409, "the page by its other name");
    assert_eq!(served.http.get(&url).send().await.unwrap().status(), 405);
    let config = served.http.get(format!("http://{}/playground/config.json", served.address)).send().await.unwrap();
    assert!(!config.text().await.unwrap().contains("the-token"));
}

#[tokio::test]
async fn a_page_for_a_gateway_elsewhere_connects_there_and_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = page("wss://play.example.com:444/connect?x=1");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let http = Client::builder().no_proxy().build().unwrap();
    let config = http.get(format!("{url}/playground/config.json")).send().await.unwrap();
    let policy = config.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("connect-src 'self' wss://play.example.com:444; "), "{policy}");
    assert!(!policy.contains("127.0.0.1"), "{policy}");
    let config: Value = config.json().await.unwrap();
    assert_eq!(config["connect"], "wss://play.example.com:444/connect?x=1");
    assert_eq!(
        (&config["media"], &config["events"]),
        (&Value::Null, &json!({})),
        "nothing that is only beside `bannou dev`"
    );
    assert_eq!(http.get(format!("{url}/")).send().await.unwrap().status(), StatusCode::OK);
}
