//! Where catalogs come from: from somebody in this process, or from the operator.

use std::sync::Arc;
use std::time::Duration;

use bannou_crds::Catalog;
use bannou_crds::catalog::{FORMAT, Fleet};
use bannou_crds::push::Reason;
use tokio::sync::watch;

use super::catalog::{self, Maker, Rejected};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::sync::{self, Obey, Saved};

/// For all sessions to be told of a catalog: a matter of a second where there are a hundred thousand.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// Who says what is to be obeyed.
pub enum Source {
    /// Somebody who has a catalog already, and sends each that follows.
    Given(watch::Receiver<Arc<Catalog>>),
    Operator(Box<sync::Config>),
}

impl From<watch::Receiver<Arc<Catalog>>> for Source {
    fn from(catalogs: watch::Receiver<Arc<Catalog>>) -> Source {
        Source::Given(catalogs)
    }
}

impl From<Box<sync::Config>> for Source {
    fn from(config: Box<sync::Config>) -> Source {
        Source::Operator(config)
    }
}

/// What a gateway begins with, and what it follows from then on.
pub(super) struct Prepared {
    pub snapshot: Arc<Snapshot>,
    pub follow: Follow,
}

pub(super) struct Follow {
    maker: Arc<Maker>,
    from: Spring,
}

enum Spring {
    Given(watch::Receiver<Arc<Catalog>>),
    Operator { config: Box<sync::Config>, state: Arc<sync::State>, saved: Option<Saved> },
}

impl Source {
    /// # Errors
    /// The given catalog cannot be obeyed. What an operator once said and is of no use is told in the log.
    pub(super) fn prepare(self, maker: Arc<Maker>) -> Result<Prepared, Rejected> {
        match self {
            Source::Given(catalogs) => {
                let first = catalogs.borrow().clone();
                let snapshot = maker.make_leniently(first)?;
                Ok(Prepared { snapshot, follow: Follow { maker, from: Spring::Given(catalogs) } })
            }
            Source::Operator(config) => {
                let saved = config.state_dir.as_deref().and_then(|folder| match sync::load(folder) {
                    Ok(saved) => saved,
                    Err(error) => {
                        let folder = folder.display();
                        tracing::error!(%folder, "the saved catalog is of no use, the operator's first one is awaited: {error}");
                        None
                    }
                });
                let made = saved.and_then(|(saved, age)| match maker.make_leniently(saved.catalog.clone()) {
                    Ok(snapshot) => {
                        let (version, seconds) = (saved.version, age.as_secs());
                        tracing::info!(%version, seconds, "the saved catalog is in force, confirmed that many seconds ago");
                        Some((snapshot, saved, age))
                    }
                    Err(error) => {
                        tracing::error!("the saved catalog cannot be obeyed, the operator's first one is awaited: {error}");
                        None
                    }
                });
                let (snapshot, saved, known) = match made {
                    Some((snapshot, saved, age)) => {
                        let version = saved.version;
                        (snapshot, Some(saved), Some((version, age)))
                    }
                    None => (maker.make_leniently(Arc::new(nothing()))?, None, None),
                };
                let state = Arc::new(sync::State::new(known));
                let from = Spring::Operator { config, state, saved };
                Ok(Prepared { snapshot, follow: Follow { maker, from } })
            }
        }
    }
}

/// What is obeyed before anything is known: nobody is admitted, nothing is there.
fn nothing() -> Catalog {
    let minutes = |n: u64| n * 60_000;
    let fleet = Fleet {
        namespace: String::new(),
        name: String::new(),
        issuers: Vec::new(),
        origins: Vec::new(),
        trusted_proxies: Vec::new(),
        resume_window_ms: minutes(2),
        max_session_age_ms: minutes(24 * 60),
        max_config_age_ms: minutes(24 * 60),
        max_token_life_ms: minutes(24 * 60),
        max_control_age_ms: minutes(5),
        managers: Vec::new(),
    };
    Catalog { format: FORMAT, fleet, tiers: Vec::new(), services: Vec::new() }
}

impl Follow {
    pub fn operator(&self) -> Option<&Arc<sync::State>> {
        match &self.from {
            Spring::Given(_) => None,
            Spring::Operator { state, .. } => Some(state),
        }
    }

    /// For as long as the gateway runs.
    pub async fn run(self, shared: Arc<Shared>) {
        let Follow { maker, from } = self;
        let keys = catalog::follow_keys(maker.clone(), shared.clone());
        let catalogs = async {
            match from {
                Spring::Given(catalogs) => catalog::follow(catalogs, maker, shared).await,
                Spring::Operator { config, state, saved } => {
                    sync::run(*config, state, Arc::new(Obedient { maker, shared }), saved).await;
                }
            }
        };
        tokio::join!(keys, catalogs);
    }
}

/// Obeys the operator as a whole, or not: what it says of a catalog is true of everything in it.
struct Obedient {
    maker: Arc<Maker>,
    shared: Arc<Shared>,
}

impl Obedient {
    fn make(&self, catalog: &Arc<Catalog>) -> Result<Arc<Snapshot>, Vec<Reason>> {
        match self.maker.make(catalog.clone()) {
            Ok((snapshot, left_out)) if left_out.is_empty() => Ok(snapshot),
            Ok((_, left_out)) => Err(left_out
                .into_iter()
                .map(|error| Reason { resource: Some(format!("service {}", error.service)), why: error.to_string() })
                .collect()),
            Err(rejected) => {
                let resource = matches!(rejected, Rejected::Keys(_)).then(|| "fleet".to_owned());
                Err(vec![Reason { resource, why: rejected.to_string() }])
            }
        }
    }
}

impl Obey for Obedient {
    fn obey(&self, catalog: &Arc<Catalog>) -> Result<(), Vec<Reason>> {
        let asked = {
            let _turn = self.maker.turn();
            let made = self.make(catalog);
            if made.is_err() {
                self.shared.metrics.catalog_rejected.inc();
            }
            self.shared.apply(made?)
        };
        // What the operator is told then is true of every session; on a runtime that ends, of nobody any more.
        let told = tokio::time::timeout(TOLD_WITHIN, self.shared.told(asked));
        if tokio::runtime::Handle::current().block_on(told).is_err() {
            tracing::warn!("not every session has come to look at the new catalog yet");
        }
        Ok(())
    }

    fn could(&self, catalog: &Arc<Catalog>) -> bool {
        self.make(catalog).is_ok()
    }
}
