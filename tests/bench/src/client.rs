//! One connection while it is set up: blocking, unhurried, checked. Afterwards its socket goes to a [`crate::lane::Lane`].

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;

use crate::Result;
use crate::frames::{self, Handle};

pub struct Client {
    stream: TcpStream,
    /// Bytes read and not yet taken.
    inbox: Vec<u8>,
    pub discovery: Discovery,
}

/// What of `service_discovery` the measurement needs.
#[derive(Deserialize)]
pub struct Discovery {
    pub services: HashMap<String, uuid::Uuid>,
    pub client_id: String,
}

#[derive(Deserialize)]
struct Control {
    r#type: String,
    #[serde(default)]
    added: HashMap<String, serde_json::Value>,
}

enum Event {
    Control(Control),
    Data(Vec<u8>),
}

impl Client {
    /// # Errors
    /// Refused, closed, not understood, or nothing for 10 s.
    pub fn connect(address: SocketAddr, token: Option<&str>) -> Result<Client> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(frames::upgrade(token).as_bytes())?;
        let mut inbox = Vec::new();
        let start = loop {
            read_more(&mut stream, &mut inbox)?;
            if let Some(start) = frames::upgraded(&inbox)? {
                break start;
            }
        };
        inbox.drain(..start);
        let (opcode, range) = loop {
            if let Some(found) = frames::first(&inbox)? {
                break found;
            }
            read_more(&mut stream, &mut inbox)?;
        };
        let discovery = discovery(opcode, &inbox[range.clone()])?;
        inbox.drain(..range.end);
        Ok(Client { stream, inbox, discovery })
    }

    /// The socket, once nothing is expected from it any more.
    ///
    /// # Errors
    /// Something was left unread.
    pub fn into_stream(self) -> Result<TcpStream> {
        match self.inbox.is_empty() {
            true => Ok(self.stream),
            false => Err(format!("{} bytes came after the set-up", self.inbox.len()).into()),
        }
    }

    fn next(&mut self) -> Result<Event> {
        loop {
            let Some((opcode, range)) = frames::first(&self.inbox)? else {
                read_more(&mut self.stream, &mut self.inbox)?;
                continue;
            };
            let payload = self.inbox[range.clone()].to_vec();
            self.inbox.drain(..range.end);
            match opcode {
                frames::TEXT => return Ok(Event::Control(serde_json::from_slice(&payload)?)),
                frames::BINARY => return Ok(Event::Data(payload)),
                frames::PING => self.stream.write_all(&frames::from_client(frames::PONG, &payload))?,
                _ => return Err(format!("opcode {opcode} during set-up: {}", String::from_utf8_lossy(&payload)).into()),
            }
        }
    }
}

/// Makes the two peers of each other by the service's word and answers each one's handle for the other.
///
/// # Errors
/// The call failed, or the gateway did not introduce both.
pub fn introduce(a: &mut Client, b: &mut Client) -> Result<(Handle, Handle)> {
    let service =
        *a.discovery.services.get("bench.introduce").ok_or("bench.introduce is not in the discovery")?.as_bytes();
    let body = serde_json::json!({"with": b.discovery.client_id}).to_string();
    let request = frames::message(&service, 1, body.as_bytes());
    a.stream.write_all(&frames::from_client(frames::BINARY, &request))?;
    let (mut answered, mut to_b) = (false, None);
    while !answered || to_b.is_none() {
        match a.next()? {
            Event::Control(control) => to_b = peer_of(&control)?.or(to_b),
            Event::Data(answer) if answer.starts_with(&frames::message(&service, 1, b"")) => answered = true,
            Event::Data(other) => {
                return Err(format!("bench.introduce answered {:?}", String::from_utf8_lossy(&other)).into());
            }
        }
    }
    loop {
        if let Event::Control(control) = b.next()?
            && let Some(to_a) = peer_of(&control)?
        {
            return Ok((to_b.ok_or("no handle")?, to_a));
        }
    }
}

/// A WebSocket ping and its pong, on an idle connection: whatever the gateway still had to do for it is done then. (A control
/// message would leave something behind: the gateway counts those of each connection.)
///
/// # Errors
/// Closed, another answer, or none for 10 s.
pub fn ping(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&frames::from_client(frames::PING, b"idle"))?;
    let mut inbox = Vec::new();
    loop {
        read_more(stream, &mut inbox)?;
        if let Some((opcode, range)) = frames::first(&inbox)? {
            return match (opcode, &inbox[range]) {
                (frames::PONG, b"idle") => Ok(()),
                (opcode, other) => {
                    Err(format!("a ping was answered by {opcode} {}", String::from_utf8_lossy(other)).into())
                }
            };
        }
    }
}

/// # Errors
/// It is not a `service_discovery`.
pub fn discovery(opcode: u8, payload: &[u8]) -> Result<Discovery> {
    match opcode == frames::TEXT && payload.starts_with(br#"{"type":"service_discovery""#) {
        true => Ok(serde_json::from_slice(payload)?),
        false => {
            Err(format!("the session began with {:?}", String::from_utf8_lossy(&payload[..payload.len().min(300)]))
                .into())
        }
    }
}

fn peer_of(control: &Control) -> Result<Option<Handle>> {
    match control.r#type.as_str() {
        "peers" => {
            let peer = control.added.values().next().ok_or("peers without one")?;
            let handle: uuid::Uuid = serde_json::from_value(peer["handle"].clone())?;
            Ok(Some(*handle.as_bytes()))
        }
        "error" | "closing" => Err("the gateway answered the introduction with an error".into()),
        _ => Ok(None),
    }
}

fn read_more(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Result<()> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk)? {
        0 => Err("the server closed the connection during set-up".into()),
        n => {
            inbox.extend_from_slice(&chunk[..n]);
            Ok(())
        }
    }
}
