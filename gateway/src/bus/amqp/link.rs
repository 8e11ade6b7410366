//! Keeps one connection to some node, over every outage, and says who waits for what.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Shared;
use super::dial::Conn;
use super::fault::{Backoff, Fault};
use super::topology::Missing;

/// What a connection is for. One that publishes is stopped whole by the broker when that is short of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Reading,
    Publishing,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Role::Reading => "reading",
            Role::Publishing => "publishing",
        }
    }
}

/// The part that [`declare`] speaks for.
const DECLARING: &str = "declaring";
/// Between attempts at what a broker has not loaded yet.
const SOON: Duration = Duration::from_millis(250);
/// Between attempts at what a person has to mend.
const AGAIN: Duration = Duration::from_secs(3);
/// Between looks at whether everything is still there: an exchange that was made anew has lost the bindings of others.
const LOOK: Duration = Duration::from_secs(30);
/// A connection that lived for this long was a good one.
const STABLE: Duration = Duration::from_secs(5);

/// How much of what has to be there is there, as far as the connection of now has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    NotYet,
    /// A person has to do the rest.
    AsFarAsMayBe,
    All,
}

/// The connection of now, for those who use it.
#[derive(Clone)]
pub struct Link(watch::Receiver<Option<Arc<Conn>>>);

impl Link {
    /// Waits for a connection; `None` when the bus is shut down.
    pub async fn get(&mut self) -> Option<Arc<Conn>> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// The node of the connection of now.
    pub fn node(&self) -> Option<usize> {
        self.0.borrow().as_ref().map(|conn| conn.node)
    }
}

/// Where a process connects first: another node for each, as slots are random.
pub fn first_node(shared: &Shared) -> usize {
    usize::try_from(shared.slot.0 % shared.dialer.config.nodes.len() as u64).unwrap_or_default()
}

/// What gives [`Link`] its connections.
pub struct Supervisor {
    role: Role,
    current: watch::Sender<Option<Arc<Conn>>>,
}

impl Supervisor {
    pub fn new(role: Role) -> (Supervisor, Link) {
        let (current, receiver) = watch::channel(None);
        (Supervisor { role, current }, Link(receiver))
    }

    pub async fn run(self, shared: Arc<Shared>) {
        let (part, config) = (self.role.word(), &shared.dialer.config);
        let mut node = first_node(&shared);
        let mut backoff = Backoff::new(config.timeouts.retry);
        let mut before = false;
        loop {
            let at = &config.nodes[node];
            let fault = match self.connect(&shared, node).await {
                Ok(conn) => {
                    shared.status.well(part);
                    tracing::info!(part, node = %at, "connected to the broker");
                    if std::mem::replace(&mut before, true) {
                        shared.metrics.reconnected(part);
                    }
                    let since = Instant::now();
                    self.current.send_replace(Some(conn.clone()));
                    let fault = tokio::select! {
                        fault = conn.ended() => fault,
                        fault = self.tend(&shared, &conn) => fault,
                    };
                    self.current.send_replace(None);
                    if self.role == Role::Reading {
                        shared.declared.send_replace(Declared::NotYet);
                    }
                    tracing::info!(part, node = %at, reason = fault.reason(), "the connection to the broker is over");
                    if since.elapsed() > STABLE {
                        backoff.reset();
                    }
                    fault
                }
                Err(fault) => fault,
            };
            shared.status.awaits(part, format!("the broker at {at}: {fault}"));
            node = (node + 1) % config.nodes.len();
            backoff.wait().await;
        }
    }

    /// A connection on which everything is declared, as far as that goes: what is missing is waited for, and the rest used.
    async fn connect(&self, shared: &Shared, node: usize) -> Result<Arc<Conn>, Fault> {
        let conn = shared.dialer.dial(node, self.role.word()).await?;
        if self.role == Role::Reading {
            declare(shared, &conn).await?;
        }
        Ok(conn)
    }

    /// Gives up when the connection is of no use.
    async fn tend(&self, shared: &Shared, conn: &Conn) -> Fault {
        match self.role {
            Role::Publishing => std::future::pending().await,
            Role::Reading => loop {
                let again = match *shared.declared.borrow() {
                    Declared::NotYet => SOON,
                    Declared::AsFarAsMayBe => AGAIN,
                    Declared::All => LOOK,
                };
                tokio::select! {
                    () = shared.declare_again.notified() => {}
                    () = tokio::time::sleep(again) => {}
                }
                if let Err(fault) = declare(shared, conn).await {
                    return fault;
                }
            },
        }
    }
}

/// Declares everything; what only a person can mend, and what the broker has not loaded yet, is told and is no error here.
async fn declare(shared: &Shared, conn: &Conn) -> Result<(), Fault> {
    let declared = match shared.topology.ensure(conn, &shared.dialer).await {
        Ok(()) => {
            shared.status.well(DECLARING);
            Declared::All
        }
        Err(missing @ Missing::Person { .. }) => {
            shared.status.awaits(DECLARING, missing.to_string());
            Declared::AsFarAsMayBe
        }
        Err(Missing::Fault(fault)) if fault.of_the_channel() => {
            shared.status.awaits(DECLARING, fault.to_string());
            Declared::NotYet
        }
        Err(Missing::Fault(fault)) => return Err(fault),
    };
    shared.declared.send_replace(declared);
    Ok(())
}
