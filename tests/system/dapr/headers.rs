//! What arrives at a service: the protocol's headers, those that HTTP and the sidecar need, and none of a client's.

use std::collections::BTreeMap;

use bannou_crds::catalog::{Endpoint, Payload};
use serde_json::{Value, json};

use super::world::{WAYS, post, world};
use crate::support::catalog::{ISSUER, endpoint, token};
use crate::support::client::{Answer, Client};

type Headers = BTreeMap<String, Vec<String>>;

fn headers(answer: &Answer) -> Headers {
    serde_json::from_value(answer.json()["headers"].clone()).unwrap()
}

/// What HTTP itself, and daprd on its way, add; see `tests/services/README.md`.
const OF_DAPRD: &[&str] = &[
    "accept-encoding",
    "dapr-callee-app-id",
    "dapr-caller-app-id",
    "dapr-caller-namespace",
    "forwarded",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
];

const OF_THE_GATEWAY: &[&str] = &[
    "bannou-client-id",
    "bannou-idempotency-key",
    "bannou-message-id",
    "bannou-request-id",
    "bannou-session-id",
    "bannou-tiers",
    "content-type",
    "host",
    "traceparent",
];

fn one<'a>(headers: &'a Headers, name: &str) -> &'a str {
    let [value] = &headers[name][..] else { panic!("{name}: {:?}", headers[name]) };
    value
}

#[tokio::test]
async fn exactly_the_headers_of_the_protocol() {
    let world = world().await;
    let gateway = world.gateway(&[post("request")]).await;
    for way in WAYS {
        let call = format!("{way}.request");
        // Client-chosen headers of the upgrade never pass.
        let of_client = [
            ("dapr-app-id", "sdk"),
            ("x-forwarded-for", "203.0.113.9"),
            ("bannou-subject", "root"),
            ("cookie", "a=b"),
            ("user-agent", "evil"),
        ];
        let mut client = Client::connect_with(&gateway.url, &of_client).await;
        let discovery = client.discovery.clone();
        let answer = client.call_bytes(&call, b"{}").await;
        assert_eq!(answer.status, 200, "{way}: {:?}", answer.parts);
        let told = headers(&answer);
        let added: &[&str] = if way == "direct" { &["content-length"] } else { OF_DAPRD };
        for name in told.keys() {
            let known = OF_THE_GATEWAY.contains(&name.as_str()) || added.contains(&name.as_str());
            assert!(known || way == "sdk" && name == "content-length", "{way}: {name}: {:?}", told[name]);
        }
        for name in OF_THE_GATEWAY {
            one(&told, name);
        }
        let session = discovery["session_id"].as_str().unwrap();
        assert_eq!(one(&told, "bannou-session-id"), session);
        assert_eq!(one(&told, "bannou-client-id"), discovery["client_id"]);
        assert_eq!(one(&told, "bannou-tiers"), "anonymous");
        assert_eq!(one(&told, "bannou-message-id"), "1");
        assert_eq!(one(&told, "bannou-idempotency-key"), format!("{session}-{way}.request-1"));
        assert_eq!(one(&told, "content-type"), "application/json");
        assert!(!told.contains_key("bannou-subject"), "{way}");
        if way != "direct" {
            assert_eq!(one(&told, "dapr-caller-app-id"), "gateway");
            assert_ne!(told.get("user-agent").map(|v| v[0].as_str()), Some("evil"));
        }
        let again = headers(&client.call_bytes(&call, b"{}").await);
        for fresh in ["bannou-request-id", "traceparent"] {
            assert_ne!(one(&told, fresh), one(&again, fresh), "{way}");
        }
        assert_eq!(one(&told, "traceparent").len(), 55);
        assert_eq!(one(&again, "bannou-message-id"), "2");
    }
}

#[tokio::test]
async fn who_has_logged_in_is_named_and_a_token_goes_only_where_it_may() {
    let world = world().await;
    let forwarding = Endpoint { name: "forward".into(), forward_authorization: true, ..post("request") };
    let gateway = world.gateway(&[post("request"), forwarding]).await;
    let jwt = token("auth0|ada/ünal %41", &json!({}));
    let mut client = gateway.client_with(&jwt).await;
    for way in WAYS {
        let told = headers(&client.call_bytes(&format!("{way}.request"), b"{}").await);
        assert_eq!(one(&told, "bannou-subject"), "auth0%7Cada%2F%C3%BCnal%20%2541", "{way}");
        assert_eq!(one(&told, "bannou-issuer"), "https%3A%2F%2Fid.test%2F", "{way} {ISSUER}");
        assert_eq!(one(&told, "bannou-tiers"), "anonymous,player", "{way}");
        assert!(!told.contains_key("authorization"), "{way}");
        let told = headers(&client.call_bytes(&format!("{way}.forward"), b"{}").await);
        assert_eq!(one(&told, "authorization"), format!("Bearer {jwt}"), "{way}");
    }
    let mut anonymous = gateway.client().await;
    let told = headers(&anonymous.call_bytes("plain.forward", b"{}").await);
    assert!(!told.contains_key("authorization"));
    assert!(!gateway.process.output().contains(&jwt), "a token in the log");
}

#[tokio::test]
async fn a_payload_is_body_query_or_nothing() {
    let world = world().await;
    let named = |name: &str, line: &str, payload| Endpoint { payload, ..endpoint(name, line) };
    let gateway = world
        .gateway(&[
            named("query", "GET /request", Payload::Query),
            named("post-query", "POST /request", Payload::Query),
            named("nothing", "GET /request", Payload::None),
            named("delete", "DELETE /request", Payload::None),
            named("post-nothing", "POST /request", Payload::None),
            named("put", "PUT /request", Payload::Body),
        ])
        .await;
    let mut client = gateway.client().await;
    for way in WAYS {
        for (name, method) in [("query", "GET"), ("post-query", "POST")] {
            let query = b"a=1&b=%20x+y&a=2&c=/?:@";
            let told = client.call_bytes(&format!("{way}.{name}"), query).await.json();
            assert_eq!((&told["method"], &told["body"]), (&json!(method), &json!("")), "{way} {name}");
            assert_eq!(told["query"].as_str().unwrap().trim_start_matches('?').as_bytes(), query, "{way} {name}");
            for bad in [&b"a b"[..], b"a#b", b"a\r\nx: y", b"%zz", b"\xff"] {
                let answer = client.call_bytes(&format!("{way}.{name}"), bad).await;
                assert_eq!(answer.status, 400, "{way} {bad:?}");
            }
        }
        for (name, method) in [("nothing", "GET"), ("delete", "DELETE"), ("post-nothing", "POST")] {
            let told = client.call_bytes(&format!("{way}.{name}"), b"").await.json();
            assert_eq!((&told["method"], &told["body"]), (&json!(method), &json!("")), "{way}");
            assert!(told["headers"].get("content-type").is_none(), "{way} {name}: {}", told["headers"]);
            let answer = client.call_bytes(&format!("{way}.{name}"), b"x").await;
            assert_eq!(answer.status, 400, "{way} {name}");
        }
        let told = client.call_bytes(&format!("{way}.put"), b"{}").await.json();
        assert_eq!((&told["method"], &told["body"]), (&json!("PUT"), &json!("e30=")), "{way}");
        let empty: Value = client.call_bytes(&format!("{way}.put"), b"").await.json();
        assert_eq!(empty["body"], "", "{way}");
    }
}
