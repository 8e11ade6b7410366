//! Clients that do not keep up: each event is lost, replaced or replayed as it declares, and nobody else waits.

use futures_util::StreamExt;
use serde_json::Value as Json;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::*;

/// More than the kernel's buffers and the queue hold, in messages of this size.
const LARGE: usize = 60 * 1024;

fn large(number: u32) -> Vec<u8> {
    let mut body = vec![0; LARGE];
    body[..4].copy_from_slice(&number.to_be_bytes());
    body
}

fn number_of(body: &[u8]) -> u32 {
    u32::from_be_bytes(body[..4].try_into().unwrap())
}

/// Says so many that a client which reads nothing overflows; gives how many were said.
async fn until_full(world: &World, id: &str, event: &str, sample: &str) -> u32 {
    let mut said = 0;
    loop {
        for _ in 0..20 {
            world.say(id, of_game(event, &large(said)));
            said += 1;
        }
        let (client, mut found) = (reqwest::Client::builder().no_proxy().build().unwrap(), false);
        let text = client.get(format!("{}/metrics", world.admin)).send().await.unwrap().text().await.unwrap();
        found |= text.lines().any(|line| line.starts_with(sample) && !line.ends_with(" 0"));
        if found {
            return said;
        }
        assert!(said < 2_000, "a client that reads nothing never overflows");
    }
}

#[tokio::test]
async fn close_and_replay_closes_and_what_was_not_delivered_waits_in_the_log() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, news) = (text(&client, "client_id"), event_handle(&client, "game.news"));
    let token = client.discovery["resume"]["token"].as_str().unwrap().to_owned();
    let said = until_full(&world, &id, "news", "bannou_gateway_sessions_absent 1").await;
    // What the kernel had is still read; then the connection is over.
    let (mut cursor, mut next) = (0u64, 0);
    loop {
        match client.next().await {
            Came::Frame { handle, id, payload } => {
                assert_eq!((handle, number_of(&payload)), (news, next));
                (cursor, next) = (id & NUMBER, next + 1);
            }
            Came::Closed(code) => {
                assert!(code == 1013 || code == 1006, "{code}: cut, if the client was too slow for that too");
                break;
            }
            Came::Said(said) => assert!(said["type"] == "closing" || said["type"] == "resume", "{said}"),
        }
    }
    assert!(next < said);
    let mut client = world.returning().await;
    let set = text(&client_discovery(&world).await, "set");
    client.say(&json!({"type": "resume", "token": token, "cursor": cursor.to_string(), "set": set})).await;
    client.said("resumed").await;
    while next < said {
        match client.next().await {
            Came::Frame { payload, .. } => {
                assert_eq!(number_of(&payload), next, "exactly the rest, in order");
                next += 1;
            }
            Came::Said(said) => assert_ne!(said["type"], "gap", "{said}"),
            Came::Closed(code) => panic!("closed again: {code}; a replay goes as fast as its client reads"),
        }
    }
    loop {
        if client.said_any().await["type"] == "resume" {
            break;
        }
    }
    client.nothing_more().await;
    world.metric("bannou_gateway_closes_total{code=\"1013\"}", 1.0).await;
    world.stop().await;
}

/// Another client, for what all of them are told.
async fn client_discovery(world: &World) -> Raw {
    world.anonymous().await
}

impl Raw {
    async fn said_any(&mut self) -> Json {
        match self.next().await {
            Came::Said(said) => said,
            other => panic!("a control message was to come, and there came {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_may_be_dropped_is_counted_and_its_sender_told() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let said = until_full(&world, &id, "noise", "bannou_gateway_events_lost_total{reason=\"queue full\"}").await;
    let mut replies = world.replies();
    world.say(&id, asked("noise", &large(said), &replies, "1"));
    assert_eq!(replies.next().await, ("1".into(), 503, vec![]));
    let mut last = None;
    loop {
        client.say(&json!({"type": "ping"})).await;
        match client.next().await {
            Came::Frame { payload, .. } => {
                assert!(last < Some(number_of(&payload)), "in order");
                last = Some(number_of(&payload));
            }
            Came::Said(_) => break,
            Came::Closed(code) => panic!("closed: {code}"),
        }
    }
    world.say(&id, asked("noise", b"room again", &replies, "2"));
    assert_eq!(replies.next().await, ("2".into(), 200, vec![]));
    world.stop().await;
}

#[tokio::test]
async fn of_what_keeps_the_latest_the_newest_comes_through() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, position) = (text(&client, "client_id"), event_handle(&client, "game.position"));
    let replaced = "bannou_gateway_events_lost_total{reason=\"replaced by a newer one\"}";
    let said = until_full(&world, &id, "position", replaced).await;
    let mut replies = world.replies();
    world.say(&id, asked("position", &large(said), &replies, "older"));
    world.say(&id, asked("position", &large(said + 1), &replies, "newest"));
    assert_eq!(replies.next().await, ("older".into(), 503, vec![]), "replaced");
    let (mut numbers, mut last) = (vec![], None);
    while last != Some(said + 1) {
        let (number, body) = pushed(&mut client, position).await;
        numbers.push(number);
        last = Some(number_of(&body));
    }
    assert!(numbers.is_sorted(), "a client drops what is not above its cursor");
    assert_eq!(replies.next().await, ("newest".into(), 200, vec![]));
    client.nothing_more().await;
    world.stop().await;
}

/// One client stops reading: the others miss nothing and wait for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_delays_no_other() {
    const CLIENTS: usize = 200;
    const EACH: usize = 50;
    let world = World::start().await;
    let (stuck, mut readers) = (world.anonymous().await, vec![]);
    let mut ids = vec![];
    for _ in 0..CLIENTS {
        let client = world.anonymous().await;
        ids.push(text(&client, "client_id"));
        readers.push(tokio::spawn(read(client, EACH * 2)));
    }
    let stuck_id = text(&stuck, "client_id");
    for n in 0..EACH {
        // In between, more than the one that does not read can take; no event closes it.
        world.say(&stuck_id, of_game("position", &large(n as u32)));
        world.say("all", of_game("news", &(n as u32).to_be_bytes()));
        for id in &ids {
            world.say(id, of_game("news", &(n as u32).to_be_bytes()));
        }
        // The in-process broker has no end of patience; a turn for those who read.
        tokio::task::yield_now().await;
    }
    for reader in readers {
        let (own, of_all) = tokio::time::timeout(PATIENCE, reader).await.expect("frames are missing").unwrap();
        let expected: Vec<u32> = (0..EACH as u32).collect();
        assert_eq!((own, of_all), (expected.clone(), expected), "each frame once, in order");
    }
    drop(stuck);
    world.stop().await;
}

/// Reads so many frames: what came to this client alone, and what came to all.
async fn read(mut client: Raw, frames: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut own, mut of_all) = (vec![], vec![]);
    while own.len() + of_all.len() < frames {
        let Some(Ok(Frame::Binary(frame))) = client.socket.next().await else { continue };
        let id = u64::from_be_bytes(frame[16..24].try_into().unwrap());
        let list = if (id & NUMBER) >> 48 == 0 { &mut of_all } else { &mut own };
        list.push(number_of(&frame[24..]));
    }
    (own, of_all)
}
