//! Path variables: what a token says becomes one segment, whatever it says.

use bannou_crds::catalog::{Endpoint, PathPart};
use serde_json::json;

use super::world::{WAYS, world};
use crate::support::catalog::{endpoint, token};

/// The services answer under `/request` alone, so what does not end there shows as another status.
fn variable(name: &str, parts: Vec<PathPart>) -> Endpoint {
    Endpoint { path: parts, ..endpoint(name, "GET /") }
}

fn text(t: &str) -> PathPart {
    PathPart::Text(t.into())
}

#[tokio::test]
async fn a_variable_arrives_as_the_segment_it_is() {
    let world = world().await;
    let gateway = world
        .gateway(&[
            variable("subject", vec![text("/request/"), PathPart::Subject]),
            variable("session", vec![text("/request/"), PathPart::Session, text("/x")]),
            variable("claim", vec![text("/request/"), PathPart::Claim(vec!["org".into(), "id".into()])]),
        ])
        .await;
    for subject in [
        "ada",
        "auth0|7",
        "a/b",
        r"a\b",
        "50%",
        "%41",
        "who?#",
        "ünal",
        "a b",
        "..x",
        "a+b&c=d",
        "x;y",
        "a//b",
        "~!$'()*,:@",
    ] {
        let mut client = gateway.client_with(&token(subject, &json!({"org": {"id": "acme/1"}}))).await;
        let session = client.discovery["session_id"].as_str().unwrap().to_owned();
        for way in WAYS {
            let path = |answer: crate::support::client::Answer| {
                assert_eq!(answer.status, 200, "{way} {subject:?}: {:?}", String::from_utf8_lossy(&answer.body()));
                let raw = answer.json()["path"].as_str().unwrap().to_owned();
                raw.strip_prefix("/request/").unwrap_or_else(|| panic!("{way} {subject:?}: {raw}")).to_owned()
            };
            let raw = path(client.call_bytes(&format!("{way}.subject"), b"").await);
            assert!(!raw.contains(['/', '?', '#']), "{way} {subject:?}: {raw}");
            assert_eq!(decoded(&raw), subject, "{way}: {raw}");
            let raw = path(client.call_bytes(&format!("{way}.session"), b"").await);
            assert_eq!(raw, format!("{session}/x"), "{way}");
            let raw = path(client.call_bytes(&format!("{way}.claim"), b"").await);
            assert_eq!((raw.contains('/'), decoded(&raw)), (false, "acme/1".to_owned()), "{way}: {raw}");
        }
    }
}

#[tokio::test]
async fn no_token_leads_a_request_elsewhere() {
    let world = world().await;
    let gateway = world.gateway(&[variable("subject", vec![text("/request/"), PathPart::Subject])]).await;
    for subject in ["..", ".", "../count", "../../count", "a/../../count", "%2e%2e", "%2e%2e%2fcount", r"..\count"] {
        let mut client = gateway.client_with(&token(subject, &json!({}))).await;
        for way in WAYS {
            let answer = client.call_bytes(&format!("{way}.subject"), b"").await;
            assert_eq!(answer.status, 400, "{way} {subject:?}");
        }
    }
    let mut anonymous = gateway.client().await;
    for way in WAYS {
        let answer = anonymous.call_bytes(&format!("{way}.subject"), b"").await;
        assert_eq!(answer.status, 403, "{way}");
    }
}

fn decoded(raw: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap()
}
