//! Section 3: control messages.

use serde_json::{Value, json};

use super::World;
use super::raw::Came;
use crate::support::catalog::token;

#[tokio::test]
async fn every_message_is_answered_with_its_own_id() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for id in ["1", "-2.5", "\"x\"", "18446744073709551617", "\"ü \\\"\""] {
        client.text(&format!(r#"{{"type":"ping","id":{id},"unknown":[{{}}]}}"#)).await;
        assert_eq!(client.said("ok").await["id"], serde_json::from_str::<Value>(id).unwrap());
    }
    for (message, status) in [
        (json!({"type": "nonsense", "id": 1}), 400),
        (json!({"type": "authenticate", "id": 2}), 400),
        (json!({"type": "authenticate", "token": 5, "id": 3}), 400),
        (json!({"type": "authenticate", "token": "a.b.c", "id": 4}), 401),
        (json!({"type": "describe", "name": "svc.members", "id": 5}), 403),
        (json!({"type": "describe", "name": "svc.nothing", "id": 6}), 403),
        (json!({"type": "part", "label": "nobody", "id": 7}), 404),
        (json!({"type": "part", "group": "x.y", "id": 8}), 501),
        (json!({"type": "meet", "client_id": "x", "id": 9}), 501),
        (json!({"type": "host", "service": "x", "id": 10}), 501),
        (json!({"type": "unhost", "service": "x", "id": 11}), 501),
    ] {
        client.say(&message).await;
        let error = client.said("error").await;
        assert_eq!((&error["status"], &error["id"]), (&json!(status), &message["id"]), "{message}");
        assert!(error["title"].is_string() && error["detail"].is_string(), "{error}");
    }
    client.say(&json!({"type": "describe", "name": "svc.stream", "id": "d"})).await;
    let described = client.said("ok").await;
    assert_eq!((&described["interaction"], &described["id"]), (&json!("Stream"), &json!("d")));
    client.nothing_more().await;
}

#[tokio::test]
async fn a_login_on_the_open_socket_unlocks_more_in_the_promised_order() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({})), "id": 1})).await;
    assert!(client.said("resume").await["token"].is_string());
    let update = client.said("service_update").await;
    assert_eq!(update["revision"], 2);
    assert_eq!(update["reason"], "authenticated");
    assert_eq!(update["removed"], json!([]));
    let added: Vec<&String> = update["added"].as_object().unwrap().keys().collect();
    assert_eq!(added, ["svc.members"]);
    assert_ne!(update["set"], client.discovery["set"]);
    let ok = client.said("ok").await;
    assert!((3590..=3600).contains(&ok["expires_in_s"].as_u64().unwrap()), "{ok}");
    // Handles of what stays keep their value, and the new one works.
    client.ask("svc.echo", 1, b"old").await;
    assert_eq!(client.frame().await.2, b"old");
    client.send(super::raw::handle(&update["added"]["svc.members"]), 2, b"new").await;
    assert_eq!(client.frame().await.2, b"new");
    // A refresh changes nothing but the expiry.
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({})), "id": 2})).await;
    client.said("resume").await;
    assert_eq!(client.said("ok").await["id"], 2);
    client.nothing_more().await;
}

#[tokio::test]
async fn a_token_that_is_about_to_end_is_announced() {
    let world = World::start().await;
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 4;
    let mut client = world.connect().await;
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({"exp": soon}))})).await;
    client.said("resume").await;
    client.said("service_update").await;
    client.said("ok").await;
    assert!(client.said("token_expiring").await["expires_in_s"].as_u64().unwrap() <= 4);
}

/// Half a minute, since the grace is 25 s.
#[tokio::test]
async fn an_expired_token_takes_its_tiers_along_and_calls_under_them() {
    let world = World::start().await;
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 2;
    let mut client = world.connect().await;
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({"exp": soon}))})).await;
    client.said("resume").await;
    let update = client.said("service_update").await;
    let members = super::raw::handle(&update["added"]["svc.members"]);
    client.said("ok").await;
    client.said("token_expiring").await;
    client.send(members, 1, b"in the grace").await;
    assert_eq!(client.frame().await.2, b"in the grace");
    loop {
        match client.next_for(std::time::Duration::from_secs(60)).await {
            Came::Said(m) if m["type"] == "resume" => {}
            Came::Said(m) => {
                assert_eq!((&m["type"], &m["removed"]), (&json!("service_update"), &json!(["svc.members"])));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    client.send(members, 2, b"").await;
    assert_eq!(client.failed().await.1, 403);
    client.ask("svc.echo", 3, b"stays").await;
    assert_eq!(client.frame().await.2, b"stays");
}

/// Ten seconds, which is what the protocol gives.
#[tokio::test]
async fn where_nobody_anonymous_is_admitted_a_token_must_come() {
    let mut catalog = super::wire_catalog();
    catalog.tiers.retain(|t| t.name == "player");
    let world = World::with(&catalog, &[]).await;
    let (mut idle, mut quick) = (world.connect().await, world.connect().await);
    assert!(idle.services.is_empty());
    quick.say(&json!({"type": "authenticate", "token": token("ada", &json!({}))})).await;
    quick.said("resume").await;
    quick.said("service_update").await;
    quick.said("ok").await;
    let Came::Said(closing) = idle.next_for(std::time::Duration::from_secs(60)).await else { panic!("no closing") };
    assert_eq!((&closing["type"], &closing["code"]), (&json!("closing"), &json!(4401)));
    quick.nothing_more().await;
}

#[tokio::test]
async fn garbage_is_answered_and_at_last_closed() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for n in 0..16 {
        client.text(["[]", "{", "\u{0}", "nonsense"][n % 4]).await;
        assert_eq!(client.said("error").await["status"], 400);
    }
    assert_eq!(client.closed().await.1, 1008);
}

#[tokio::test]
async fn text_over_16_kib_is_1009() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let ping = |size: usize| format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(size - 22));
    client.text(&ping(16 * 1024)).await;
    client.said("ok").await;
    client.text(&ping(16 * 1024 + 1)).await;
    let (closing, code) = client.closed().await;
    assert_eq!((code, &closing["code"], &closing["reconnect"]), (1009, &json!(1009), &json!("no")));
}

#[tokio::test]
async fn control_messages_have_a_rate() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for id in 0..100 {
        client.say(&json!({"type": "ping", "id": id})).await;
    }
    let mut limited = 0;
    for id in 0..100 {
        match client.next().await {
            Came::Said(answer) => {
                assert_eq!(answer["id"], id);
                limited += u32::from(answer["status"] == 429);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(limited > 0);
}
