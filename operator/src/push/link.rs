//! One gateway's link: what it is sent, and what it answers. One catalog at a time is on its way, so that what was edited meanwhile
//! comes as one difference, however slow the gateway is.

use std::sync::Arc;
use std::time::Duration;

use bannou_crds::push::{Hash, Reason, ToGateway, ToOperator, Version, snapshot};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::identity::Identity;
use super::registry::{Entry, Registry};
use crate::controller::Output;
use crate::lease::{self, Role};
use crate::metrics::{Meters, OfFleet};
use crate::publish::Published;

/// Until the first word, and for each that is sent.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between pings; three unanswered ones end the link.
const PING: Duration = Duration::from_secs(15);

/// Reasons of a nack that are kept.
const REASONS: usize = 8;

pub(super) struct Link<S> {
    pub socket: WebSocketStream<S>,
    pub identity: Identity,
    /// Of this link alone.
    pub name: String,
    pub output: watch::Receiver<Output>,
    pub role: watch::Receiver<Role>,
    pub registry: Registry,
    pub meters: Meters,
}

/// What a gateway has, as far as it said so.
#[derive(Default)]
struct Standing {
    entry: Option<Entry>,
    /// What it has that is known here, so that a difference to it can be made.
    has: Option<Arc<Published>>,
    /// On its way.
    sent: Option<Arc<Published>>,
    /// What it refused: not offered again.
    refused: Option<Version>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Until either side ends it; says why.
    pub async fn run(mut self) -> String {
        let hello = match timeout(PATIENCE, self.hello()).await {
            Ok(Some(hello)) => hello,
            Ok(None) => return "it did not say hello".to_owned(),
            Err(_) => return "it said nothing".to_owned(),
        };
        let mut standing = Standing::default();
        let mut heard = Instant::now();
        let mut ping = interval(PING);
        loop {
            let role = self.role.borrow_and_update().clone();
            match role {
                Role::Standby(holder) => return self.elsewhere(holder).await,
                Role::Unknown => return self.elsewhere(None).await,
                // What was sent counts on; who held the lease once says nothing new.
                Role::Lapsed => {}
                Role::Holder(holding) if !holding.is_valid() => {}
                Role::Holder(_) => {
                    if let Err(why) = self.offer(&hello, &mut standing).await {
                        return why;
                    }
                }
            }
            tokio::select! {
                message = self.socket.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => match serde_json::from_str(text.as_str()) {
                            Ok(said) => if let Err(why) = self.answered(said, &mut standing) { return why },
                            Err(error) => return format!("its word is not understood: {error}"),
                        },
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(_)) => return "it ended".to_owned(),
                        Some(Err(error)) => return error.to_string(),
                        None => return "it ended".to_owned(),
                    }
                }
                changed = self.output.changed() => if changed.is_err() { return "the operator ends".to_owned() },
                changed = self.role.changed() => if changed.is_err() { return "the operator ends".to_owned() },
                _ = ping.tick() => {
                    if heard.elapsed() > 3 * PING {
                        return "it does not answer pings".to_owned();
                    }
                    if timeout(PATIENCE, self.socket.send(Message::Ping(Vec::new().into()))).await.is_err() {
                        return "it does not read".to_owned();
                    }
                }
            }
        }
    }

    async fn hello(&mut self) -> Option<(Option<Version>, Option<Hash>)> {
        match self.socket.next().await? {
            Ok(Message::Text(text)) => match serde_json::from_str(text.as_str()).ok()? {
                ToOperator::Hello { version, hash, software } => {
                    tracing::info!(gateway = self.name, fleet = self.identity.namespace, software, ?version, "gateway");
                    Some((version, hash))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Sends the fleet's catalog, where there is one that the gateway has not.
    async fn offer(&mut self, hello: &(Option<Version>, Option<Hash>), standing: &mut Standing) -> Result<(), String> {
        let output = self.output.borrow_and_update().clone();
        let found = output.catalogs.iter().find(|(fleet, _)| fleet.namespace == self.identity.namespace);
        let Some((fleet, current)) = found else { return Ok(()) };
        if standing.entry.is_none() {
            let same = *hello == (Some(current.version), Some(current.hash.clone()));
            let ahead = hello.0.filter(|version| !same && *version >= current.version);
            let entry = self.registry.enter(fleet, self.name.clone(), ahead);
            let entry = entry.ok_or("there are too many gateways in this fleet")?;
            if same {
                // The link broke and nothing else happened.
                entry.acked(current.version);
                standing.has = Some(current.clone());
            }
            standing.entry = Some(entry);
        }
        let knows =
            |published: &Option<Arc<Published>>| published.as_ref().is_some_and(|p| p.version == current.version);
        if standing.sent.is_some() || knows(&standing.has) || standing.refused == Some(current.version) {
            return Ok(());
        }
        if standing.has.is_none() && hello.0.is_some_and(|version| version >= current.version) {
            // It would refuse to go back. The registry knows, and the term rises above it.
            return Ok(());
        }
        let difference = match (&standing.has, hello) {
            (Some(has), _) => Some(current.difference_to(has)),
            // What it saved or kept is what there is: only the version is news.
            (None, (Some(version), Some(hash))) if *version < current.version && *hash == current.hash => {
                Some(current.difference_to_version(*version))
            }
            _ => None,
        };
        match difference {
            Some(text) => self.send_text(text.to_string()).await?,
            None => {
                for message in &snapshot(current.version, &current.catalog, current.hash.clone()) {
                    self.send(message).await?;
                }
            }
        }
        standing.sent = Some(current.clone());
        Ok(())
    }

    async fn elsewhere(&mut self, holder: Option<String>) -> String {
        let address = holder.as_deref().and_then(lease::address);
        let _ = self.send(&ToGateway::Elsewhere { holder, address }).await;
        let _ = timeout(PATIENCE, self.socket.close(None)).await;
        "this replica does not hold the lease".to_owned()
    }

    async fn send(&mut self, message: &ToGateway) -> Result<(), String> {
        self.send_text(serde_json::to_string(message).map_err(|e| e.to_string())?).await
    }

    async fn send_text(&mut self, text: String) -> Result<(), String> {
        self.meters.pushed_bytes.inc_by(text.len() as u64);
        match timeout(PATIENCE, self.socket.send(Message::Text(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not read".to_owned()),
        }
    }

    fn answered(&self, said: ToOperator, standing: &mut Standing) -> Result<(), String> {
        let (version, reasons) = match said {
            ToOperator::Ack { version } => (version, None),
            ToOperator::Nack { version, reasons } => (version, Some(reasons)),
            ToOperator::Hello { .. } => return Err("it said hello twice".to_owned()),
        };
        let sent = standing.sent.take().filter(|sent| sent.version == version);
        let sent = sent.ok_or_else(|| format!("it answers to {version}, which is not on its way"))?;
        let entry = standing.entry.as_ref();
        match reasons {
            None => {
                entry.inspect(|entry| entry.acked(version));
                standing.has = Some(sent);
            }
            Some(reasons) => {
                let why = spelled(&reasons);
                tracing::warn!(%version, why, "refused by a gateway");
                if let Some(entry) = entry {
                    self.meters.rejected.get_or_create(&OfFleet { fleet: entry.fleet().to_string() }).inc();
                    entry.refused(version, why);
                }
                standing.refused = Some(version);
            }
        }
        Ok(())
    }
}

fn spelled(reasons: &[Reason]) -> String {
    let one = |r: &Reason| match &r.resource {
        Some(resource) => format!("{resource}: {}", r.why),
        None => r.why.clone(),
    };
    reasons.iter().take(REASONS).map(one).collect::<Vec<_>>().join("; ").chars().take(1024).collect()
}
