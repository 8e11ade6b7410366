//! A peer to compare with: the same relay on tokio-tungstenite, as well as it can be written there (frames batched by one flush
//! per wake-up). It speaks just so much of the protocol that the same client can drive it, and checks no permission.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use futures_util::{FutureExt, SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::Message;
use uuid::Uuid;

use crate::Result;
use crate::frames;

/// Messages that may wait for one receiver.
const QUEUE: usize = 1024;

type Sender = mpsc::Sender<Message>;
type Clients = Arc<Mutex<HashMap<Uuid, Sender>>>;
type Peers = Arc<Mutex<HashMap<Uuid, Peer>>>;

/// Under the handle that a client sends to: who gets it, and by which handle that one knows the sender.
#[derive(Clone)]
struct Peer {
    to: Sender,
    by: Uuid,
}

/// `tungstenite ADDRESS WORKERS`: serves until killed.
///
/// # Errors
/// Unusable arguments, or the address is taken.
pub fn serve(arguments: &[String]) -> Result<()> {
    let [address, workers] = arguments else { return Err("tungstenite ADDRESS WORKERS".into()) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers.parse()?).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address.as_str()).await?;
        tokio::spawn(accept(listener)).await?
    })
}

async fn accept(listener: TcpListener) -> Result<()> {
    let (clients, peers) = (Clients::default(), Peers::default());
    loop {
        let (stream, _) = listener.accept().await?;
        let (clients, peers) = (clients.clone(), peers.clone());
        tokio::spawn(async move {
            let _ = session(stream, clients, peers).await;
        });
    }
}

async fn session(stream: TcpStream, clients: Clients, peers: Peers) -> Result<()> {
    stream.set_nodelay(true)?;
    let (own, service) = (Uuid::new_v4(), Uuid::new_v4());
    let socket = tokio_tungstenite::accept_hdr_async(stream, echo_protocol).await?;
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Message>(QUEUE);
    clients.lock().insert(own, sender.clone());
    tokio::spawn(async move {
        while let Some(first) = queue.recv().await {
            let mut next = Some(first);
            while let Some(message) = next {
                if sink.feed(message).await.is_err() {
                    return;
                }
                next = queue.try_recv().ok();
            }
            if sink.flush().await.is_err() {
                return;
            }
        }
    });
    let discovery = serde_json::json!({"services": {"bench.introduce": service}, "client_id": own});
    let text = discovery.to_string().replacen('{', r#"{"type":"service_discovery","#, 1);
    sender.send(Message::text(text)).await?;
    // What this connection may send to, taken over from the shared map once: no lock per message.
    let mut known: HashMap<Uuid, Peer> = HashMap::new();
    while let Some(message) = source.next().await {
        let mut message = Some(message?);
        while let Some(Message::Binary(payload)) = message {
            if payload.len() < 24 {
                return Err("too short".into());
            }
            let handle = Uuid::from_slice(&payload[..16])?;
            if handle == service {
                introduce((own, &sender), &payload, &clients, &peers).await?;
            } else {
                let peer = match known.entry(handle) {
                    Entry::Occupied(peer) => peer.into_mut(),
                    Entry::Vacant(new) => new.insert(peers.lock().get(&handle).cloned().ok_or("unknown handle")?),
                };
                let mut frame = payload.to_vec();
                frame[..16].copy_from_slice(peer.by.as_bytes());
                frame[16] ^= 0x80;
                peer.to.send(Message::binary(frame)).await?;
            }
            message = source.next().now_or_never().flatten().transpose()?;
        }
    }
    Ok(())
}

async fn introduce((own, sender): (Uuid, &Sender), payload: &[u8], clients: &Clients, peers: &Peers) -> Result<()> {
    let body: serde_json::Value = serde_json::from_slice(&payload[24..])?;
    let other: Uuid = serde_json::from_value(body["with"].clone())?;
    let other_sender = clients.lock().get(&other).cloned().ok_or("unknown client")?;
    let (to_other, to_own) = (Uuid::new_v4(), Uuid::new_v4());
    {
        let mut peers = peers.lock();
        peers.insert(to_other, Peer { to: other_sender.clone(), by: to_own });
        peers.insert(to_own, Peer { to: sender.clone(), by: to_other });
    }
    let added = |handle: Uuid, session: Uuid| {
        let added = serde_json::json!({"type": "peers", "added": {"peer": {"handle": handle, "session_id": session}}, "removed": []});
        Message::text(added.to_string())
    };
    other_sender.send(added(to_own, own)).await?;
    sender.send(added(to_other, other)).await?;
    let answer = frames::message(payload[..16].try_into()?, u64::from_be_bytes(payload[16..24].try_into()?), b"");
    sender.send(Message::binary(answer)).await?;
    Ok(())
}

#[expect(clippy::result_large_err, reason = "the library's signature")]
fn echo_protocol(
    _: &Request,
    mut response: Response,
) -> Result<Response, tokio_tungstenite::tungstenite::handshake::server::ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", axum::http::HeaderValue::from_static("bannou.v1"));
    Ok(response)
}
