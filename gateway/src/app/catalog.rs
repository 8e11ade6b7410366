//! From a catalog to a snapshot, again whenever it changes; the last good one goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bannou_crds::{Catalog, catalog};
use tokio::sync::watch;

use crate::auth::{ConfigError, JwksCache, Secrets, Verifier};
use crate::forward::Forwarder;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::tiers::MAX_TIERS;

/// Larger files are none of ours: 10,000 endpoints take about 5 MiB.
const MAX_FILE: u64 = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    #[error("{path}: {error}: give the path of a catalog that `bannou compile FOLDER -o FILE` wrote", path = path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, message: String },
    #[error("catalog format {0} is not {expected}: compile it with the bannou of this gateway's version", expected = catalog::FORMAT)]
    Format(u32),
    #[error("{0} tiers are more than the {MAX_TIERS} that one fleet can have")]
    TooManyTiers(usize),
    #[error(transparent)]
    Keys(#[from] ConfigError),
}

/// Reads and checks a catalog file.
///
/// # Errors
/// Names file, line, column and field.
pub fn read_file(path: &Path) -> Result<Catalog, Rejected> {
    let read = |error| Rejected::Read { path: path.to_owned(), error };
    let meta = std::fs::metadata(path).map_err(read)?;
    if meta.len() > MAX_FILE {
        return Err(read(std::io::Error::other("larger than 64 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (line, column) = (error.inner().line(), error.inner().column());
        let message = format!("{}: {}", error.path(), error.inner());
        Rejected::Syntax { path: path.to_owned(), line, column, message }
    })
}

/// Follows a catalog file: whenever its content changes and is good, it is sent on; a bad one is told and left.
pub async fn follow_file(
    path: PathBuf,
    out: watch::Sender<Arc<Catalog>>,
    rejected: prometheus_client::metrics::counter::Counter,
) {
    let mut seen = stamp(&path);
    let mut every = tokio::time::interval(Duration::from_millis(500));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = out.closed() => return,
        }
        // Polled, since a ConfigMap's file is a link to a link that is swapped: watchers lose it.
        let now = stamp(&path);
        if now == seen {
            continue;
        }
        seen = now;
        match read_file(&path) {
            Ok(catalog) => {
                out.send_if_modified(|last| {
                    let changed = **last != catalog;
                    if changed {
                        *last = Arc::new(catalog);
                    }
                    changed
                });
            }
            Err(error) => {
                rejected.inc();
                tracing::error!("the catalog is refused, the last good one goes on: {error}");
            }
        }
    }
}

fn stamp(path: &Path) -> Option<(std::time::SystemTime, u64, PathBuf)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len(), std::fs::canonicalize(path).ok()?))
}

/// Makes snapshots of what a channel brings.
pub(super) struct Follower {
    catalogs: watch::Receiver<Arc<Catalog>>,
    secrets: Secrets,
    jwks: Arc<JwksCache>,
    forwarder: Arc<Forwarder>,
}

impl Follower {
    pub fn new(
        catalogs: watch::Receiver<Arc<Catalog>>,
        secrets: Secrets,
        jwks: Arc<JwksCache>,
        forwarder: Arc<Forwarder>,
    ) -> Follower {
        Follower { catalogs, secrets, jwks, forwarder }
    }

    pub fn first(&self) -> Result<Arc<Snapshot>, Rejected> {
        let catalog = self.catalogs.borrow().clone();
        self.snapshot(catalog)
    }

    fn snapshot(&self, catalog: Arc<Catalog>) -> Result<Arc<Snapshot>, Rejected> {
        super::fits(&catalog)?;
        let verifier = Verifier::new(&catalog.fleet, &catalog.claim_paths(), &self.secrets, &self.jwks)?;
        let (routes, errors) = self.forwarder.routes(&catalog);
        for error in errors {
            tracing::error!("an endpoint is left out: {error}");
        }
        let routes: HashMap<_, _> = routes.into_iter().collect();
        Ok(Arc::new(Snapshot::new(catalog, Arc::new(verifier), |target| routes.get(&target).cloned())))
    }

    pub async fn run(mut self, shared: Arc<Shared>) {
        while self.catalogs.changed().await.is_ok() {
            let catalog = self.catalogs.borrow_and_update().clone();
            match self.snapshot(catalog) {
                Ok(snapshot) => {
                    tracing::info!(
                        services = snapshot.catalog.services.len(),
                        tiers = snapshot.catalog.tiers.len(),
                        "a new catalog is in force"
                    );
                    shared.apply(snapshot);
                }
                Err(error) => {
                    shared.metrics.catalog_rejected.inc();
                    tracing::error!("the catalog is refused, the last good one goes on: {error}");
                }
            }
        }
        // The source is gone; what it last said holds.
        std::future::pending::<()>().await;
    }
}
