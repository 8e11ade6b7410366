//! Resume tokens: what a gateway needs to take a session over, sealed under a key of the fleet.
//!
//! The gateway that had the session reads of it what [`Claim`] holds; the rest is for those that never knew it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::handle::{KeyId, random};

/// Larger than this a token is not sent.
pub const MAX_TOKEN: usize = 4096;

/// What a token holds today. Grants and groups join it with the features they belong to.
#[derive(Default, Serialize)]
pub struct Contents<'a> {
    pub session: Uuid,
    pub nonce: u64,
    /// Of the session's handles, which need not be the one that seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// Counts the changes of rights in this session.
    pub rights: u64,
    /// Of its home.
    pub tag: u8,
    /// What was written to the client before the token, as exchange numbers.
    pub cursor: u64,
    pub group_cursor: u64,
    /// How often this gateway had seen `bannou.groups` made anew: what `group_cursor` counts in.
    pub groups_epoch: u64,
    /// Unix seconds after which it is void.
    pub until: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Session ids of peers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
}

/// What the session's own gateway reads of a token.
#[derive(Debug, Deserialize)]
pub struct Claim {
    pub session: Uuid,
    pub nonce: u64,
    pub tag: u8,
    pub cursor: u64,
    pub group_cursor: u64,
    pub groups_epoch: u64,
    pub until: u64,
}

pub struct Sealer(LessSafeKey);

impl Sealer {
    pub fn new(key: &[u8; 32]) -> Sealer {
        // AES-256 takes exactly these 32 bytes.
        let unbound = UnboundKey::new(&AES_256_GCM, key).unwrap_or_else(|_| unreachable!());
        Sealer(LessSafeKey::new(unbound))
    }

    /// `None` when it would be larger than [`MAX_TOKEN`].
    pub fn seal(&self, contents: &Contents<'_>) -> Option<String> {
        let nonce: [u8; 12] = random();
        let mut sealed = serde_json::to_vec(contents).ok()?;
        let tag = self.0.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(b"bannou.v1"),
            &mut sealed,
        );
        let tag = tag.ok()?;
        let mut whole = Vec::with_capacity(12 + sealed.len() + 16);
        whole.extend_from_slice(&nonce);
        whole.extend_from_slice(&sealed);
        whole.extend_from_slice(tag.as_ref());
        let text = URL_SAFE_NO_PAD.encode(&whole);
        (text.len() <= MAX_TOKEN).then_some(text)
    }

    /// `None`: not sealed by this fleet.
    pub fn open(&self, token: &str) -> Option<Claim> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let mut whole = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = whole.split_at_mut_checked(12)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let clear = self.0.open_in_place(nonce, Aad::from(b"bannou.v1"), sealed).ok()?;
        serde_json::from_slice(clear).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(peers: Vec<String>) -> Contents<'static> {
        Contents {
            session: Uuid::from_u128(3),
            nonce: 1,
            key: None,
            rights: 1,
            tag: 1,
            cursor: 5,
            group_cursor: 6,
            groups_epoch: 0,
            until: 9,
            issuer: None,
            subject: Some("ada"),
            token_id: None,
            expires: None,
            peers,
        }
    }

    #[test]
    fn it_opens_again_with_the_key_and_hides_what_is_inside() {
        let sealer = Sealer::new(&[7; 32]);
        let token = sealer.seal(&contents(vec![])).unwrap();
        let raw = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert!(!raw.windows(3).any(|w| w == b"ada"));
        let claim = sealer.open(&token).unwrap();
        assert_eq!((claim.session, claim.cursor, claim.until), (Uuid::from_u128(3), 5, 9));
        assert!(Sealer::new(&[8; 32]).open(&token).is_none(), "another fleet's");
        for at in [0, 20, raw.len() - 1] {
            let mut forged = raw.clone();
            forged[at] ^= 1;
            assert!(sealer.open(&URL_SAFE_NO_PAD.encode(forged)).is_none());
        }
        for garbage in ["", "a", "!!!", &"A".repeat(5000)] {
            assert!(sealer.open(garbage).is_none());
        }
        assert_ne!(token, sealer.seal(&contents(vec![])).unwrap(), "never the same bytes twice");
    }

    #[test]
    fn it_is_bounded() {
        assert!(Sealer::new(&[7; 32]).seal(&contents(vec!["x".repeat(36); 200])).is_none());
    }
}
