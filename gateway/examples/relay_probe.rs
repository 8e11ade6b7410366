//! The codec alone as a relay between pairs of clients, for measurements: `relay_probe PORT`. Connection `n` (the last
//! part of the path) relays to `n ^ 1`.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use bannou_gateway::ws::{self, Handler, Limits, Outbox, Payload, Writer, handshake};
use hashbrown::HashMap;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const PEER: u32 = 0xffff;
const MAX: usize = 32_768;

type Handle = [u8; 16];

struct Session {
    writer: Writer,
}

impl AsRef<Writer> for Session {
    fn as_ref(&self) -> &Writer {
        &self.writer
    }
}

static SESSIONS: LazyLock<Vec<OnceLock<Arc<Session>>>> = LazyLock::new(|| (0..MAX).map(|_| OnceLock::new()).collect());

#[derive(Clone, Copy)]
struct Route {
    target: u32,
    rewrite: Handle,
}

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn handle(connection: u32, target: u32) -> Handle {
    let seed = (u64::from(connection) << 32) | u64::from(target);
    let mut handle = [0; 16];
    handle[..8].copy_from_slice(&mix(seed).to_le_bytes());
    handle[8..].copy_from_slice(&mix(seed ^ 0xdead_beef_cafe_babe).to_le_bytes());
    handle
}

struct Relay {
    routes: HashMap<Handle, Route, foldhash::fast::RandomState>,
    outbox: Outbox<Session>,
}

impl Relay {
    fn new(connection: u32) -> Self {
        let peer = connection ^ 1;
        let mut routes = HashMap::default();
        routes.insert(handle(connection, PEER), Route { target: peer, rewrite: handle(peer, PEER) });
        Relay { routes, outbox: Outbox::default() }
    }
}

impl Handler for Relay {
    fn binary(&mut self, message: Payload<'_>) {
        let Some(mut head) = message.head() else { return };
        let Some(handle) = head.first_chunk::<16>() else { return };
        let Some(route) = self.routes.get(handle) else { return };
        let Some(target) = SESSIONS.get(route.target as usize).and_then(OnceLock::get) else { return };
        head[..16].copy_from_slice(&route.rewrite);
        if self.outbox.binary(target, &head, &message) == Err(ws::Refused::Full) {
            eprintln!("queue of {} full", route.target);
        }
    }

    fn text(&mut self, _message: &str) {}
    fn too_large(&mut self, _head: &[u8], _len: u64) {}
    fn pong(&mut self, _payload: &[u8]) {}
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001);
    LazyLock::force(&SESSIONS);
    let workers = std::env::var("WORKERS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(runtime.spawn(serve(port))).expect("the server does not panic")
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(upgrade));
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn upgrade(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let offer = match handshake::check(&parts) {
        Ok(offer) => offer,
        Err(refusal) => return Ok(refusal.response()),
    };
    let number = parts.uri.path().rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let Ok((transport, leftover)) = handshake::transport(upgraded) else { return };
        tokio::spawn(relay(number, transport, leftover));
    });
    Ok(offer.response(None))
}

async fn relay(number: u32, transport: ws::Transport, leftover: bytes::Bytes) {
    let limits = Limits {
        binary_bytes: 1 << 20,
        text_bytes: 16 << 10,
        queue_bytes: 8 << 20,
        write_timeout: Duration::from_secs(5),
    };
    let (mut reader, writer) = ws::start(transport, leftover, limits);
    let session = Arc::new(Session { writer });
    let Some(slot) = SESSIONS.get(number as usize) else { return };
    if slot.set(session.clone()).is_err() {
        return;
    }
    let mut relay = Relay::new(number);
    loop {
        let batch = reader.batch(&session, &mut relay).await;
        relay.outbox.flush();
        if batch.is_err() {
            break;
        }
    }
    reader.finish(&session, Duration::from_secs(1)).await;
}
