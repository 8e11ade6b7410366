//! Requests of services to clients: one answer for each, whatever happens.

use super::*;

fn ask(body: &[u8], replies: &Replies, correlation_id: &str, timeout_ms: i64) -> Message {
    let mut message = asked("ready", body, replies, correlation_id);
    message.headers.insert(TIMEOUT_MS.to_owned(), Value::Int(timeout_ms));
    message
}

#[tokio::test]
async fn the_answer_comes_back_with_the_callers_correlation_id() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, ready) = (text(&client, "client_id"), event_handle(&client, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, asked("ready", b"first?", &replies, "1"));
    world.say(&id, asked("ready", b"second?", &replies, "2"));
    let (first, body) = requested(&mut client, ready).await;
    assert_eq!(body, b"first?");
    let (second, _) = requested(&mut client, ready).await;
    client.send(ready, INBOUND | LOGGED | second, b"yes").await;
    assert_eq!(replies.next().await, ("2".into(), 200, b"yes".to_vec()));
    client.send(ready, INBOUND | LOGGED | ERROR | first, &[&418u16.to_be_bytes()[..], b"teapot"].concat()).await;
    assert_eq!(replies.next().await, ("1".into(), 418, b"teapot".to_vec()));
    // Once.
    client.send(ready, INBOUND | LOGGED | first, b"again").await;
    assert_eq!(client.failed().await.1, 404);
    client.nothing_more().await;
    world.metric("bannou_gateway_exchanges_open", 0.0).await;
    world.stop().await;
}

#[tokio::test]
async fn what_nobody_asked_is_no_answer() {
    let world = World::start().await;
    let (mut ada, mut bob) = (world.anonymous().await, world.anonymous().await);
    let (id, ready) = (text(&ada, "client_id"), event_handle(&ada, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, asked("ready", b"", &replies, "1"));
    let (number, _) = requested(&mut ada, ready).await;
    let of_bob = event_handle(&bob, "game.ready");
    bob.send(of_bob, INBOUND | LOGGED | number, b"stolen").await;
    assert_eq!(bob.failed().await.1, 404, "an exchange of another client");
    bob.send(ready, INBOUND | LOGGED | number, b"stolen").await;
    assert_eq!(bob.failed().await.1, 403, "a handle of another client");
    let news = event_handle(&ada, "game.news");
    ada.send(news, INBOUND | LOGGED | number, b"").await;
    assert_eq!(ada.failed().await.1, 404, "another event");
    ada.send(ready, INBOUND | LOGGED | (number + 1), b"").await;
    assert_eq!(ada.failed().await.1, 404);
    ada.send(ready, INBOUND | LOGGED | ERROR | number, &200u16.to_be_bytes()).await;
    assert_eq!(ada.said("error").await["status"], 400, "a failure is none with a status of success");
    ada.send(ready, INBOUND | LOGGED | number, b"mine").await;
    assert_eq!(replies.next().await, ("1".into(), 200, b"mine".to_vec()));
    world.stop().await;
}

#[tokio::test]
async fn too_late_is_told_to_both() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, ready) = (text(&client, "client_id"), event_handle(&client, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, ask(b"", &replies, "1", 50));
    let (number, _) = requested(&mut client, ready).await;
    let (over, status, _) = client.failed().await;
    assert_eq!((over, status), (INBOUND | LOGGED | number, 408));
    assert_eq!(replies.next().await, ("1".into(), 408, vec![]));
    client.send(ready, INBOUND | LOGGED | number, b"late").await;
    assert_eq!(client.failed().await.1, 404);
    world.stop().await;
}

#[tokio::test]
async fn a_request_needs_one_client_and_somebody_who_waits() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let mut replies = world.replies();
    world.say("all", asked("ready", b"", &replies, "1"));
    assert_eq!(replies.status().await, 400);
    world.say(&id, of_game("ready", b""));
    world.metric("bannou_gateway_events_refused_total{reason=\"request without reply_to\"}", 1.0).await;
    world.say(&id, ask(b"", &replies, "2", -1));
    assert_eq!(replies.status().await, 400);
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nobody_waiting() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, ready) = (text(&client, "client_id"), event_handle(&client, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, asked("ready", b"", &replies, "1"));
    requested(&mut client, ready).await;
    client.leave().await;
    assert_eq!(replies.next().await, ("1".into(), 404, vec![]));
    world.say(&id, asked("ready", b"", &replies, "2"));
    assert_eq!(replies.next().await, ("2".into(), 404, vec![]));
    world.stop().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_leaves_nobody_waiting() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, ready) = (text(&client, "client_id"), event_handle(&client, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, asked("ready", b"", &replies, "1"));
    requested(&mut client, ready).await;
    world.stop().await;
    assert_eq!(replies.next().await, ("1".into(), 404, vec![]));
}

#[tokio::test]
async fn a_right_that_ends_ends_what_was_asked_under_it() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, ready) = (text(&client, "client_id"), event_handle(&client, "game.ready"));
    let mut replies = world.replies();
    world.say(&id, asked("ready", b"", &replies, "1"));
    let (number, _) = requested(&mut client, ready).await;
    let mut less = game();
    less.services[0].events.retain(|e| e.name != "ready");
    world.catalogs.send_replace(Arc::new(less));
    assert_eq!(replies.next().await, ("1".into(), 403, vec![]));
    loop {
        if let Came::Frame { id, .. } = client.next().await {
            assert_eq!(id, INBOUND | LOGGED | ERROR | number);
            break;
        }
    }
    world.stop().await;
}
