//! Waits until what a folder says has changed: told by the system where that works, by looking where it does not (network
//! mounts, folders moved away and back).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::folder::collect;

/// Editors write in several steps; the content is read once they have been still for so long.
const SETTLE: Duration = Duration::from_millis(40);
/// How often to look without being told.
const LOOK: Duration = Duration::from_secs(2);

/// Follows one folder and the folders in it.
pub struct Watcher {
    folder: PathBuf,
    told: mpsc::Receiver<()>,
    seen: u64,
    _notify: Option<RecommendedWatcher>,
}

impl Watcher {
    /// What the folder says at this moment counts as seen. So make it before reading the folder, or an edit between
    /// the two is never noticed.
    pub fn new(folder: &Path) -> Self {
        let (tell, told) = mpsc::channel(1);
        let notify = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Being read is no edit; looking would tell itself to look again for ever. An error is a reason to look.
            if !event.is_ok_and(|e| e.kind.is_access()) {
                // Full: somebody is about to look anyway.
                let _ = tell.try_send(());
            }
        });
        let notify = notify.and_then(|mut n| n.watch(folder, RecursiveMode::Recursive).map(|()| n)).ok();
        let folder = folder.to_owned();
        Self { seen: fingerprint(&folder), folder, told, _notify: notify }
    }

    /// Returns when the content of the folder's YAML files differs from what it was at the last return.
    pub async fn changed(&mut self) {
        loop {
            // Told, or time to look. Without a system watcher the channel is closed and would never let us wait.
            if self._notify.is_some() {
                let _ = timeout(LOOK, self.told.recv()).await;
            } else {
                sleep(LOOK).await;
            }
            // An editor may be between emptying a file and filling it: what counts is what stays. Also a pace, for a
            // folder in which something is written without end.
            sleep(SETTLE).await;
            let mut now = self.look().await;
            while now != self.seen {
                sleep(SETTLE).await;
                let again = self.look().await;
                if again == now {
                    break;
                }
                now = again;
            }
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    async fn look(&self) -> u64 {
        let folder = self.folder.clone();
        // A panic in there is a folder that cannot be read, like any other.
        tokio::task::spawn_blocking(move || fingerprint(&folder)).await.unwrap_or_default()
    }
}

/// Changes when a file that the folder's reader would read comes, goes or has other bytes; touching one is no change.
fn fingerprint(folder: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    match collect(folder) {
        Ok(files) => files.hash(&mut hasher),
        // What cannot be read is a state of its own, too.
        Err(mistakes) => mistakes.iter().for_each(|m| m.to_string().hash(&mut hasher)),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A folder with one file.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "a: 1").unwrap();
        folder
    }

    #[tokio::test]
    async fn an_edit_a_new_file_and_a_removal_are_changes() {
        let folder = folder();
        let mut watcher = Watcher::new(folder.path());
        std::fs::write(folder.path().join("a.yaml"), "a: 2").unwrap();
        timeout(PATIENCE, watcher.changed()).await.unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/b.yml"), "b: 1").unwrap();
        timeout(PATIENCE, watcher.changed()).await.unwrap();
        // As editors save: a new file takes the old one's name.
        std::fs::write(folder.path().join("a.yaml~"), "a: 3").unwrap();
        std::fs::rename(folder.path().join("a.yaml~"), folder.path().join("a.yaml")).unwrap();
        timeout(PATIENCE, watcher.changed()).await.unwrap();
        std::fs::remove_file(folder.path().join("a.yaml")).unwrap();
        timeout(PATIENCE, watcher.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn an_edit_between_making_and_waiting_is_not_lost_without_the_system_watcher_either() {
        let folder = folder();
        let mut watcher = Watcher::new(folder.path());
        watcher._notify = None;
        std::fs::write(folder.path().join("a.yaml"), "a: 2").unwrap();
        timeout(PATIENCE, watcher.changed()).await.unwrap();
    }

    #[test]
    fn the_same_bytes_are_no_change_and_neither_are_other_files() {
        let folder = folder();
        let before = fingerprint(folder.path());
        std::fs::write(folder.path().join("a.yaml"), "a: 1").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        std::fs::write(folder.path().join(".a.yaml"), "x").unwrap();
        assert_eq!(fingerprint(folder.path()), before);
        std::fs::rename(folder.path().join("a.yaml"), folder.path().join("b.yaml")).unwrap();
        assert_ne!(fingerprint(folder.path()), before);
    }
}
