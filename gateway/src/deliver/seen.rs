//! A publisher's own repeats: remembered for two minutes, best effort.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

const KEPT_MS: u64 = 120_000;
/// The oldest are forgotten earlier when there are more.
const MAX: usize = 65_536;

#[derive(Default)]
pub struct Seen {
    hasher: RandomState,
    /// The offset at which it was said first.
    first: HashMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
}

impl Seen {
    /// Whether this user sent a message with this id to this address lately, earlier in the log; remembers it. Asked again of
    /// the same record, as by a replay, it says the same.
    pub fn before(&mut self, user: &str, key: &str, id: &str, offset: u64, now_ms: u64) -> bool {
        while self.order.front().is_some_and(|(at, _)| at + KEPT_MS <= now_ms) || self.order.len() >= MAX {
            if let Some((_, hash)) = self.order.pop_front() {
                self.first.remove(&hash);
            }
        }
        let hash = self.hasher.hash_one((user, key, id));
        match self.first.entry(hash) {
            Entry::Occupied(first) => *first.get() < offset,
            Entry::Vacant(entry) => {
                entry.insert(offset);
                self.order.push_back((now_ms, hash));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minutes_per_user_and_address() {
        let mut seen = Seen::default();
        assert!(!seen.before("a", "all", "1", 1, 0));
        assert!(seen.before("a", "all", "1", 2, KEPT_MS - 1));
        assert!(!seen.before("a", "all", "1", 1, KEPT_MS - 1), "the first one, read again");
        assert!(!seen.before("b", "all", "1", 3, 1));
        assert!(!seen.before("a", "tier.x", "1", 4, 1));
        assert!(!seen.before("a", "all", "1", 5, KEPT_MS), "forgotten");
    }

    #[test]
    fn it_is_bounded() {
        let mut seen = Seen::default();
        assert!((0..MAX as u64 * 2).all(|n| !seen.before("a", "all", &n.to_string(), n, 0)));
        assert!(seen.order.len() <= MAX && seen.first.len() <= MAX);
    }
}
