//! The whole way as the gateway goes it: hyper's upgrade, plain and over TLS, tungstenite as the client.

use std::convert::Infallible;
use std::sync::Arc;

use bannou_gateway::ws::{self, Ended, Transport, handshake};
use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{LIMITS, Session, client_frame, echo, noise, sockets, soon};

type Ends = mpsc::Receiver<(bool, Ended)>;

/// An HTTP server on `stream` whose upgraded connections echo; says whether each was TLS, and how it ended.
fn serve<S>(stream: S) -> Ends
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (ends, receiver) = mpsc::channel(1);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let ends = ends.clone();
        async move {
            let upgraded = hyper::upgrade::on(&mut request);
            let (parts, _) = request.into_parts();
            let offer = match handshake::check(&parts) {
                Ok(offer) => offer,
                Err(refusal) => return Ok::<_, Infallible>(refusal.response::<String>()),
            };
            let chosen =
                handshake::protocols(&parts.headers).any(|offered| offered == "bannou.v1").then_some("bannou.v1");
            tokio::spawn(async move {
                let (transport, leftover) = handshake::transport(upgraded.await.unwrap()).expect("a known transport");
                let secured = matches!(transport, Transport::Tls(..));
                let (reader, writer) = ws::start(transport, leftover, LIMITS);
                let _ = ends.send((secured, echo(reader, Arc::new(Session { writer })).await)).await;
            });
            Ok::<Response<String>, _>(offer.response(chosen))
        }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    receiver
}

/// Messages of many sizes there and back, then a close; the server saw what it should.
async fn talk<S>(stream: S, mut ends: Ends, secured: bool)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = "ws://localhost/connect".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "bannou.v1, bannou.bearer.x".parse().unwrap());
    let (mut client, response) = soon(client_async(request, stream)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "bannou.v1");
    for (i, len) in [0, 1, 24, 100, 16_384, 70_000, 300_000, 3 << 20].into_iter().enumerate() {
        let message = Message::binary(noise(len, i as u32));
        soon(client.send(message.clone())).await.unwrap();
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), message);
    }
    for i in 0..500 {
        soon(client.feed(Message::binary(noise(i * 7, i as u32)))).await.unwrap();
    }
    soon(client.flush()).await.unwrap();
    for i in 0..500 {
        assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::binary(noise(i * 7, i as u32)));
    }
    soon(client.send(Message::text("Grüße"))).await.unwrap();
    assert_eq!(soon(client.next()).await.unwrap().unwrap(), Message::text("Grüße"));
    soon(client.close(None)).await.unwrap();
    while let Some(message) = soon(client.next()).await {
        message.expect("an orderly end");
    }
    drop(client);
    assert_eq!(soon(ends.recv()).await.unwrap(), (secured, Ended::PeerClosed { code: None }));
}

#[tokio::test]
async fn plain() {
    let (server, client) = sockets().await;
    Box::pin(talk(client, serve(server), false)).await;
}

fn tls() -> (TlsAcceptor, TlsConnector) {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(issued.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let server =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn over_tls() {
    let (acceptor, connector) = tls();
    let (server, client) = sockets().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(acceptor.accept(server), connector.connect(name, client));
    Box::pin(talk(client.unwrap(), serve(server.unwrap()), true)).await;
}

/// A client that does not wait for the 101: its first frames come in the same packet, and hyper has read them.
async fn impatient<S>(mut client: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = b"GET /connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".to_vec();
    let message = noise(40_000, 4);
    bytes.extend(client_frame(0x82, b"at once"));
    bytes.extend(client_frame(0x82, &message));
    bytes.extend(client_frame(0x88, b""));
    let sent = client.write_all(&bytes);
    soon(sent).await.unwrap();
    client.flush().await.unwrap();
    let mut received = Vec::new();
    soon(client.read_to_end(&mut received)).await.unwrap();
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert!(received.starts_with(b"HTTP/1.1 101"));
    let mut expected = vec![0x82, 7];
    expected.extend_from_slice(b"at once");
    expected.extend_from_slice(&[0x82, 126]);
    expected.extend_from_slice(&40_000u16.to_be_bytes());
    expected.extend_from_slice(&message);
    expected.extend_from_slice(&[0x88, 0]);
    assert!(received[end..] == expected);
}

#[tokio::test]
async fn frames_behind_the_request() {
    let (server, client) = sockets().await;
    let mut ends = serve(server);
    impatient(client).await;
    assert_eq!(soon(ends.recv()).await.unwrap(), (false, Ended::PeerClosed { code: None }));

    let (acceptor, connector) = tls();
    let (server, client) = sockets().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(acceptor.accept(server), connector.connect(name, client));
    let mut ends = serve(server.unwrap());
    impatient(client.unwrap()).await;
    assert_eq!(soon(ends.recv()).await.unwrap(), (true, Ended::PeerClosed { code: None }));
}

#[tokio::test]
async fn what_is_no_handshake_is_answered() {
    let (server, mut client) = sockets().await;
    let _ends = serve(server);
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut received = String::new();
    soon(client.read_to_string(&mut received)).await.unwrap();
    assert!(received.starts_with("HTTP/1.1 426") && received.contains("sec-websocket-version: 13"), "{received}");
}
