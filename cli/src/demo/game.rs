//! `POST /connect` names a TCP game server and a ticket for it; the server takes each ticket once, then echoes positions.
//!
//! The TCP protocol is lines: the client's first is its ticket, the server's first is `ok` or `denied`. After `ok` each
//! line comes back as it was sent.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::http::{from_gateway, problem};
use crate::lines::read_line;

const TICKET_LIFE: Duration = Duration::from_secs(60);
const MAX_TICKETS: usize = 1024;
const MAX_CONNECTIONS: usize = 128;
/// For the ticket, and for each write.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two positions.
const IDLE: Duration = Duration::from_secs(300);

/// The TCP game server.
pub struct GameServer {
    tickets: Arc<Mutex<Tickets>>,
    seats: Arc<Semaphore>,
}

/// Who may come in, by ticket. A client has one at a time: asking again makes the earlier one void.
#[derive(Default)]
struct Tickets(HashMap<String, Ticket>);

struct Ticket {
    client_id: String,
    until: Instant,
}

/// The HTTP side, and the server that honours its tickets at `address`.
pub fn router(address: SocketAddr) -> (Router, GameServer) {
    let tickets = Arc::new(Mutex::new(Tickets::default()));
    let server = GameServer { tickets: tickets.clone(), seats: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
    let connect = move |headers: HeaderMap, _: Bytes| async move { connect(&tickets, address, &headers) };
    (Router::new().route("/connect", post(connect)), server)
}

fn connect(tickets: &Mutex<Tickets>, address: SocketAddr, headers: &HeaderMap) -> Response {
    let Some(client_id) = from_gateway(headers, "bannou-client-id") else {
        return problem(
            StatusCode::BAD_REQUEST,
            "there is no bannou-client-id: this is meant to be called through Bannou",
        );
    };
    let ticket = tickets.lock().issue(client_id, Instant::now());
    Json(json!({"tcp_url": address.to_string(), "auth_token": ticket, "expires_in_s": TICKET_LIFE.as_secs()}))
        .into_response()
}

impl GameServer {
    /// Serves until it is dropped.
    pub async fn run(self, listener: TcpListener) {
        loop {
            let Ok(seat) = self.seats.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let tickets = self.tickets.clone();
                    tokio::spawn(async move {
                        // A player who leaves or breaks the rules ends this connection; nobody waits for the reason.
                        let _ = play(stream, &tickets).await;
                        drop(seat);
                    });
                }
                // Out of file descriptors, most likely: let others close theirs.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn play(stream: TcpStream, tickets: &Mutex<Tickets>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(1024, read);
    let ticket = timeout(PATIENCE, read_line(&mut read)).await??.unwrap_or_default();
    let admitted = std::str::from_utf8(&ticket).is_ok_and(|t| tickets.lock().redeem(t, Instant::now()));
    timeout(PATIENCE, write.write_all(if admitted { b"ok\n" } else { b"denied\n" })).await??;
    if !admitted {
        return Ok(());
    }
    while let Some(mut line) = timeout(IDLE, read_line(&mut read)).await?? {
        line.push(b'\n');
        timeout(PATIENCE, write.write_all(&line)).await??;
    }
    Ok(())
}

impl Tickets {
    fn issue(&mut self, client_id: String, now: Instant) -> String {
        self.0.retain(|_, t| t.until > now && t.client_id != client_id);
        if self.0.len() >= MAX_TICKETS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, t)| t.until).map(|(ticket, _)| ticket.clone())
        {
            self.0.remove(&oldest);
        }
        let ticket = uuid::Uuid::new_v4().simple().to_string();
        self.0.insert(ticket.clone(), Ticket { client_id, until: now + TICKET_LIFE });
        ticket
    }

    fn redeem(&mut self, ticket: &str, now: Instant) -> bool {
        self.0.remove(ticket).is_some_and(|t| t.until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_for_a_minute_and_one_per_client() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        let first = tickets.issue("a".into(), now);
        let second = tickets.issue("a".into(), now);
        assert!(!tickets.redeem(&first, now), "replaced");
        assert!(tickets.redeem(&second, now));
        assert!(!tickets.redeem(&second, now), "used");
        let late = tickets.issue("a".into(), now);
        assert!(!tickets.redeem(&late, now + TICKET_LIFE), "expired");
        assert!(!tickets.redeem("", now));
    }

    #[test]
    fn tickets_are_bounded() {
        let mut tickets = Tickets::default();
        let now = Instant::now();
        for i in 0..MAX_TICKETS + 5 {
            tickets.issue(i.to_string(), now);
        }
        assert_eq!(tickets.0.len(), MAX_TICKETS);
    }
}
