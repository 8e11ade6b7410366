//! The fleet key changes under those who are connected.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::raw::{Came, Handle, Raw, handle};
use super::{World, wire_catalog};

/// A mounted Secret with the fleet's keys.
struct Keys(TempDir);

impl Keys {
    fn new(current: u8, next: u8, previous: u8) -> Keys {
        let keys = Keys(tempfile::tempdir().unwrap());
        keys.rotate(current, next, previous);
        for name in ["current.key", "next.key", "previous.key"] {
            symlink(Path::new("..data").join(name), keys.0.path().join(name)).unwrap();
        }
        keys
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("current.key")
    }

    /// As the kubelet does it: the new folder is whole before a link is swapped.
    fn rotate(&self, current: u8, next: u8, previous: u8) {
        let folder = self.0.path().join(format!("..{current}"));
        std::fs::create_dir(&folder).unwrap();
        for (name, byte) in [("current.key", current), ("next.key", next), ("previous.key", previous)] {
            std::fs::write(folder.join(name), [byte; 64]).unwrap();
        }
        symlink(&folder, self.0.path().join("..new")).unwrap();
        std::fs::rename(self.0.path().join("..new"), self.0.path().join("..data")).unwrap();
    }
}

async fn start(keys: &Keys) -> World {
    World::with(&wire_catalog(), &["--fleet-key-file", keys.file().to_str().unwrap()]).await
}

/// Rotates, and waits until the gateway has seen it.
async fn rotate(world: &World, keys: &Keys, current: u8, next: u8, previous: u8) {
    let mark = world.gateway.process.mark();
    keys.rotate(current, next, previous);
    world.gateway.process.line_after(mark, "the fleet key has changed").await;
}

fn resume(of: &Value) -> String {
    let token = of.get("resume").map_or(&of["token"], |resume| &resume["token"]);
    token.as_str().unwrap().to_owned()
}

/// Breaks a connection and asks for its session, at this gateway or another; the last thing said is `ok`.
async fn ask(world: &World, token: &str) -> (Raw, Vec<Value>) {
    let mut client = Raw::connect(&world.gateway.url, &[("sec-websocket-protocol", "bannou.v1, bannou.resume")]).await;
    client
        .say(&json!({"type": "resume", "id": 1, "token": token, "cursor": "0", "group_cursor": "0", "open": []}))
        .await;
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &Value| last["type"] != "ok") {
        match client.next().await {
            Came::Said(value) => said.push(value),
            other => panic!("{other:?}"),
        }
    }
    (client, said)
}

async fn calls(client: &mut Raw, echo: Handle, number: u64) {
    client.send(echo, number, b"still here").await;
    loop {
        match client.next().await {
            Came::Frame { handle, id, payload } => {
                return assert_eq!((handle, id, payload), (echo, number, b"still here".to_vec()));
            }
            Came::Said(said) => assert_ne!(said["type"], "closing", "{said}"),
            Came::Closed(code) => panic!("closed: {code}"),
        }
    }
}

#[tokio::test]
async fn a_rotation_disconnects_nobody_and_a_session_keeps_its_handles() {
    let keys = Keys::new(1, 2, 1);
    let world = start(&keys).await;
    let mut client = world.connect().await;
    let echo = client.services["svc.echo"];
    let before = resume(&client.discovery);
    rotate(&world, &keys, 2, 3, 1).await;
    calls(&mut client, echo, 1).await;
    // One that comes now is opened with the new key, and they can be introduced to each other.
    let mut younger = world.connect().await;
    let id = |client: &Raw| client.discovery["client_id"].as_str().unwrap().to_owned();
    let list = format!("{}; label=old\n{}; label=young", id(&client), id(&younger));
    client.ask("svc.introduce", 2, list.as_bytes()).await;
    let token = resume(&client.said("resume").await);
    let young = handle(&client.said("peers").await["added"]["young"]["handle"]);
    client.frame().await;
    younger.said("resume").await;
    let old = handle(&younger.said("peers").await["added"]["old"]["handle"]);
    client.send(young, 3, b"to the younger").await;
    assert_eq!(younger.frame().await.0, old);

    // It comes back with the token that the old key sealed, and goes on under the same handles.
    drop(client);
    world.gateway.metric_is("bannou_gateway_sessions_absent", 1.0).await;
    let (mut client, said) = ask(&world, &before).await;
    assert_eq!(said.last().unwrap()["resumed"], true, "{said:?}");
    assert_eq!(handle(&said[0]["services"]["svc.echo"]), echo);
    calls(&mut client, echo, 4).await;
    let renewed = resume(&said[0]);
    assert_ne!(renewed, token);

    // Two rotations later its first key is none of the fleet's any more, and it still keeps it.
    rotate(&world, &keys, 3, 4, 2).await;
    calls(&mut client, echo, 5).await;
    drop(client);
    world.gateway.metric_is("bannou_gateway_sessions_absent", 1.0).await;
    let (mut client, said) = ask(&world, &renewed).await;
    assert_eq!(said.last().unwrap()["resumed"], true, "{said:?}");
    assert_eq!(handle(&said[0]["services"]["svc.echo"]), echo);
    calls(&mut client, echo, 6).await;
    younger.send(old, 7, b"to the older").await;
    assert_eq!(client.frame().await.2, b"to the older");
}

#[tokio::test]
async fn gateways_that_see_a_rotation_at_different_times_open_each_others_tokens() {
    let (early, late) = (Keys::new(2, 3, 1), Keys::new(1, 2, 1));
    let (early, late) = (start(&early).await, start(&late).await);
    let stranger = start(&Keys::new(9, 8, 9)).await;
    // What it is that keeps a session from coming back there is said by the metric: it is no session of that gateway.
    let reason = |why: &str| format!("bannou_gateway_resumes_total{{reason=\"{why}\"}}");
    for (of, at) in [(&early, &late), (&late, &early)] {
        let client = of.connect().await;
        let token = resume(&client.discovery);
        let (_, said) = ask(at, &token).await;
        assert_eq!(said.last().unwrap()["resumed"], false);
        at.gateway.metric_is(&reason("session over"), 1.0).await;
        assert_eq!(at.gateway.metric(&reason("token not of this fleet")).await, 0.0);
        ask(&stranger, &token).await;
    }
    stranger.gateway.metric_is(&reason("token not of this fleet"), 2.0).await;
}
