//! Editing the folder while clients are connected.

use std::path::Path;

use serde_json::json;

use super::dev::{Dev, copy_of_quickstart};
use crate::support::client::Client;

/// In one step, as careful editors do: nobody reads half of it.
fn save(file: &Path, text: impl AsRef<[u8]>) {
    let hidden = file.with_file_name(".new");
    std::fs::write(&hidden, text).unwrap();
    std::fs::rename(hidden, file).unwrap();
}

#[tokio::test]
async fn an_edit_reaches_connected_clients_and_a_broken_file_changes_nothing() {
    let folder = copy_of_quickstart();
    let file = folder.path().join("echo.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    let mut dev = Dev::start(folder.path(), &[]).await;
    let mut client = Client::connect(&dev.url()).await;

    let renamed = good.replace("- name: bytes", "- name: octets");
    assert_ne!(renamed, good);
    save(&file, &renamed);
    let update = client.control("service_update").await;
    assert_eq!(update["removed"], json!(["echo.bytes"]));
    assert!(update["added"]["echo.octets"].is_string(), "{update}");
    assert_eq!(client.call_bytes("echo.octets", b"x").await.body(), b"x");
    dev.process.out.line("+ endpoint echo.octets").await;
    dev.process.out.line("- endpoint echo.bytes").await;

    let line = 1 + renamed.lines().position(|l| l.contains("timeout: 5s")).unwrap();
    save(&file, renamed.replace("timeout: 5s", "timeout: [5s]"));
    let error = dev.process.err.line("echo.yaml").await;
    assert!(error.contains(&format!("echo.yaml:{line}")), "{error}");
    assert!(error.contains("timeout"), "{error}");
    assert_eq!(client.call_bytes("echo.octets", b"still").await.body(), b"still");

    save(&file, &good);
    let update = client.control("service_update").await;
    assert_eq!(update["removed"], json!(["echo.octets"]));
    assert_eq!(client.call_bytes("echo.bytes", b"again").await.body(), b"again");
}

#[tokio::test]
async fn a_token_of_before_an_edit_still_holds() {
    let folder = copy_of_quickstart();
    let dev = Dev::start(folder.path(), &[]).await;
    let mut client = Client::logged_in(&dev.url(), "ada", "lovelace").await;
    let file = folder.path().join("game.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    save(&file, text.replace("- name: connect", "- name: enter"));
    let removed = json!(["game.connect"]);
    while client.control("service_update").await["removed"] != removed {}
    assert!(client.services.contains_key("game.enter"));
    assert_eq!(client.call_bytes("account.get", b"").await.json()["subject"], "ada");
    Client::logged_in(&dev.url(), "grace", "hopper").await;
}

#[tokio::test]
async fn a_key_that_the_fleet_names_in_an_edit_is_in_force_at_once() {
    let folder = copy_of_quickstart();
    let mut dev = Dev::start(folder.path(), &[]).await;
    let file = folder.path().join("fleet.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    save(&file, text.replace("name: demo-signing-key", "name: another-key"));
    dev.process.err.line("Secret another-key").await;
    // The news is told when the catalog is on its way to the gateway, so the first try may still meet the old key.
    let mut client = Client::connect(&dev.url()).await;
    let login = json!({"name": "ada", "password": "lovelace"});
    while !client.services.contains_key("account.get") {
        assert_eq!(client.call("auth.login", &login).await.status, 200);
    }
    assert_eq!(client.call_bytes("account.get", b"").await.json()["subject"], "ada");
}
