//! TLS, one path, one upgrade. Everybody else gets an answer of a line.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bannou_crds::push::PATH;
use http::header::{AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role as Side, WebSocketConfig};

use super::identity::{Expected, Refused, identify};
use super::link::Link;
use super::registry::Registry;
use crate::controller::Output;
use crate::lease::Role;
use crate::metrics::{Because, Meters};

/// The Pod that the gateway says it is; its token must say the same.
const POD: &str = "x-bannou-pod";

/// For the TLS handshake and the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at one time, with those that have not shown who they are.
const CONNECTIONS: usize = 8192;

/// A gateway says little: an ack, or reasons.
const LONGEST_WORD: usize = 64 * 1024;

/// What every link needs.
#[derive(Clone)]
pub struct Push {
    pub client: Client,
    pub expected: Expected,
    pub output: watch::Receiver<Output>,
    pub role: watch::Receiver<Role>,
    pub registry: Registry,
    pub meters: Meters,
}

/// Serves gateways until it is dropped; every link ends with it.
pub async fn serve(listener: TcpListener, tls: Arc<tokio_rustls::rustls::ServerConfig>, push: Push) {
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let links = Arc::new(AtomicU64::new(0));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, push, links) = (acceptor.clone(), push.clone(), links.clone());
        connections.spawn(async move {
            connection(stream, address, acceptor, push, links).await;
            drop(permit);
        });
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, acceptor: TlsAcceptor, push: Push, links: Arc<AtomicU64>) {
    let Ok(Ok(stream)) = timeout(PATIENCE, acceptor.accept(stream)).await else {
        tracing::debug!(%address, "no TLS handshake");
        return;
    };
    // The link runs in this task, so that it ends when the server does.
    let (link, mut upgraded) = tokio::sync::mpsc::channel(1);
    let service = service_fn(|request: Request<Incoming>| {
        let (push, link) = (&push, link.clone());
        async move { Ok::<_, Infallible>(answer(request, push, address, link).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%address, %error, "a connection ended early");
        return;
    }
    drop(link);
    let Some((identity, upgrade)) = upgraded.recv().await else { return };
    let Ok(Ok(upgraded)) = timeout(PATIENCE, upgrade).await else { return };
    let limits = WebSocketConfig::default().max_message_size(Some(LONGEST_WORD)).max_frame_size(Some(LONGEST_WORD));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Side::Server, Some(limits)).await;
    let name = format!("{}#{}", identity.pod, links.fetch_add(1, Ordering::Relaxed));
    let Push { output, role, registry, meters, .. } = push;
    let why = Link { socket, identity, name: name.clone(), output, role, registry, meters }.run().await;
    tracing::info!(gateway = name, why, "the link ended");
}

type Upgraded = (super::identity::Identity, hyper::upgrade::OnUpgrade);

async fn answer(
    mut request: Request<Incoming>,
    push: &Push,
    address: SocketAddr,
    link: tokio::sync::mpsc::Sender<Upgraded>,
) -> Response<String> {
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "not found");
    }
    let headers = request.headers();
    let websocket = request.method() == Method::GET
        && header(headers, UPGRADE.as_str()).eq_ignore_ascii_case("websocket")
        && header(headers, "sec-websocket-version") == "13";
    let (true, Some(key)) = (websocket, headers.get(SEC_WEBSOCKET_KEY)) else {
        return plain(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
    };
    let accept = derive_accept_key(key.as_bytes());
    let token = header(headers, AUTHORIZATION.as_str()).strip_prefix("Bearer ").unwrap_or_default();
    let asked = timeout(PATIENCE, identify(&push.client, &push.expected, token, header(headers, POD))).await;
    match asked.unwrap_or(Err(Refused::Silent)) {
        Ok(identity) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let _ = link.try_send((identity, upgrade));
            let mut response = plain(StatusCode::SWITCHING_PROTOCOLS, "");
            let headers = response.headers_mut();
            headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
            if let Ok(accept) = accept.parse() {
                headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            }
            response
        }
        Err(refused) => {
            // The log says what; who dials learns nothing by trying.
            push.meters.turned_away.get_or_create(&Because { reason: refused.reason() }).inc();
            tracing::warn!(%address, reason = refused.reason(), %refused, "a gateway is turned away");
            match refused {
                Refused::Unavailable(_) | Refused::Silent => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "the API server cannot be asked")
                }
                _ => plain(StatusCode::UNAUTHORIZED, "the token will not do"),
            }
        }
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    response
}
