//! A gateway's own life: catalogs that change, operations, SIGTERM.

use std::process::Command;

use serde_json::{Value, json};

use super::raw::Came;
use super::{World, wire_catalog};
use crate::support::catalog::{direct, endpoint};
use crate::support::process::binary;

#[tokio::test]
async fn clients_see_a_catalog_change_and_calls_that_lost_their_right_end() {
    let world = World::start().await;
    let mut client = world.connect().await;
    client.ask("svc.held", 1, b"").await;
    world.backend.begun(1).await;
    let mut changed = wire_catalog();
    changed.services[0].endpoints.retain(|e| e.name != "held");
    changed.services.push(direct("zoo", vec![endpoint("visit", "POST /echo")]));
    world.gateway.follow(&changed);
    let (id, status, _) = client.failed().await;
    assert_eq!((id, status), (1, 403));
    world.backend.dropped(1).await;
    client.said("resume").await;
    let update = client.said("service_update").await;
    assert_eq!(update["removed"], json!(["svc.held"]));
    assert_eq!(update["added"].as_object().unwrap().keys().collect::<Vec<_>>(), ["zoo.visit"]);
    assert_eq!(update["revision"], 2);
    client.ask("svc.held", 2, b"").await;
    assert_eq!(client.failed().await.1, 403);
    client.ask("svc.echo", 3, b"same handle").await;
    assert_eq!(client.frame().await.2, b"same handle");
}

#[tokio::test]
async fn a_broken_catalog_is_named_and_the_last_good_one_goes_on() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let mut broken: Value = serde_json::to_value(wire_catalog()).unwrap();
    broken["services"][0]["endpoints"][0]["timeout_ms"] = json!("soon");
    world.gateway.follow_text(&serde_json::to_string_pretty(&broken).unwrap());
    let line = world.gateway.process.line("catalog is refused").await;
    assert!(line.contains("catalog.json:") && line.contains("services[0].endpoints[0].timeout_ms"), "{line}");
    client.ask("svc.echo", 1, b"still").await;
    assert_eq!(client.frame().await.2, b"still");
    assert!(world.gateway.metric("bannou_gateway_catalog_rejected_total").await >= 1.0);
}

#[tokio::test]
async fn a_set_over_64_kib_comes_in_parts() {
    let mut catalog = wire_catalog();
    let many = (0..3000).map(|n| endpoint(&format!("endpoint-with-a-long-name-{n:04}"), "POST /echo"));
    catalog.services.push(direct("zoo", many.collect()));
    let world = World::with(&catalog, &[]).await;
    let mut client = world.connect().await;
    assert_eq!(client.discovery["more"], true);
    let mut names: Vec<String> = client.services.keys().cloned().collect();
    let mut revision = 1;
    loop {
        let part = client.said("service_update").await;
        revision += 1;
        assert_eq!((&part["revision"], &part["set"]), (&json!(revision), &client.discovery["set"]));
        names.extend(part["added"].as_object().unwrap().keys().cloned());
        if part["more"] != true {
            break;
        }
    }
    assert!(revision > 2);
    assert_eq!(names.len(), 3000 + wire_catalog().services[0].endpoints.len() - 1);
    names.dedup();
    assert_eq!(names.len(), 3008);
}

#[tokio::test]
async fn operations_say_how_it_is() {
    let world = World::start().await;
    assert_eq!(world.gateway.admin("/livez").await.0, 200);
    assert_eq!(world.gateway.admin("/readyz").await, (200, "ready\n".to_owned()));
    let _client = world.connect().await;
    assert!(world.gateway.metric("bannou_gateway_connections").await >= 1.0);
    let mut catalog = wire_catalog();
    catalog.services.push(crate::support::catalog::dapr("far", "far", vec![endpoint("x", "POST /x")]));
    let world = World::with(&catalog, &["--dapr-http", "http://127.0.0.1:9"]).await;
    let (status, text) = world.gateway.admin("/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("awaiting the Dapr sidecar"), "{text}");
}

#[tokio::test]
async fn sigterm_says_goodbye_and_ends_cleanly() {
    let world = World::start().await;
    let mut client = world.connect().await;
    let ended = tokio::task::spawn_blocking(move || world.gateway.process.terminate());
    let going = client.said("going_away").await;
    assert!(going["reconnect_after_ms"].is_u64() && going["reason"].is_string(), "{going}");
    let (closing, code) = client.closed().await;
    assert_eq!((code, &closing["reconnect"]), (1012, &json!("resume")));
    assert!(matches!(client.next().await, Came::Closed(_)));
    assert!(ended.await.unwrap().success());
}

#[test]
fn errors_at_start_say_what_to_do() {
    let gateway = binary("bannou-gateway", "BANNOU_GATEWAY_BIN");
    let run = |flags: &[&str]| {
        let output = Command::new(&gateway).args(flags).env_remove("BANNOU_CATALOG").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ok, text) = run(&[]);
    assert!(!ok && text.contains("--catalog FILE") && text.contains("bannou compile"), "{text}");
    let (ok, text) = run(&["--catalog", "/nowhere/catalog.json"]);
    assert!(!ok && text.contains("/nowhere/catalog.json"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.json");
    let mut catalog = wire_catalog();
    catalog.fleet.issuers.clear();
    std::fs::write(&file, serde_json::to_vec(&catalog).unwrap()).unwrap();
    let file = file.to_str().unwrap();
    assert!(run(&["--catalog", file, "--check-config"]).0);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (ok, text) = run(&["--catalog", file, "--bind", "127.0.0.1", "--port", &port]);
    assert!(!ok && text.contains(&port) && text.contains("--port"), "{text}");
}
