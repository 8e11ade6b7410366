//! `GET /playground/media`: carries the lines of the demo's TCP game server over a WebSocket, because a browser cannot open
//! a TCP connection. A native client would dial the server itself.
//!
//! The page's first text message is `{"tcp_url":…,"auth_token":…}`, as `game.connect` answered it; from then on each text
//! message is one line, both ways. The first line that comes is the server's verdict on the ticket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::{OwnOrigins, is_own};
use crate::lines::{MAX_LINE, read_line};

const MAX_RELAYS: usize = 64;
/// For the page's first message, the dial, and each write.
const PATIENCE: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

#[derive(Deserialize)]
struct Wish {
    tcp_url: String,
    auth_token: String,
}

/// Why a relay ends; said to the page in the close frame (its reason holds at most 123 bytes).
struct End(CloseCode, &'static str);

pub fn route(origins: OwnOrigins, game: Option<SocketAddr>) -> MethodRouter {
    let seats = Arc::new(Semaphore::new(MAX_RELAYS));
    get(move |request: Request| async move { accept(request, &origins, game, seats) })
}

fn accept(mut request: Request, origins: &OwnOrigins, game: Option<SocketAddr>, seats: Arc<Semaphore>) -> Response {
    let headers = request.headers();
    if !is_upgrade(headers) {
        let upgrade = [(header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, upgrade, "this is a WebSocket\n").into_response();
    }
    // Any page in the world can open a WebSocket to loopback; only the own one is served. Native programs send none.
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origins, origin)) {
        return (StatusCode::FORBIDDEN, "not from this origin\n").into_response();
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return (StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key\n").into_response();
    };
    let Ok(seat) = seats.try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many media connections\n").into_response();
    };
    let key = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // An upgrade that fails is a page that has gone.
        if let Ok(Ok(upgraded)) = timeout(PATIENCE, upgrade).await {
            serve(TokioIo::new(upgraded), game).await;
        }
        drop(seat);
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, key)
        .body(Body::empty())
        .expect("the key is base64")
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(word))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket") && has(header::SEC_WEBSOCKET_VERSION, "13")
}

async fn serve(io: TokioIo<Upgraded>, game: Option<SocketAddr>) {
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_LINE)).max_frame_size(Some(MAX_LINE));
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
    let (mut to_page, mut from_page) = socket.split();
    let End(code, reason) = match begin(&mut from_page, game).await {
        Err(end) => end,
        Ok((read, mut write)) => tokio::select! {
            end = up(&mut from_page, &mut write) => end,
            end = down(BufReader::new(read), &mut to_page) => end,
        },
    };
    let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
    // Reading on until the page has closed too keeps the reason from being lost in a reset.
    let _ = timeout(PATIENCE, async {
        let _ = to_page.send(close).await;
        while let Some(Ok(_)) = from_page.next().await {}
    })
    .await;
}

/// From the page's wish to a connection whose ticket is handed over.
async fn begin(
    from_page: &mut SplitStream<Socket>,
    game: Option<SocketAddr>,
) -> Result<(OwnedReadHalf, OwnedWriteHalf), End> {
    let first = timeout(PATIENCE, next_text(from_page)).await;
    let first = first.map_err(|_| End(CloseCode::Policy, "no first message within 5 seconds"))??;
    let wish: Wish = serde_json::from_str(&first)
        .map_err(|_| End(CloseCode::Policy, r#"the first message must be {"tcp_url":…,"auth_token":…}"#))?;
    let game =
        game.ok_or(End(CloseCode::Policy, "there is no demo game server here: the app game is yours or left out"))?;
    if wish.tcp_url.parse() != Ok(game) {
        return Err(End(CloseCode::Policy, "only the demo's own game server is relayed: dial others yourself"));
    }
    if wish.auth_token.contains(['\n', '\r']) {
        return Err(End(CloseCode::Policy, "a ticket is one line"));
    }
    let unreachable = || End(CloseCode::Error, "the game server does not answer");
    let stream =
        timeout(PATIENCE, TcpStream::connect(game)).await.map_err(|_| unreachable())?.map_err(|_| unreachable())?;
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    write_line(&mut write, &wish.auth_token).await?;
    Ok((read, write))
}

async fn up(from_page: &mut SplitStream<Socket>, write: &mut OwnedWriteHalf) -> End {
    loop {
        let line = match next_text(from_page).await {
            Ok(line) if line.contains(['\n', '\r']) => return End(CloseCode::Policy, "one line per message"),
            Ok(line) => line,
            Err(end) => return end,
        };
        if let Err(end) = write_line(write, &line).await {
            return end;
        }
    }
}

async fn down(mut read: BufReader<OwnedReadHalf>, to_page: &mut SplitSink<Socket, Message>) -> End {
    loop {
        let line = match read_line(&mut read).await {
            Ok(Some(line)) => line,
            Ok(None) => return End(CloseCode::Normal, "the game server closed the connection"),
            Err(_) => return End(CloseCode::Error, "the connection to the game server broke"),
        };
        let Ok(line) = String::from_utf8(line) else {
            return End(CloseCode::Error, "the game server sent what is no text");
        };
        if !matches!(timeout(PATIENCE, to_page.send(Message::text(line))).await, Ok(Ok(()))) {
            return End(CloseCode::Away, "the page does not read");
        }
    }
}

async fn next_text(from_page: &mut SplitStream<Socket>) -> Result<String, End> {
    loop {
        match from_page.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Binary(_))) => return Err(End(CloseCode::Unsupported, "lines are text messages")),
            Some(Ok(Message::Close(_))) | None => return Err(End(CloseCode::Normal, "")),
            Some(Ok(_)) => {}
            Some(Err(_)) => return Err(End(CloseCode::Size, "a broken frame, or a line of more than 4096 bytes")),
        }
    }
}

async fn write_line(write: &mut OwnedWriteHalf, line: &str) -> Result<(), End> {
    let line = format!("{line}\n");
    match timeout(PATIENCE, write.write_all(line.as_bytes())).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(End(CloseCode::Error, "the connection to the game server broke")),
    }
}
