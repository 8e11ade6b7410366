//! Clients that a service has introduced to each other.

use serde_json::{Value, json};

use super::raw::{Came, Handle, Raw, handle};
use super::{ERROR, INBOUND, LOGGED, MORE, ONE_WAY, World, wire_catalog};

fn client_id(client: &Raw) -> String {
    client.discovery["client_id"].as_str().unwrap().to_owned()
}

fn added(message: &Value, label: &str) -> Handle {
    let peer = &message["added"][label];
    assert_eq!((&peer["service"], &peer["endpoint"]), (&json!("svc"), &json!("introduce")), "{message}");
    handle(&peer["handle"])
}

/// Two peers, and by which handle each knows the other.
async fn pair(world: &World) -> (Raw, Handle, Raw, Handle) {
    let (mut a, mut b) = (world.connect().await, world.connect().await);
    let list = format!("{}; label=ada\n{}; label=bob", client_id(&a), client_id(&b));
    a.ask("svc.introduce", 1, list.as_bytes()).await;
    a.said("resume").await;
    let bob = added(&a.said("peers").await, "bob");
    assert_eq!(a.frame().await.2, b"introduced", "the update precedes the answer that caused it");
    b.said("resume").await;
    let ada = added(&b.said("peers").await, "ada");
    (a, bob, b, ada)
}

#[tokio::test]
async fn frames_pass_with_handle_swapped_and_inbound_flipped() {
    let world = World::start().await;
    let (mut a, bob, mut b, ada) = pair(&world).await;
    for (sent, seen) in [(9, INBOUND | 9), (ONE_WAY | 9, INBOUND | ONE_WAY | 9)] {
        a.send(bob, sent, b"to bob").await;
        assert_eq!(b.frame().await, (ada, seen, b"to bob".to_vec()));
    }
    let status = [&404u16.to_be_bytes()[..], b"no"].concat();
    for (sent, seen) in [(INBOUND | 9, 9), (INBOUND | MORE | 9, MORE | 9), (INBOUND | ERROR | 9, ERROR | 9)] {
        b.send(ada, sent, &status).await;
        assert_eq!(a.frame().await, (bob, seen, status.clone()));
    }
    // A cancel is the peer's to honour.
    a.send(bob, ERROR | 9, &499u16.to_be_bytes()).await;
    assert_eq!(b.frame().await, (ada, INBOUND | ERROR | 9, 499u16.to_be_bytes().to_vec()));
    a.send(bob, INBOUND | LOGGED | 9, b"").await;
    assert_eq!(a.said("error").await["status"], 400);
    // The same number in both directions is two exchanges.
    b.send(ada, 9, b"to ada").await;
    assert_eq!(a.frame().await, (bob, INBOUND | 9, b"to ada".to_vec()));
    // What one knows the other by is worth nothing to a third.
    let mut third = world.connect().await;
    third.send(bob, 1, b"").await;
    assert_eq!(third.failed().await.1, 403);
    a.nothing_more().await;
    b.nothing_more().await;
}

#[tokio::test]
async fn a_peer_that_is_gone_is_told_and_its_handle_is_404() {
    let world = World::start().await;
    let (mut a, bob, b, _) = pair(&world).await;
    b.leave().await;
    a.said("resume").await;
    assert_eq!(a.said("peers").await["removed"], json!(["bob"]));
    a.send(bob, 5, b"").await;
    let (id, status, _) = a.failed().await;
    assert_eq!((id, status), (5, 404));
    a.send(bob, ONE_WAY | 6, b"").await;
    a.send(bob, ERROR | 7, &499u16.to_be_bytes()).await;
    a.nothing_more().await;
}

#[tokio::test]
async fn a_peer_that_may_come_back_is_503_meanwhile() {
    let world = World::start().await;
    let (mut a, bob, b, _) = pair(&world).await;
    drop(b);
    world.gateway.metric_is("bannou_gateway_sessions_absent", 1.0).await;
    a.send(bob, 5, b"").await;
    let (id, status, problem) = a.failed().await;
    assert_eq!((id, status), (5, 503));
    assert!(problem["retry_after_ms"].is_u64());
    a.nothing_more().await;
}

#[tokio::test]
async fn peers_go_on_when_one_of_them_comes_back() {
    let world = World::start().await;
    let (mut a, bob, b, ada) = pair(&world).await;
    let token = b.discovery["resume"]["token"].clone();
    drop(b);
    world.gateway.metric_is("bannou_gateway_sessions_absent", 1.0).await;
    let offers = [("sec-websocket-protocol", "bannou.v1, bannou.resume")];
    let mut b = Raw::connect(&world.gateway.url, &offers).await;
    b.say(&json!({"type": "resume", "token": token})).await;
    b.said("resumed").await;
    assert_eq!(handle(&b.said("peers").await["added"]["ada"]["handle"]), ada, "whole, and under the same handle");
    b.said("ok").await;
    // The newest token, when what was missed is read.
    b.said("resume").await;
    a.send(bob, 9, b"again").await;
    assert_eq!(b.frame().await, (ada, INBOUND | 9, b"again".to_vec()));
    b.send(ada, INBOUND | 9, b"yes").await;
    assert_eq!(a.frame().await, (bob, 9, b"yes".to_vec()));
    a.nothing_more().await;
}

#[tokio::test]
async fn a_client_may_withdraw_from_a_peer() {
    let world = World::start().await;
    let (mut a, bob, mut b, ada) = pair(&world).await;
    a.say(&json!({"type": "part", "label": "bob", "id": 1})).await;
    a.said("resume").await;
    assert_eq!(a.said("peers").await["removed"], json!(["bob"]));
    assert_eq!(a.said("ok").await["id"], 1);
    b.said("resume").await;
    assert_eq!(b.said("peers").await["removed"], json!(["ada"]));
    b.send(ada, 1, b"").await;
    assert_eq!(b.failed().await.1, 404);
    a.send(bob, 1, b"").await;
    assert_eq!(a.failed().await.1, 404);
}

#[tokio::test]
async fn everybody_in_an_introduction_becomes_a_peer_of_everybody() {
    let world = World::start().await;
    let (mut a, _, b, _) = pair(&world).await;
    let mut c = world.connect().await;
    let unknown = format!("{}.{}.1", "0".repeat(16), "00000000-0000-0000-0000-000000000000");
    let list = format!("{}; label=ada\n{}; label=bob\n{unknown}", client_id(&a), client_id(&b));
    c.ask("svc.introduce", 1, list.as_bytes()).await;
    c.said("resume").await;
    let peers = c.said("peers").await;
    assert_eq!(peers["added"].as_object().unwrap().len(), 2, "{peers}");
    assert_eq!(c.frame().await.2, b"introduced");
    a.said("resume").await;
    let told = a.said("peers").await;
    let label = c.discovery["session_id"].as_str().unwrap();
    assert_eq!(told["added"].as_object().unwrap().keys().collect::<Vec<_>>(), [label], "only who is new");
}

#[tokio::test]
async fn a_tier_without_peers_keeps_out_of_introductions() {
    let mut catalog = wire_catalog();
    for tier in &mut catalog.tiers {
        tier.peers = bannou_crds::catalog::Peers::Disabled;
    }
    let world = World::with(&catalog, &[]).await;
    let (mut a, mut b) = (world.connect().await, world.connect().await);
    a.ask("svc.introduce", 1, client_id(&b).as_bytes()).await;
    assert_eq!(a.frame().await.2, b"introduced");
    b.nothing_more().await;
}

/// A peer that does not read costs its partner a 503, and is not cut off by it: when it reads again it finds what fitted.
#[tokio::test]
async fn a_full_peer_is_503_to_the_sender_and_stays() {
    let mut catalog = wire_catalog();
    for tier in &mut catalog.tiers {
        tier.limits.send_queue_bytes = Some(65_536);
    }
    let world = World::with(&catalog, &[]).await;
    let (mut a, bob, mut b, ada) = pair(&world).await;
    let body = vec![5; 32_768];
    let mut sent = 0;
    // Until the first refusal: the kernel's buffers are full by then, and the queue.
    let refused = loop {
        a.send(bob, sent, &body).await;
        sent += 1;
        let refusal = tokio::time::timeout(std::time::Duration::from_millis(1), a.next()).await;
        if let Ok(Came::Frame { id, payload, .. }) = refusal {
            assert_eq!(payload[..2], 503u16.to_be_bytes());
            break id & !ERROR;
        }
        assert!(sent < 4096, "never full");
    };
    let mut got = Vec::new();
    while got.last() != Some(&(refused.saturating_sub(1))) {
        let (from, id, payload) = b.frame().await;
        assert_eq!((from, &payload), (ada, &body));
        got.push(id & !INBOUND);
    }
    assert_eq!(got, (0..refused).collect::<Vec<_>>(), "all that was accepted, in order");
}
