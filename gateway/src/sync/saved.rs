//! The last good catalog in a file, for the next start of the container. A new Pod has none and needs the operator.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bannou_crds::Catalog;
use bannou_crds::push::{Hash, Version};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{MOST, State};

const FILE: &str = "catalog.json";
/// Written whole before it takes the other's place.
const NEXT: &str = "catalog.json.next";

/// How often the file says that the operator was heard.
const TOUCH: Duration = Duration::from_secs(60);

/// A catalog and where it stands in the operator's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    pub version: Version,
    pub catalog: Arc<Catalog>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: Version,
    hash: Hash,
    catalog: Arc<Catalog>,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it has {0} bytes: more than any catalog")]
    TooLarge(u64),
    #[error("it is no catalog: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("it is not what its hash says")]
    Hash,
}

/// What was saved in this folder, and how long ago the operator was heard then. `None`: nothing was.
///
/// # Errors
/// Why what is there is of no use.
pub fn load(folder: &Path) -> Result<Option<(Saved, Duration)>, Unreadable> {
    let path = folder.join(FILE);
    let meta = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    if meta.len() > MOST as u64 {
        return Err(Unreadable::TooLarge(meta.len()));
    }
    let Contents { version, hash, catalog } = serde_json::from_slice(&std::fs::read(&path)?)?;
    if Hash::of(&catalog) != hash {
        return Err(Unreadable::Hash);
    }
    // A clock that was set back since says nothing.
    let age = SystemTime::now().duration_since(meta.modified()?).unwrap_or_default();
    Ok(Some((Saved { version, catalog }, age)))
}

fn save(folder: &Path, saved: &Saved) -> io::Result<()> {
    let hash = Hash::of(&saved.catalog);
    let text = serde_json::to_vec(&Contents { version: saved.version, hash, catalog: saved.catalog.clone() })?;
    if text.len() > MOST {
        return Err(io::Error::other("the catalog is too large to be read again"));
    }
    let next = folder.join(NEXT);
    // One that a start before left behind may have other rights.
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(&text)?;
    drop(file);
    std::fs::rename(next, folder.join(FILE))
}

/// Saves what comes, the newest where several came; and says in the file's time when the operator was last heard.
pub(super) async fn follow(folder: Option<PathBuf>, mut kept: watch::Receiver<Option<Saved>>, state: Arc<State>) {
    let Some(folder) = folder else { return };
    let mut touch = interval(TOUCH);
    touch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = kept.changed() => if changed.is_err() { return },
            _ = touch.tick() => {
                heard(&folder, &state);
                continue;
            }
        }
        let Some(saved) = kept.borrow_and_update().clone() else { continue };
        let (folder, version) = (folder.clone(), saved.version);
        let done = tokio::task::spawn_blocking(move || save(&folder, &saved)).await;
        match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => {
                tracing::debug!(%version, "the catalog is saved");
                state.saved(Ok(version));
            }
            Err(error) => {
                tracing::error!(%error, %version, "the catalog cannot be saved: the next start would begin with an older one");
                state.saved(Err(()));
            }
        }
    }
}

fn heard(folder: &Path, state: &State) {
    let silent = Duration::from_millis(state.silent_ms());
    let Some(when) = SystemTime::now().checked_sub(silent) else { return };
    let file = std::fs::OpenOptions::new().write(true).open(folder.join(FILE));
    // Where there is none, nothing was saved yet.
    if let Ok(file) = file
        && let Err(error) = file.set_modified(when)
    {
        tracing::warn!(%error, "the saved catalog cannot be marked as confirmed");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::catalog;
    use super::*;

    #[test]
    fn what_is_saved_is_read_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path()).unwrap().is_none());
        let saved = Saved { version: Version { term: 4, number: 2 }, catalog: Arc::new(catalog(&["a"])) };
        save(folder.path(), &Saved { version: Version { term: 4, number: 1 }, ..saved.clone() }).unwrap();
        // What a write left that was broken off is in nobody's way.
        std::fs::write(folder.path().join(NEXT), "half").unwrap();
        save(folder.path(), &saved).unwrap();
        let (read, age) = load(folder.path()).unwrap().unwrap();
        assert_eq!(read, saved);
        assert!(age < Duration::from_secs(3600));
        let path = folder.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);

        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, good.replace("\"a\"", "\"b\"")).unwrap();
        assert!(matches!(load(folder.path()), Err(Unreadable::Hash)));
        for (bad, _) in [(&good[..good.len() / 2], "cut off"), ("", "empty"), ("{}", "another file")] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(load(folder.path()), Err(Unreadable::Syntax(_))));
        }
        std::fs::File::create(&path).unwrap().set_len(MOST as u64 + 1).unwrap();
        assert!(matches!(load(folder.path()), Err(Unreadable::TooLarge(_))));
    }

    #[test]
    fn the_files_time_is_when_the_operator_was_heard() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Saved { version: Version { term: 1, number: 1 }, catalog: Arc::new(catalog(&[])) };
        save(folder.path(), &saved).unwrap();
        let silent = Duration::from_secs(7200);
        heard(folder.path(), &State::new(Some((saved.version, silent))));
        let (_, age) = load(folder.path()).unwrap().unwrap();
        assert!(age >= silent, "{age:?}");
    }
}
