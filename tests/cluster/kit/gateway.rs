//! A gateway, as far as it concerns the link: says what the test says.

use std::sync::Arc;

use bannou_crds::push::{Hash, Snapshot, ToGateway, ToOperator, Version};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Cluster;
use crate::process::PATIENCE;

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

pub struct Gateway {
    socket: Socket,
    pub snapshot: Snapshot,
}

/// The certificate that the cluster's servers are signed by, in PEM.
pub fn authority(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.folder().join("ca.crt")).unwrap()
}

/// Dials as `localhost`, with what it trusts in PEM.
pub async fn dial(trusted: &str, port: u16, token: &str, pod: &str) -> Result<Socket, Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await?;
    let mut request = format!("wss://localhost:{port}/v1/config").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.headers_mut().insert("x-bannou-pod", pod.parse().unwrap());
    client_async(request, stream).await.map(|(socket, _)| socket)
}

pub fn ack(version: Version) -> ToOperator {
    ToOperator::Ack { version }
}

impl Gateway {
    /// Says hello over a link that was dialled, with what it has.
    pub async fn greet(socket: Socket, snapshot: Snapshot) -> Gateway {
        let mut gateway = Gateway { socket, snapshot };
        let hash = gateway.snapshot.catalog().map(Hash::of);
        let hello = ToOperator::Hello { software: "tests".into(), version: gateway.snapshot.version(), hash };
        gateway.say(&hello).await;
        gateway
    }

    pub async fn say(&mut self, word: &ToOperator) {
        self.socket.send(Message::Text(serde_json::to_string(word).unwrap().into())).await.unwrap();
    }

    /// It answers a ping, and has nothing else to say before that.
    pub async fn is_linked_and_silent(&mut self) {
        self.socket.send(Message::Ping(b"there?".to_vec().into())).await.unwrap();
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("it does not answer") {
                Some(Ok(Message::Pong(_))) => return,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next word, and whether the link ended instead.
    pub async fn hear(&mut self) -> Option<ToGateway> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("nothing is said") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(text.as_str()).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The next whole catalog, and how many words it took; answered as `answer` says. One that goes back fails the test.
    pub async fn next(&mut self, answer: impl Fn(Version) -> ToOperator) -> (Version, usize) {
        self.try_next(answer).await.expect("the link ended")
    }

    /// `Err`: what it was told instead, where the link ends.
    pub async fn try_next(
        &mut self,
        answer: impl Fn(Version) -> ToOperator,
    ) -> Result<(Version, usize), Option<ToGateway>> {
        let mut words = 0;
        loop {
            words += 1;
            let word = self.hear().await.ok_or(None)?;
            if matches!(word, ToGateway::Elsewhere { .. }) {
                return Err(Some(word));
            }
            if let Some((version, catalog)) = self.snapshot.take(word).unwrap() {
                let answer = answer(version);
                if matches!(answer, ToOperator::Ack { .. }) {
                    self.snapshot.keep(version, catalog);
                }
                self.say(&answer).await;
                return Ok((version, words));
            }
        }
    }

    pub fn services(&self) -> Vec<&str> {
        self.snapshot.catalog().unwrap().services.iter().map(|s| s.name.as_str()).collect()
    }
}
