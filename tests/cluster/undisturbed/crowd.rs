//! The clients: each reads all the time, and keeps what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::reading::KINDS;
use crate::process::PATIENCE;

type Set = BTreeSet<String>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connecting at one time.
const AT_ONCE: usize = 32;

pub struct Crowd {
    clients: Vec<Client>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Client {
    kind: &'static str,
    number: usize,
    known: Arc<Mutex<Known>>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    services: Set,
    revision: u64,
    /// Each whole set that it had, in order.
    history: Vec<Set>,
    /// What no client of an undisturbed gateway meets.
    wrong: Option<String>,
}

impl Crowd {
    /// Spread over the gateways and over the kinds.
    pub async fn connect(urls: &[&str], clients: usize, token: impl Fn(&str, usize) -> Option<String>) -> Crowd {
        let mut crowd = Crowd { clients: Vec::new(), _tasks: JoinSet::new() };
        let mut connecting = JoinSet::new();
        for number in 0..clients {
            let kind = KINDS[number % KINDS.len()];
            let client = Client { kind, number, known: Arc::default(), news: Arc::default() };
            crowd.clients.push(client.clone());
            let mut request = urls[number % urls.len()].into_client_request().unwrap();
            if let Some(token) = token(kind, number) {
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            }
            if connecting.len() >= AT_ONCE {
                crowd.begin(connecting.join_next().await.unwrap().unwrap());
            }
            connecting.spawn(async move {
                let (socket, _) = timeout(PATIENCE, connect_async(request)).await.unwrap().unwrap();
                (client, socket)
            });
        }
        while let Some(connected) = connecting.join_next().await {
            crowd.begin(connected.unwrap());
        }
        crowd
    }

    fn begin(&mut self, (client, socket): (Client, Socket)) {
        self._tasks.spawn(client.listen(socket));
    }

    /// Waits until every client of the kind has exactly this.
    pub async fn all_have(&self, kind: &str, set: &Set) {
        for client in self.clients.iter().filter(|client| client.kind == kind) {
            client.has(set).await;
        }
    }

    /// The same of one client of the kind on each gateway, at least.
    pub async fn first_has(&self, kind: &str, set: &Set) {
        for client in self.clients.iter().filter(|client| client.kind == kind).take(2) {
            client.has(set).await;
        }
    }

    pub fn forget_history(&self) {
        for client in &self.clients {
            let mut known = client.known.lock();
            known.history = vec![known.services.clone()];
        }
    }

    /// Whatever a client had was written, and in the order in which it was.
    pub fn went_through(&self, history: &BTreeMap<&str, Vec<Set>>) {
        for client in &self.clients {
            let mut written = history[client.kind].iter();
            for set in &client.known.lock().history {
                assert!(
                    written.any(|w| w == set),
                    "{} went back, or had what was never written: {set:?}",
                    client.name()
                );
            }
        }
    }
}

impl Client {
    fn name(&self) -> String {
        format!("client {} ({})", self.number, self.kind)
    }

    async fn has(&self, set: &Set) {
        let waits = async {
            loop {
                let news = self.news.notified();
                {
                    let known = self.known.lock();
                    if let Some(wrong) = &known.wrong {
                        panic!("{}: {wrong}", self.name());
                    }
                    if known.services == *set {
                        return;
                    }
                }
                news.await;
            }
        };
        if timeout(PATIENCE, waits).await.is_err() {
            let known = self.known.lock();
            let (more, less) = (known.services.difference(set), set.difference(&known.services));
            panic!(
                "{} has too much {:?} and lacks {:?}",
                self.name(),
                more.collect::<Vec<_>>(),
                less.collect::<Vec<_>>()
            );
        }
    }

    async fn listen(self, mut socket: Socket) {
        loop {
            let wrong = match socket.next().await {
                Some(Ok(Message::Text(text))) => self.hear(&serde_json::from_str(&text).unwrap()).err(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                other => Some(format!("disconnected: {other:?}")),
            };
            let ended = wrong.is_some();
            if ended {
                self.known.lock().wrong = wrong;
            }
            // One waits at a time, and a word that came before it did must not be lost.
            self.news.notify_one();
            if ended {
                return;
            }
        }
    }

    fn hear(&self, said: &Value) -> Result<(), String> {
        let names = |field: &str| -> Vec<String> {
            said[field].as_object().into_iter().flatten().map(|(n, _)| n.clone()).collect()
        };
        let mut known = self.known.lock();
        match said["type"].as_str() {
            Some("service_discovery") => {
                known.services.extend(names("services"));
                known.revision = said["revision"].as_u64().ok_or("no revision")?;
            }
            Some("service_update") => {
                let revision = said["revision"].as_u64().ok_or("no revision")?;
                if revision != known.revision + 1 {
                    return Err(format!("revision {revision} after {}", known.revision));
                }
                known.revision = revision;
                for removed in said["removed"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !known.services.remove(removed) {
                        return Err(format!("{removed} was removed, and was not there"));
                    }
                }
                for added in names("added") {
                    if !known.services.insert(added.clone()) {
                        return Err(format!("{added} was added, and was there"));
                    }
                }
                if said["more"] != true {
                    let now = known.services.clone();
                    known.history.push(now);
                }
            }
            Some("resume") => {}
            other => return Err(format!("it was told {other:?}: {said}")),
        }
        Ok(())
    }
}
