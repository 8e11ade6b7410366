//! A plain client of `bannou.v1`, written from the protocol alone.

use std::collections::{BTreeMap, VecDeque};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::process::PATIENCE;

pub const INBOUND: u64 = 1 << 63;
pub const ERROR: u64 = 1 << 62;
pub const MORE: u64 = 1 << 61;
pub const ONE_WAY: u64 = 1 << 60;
pub const LOGGED: u64 = 1 << 59;

pub type Handle = [u8; 16];

/// A data frame, its header taken apart.
#[derive(Clone, Debug)]
pub struct Frame {
    pub handle: Handle,
    /// With the flags.
    pub id: u64,
    pub payload: Vec<u8>,
}

/// How an exchange ended, with all its parts.
#[derive(Debug)]
pub struct Answer {
    /// 200 unless the last frame was an error.
    pub status: u16,
    pub parts: Vec<Vec<u8>>,
}

pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The first message, whole.
    pub discovery: Value,
    pub services: BTreeMap<String, Handle>,
    pub peers: BTreeMap<String, Handle>,
    /// Control messages that came and that no test has asked for yet.
    pub said: VecDeque<Value>,
    frames: VecDeque<Frame>,
    number: u64,
    /// The test waits for the gateway to close.
    may_close: bool,
}

impl Answer {
    pub fn body(&self) -> Vec<u8> {
        self.parts.concat()
    }

    pub fn json(&self) -> Value {
        let body = self.body();
        serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body)))
    }
}

impl Frame {
    pub fn is_inbound(&self) -> bool {
        self.id & INBOUND != 0
    }
}

impl Client {
    /// Connected, with the first discovery read.
    pub async fn connect(url: &str) -> Client {
        Client::connect_with(url, &[]).await
    }

    /// The same with headers of the client's own.
    pub async fn connect_with(url: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut client = Client::open(url, headers).await;
        client.discovery = client.control("service_discovery").await;
        client
    }

    /// Comes back with the token of a session; gives what came first of `resumed` and, where there is nothing to come back to,
    /// `service_discovery`.
    pub async fn resume(url: &str, token: &str) -> (Client, Value) {
        let mut client = Client::open(url, &[("sec-websocket-protocol", "bannou.v1, bannou.resume")]).await;
        let ask = json!({"type": "resume", "id": 1, "token": token, "cursor": "0", "group_cursor": "0", "open": []});
        client.say(&ask).await;
        let resumed = client.control("ok").await["resumed"] == true;
        let first = client.control(if resumed { "resumed" } else { "service_discovery" }).await;
        client.discovery = first.clone();
        (client, first)
    }

    async fn open(url: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse::<http::HeaderValue>().unwrap());
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
        Client {
            socket,
            discovery: Value::Null,
            services: BTreeMap::new(),
            peers: BTreeMap::new(),
            said: VecDeque::new(),
            frames: VecDeque::new(),
            number: 0,
            may_close: false,
        }
    }

    /// A client that has logged in with the demo's login service.
    pub async fn logged_in(url: &str, name: &str, password: &str) -> Client {
        let mut client = Client::connect(url).await;
        let answer = client.call("auth.login", &json!({"name": name, "password": password})).await;
        assert_eq!(answer.status, 200, "{:?}", answer);
        client
    }

    /// Says that it goes: its session ends with it, where that of one who is lost waits for the window to pass.
    pub async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
    }

    pub fn names(&self) -> Vec<&str> {
        self.services.keys().map(String::as_str).collect()
    }

    /// Calls and awaits the end.
    pub async fn call(&mut self, name: &str, payload: &Value) -> Answer {
        self.call_bytes(name, payload.to_string().as_bytes()).await
    }

    pub async fn call_bytes(&mut self, name: &str, payload: &[u8]) -> Answer {
        let handle = self.services[name];
        let id = self.send(handle, payload).await;
        self.answer(handle, id).await
    }

    /// Sends a request; gives its number.
    pub async fn send(&mut self, handle: Handle, payload: &[u8]) -> u64 {
        self.number += 1;
        self.send_frame(handle, self.number, payload).await;
        self.number
    }

    /// Answers a request of a peer.
    pub async fn reply(&mut self, to: &Frame, payload: &[u8]) {
        self.send_frame(to.handle, to.id, payload).await;
    }

    /// Takes a request back: the gateway confirms with 499.
    pub async fn cancel(&mut self, handle: Handle, number: u64) {
        self.send_frame(handle, ERROR | number, &499u16.to_be_bytes()).await;
    }

    pub async fn send_frame(&mut self, handle: Handle, id: u64, payload: &[u8]) {
        let frame = [&handle[..], &id.to_be_bytes(), payload].concat();
        self.socket.send(Message::binary(frame)).await.unwrap();
    }

    /// Sends a control message.
    pub async fn say(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Reads one message, whatever it is; control messages are then in `said`.
    pub async fn next(&mut self) {
        self.read().await;
    }

    /// What came back for a request of this client.
    pub async fn answer(&mut self, handle: Handle, number: u64) -> Answer {
        let mut parts = Vec::new();
        loop {
            let of_it = |f: &Frame| f.handle == handle && !f.is_inbound() && f.id & !(ERROR | MORE) == number;
            let frame = self.frame(of_it).await;
            if frame.id & ERROR != 0 {
                let (status, body) = frame.payload.split_at(2);
                return Answer { status: u16::from_be_bytes([status[0], status[1]]), parts: vec![body.to_owned()] };
            }
            parts.push(frame.payload);
            if frame.id & MORE == 0 {
                return Answer { status: 200, parts };
            }
        }
    }

    /// The next data frame that `wanted` accepts; others stay.
    pub async fn frame(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            if let Some(at) = self.frames.iter().position(&wanted) {
                return self.frames.remove(at).unwrap();
            }
            self.read().await;
        }
    }

    /// The next control message of this type; others stay.
    pub async fn control(&mut self, kind: &str) -> Value {
        loop {
            if let Some(at) = self.said.iter().position(|m| m["type"] == kind) {
                return self.said.remove(at).unwrap();
            }
            self.read().await;
        }
    }

    /// Why the gateway closes this connection.
    pub async fn closing(&mut self) -> Value {
        self.may_close = true;
        self.control("closing").await
    }

    /// Says that it goes, and waits for nobody.
    pub async fn say_goodbye(&mut self) {
        self.socket.close(None).await.unwrap();
    }

    /// One message of the gateway. What it says about services and peers holds from then on.
    async fn read(&mut self) {
        let message = timeout(PATIENCE, self.socket.next()).await.expect("the gateway says nothing");
        match message.expect("the gateway closed").unwrap() {
            Message::Text(text) => {
                let control: Value = serde_json::from_str(&text).unwrap();
                assert!(self.may_close || control["type"] != "closing", "{control}");
                for field in ["services", "added"] {
                    if control["type"] != "peers" {
                        self.services.extend(handles(&control[field]));
                    }
                }
                match control["type"].as_str() {
                    Some("service_update") => remove(&mut self.services, &control["removed"]),
                    Some("peers") => {
                        remove(&mut self.peers, &control["removed"]);
                        let added = control["added"].as_object().cloned().unwrap_or_default();
                        self.peers.extend(added.into_iter().map(|(label, peer)| (label, handle(&peer["handle"]))));
                    }
                    _ => {}
                }
                self.said.push_back(control);
            }
            Message::Binary(bytes) => {
                let (handle, rest) = bytes.split_first_chunk::<16>().unwrap();
                let (id, payload) = rest.split_first_chunk::<8>().unwrap();
                self.frames.push_back(Frame {
                    handle: *handle,
                    id: u64::from_be_bytes(*id),
                    payload: payload.to_owned(),
                });
            }
            _ => {}
        }
    }
}

fn handle(value: &Value) -> Handle {
    value.as_str().unwrap().parse::<uuid::Uuid>().unwrap().into_bytes()
}

fn handles(map: &Value) -> Vec<(String, Handle)> {
    map.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), handle(value))).collect()
}

fn remove(from: &mut BTreeMap<String, Handle>, names: &Value) {
    for name in names.as_array().into_iter().flatten() {
        from.remove(name.as_str().unwrap());
    }
}
