//! Exchanges beside each other on one connection, and what an answer may change about its caller.

use bannou_crds::catalog::{Effect, Endpoint, Interaction};
use serde_json::json;

use super::world::{WAYS, post, world};
use crate::support::catalog::token;
use crate::support::client::{ERROR, MORE};

#[tokio::test]
async fn a_slow_answer_delays_no_other() {
    let world = world().await;
    let gateway = world.gateway(&[post("slow"), post("echo")]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        let slow = client.services[&format!("{way}.slow")];
        let first = client.send(slow, br#"{"ms": 60000}"#).await;
        let second = client.send(slow, br#"{"ms": 1}"#).await;
        assert_eq!(client.answer(slow, second).await.json(), json!({"waited_ms": 1}), "{way}: out of order");
        assert_eq!(client.call_bytes(&format!("{way}.echo"), b"x").await.body(), b"x", "{way}");
        client.cancel(slow, first).await;
        assert_eq!(client.answer(slow, first).await.status, 499, "{way}");
    }
}

#[tokio::test]
async fn a_stream_is_passed_on_while_it_arrives_and_a_cancel_ends_it() {
    let world = world().await;
    let stream = Endpoint { interaction: Interaction::Stream, ..post("endless") };
    let gateway = world.gateway(&[stream]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        let service = world.service(way);
        let before = service.ask("/seen").await["cancelled"].as_u64().unwrap();
        let handle = client.services[&format!("{way}.endless")];
        let number = client.send(handle, br#"{"ms": 20, "bytes": 100}"#).await;
        for _ in 0..3 {
            // The service will never end this answer, so what comes came before its end.
            let part = client.frame(|f| f.handle == handle && f.id & !MORE == number).await;
            assert_eq!((part.id, part.payload.is_empty()), (MORE | number, false), "{way}");
        }
        client.cancel(handle, number).await;
        client.frame(|f| f.handle == handle && f.id == ERROR | number).await;
        service.until("/seen", |seen| seen["cancelled"].as_u64().unwrap() > before).await;
    }
}

#[tokio::test]
async fn the_same_number_twice_goes_out_once() {
    let world = world().await;
    let gateway = world.gateway(&[post("slow")]).await;
    let mut client = gateway.client().await;
    let before = world.plain.ask("/seen").await["started"].as_u64().unwrap();
    let handle = client.services["plain.slow"];
    let number = client.send(handle, br#"{"ms": 60000}"#).await;
    world.plain.until("/seen", |seen| seen["started"].as_u64().unwrap() > before).await;
    client.send_frame(handle, number, br#"{"ms": 60000}"#).await;
    let error = client.control("error").await;
    assert_eq!((&error["status"], &error["number"]), (&json!(409), &json!(number)), "{error}");
    client.cancel(handle, number).await;
    assert_eq!(client.answer(handle, number).await.status, 499);
    assert_eq!(client.call("plain.slow", &json!({"ms": 1})).await.status, 200);
}

#[tokio::test]
async fn effects_that_are_not_declared_or_not_bound_to_the_request_change_nothing() {
    let world = world().await;
    let login = Endpoint { name: "login".into(), effects: vec![Effect::Login], ..post("answer") };
    let player = Endpoint { name: "player".into(), tiers: vec!["player".into()], ..post("echo") };
    let gateway = world.gateway(&[post("answer"), login, player]).await;
    let mut client = gateway.client().await;
    let jwt = token("ada", &json!({}));
    // Good for a login, if the answer repeated the request's id: what a cache or another request's answer lacks.
    let asked = json!({"status": 200, "headers": {"bannou-set-token": jwt, "bannou-request-id": "0123456789abcdef"}});
    let mut dropped = 0.0;
    for way in WAYS {
        for (name, reason) in [("answer", "not declared by the endpoint"), ("login", "bannou-request-id not repeated")]
        {
            assert_eq!(client.call(&format!("{way}.{name}"), &asked).await.status, 200, "{way}");
            assert!(!client.services.contains_key(&format!("{way}.player")), "{way} {name}: logged in");
            assert!(client.said.iter().all(|m| m["type"] != "token"), "{way} {name}");
            if name == "answer" {
                dropped += 1.0;
            }
            let (_, metrics) = gateway.admin("/metrics").await;
            let sample =
                metrics.lines().find(|l| l.contains("effects_dropped") && l.contains(reason)).unwrap_or_default();
            assert!(sample.ends_with(&format!(" {dropped}")), "{way} {name}: {sample}");
        }
    }
}
