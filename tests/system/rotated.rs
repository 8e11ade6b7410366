//! Files that are replaced while a gateway runs, as the kubelet does it with mounted Secrets: nobody is disconnected, nothing is restarted.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::catalog::{SECRET, catalog, direct, endpoint, token_by};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::pair::{issue, paths};
use crate::support::process::PATIENCE;

const NEW: &[u8] = b"another secret of the tests, that is as long";

async fn accepted(gateway: &Gateway, secret: &[u8]) -> bool {
    let mut request = gateway.url.as_str().into_client_request().unwrap();
    let token = format!("Bearer {}", token_by(secret, "ada", &json!({})));
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", "bannou.v1".parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => true,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            assert!([401, 429].contains(&response.status().as_u16()), "{response:?}");
            false
        }
        Err(other) => panic!("{other}"),
    }
}

async fn becomes(what: &str, look: impl AsyncFn() -> bool) {
    let waits = async {
        while !look().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("{what}: never"));
}

#[tokio::test]
async fn an_issuers_key_is_replaced_and_what_is_no_key_is_not_taken() {
    let all = catalog(vec![direct("svc", vec![endpoint("mine", "POST /m tiers=player")])]);
    let gateway = Gateway::start(&all, |_| {}).await;
    let mut before = Client::connect_with(
        &gateway.url,
        &[("authorization", &format!("Bearer {}", token_by(SECRET, "ada", &json!({}))))],
    )
    .await;
    assert!(!accepted(&gateway, NEW).await);
    gateway.new_secret(NEW);
    gateway.process.line("the key files of the issuers are read").await;
    becomes("the new key counts", async || accepted(&gateway, NEW).await).await;
    assert!(!accepted(&gateway, SECRET).await, "the old one counts no more");
    // Too short for HS256.
    gateway.new_secret(b"short");
    gateway.process.line("the keys that were read last are kept").await;
    assert!(accepted(&gateway, NEW).await);
    gateway.new_secret(SECRET);
    becomes("the old key is back", async || accepted(&gateway, SECRET).await).await;
    // Who was in has noticed nothing.
    assert_eq!(before.names(), ["svc.mine"]);
    before.say(&json!({"type": "ping", "id": 1})).await;
    assert_eq!(before.control("ok").await["id"], 1);
}

/// Connects as one who trusts this certificate alone.
async fn trusting(gateway: &Gateway, certificate: &CertificateDer<'static>) -> Option<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let port = gateway.url.split(':').nth(2).unwrap().split('/').next().unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
}

#[tokio::test]
async fn a_certificate_is_replaced_and_open_connections_stay() {
    let folder = tempfile::tempdir().unwrap();
    let [chain, key] = paths(folder.path());
    let first = issue(folder.path(), "localhost");
    let all = catalog(vec![direct("svc", vec![endpoint("open", "POST /o")])]);
    let gateway = Gateway::start(&all, |command| {
        command.arg("--tls-cert").arg(&chain).arg("--tls-key").arg(&key);
    })
    .await;
    let request = gateway.url.replace("ws://127.0.0.1", "wss://localhost").into_client_request().unwrap();
    let stream = trusting(&gateway, &first).await.unwrap();
    let (mut open, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let second = issue(folder.path(), "localhost");
    gateway.process.line("clients get a new certificate").await;
    assert!(trusting(&gateway, &second).await.is_some());
    assert!(trusting(&gateway, &first).await.is_none(), "the old one is shown no more");
    // A broken pair is told, and the good one goes on.
    std::fs::write(&key, "no key").unwrap();
    gateway.process.line("tls.key cannot be read").await;
    assert!(trusting(&gateway, &second).await.is_some());
    use futures_util::{SinkExt, StreamExt};
    open.send(r#"{"type":"ping","id":7}"#.into()).await.unwrap();
    let answered = async {
        while let Some(frame) = open.next().await {
            if frame.unwrap().to_text().is_ok_and(|text| text.contains("\"ok\"")) {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, answered).await.unwrap(), "the open connection is as it was");
}
