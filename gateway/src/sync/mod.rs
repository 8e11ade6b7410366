//! The link to the operator: this gateway dials it, is sent catalogs, and says what became of each.
//!
//! Losing the operator takes nothing away: the last good catalog counts, and is saved for the next start of the container. Only when
//! nothing was heard for `maxConfigAge` it counts for anonymous tiers alone.

mod backoff;
mod dial;
mod link;
mod saved;
mod state;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bannou_crds::Catalog;
use bannou_crds::push::{self, Reason};
use tokio::sync::watch;

pub use dial::{NotAnOperator, Operator};
pub use saved::{Saved, Unreadable, load};
pub use state::{Link, State, Status};

use backoff::Backoff;
use dial::{Dialer, Place};
use link::{End, Session};

/// Longer ones are not taken, in one message or in the pieces of a snapshot: 10,000 endpoints take about 5 MiB.
const MOST: usize = 64 * 1024 * 1024;

/// How often one replica's word about another is followed before it is waited.
const HOPS: usize = 3;

/// What is needed to reach an operator.
#[derive(Clone, Debug)]
pub struct Config {
    pub operator: Operator,
    /// PEM certificates that the operator's must lead to; read at each dial.
    pub ca: PathBuf,
    /// The projected token of the gateway's ServiceAccount; read at each dial.
    pub token_file: PathBuf,
    /// The Pod that this gateway is.
    pub pod: String,
    /// Where the last good catalog is saved for the next start; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    pub timing: Timing,
}

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From the look-up of the name to the answer to the upgrade.
    pub dial: Duration,
    /// For the operator to take a word.
    pub word: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Nothing was heard: the link is half open.
    pub silent: Duration,
    /// Bounds of the wait between dials: it doubles from the first to the second, all of it by chance.
    pub retry: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::pinging(Duration::from_secs(10))
    }
}

impl Timing {
    /// The dial keeps its time: how long a handshake takes is not ours to say.
    pub fn pinging(ping: Duration) -> Timing {
        let (dial, word) = (Duration::from_secs(10), Duration::from_secs(10));
        Timing { dial, word, ping, silent: ping * 3, retry: (ping / 20, ping * 3) }
    }
}

/// What obeys catalogs.
pub trait Obey: Send + Sync + 'static {
    /// Puts it into force, or leaves what is. Blocks for as long as that takes.
    ///
    /// # Errors
    /// What of it cannot be obeyed, per resource.
    fn obey(&self, catalog: &Arc<Catalog>) -> Result<(), Vec<Reason>>;

    /// Whether what was refused could be obeyed by now: a key file is there that was missing, say.
    fn could(&self, catalog: &Arc<Catalog>) -> bool;
}

/// Follows the operator for ever. `first`: what is in force already, from a file.
pub async fn run(config: Config, state: Arc<State>, obey: Arc<dyn Obey>, first: Option<Saved>) {
    let snapshot = first.map(|saved| push::Snapshot::of(saved.version, (*saved.catalog).clone())).unwrap_or_default();
    let (keep, kept) = watch::channel(None);
    let saving = saved::follow(config.state_dir.clone(), kept, state.clone());
    let dialling = follow(config, state, obey, snapshot, keep);
    tokio::join!(saving, dialling);
}

async fn follow(
    config: Config,
    state: Arc<State>,
    obey: Arc<dyn Obey>,
    mut snapshot: push::Snapshot,
    keep: watch::Sender<Option<Saved>>,
) {
    let timing = config.timing;
    let mut backoff = Backoff::new(timing.retry);
    let dialer = Dialer::new(config);
    let mut place = Place::Service;
    let mut hops = 0;
    loop {
        let dialled = dialer.dial(&place).await;
        let at = std::mem::replace(&mut place, Place::Service);
        match dialled {
            Err(error) => {
                state.dialled(error.outcome());
                tracing::warn!(operator = %dialer.name(&at), outcome = error.outcome(), "no link to the operator: {error}");
            }
            Ok(socket) => {
                state.dialled("linked");
                tracing::info!(operator = %dialer.name(&at), "linked to the operator");
                let linked = state.linked(dialer.name(&at));
                let mut session = Session::new(socket, timing, state.clone(), obey.clone(), keep.clone());
                let (back, end) = session.run(snapshot).await;
                snapshot = back;
                // What was not whole is of no use on another link.
                snapshot.broken_off();
                drop(linked);
                let useful = session.was_useful();
                if useful {
                    backoff.reset();
                    hops = 0;
                }
                match end {
                    End::Elsewhere { holder, address } => {
                        tracing::info!(
                            holder = holder.as_deref().unwrap_or("nobody"),
                            "another replica is the operator"
                        );
                        if let Some(address) = address.filter(|_| hops < HOPS) {
                            hops += 1;
                            place = Place::Replica(address);
                            continue;
                        }
                    }
                    // It would be sent again what it refused, and can be obeyed by now.
                    End::Again => continue,
                    end => tracing::warn!(operator = %dialer.name(&at), "the link to the operator ended: {end}"),
                }
            }
        }
        hops = 0;
        backoff.wait().await;
    }
}

#[cfg(test)]
mod tests;
