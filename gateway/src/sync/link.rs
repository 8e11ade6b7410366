//! One link, from `hello` to its end: what is sent is taken, obeyed, and answered, one by one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bannou_crds::Catalog;
use bannou_crds::push::{self, Hash, Reason, Refused, ToGateway, ToOperator, Version};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{MOST, Obey, Saved, State, Timing};

/// Of a version, in the operator's log and in conditions.
const SOFTWARE: &str = concat!("bannou-gateway ", env!("CARGO_PKG_VERSION"));

/// Reasons that are told: more say nothing new.
const REASONS: usize = 8;

/// Why a link ended.
#[derive(Debug)]
pub enum End {
    /// That replica stands by. Who holds the lease, and where, as far as it knows.
    Elsewhere {
        holder: Option<String>,
        address: Option<SocketAddr>,
    },
    /// What was refused can be obeyed by now, so it is to be sent again.
    Again,
    Refused(Refused),
    NotUnderstood(String),
    TooLarge,
    Silent,
    /// It takes no word.
    Stuck,
    Closed,
    Broken(Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Elsewhere { .. } => f.write_str("another replica is the operator"),
            End::Again => f.write_str("what was refused is asked for again"),
            End::Refused(refused) => write!(f, "what it sent leads nowhere: {refused}"),
            End::NotUnderstood(error) => write!(f, "its word is not understood: {error}"),
            End::TooLarge => write!(f, "a catalog of more than {MOST} bytes"),
            End::Silent => f.write_str("nothing was heard for too long"),
            End::Stuck => f.write_str("it does not read"),
            End::Closed => f.write_str("it ended it"),
            End::Broken(error) => error.fmt(f),
        }
    }
}

/// One link. What it knows of catalogs comes in and goes out again with [`Session::run`].
pub struct Session<S> {
    socket: WebSocketStream<S>,
    timing: Timing,
    state: Arc<State>,
    obey: Arc<dyn Obey>,
    keep: watch::Sender<Option<Saved>>,
    /// Bytes of the pieces that came since the last whole catalog.
    pieces: usize,
    refused: Option<Arc<Catalog>>,
    useful: bool,
}

/// What a word led to.
enum Led {
    Nowhere,
    /// It is in force.
    Obeyed(Saved),
    Refused(Version, Arc<Catalog>, Vec<Reason>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub fn new(
        socket: WebSocketStream<S>,
        timing: Timing,
        state: Arc<State>,
        obey: Arc<dyn Obey>,
        keep: watch::Sender<Option<Saved>>,
    ) -> Session<S> {
        Session { socket, timing, state, obey, keep, pieces: 0, refused: None, useful: false }
    }

    /// Whether it brought a catalog, or lived: the next one may be dialled at once.
    pub fn was_useful(&self) -> bool {
        self.useful
    }

    /// Until either side ends it.
    pub async fn run(&mut self, snapshot: push::Snapshot) -> (push::Snapshot, End) {
        // Whoever has it while it is not here is a blocking task, which gives it back.
        let mut snapshot = snapshot;
        let end = self.until_it_ends(&mut snapshot).await;
        (snapshot, end)
    }

    async fn until_it_ends(&mut self, snapshot: &mut push::Snapshot) -> End {
        let version = snapshot.version();
        let hash = blocking(snapshot, |snapshot| snapshot.catalog().map(Hash::of)).await;
        let hello = ToOperator::Hello { software: SOFTWARE.to_owned(), version, hash };
        if let Err(end) = self.say(&hello).await {
            return end;
        }
        let (mut heard, mut anything) = (Instant::now(), false);
        let mut ping = interval_at(Instant::now() + self.timing.ping, self.timing.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    (heard, anything) = (Instant::now(), true);
                    let end = match message {
                        Some(Ok(Message::Text(text))) => self.take(snapshot, text.as_str()).await.err(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                            self.state.heard();
                            None
                        }
                        Some(Ok(Message::Close(_))) | None => Some(End::Closed),
                        Some(Ok(_)) => Some(End::NotUnderstood("a binary message".to_owned())),
                        Some(Err(error)) => Some(End::Broken(error)),
                    };
                    if let Some(end) = end {
                        return end;
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() >= self.timing.silent {
                        return End::Silent;
                    }
                    self.useful |= anything;
                    if self.can_obey_by_now(snapshot).await {
                        return End::Again;
                    }
                    if let Err(end) = self.send(Message::Ping(Vec::new().into())).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn take(&mut self, snapshot: &mut push::Snapshot, text: &str) -> Result<(), End> {
        let (obey, text, size) = (self.obey.clone(), text.to_owned(), text.len());
        let led = blocking(snapshot, move |snapshot| led(snapshot, &*obey, &text)).await?;
        self.state.heard();
        let answer = match led {
            Led::Nowhere => {
                self.pieces += size;
                return if self.pieces > MOST { Err(End::TooLarge) } else { Ok(()) };
            }
            Led::Obeyed(saved) => {
                let version = saved.version;
                tracing::info!(%version, services = saved.catalog.services.len(), "a new catalog is in force");
                self.state.in_force(version);
                self.keep.send_replace(Some(saved));
                (self.refused, self.useful) = (None, true);
                ToOperator::Ack { version }
            }
            Led::Refused(version, catalog, mut reasons) => {
                reasons.truncate(REASONS);
                for Reason { resource, why } in &reasons {
                    let resource = resource.as_deref().unwrap_or("catalog");
                    tracing::error!(%version, resource, why, "the catalog is refused, the last good one goes on");
                }
                self.state.refused(version, reasons.clone());
                self.refused = Some(catalog);
                ToOperator::Nack { version, reasons }
            }
        };
        self.pieces = 0;
        self.say(&answer).await
    }

    async fn can_obey_by_now(&self, snapshot: &mut push::Snapshot) -> bool {
        let Some(catalog) = self.refused.clone() else { return false };
        let obey = self.obey.clone();
        blocking(snapshot, move |_| obey.could(&catalog)).await
    }

    async fn say(&mut self, word: &ToOperator) -> Result<(), End> {
        let text = serde_json::to_string(word).map_err(|e| End::NotUnderstood(e.to_string()))?;
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.timing.word, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(End::Broken),
            Err(_) => Err(End::Stuck),
        }
    }
}

/// Where a word leads. Parsing, hashing and compiling take tens of milliseconds for a large catalog, so this is no async function.
fn led(snapshot: &mut push::Snapshot, obey: &dyn Obey, text: &str) -> Result<Led, End> {
    let word: ToGateway = serde_json::from_str(text).map_err(|e| End::NotUnderstood(e.to_string()))?;
    if let ToGateway::Elsewhere { holder, address } = word {
        return Err(End::Elsewhere { holder, address });
    }
    let Some((version, catalog)) = snapshot.take(word).map_err(End::Refused)? else { return Ok(Led::Nowhere) };
    let catalog = Arc::new(catalog);
    // Another holder's version of what is in force already disturbs nobody.
    let obeyed = if snapshot.catalog() == Some(&*catalog) { Ok(()) } else { obey.obey(&catalog) };
    Ok(match obeyed {
        Ok(()) => {
            snapshot.keep(version, (*catalog).clone());
            Led::Obeyed(Saved { version, catalog })
        }
        Err(reasons) => Led::Refused(version, catalog, reasons),
    })
}

/// Does it where blocking delays nobody.
async fn blocking<T: Send + 'static>(
    snapshot: &mut push::Snapshot,
    work: impl FnOnce(&mut push::Snapshot) -> T + Send + 'static,
) -> T {
    let mut moved = std::mem::take(snapshot);
    let done = tokio::task::spawn_blocking(move || {
        let done = work(&mut moved);
        (moved, done)
    });
    match done.await {
        Ok((back, done)) => {
            *snapshot = back;
            done
        }
        Err(error) => match error.try_into_panic() {
            Ok(panicked) => std::panic::resume_unwind(panicked),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
