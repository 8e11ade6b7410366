//! Keeps a gateway's catalog equal to what a folder says; what does not compile is told, and the last good one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bannou_crds::Catalog;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::changes;
use super::project::{self, Reading};
use super::secrets::Keyring;
use super::watch::Watcher;
use crate::demo::{CurrentSigner, Signer};

/// What an edit led to.
#[derive(Debug, PartialEq)]
pub enum News {
    /// In force now. `changes`: what clients could notice, maybe nothing. `advice`: what still needs attention.
    Applied { changes: Vec<String>, advice: Vec<String> },
    /// Not in force; the last good catalog goes on. Each problem names its file, line and field.
    Refused { problems: Vec<String> },
}

/// A folder, its catalog and its keys.
pub struct Follower {
    folder: PathBuf,
    fleet: Option<String>,
    watcher: Watcher,
    keyring: Keyring,
    signer: Arc<Mutex<Option<Signer>>>,
    catalogs: watch::Sender<Arc<Catalog>>,
    advice: Vec<String>,
}

/// Why there is nothing to follow: one or more lines that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct FollowError(pub Vec<String>);

impl Follower {
    /// Reads the folder for the first time. `fleet`: as `namespace/name`, where there are several.
    pub fn start(folder: &Path, fleet: Option<String>) -> Result<Self, FollowError> {
        // Before the first reading, so that no edit falls between the two.
        let watcher = Watcher::new(folder);
        let Reading { catalog, secrets, mut advice } = project::read(folder, fleet.as_deref()).map_err(FollowError)?;
        let keyring = Keyring::default();
        advice.extend(keyring.adopt(secrets, &catalog));
        let signer = Arc::new(Mutex::new(keyring.signer(&catalog)));
        let catalogs = watch::Sender::new(Arc::new(catalog));
        Ok(Self { folder: folder.to_owned(), fleet, watcher, keyring, signer, catalogs, advice })
    }

    pub fn catalogs(&self) -> watch::Receiver<Arc<Catalog>> {
        self.catalogs.subscribe()
    }

    /// Where the gateway finds the keys.
    pub fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }

    /// How the demo's login service signs, after each edit as the Fleet then says.
    pub fn signer(&self) -> CurrentSigner {
        let signer = self.signer.clone();
        Arc::new(move || signer.lock().clone())
    }

    /// What needs attention after the first reading.
    pub fn advice(&self) -> &[String] {
        &self.advice
    }

    /// The next edit, and what came of it.
    pub async fn next(&mut self) -> News {
        self.watcher.changed().await;
        let (folder, fleet) = (self.folder.clone(), self.fleet.clone());
        let read = tokio::task::spawn_blocking(move || project::read(&folder, fleet.as_deref())).await;
        let read = read.unwrap_or_else(|_| Err(vec!["reading the folder failed in a way that is a bug".to_owned()]));
        let Reading { catalog, secrets, mut advice } = match read {
            Ok(reading) => reading,
            Err(problems) => return News::Refused { problems },
        };
        advice.extend(self.keyring.adopt(secrets, &catalog));
        *self.signer.lock() = self.keyring.signer(&catalog);
        let changes = changes::between(&self.catalogs.borrow(), &catalog);
        // Sent also when the catalog is the same: the bytes of a key may not be.
        self.catalogs.send_replace(Arc::new(catalog));
        News::Applied { changes, advice }
    }
}

#[cfg(test)]
mod tests;
