//! An echo on the gateway's own WebSocket codec, for the Autobahn cases: `autobahn_echo PORT` (0 for a free one)
//! listens on loopback and prints the port it got.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::ws::{self, Handler, Limits, Payload, Writer, handshake};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const LIMITS: Limits = Limits {
    binary_bytes: 16 << 20,
    text_bytes: 16 << 20,
    queue_bytes: 64 << 20,
    write_timeout: Duration::from_secs(5),
};

struct Session {
    writer: Writer,
}

impl AsRef<Writer> for Session {
    fn as_ref(&self) -> &Writer {
        &self.writer
    }
}

struct Echo<'a>(&'a Writer);

impl Echo<'_> {
    fn or_close(&self, queued: Result<(), ws::Refused>) {
        if queued == Err(ws::Refused::Full) {
            self.0.close(1013, "queue full");
        }
    }
}

impl Handler for Echo<'_> {
    fn binary(&mut self, message: Payload<'_>) {
        self.or_close(self.0.binary_unchanged(&message));
    }

    fn text(&mut self, message: &str) {
        self.or_close(self.0.text(message.as_bytes()));
    }

    fn too_large(&mut self, _head: &[u8], _len: u64) {
        self.0.close(1009, "message too long");
    }

    fn pong(&mut self, _payload: &[u8]) {}

    fn should_stop(&self) -> bool {
        self.0.is_closed()
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(upgrade));
    if let Err(error) = connection.with_upgrades().await {
        eprintln!("{error}");
    }
}

async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let offer = match handshake::check(&parts) {
        Ok(offer) => offer,
        Err(refusal) => return Ok(refusal.response()),
    };
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        if let Ok((transport, leftover)) = handshake::transport(upgraded) {
            echo(transport, leftover).await;
        }
    });
    Ok(offer.response(None))
}

async fn echo(transport: ws::Transport, leftover: bytes::Bytes) {
    let (mut reader, writer) = ws::start(transport, leftover, LIMITS);
    let session = Arc::new(Session { writer });
    while reader.batch(&session, &mut Echo(&session.writer)).await.is_ok() {}
    reader.finish(&session, Duration::from_secs(2)).await;
}
