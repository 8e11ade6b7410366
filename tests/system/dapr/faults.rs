//! Sidecars that go, come back or refuse; a service that dies; the breaker.

use std::net::TcpListener;

use bannou_crds::catalog::Breaker;
use serde_json::json;

use super::world::{post, reason, world};
use crate::support::catalog::{catalog, dapr, direct};
use crate::support::daprd::{Mesh, Service};
use crate::support::gateway::{Gateway, NO_PINGS};
use crate::support::process::free_port;

#[tokio::test]
async fn the_sidecar_goes_and_comes_back() {
    let mesh = Mesh::new();
    let service = Service::plain(&[]).await;
    let ports = [free_port(), free_port(), free_port()];
    let (_behind, sidecar) =
        tokio::join!(mesh.sidecar("app", Some(service.port), &[]), mesh.sidecar_at("gateway", None, ports, &[]));
    sidecar.finds("app").await;
    let gateway =
        Gateway::with_sidecar(&catalog(vec![dapr("app", "app", vec![post("echo"), post("slow")])]), ports[0]).await;
    let mut client = gateway.client().await;
    assert_eq!(client.call_bytes("app.echo", b"x").await.status, 200);
    assert_eq!(gateway.admin("/readyz").await.0, 200);

    let slow = client.services["app.slow"];
    let number = client.send(slow, br#"{"ms": 60000}"#).await;
    service.until("/seen", |seen| seen["started"] == 1).await;
    sidecar.process.kill();
    let answer = client.answer(slow, number).await;
    assert_eq!((answer.status, reason(&answer.json())), (502, "broken_answer"), "in flight while it went");
    let answer = client.call_bytes("app.echo", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (502, "unreachable"), "gone");
    let (status, text) = gateway.admin("/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("sidecar"), "{text}");

    let again = mesh.sidecar_at("gateway", None, ports, &[]).await;
    again.finds("app").await;
    assert_eq!(client.call_bytes("app.echo", b"x").await.status, 200, "the same connection, and no restart");
    assert_eq!(gateway.admin("/readyz").await.0, 200);
}

#[tokio::test]
async fn the_service_behind_a_sidecar_goes() {
    let mesh = Mesh::new();
    let service = Service::plain(&[]).await;
    let (behind, sidecar) =
        tokio::join!(mesh.sidecar("app", Some(service.port), &[]), mesh.sidecar("gateway", None, &[]));
    sidecar.finds("app").await;
    let gateway = Gateway::with_sidecar(&catalog(vec![dapr("app", "app", vec![post("echo")])]), sidecar.http).await;
    let mut client = gateway.client().await;
    assert_eq!(client.call_bytes("app.echo", b"x").await.status, 200);
    service.process.kill();
    let answer = client.call_bytes("app.echo", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (502, "sidecar_refused"), "the service alone");
    behind.process.kill();
    let answer = client.call_bytes("app.echo", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (502, "sidecar_refused"), "its sidecar too");
}

#[tokio::test]
async fn the_api_token_of_the_sidecar() {
    let mesh = Mesh::new();
    let service = Service::plain(&[]).await;
    let (_behind, sidecar) = tokio::join!(
        mesh.sidecar("app", Some(service.port), &[]),
        mesh.sidecar("gateway", None, &[("DAPR_API_TOKEN", "right")])
    );
    let fleet = catalog(vec![dapr("app", "app", vec![post("answer"), post("request")])]);
    let with = |token: Option<&'static str>| {
        let (fleet, http) = (&fleet, sidecar.http);
        async move {
            Gateway::start(fleet, |command| {
                command.args(["--dapr-http", &format!("http://127.0.0.1:{http}")]);
                command.envs(token.map(|t| ("DAPR_API_TOKEN", t)));
            })
            .await
        }
    };
    for token in [None, Some("wrong")] {
        let gateway = with(token).await;
        let answer = gateway.client().await.call("app.answer", &json!({"status": 200})).await;
        assert_eq!((answer.status, reason(&answer.json())), (502, "sidecar_token"), "{token:?}: not the client's 401");
        let line = gateway.process.line("DAPR_API_TOKEN").await;
        assert!(line.contains("ERROR"), "{line}");
    }
    let gateway = with(Some("right")).await;
    let mut client = gateway.client().await;
    // Until names are known: `finds` has no token.
    let told = loop {
        let answer = client.call("app.request", &json!({})).await;
        if answer.status == 200 {
            break answer.json();
        }
        assert_eq!(reason(&answer.json()), "sidecar_refused");
    };
    assert!(told["headers"].get("dapr-api-token").is_none(), "our token is not for services: {told}");
    let asked = json!({"status": 401, "headers": {"content-type": "text/plain"}, "body": "invalid api token\n"});
    assert_eq!(client.call("app.answer", &asked).await.status, 401, "a service's own");
    assert!(!gateway.process.output().contains("right"), "the token in the log");
}

#[tokio::test]
async fn a_dropped_answer_without_a_sidecar_is_a_502() {
    let world = world().await;
    let gateway = world.gateway(&[post("drop")]).await;
    let mut client = gateway.client().await;
    for chunked in [false, true] {
        let answer = client.call("direct.drop", &json!({"bytes": 100, "chunked": chunked})).await;
        assert_eq!((answer.status, reason(&answer.json())), (502, "broken_answer"), "chunked {chunked}");
    }
}

#[tokio::test]
async fn the_breaker_opens_and_closes_again() {
    let world = world().await;
    let port = free_port();
    let mut broken = direct("broken", vec![post("echo")]);
    broken.breaker = Some(Breaker { consecutive_failures: 3, open_for_ms: 300, half_open_requests: 1 });
    let services = vec![broken, direct("direct", vec![post("echo")])];
    let fleet = catalog(services);
    let gateway = Gateway::start(&fleet, |command| {
        for (name, port) in [("broken", port), ("direct", world.plain.port)] {
            command.args(["--override", &format!("{name}=http://127.0.0.1:{port}")]);
        }
        command.args(NO_PINGS);
    })
    .await;
    let mut client = gateway.client().await;
    for _ in 0..3 {
        assert_eq!(reason(&client.call_bytes("broken.echo", b"x").await.json()), "unreachable");
    }
    let answer = client.call_bytes("broken.echo", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (503, "breaker_open"));
    assert_eq!(client.call_bytes("direct.echo", b"x").await.status, 200, "each service has its own");
    // Something answers at last: the trial succeeds and it closes.
    let service = Service::plain_at(port).await;
    loop {
        let answer = client.call_bytes("broken.echo", b"x").await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(reason(&answer.json()), "breaker_open", "until its time has come");
    }
    assert_eq!(client.call_bytes("broken.echo", b"x").await.status, 200);
    drop(service);
}

#[tokio::test]
async fn a_black_hole_is_a_504() {
    // A full backlog: connections are neither taken nor refused.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = bannou_crds::catalog::Endpoint { timeout_ms: 300, ..post("x") };
    let gateway = Gateway::with_overrides(&catalog(vec![direct("hole", vec![endpoint])]), &[("hole", port)]).await;
    let answer = gateway.client().await.call_bytes("hole.x", b"x").await;
    assert_eq!((answer.status, reason(&answer.json())), (504, "timeout"));
}
