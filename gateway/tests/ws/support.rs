//! A codec's session on one end of a loopback connection, a client on the other.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::ws::{self, Ended, Handler, Limits, Payload, Reader, Sink, Transport, Writer};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Long enough that only a hang reaches it.
pub const HANG: Duration = Duration::from_secs(60);

pub const LIMITS: Limits = Limits {
    binary_bytes: 4 << 20,
    text_bytes: 16 << 10,
    queue_bytes: 8 << 20,
    write_timeout: Duration::from_secs(30),
};

pub struct Session {
    pub writer: Writer,
}

impl AsRef<Writer> for Session {
    fn as_ref(&self) -> &Writer {
        &self.writer
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    TooLarge {
        head: Vec<u8>,
        len: u64,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The end, with the code that the closing answer carries.
    End(Option<u16>),
}

/// Writes down what comes.
#[derive(Default)]
pub struct Recorder {
    pub events: Vec<Event>,
    /// Stop after this many events.
    pub enough: Option<usize>,
}

impl Handler for Recorder {
    fn binary(&mut self, message: Payload<'_>) {
        self.events.push(Event::Binary(message.to_bytes(0).into()));
    }

    fn text(&mut self, message: &str) {
        self.events.push(Event::Text(message.to_owned()));
    }

    fn too_large(&mut self, head: &[u8], len: u64) {
        self.events.push(Event::TooLarge { head: head.to_vec(), len });
    }

    fn pong(&mut self, payload: &[u8]) {
        self.events.push(Event::Pong(payload.to_vec()));
    }

    fn should_stop(&self) -> bool {
        self.enough.is_some_and(|enough| self.events.len() >= enough)
    }
}

impl Sink for Recorder {
    fn ping(&mut self, payload: &[u8]) {
        self.events.push(Event::Ping(payload.to_vec()));
    }
}

/// Sends everything back.
pub struct Echo<'a>(pub &'a Writer);

impl Handler for Echo<'_> {
    fn binary(&mut self, message: Payload<'_>) {
        self.0.binary_unchanged(&message).expect("room for the echo");
    }

    fn text(&mut self, message: &str) {
        self.0.text(message.as_bytes()).expect("room for the echo");
    }

    fn too_large(&mut self, _head: &[u8], _len: u64) {}
    fn pong(&mut self, _payload: &[u8]) {}
}

pub async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (server, client)
}

pub fn begin(server: TcpStream, limits: Limits) -> (Reader, Arc<Session>) {
    let (reader, writer) = ws::start(Transport::Tcp(server), Bytes::new(), limits);
    (reader, Arc::new(Session { writer }))
}

/// A session, and its client as a bare socket.
pub async fn bare(limits: Limits) -> (Reader, Arc<Session>, TcpStream) {
    let (server, client) = sockets().await;
    let (reader, session) = begin(server, limits);
    (reader, session, client)
}

/// A session, and tungstenite as its client.
pub async fn pair(limits: Limits) -> (Reader, Arc<Session>, WebSocketStream<TcpStream>) {
    let (reader, session, client) = bare(limits).await;
    (reader, session, WebSocketStream::from_raw_socket(client, Role::Client, None).await)
}

/// Reads until the connection ends; everything that came, and why it ended.
pub async fn read_to_end(reader: &mut Reader, session: &Arc<Session>) -> (Vec<Event>, Ended) {
    let mut recorder = Recorder::default();
    loop {
        if let Err(ended) = reader.batch(session, &mut recorder).await {
            return (recorder.events, ended);
        }
    }
}

/// Echoes until the client closes, then shakes hands.
pub async fn echo(mut reader: Reader, session: Arc<Session>) -> Ended {
    let ended = loop {
        if let Err(ended) = reader.batch(&session, &mut Echo(&session.writer)).await {
            break ended;
        }
    };
    reader.finish(&session, HANG).await;
    ended
}

/// A client's frame as it goes over the wire.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
    bytes
}

/// Bytes that differ everywhere.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 11) as u8
        })
        .collect()
}

/// Waits, but not for ever.
pub async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(HANG, what).await.expect("must not hang")
}
