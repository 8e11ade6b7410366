//! One bounded GET of a JWKS.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use reqwest::{Client, StatusCode, Url};
use thiserror::Error;

use crate::auth::keys::{KeySet, Origin};

const MAX_BYTES: usize = 256 * 1024;

/// An HTTP client that goes nowhere else: no redirects, no proxies.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(Client);

pub(super) struct Fetched {
    pub keys: KeySet,
    /// Why the keys that are of no use are of none.
    pub skipped: Vec<String>,
    pub max_age: Option<Duration>,
}

#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("no answer: {0}")]
    Unreachable(#[source] reqwest::Error),
    #[error("the answer was {0}, not 200 (redirects are not followed)")]
    Status(StatusCode),
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
    #[error("the answer is of no use: {0}")]
    Unusable(String),
}

impl FetchError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(e) if e.is_timeout() => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl Fetcher {
    /// `timeout` is for the whole of a fetch.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("bannou-gateway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
    }

    pub async fn fetch(&self, url: &Url) -> Result<Fetched, FetchError> {
        // An error's text may not repeat the URL: it is logged beside it, and might be shown where the URL is not.
        let unreachable = |e: reqwest::Error| FetchError::Unreachable(e.without_url());
        let request = self.0.get(url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
        let mut answer = request.send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let cache_control = answer.headers().get(CACHE_CONTROL).and_then(|v| v.to_str().ok());
        let max_age = cache_control.and_then(max_age);
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let (keys, skipped) = KeySet::from_jwks(&body, &asymmetric(), Origin::Url).map_err(FetchError::Unusable)?;
        Ok(Fetched { keys, skipped, max_age })
    }
}

/// What may be fetched: HTTPS, or plain HTTP from this machine.
///
/// # Errors
/// A sentence that says what is wrong with the URL.
pub(super) fn allowed_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("the JWKS URL {text:?} is none: {e}"))?;
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        }
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(format!("the JWKS URL {text:?} must be https (http only for loopback addresses)")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the JWKS URL must not hold a user or a password".to_owned());
    }
    Ok(url)
}

/// Which of them a token may use is the issuer's to say.
fn asymmetric() -> Vec<Algorithm> {
    [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed]
        .iter()
        .flat_map(jsonwebtoken::AlgorithmFamily::algorithms)
        .copied()
        .collect()
}

/// Of `Cache-Control`; what may not be stored at all is held as short as can be.
fn max_age(cache_control: &str) -> Option<Duration> {
    let directives = || cache_control.split(',').map(str::trim);
    if directives().any(|d| d.eq_ignore_ascii_case("no-store") || d.eq_ignore_ascii_case("no-cache")) {
        return Some(Duration::ZERO);
    }
    directives().find_map(|d| {
        let (name, value) = d.split_once('=')?;
        let seconds = value.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_urls_are_allowed() {
        for url in
            ["https://id.example.com/jwks", "http://127.0.0.1:8080/jwks", "http://[::1]/", "http://localhost:1/x"]
        {
            assert!(allowed_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "jwks",
            "http://id.example.com/jwks",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "https://user:secret@id.example.com/",
        ] {
            let problem = allowed_url(url).expect_err(url);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn what_max_age_says() {
        assert_eq!(max_age("public, max-age=300"), Some(Duration::from_secs(300)));
        assert_eq!(max_age("Max-Age=\"7\""), Some(Duration::from_secs(7)));
        assert_eq!(max_age("max-age=300, no-store"), Some(Duration::ZERO));
        assert_eq!(max_age("s-maxage=5"), None);
        assert_eq!(max_age("max-age=-1"), None);
    }
}
