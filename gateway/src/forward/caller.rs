//! Who calls: what a request says about its client, and the id by which logs and answers name it.

use std::fmt::{self, Write};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::path;

/// What a request tells the service about its caller. Built per request from what the session already holds.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub client_id: &'a str,
    pub session_id: &'a str,
    /// The token's `sub`, as it is; percent-encoded on the way.
    pub subject: Option<&'a str>,
    /// The token's `iss`.
    pub issuer: Option<&'a str>,
    /// Names of the tiers held, apart by commas.
    pub tiers: &'a str,
    /// A claim of the token by its path, as text; `None` when it has none or not a scalar one.
    pub claims: &'a dyn Fn(&[String]) -> Option<String>,
    /// The client's own token, for endpoints with `authorization: Forward`.
    pub token: Option<&'a str>,
    /// The exchange number (56 bits).
    pub number: u64,
    pub request_id: RequestId,
}

impl path::Values for Caller<'_> {
    fn subject(&self) -> Option<&str> {
        self.subject
    }

    fn session(&self) -> &str {
        self.session_id
    }

    fn claim(&self, path: &[String]) -> Option<String> {
        (self.claims)(path)
    }
}

/// 128 random bits, written as 32 hexadecimal digits: `bannou-request-id`, the trace id, and the `instance` of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub(super) id: u128,
    pub(super) span: u64,
}

impl RequestId {
    pub fn random() -> Self {
        let mut bytes = [0; 24];
        // Only a process without any entropy fails here, and it could not have made its session keys either.
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        let (id, span) = bytes.split_at(16);
        RequestId {
            id: id.iter().fold(0, |n, b| n << 8 | u128::from(*b)),
            span: span.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

/// Header values of one request in one buffer: one allocation instead of ten.
pub(super) struct Values {
    text: BytesMut,
    names: Vec<(HeaderName, usize)>,
}

impl Default for Values {
    fn default() -> Self {
        Values { text: BytesMut::with_capacity(512), names: Vec::with_capacity(10) }
    }
}

impl Values {
    pub(super) fn add(&mut self, name: HeaderName, value: fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.text.write_fmt(value);
        self.names.push((name, self.text.len()));
    }

    /// A value that no header can carry is left out: only the gateway's own text could be one, and it has none.
    pub(super) fn insert_into(self, headers: &mut HeaderMap) {
        let text = self.text.freeze();
        let mut start = 0;
        for (name, end) in self.names {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(start..end)) {
                headers.insert(name, value);
            }
            start = end;
        }
    }
}
