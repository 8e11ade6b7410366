//! Too large, too slow, without end: cut at the endpoint's limits, and the service is let go.

use bannou_crds::catalog::{Endpoint, Interaction};
use serde_json::json;

use super::world::{WAYS, post, reason, world};

#[tokio::test]
async fn too_large_either_way() {
    let world = world().await;
    let small = |name: &str| Endpoint { max_request_bytes: 1_000, max_response_bytes: 1_000, ..post(name) };
    let gateway = world.gateway(&[small("big"), small("echo"), small("count"), small("drop")]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        let answer = client.call_bytes(&format!("{way}.echo"), &[b'x'; 1_000]).await;
        assert_eq!((answer.status, answer.body().len()), (200, 1_000), "{way}");
        let key = format!("large-{way}");
        let mut large = json!({"key": key}).to_string().into_bytes();
        large.resize(1_001, b' ');
        let answer = client.call_bytes(&format!("{way}.count"), &large).await;
        assert_eq!(answer.status, 413, "{way}");
        assert_eq!(world.service(way).ask(&format!("/count?key={key}")).await["count"], 0, "{way}: it never left");
        for chunked in [false, true] {
            let answer = client.call(&format!("{way}.big"), &json!({"bytes": 1_000, "chunked": chunked})).await;
            assert_eq!((answer.status, answer.body().len()), (200, 1_000), "{way}");
            let answer = client.call(&format!("{way}.big"), &json!({"bytes": 1_001, "chunked": chunked})).await;
            assert_eq!((answer.status, reason(&answer.json())), (502, "answer_too_large"), "{way} chunked {chunked}");
        }
    }
}

#[tokio::test]
async fn what_the_sidecar_finds_too_large() {
    let world = world().await;
    let wide = |name: &str| Endpoint { max_request_bytes: 8 << 20, ..post(name) };
    let gateway = world.gateway(&[wide("count")]).await;
    let mut client = gateway.client().await;
    let mut large = json!({"key": "five-mb"}).to_string().into_bytes();
    large.resize(5 << 20, b' ');
    let answer = client.call_bytes("plain.count", &large).await;
    assert_eq!(answer.status, 413, "{:?}", String::from_utf8_lossy(&answer.body()));
    assert_eq!(world.plain.ask("/count?key=five-mb").await["count"], 0);
    let answer = client.call("plain.count", &json!({"key": "after"})).await;
    assert_eq!(answer.status, 200, "the connection goes on");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_at_its_size() {
    let world = world().await;
    let stream = Endpoint { name: "parts".into(), interaction: Interaction::Stream, ..post("endless") };
    let gateway = world.gateway(&[post("endless"), stream]).await;
    for way in WAYS {
        let service = world.service(way);
        let before = service.ask("/seen").await["cancelled"].as_u64().unwrap();
        let mut client = gateway.client().await;
        let answer = client.call(&format!("{way}.endless"), &json!({"bytes": 65_536})).await;
        assert_eq!((answer.status, reason(&answer.json())), (502, "answer_too_large"), "{way}");
        let answer = client.call(&format!("{way}.parts"), &json!({"bytes": 65_536})).await;
        assert_eq!(answer.status, 502, "{way}, after the parts that fit");
        service.until("/seen", |seen| seen["cancelled"].as_u64().unwrap() >= before + 2).await;
    }
}

#[tokio::test]
async fn who_is_too_slow_gets_504_and_is_let_go() {
    let world = world().await;
    let short = |name: &str| Endpoint { timeout_ms: 300, ..post(name) };
    let dripping = Endpoint { name: "drip".into(), ..short("stream") };
    let stream = Endpoint { name: "parts".into(), interaction: Interaction::Stream, ..short("stream") };
    let gateway = world.gateway(&[short("slow"), dripping, stream]).await;
    for way in WAYS {
        let mut client = gateway.client().await;
        let service = world.service(way);
        let before = service.ask("/seen").await["cancelled"].as_u64().unwrap();
        let answer = client.call(&format!("{way}.slow"), &json!({"ms": 60_000})).await;
        assert_eq!((answer.status, reason(&answer.json())), (504, "timeout"), "{way}");
        let answer = client.call(&format!("{way}.drip"), &json!({"parts": 1_000, "ms": 50})).await;
        assert_eq!(answer.status, 504, "{way}: a request is timed until its last byte");
        let answer = client.call(&format!("{way}.parts"), &json!({"parts": 20, "ms": 50})).await;
        assert_eq!(answer.status, 200, "{way}: a stream is timed from part to part");
        let answer = client.call(&format!("{way}.parts"), &json!({"parts": 2, "ms": 60_000})).await;
        assert_eq!(answer.status, 504, "{way}: between two parts");
        service.until("/seen", |seen| seen["cancelled"].as_u64().unwrap() >= before + 3).await;
    }
}

#[tokio::test]
async fn a_cancel_reaches_the_service() {
    let world = world().await;
    let gateway = world.gateway(&[post("slow")]).await;
    for way in WAYS {
        let mut client = gateway.client().await;
        let service = world.service(way);
        let before = service.ask("/seen").await;
        let handle = client.services[&format!("{way}.slow")];
        let number = client.send(handle, br#"{"ms": 60000}"#).await;
        let more = |field: &'static str| {
            let before = before[field].as_u64().unwrap();
            move |seen: &serde_json::Value| seen[field].as_u64().unwrap() > before
        };
        service.until("/seen", more("started")).await;
        client.cancel(handle, number).await;
        assert_eq!(client.answer(handle, number).await.status, 499, "{way}");
        service.until("/seen", more("cancelled")).await;
    }
}

#[tokio::test]
async fn a_full_service_is_a_503_and_disturbs_no_other() {
    let world = world().await;
    let mut catalog = world.catalog(&[post("slow"), post("echo")]);
    for service in &mut catalog.services {
        service.max_in_flight = 1;
    }
    let gateway = world.gateway_of(&catalog).await;
    let (mut first, mut second) = (gateway.client().await, gateway.client().await);
    let before = world.plain.ask("/seen").await["started"].as_u64().unwrap();
    let handle = first.services["plain.slow"];
    let number = first.send(handle, br#"{"ms": 60000}"#).await;
    world.plain.until("/seen", |seen| seen["started"].as_u64().unwrap() > before).await;
    let answer = second.call_bytes("plain.echo", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (503, "overloaded"));
    assert_eq!(second.call_bytes("sdk.echo", b"x").await.status, 200);
    first.cancel(handle, number).await;
    assert_eq!(first.answer(handle, number).await.status, 499);
    // The place is given back when the call's task ends, which the confirmation does not wait for.
    loop {
        let answer = second.call_bytes("plain.echo", b"x").await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503);
    }
}
