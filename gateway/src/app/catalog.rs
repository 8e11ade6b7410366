//! From a catalog to a snapshot, again whenever it changes; the last good one goes on.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bannou_crds::catalog::Keys;
use bannou_crds::{Catalog, catalog};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::auth::{ConfigError, JwksCache, Secrets, Verifier};
use crate::forward::{Forwarder, RouteError};
use crate::mounted::{self, LOOK, stamp};
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
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = out.closed() => return,
        }
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

/// Makes snapshots of catalogs.
pub(super) struct Maker {
    secrets: Secrets,
    jwks: Arc<JwksCache>,
    forwarder: Arc<Forwarder>,
    /// Held from reading the files until what was made of them is in force: else an older reading could come last.
    turn: Mutex<()>,
}

/// A snapshot, and what of its catalog is left out: endpoints that no request can be made for.
pub(super) type Made = (Arc<Snapshot>, Vec<RouteError>);

impl Maker {
    pub fn new(secrets: Secrets, jwks: Arc<JwksCache>, forwarder: Arc<Forwarder>) -> Maker {
        Maker { secrets, jwks, forwarder, turn: Mutex::new(()) }
    }

    /// # Errors
    /// What of it cannot be obeyed at all.
    pub fn make(&self, catalog: Arc<Catalog>) -> Result<Made, Rejected> {
        super::fits(&catalog)?;
        let verifier = Verifier::new(&catalog.fleet, &catalog.claim_paths(), &self.secrets, &self.jwks)?;
        let (routes, left_out) = self.forwarder.routes(&catalog);
        let routes: HashMap<_, _> = routes.into_iter().collect();
        Ok((Arc::new(Snapshot::new(catalog, Arc::new(verifier), |target| routes.get(&target).cloned())), left_out))
    }

    /// For who makes a snapshot and puts it into force.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    /// Where the keys of this catalog's issuers lie, those that lie in files which may change.
    pub fn key_files(&self, catalog: &Catalog) -> Vec<PathBuf> {
        let Secrets::Dir(folder) = &self.secrets else { return Vec::new() };
        let files = catalog.fleet.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Files(files) => Some(files),
            _ => None,
        });
        files.flatten().map(|file| folder.join(&file.path)).collect()
    }

    /// The same, where what is left out is told in the log alone.
    ///
    /// # Errors
    /// As [`Maker::make`].
    pub fn make_leniently(&self, catalog: Arc<Catalog>) -> Result<Arc<Snapshot>, Rejected> {
        let (snapshot, left_out) = self.make(catalog)?;
        for error in left_out {
            tracing::error!("an endpoint is left out: {error}");
        }
        Ok(snapshot)
    }
}

/// Puts into force what a channel brings; the last good one goes on.
pub(super) async fn follow(mut catalogs: watch::Receiver<Arc<Catalog>>, maker: Arc<Maker>, shared: Arc<Shared>) {
    while catalogs.changed().await.is_ok() {
        let catalog = catalogs.borrow_and_update().clone();
        let making = maker.clone();
        // Tens of milliseconds for a large one, during which nobody's frames should wait.
        let applying = shared.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _turn = making.turn();
            let snapshot = making.make_leniently(catalog)?;
            let (services, tiers) = (snapshot.catalog.services.len(), snapshot.catalog.tiers.len());
            applying.apply(snapshot);
            Ok::<_, Rejected>((services, tiers))
        });
        match made.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok((services, tiers)) => tracing::info!(services, tiers, "a new catalog is in force"),
            Err(error) => {
                shared.metrics.catalog_rejected.inc();
                tracing::error!("the catalog is refused, the last good one goes on: {error}");
            }
        }
    }
    // The source is gone; what it last said holds.
    std::future::pending::<()>().await;
}

/// Reads the keys of issuers again whenever their files change, under the catalog that is in force; what is no key leaves all as it was. For ever.
pub(super) async fn follow_keys(maker: Arc<Maker>, shared: Arc<Shared>) {
    let files = || maker.key_files(&shared.snapshot.load().catalog);
    let look = || -> Vec<_> { files().into_iter().map(|file| (stamp(&file), file)).collect() };
    let read = || {
        let (maker, shared, some) = (maker.clone(), shared.clone(), !files().is_empty());
        async move {
            if !some {
                return Ok(());
            }
            let made = tokio::task::spawn_blocking(move || {
                let _turn = maker.turn();
                let catalog = shared.snapshot.load().catalog.clone();
                shared.renew(maker.make_leniently(catalog)?);
                tracing::info!("the key files of the issuers are read");
                Ok::<_, Rejected>(())
            });
            made.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
    };
    mounted::follow(
        look,
        read,
        "the key files of the issuers cannot be read again, the keys that were read last are kept",
    )
    .await;
}
