//! A client that sends whatever a test wants and sees all that comes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::ERROR;
use crate::support::process::PATIENCE;

pub type Handle = [u8; 16];

#[derive(Debug)]
pub enum Came {
    Said(Value),
    Frame { handle: Handle, id: u64, payload: Vec<u8> },
    Closed(u16),
}

pub struct Raw {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub response: http::Response<Option<Vec<u8>>>,
    pub discovery: Value,
    pub services: BTreeMap<String, Handle>,
}

pub fn handle(value: &Value) -> Handle {
    value.as_str().unwrap().parse::<uuid::Uuid>().unwrap().into_bytes()
}

impl Raw {
    pub async fn connect(url: &str, headers: &[(&'static str, &str)]) -> Raw {
        Raw::try_connect(url, headers).await.unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }

    /// # Errors
    /// The answer that refuses the upgrade.
    pub async fn try_connect(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Raw, http::Response<Option<Vec<u8>>>> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse::<http::HeaderValue>().unwrap());
        }
        match timeout(PATIENCE, connect_async(request)).await.unwrap() {
            Ok((socket, response)) => Ok(Raw { socket, response, discovery: Value::Null, services: BTreeMap::new() }),
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("no HTTP answer: {error}"),
        }
    }

    /// Reads the discovery that must come first.
    pub async fn greeted(mut self) -> Raw {
        let discovery = self.said("service_discovery").await;
        let services = discovery["services"].as_object().unwrap();
        self.services = services.iter().map(|(name, value)| (name.clone(), handle(value))).collect();
        self.discovery = discovery;
        self
    }

    /// What comes next, whatever it is.
    pub async fn next(&mut self) -> Came {
        self.next_for(PATIENCE).await
    }

    /// The same with another patience.
    pub async fn next_for(&mut self, patience: Duration) -> Came {
        loop {
            let message = timeout(patience, self.socket.next()).await.expect("the gateway says nothing");
            return match message {
                Some(Ok(Message::Text(text))) => Came::Said(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Binary(bytes))) => {
                    let (handle, rest) = bytes.split_first_chunk::<16>().unwrap();
                    let (id, payload) = rest.split_first_chunk::<8>().unwrap();
                    Came::Frame { handle: *handle, id: u64::from_be_bytes(*id), payload: payload.to_owned() }
                }
                Some(Ok(Message::Close(frame))) => Came::Closed(frame.map_or(1005, |f| f.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Came::Closed(1006),
            };
        }
    }

    /// The next thing, which must be this control message.
    pub async fn said(&mut self, kind: &str) -> Value {
        match self.next().await {
            Came::Said(value) if value["type"] == kind => value,
            other => panic!("{kind} was to come, and there came {other:?}"),
        }
    }

    /// The next thing, which must be a data frame: its handle, Message ID and payload.
    pub async fn frame(&mut self) -> (Handle, u64, Vec<u8>) {
        match self.next().await {
            Came::Frame { handle, id, payload } => (handle, id, payload),
            other => panic!("a frame was to come, and there came {other:?}"),
        }
    }

    /// The next data frame, which must end an exchange with a failure: its Message ID without `ERROR`, and the status.
    pub async fn failed(&mut self) -> (u64, u16, Value) {
        let (_, id, payload) = self.frame().await;
        assert_ne!(id & ERROR, 0, "{id:x}");
        let (status, body) = payload.split_first_chunk::<2>().unwrap();
        (id & !ERROR, u16::from_be_bytes(*status), serde_json::from_slice(body).unwrap_or_default())
    }

    /// The `closing` and the close code that must come now.
    pub async fn closed(&mut self) -> (Value, u16) {
        let closing = self.said("closing").await;
        match self.next().await {
            Came::Closed(code) => (closing, code),
            other => panic!("a close was to come, and there came {other:?}"),
        }
    }

    pub async fn say(&mut self, message: &Value) {
        self.text(&message.to_string()).await;
    }

    pub async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_owned())).await.unwrap();
    }

    pub async fn send(&mut self, handle: Handle, id: u64, payload: &[u8]) {
        self.bytes(&[&handle[..], &id.to_be_bytes(), payload].concat()).await;
    }

    pub async fn ask(&mut self, name: &str, id: u64, payload: &[u8]) {
        self.send(self.services[name], id, payload).await;
    }

    /// Closes as a client does that will not come back.
    pub async fn leave(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Proves that nothing else is on its way: a ping's answer is the very next thing.
    pub async fn nothing_more(&mut self) {
        self.say(&json!({"type": "ping", "id": "nothing more"})).await;
        assert_eq!(self.said("ok").await["id"], "nothing more");
    }
}
