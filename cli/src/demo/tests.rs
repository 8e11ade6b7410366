//! The demo services over HTTP and TCP, called as the gateway calls them.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

async fn demo(signer: Option<Signer>) -> (Demo, Client) {
    let demo = Demo::start(&APPS, Arc::new(move || signer.clone()), None).await.unwrap();
    (demo, Client::builder().no_proxy().build().unwrap())
}

fn signer() -> Signer {
    Signer {
        issuer: "https://demo".into(),
        audience: Some("game".into()),
        kid: None,
        algorithm: Algorithm::HS256,
        secret: SECRET.into(),
    }
}

/// What the gateway sets; `who`: client id, and subject when logged in.
fn from(request: RequestBuilder, client_id: &str, subject: Option<&str>) -> RequestBuilder {
    let request = request.header("bannou-client-id", client_id).header("bannou-request-id", "request-1");
    match subject {
        Some(subject) => request.header("bannou-issuer", "https%3A%2F%2Fdemo").header("bannou-subject", subject),
        None => request,
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |v| v.to_str().unwrap())
}

async fn assert_problem(answer: Response, status: u16) {
    assert_eq!(answer.status(), status);
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
}

#[tokio::test]
async fn login_gives_a_token_that_verifies_and_repeats_the_request_id() {
    let (demo, http) = demo(Some(signer())).await;
    let url = format!("{}/login", demo.urls["auth"]);
    let answer = from(http.post(&url), "c", None).body(r#"{"name":"ada","password":"lovelace"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "bannou-request-id"), "request-1");
    let token = header(&answer, "bannou-set-token").to_owned();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["token"], token.as_str());

    let mut rules = Validation::new(Algorithm::HS256);
    rules.set_issuer(&["https://demo"]);
    rules.set_audience(&["game"]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Value>(&token, &DecodingKey::from_secret(SECRET), &rules).unwrap().claims;
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["name"], "ada");
    assert_eq!(claims["roles"], json!(["player"]));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);

    let grace = http.post(&url).body(r#"{"name":"grace","password":"hopper"}"#).send().await.unwrap();
    assert_eq!(grace.status(), 200);
}

#[tokio::test]
async fn login_refuses_with_answers_of_its_own() {
    let (demo, http) = demo(None).await;
    let url = format!("{}/login", demo.urls["auth"]);
    let post = |body: &'static str| from(http.post(&url), "c", None).body(body).send();
    for wrong in [r#"{"name":"ada","password":"hopper"}"#, r#"{"name":"eve","password":""}"#] {
        let answer = post(wrong).await.unwrap();
        assert!(answer.headers().get("bannou-set-token").is_none());
        assert_problem(answer, 401).await;
    }
    for bad in ["", "{", "[]", r#"{"name":"ada"}"#] {
        assert_problem(post(bad).await.unwrap(), 400).await;
    }
    // The right password, but nobody to sign for.
    assert_problem(post(r#"{"name":"ada","password":"lovelace"}"#).await.unwrap(), 503).await;
    assert_problem(http.post(format!("{}/nothing", demo.urls["auth"])).send().await.unwrap(), 404).await;
}

#[tokio::test]
async fn an_account_belongs_to_issuer_and_subject() {
    let (demo, http) = demo(None).await;
    let accounts = format!("{}/v1/accounts", demo.urls["account"]);
    let me = format!("{accounts}/me");

    let anonymous = from(http.post(&accounts), "c", None).body(r#"{"name":"Nobody"}"#).send().await.unwrap();
    assert_eq!(anonymous.status(), 201);
    assert!(anonymous.json::<Value>().await.unwrap()["id"].as_str().is_some());
    assert_problem(from(http.get(&me), "c", None).send().await.unwrap(), 401).await;

    let first: Value = from(http.get(&me), "c", Some("ada")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&first["name"], &first["subject"]), (&json!("ada"), &json!("ada")));
    let created = from(http.post(&accounts), "c", Some("ada")).body(r#"{"name":"Ada L."}"#).send().await.unwrap();
    let created: Value = created.json().await.unwrap();
    let again: Value = from(http.get(&me), "other", Some("ada")).send().await.unwrap().json().await.unwrap();
    assert_eq!(again, created);
    let grace: Value = from(http.get(&me), "c", Some("gr%C3%A4ce")).send().await.unwrap().json().await.unwrap();
    assert_eq!(grace["subject"], "gräce");
    let same_name = http.get(&me).header("bannou-issuer", "elsewhere").header("bannou-subject", "ada");
    let same_name: Value = same_name.send().await.unwrap().json().await.unwrap();
    assert_ne!(same_name["id"], created["id"]);

    for bad in ["", "{}", r#"{"name":"  "}"#, r#"{"name":1}"#] {
        assert_problem(http.post(&accounts).body(bad).send().await.unwrap(), 400).await;
    }
}

#[tokio::test]
async fn joining_introduces_everybody_in_the_room() {
    let (demo, http) = demo(None).await;
    let url = format!("{}/join", demo.urls["chat"]);
    let join = |id: &'static str, subject, body: &'static str| from(http.post(&url), id, subject).body(body).send();

    let first = join("aaaa1111-x", Some("ada"), r#"{"room":"lobby"}"#).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(header(&first, "bannou-request-id"), "request-1");
    assert!(first.headers().get("bannou-introduce").is_none(), "nobody is there yet");
    assert_eq!(first.json::<Value>().await.unwrap(), json!({"room": "lobby", "members": 1}));

    let second = join("bbbb2222-x", None, r#"{"room":"lobby"}"#).await.unwrap();
    let introduced: Vec<_> = second.headers().get_all("bannou-introduce").iter().map(|v| v.to_str().unwrap()).collect();
    assert_eq!(introduced, ["aaaa1111-x; label=ada-aaaa11; label=guest-bbbb22"]);
    let third = join("cccc3333-x", Some("grace"), r#"{"room":"lobby"}"#).await.unwrap();
    assert_eq!(third.headers().get_all("bannou-introduce").iter().count(), 2);

    let elsewhere = join("cccc", None, r#"{"room":"other"}"#).await.unwrap();
    assert_eq!(elsewhere.json::<Value>().await.unwrap()["members"], 1);
    for bad in ["", r#"{"room":""}"#, r#"{"room":"a b"}"#] {
        assert_problem(join("dddd", None, bad).await.unwrap(), 400).await;
    }
    assert_problem(http.post(&url).body(r#"{"room":"lobby"}"#).send().await.unwrap(), 400).await;
}

#[tokio::test]
async fn echo_does_as_it_is_told() {
    let (demo, http) = demo(None).await;
    let post = |path: &str, body: Vec<u8>| http.post(format!("{}{path}", demo.urls["echo"])).body(body).send();

    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    assert_eq!(post("/bytes", binary.clone()).await.unwrap().bytes().await.unwrap(), binary);
    assert_eq!(post("/bytes", vec![]).await.unwrap().bytes().await.unwrap(), "");

    let slow: Value = post("/slow", br#"{"ms":1}"#.into()).await.unwrap().json().await.unwrap();
    assert_eq!(slow, json!({"waited_ms": 1}));

    let teapot = post("/fail", br#"{"status":418,"body":"short"}"#.into()).await.unwrap();
    assert_eq!((teapot.status().as_u16(), teapot.text().await.unwrap()), (418, "short".into()));
    let object = post("/fail", br#"{"status":503,"body":{"a":1}}"#.into()).await.unwrap();
    assert_eq!((object.status().as_u16(), object.text().await.unwrap()), (503, r#"{"a":1}"#.into()));
    let empty = post("/fail", br#"{"status":404}"#.into()).await.unwrap();
    assert_eq!((empty.status().as_u16(), empty.text().await.unwrap()), (404, "".into()));
    for bad in ["", r#"{"status":100}"#, r#"{"status":600}"#, r#"{"status":"x"}"#] {
        assert_problem(post("/fail", bad.into()).await.unwrap(), 400).await;
    }

    let mut stream = post("/stream", br#"{"parts":3,"ms":20}"#.into()).await.unwrap();
    let mut parts = Vec::new();
    while let Some(part) = stream.chunk().await.unwrap() {
        parts.push(part);
    }
    assert_eq!(parts.concat(), b"{\"of\":3,\"part\":1}\n{\"of\":3,\"part\":2}\n{\"of\":3,\"part\":3}\n");
    assert_eq!(parts.len(), 3, "one write per part");
    assert_eq!(post("/stream", br#"{"parts":0}"#.into()).await.unwrap().text().await.unwrap(), "");
    assert_problem(post("/stream", br#"{"parts":1001}"#.into()).await.unwrap(), 400).await;
}

/// Connects to the game server, sends `first`, and gives the connection with the server's first line.
async fn enter(address: SocketAddr, first: &str) -> (BufReader<TcpStream>, String) {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.write_all(format!("{first}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    (stream, line)
}

#[tokio::test]
async fn the_game_takes_a_ticket_once_and_echoes_positions() {
    let (demo, http) = demo(None).await;
    let url = format!("{}/connect", demo.urls["game"]);
    let answer: Value = from(http.post(&url), "c", Some("ada")).send().await.unwrap().json().await.unwrap();
    let address: SocketAddr = answer["tcp_url"].as_str().unwrap().parse().unwrap();
    assert_eq!(Some(address), demo.game);
    let ticket = answer["auth_token"].as_str().unwrap();

    let (mut stream, said) = enter(address, ticket).await;
    assert_eq!(said, "ok\n");
    for position in ["1 2 3\n", "4 5 6\r\n"] {
        stream.write_all(position.as_bytes()).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line.trim_end(), position.trim_end());
    }

    for refused in [ticket, "", "guess"] {
        let (mut stream, said) = enter(address, refused).await;
        assert_eq!(said, "denied\n");
        assert_eq!(stream.read_line(&mut String::new()).await.unwrap(), 0, "and closes");
    }
    assert_problem(http.post(&url).send().await.unwrap(), 400).await;
}

#[tokio::test]
async fn only_what_is_wanted_runs_and_it_ends_when_dropped() {
    let demo = Demo::start(&["echo", "game", "unknown"], Arc::new(|| None), None).await.unwrap();
    assert_eq!(demo.urls.keys().collect::<Vec<_>>(), ["echo", "game"]);
    let address = demo.game.unwrap();
    drop(demo);
    // The listener goes with its task, which ends at its next turn.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
