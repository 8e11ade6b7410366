//! What is known of the link, for readiness, metrics, tiers, and for people who ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bannou_crds::push::{Reason, Version};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Dial {
    /// `linked`, `unreachable`, `tls`, `refused` (401), `unavailable` (503), `protocol`, `ca`, `token`.
    outcome: &'static str,
}

#[derive(Default)]
struct Meters {
    linked: Gauge,
    word_age: Gauge<f64, AtomicU64>,
    config_age: Gauge<f64, AtomicU64>,
    term: Gauge,
    number: Gauge,
    saved_term: Gauge,
    saved_number: Gauge,
    unsaved: Counter,
    rejected: Counter,
    dials: Family<Dial, Counter>,
}

/// What a person is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Of the catalog in force; absent: none yet.
    pub version: Option<Version>,
    /// Since when it is in force here.
    pub since: Option<SystemTime>,
    /// It was found in the state folder, and no operator has confirmed it yet.
    pub from_file: bool,
    /// Where the operator is that it is linked to.
    pub linked: Option<String>,
    /// Since the operator was last heard.
    pub silent_ms: u64,
    /// What the last dial came to.
    pub last_dial: Option<&'static str>,
    /// The last version that was refused, unless a later one is in force.
    pub refused: Option<(Version, Vec<Reason>)>,
}

#[derive(Default)]
struct Known {
    version: Option<Version>,
    since: Option<(SystemTime, Instant)>,
    from_file: bool,
    linked: Option<String>,
    last_dial: Option<&'static str>,
    refused: Option<(Version, Vec<Reason>)>,
}

/// Shared by the link and those who ask about it.
pub struct State {
    began: Instant,
    /// The age of the last word when this began, in milliseconds.
    behind_ms: u64,
    /// When the last word came, in milliseconds since `began`, plus one; 0: none yet.
    word: AtomicU64,
    known: Mutex<Known>,
    meters: Meters,
}

/// While it lives, there is a link.
pub struct Link<'s>(&'s State);

impl Drop for Link<'_> {
    fn drop(&mut self) {
        self.0.known.lock().linked = None;
        self.0.meters.linked.set(0);
    }
}

impl State {
    /// `saved`: what is in force from the beginning, and how long ago the operator was heard then.
    pub fn new(saved: Option<(Version, Duration)>) -> State {
        let state = State {
            began: Instant::now(),
            behind_ms: saved.map_or(0, |(_, age)| age.as_millis().try_into().unwrap_or(u64::MAX)),
            word: AtomicU64::new(0),
            known: Mutex::default(),
            meters: Meters::default(),
        };
        if let Some((version, _)) = saved {
            state.in_force(version);
            state.saved(Ok(version));
            state.known.lock().from_file = true;
        }
        state
    }

    pub fn register(&self, registry: &mut Registry) {
        let m = &self.meters;
        let r = registry.sub_registry_with_prefix("operator");
        r.register("linked", "Whether there is a link to the operator", m.linked.clone());
        r.register_with_unit("silent", "Since the operator was last heard", Unit::Seconds, m.word_age.clone());
        r.register("dials", "Dials of the operator, by outcome", m.dials.clone());
        r.register("refused_versions", "Versions of the catalog that were refused", m.rejected.clone());
        let r = registry.sub_registry_with_prefix("config");
        r.register_with_unit("age", "Since the catalog in force came into force", Unit::Seconds, m.config_age.clone());
        r.register("term", "The version in force: the operator's term; 0: none", m.term.clone());
        r.register("number", "The version in force: its number in the term", m.number.clone());
        r.register("saved_term", "The version that the next start begins with: its term", m.saved_term.clone());
        r.register("saved_number", "The version that the next start begins with: its number", m.saved_number.clone());
        r.register("unsaved", "Catalogs that could not be saved", m.unsaved.clone());
    }

    /// Milliseconds since the operator was last heard, over starts of this process.
    pub fn silent_ms(&self) -> u64 {
        let now = self.now_ms();
        match self.word.load(Ordering::Relaxed) {
            0 => now.saturating_add(self.behind_ms),
            word => (now + 1).saturating_sub(word),
        }
    }

    /// Nothing can be served before there is a first catalog.
    pub fn awaits_catalog(&self) -> bool {
        self.known.lock().version.is_none()
    }

    pub fn version(&self) -> Option<Version> {
        self.known.lock().version
    }

    pub fn status(&self) -> Status {
        let known = self.known.lock();
        Status {
            version: known.version,
            since: known.since.map(|since| since.0),
            from_file: known.from_file,
            linked: known.linked.clone(),
            silent_ms: self.silent_ms(),
            last_dial: known.last_dial,
            refused: known.refused.clone(),
        }
    }

    /// Brings the ages among the metrics up to date.
    pub fn measure(&self) {
        self.meters.word_age.set(self.silent_ms() as f64 / 1000.0);
        let since = self.known.lock().since;
        self.meters.config_age.set(since.map_or(0.0, |(_, since)| since.elapsed().as_secs_f64()));
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub(super) fn heard(&self) {
        self.word.store(self.now_ms() + 1, Ordering::Relaxed);
    }

    pub(super) fn dialled(&self, outcome: &'static str) {
        self.known.lock().last_dial = Some(outcome);
        self.meters.dials.get_or_create(&Dial { outcome }).inc();
    }

    pub(super) fn linked(&self, operator: String) -> Link<'_> {
        self.known.lock().linked = Some(operator);
        self.meters.linked.set(1);
        Link(self)
    }

    pub(super) fn in_force(&self, version: Version) {
        let mut known = self.known.lock();
        known.version = Some(version);
        known.since = Some((SystemTime::now(), Instant::now()));
        known.from_file = false;
        known.refused = None;
        self.meters.term.set(version.term.try_into().unwrap_or(i64::MAX));
        self.meters.number.set(version.number.try_into().unwrap_or(i64::MAX));
    }

    pub(super) fn refused(&self, version: Version, reasons: Vec<Reason>) {
        self.known.lock().refused = Some((version, reasons));
        self.meters.rejected.inc();
    }

    pub(super) fn saved(&self, saved: Result<Version, ()>) {
        match saved {
            Ok(version) => {
                self.meters.saved_term.set(version.term.try_into().unwrap_or(i64::MAX));
                self.meters.saved_number.set(version.number.try_into().unwrap_or(i64::MAX));
            }
            Err(()) => {
                self.meters.unsaved.inc();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_goes_on_over_a_start_and_ends_with_a_word() {
        let version = Version { term: 2, number: 3 };
        let state = State::new(Some((version, Duration::from_secs(3600))));
        assert!(!state.awaits_catalog());
        assert!(state.silent_ms() >= 3_600_000);
        assert!(state.status().from_file);
        state.heard();
        assert!(state.silent_ms() < 60_000);
        assert!(State::new(None).awaits_catalog());
    }

    #[test]
    fn what_was_refused_is_told_until_another_is_in_force() {
        let state = State::new(None);
        let version = |number| Version { term: 1, number };
        state.refused(version(1), vec![Reason { resource: None, why: "no".into() }]);
        assert_eq!(state.status().refused.map(|r| r.0), Some(version(1)));
        state.in_force(version(2));
        assert_eq!((state.status().refused, state.version()), (None, Some(version(2))));
        let linked = state.linked("somewhere".into());
        assert_eq!(state.status().linked.as_deref(), Some("somewhere"));
        drop(linked);
        assert_eq!(state.status().linked, None);
    }
}
