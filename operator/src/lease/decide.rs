//! Whether to take the lease, renew it or wait. Without I/O, so that every turn of events can be tried.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::{Settings, record};

/// What was seen of the lease, and when it was seen first.
#[derive(Debug, Default)]
pub(super) struct Observed {
    record: Option<Seen>,
    /// The highest term so far, so that a lease that is deleted takes nobody back.
    term: i32,
}

#[derive(Debug, PartialEq)]
struct Seen {
    holder: Option<String>,
    version: Option<String>,
    duration: Duration,
    at: Instant,
}

impl Observed {
    pub fn holder(&self) -> Option<&str> {
        self.record.as_ref()?.holder.as_deref()
    }

    fn see(&mut self, lease: &Lease, now: Instant) -> &Seen {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(15);
        let version = lease.metadata.resource_version.clone();
        let same = self.record.as_ref().is_some_and(|seen| seen.version == version);
        if !same {
            let holder = spec.holder_identity.filter(|h| !h.is_empty());
            self.record = Some(Seen { holder, version, duration: Duration::from_secs(seconds), at: now });
        }
        self.record.as_ref().expect("it was just seen")
    }
}

#[derive(Debug)]
pub(super) enum Decision {
    Wait,
    Write { lease: Box<Lease>, term: u64 },
}

/// `holds`: whether this candidate is the holder in its own eyes. A record in its name that it does not hold any more is one that it could
/// not renew in time and that nobody took meanwhile: it takes it again, in a new term.
pub(super) fn decide(
    found: Option<&Lease>,
    observed: &mut Observed,
    now: Instant,
    settings: &Settings,
    holds: bool,
) -> Decision {
    let Some(lease) = found else {
        observed.record = None;
        return write(settings, None, observed.term.saturating_add(1), None);
    };
    let transitions = lease.spec.as_ref().and_then(|s| s.lease_transitions).unwrap_or_default().max(observed.term);
    observed.term = transitions;
    let seen = observed.see(lease, now);
    if holds && seen.holder.as_ref() == Some(&settings.identity) {
        let acquired = lease.spec.as_ref().and_then(|s| s.acquire_time.clone());
        return write(settings, Some(lease), transitions, acquired);
    }
    let mine = seen.holder.as_ref() == Some(&settings.identity);
    let free = mine || seen.holder.is_none() || now.saturating_duration_since(seen.at) >= seen.duration;
    if free { write(settings, Some(lease), transitions.saturating_add(1), None) } else { Decision::Wait }
}

fn write(
    settings: &Settings,
    found: Option<&Lease>,
    transitions: i32,
    acquired: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime>,
) -> Decision {
    let lease = Box::new(record(settings, found, acquired, transitions));
    Decision::Write { lease, term: u64::try_from(transitions).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(identity: &str) -> Settings {
        Settings::new("sys", "bannou-operator", identity)
    }

    /// What is in the API server after somebody's write.
    fn stored(decision: Decision, version: &str) -> (Lease, u64) {
        let Decision::Write { mut lease, term } = decision else { panic!("it waits") };
        lease.metadata.resource_version = Some(version.to_owned());
        (*lease, term)
    }

    fn waits(decision: &Decision) -> bool {
        matches!(decision, Decision::Wait)
    }

    #[test]
    fn one_takes_it_and_renews_it_and_the_other_waits() {
        let (a, b) = (settings("a"), settings("b"));
        let (mut seen_by_a, mut seen_by_b) = (Observed::default(), Observed::default());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (mut lease, term) = stored(decide(None, &mut seen_by_a, at(0), &a, false), "1");
        assert_eq!(term, 1);
        for second in 1..100 {
            assert!(waits(&decide(Some(&lease), &mut seen_by_b, at(second), &b, false)), "{second}");
            let (renewed, term) =
                stored(decide(Some(&lease), &mut seen_by_a, at(second), &a, true), &(second + 1).to_string());
            assert_eq!(term, 1, "a renewal is no new term");
            lease = renewed;
        }
    }

    #[test]
    fn a_holder_that_is_gone_is_followed_after_its_time_by_ones_own_clock() {
        let (a, b) = (settings("a"), settings("b"));
        let mut seen = Observed::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (lease, _) = stored(decide(None, &mut Observed::default(), at(0), &a, false), "1");
        // Looked at for the first time long after it was written: whether it is renewed must be seen first.
        assert!(waits(&decide(Some(&lease), &mut seen, at(1000), &b, false)));
        assert!(waits(&decide(Some(&lease), &mut seen, at(1014), &b, false)));
        let (taken, term) = stored(decide(Some(&lease), &mut seen, at(1015), &b, false), "2");
        assert_eq!((term, taken.spec.expect("a spec").holder_identity.as_deref()), (2, Some("b")));
        assert_eq!(taken.metadata.resource_version.as_deref(), Some("2"));
    }

    #[test]
    fn a_term_never_comes_again_though_the_lease_is_deleted() {
        let a = settings("a");
        let mut seen = Observed::default();
        let now = Instant::now();
        let (mut lease, _) = stored(decide(None, &mut seen, now, &a, false), "1");
        lease.spec.as_mut().expect("a spec").lease_transitions = Some(41);
        stored(decide(Some(&lease), &mut seen, now, &a, true), "2");
        assert_eq!(stored(decide(None, &mut seen, now, &a, true), "1").1, 42);
    }

    #[test]
    fn who_wakes_up_finds_another_and_waits() {
        let (a, b) = (settings("a"), settings("b"));
        let now = Instant::now();
        let (mut lease, _) = stored(decide(None, &mut Observed::default(), now, &a, false), "1");
        lease.spec.as_mut().expect("a spec").holder_identity = None;
        let (theirs, term) = stored(decide(Some(&lease), &mut Observed::default(), now, &b, false), "2");
        assert_eq!(term, 2, "let go of, it is free at once");
        assert!(waits(&decide(Some(&theirs), &mut Observed::default(), now, &a, true)));
        // Its own name on it still, though it could not renew it in time: nobody took it, so it goes on, in a new term.
        assert_eq!(stored(decide(Some(&theirs), &mut Observed::default(), now, &b, false), "3").1, 3);
    }
}
