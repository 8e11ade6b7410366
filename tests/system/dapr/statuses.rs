//! What a client is told: the service's own word unread, or the gateway's when there is none.

use bannou_crds::catalog::Interaction;
use serde_json::{Value, json};

use super::world::{WAYS, post, reason, world};
use crate::support::catalog::{catalog, dapr, direct, endpoint};
use crate::support::process::free_port;

#[tokio::test]
async fn a_services_own_statuses_and_bodies_pass_unread() {
    let world = world().await;
    let gateway = world.gateway(&[post("answer"), post("echo")]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        for status in [400, 401, 403, 404, 409, 418, 422, 429, 431, 500, 502, 503, 504] {
            let body = json!({"error": {"code": status}, "text": "ünïcode"});
            let asked = json!({"status": status, "headers": {"content-type": "application/json"}, "body": body});
            let answer = client.call(&format!("{way}.answer"), &asked).await;
            assert_eq!((answer.status, answer.json()), (status, body), "{way}");
        }
        for status in [200, 201, 202] {
            let answer = client.call(&format!("{way}.answer"), &json!({"status": status, "body": "fine"})).await;
            assert_eq!((answer.status, answer.body()), (200, b"fine".to_vec()), "{way} {status}");
        }
        let answer = client.call(&format!("{way}.answer"), &json!({"status": 404})).await;
        assert_eq!(answer.status, 404, "{way}, without a body");
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let answer = client.call_bytes(&format!("{way}.echo"), &bytes).await;
        assert_eq!((answer.status, answer.body()), (200, bytes), "{way}: binary safe");
    }
}

#[tokio::test]
async fn a_service_that_imitates_the_sidecar_is_still_the_service() {
    let world = world().await;
    let gateway = world.gateway(&[post("answer")]).await;
    let mut client = gateway.client().await;
    let dapr_error = json!({"errorCode": "ERR_DIRECT_INVOKE", "message": "failed to invoke"});
    for way in WAYS {
        for (status, kind, body) in [
            (500, "application/json", dapr_error.clone()),
            (403, "application/json", dapr_error.clone()),
            (401, "text/plain; charset=utf-8", json!("invalid api token\n")),
        ] {
            let asked = json!({"status": status, "headers": {"content-type": kind}, "body": body});
            let answer = client.call(&format!("{way}.answer"), &asked).await;
            assert_eq!(answer.status, status, "{way} {body}");
            let text = String::from_utf8(answer.body()).unwrap();
            match &body {
                Value::String(wanted) => assert_eq!(&text, wanted),
                wanted => assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), wanted),
            }
        }
    }
}

#[tokio::test]
async fn redirects_are_answers_and_not_followed() {
    let world = world().await;
    let gateway = world.gateway(&[post("answer")]).await;
    let mut client = gateway.client().await;
    let elsewhere = format!("http://127.0.0.1:{}/count?key=redirected", world.plain.port);
    for way in ["plain", "direct"] {
        for status in [301, 302, 307, 308] {
            let asked = json!({"status": status, "headers": {"location": elsewhere}, "body": "over there"});
            let answer = client.call(&format!("{way}.answer"), &asked).await;
            assert_eq!((answer.status, answer.body()), (status, b"over there".to_vec()), "{way}");
        }
    }
    assert_eq!(world.plain.ask("/count?key=redirected").await["count"], 0);
}

#[tokio::test]
async fn who_cannot_be_reached_is_a_502() {
    let world = world().await;
    let services =
        vec![dapr("gone", "nobody", vec![endpoint("x", "POST /x")]), direct("refused", vec![endpoint("x", "POST /x")])];
    let gateway = crate::support::gateway::Gateway::start(&catalog(services), |command| {
        command.args(["--dapr-http", &format!("http://127.0.0.1:{}", world.sidecar.http)]);
        command.args(["--override", &format!("refused=http://127.0.0.1:{}", free_port())]);
    })
    .await;
    let mut client = gateway.client().await;
    let answer = client.call("gone.x", &json!({})).await;
    let problem = answer.json();
    assert_eq!((answer.status, reason(&problem)), (502, "sidecar_refused"), "an app that nobody has");
    assert!(
        !problem.to_string().contains("ERR_DIRECT"),
        "what the sidecar says of addresses is for the log: {problem}"
    );
    let instance = problem["instance"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let logged = gateway.process.line(&instance).await;
    assert!(gateway.process.output().contains("ERR_DIRECT_INVOKE"), "{logged}");
    let answer = client.call("refused.x", &json!({})).await;
    assert_eq!((answer.status, reason(&answer.json())), (502, "unreachable"), "a port where nobody listens");
}

#[tokio::test]
async fn streams_come_part_by_part() {
    let world = world().await;
    let stream = bannou_crds::catalog::Endpoint { interaction: Interaction::Stream, ..post("stream") };
    let gateway = world.gateway(&[stream]).await;
    let mut client = gateway.client().await;
    for way in WAYS {
        let answer = client.call(&format!("{way}.stream"), &json!({"parts": 5, "ms": 20})).await;
        assert_eq!(answer.status, 200, "{way}");
        assert_eq!(answer.body(), b"part 0\npart 1\npart 2\npart 3\npart 4\n", "{way}");
        assert!(answer.parts.len() > 2, "{way}: {} frames", answer.parts.len());
    }
}
