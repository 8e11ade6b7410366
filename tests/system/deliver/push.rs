//! Pushes: who gets them, who may send them, and what the sender hears.

use bannou_gateway::bus::Unpublished;
use bannou_gateway::bus::contract::subject_key;

use super::*;
use crate::support::catalog::ISSUER;

#[tokio::test]
async fn a_push_reaches_the_client_under_the_events_handle() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    assert!(client.discovery["events"]["game.found"].is_null(), "of another tier");
    let (id, news) = (text(&client, "client_id"), event_handle(&client, "game.news"));
    assert!(id.starts_with("0000000000001234."), "{id}");
    world.say(&id, of_game("news", b"one"));
    world.say(&id, of_game("news", b""));
    let (first, body) = pushed(&mut client, news).await;
    assert_eq!((first >> 48, body.as_slice()), (1, &b"one"[..]));
    let (second, body) = pushed(&mut client, news).await;
    assert_eq!((second, body.as_slice()), (first + 1, &b""[..]));
    client.nothing_more().await;
    // An event's handle is for answers alone.
    client.send(news, 1, b"").await;
    assert_eq!(client.failed().await.1, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_sender_hears_what_became_of_it() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let mut replies = world.replies();
    world.say(&id, asked("news", b"hello", &replies, "a"));
    assert_eq!(replies.next().await, ("a".into(), 200, vec![]));
    let news = event_handle(&client, "game.news");
    pushed(&mut client, news).await;

    let nobody = format!("{}.{}.1", world.slot, uuid::Uuid::new_v4());
    world.say(&nobody, asked("news", b"", &replies, "b"));
    assert_eq!(replies.next().await, ("b".into(), 404, vec![]));
    world.say(&id, asked("found", b"", &replies, "c"));
    assert_eq!(replies.next().await, ("c".into(), 403, vec![]), "an event that this client may not receive");
    world.say(&id, asked("nothing", b"", &replies, "d"));
    assert_eq!(replies.next().await, ("d".into(), 403, vec![]), "an event that nobody declared");
    let mut nameless = asked("news", b"", &replies, "e");
    nameless.headers.remove(EVENT);
    world.say(&id, nameless);
    assert_eq!(replies.next().await, ("e".into(), 400, vec![]));
    world.say(&id, asked("news", &vec![0; (1 << 20) + 1], &replies, "f"));
    assert_eq!(replies.next().await, ("f".into(), 413, vec![]));
    let gone = format!("{}.{}.1", Slot(9), uuid::Uuid::new_v4());
    let returned = world.broker.publish_as(GAME, &gone, of_game("news", b""));
    assert_eq!(returned, Err(Unpublished::Returned), "a gateway that is no more");
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn nobody_speaks_as_another() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let mut replies = world.replies();
    for user in ["", "somebody", "game"] {
        world.broker.publish_as(user, &id, asked("news", b"", &replies, user)).unwrap();
        assert_eq!(replies.next().await, (user.into(), 403, vec![]));
        world.broker.publish_as(user, "all", asked("news", b"", &replies, user)).unwrap();
        assert_eq!(replies.next().await, (user.into(), 403, vec![]));
    }
    // Its own user speaks for no other service, nor for one that names no senders.
    let mut as_other = asked("news", b"", &replies, "x");
    as_other.headers.insert(SERVICE.to_owned(), Value::Text("other".to_owned()));
    world.say(&id, as_other);
    assert_eq!(replies.status().await, 403);
    world.metric("bannou_gateway_events_refused_total{reason=\"sender not permitted\"}", 7.0).await;
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn answers_go_nowhere_but_to_queues_of_the_list() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let id = text(&client, "client_id");
    let mut replies = world.replies();
    let mut billing = world.broker.mailbox("billing");
    for queue in ["billing", "bannou.control", &format!("bannou.slot.{}", world.slot)] {
        world.say(&id, Message { reply_to: Some(queue.to_owned()), ..asked("news", b"", &replies, "a") });
    }
    world.metric("bannou_gateway_events_refused_total{reason=\"reply_to not allowed\"}", 3.0).await;
    world.say(&id, asked("news", b"last", &replies, "b"));
    assert_eq!(replies.next().await, ("b".into(), 200, vec![]));
    assert!(billing.try_recv().is_err());
    let news = event_handle(&client, "game.news");
    assert_eq!(pushed(&mut client, news).await.1, b"last");
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn to_a_subject_a_tier_and_everybody() {
    let world = World::start().await;
    let (mut nobody, mut ada, mut bob) =
        (world.anonymous().await, world.player("ada").await, world.player("bob").await);
    let key = format!("subject.{}", subject_key(ISSUER, "ada"));
    world.say(&key, of_game("found", b"ada"));
    world.say("tier.player", of_game("found", b"players"));
    world.say("all", of_game("news", b"all"));
    let mut replies = world.replies();
    let message = asked("found", b"last", &replies, "n");
    world.say("tier.player", message);
    let (found, news) = (event_handle(&ada, "game.found"), event_handle(&ada, "game.news"));
    let mut numbers = vec![];
    for (event, payload) in [(found, &b"ada"[..]), (found, b"players"), (news, b"all"), (found, b"last")] {
        let (number, body) = pushed(&mut ada, event).await;
        assert_eq!(body, payload);
        numbers.push(number);
    }
    assert!(numbers.is_sorted() && numbers.iter().all(|n| n >> 48 == 0 && *n > 0), "{numbers:?}: tag 0");
    let (found, news) = (event_handle(&bob, "game.found"), event_handle(&bob, "game.news"));
    assert_eq!(pushed(&mut bob, found).await.1, b"players");
    assert_eq!(pushed(&mut bob, news).await.1, b"all");
    assert_eq!(pushed(&mut bob, found).await.1, b"last");
    let news = event_handle(&nobody, "game.news");
    assert_eq!(pushed(&mut nobody, news).await.1, b"all");
    nobody.nothing_more().await;
    ada.nothing_more().await;
    let message = tokio::time::timeout(PATIENCE, replies.receiver.recv()).await.unwrap().unwrap();
    assert_eq!(message.headers.get(DELIVERED), Some(&Value::Int(2)));
    world.stop().await;
}

#[tokio::test]
async fn a_publishers_own_repeat_is_removed() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    let (id, news) = (text(&client, "client_id"), event_handle(&client, "game.news"));
    let message = |id: &str, body: &[u8]| Message { message_id: Some(id.to_owned()), ..of_game("news", body) };
    world.say(&id, message("1", b"once"));
    world.say(&id, message("1", b"twice"));
    world.say(&id, message("2", b"another"));
    assert_eq!(pushed(&mut client, news).await.1, b"once");
    assert_eq!(pushed(&mut client, news).await.1, b"another");
    client.nothing_more().await;
    world.stop().await;
}

#[tokio::test]
async fn events_come_and_go_with_the_tiers_and_with_the_catalog() {
    let world = World::start().await;
    let mut client = world.anonymous().await;
    client.say(&json!({"type": "authenticate", "token": token("ada", &json!({})), "id": 1})).await;
    client.said("resume").await;
    let update = client.said("service_update").await;
    let found = handle(&update["events_added"]["game.found"]);
    client.said("ok").await;
    let id = text(&client, "client_id");
    world.say(&id, of_game("found", b"now"));
    assert_eq!(pushed(&mut client, found).await.1, b"now");

    let mut less = game();
    less.services[0].events.retain(|e| e.name != "found");
    world.catalogs.send_replace(Arc::new(less));
    client.said("resume").await;
    let update = client.said("service_update").await;
    assert_eq!(update["events_removed"], json!(["game.found"]));
    let mut replies = world.replies();
    world.say(&id, asked("found", b"", &replies, "a"));
    assert_eq!(replies.status().await, 403);
    client.nothing_more().await;
    world.stop().await;
}
