//! Accepting: TCP, TLS where configured, HTTP/1.1. All that comes before an upgrade is bounded in number and in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// Headers of a client's request must be whole by then, the TLS handshake too.
pub const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// Connections that are not upgraded (yet). More wait in the kernel's queue, so that a wave of reconnects costs those who
/// are in no more than this.
const NOT_UPGRADED: usize = 1024;
const BACKLOG: i32 = 4096;
/// hyper's smallest: an upgrade request has no body, and the playground's are small.
const HEADER_BUFFER: usize = 16 * 1024;

/// Listens, with a backlog for reconnect waves.
///
/// # Errors
/// As the operating system says.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts for ever. Headers must be whole within that time, also the next ones on a connection that is kept.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
    headers_within: Duration,
) {
    let places = Arc::new(Semaphore::new(NOT_UPGRADED));
    let tls = tls.map(tokio_rustls::TlsAcceptor::from);
    loop {
        // Never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: those that end give some back.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let _place = place;
            serve_one(stream, peer, tls, router, headers_within).await;
        });
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
    router: axum::Router,
    headers_within: Duration,
) {
    // Frames are small and each is wanted now.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, peer, router, headers_within).await,
        Some(acceptor) => match tokio::time::timeout(HEADERS_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(stream, peer, router, headers_within).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
            Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
        },
    }
}

async fn serve_http<S>(stream: S, peer: SocketAddr, router: axum::Router, headers_within: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_buf_size(HEADER_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "not HTTP, or too slow");
    }
}
