//! `POST /connect` names a TCP game server and a ticket for it; the server takes each ticket once, then echoes positions.
//! `POST /find_match` answers at once; what becomes of it the service tells (`game.match_found`) and asks
//! (`game.ready_check`) the caller by itself.
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
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Voice;
use super::http::{from_gateway, no_client, problem, silent};
use crate::dev::internal::Unreachable;
use crate::lines::read_line;

const TICKET_LIFE: Duration = Duration::from_secs(60);
const MAX_TICKETS: usize = 1024;
const MAX_CONNECTIONS: usize = 128;
/// For the ticket, and for each write.
const PATIENCE: Duration = Duration::from_secs(5);
/// A player has this long to say that they are ready: the event's `timeout`, by which the gateway gives up.
const READY: Duration = Duration::from_secs(10);
/// Matches that are being made at once.
const MAX_MATCHES: usize = 64;
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
pub fn router(address: SocketAddr, voice: Option<Voice>) -> (Router, GameServer) {
    let tickets = Arc::new(Mutex::new(Tickets::default()));
    let server = GameServer { tickets: tickets.clone(), seats: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
    let connect = move |headers: HeaderMap, _: Bytes| async move { connect(&tickets, address, &headers) };
    let matches = Arc::new(Semaphore::new(MAX_MATCHES));
    let find = move |headers: HeaderMap, _: Bytes| async move { find_match(&matches, voice, &headers) };
    (Router::new().route("/connect", post(connect)).route("/find_match", post(find)), server)
}

fn find_match(matches: &Arc<Semaphore>, voice: Option<Voice>, headers: &HeaderMap) -> Response {
    let Some(client_id) = from_gateway(headers, "bannou-client-id") else { return no_client() };
    let Some(voice) = voice else { return silent() };
    let Ok(seat) = matches.clone().try_acquire_owned() else {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too many matches are being made: try again");
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    let player = from_gateway(headers, "bannou-subject").unwrap_or_else(|| "you".to_owned());
    let answer = Json(json!({"match": &id[..8], "status": "searching"})).into_response();
    tokio::spawn(async move {
        // A player who is gone is no news to anybody.
        let _ = make_match(&voice, &client_id, &player, &id[..8]).await;
        drop(seat);
    });
    answer
}

async fn make_match(voice: &Voice, client_id: &str, player: &str, id: &str) -> Result<(), Unreachable> {
    let found = json!({"match": id, "status": "found", "players": [player, "the house"]});
    voice.to_client(client_id, "game.match_found", &found).await?;
    let question = json!({"match": id, "answer_within_s": READY.as_secs()});
    let answer = voice.to_client(client_id, "game.ready_check", &question).await?;
    let ready = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|a| a["ready"] == true);
    let because = match answer.status.as_u16() {
        200 if ready => None,
        200 => Some(format!("{player} is not ready")),
        408 => Some(format!("{player} did not answer in time")),
        status => Some(format!("the ready check ended with {status}")),
    };
    let outcome = match because {
        None => json!({"match": id, "status": "starting"}),
        Some(because) => json!({"match": id, "status": "cancelled", "because": because}),
    };
    voice.to_client(client_id, "game.match_found", &outcome).await.map(drop)
}

fn connect(tickets: &Mutex<Tickets>, address: SocketAddr, headers: &HeaderMap) -> Response {
    let Some(client_id) = from_gateway(headers, "bannou-client-id") else {
        return no_client();
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
