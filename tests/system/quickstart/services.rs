//! Each line of the quickstart's table.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::dev::{Dev, quickstart};
use crate::support::client::Client;

async fn dev() -> Dev {
    Dev::start(&quickstart(), &[]).await
}

#[tokio::test]
async fn login_unlocks_what_players_may_and_a_wrong_password_is_the_services_own_401() {
    let dev = dev().await;
    let mut client = Client::connect(&dev.url()).await;
    let anonymous = ["account.create", "auth.login", "echo.bytes", "echo.fail", "echo.slow", "echo.stream"];
    assert_eq!(client.names(), anonymous);
    let before = client.services.clone();

    let wrong = client.call("auth.login", &json!({"name": "ada", "password": "wrong"})).await;
    assert_eq!((wrong.status, &wrong.json()["status"]), (401, &json!(401)));
    assert_eq!(client.names(), anonymous);

    let right = client.call("auth.login", &json!({"name": "ada", "password": "lovelace"})).await;
    assert_eq!(right.status, 200);
    // The update came before the answer, or the names would not be there yet.
    for unlocked in ["account.get", "chat.join", "chat.say", "game.connect", "game.find_match"] {
        assert!(client.services.contains_key(unlocked), "{unlocked}");
    }
    assert!(before.iter().all(|(name, handle)| client.services[name] == *handle), "handles that stay keep their value");
    let token = client.control("token").await;
    assert_eq!(token["token"], right.json()["token"]);
}

#[tokio::test]
async fn an_account_is_created_by_anybody_and_read_by_its_owner() {
    let dev = dev().await;
    let mut ada = Client::connect(&dev.url()).await;
    let created = ada.call("account.create", &json!({"name": "Nobody"})).await;
    assert_eq!(created.status, 200, "a 201 is a success");
    assert!(created.json()["id"].as_str().is_some_and(|id| !id.is_empty()));

    let mut ada = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let mut grace = Client::logged_in(&dev.url(), "grace", "hopper").await;
    let created = ada.call("account.create", &json!({"name": "Ada"})).await.json();
    assert_eq!(ada.call_bytes("account.get", b"").await.json(), created);
    let other = grace.call_bytes("account.get", b"").await.json();
    assert_eq!(other["subject"], "grace");
    assert_ne!(other["id"], created["id"]);
}

#[tokio::test]
async fn the_game_server_takes_the_ticket_that_connect_gave() {
    let dev = dev().await;
    let mut client = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let answer = client.call("game.connect", &json!({})).await.json();
    let mut game = BufReader::new(TcpStream::connect(answer["tcp_url"].as_str().unwrap()).await.unwrap());
    let mut line = String::new();
    let ticket = answer["auth_token"].as_str().unwrap();
    game.write_all(format!("{ticket}\n1.5 2 3\n").as_bytes()).await.unwrap();
    game.read_line(&mut line).await.unwrap();
    game.read_line(&mut line).await.unwrap();
    assert_eq!(line, "ok\n1.5 2 3\n");
}

#[tokio::test]
async fn clients_in_a_room_talk_to_each_other_without_the_service() {
    let dev = dev().await;
    let mut ada = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let mut grace = Client::logged_in(&dev.url(), "grace", "hopper").await;
    let room = json!({"room": "lobby"});
    assert_eq!(ada.call("chat.join", &room).await.json()["members"], 1);
    assert_eq!(grace.call("chat.join", &room).await.json()["members"], 2);
    for client in [&mut ada, &mut grace] {
        client.control("peers").await;
        assert_eq!(client.peers.len(), 1);
    }
    let (grace_label, to_grace) = ada.peers.iter().next().map(|(l, h)| (l.clone(), *h)).unwrap();
    assert!(grace_label.starts_with("grace-"), "{grace_label}");
    assert!(grace.peers.keys().next().unwrap().starts_with("ada-"));

    let number = ada.send(to_grace, b"hello").await;
    let request = grace.frame(|f| f.is_inbound()).await;
    assert_eq!(request.payload, b"hello");
    assert_eq!(request.handle, *grace.peers.values().next().unwrap());
    grace.reply(&request, b"hi").await;
    assert_eq!(ada.answer(to_grace, number).await.body(), b"hi");

    // A third meets both.
    let mut third = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    assert_eq!(third.call("chat.join", &room).await.json()["members"], 3);
    third.control("peers").await;
    assert_eq!(third.peers.len(), 2);
    // Who leaves is a peer no more.
    third.leave().await;
    while ada.control("peers").await["removed"].as_array().is_none_or(Vec::is_empty) {}
    assert_eq!(ada.peers.len(), 1);
}

#[tokio::test]
async fn echo_gives_bytes_failures_and_parts_as_told() {
    let dev = dev().await;
    let mut client = Client::connect(&dev.url()).await;
    let binary: Vec<u8> = (0..=255).cycle().take(60_000).collect();
    assert_eq!(client.call_bytes("echo.bytes", &binary).await.body(), binary);
    assert_eq!(client.call_bytes("echo.bytes", b"").await.body(), b"");

    let failed = client.call("echo.fail", &json!({"status": 418, "body": {"no": "coffee"}})).await;
    assert_eq!((failed.status, failed.json()), (418, json!({"no": "coffee"})));

    let stream = client.call("echo.stream", &json!({"parts": 4, "ms": 30})).await;
    let lines: Vec<Value> = stream
        .body()
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3], json!({"part": 4, "of": 4}));
    assert!(stream.parts.len() > 1, "it came in parts");
}

#[tokio::test]
async fn a_slow_answer_delays_no_other() {
    let dev = dev().await;
    let mut client = Client::connect(&dev.url()).await;
    let slow = client.services["echo.slow"];
    let late = client.send(slow, br#"{"ms":700}"#).await;
    let soon = client.send(slow, br#"{"ms":1}"#).await;
    let first = client.frame(|f| f.handle == slow).await;
    assert_eq!(first.id, soon);
    assert_eq!(client.answer(slow, late).await.json(), json!({"waited_ms": 700}));
}
