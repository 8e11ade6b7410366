//! `bannou check --url`: the way from outside to a real gateway, and what can be wrong on it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::quickstart::dev::bannou;
use crate::support::catalog::{catalog, direct, endpoint};
use crate::support::gateway::Gateway;
use crate::support::pair::{issue, paths};

const ORIGIN: &str = "https://play.example";

async fn gateway(flags: &[&str]) -> Gateway {
    let mut all = catalog(vec![direct("svc", vec![endpoint("open", "POST /o")])]);
    all.fleet.origins = vec![ORIGIN.into()];
    Gateway::start(&all, |command| {
        command.args(flags);
    })
    .await
}

/// One with a certificate of its own for this name, and the file that it is in.
async fn with_tls(folder: &Path, name: &str) -> (Gateway, String) {
    issue(folder, name);
    let [certificate, key] = paths(folder).map(|path| path.to_str().unwrap().to_owned());
    (gateway(&["--tls-cert", &certificate, "--tls-key", &key]).await, certificate)
}

/// Exit code and findings.
async fn check(url: &str, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = bannou().args(["check", "-o", "json", "--url", url]).args(more).output().await.unwrap();
    let found = serde_json::from_slice(&output.stdout);
    (output.status.code(), found.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr))))
}

#[tokio::test]
async fn a_good_way_is_said_to_be_good_step_by_step() {
    let gateway = gateway(&["--ping-seconds", "1"]).await;
    let (code, found) = check(&gateway.url, &["--origin", ORIGIN, "--idle", "3s"]).await;
    let levels: Vec<&Value> = found.iter().map(|f| &f["level"]).collect();
    // Of seven steps one is a warning, so the whole is not well: nothing is encrypted.
    assert_eq!(
        (code, levels),
        (Some(1), ["ok", "ok", "warning", "ok", "ok", "ok", "ok"].map(|l| json!(l)).iter().collect()),
        "{found:#?}"
    );
    assert!(found[5]["what"].as_str().unwrap().contains("1 endpoints"), "{found:#?}");
    let (code, _) = check(&gateway.url, &["--idle", "0", "--allow-warnings"]).await;
    assert_eq!(code, Some(0), "but for warnings");
    let idle = found[6]["what"].as_str().unwrap();
    assert!(idle.contains("still answers") && !idle.contains("(0 pings"), "{idle}");
}

#[tokio::test]
async fn tls_by_a_ca_of_ones_own_and_a_certificate_that_nobody_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, certificate) = with_tls(folder.path(), "localhost").await;
    let url = gateway.url.replace("ws://127.0.0.1", "wss://localhost");
    let (code, found) = check(&url, &["--idle", "0", "--ca", &certificate]).await;
    assert_eq!(code, Some(0), "{found:#?}");
    assert_eq!(found[2]["what"], "the certificate is good for this name");
    let (code, found) = check(&url, &["--idle", "0"]).await;
    let last = found.last().unwrap();
    assert_eq!((code, &last["level"]), (Some(1), &json!("error")), "{found:#?}");
    assert!(
        last["what"].as_str().unwrap().contains("TLS fails") && last["fix"].as_str().unwrap().contains("--ca"),
        "{last}"
    );
}

/// As a Pod of the cluster dials its Service, whose name is in no certificate.
#[tokio::test]
async fn the_name_of_the_certificate_and_what_is_dialled_may_differ() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, certificate) = with_tls(folder.path(), "play.example").await;
    let via = gateway.url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let url = "wss://play.example/connect";
    let (code, found) = check(url, &["--idle", "0", "--ca", &certificate, "--via", via]).await;
    assert_eq!(code, Some(0), "{found:#?}");
    let (code, found) =
        check("wss://other.example/connect", &["--idle", "0", "--ca", &certificate, "--via", via]).await;
    assert!(code == Some(1) && found.last().unwrap()["what"].as_str().unwrap().contains("TLS fails"), "{found:#?}");
}

#[tokio::test]
async fn an_origin_that_is_not_on_the_list_is_told_where_to_add() {
    let gateway = gateway(&[]).await;
    let (code, found) = check(&gateway.url, &["--origin", "https://evil.example", "--idle", "0"]).await;
    let last = found.last().unwrap();
    assert_eq!(
        (code, &last["fix"]),
        (Some(1), &json!("add https://evil.example to the Fleet's spec.origins")),
        "{found:#?}"
    );
    let (_, found) = check(&gateway.url.replace("/connect", "/elsewhere"), &["--idle", "0"]).await;
    assert!(found.last().unwrap()["fix"].as_str().unwrap().contains("--connect-path"), "{found:#?}");
}

/// A load balancer that cuts what says nothing for a moment.
async fn impatient(target: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            tokio::spawn(async move {
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let both = async {
                    tokio::join!(copy(&mut from_client, &mut to_server), copy(&mut from_server, &mut to_client))
                };
                // After the greeting there is nothing to carry.
                let _ = timeout(Duration::from_millis(700), both).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn what_cuts_idle_connections_is_found() {
    let gateway = gateway(&[]).await;
    let target = gateway.url.strip_prefix("ws://").unwrap().split('/').next().unwrap().to_owned();
    let port = impatient(target).await;
    let (code, found) = check(&format!("ws://127.0.0.1:{port}/connect"), &["--idle", "20s"]).await;
    let last = found.last().unwrap();
    assert_eq!(code, Some(1));
    assert!(last["what"].as_str().unwrap().contains("it is cut after"), "{found:#?}");
    assert!(last["fix"].as_str().unwrap().contains("raise the idle time"), "{last}");
}
