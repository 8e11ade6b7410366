//! What a session may see and do: shared by all sessions that hold the same tiers of the same snapshot.

use std::cmp::Ordering;
use std::sync::{Arc, Weak};

use bannou_crds::Target;
use bannou_crds::catalog::{Limits, Peers};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::snapshot::{Entry, Snapshot, What};
use crate::tiers::TierSet;

/// What holds where no tier says anything.
pub const DEFAULTS: Effective = Effective {
    requests_per_second: 50,
    burst: 100,
    max_in_flight: 32,
    max_connections_per_subject: u32::MAX,
    max_message_bytes: 65_536,
    max_connection_age_ms: u64::MAX,
    send_queue_bytes: 262_144,
};

/// The limits of a session: of several tiers held, the most generous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    pub requests_per_second: u32,
    pub burst: u32,
    pub max_in_flight: u32,
    pub max_connections_per_subject: u32,
    pub max_message_bytes: u32,
    pub max_connection_age_ms: u64,
    pub send_queue_bytes: u32,
}

impl Effective {
    pub fn of<'a>(limits: impl Iterator<Item = &'a Limits> + Clone) -> Effective {
        fn most<T: Ord>(values: impl Iterator<Item = Option<T>>, otherwise: T) -> T {
            values.flatten().max().unwrap_or(otherwise)
        }
        let l = || limits.clone();
        let requests_per_second = most(l().map(|l| l.requests_per_second), DEFAULTS.requests_per_second);
        Effective {
            requests_per_second,
            // A burst below one second's worth of requests would make the rate unreachable by anybody who batches.
            burst: most(l().map(|l| l.burst), requests_per_second.saturating_mul(2)).max(1),
            max_in_flight: most(l().map(|l| l.max_in_flight), DEFAULTS.max_in_flight),
            max_connections_per_subject: most(
                l().map(|l| l.max_connections_per_subject),
                DEFAULTS.max_connections_per_subject,
            ),
            max_message_bytes: most(l().map(|l| l.max_message_bytes), DEFAULTS.max_message_bytes),
            max_connection_age_ms: most(l().map(|l| l.max_connection_age_ms), DEFAULTS.max_connection_age_ms),
            send_queue_bytes: most(l().map(|l| l.send_queue_bytes), DEFAULTS.send_queue_bytes),
        }
    }
}

pub struct View {
    pub snapshot: Arc<Snapshot>,
    pub tiers: TierSet,
    /// Names of the tiers held, separated by commas: the header `bannou-tiers`.
    pub tier_names: String,
    pub limits: Effective,
    pub peers: Peers,
    /// Names the whole set: the same on every gateway for the same names.
    pub set: String,
    /// Indexes into `snapshot.entries` of what may be used, in order of name.
    pub allowed: Box<[u32]>,
    bitmap: Box<[u64]>,
    /// What leads here from views that sessions came from, found once for all of them.
    changes: Mutex<Vec<Way>>,
}

impl View {
    pub fn new(snapshot: Arc<Snapshot>, tiers: TierSet) -> View {
        let held = || tiers.iter().filter_map(|i| snapshot.catalog.tiers.get(i));
        let tier_names = held().map(|t| t.name.as_str()).collect::<Vec<_>>().join(",");
        let limits = Effective::of(held().map(|t| &t.limits).collect::<Vec<_>>().into_iter());
        let peers = held().map(|t| t.peers).max().unwrap_or(Peers::Disabled);
        let mut bitmap = vec![0u64; snapshot.entries.len().div_ceil(64)].into_boxed_slice();
        let mut allowed = Vec::new();
        let mut digest = Sha256::new();
        for (i, entry) in snapshot.entries.iter().enumerate() {
            if entry.tiers.intersects(&tiers) {
                bitmap[i / 64] |= 1 << (i % 64);
                allowed.push(i as u32);
                digest.update(if matches!(entry.what, What::Event { .. }) { "e" } else { "s" });
                digest.update(entry.name.as_bytes());
                digest.update("\n");
            }
        }
        let set: String = digest.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect();
        View {
            snapshot,
            tiers,
            tier_names,
            limits,
            peers,
            set,
            allowed: allowed.into(),
            bitmap,
            changes: Mutex::default(),
        }
    }

    /// Names of the tiers held.
    pub fn held_tiers(&self) -> impl Iterator<Item = &str> {
        self.tiers.iter().filter_map(|i| self.snapshot.catalog.tiers.get(i)).map(|t| t.name.as_str())
    }

    pub fn allows(&self, index: usize) -> bool {
        self.bitmap.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.allowed.iter().map(|i| &self.snapshot.entries[*i as usize])
    }

    /// The entry behind a target, if this view may use it.
    pub fn find(&self, target: Target) -> Option<&Entry> {
        let index = self.snapshot.find(target)?;
        self.allows(index).then(|| &self.snapshot.entries[index])
    }

    /// Whether anything of that service is visible here.
    pub fn sees_service(&self, service: &str) -> bool {
        self.entries().any(|e| self.snapshot.catalog.services[e.service].name == service)
    }
}

/// One name and whether it is an event's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub name: Box<str>,
    pub target: Target,
    pub event: bool,
    pub added: bool,
}

/// What must be said to somebody who comes from that view.
type Way = (Weak<View>, Arc<[Change]>);

/// Views that somebody comes from at one time: those of a snapshot or two, and the tiers before a login.
const KNOWN_CHANGES: usize = 16;

/// Everything that must be said to lead somebody from one view to another, in order of name. Of 10,000 names it is found in a
/// fraction of a millisecond, and sessions that go the same way share it.
pub fn changes(old: &Arc<View>, new: &View) -> Arc<[Change]> {
    if old.set == new.set {
        return Arc::default();
    }
    let mut known = new.changes.lock();
    if let Some((_, changes)) = known.iter().find(|(from, _)| std::ptr::eq(from.as_ptr(), Arc::as_ptr(old))) {
        return changes.clone();
    }
    let found: Arc<[Change]> = difference(old, new).into();
    if known.len() >= KNOWN_CHANGES {
        known.remove(0);
    }
    known.push((Arc::downgrade(old), found.clone()));
    found
}

fn difference(old: &View, new: &View) -> Vec<Change> {
    let change = |entry: &Entry, added| Change {
        name: entry.name.clone(),
        target: entry.target,
        event: matches!(entry.what, What::Event { .. }),
        added,
    };
    let (mut a, mut b) = (old.entries().peekable(), new.entries().peekable());
    let mut all = Vec::new();
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return all,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(x), Some(y)) => x.name.cmp(&y.name).then(x.target.cmp(&y.target)),
        };
        match order {
            Ordering::Less => all.extend(a.next().map(|e| change(e, false))),
            Ordering::Greater => all.extend(b.next().map(|e| change(e, true))),
            Ordering::Equal => {
                a.next();
                b.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_generous_figure_counts() {
        let stingy = Limits { requests_per_second: Some(1), max_in_flight: Some(2), ..Limits::default() };
        let rich = Limits { requests_per_second: Some(9), ..Limits::default() };
        let both = Effective::of([stingy, rich].iter());
        assert_eq!((both.requests_per_second, both.burst, both.max_in_flight), (9, 18, 2));
        assert_eq!(Effective::of([].iter()), DEFAULTS);
    }
}
