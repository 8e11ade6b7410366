//! Who is alive, by what this process heard itself: no clock of another machine counts, and no silence that was its own.
//!
//! Own beacons measure the way there and back: as long as one that was sent a moment ago has come back, what is read
//! is news. Everything else (the history at a start, the backlog after an outage or a SIGSTOP) says who existed, not
//! who lives. Times are milliseconds of one monotonic clock, given by the caller.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::bus::Slot;
use crate::bus::records::ControlRecord;

use super::Beat;

/// Slots remembered at once; those of gateways that are gone leave with their log.
const MOST_SLOTS: usize = 16_384;
/// Deleted slots remembered, so that a late beacon of one does not bring it back.
const MOST_TOMBS: usize = 16_384;
/// Own beacons that may be on their way.
const MOST_SENT: usize = 1_024;

#[derive(Debug)]
pub(super) struct Roster {
    own: Slot,
    beat: Beat,
    slots: HashMap<Slot, Seen>,
    tombs: Tombs,
    sent: VecDeque<(u64, u64)>,
    number: u64,
    began: u64,
    /// When the newest own beacon that came back was sent.
    fresh: Option<u64>,
    /// Since when silence counts.
    listening: u64,
    epoch: u64,
    deposed: bool,
}

#[derive(Debug)]
struct Seen {
    address: String,
    number: u64,
    heard: Option<u64>,
    /// When another gateway last said that it is closing this slot.
    closing: Option<u64>,
    /// Since when it is known to have left in order.
    left: Option<u64>,
}

/// A slot that is silent, or has left in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    pub slot: Slot,
    /// Milliseconds since it counts as dead.
    pub since_ms: u64,
    /// In order: there is nobody whose return could be waited for.
    pub left: bool,
    /// Milliseconds since another gateway said that it is closing it.
    pub closing_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Tombs {
    order: VecDeque<Slot>,
    set: HashSet<Slot>,
}

impl Tombs {
    fn add(&mut self, slot: Slot) {
        if self.set.insert(slot) {
            self.order.push_back(slot);
        }
        while self.order.len() > MOST_TOMBS {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }
}

impl Roster {
    pub fn new(own: Slot, beat: Beat, now: u64) -> Roster {
        Roster {
            own,
            beat,
            slots: HashMap::new(),
            tombs: Tombs::default(),
            sent: VecDeque::new(),
            number: 0,
            began: now,
            fresh: None,
            listening: now,
            epoch: 0,
            deposed: false,
        }
    }

    /// The next beacon's number, sent now.
    pub fn next_number(&mut self, now: u64) -> u64 {
        self.number += 1;
        if self.sent.len() == MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((self.number, now));
        self.number
    }

    /// A record of the control stream.
    pub fn read(&mut self, record: ControlRecord, now: u64) {
        match record {
            ControlRecord::Alive { slot, number, .. } if slot == self.own => self.own_came_back(number, now),
            ControlRecord::Alive { slot, address, number } => self.heard(slot, address, number, now),
            ControlRecord::Closing { slot, by, .. } if by != self.own && self.is_news(now) => {
                if let Some(seen) = self.slots.get_mut(&slot) {
                    seen.closing = Some(now);
                }
            }
            ControlRecord::Left { slot } => {
                if let Some(seen) = self.slots.get_mut(&slot) {
                    seen.left = seen.left.or(Some(now));
                }
            }
            ControlRecord::Deleted { slot } if slot == self.own => self.deposed = true,
            ControlRecord::Deleted { slot } => {
                self.slots.remove(&slot);
                self.tombs.add(slot);
            }
            ControlRecord::Closing { .. } | ControlRecord::Marker { .. } => {}
        }
    }

    fn own_came_back(&mut self, number: u64, now: u64) {
        let Some(at) = self.sent.iter().position(|(n, _)| *n == number) else { return };
        let sent = self.sent[at].1;
        self.sent.drain(..=at);
        let was_news = self.is_news(now);
        self.fresh = Some(sent.max(self.fresh.unwrap_or(sent)));
        if !was_news && self.is_news(now) {
            self.epoch += 1;
            self.listening = now;
            for seen in self.slots.values_mut() {
                seen.heard = None;
                seen.closing = None;
            }
        }
    }

    fn heard(&mut self, slot: Slot, address: String, number: u64, now: u64) {
        if self.tombs.set.contains(&slot) {
            return;
        }
        let heard = self.is_news(now).then_some(now);
        let room = self.slots.len() < MOST_SLOTS;
        match self.slots.get_mut(&slot) {
            // Sent again by its bus: no sign of life.
            Some(seen) if number <= seen.number => {}
            Some(seen) => {
                *seen = Seen { address, number, heard: heard.or(seen.heard), closing: None, left: seen.left };
            }
            None if room => {
                self.slots.insert(slot, Seen { address, number, heard, closing: None, left: None });
            }
            None => {}
        }
    }

    /// Milliseconds since the newest own beacon that came back was sent; since the start where none did.
    pub fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.fresh.unwrap_or(self.began))
    }

    /// What is read now was written a moment ago, and nobody can have taken this gateway for dead.
    pub fn is_news(&self, now: u64) -> bool {
        self.fresh.is_some() && self.age(now) < self.beat.dead_after_ms
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn deposed(&self) -> bool {
        self.deposed
    }

    /// Everybody else who was heard within the time after which a slot is dead, in the order of their slots.
    pub fn others(&self, now: u64) -> Vec<(Slot, String)> {
        let alive =
            |s: &Seen| s.left.is_none() && s.heard.is_some_and(|h| now.saturating_sub(h) < self.beat.dead_after_ms);
        let others = self.slots.iter().filter(|(_, s)| alive(s));
        let mut others: Vec<_> = others.map(|(slot, s)| (*slot, s.address.clone())).collect();
        others.sort_unstable_by_key(|(slot, _)| *slot);
        others
    }

    /// Who is silent for long enough. Nobody while this gateway itself does not hear: half of that time without an own
    /// beacon, and a silence may be anybody's.
    pub fn dead(&self, now: u64) -> Vec<Dead> {
        if self.fresh.is_none() || self.age(now) >= self.beat.dead_after_ms / 2 {
            return Vec::new();
        }
        let dead = self.slots.iter().filter_map(|(slot, seen)| {
            let silent = now.saturating_sub(seen.heard.unwrap_or(self.listening));
            let since_ms = match seen.left {
                Some(left) => now.saturating_sub(left),
                None => silent.checked_sub(self.beat.dead_after_ms)?,
            };
            let closing_ms = seen.closing.map(|at| now.saturating_sub(at));
            Some(Dead { slot: *slot, since_ms, left: seen.left.is_some(), closing_ms })
        });
        let mut dead: Vec<_> = dead.collect();
        dead.sort_unstable_by_key(|d| d.slot);
        dead
    }

    pub fn is_deleted(&self, slot: Slot) -> bool {
        self.tombs.set.contains(&slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Slot = Slot(1);
    const OTHER: Slot = Slot(2);

    fn roster() -> Roster {
        Roster::new(OWN, Beat { every_ms: 2_000, dead_after_ms: 10_000 }, 0)
    }

    fn alive(slot: Slot, number: u64) -> ControlRecord {
        ControlRecord::Alive { slot, address: format!("{slot}:1"), number }
    }

    impl Roster {
        fn beat(&mut self, now: u64) {
            let number = self.next_number(now);
            self.read(alive(OWN, number), now);
        }

        fn dead_slots(&self, now: u64) -> Vec<Slot> {
            self.dead(now).into_iter().map(|d| d.slot).collect()
        }
    }

    #[test]
    fn history_says_who_existed_and_news_who_lives() {
        let mut roster = roster();
        roster.read(alive(OTHER, 7), 5);
        assert_eq!((roster.others(5), roster.epoch()), (vec![], 0), "written before this process was there");
        roster.beat(10);
        assert_eq!((roster.others(10), roster.epoch()), (vec![], 1));
        assert_eq!(roster.dead(10), []);
        roster.read(alive(OTHER, 8), 11);
        assert_eq!(roster.others(11), [(OTHER, format!("{OTHER}:1"))]);
    }

    #[test]
    fn one_of_the_history_that_stays_silent_is_dead() {
        let mut roster = roster();
        roster.read(alive(OTHER, 7), 5);
        (0..6).for_each(|n| roster.beat(10 + 2_000 * n));
        assert_eq!(roster.dead(10_009), []);
        assert_eq!(roster.dead(10_012), [Dead { slot: OTHER, since_ms: 2, left: false, closing_ms: None }]);
    }

    #[test]
    fn a_beacon_that_is_sent_again_is_no_sign_of_life() {
        let mut roster = roster();
        roster.beat(0);
        roster.read(alive(OTHER, 3), 1);
        for n in 1..6 {
            roster.beat(2_000 * n);
            roster.read(alive(OTHER, 3), 2_000 * n);
        }
        assert_eq!(roster.dead_slots(10_001), [OTHER]);
        roster.read(alive(OTHER, 4), 10_002);
        assert_eq!(roster.dead_slots(10_003), []);
    }

    #[test]
    fn nobody_is_dead_for_one_who_does_not_hear() {
        let mut roster = roster();
        roster.beat(0);
        roster.read(alive(OTHER, 3), 1);
        assert_eq!(roster.dead(60_000), [], "an outage");
        roster.beat(60_000);
        assert_eq!(roster.dead(60_001), [], "listening anew");
        assert_eq!(roster.others(60_001), []);
    }

    #[test]
    fn the_backlog_after_a_stop_makes_nobody_alive() {
        let mut roster = roster();
        roster.beat(0);
        roster.read(alive(OTHER, 3), 1);
        let late = roster.next_number(1_000);
        // Stopped until 60 s; then the log is read on: an own beacon of then, others of long ago.
        assert!(!roster.is_news(60_000), "known before anything else is done");
        roster.read(alive(OTHER, 4), 60_000);
        roster.read(alive(OWN, late), 60_000);
        roster.read(alive(OTHER, 5), 60_000);
        assert_eq!((roster.others(60_000), roster.age(60_000), roster.epoch()), (vec![], 59_000, 1));
        roster.beat(60_001);
        assert_eq!(roster.epoch(), 2);
        roster.read(alive(OTHER, 6), 60_002);
        assert_eq!(roster.others(60_002).len(), 1);
    }

    #[test]
    fn a_deleted_slot_is_forgotten_for_good() {
        let mut roster = roster();
        roster.beat(0);
        roster.read(alive(OTHER, 1), 1);
        roster.read(ControlRecord::Deleted { slot: OTHER }, 2);
        roster.read(alive(OTHER, 2), 3);
        assert_eq!(roster.others(3), []);
        assert!(roster.is_deleted(OTHER) && !roster.deposed());
        roster.read(ControlRecord::Deleted { slot: OWN }, 4);
        assert!(roster.deposed());
    }

    #[test]
    fn who_left_in_order_is_dead_at_once() {
        let mut roster = roster();
        roster.beat(0);
        roster.read(alive(OTHER, 1), 1);
        roster.read(ControlRecord::Left { slot: OTHER }, 2);
        roster.read(alive(OTHER, 2), 3);
        assert_eq!(roster.others(4), []);
        assert_eq!(roster.dead(5), [Dead { slot: OTHER, since_ms: 3, left: true, closing_ms: None }]);
    }

    #[test]
    fn what_another_closes_is_known_until_it_lives_again() {
        let mut roster = roster();
        let closing = |by| ControlRecord::Closing { slot: OTHER, by, number: 1 };
        roster.read(alive(OTHER, 1), 0);
        roster.read(closing(Slot(3)), 0);
        (0..7).for_each(|n| roster.beat(2_000 * n));
        assert_eq!(roster.dead(12_000)[0].closing_ms, None, "said in the history");
        roster.read(closing(OWN), 12_000);
        assert_eq!(roster.dead(12_001)[0].closing_ms, None, "said by itself");
        roster.read(closing(Slot(3)), 12_001);
        assert_eq!(roster.dead(12_002)[0].closing_ms, Some(1));
        roster.read(alive(OTHER, 2), 12_003);
        assert_eq!(roster.slots[&OTHER].closing, None);
    }

    #[test]
    fn it_is_bounded() {
        let mut roster = roster();
        for slot in 0..2 * MOST_SLOTS as u64 {
            roster.read(alive(Slot(10 + slot), 1), 0);
            roster.read(ControlRecord::Deleted { slot: Slot(1 << 40 | slot) }, 0);
            roster.next_number(0);
        }
        assert_eq!(roster.slots.len(), MOST_SLOTS);
        assert_eq!((roster.tombs.set.len(), roster.tombs.order.len()), (MOST_TOMBS, MOST_TOMBS));
        assert_eq!(roster.sent.len(), MOST_SENT);
    }
}
