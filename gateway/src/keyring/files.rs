//! The keys as they lie in a mounted Secret: `current.key`, or whatever it is called, `next.key` and `previous.key`.

use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Held, Key};
use crate::handle::KeyTooShort;
use crate::mounted::{self, stamp};

const OTHERS: [&str; 2] = ["next.key", "previous.key"];

/// A key is not longer.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{path}: {error}", path = path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: {error}", path = path.display())]
    Short { path: PathBuf, error: KeyTooShort },
}

pub(super) fn read(file: &Path) -> Result<Held, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: file.to_owned(), error };
    let current = key(file)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut others: Vec<Arc<Key>> = Vec::new();
    for path in beside(file) {
        let other = key(&path)?.filter(|other| other.id() != current.id());
        others.extend(other.filter(|other| others.iter().all(|known| known.id() != other.id())));
    }
    Ok(Held { current, others })
}

fn beside(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    OTHERS.into_iter().map(move |name| folder.join(name))
}

/// `None`: there is none.
fn key(path: &Path) -> Result<Option<Arc<Key>>, KeyFileError> {
    let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(meta) if meta.len() > LONGEST => return Err(failed(io::Error::other("too large for a key"))),
        Ok(_) => {}
    }
    let root = std::fs::read(path).map_err(failed)?;
    let key = Key::from_root(&root).map_err(|error| KeyFileError::Short { path: path.to_owned(), error })?;
    Ok(Some(Arc::new(key)))
}

pub(super) async fn follow(file: &Path, held: &ArcSwap<Held>) {
    let look = || -> Vec<_> { std::iter::once(file.to_owned()).chain(beside(file)).map(|path| stamp(&path)).collect() };
    let read = || ready(read(file).map(|new| take(held, new)));
    mounted::follow(look, read, "the fleet key cannot be read again, those that were read last are kept").await;
}

fn take(held: &ArcSwap<Held>, new: Held) {
    let before = held.load_full();
    let ids = |held: &Held| held.others.iter().map(|key| key.id()).collect::<Vec<_>>();
    let (current, others) = (new.current.id(), new.others.len());
    if (current, ids(&new)) == (before.current.id(), ids(&before)) {
        return;
    }
    held.store(Arc::new(new));
    if current != before.current.id() {
        tracing::info!(%current, others, "the fleet key has changed; sessions keep theirs");
    } else {
        tracing::info!(%current, others, "the fleet's other keys have changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(held: &Held) -> Vec<String> {
        std::iter::once(&held.current).chain(&held.others).map(|key| key.id().to_string()).collect()
    }

    fn id(byte: u8) -> String {
        Key::from_root(&[byte; 64]).unwrap().id().to_string()
    }

    #[test]
    fn the_others_lie_beside_the_current_one_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("current.key");
        let write = |name: &str, byte: u8, len: usize| {
            std::fs::write(folder.path().join(name), vec![byte; len]).unwrap();
        };
        assert!(matches!(read(&file), Err(KeyFileError::Io { path, .. }) if path == file));
        write("current.key", 1, 64);
        assert_eq!(ids(&read(&file).unwrap()), [id(1)]);
        write("next.key", 2, 64);
        // Before the first rotation there is nothing previous that is another one.
        write("previous.key", 1, 64);
        assert_eq!(ids(&read(&file).unwrap()), [id(1), id(2)]);
        write("previous.key", 3, 64);
        assert_eq!(ids(&read(&file).unwrap()), [id(1), id(2), id(3)]);
        write("next.key", 2, 31);
        let error = read(&file).err().unwrap().to_string();
        assert!(error.contains("next.key") && error.contains("31"), "{error}");
    }

    /// As the kubelet does it: a link to a folder is swapped.
    #[tokio::test]
    async fn a_swapped_folder_is_read_again_and_a_broken_one_is_not_taken() {
        let mount = tempfile::tempdir().unwrap();
        let version = |name: &str, current: &[u8], next: u8| {
            let folder = mount.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("current.key"), current).unwrap();
            std::fs::write(folder.join("next.key"), [next; 64]).unwrap();
            std::os::unix::fs::symlink(&folder, mount.path().join("..new")).unwrap();
            std::fs::rename(mount.path().join("..new"), mount.path().join("..data")).unwrap();
        };
        version("1", &[1; 64], 2);
        for name in ["current.key", "next.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), mount.path().join(name)).unwrap();
        }
        let file = mount.path().join("current.key");
        let held = Arc::new(ArcSwap::from_pointee(read(&file).unwrap()));
        let following = held.clone();
        tokio::spawn(async move { follow(&file, &following).await });
        let becomes = async |wanted: [String; 2]| {
            while ids(&held.load()) != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        version("2", &[2; 64], 3);
        tokio::time::timeout(std::time::Duration::from_secs(60), becomes([id(2), id(3)])).await.unwrap();
        version("3", b"short", 9);
        version("4", &[3; 64], 4);
        // Never what the broken one said: it would be the current one's next.
        tokio::time::timeout(std::time::Duration::from_secs(60), becomes([id(3), id(4)])).await.unwrap();
    }
}
