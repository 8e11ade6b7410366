//! One holder at a time, by a `Lease`: only who holds it compiles, serves and writes.
//!
//! Writes carry the `resourceVersion` that was read, so two cannot take it at once. Whether the holder is gone is judged by one's own
//! clock alone: its record did not change for as long as it says itself. The holder counts its own time from before it asked, and stops
//! earlier than anybody may take over, so that one who was stopped and wakes up knows that it holds nothing.

mod decide;
mod identity;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::metrics::Meters;

use self::decide::{Decision, Observed, decide};
pub use self::identity::{address, identity};

#[derive(Clone, Debug)]
pub struct Settings {
    pub namespace: String,
    pub name: String,
    /// Nobody else's, ever: a process that is started again is another one.
    pub identity: String,
    /// Goes, and the lease with it.
    pub owner: Option<OwnerReference>,
    /// Others take over when they saw no renewal for so long.
    pub duration: Duration,
    /// The holder stops when it could not renew for so long. Shorter than `duration`.
    pub deadline: Duration,
    /// Between two renewals, and two looks of who stands by.
    pub every: Duration,
    pub meters: Meters,
}

impl Settings {
    pub fn new(namespace: &str, name: &str, identity: &str) -> Settings {
        Settings {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            owner: None,
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            every: Duration::from_secs(2),
            meters: Meters::default(),
        }
    }

    /// With times in the same proportions.
    pub fn lasting(self, seconds: u32) -> Settings {
        let duration = Duration::from_secs(u64::from(seconds));
        Settings { duration, deadline: duration * 2 / 3, every: duration * 2 / 15, ..self }
    }
}

/// What this process is.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// It has not seen the lease yet.
    #[default]
    Unknown,
    /// And who holds it, if anybody does.
    Standby(Option<String>),
    /// It held the lease and could not renew it in time, and has heard of no other holder: the API server is away, say. It does nothing
    /// new, and takes nothing back.
    Lapsed,
    Holder(Holding),
}

impl Role {
    /// Whether it may do something new.
    pub fn holds(&self) -> bool {
        matches!(self, Role::Holder(holding) if holding.is_valid())
    }
}

/// The lease in one's hand. Ask [`Holding::is_valid`] before every write.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Rises with every holder.
    pub term: u64,
    until: Arc<Mutex<Instant>>,
}

impl Holding {
    /// One that counts until then, and longer once it is renewed.
    pub fn new(term: u64, until: Instant) -> Holding {
        Holding { term, until: Arc::new(Mutex::new(until)) }
    }

    pub fn is_valid(&self) -> bool {
        Instant::now() < *self.until.lock()
    }

    fn extend(&self, until: Instant) {
        *self.until.lock() = until;
    }
}

/// Stands by, holds, stands by again, and tells what it is; ends, and lets go of the lease, once `stop` is true or dropped.
pub async fn hold(client: Client, settings: Settings, role: watch::Sender<Role>, mut stop: watch::Receiver<bool>) {
    let mut candidate = Candidate {
        api: Api::namespaced(client, &settings.namespace),
        settings,
        observed: Observed::default(),
        holding: None,
        role,
    };
    while !until_stopped(&mut stop, candidate.turn()).await {}
    candidate.release().await;
}

/// Whether it was stopped, rather than done.
async fn until_stopped(stop: &mut watch::Receiver<bool>, turn: impl Future<Output = ()>) -> bool {
    tokio::select! {
        () = turn => false,
        _ = stop.wait_for(|stop| *stop) => true,
    }
}

struct Candidate {
    api: Api<Lease>,
    settings: Settings,
    observed: Observed,
    holding: Option<Holding>,
    role: watch::Sender<Role>,
}

impl Candidate {
    /// One look, and the wait until the next.
    async fn turn(&mut self) {
        let began = Instant::now();
        // An answer that comes later than that is of no use any more.
        match timeout(self.settings.every, self.attempt(began)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be read or written"),
            Err(_) => {
                self.settings.meters.no_answer();
                tracing::warn!("the API server does not answer about the lease");
            }
        }
        if self.holding.as_ref().is_some_and(|h| !h.is_valid()) {
            tracing::warn!("the lease could not be renewed in time; what was published counts on");
            self.holding = None;
            self.role.send_replace(Role::Lapsed);
        }
        sleep(self.settings.every).await;
    }

    async fn attempt(&mut self, began: Instant) -> kube::Result<()> {
        let found = self.api.get_opt(&self.settings.name).await?;
        // Not `began`: the record may be as young as the answer.
        let decision =
            decide(found.as_ref(), &mut self.observed, Instant::now(), &self.settings, self.holding.is_some());
        match decision {
            Decision::Wait => {
                if !matches!(*self.role.borrow(), Role::Unknown | Role::Standby(_)) {
                    tracing::warn!("somebody else holds the lease");
                }
                self.become_standby();
            }
            Decision::Write { lease, term } => {
                let how = PostParams::default();
                let written = match lease.metadata.resource_version {
                    Some(_) => self.api.replace(&self.settings.name, &how, &lease).await,
                    None => self.api.create(&how, &lease).await,
                };
                match written {
                    Ok(_) => self.become_holder(term, began + self.settings.deadline),
                    // Another was quicker; the next look says who.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn become_holder(&mut self, term: u64, until: Instant) {
        match &self.holding {
            Some(holding) if holding.term == term => holding.extend(until),
            _ => {
                let holding = Holding::new(term, until);
                tracing::info!(term, identity = self.settings.identity, "holds the lease");
                self.holding = Some(holding.clone());
                self.role.send_replace(Role::Holder(holding));
            }
        }
    }

    fn become_standby(&mut self) {
        self.holding = None;
        let holder = self.observed.holder().filter(|h| *h != self.settings.identity).map(str::to_owned);
        self.role.send_if_modified(|role| match role {
            Role::Standby(before) if *before == holder => false,
            _ => {
                *role = Role::Standby(holder.clone());
                true
            }
        });
    }

    /// So that the next one need not wait.
    async fn release(&mut self) {
        if self.holding.take().is_none() {
            return;
        }
        self.become_standby();
        let let_go = async {
            let mut lease = self.api.get(&self.settings.name).await?;
            if let Some(spec) =
                lease.spec.as_mut().filter(|s| s.holder_identity.as_deref() == Some(&self.settings.identity))
            {
                spec.holder_identity = None;
                spec.renew_time = Some(MicroTime(Timestamp::now()));
                self.api.replace(&self.settings.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match timeout(self.settings.every, let_go).await {
            Ok(Ok(())) => tracing::info!("let go of the lease"),
            Ok(Err(error)) => tracing::warn!(%error, "the lease is not let go of, and runs out"),
            Err(_) => tracing::warn!("the lease is not let go of, and runs out"),
        }
    }
}

/// The record that this candidate writes.
fn record(settings: &Settings, found: Option<&Lease>, acquired: Option<MicroTime>, transitions: i32) -> Lease {
    let now = MicroTime(Timestamp::now());
    let before = found.map(|lease| lease.metadata.clone()).unwrap_or_default();
    Lease {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            namespace: Some(settings.namespace.clone()),
            owner_references: settings.owner.clone().map(|owner| vec![owner]).or(before.owner_references),
            ..before
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(settings.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(settings.duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: Some(acquired.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }),
    }
}
