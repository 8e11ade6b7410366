//! Requests to services: their endings, their limits, and that nobody waits for anybody.

use super::{ERROR, MORE, World, wire_catalog};

const CANCEL: [u8; 2] = 499u16.to_be_bytes();

#[tokio::test]
async fn answers_come_as_they_come_and_a_slow_one_delays_nobody() {
    let world = World::start().await;
    let (mut client, mut other) = (world.connect().await, world.connect().await);
    client.ask("svc.held", 1, b"slow").await;
    world.backend.begun(1).await;
    client.ask("svc.echo", 2, b"fast").await;
    assert_eq!(client.frame().await.2, b"fast");
    other.ask("svc.echo", 1, b"other").await;
    assert_eq!(other.frame().await.2, b"other");
    world.backend.gate.add_permits(1);
    let (_, id, payload) = client.frame().await;
    assert_eq!((id, payload), (1, b"slow".to_vec()));
}

#[tokio::test]
async fn the_same_request_twice_is_409_and_not_forwarded() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let held = client.services["svc.held"];
    client.ask("svc.held", 7, b"once").await;
    world.backend.begun(1).await;
    client.ask("svc.held", 7, b"twice").await;
    let error = client.said("error").await;
    assert_eq!(error["status"], 409);
    assert_eq!((super::raw::handle(&error["handle"]), error["number"].as_u64()), (held, Some(7)));
    // Another endpoint's exchange with that number is another exchange.
    client.ask("svc.echo", 7, b"other").await;
    assert_eq!(client.frame().await.2, b"other");
    // Also where it could not be sent in any case: the one in flight must not seem to end.
    client.ask("svc.held", 7, &vec![0; 70_000]).await;
    assert_eq!(client.said("error").await["status"], 409);
    world.backend.gate.add_permits(1);
    assert_eq!(client.frame().await.2, b"once");
    assert_eq!(world.backend.held(), 1);
}

#[tokio::test]
async fn a_cancel_reaches_the_service_and_is_confirmed_once() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.held", 1, b"").await;
    world.backend.begun(1).await;
    client.ask("svc.held", ERROR | 1, &CANCEL).await;
    let (id, status, _) = client.failed().await;
    assert_eq!((id, status), (1, 499));
    world.backend.dropped(1).await;
    // A cancel of something unknown is ignored, and the number is free again.
    client.ask("svc.held", ERROR | 1, &CANCEL).await;
    client.ask("svc.held", 1, b"again").await;
    world.backend.begun(2).await;
    world.backend.gate.add_permits(1);
    assert_eq!(client.frame().await.2, b"again");
    client.nothing_more().await;
}

#[tokio::test]
async fn a_streamed_answer_leaves_while_the_body_arrives() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.stream", 3, b"").await;
    for n in 0..3 {
        world.backend.gate.add_permits(1);
        let (_, id, payload) = client.frame().await;
        assert_eq!((id, payload), (MORE | 3, format!("part {n}").into_bytes()));
    }
    assert_eq!(client.frame().await, (client.services["svc.stream"], 3, vec![]));
    // Cancelled in the middle: parts, then 499, then nothing.
    client.ask("svc.stream", 4, b"").await;
    world.backend.gate.add_permits(1);
    assert_eq!(client.frame().await.1, MORE | 4);
    client.ask("svc.stream", ERROR | 4, &CANCEL).await;
    assert_eq!(client.failed().await.1, 499);
    world.backend.gate.add_permits(5);
    client.nothing_more().await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_504_and_lets_the_service_go() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.late", 1, b"").await;
    let (_, status, problem) = client.failed().await;
    assert_eq!((status, &problem["status"]), (504, &504.into()));
    world.backend.dropped(1).await;
}

#[tokio::test]
async fn a_client_that_leaves_lets_its_services_go() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.held", 1, b"").await;
    world.backend.begun(1).await;
    drop(client);
    world.backend.dropped(1).await;
}

#[tokio::test]
async fn requests_in_flight_and_per_second_are_bounded() {
    let mut catalog = wire_catalog();
    for tier in &mut catalog.tiers {
        tier.limits.max_in_flight = Some(3);
        tier.limits.requests_per_second = Some(1);
        tier.limits.burst = Some(8);
    }
    let world = World::with(&catalog, &[]).await;
    let mut client = world.connect().await;
    for number in 0..4 {
        client.ask("svc.held", number, b"").await;
    }
    let (id, status, problem) = client.failed().await;
    assert_eq!((id, status), (3, 429), "three are in flight");
    assert!(problem["retry_after_ms"].as_u64().unwrap() > 0);
    world.backend.gate.add_permits(3);
    for _ in 0..3 {
        assert_eq!(client.frame().await.1 & ERROR, 0);
    }
    let mut statuses = Vec::new();
    for number in 10..30 {
        client.ask("svc.echo", number, b"").await;
        let (_, id, payload) = client.frame().await;
        if id & ERROR != 0 {
            statuses.push(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
    assert!(statuses.len() >= 10 && statuses.iter().all(|s| *s == 429), "{statuses:?}");
    // Who is limited is still connected, and nobody else is limited.
    let mut other = world.connect().await;
    other.ask("svc.echo", 1, b"").await;
    assert_eq!(other.frame().await.1, 1);
}
