//! The fleet's keys: the current one, and those that other gateways may use already, or still.
//!
//! A session keeps the key that it was opened with, so that its handles hold for as long as it does, also when it comes back on another
//! connection. Resume tokens are sealed by the current key and opened by any of them, by trial: there are three.

mod files;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bannou_crds::Target;

pub use files::KeyFileError;

use crate::handle::{FleetKey, Handle, KeyId, KeyTooShort};
use crate::resume::{Claim, Contents, Sealer};

/// One of them.
pub struct Key {
    handles: FleetKey,
    sealer: Sealer,
}

/// What is accepted at one time.
struct Held {
    current: Arc<Key>,
    /// The next and the previous one, where they are known.
    others: Vec<Arc<Key>>,
}

pub struct Keyring {
    held: ArcSwap<Held>,
    /// Of the current one, beside which the others lie.
    file: Option<PathBuf>,
}

impl Key {
    /// # Errors
    /// When the root has fewer than 32 bytes.
    pub fn from_root(root: &[u8]) -> Result<Key, KeyTooShort> {
        FleetKey::from_root(root).map(Key::new)
    }

    fn new(handles: FleetKey) -> Key {
        Key { sealer: Sealer::new(handles.resume_key()), handles }
    }

    /// Says which key it is and nothing of it.
    pub fn id(&self) -> KeyId {
        self.handles.id()
    }

    pub fn mint(&self, nonce: u64, target: Target) -> Handle {
        self.handles.mint(nonce, target)
    }

    pub fn mint_all(&self, nonce: u64, targets: impl Iterator<Item = Target>) -> Vec<Handle> {
        self.handles.mint_all(nonce, targets)
    }

    pub fn open(&self, nonce: u64, handle: &Handle) -> Option<Target> {
        self.handles.open(nonce, handle)
    }
}

impl Keyring {
    /// A key of this process alone: what it makes means nothing to any other gateway.
    pub fn random() -> Keyring {
        Keyring::of(Held { current: Arc::new(Key::new(FleetKey::random())), others: Vec::new() }, None)
    }

    /// The key in this file, and `next.key` and `previous.key` beside it, where they are.
    ///
    /// # Errors
    /// One of them is there and no key.
    pub fn from_file(file: PathBuf) -> Result<Keyring, KeyFileError> {
        Ok(Keyring::of(files::read(&file)?, Some(file)))
    }

    fn of(held: Held, file: Option<PathBuf>) -> Keyring {
        Keyring { held: ArcSwap::from_pointee(held), file }
    }

    /// What new sessions are opened with.
    pub fn current(&self) -> Arc<Key> {
        self.held.load().current.clone()
    }

    /// `None` when it would be too large to send.
    pub fn seal(&self, contents: &Contents<'_>) -> Option<String> {
        self.held.load().current.sealer.seal(contents)
    }

    /// `None`: sealed by none of the fleet's keys.
    pub fn open(&self, token: &str) -> Option<Claim> {
        let held = self.held.load();
        std::iter::once(&held.current).chain(&held.others).find_map(|key| key.sealer.open(token))
    }

    /// Reads the files again whenever they change; what cannot be read leaves all as it was. For ever.
    pub async fn follow(&self) {
        match &self.file {
            Some(file) => files::follow(file, &self.held).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn held(current: u8, others: &[u8]) -> Held {
        let key = |byte: u8| Arc::new(Key::from_root(&[byte; 32]).unwrap());
        Held { current: key(current), others: others.iter().map(|byte| key(*byte)).collect() }
    }

    fn sealed(keyring: &Keyring) -> String {
        let contents = Contents { session: Uuid::from_u128(3), ..Contents::default() };
        keyring.seal(&contents).unwrap()
    }

    /// Two gateways, of which one sees each rotation before the other does.
    #[test]
    fn a_token_of_one_gateway_is_opened_by_the_other_over_a_rotation() {
        let ring = |current, others: &[u8]| Keyring::of(held(current, others), None);
        // Current, then next and previous.
        let before = ring(2, &[3, 1]);
        let after = ring(3, &[4, 2]);
        for (of, at) in [(&before, &after), (&after, &before), (&before, &before), (&after, &after)] {
            assert_eq!(at.open(&sealed(of)).map(|claim| claim.session), Some(Uuid::from_u128(3)));
        }
        // Two rotations later it is no key of the fleet any more.
        let later = ring(4, &[5, 3]);
        assert!(later.open(&sealed(&before)).is_none());
        assert!(later.open(&sealed(&after)).is_some());
        assert!(ring(9, &[]).open(&sealed(&after)).is_none());
    }

    #[test]
    fn who_holds_a_key_keeps_it_over_a_rotation() {
        let keyring = Keyring::of(held(1, &[2]), None);
        let (opened_with, target) = (keyring.current(), Target(7));
        let handle = opened_with.mint(5, target);
        keyring.held.store(Arc::new(held(2, &[3, 1])));
        keyring.held.store(Arc::new(held(3, &[4, 2])));
        assert_eq!(opened_with.open(5, &handle), Some(target));
        assert_ne!(keyring.current().id(), opened_with.id());
        assert_eq!(keyring.current().open(5, &handle), None);
    }
}
