//! What a handle points at: four bits of kind and sixty bits of a name's hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The kind inside a [`Target`], so that a peer's handle can never shadow a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Endpoint = 1,
    Event = 2,
    Peer = 3,
    Group = 4,
}

/// `kind (4 bits) ‖ first 60 bits of SHA-256(name)`.
///
/// The name is `<service>.<endpoint>`, `<service>.<event>`, a session id (16 raw bytes) or `<service>.<group>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(pub u64);

impl Target {
    pub fn of(kind: Kind, name: &[u8]) -> Target {
        let digest = Sha256::digest(name);
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        Target((kind as u64) << 60 | u64::from_be_bytes(first) >> 4)
    }

    /// `None` for a kind that this version does not know.
    pub fn kind(self) -> Option<Kind> {
        match self.0 >> 60 {
            1 => Some(Kind::Endpoint),
            2 => Some(Kind::Event),
            3 => Some(Kind::Peer),
            4 => Some(Kind::Group),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_part_of_the_target() {
        let endpoint = Target::of(Kind::Endpoint, b"account.create");
        let event = Target::of(Kind::Event, b"account.create");
        assert_ne!(endpoint, event);
        assert_eq!(endpoint.kind(), Some(Kind::Endpoint));
        assert_eq!(event.kind(), Some(Kind::Event));
        assert_eq!(endpoint.0 << 4, event.0 << 4, "the same sixty bits of the name");
        assert_eq!(Target(0).kind(), None);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // SHA-256("abc") = ba7816bf 8f01cfea …
        assert_eq!(Target::of(Kind::Endpoint, b"abc").0, 0x1ba7_816b_f8f0_1cfe);
    }
}
