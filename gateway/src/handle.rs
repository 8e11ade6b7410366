//! Handles: one AES-128 block under the fleet's key over `session nonce (64 bit) ‖ target (64 bit)`.
//!
//! A handle means nothing without the key, differs on every connection, and comes out the same again for the same nonce
//! on any gateway that has the key. It is no permission by itself: what it opens to must be in the session's own set.

use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use bannou_crds::Target;
use hmac::{Hmac, Mac};
use serde::{Serialize, Serializer};
use sha2::Sha256;

/// Sixteen bytes on the wire.
pub type Handle = [u8; 16];

/// Text form of a handle: lower-case UUID. Its version bits are arbitrary.
pub const TEXT_LEN: usize = 36;

#[derive(Debug, thiserror::Error)]
#[error(
    "the fleet key must have at least 32 bytes, this one has {0}: make one with `head -c 32 /dev/urandom > fleet.key`"
)]
pub struct KeyTooShort(pub usize);

/// Tells keys apart, and nothing of what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The root secret of a fleet and what is derived from it. Never printed, never sent.
pub struct FleetKey {
    handles: Aes128,
    resume: [u8; 32],
    id: KeyId,
}

impl FleetKey {
    /// # Errors
    /// When the root has fewer than 32 bytes.
    pub fn from_root(root: &[u8]) -> Result<FleetKey, KeyTooShort> {
        if root.len() < 32 {
            return Err(KeyTooShort(root.len()));
        }
        let handles = derive(root, b"bannou.v1 handles");
        let mut block_key = [0u8; 16];
        block_key.copy_from_slice(&handles[..16]);
        let mut id = [0u8; 8];
        id.copy_from_slice(&derive(root, b"bannou.v1 id")[..8]);
        let resume = derive(root, b"bannou.v1 resume");
        Ok(FleetKey { handles: Aes128::new(&Array(block_key)), resume, id: KeyId(id) })
    }

    /// A key of this process alone: its handles mean nothing to any other gateway.
    pub fn random() -> FleetKey {
        let root: [u8; 32] = random();
        // A root of 32 bytes is never too short.
        FleetKey::from_root(&root).unwrap_or_else(|_| unreachable!())
    }

    pub fn mint(&self, nonce: u64, target: Target) -> Handle {
        let mut block = Array(clear(nonce, target));
        self.handles.encrypt_block(&mut block);
        block.0
    }

    /// Mints for a whole set at once: the cipher works on eight blocks in parallel.
    pub fn mint_all(&self, nonce: u64, targets: impl Iterator<Item = Target>) -> Vec<Handle> {
        let mut blocks: Vec<_> = targets.map(|t| Array(clear(nonce, t))).collect();
        self.handles.encrypt_blocks(&mut blocks);
        blocks.into_iter().map(|b| b.0).collect()
    }

    /// The target inside, if this handle was minted for that nonce.
    pub fn open(&self, nonce: u64, handle: &Handle) -> Option<Target> {
        let mut block = Array(*handle);
        self.handles.decrypt_block(&mut block);
        let both = u128::from_be_bytes(block.0);
        ((both >> 64) as u64 == nonce).then_some(Target(both as u64))
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key that seals resume tokens.
    pub fn resume_key(&self) -> &[u8; 32] {
        &self.resume
    }
}

fn clear(nonce: u64, target: Target) -> [u8; 16] {
    (u128::from(nonce) << 64 | u128::from(target.0)).to_be_bytes()
}

fn derive(root: &[u8], label: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(root).unwrap_or_else(|_| unreachable!());
    mac.update(label);
    mac.finalize().into_bytes().0
}

/// Random bytes from the operating system's generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // It fails only where the system has no randomness at all, and then nothing here may go on.
    aws_lc_rs::rand::fill(&mut bytes).unwrap_or_else(|_| panic!("the operating system gave no random bytes"));
    bytes
}

pub fn write_text(handle: &Handle, out: &mut [u8; TEXT_LEN]) {
    uuid::Uuid::from_bytes(*handle).as_hyphenated().encode_lower(out);
}

pub fn text(handle: &Handle) -> String {
    uuid::Uuid::from_bytes(*handle).as_hyphenated().to_string()
}

#[cfg(test)]
mod tests {
    use bannou_crds::Kind;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_root_is_refused() {
        assert!(FleetKey::from_root(&[1; 31]).is_err());
    }

    proptest! {
        #[test]
        fn the_same_again_from_the_same_secret_and_accepted_nowhere_else(root in prop::array::uniform32(any::<u8>()), nonce: u64, other: u64, name in ".{0,40}") {
            let (here, there) = (FleetKey::from_root(&root).unwrap(), FleetKey::from_root(&root).unwrap());
            let target = Target::of(Kind::Endpoint, name.as_bytes());
            let handle = here.mint(nonce, target);
            prop_assert_eq!(handle, there.mint(nonce, target));
            prop_assert_eq!(there.open(nonce, &handle), Some(target));
            prop_assert_eq!(here.mint_all(nonce, [target].into_iter()), vec![handle]);
            if other != nonce {
                prop_assert_eq!(here.open(other, &handle), None);
            }
            prop_assert_eq!(FleetKey::random().open(nonce, &handle), None);
        }

        #[test]
        fn a_changed_bit_opens_nothing(nonce: u64, bit in 0usize..128) {
            let key = FleetKey::random();
            let mut handle = key.mint(nonce, Target::of(Kind::Peer, b"x"));
            handle[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.open(nonce, &handle), None);
        }
    }
}
