//! What can be wrong with a token, and with what the operator said about tokens.

use thiserror::Error;

/// Why a token is refused. The text is for the client: it names claims, never their values, keys or secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("the token is longer than 8 KiB")]
    TooLong,
    #[error("the token is not a JWT: {0}")]
    Malformed(&'static str),
    #[error("encrypted tokens (JWE) are not accepted")]
    Encrypted,
    #[error("the token's header demands extensions (crit) that the gateway does not know")]
    Critical,
    #[error("the token's header says that it is for another purpose (typ)")]
    Purpose,
    #[error("the token's algorithm is not one of its issuer's")]
    Algorithm,
    #[error("the token's issuer (iss) is not known here")]
    UnknownIssuer,
    #[error("the token has no {0:?} claim")]
    MissingClaim(Box<str>),
    #[error("the token's {0:?} claim does not have the right form")]
    ClaimForm(&'static str),
    #[error("the token's key (kid) is not one of its issuer's")]
    UnknownKey,
    #[error("the token names no key (kid), and its issuer has too many to try")]
    AmbiguousKey,
    /// The issuer's keys could not be fetched yet: not the token's fault. The only refusal that is worth a retry.
    #[error("the issuer's keys are not available at the moment: try again later")]
    KeysUnavailable,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    #[error("the token says that it was issued in the future (iat)")]
    IssuedInFuture,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token lives longer than is allowed here")]
    LifeTooLong,
}

impl AuthError {
    /// A word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed(_) => "malformed",
            Self::Encrypted => "encrypted",
            Self::Critical => "critical_header",
            Self::Purpose => "wrong_type",
            Self::Algorithm => "algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::MissingClaim(_) => "missing_claim",
            Self::ClaimForm(_) => "claim_form",
            Self::UnknownKey => "unknown_key",
            Self::AmbiguousKey => "ambiguous_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Audience => "audience",
            Self::LifeTooLong => "life_too_long",
        }
    }

    /// One sentence for the client. Holds no secret and nothing of the token.
    pub fn detail(&self) -> String {
        self.to_string()
    }

    /// Whether the client is to blame, so that it counts against its address.
    pub fn is_clients_fault(&self) -> bool {
        !matches!(self, Self::KeysUnavailable)
    }
}

/// Why a fleet's issuers cannot be used. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("issuer {issuer:?}: {problem}")]
    Issuer { issuer: String, problem: String },
    #[error("issuer {issuer:?}, key {key}: {problem}")]
    Key { issuer: String, key: String, problem: String },
    #[error("there can be no HTTP client for JWKS URLs: {0}")]
    HttpClient(String),
}

impl ConfigError {
    /// A word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Issuer { .. } => "issuer",
            Self::Key { .. } => "key",
            Self::HttpClient(_) => "http_client",
        }
    }
}
