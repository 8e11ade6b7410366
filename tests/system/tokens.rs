//! Wrong tokens against the real gateway, by each of the three ways in which a token can come.

mod mint;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bannou_crds::{Catalog, Kind, Target};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use mint::Mint;

use crate::support::gateway::Gateway;

type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A fleet that trusts the tests as a proxy, with one service for everybody and one for players.
fn catalog(issuers: Value) -> Catalog {
    let tier = |name: &str, principal: &str| json!({"name": name, "includes": [], "admission": {"principal": principal}, "limits": {}, "peers": "Disabled"});
    let catalog = json!({
        "format": 1,
        "fleet": {
            "namespace": "test", "name": "default", "issuers": issuers, "origins": [],
            "trusted_proxies": ["127.0.0.0/8"], "resume_window_ms": 120_000, "max_session_age_ms": 86_400_000,
            "max_config_age_ms": 86_400_000, "max_token_life_ms": 86_400_000,
        },
        "tiers": [tier("anonymous", "Anonymous"), tier("player", "Authenticated")],
        "services": [service("lobby", "anonymous"), service("match", "player")],
    });
    serde_json::from_value(catalog).expect("a catalog")
}

fn service(name: &str, tier: &str) -> Value {
    let target = Target::of(Kind::Endpoint, format!("{name}.go").as_bytes());
    json!({
        "name": name, "namespace": "test", "backend": {"service": {"name": name, "port": 80}}, "max_in_flight": 10,
        "endpoints": [{
            "name": "go", "target": target, "path": [{"text": "/"}], "method": "POST", "payload": "Body",
            "tiers": [tier], "timeout_ms": 1000, "max_request_bytes": 1000, "max_response_bytes": 1000,
            "interaction": "Request", "content_type": "application/json",
        }],
        "events": [],
    })
}

async fn start(mint: &Mint) -> Gateway {
    // Read when the gateway starts, and not again here.
    let secrets = tempfile::tempdir().expect("a folder");
    for (name, secret) in [("hmac-secret", &mint.secret), ("plain-secret", &mint.plain)] {
        std::fs::write(secrets.path().join(name), secret).expect("a file");
    }
    Gateway::start(&catalog(mint.issuers()), |command| {
        command.arg("--secrets-dir").arg(secrets.path());
    })
    .await
}

/// Failures count per address, so each attempt comes from one of its own.
fn another_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    std::net::Ipv4Addr::from(0xC612_0000 + NEXT.fetch_add(1, Ordering::Relaxed)).to_string()
}

/// Connects with these headers from the address; an `Err` is the status and the body.
async fn connect(gateway: &Gateway, address: &str, headers: &[(&'static str, &str)]) -> Result<Socket, (u16, String)> {
    let mut request = gateway.url.as_str().into_client_request().expect("a URL");
    for (name, value) in headers.iter().chain(&[("x-forwarded-for", address)]) {
        request.headers_mut().insert(*name, value.parse().expect("a header's value"));
    }
    match soon(connect_async(request)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Err((response.status().as_u16(), body))
        }
        Err(other) => panic!("{other}"),
    }
}

async fn anonymous(gateway: &Gateway) -> Socket {
    let mut socket = connect(gateway, &another_address(), &[]).await.expect("anybody may connect");
    let discovery = control(&mut socket).await;
    assert_eq!(discovery["type"], "service_discovery");
    assert_eq!(names(&discovery["services"]), ["lobby.go"]);
    socket
}

fn names(services: &Value) -> Vec<&str> {
    services.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn control(socket: &mut Socket) -> Value {
    loop {
        match soon(socket.next()).await.expect("the connection ended").expect("a frame") {
            Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("not a control message: {other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    soon(socket.send(Message::text(message.to_string()))).await.expect("sent");
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nothing happened for 30 s")
}

#[tokio::test]
async fn good_tokens_are_accepted_each_way() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    for (name, token) in mint.accepted() {
        for headers in [
            ("authorization", format!("Bearer {token}")),
            ("sec-websocket-protocol", format!("bannou.v1, bannou.bearer.{token}")),
        ] {
            let headers = [(headers.0, headers.1.as_str())];
            let mut socket = connect(&gateway, &another_address(), &headers).await.expect(name);
            let discovery = control(&mut socket).await;
            assert_eq!(names(&discovery["services"]), ["lobby.go", "match.go"], "{name}");
        }
        let mut socket = anonymous(&gateway).await;
        say(&mut socket, json!({"type": "authenticate", "id": 1, "token": token})).await;
        let update = loop {
            let message = control(&mut socket).await;
            if message["type"] != "resume" {
                break message;
            }
        };
        assert_eq!((&update["type"], names(&update["added"])), (&json!("service_update"), vec!["match.go"]), "{name}");
        let answer = control(&mut socket).await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("ok"), &json!(1)), "{name}");
    }
}

#[tokio::test]
async fn by_header_a_wrong_one_is_401_before_the_upgrade() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    for (name, token) in mint.hostile() {
        let headers = [("authorization", format!("Bearer {token}"))];
        let headers = [(headers[0].0, headers[0].1.as_str())];
        let refused = connect(&gateway, &another_address(), &headers).await;
        let (status, body) = refused.err().unwrap_or_else(|| panic!("accepted: {name}"));
        assert_eq!(status, 401, "{name}: {body}");
        let problem: Value = serde_json::from_str(&body).expect("problem JSON");
        assert_eq!(problem["status"], 401);
        assert!(token.len() < 20 || !body.contains(&token[..20]), "{name}: nothing of the token is repeated");
    }
}

#[tokio::test]
async fn by_subprotocol_a_wrong_one_is_closing_and_4401() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    for (name, token) in mint.hostile() {
        let offer = format!("bannou.v1, bannou.bearer.{token}");
        let mut socket =
            connect(&gateway, &another_address(), &[("sec-websocket-protocol", &offer)]).await.expect("upgraded");
        let closing = control(&mut socket).await;
        assert_eq!(closing["type"], "closing", "{name}: {closing}");
        assert_eq!((&closing["code"], &closing["reconnect"]), (&json!(4401), &json!("no")), "{name}");
        match soon(socket.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 4401, "{name}"),
            other => panic!("{name}: not closed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn by_authenticate_a_wrong_one_is_an_error_and_the_connection_stays() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    let all = [mint.hostile(), mint.hostile_text()].concat();
    // Fewer to a connection than an address may get wrong.
    for some in all.chunks(20) {
        let mut socket = anonymous(&gateway).await;
        for (name, token) in some {
            say(&mut socket, json!({"type": "authenticate", "id": name, "token": token})).await;
            let answer = control(&mut socket).await;
            assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!(name)), "{answer}");
            assert_eq!(answer["status"], 401, "{answer}");
        }
        say(&mut socket, json!({"type": "ping", "id": "still there"})).await;
        let answer = control(&mut socket).await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!("ok"), &json!("still there")), "and nothing was granted");
    }
}

#[tokio::test]
async fn an_address_that_fails_too_often_must_wait_also_with_a_good_token() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    let address = another_address();
    let with = async |address: &str, token: &str| {
        let value = format!("Bearer {token}");
        connect(&gateway, address, &[("authorization", &value)]).await.map(drop).map_err(|(status, _)| status)
    };
    let statuses = futures_util::future::join_all((0..60).map(|_| with(&address, "token"))).await;
    assert!(statuses.contains(&Err(401)) && statuses.contains(&Err(429)), "{statuses:?}");
    assert_eq!(with(&address, &mint.good("1")).await, Err(429));
    assert_eq!(with(&another_address(), &mint.good("1")).await, Ok(()));
    assert!(connect(&gateway, &address, &[]).await.is_ok(), "without a token the address may still connect");
}

#[tokio::test]
async fn beside_resume_an_expired_one_is_ignored_and_any_other_wrong_one_is_not() {
    let mint = Mint::new();
    let gateway = start(&mint).await;
    let offer = |token: &str| format!("bannou.v1, bannou.resume, bannou.bearer.{token}");
    let headers = offer(&mint.expired());
    let mut socket =
        connect(&gateway, &another_address(), &[("sec-websocket-protocol", &headers)]).await.expect("upgraded");
    say(&mut socket, json!({"type": "resume", "token": "x", "cursor": "0", "group_cursor": "0", "open": []})).await;
    assert_eq!(control(&mut socket).await["type"], "gap");
    let discovery = control(&mut socket).await;
    assert_eq!(names(&discovery["services"]), ["lobby.go"], "it gives nothing, either");
    let headers = offer("token");
    let mut socket =
        connect(&gateway, &another_address(), &[("sec-websocket-protocol", &headers)]).await.expect("upgraded");
    assert_eq!(control(&mut socket).await["code"], 4401);
}

#[tokio::test]
async fn keys_behind_a_url_are_fetched_and_rotate() {
    let mint = Arc::new(Mint::new());
    let (current, serving) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), mint.clone());
    let rotated = current.clone();
    let route = axum::routing::get(move || {
        let kid = if rotated.load(Ordering::SeqCst) { "2" } else { "1" };
        let jwks = serving.jwks(kid);
        async move { axum::Json(jwks) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/jwks", route)).await });
    let issuers = json!([{
        "name": "main", "issuer": "https://main.test/", "audiences": ["game"], "algorithms": ["ES256"],
        "keys": {"jwks_uri": url},
    }]);
    let gateway = Gateway::start(&catalog(issuers), |_| {}).await;
    let with = async |kid: &str| {
        let value = format!("Bearer {}", mint.good(kid));
        let connected = connect(&gateway, &another_address(), &[("authorization", &value)]).await;
        connected.map(drop).map_err(|(status, _)| status)
    };
    assert_eq!(with("1").await, Ok(()), "the first token waits for the first fetch");
    current.store(true, Ordering::SeqCst);
    assert_eq!(with("2").await, Ok(()), "an unknown kid causes a fetch");
    assert_eq!(with("1").await, Err(401), "what was withdrawn is worth nothing");
    server.abort();
    assert_eq!(with("2").await, Ok(()), "the last good keys stay");
}
