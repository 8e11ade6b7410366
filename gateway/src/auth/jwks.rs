//! Keys behind URLs: fetched, refreshed in the background, asked for when a token names one that is not here.

mod fetch;
mod metrics;
mod schedule;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use self::fetch::{FetchError, Fetched, Fetcher};
use super::error::ConfigError;
use super::keys::KeySet;

/// The least time between two refreshes that tokens cause, per URL: tokens are the client's to make up.
const ASKED_INTERVAL: Duration = Duration::from_secs(10);

/// The JWKS of all catalogs of a process. Outlives the verifiers, so that a new catalog fetches nothing again.
///
/// Only URLs that the operator configured are ever fetched, none that a token names.
#[derive(Debug)]
pub struct JwksCache {
    /// `None`: nothing is fetched, as when a configuration is only looked at.
    fetcher: Option<Fetcher>,
    /// A source lives as long as a verifier uses it.
    sources: Mutex<BTreeMap<String, Weak<JwksSource>>>,
}

/// How one URL does, for metrics and for people.
#[derive(Clone, Debug)]
pub struct JwksStatus {
    pub url: String,
    /// Usable (key, algorithm) pairs at the moment.
    pub keys: usize,
    pub fetches: u64,
    pub failures: u64,
    pub last_success: Option<SystemTime>,
    /// Why the latest fetch failed; `None` when it did not. The keys of the last good one stay in use.
    pub last_error: Option<String>,
}

/// One URL and its keys, for every asymmetric algorithm that each key may be used with.
#[derive(Debug)]
pub(super) struct JwksSource {
    url: reqwest::Url,
    /// Whether there is a task that fetches.
    online: bool,
    keys: ArcSwap<KeySet>,
    /// Wakes the task that fetches.
    wake: Arc<Notify>,
    progress: watch::Sender<Progress>,
    asked_at: Mutex<Option<SystemTime>>,
    outcome: Mutex<Outcome>,
    fetches: AtomicU64,
    failures: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    running: bool,
    done: u64,
}

#[derive(Debug, Default)]
struct Outcome {
    last_success: Option<SystemTime>,
    last_error: Option<String>,
    failures_in_a_row: u32,
}

impl JwksCache {
    /// Verifiers that use it are made within a tokio runtime: each URL gets a background task, which ends with the last
    /// verifier that uses the URL.
    ///
    /// # Errors
    /// When there can be no HTTP client, for example because the system has no root certificates.
    pub fn new() -> Result<Arc<Self>, ConfigError> {
        Self::with_timeout(Duration::from_secs(5))
    }

    /// Fetches nothing, ever: to check a configuration without touching the network.
    pub fn offline() -> Arc<Self> {
        Arc::new(Self { fetcher: None, sources: Mutex::default() })
    }

    pub(super) fn with_timeout(timeout: Duration) -> Result<Arc<Self>, ConfigError> {
        let fetcher = Fetcher::new(timeout).map_err(|e| ConfigError::HttpClient(e.to_string()))?;
        Ok(Arc::new(Self { fetcher: Some(fetcher), sources: Mutex::default() }))
    }

    /// The URLs in use.
    pub fn status(&self) -> Vec<JwksStatus> {
        let sources: Vec<_> = self.sources.lock().values().filter_map(Weak::upgrade).collect();
        sources.iter().map(|source| source.status()).collect()
    }

    pub(super) fn source(&self, url: &str) -> Result<Arc<JwksSource>, String> {
        let parsed = fetch::allowed_url(url)?;
        let mut sources = self.sources.lock();
        sources.retain(|_, source| source.strong_count() > 0);
        if let Some(source) = sources.get(url).and_then(Weak::upgrade) {
            return Ok(source);
        }
        let source = Arc::new(JwksSource::new(parsed, self.fetcher.is_some()));
        if let Some(fetcher) = &self.fetcher {
            tokio::spawn(keep_fresh(Arc::downgrade(&source), fetcher.clone()));
        }
        sources.insert(url.to_owned(), Arc::downgrade(&source));
        Ok(source)
    }
}

impl JwksSource {
    fn new(url: reqwest::Url, online: bool) -> Self {
        Self {
            url,
            online,
            keys: ArcSwap::default(),
            wake: Arc::default(),
            // Whoever comes before the first answer waits for it.
            progress: watch::Sender::new(Progress { running: online, done: 0 }),
            asked_at: Mutex::default(),
            outcome: Mutex::default(),
            fetches: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub(super) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Whether a fetch ever succeeded.
    pub(super) fn is_known(&self) -> bool {
        self.outcome.lock().last_success.is_some()
    }

    /// Waits for newer keys: for the fetch that is under way, or else for one that this call causes, unless tokens
    /// caused one less than ten seconds ago. Returns whether it is worth looking again. However many wait, one fetches.
    pub(super) async fn refresh(&self, now: SystemTime) -> bool {
        if !self.online {
            return false;
        }
        let mut progress = self.progress.subscribe();
        let seen = progress.borrow_and_update().done;
        let joined = self.progress.send_if_modified(|progress| {
            if !progress.running && self.may_ask(now) {
                progress.running = true;
                self.wake.notify_one();
                return true;
            }
            false
        }) || progress.borrow().running;
        // The fetch has a timeout of its own, and the sender lives as long as `self`.
        joined && progress.wait_for(|progress| progress.done > seen).await.is_ok()
    }

    fn may_ask(&self, now: SystemTime) -> bool {
        let mut asked_at = self.asked_at.lock();
        // Close on either side: callers read their clocks before they get here. Far on either side: a clock that was set
        // back must not stop refreshes until it has caught up.
        let apart = |at: SystemTime| now.duration_since(at).unwrap_or_else(|e| e.duration());
        let recently = asked_at.is_some_and(|at| apart(at) < ASKED_INTERVAL);
        if !recently {
            *asked_at = Some(now);
        }
        !recently
    }

    /// Takes over what a fetch brought; returns after how long the next one is due.
    fn settle(&self, fetched: Result<Fetched, FetchError>) -> Duration {
        let mut outcome = self.outcome.lock();
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let delay = match fetched {
            Ok(fetched) => {
                for why in &fetched.skipped {
                    tracing::debug!(url = %self.url, why, "a key of a JWKS is of no use here");
                }
                if fetched.keys.is_empty() {
                    tracing::warn!(url = %self.url, "the JWKS has no usable key: no token of its issuer is valid now");
                }
                self.keys.store(Arc::new(fetched.keys));
                *outcome = Outcome { last_success: Some(SystemTime::now()), ..Outcome::default() };
                schedule::after_success(fetched.max_age, schedule::random())
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                outcome.failures_in_a_row = outcome.failures_in_a_row.saturating_add(1);
                let keys = self.keys.load().len();
                tracing::warn!(url = %self.url, reason = error.reason(), %error, keys, "fetching a JWKS failed: the last good keys stay in use");
                outcome.last_error = Some(error.to_string());
                schedule::after_failure(outcome.failures_in_a_row, schedule::random())
            }
        };
        drop(outcome);
        self.progress.send_modify(|progress| *progress = Progress { running: false, done: progress.done + 1 });
        delay
    }

    fn status(&self) -> JwksStatus {
        let outcome = self.outcome.lock();
        JwksStatus {
            url: self.url.to_string(),
            keys: self.keys.load().len(),
            fetches: self.fetches.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_success: outcome.last_success,
            last_error: outcome.last_error.clone(),
        }
    }
}

impl Drop for JwksSource {
    fn drop(&mut self) {
        // So that its task sees that it is gone now, not when the next fetch is due.
        self.wake.notify_one();
    }
}

/// The only place that fetches a source's URL, so two fetches of it never overlap.
async fn keep_fresh(source: Weak<JwksSource>, fetcher: Fetcher) {
    while let Some(alive) = source.upgrade() {
        let wake = Arc::clone(&alive.wake);
        alive.progress.send_modify(|progress| progress.running = true);
        // A wish that came just before a scheduled fetch is granted by it.
        let _ = wake.notified().now_or_never();
        let delay = alive.settle(fetcher.fetch(&alive.url).await);
        drop(alive);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = wake.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests;
