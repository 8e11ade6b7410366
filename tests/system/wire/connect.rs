//! Section 1: who may connect, and who speaks first.

use serde_json::json;

use super::raw::{Came, Raw};
use super::{World, wire_catalog};
use crate::support::catalog::token;

#[tokio::test]
async fn a_plain_client_gets_discovery_first_with_all_that_it_needs() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let d = client.discovery.clone();
    let client_id = d["client_id"].as_str().unwrap();
    let parts: Vec<&str> = client_id.split('.').collect();
    assert_eq!((parts.len(), parts[0].len(), parts[2]), (3, 16, "1"), "{client_id}");
    assert_eq!(parts[1], d["session_id"].as_str().unwrap());
    assert_eq!(d["revision"], 1);
    assert_eq!(d["limits"], json!({"message_bytes": 65_536, "requests_per_second": 100_000}));
    assert_eq!(d["ping_s"], 25);
    assert_eq!(d["resume"]["window_s"], 120);
    assert!(d["resume"]["token"].as_str().unwrap().len() <= 4096);
    assert_eq!(d["events"], json!({}));
    assert!(!client.services.contains_key("svc.members"), "what it may not call is absent");
    let other = world.connect().await;
    assert_eq!(other.discovery["set"], d["set"], "the same set has the same name");
    for (name, handle) in &client.services {
        assert_ne!(other.services[name], *handle, "handles differ on every connection");
    }
    client.nothing_more().await;
}

#[tokio::test]
async fn only_bannou_v1_is_echoed_and_the_others_need_it() {
    let world = World::start().await;
    let url = &world.gateway.url;
    let protocol = |raw: &Raw| raw.response.headers().get("sec-websocket-protocol").cloned();
    let jwt = token("ada", &json!({}));
    let offered = format!("bannou.bearer.{jwt}, bannou.v1");
    let client = Raw::connect(url, &[("sec-websocket-protocol", &offered)]).await;
    assert_eq!(protocol(&client).unwrap(), "bannou.v1");
    assert!(client.greeted().await.services.contains_key("svc.members"));
    for offered in [format!("bannou.bearer.{jwt}"), "bannou.resume".to_owned()] {
        let refused = Raw::try_connect(url, &[("sec-websocket-protocol", &offered)]).await.err().unwrap();
        assert_eq!(refused.status(), 400);
    }
}

#[tokio::test]
async fn an_origin_must_be_on_the_list_when_there_is_one() {
    let world = World::start().await;
    let with = async |origin| Raw::try_connect(&world.gateway.url, &[("origin", origin)]).await;
    assert!(with("https://play.example").await.is_ok());
    for origin in ["https://evil.example", "null", "https://play.example.evil", "http://play.example"] {
        assert_eq!(with(origin).await.err().unwrap().status(), 403, "{origin}");
    }
}

#[tokio::test]
async fn an_invalid_token_is_told_in_the_way_that_its_sender_can_read() {
    let world = World::start().await;
    let url = &world.gateway.url;
    let refused = Raw::try_connect(url, &[("authorization", "Bearer nonsense")]).await.err().unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    let mut client = Raw::connect(url, &[("sec-websocket-protocol", "bannou.v1, bannou.bearer.a.b.c")]).await;
    let (closing, code) = client.closed().await;
    assert_eq!((closing["code"].as_u64(), closing["reconnect"].as_str(), code), (Some(4401), Some("no"), 4401));
}

#[tokio::test]
async fn over_capacity_is_503_before_the_upgrade() {
    let world = World::with(&wire_catalog(), &["--max-connections", "1"]).await;
    let _only = world.connect().await;
    let refused = Raw::try_connect(&world.gateway.url, &[]).await.err().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so() {
    let world = World::start().await;
    let http = world.gateway.url.replace("ws://", "http://");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(&http).send().await.unwrap().status(), 426);
    assert_eq!(client.post(&http).send().await.unwrap().status(), 405);
    assert_eq!(client.get(http.replace("/connect", "/other")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_resume_that_cannot_be_is_a_gap_and_a_fresh_discovery() {
    let world = World::start().await;
    let expired = token("ada", &json!({"exp": 1_000_000_000}));
    let offered = format!("bannou.v1, bannou.resume, bannou.bearer.{expired}");
    let mut client = Raw::connect(&world.gateway.url, &[("sec-websocket-protocol", &offered)]).await;
    // The gateway says nothing until then: the first thing that comes answers this.
    client.say(&json!({"type": "resume", "id": 7, "token": "x", "cursor": "3", "group_cursor": "4", "open": []})).await;
    let gap = client.said("gap").await;
    assert_eq!((&gap["unknown"], &gap["cursor"], &gap["group_cursor"]), (&json!(true), &json!("0"), &json!("0")));
    let mut client = client.greeted().await;
    assert!(!client.services.contains_key("svc.members"), "beside bannou.resume an expired token is ignored");
    assert_eq!(client.said("ok").await["id"], 7);
    client.ask("svc.echo", 1, b"fresh").await;
    assert_eq!(client.frame().await.2, b"fresh");
}

#[tokio::test]
async fn the_first_frame_after_bannou_resume_must_be_resume() {
    let world = World::start().await;
    for first in [json!({"type": "ping"}).to_string(), "garbage".to_owned()] {
        let mut client =
            Raw::connect(&world.gateway.url, &[("sec-websocket-protocol", "bannou.v1, bannou.resume")]).await;
        client.text(&first).await;
        assert_eq!(client.closed().await.1, 1008);
    }
    let mut later = world.connect().await;
    later.say(&json!({"type": "resume", "token": "x", "id": 1})).await;
    assert_eq!(later.said("error").await["status"], 400);
}

#[tokio::test]
async fn a_subject_has_at_most_so_many_connections_and_the_newest_win() {
    let mut catalog = wire_catalog();
    for tier in &mut catalog.tiers {
        tier.limits.max_connections_per_subject = (tier.name == "player").then_some(2);
    }
    let world = World::with(&catalog, &[]).await;
    let bearer = format!("Bearer {}", token("ada", &json!({})));
    let connect = || async { Raw::connect(&world.gateway.url, &[("authorization", &bearer)]).await.greeted().await };
    let (mut first, mut second, mut third) = (connect().await, connect().await, connect().await);
    let (closing, code) = first.closed().await;
    assert_eq!((code, &closing["reconnect"]), (4409, &json!("no")));
    second.nothing_more().await;
    third.nothing_more().await;
    assert!(matches!(first.next().await, Came::Closed(_)));
}
