//! A client that comes back to the same gateway with its token gets exactly what it missed.

use serde_json::Value as Json;

use super::*;
use crate::wire::raw::Raw;

/// What a client keeps.
#[derive(Clone)]
struct Kept {
    token: String,
    cursor: u64,
    group_cursor: u64,
    set: String,
}

fn kept(client: &Raw) -> Kept {
    let token = client.discovery["resume"]["token"].as_str().unwrap().to_owned();
    Kept { token, cursor: 0, group_cursor: 0, set: text(client, "set") }
}

/// Ends a connection as a broken network does, and waits until the gateway has seen it.
async fn cut(world: &World, client: Raw) {
    drop(client);
    world.metric("bannou_gateway_sessions_absent", 1.0).await;
}

async fn ask(world: &World, kept: &Kept) -> Raw {
    let mut client = world.returning().await;
    let (cursor, group_cursor) = (kept.cursor.to_string(), kept.group_cursor.to_string());
    let message = json!({"type": "resume", "id": "r", "token": kept.token, "cursor": cursor,
                         "group_cursor": group_cursor, "set": kept.set, "open": []});
    client.say(&message).await;
    client
}

/// The client is back; `resumed` is what it was told.
async fn back(world: &World, kept: &Kept) -> (Raw, Json) {
    let mut client = ask(world, kept).await;
    let resumed = client.said("resumed").await;
    client.said("peers").await;
    assert_eq!(client.said("ok").await["resumed"], true);
    (client, resumed)
}

#[tokio::test]
async fn it_gets_exactly_the_rest() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let (news, ready) = (event_handle(&client, "game.news"), event_handle(&client, "game.ready"));
    let mut kept = kept(&client);
    let mut replies = world.replies();
    world.say(&id, of_game("news", b"seen"));
    kept.cursor = pushed(&mut client, news).await.0;
    world.say("all", of_game("news", b"seen by all"));
    kept.group_cursor = pushed(&mut client, news).await.0;
    cut(&world, client).await;
    world.say(&id, asked("news", b"missed 1", &replies, "1"));
    world.say("all", of_game("news", b"missed by all"));
    world.say(&id, asked("ready", b"missed 2", &replies, "2"));

    let (mut client, resumed) = back(&world, &kept).await;
    assert_eq!(resumed["session_id"].as_str(), id.split('.').nth(1));
    assert!(resumed.get("services").is_none() && resumed.get("events").is_none(), "its set still holds: {resumed}");
    let now = resumed["client_id"].as_str().unwrap().to_owned();
    assert_eq!(now.strip_suffix(".2"), id.strip_suffix(".1"), "the next tag");
    let mut came = vec![];
    while came.len() < 3 {
        match client.next().await {
            Came::Frame { id, payload, .. } => came.push((id & NUMBER, payload)),
            Came::Said(said) => assert_eq!(said["type"], "resume"),
            Came::Closed(code) => panic!("closed: {code}"),
        }
    }
    let (of_all, own): (Vec<_>, Vec<_>) = came.into_iter().partition(|(number, _)| number >> 48 == 0);
    assert_eq!(of_all.iter().map(|c| c.1.as_slice()).collect::<Vec<_>>(), [b"missed by all"]);
    assert_eq!(own.iter().map(|c| c.1.as_slice()).collect::<Vec<_>>(), [b"missed 1", b"missed 2"]);
    assert!(own.iter().all(|(number, _)| number >> 48 == 1 && *number > kept.cursor), "of its first home");
    assert_eq!(replies.next().await, ("1".into(), 200, vec![]), "the receipt came with the frame");
    client.send(ready, INBOUND | LOGGED | own[1].0, b"here again").await;
    assert_eq!(replies.next().await, ("2".into(), 200, b"here again".to_vec()));

    // By either address, live, and under the new home.
    for (address, body) in [(&id, &b"by the old"[..]), (&now, b"by the new")] {
        world.say(address, of_game("news", body));
        loop {
            match client.next().await {
                Came::Frame { id, payload, .. } => {
                    assert_eq!((id >> 48 & 0xff, payload.as_slice()), (2, body));
                    break;
                }
                Came::Said(said) => assert_eq!(said["type"], "resume"),
                Came::Closed(code) => panic!("closed: {code}"),
            }
        }
    }
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn handles_stay_and_the_set_comes_whole_where_it_is_another() {
    let world = World::start().await;
    let client = world.player("ada").await;
    let (before, mut kept) = (client.discovery.clone(), kept(&client));
    kept.set = "another".into();
    cut(&world, client).await;
    let (_client, resumed) = back(&world, &kept).await;
    for field in ["services", "events", "set", "session_id"] {
        assert_eq!(resumed[field], before[field], "{field}");
    }
    assert!(before["events"]["game.found"].is_string(), "what its token gave is still there");
    world.stop().await;
}

#[tokio::test]
async fn a_connection_that_only_seems_to_be_there_is_replaced() {
    let world = World::start().await;
    let mut old = world.anonymous().await;
    let (id, news) = (text(&old, "client_id"), event_handle(&old, "game.news"));
    let (mut new, _) = back(&world, &kept(&old)).await;
    let (closing, code) = old.closed().await;
    assert_eq!((code, closing["reconnect"].as_str()), (4409, Some("no")));
    new.said("resume").await;
    world.say(&id, of_game("news", b"here"));
    assert_eq!(pushed(&mut new, news).await.1, b"here");
    world.stop().await;
}

/// Resumes that were decided.
fn resumes(metrics: &str) -> u64 {
    let samples = metrics.lines().filter(|l| l.starts_with("bannou_gateway_resumes_total{"));
    samples.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[tokio::test]
async fn two_clients_with_one_token_end_with_one_owner() {
    let world = World::start().await;
    let client = world.anonymous().await;
    let (id, kept) = (text(&client, "client_id"), kept(&client));
    cut(&world, client).await;
    let (a, b) = tokio::join!(ask(&world, &kept), ask(&world, &kept));
    let mut replies = world.replies();
    let (mut received, mut over) = (0, 0);
    let mut both = [a, b];
    // Whoever came second took it over from the first, or found the token void; either way one of them has it.
    world.until("/metrics", |text| resumes(text) == 2).await;
    world.say(&id, asked("news", b"whose", &replies, "1"));
    assert_eq!(replies.next().await.1, 200);
    for client in &mut both {
        loop {
            match client.next().await {
                Came::Frame { payload, .. } => {
                    assert_eq!(payload, b"whose");
                    received += 1;
                    break;
                }
                Came::Said(said) if said["type"] == "service_discovery" => {
                    over += 1;
                    break;
                }
                Came::Said(_) => {}
                Came::Closed(code) => {
                    assert_eq!(code, 4409);
                    over += 1;
                    break;
                }
            }
        }
    }
    assert_eq!((received, over), (1, 1));
    world.stop().await;
}

#[tokio::test]
async fn an_older_token_is_void_once_the_newer_one_is_known_to_have_come() {
    let world = World::start().await;
    let client = world.anonymous().await;
    let first = kept(&client);
    cut(&world, client).await;
    // Its frame was lost: the older token still opens.
    let (lost, _) = back(&world, &first).await;
    cut(&world, lost).await;
    let (mut client, _) = back(&world, &first).await;
    client.said("resume").await;
    // Reading answers the gateway's ping.
    client.nothing_more().await;
    world.log_has("settled").await;
    let mut thief = ask(&world, &first).await;
    assert_eq!(thief.said("gap").await["unknown"], true);
    assert_ne!(thief.said("service_discovery").await["session_id"], client.discovery["session_id"]);
    assert_eq!(thief.said("ok").await["resumed"], false);
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_resumed_begins_afresh() {
    let world = World::start().await;
    let client = world.anonymous().await;
    let good = kept(&client);
    client.leave().await;
    for token in ["", "nonsense", good.token.as_str()] {
        let mut client = ask(&world, &Kept { token: token.into(), ..good.clone() }).await;
        assert_eq!(client.said("gap").await["unknown"], true, "{token}");
        let discovery = client.said("service_discovery").await;
        assert!(discovery["client_id"].as_str().unwrap().ends_with(".1"));
        assert_eq!(client.said("ok").await, json!({"type": "ok", "id": "r", "resumed": false}));
        client.nothing_more().await;
    }
    world.stop().await;
}

#[tokio::test]
async fn after_the_window_the_session_is_over() {
    let mut catalog = game();
    catalog.fleet.resume_window_ms = 200;
    let world = World::with(catalog).await;
    let mut events = world.session_events();
    let mut client = world.anonymous().await;
    let (id, kept) = (text(&client, "client_id"), kept(&client));
    let (ready, mut replies) = (event_handle(&client, "game.ready"), world.replies());
    world.say(&id, asked("ready", b"", &replies, "1"));
    requested(&mut client, ready).await;
    drop(client);
    assert_eq!(replies.next().await, ("1".into(), 404, vec![]));
    let session = id.split('.').nth(1).unwrap();
    assert_eq!(events.next().await, (session.to_owned(), "connected".into(), Json::Null));
    assert_eq!(events.next().await, (session.to_owned(), "disconnected".into(), json!("connection lost")));
    let mut late = ask(&world, &kept).await;
    assert_eq!(late.said("gap").await["unknown"], true);
    world.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_a_right_is_not_its_holders() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, kept) = (text(&client, "client_id"), kept(&client));
    let mut replies = world.replies();
    world.say(&id, asked("found", b"before", &replies, "1"));
    assert_eq!(replies.status().await, 403);
    world.say("all", of_game("found", b"before"));
    world.say("all", of_game("news", b"for all"));
    let news = event_handle(&client, "game.news");
    pushed(&mut client, news).await;
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({}))})).await;
    client.said("resume").await;
    client.said("service_update").await;
    client.said("ok").await;
    world.say(&id, of_game("found", b"after"));
    cut(&world, client).await;
    // The token of before, as if the newer one had been lost.
    let (mut client, resumed) = back(&world, &kept).await;
    assert!(resumed["events"]["game.found"].is_string());
    let mut bodies = vec![];
    while bodies.len() < 2 {
        if let Came::Frame { payload, .. } = client.next().await {
            bodies.push(String::from_utf8(payload).unwrap());
        }
    }
    bodies.sort();
    assert_eq!(bodies, ["after", "for all"]);
    world.stop().await;
}

#[tokio::test]
async fn frames_behind_a_resume_are_obeyed_after_it() {
    let world = World::start().await;
    let client = world.anonymous().await;
    let (nowhere, kept) = ([7; 16], kept(&client));
    cut(&world, client).await;
    let mut client = world.returning().await;
    client.say(&json!({"type": "resume", "token": kept.token, "set": kept.set})).await;
    client.send(nowhere, 1, b"").await;
    client.say(&json!({"type": "ping", "id": 2})).await;
    client.said("resumed").await;
    client.said("peers").await;
    client.said("ok").await;
    let mut seen = vec![];
    while seen.len() < 2 {
        match client.next().await {
            Came::Frame { id, .. } => seen.push(id),
            Came::Said(said) if said["type"] == "ok" => seen.push(2),
            Came::Said(said) => assert_eq!(said["type"], "resume"),
            Came::Closed(code) => panic!("closed: {code}"),
        }
    }
    assert_eq!(seen, [ERROR | 1, 2]);
    world.stop().await;
}

#[tokio::test]
async fn a_log_that_is_lost_is_told_as_a_gap_and_the_session_goes_on() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, news) = (text(&client, "client_id"), event_handle(&client, "game.news"));
    world.say(&id, of_game("news", b"before"));
    let (before, _) = pushed(&mut client, news).await;
    world.broker.lose(bannou_gateway::bus::Log::Slot(world.slot));
    let gap = client.said("gap").await;
    assert_eq!(gap["unknown"], true);
    let token = client.said("resume").await["token"].as_str().unwrap().to_owned();
    world.say(&id, of_game("news", b"after"));
    let (after, body) = pushed(&mut client, news).await;
    assert_eq!(body, b"after");
    let cursor = gap["cursor"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(before < after && cursor < after && after >> 48 == 2, "{before:x} {cursor:x} {after:x}");
    let mut kept = kept(&client);
    (kept.token, kept.cursor) = (token, after);
    cut(&world, client).await;
    world.say(&id, of_game("news", b"missed"));
    let (mut client, _) = back(&world, &kept).await;
    let (number, body) = pushed(&mut client, news).await;
    assert_eq!((number >> 48, body.as_slice()), (2, &b"missed"[..]));
    world.stop().await;
}

#[tokio::test]
async fn cut_off_from_the_broker_no_session_is_taken_over() {
    let world = World::start().await;
    let mut staying = world.anonymous().await;
    let client = world.anonymous().await;
    let kept = kept(&client);
    cut(&world, client).await;
    world.broker.cut_off(world.slot);
    world.until("/readyz", |text| text.contains("the in-process broker")).await;
    let mut client = ask(&world, &kept).await;
    let (closing, code) = client.closed().await;
    assert_eq!((code, closing["reconnect"].as_str()), (4503, Some("resume")));
    staying.nothing_more().await;
    world.broker.restore(world.slot);
    world.until("/readyz", |text| text == "ready\n").await;
    back(&world, &kept).await;
    world.stop().await;
}

#[tokio::test]
async fn logs_made_anew_while_a_client_is_away_are_told_and_the_session_goes_on() {
    use bannou_gateway::bus::Log;
    let world = World::start().await;
    for log in [Log::Groups, Log::Slot(world.slot)] {
        let mut client = world.anonymous().await;
        let (session, news) = (text(&client, "session_id"), event_handle(&client, "game.news"));
        let mut kept = kept(&client);
        for _ in 0..5 {
            world.say("all", of_game("news", b"before"));
            kept.group_cursor = pushed(&mut client, news).await.0;
        }
        let watching = world.anonymous().await;
        cut(&world, client).await;
        world.broker.lose(log);
        let mut watching = watching;
        assert_eq!(watching.said("gap").await["unknown"], true, "{log:?}: the gateway has seen it");
        world.say("all", of_game("news", b"missed"));
        let mut client = ask(&world, &kept).await;
        let resumed = client.said("resumed").await;
        assert_eq!(resumed["session_id"], session.as_str(), "{log:?}");
        client.said("peers").await;
        let gap = client.said("gap").await;
        assert_eq!(gap["unknown"], true, "{log:?}");
        let mut cursor = gap["group_cursor"].as_str().unwrap().parse::<u64>().unwrap();
        client.said("ok").await;
        world.say("all", of_game("news", b"live"));
        let mut bodies = vec![];
        while bodies.last().is_none_or(|last| last != b"live") {
            match client.next().await {
                Came::Frame { id, payload, .. } => {
                    assert!(id & NUMBER > cursor, "{log:?}: a client drops what is not above its cursor");
                    cursor = id & NUMBER;
                    bodies.push(payload);
                }
                Came::Said(said) => assert_eq!(said["type"], "resume"),
                Came::Closed(code) => panic!("closed: {code}"),
            }
        }
        assert_eq!(bodies, [&b"missed"[..], b"live"], "{log:?}");
        client.leave().await;
        watching.leave().await;
        world.metric("bannou_gateway_sessions_absent", 0.0).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_publishers_repeat_stays_removed_over_a_break() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, news) = (text(&client, "client_id"), event_handle(&client, "game.news"));
    let mut kept = kept(&client);
    let once = |body: &[u8]| Message { message_id: Some("1".to_owned()), ..of_game("news", body) };
    world.say(&id, once(b"first"));
    kept.cursor = pushed(&mut client, news).await.0;
    cut(&world, client).await;
    world.say(&id, once(b"again"));
    world.say(&id, of_game("news", b"next"));
    let (mut client, _) = back(&world, &kept).await;
    assert_eq!(pushed(&mut client, news).await.1, b"next");
    client.said("resume").await;
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn a_takeover_that_nobody_waited_for_voids_no_token() {
    let world = World::start().await;
    let client = world.anonymous().await;
    let (session, kept) = (text(&client, "session_id"), kept(&client));
    cut(&world, client).await;
    // Its client is gone before the log has decided.
    for _ in 0..3 {
        drop(ask(&world, &kept).await);
    }
    world.metric("bannou_gateway_connections", 0.0).await;
    let (_client, resumed) = back(&world, &kept).await;
    assert_eq!(resumed["session_id"], session.as_str());
    world.stop().await;
}
