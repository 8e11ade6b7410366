//! Section 4: binary frames, legal and not.

use super::raw::{Came, handle};
use super::{ERROR, INBOUND, LOGGED, ONE_WAY, World};

#[tokio::test]
async fn payloads_pass_unchanged_and_numbers_are_all_56_bits() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let all: Vec<u8> = (0..=255).collect();
    for number in [0, 1, (1 << 56) - 1] {
        client.ask("svc.echo", number, &all).await;
        assert_eq!(client.frame().await, (client.services["svc.echo"], number, all.clone()));
    }
    client.ask("svc.echo", 5, b"").await;
    assert_eq!(client.frame().await.2, b"");
}

#[tokio::test]
async fn illegal_flags_are_refused_by_name_and_the_connection_stays() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let echo = client.services["svc.echo"];
    for high in 0..=255u64 {
        // Legal on a service's handle are requests and one-way messages; ERROR needs its 499.
        if [0x00, 0x10].contains(&high) {
            continue;
        }
        client.send(echo, high << 56 | 77, b"").await;
        let error = client.said("error").await;
        assert_eq!(error["status"], 400, "{high:#x}: {error}");
        assert_eq!((handle(&error["handle"]), error["number"].as_u64()), (echo, Some(77)), "{high:#x}");
    }
    client.nothing_more().await;
}

#[tokio::test]
async fn unknown_handles_are_403_each_exchange_in_its_own_way() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let other = world.connect().await;
    let unknown = other.services["svc.echo"];
    client.send(unknown, 1, b"").await;
    let (id, status, problem) = client.failed().await;
    assert_eq!((id, status), (1, 403), "a handle of another connection means nothing here");
    assert!(problem["instance"].is_string() && problem["title"].is_string(), "{problem}");
    client.send(unknown, INBOUND | 2, b"").await;
    assert_eq!(client.failed().await.0, INBOUND | 2);
    client.send(unknown, INBOUND | LOGGED | 3, b"").await;
    assert_eq!(client.failed().await.0, INBOUND | LOGGED | 3);
    client.send(unknown, ONE_WAY | 4, b"").await;
    client.send(unknown, ERROR | 5, &499u16.to_be_bytes()).await;
    client.nothing_more().await;
}

#[tokio::test]
async fn short_frames_are_answered_and_after_sixteen_closed() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for length in 0..16 {
        client.bytes(&vec![7; length]).await;
        assert_eq!(client.said("error").await["status"], 400);
    }
    assert_eq!(client.closed().await.1, 1008);
}

#[tokio::test]
async fn too_large_is_413_and_stays_open() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.echo", 1, &vec![1; 65_537]).await;
    assert_eq!(client.failed().await.1, 413);
    client.ask("svc.echo", ONE_WAY | 2, &vec![1; 3 << 20]).await;
    client.ask("svc.echo", 3, &vec![2; 65_536]).await;
    let (_, id, payload) = client.frame().await;
    assert_eq!((id, payload.len()), (3, 65_536));
    client.ask("svc.small", 4, &[0; 101]).await;
    let (id, status, _) = client.failed().await;
    assert_eq!((id, status), (4, 413));
    client.ask("svc.small", 5, &[0; 100]).await;
    assert_eq!(client.frame().await.1, 5);
}

#[tokio::test]
async fn one_way_is_never_answered_not_even_with_an_error() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.echo", ONE_WAY | 1, b"x").await;
    client.ask("svc.small", ONE_WAY | 2, &[0; 101]).await;
    client.ask("svc.held", ONE_WAY | 3, b"").await;
    world.backend.begun(1).await;
    client.nothing_more().await;
    // A OneWay endpoint called without the flag answers empty, on acceptance.
    client.ask("svc.tell", 4, b"x").await;
    assert_eq!(client.frame().await, (client.services["svc.tell"], 4, vec![]));
}

#[tokio::test]
async fn later_effects_are_501() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.grant", 1, b"").await;
    assert_eq!(client.failed().await.1, 501);
}

#[tokio::test]
async fn a_hundred_and_more_forbidden_handles_end_the_connection() {
    let world = World::start().await;
    let mut client = world.connect().await;
    for n in 0..400 {
        client.send([9; 16], n, b"").await;
    }
    loop {
        match client.next().await {
            Came::Frame { id, .. } => assert_ne!(id & ERROR, 0),
            Came::Said(closing) => assert_eq!(closing["reconnect"], "fresh"),
            Came::Closed(code) => break assert_eq!(code, 1008),
        }
    }
}
