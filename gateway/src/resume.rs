//! Resume tokens: what another gateway will need to take a session over, sealed under the fleet's key.
//!
//! Sent with discovery and renewed; taking a session over comes later, so nothing here opens one yet.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::handle::random;

/// Larger than this a token is not sent.
pub const MAX_TOKEN: usize = 4096;

/// What a token holds today. Positions, grants and groups join it with the features they belong to.
#[derive(Serialize)]
pub struct Contents<'a> {
    pub session: &'a str,
    pub nonce: u64,
    /// Counts the changes of rights in this session.
    pub rights: u64,
    pub tag: u8,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(peers: Vec<String>) -> Contents<'static> {
        Contents {
            session: "s",
            nonce: 1,
            rights: 1,
            tag: 1,
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
        let mut raw = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert!(!raw.windows(3).any(|w| w == b"ada"));
        let (nonce, sealed) = raw.split_at_mut(12);
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let clear = sealer.0.open_in_place(nonce, Aad::from(b"bannou.v1"), sealed).unwrap();
        let back: serde_json::Value = serde_json::from_slice(clear).unwrap();
        assert_eq!(back["subject"], "ada");
        assert_ne!(token, sealer.seal(&contents(vec![])).unwrap(), "never the same bytes twice");
    }

    #[test]
    fn it_is_bounded() {
        assert!(Sealer::new(&[7; 32]).seal(&contents(vec!["x".repeat(36); 200])).is_none());
    }
}
