//! Token → principal → tiers.
//!
//! A [`Verifier`] belongs to one catalog and never changes. It chooses the issuer by the token's own `iss`, then trusts
//! nothing but that issuer's keys and algorithms. `jsonwebtoken` reads keys (JWK, PEM); signatures are checked by
//! aws-lc-rs on keys parsed once; the claims are checked here, because `jsonwebtoken`'s `Validation` reads the system's
//! clock and lets through what a gateway must not (no `aud`, a mixed `aud`, a future `nbf`).

pub mod admission;
mod claims;
mod error;
mod jwks;
mod keys;
mod limiter;
mod token;
mod verifier;

use std::sync::Arc;
use std::time::SystemTime;

pub use claims::Claims;
pub use error::{AuthError, ConfigError};
pub use jwks::{JwksCache, JwksStatus};
pub use limiter::FailureLimiter;
pub use verifier::{LEEWAY, LiveKeys, MAX_TOKEN_BYTES, Secrets, Times, Verifier};

/// Who a valid token speaks for. A subject is `issuer` and `subject` together, everywhere.
#[derive(Clone, Debug)]
pub struct Principal {
    /// How the fleet's tiers call the issuer.
    pub issuer_name: Arc<str>,
    /// `iss`.
    pub issuer: Arc<str>,
    /// `sub`: 1 to 256 bytes without control characters.
    pub subject: Box<str>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `exp`, without leeway.
    pub expires_at: SystemTime,
    /// `nbf`.
    pub not_before: Option<SystemTime>,
    /// What the catalog's tiers and paths read of the token, nothing else.
    pub claims: Claims,
}

#[cfg(test)]
mod tests;
