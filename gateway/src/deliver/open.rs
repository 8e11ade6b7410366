//! Receipts and answers that somebody waits for. Pure: a map, its deadlines, its bounds.

use std::collections::{BTreeMap, BTreeSet};

use bannou_crds::Target;
use uuid::Uuid;

use crate::bus::contract::Reply;

/// Of this gateway; a request beyond is answered 429.
pub const MAX_OPEN: usize = 65_536;
/// Of one session.
pub const MAX_OF_SESSION: usize = 1024;

/// The session, and the exchange number of the frame.
pub type Key = (Uuid, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// That the frame is on the client's socket.
    Receipt,
    /// What the client answers.
    Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub reply: Reply,
    pub awaits: Awaits,
    /// The event's.
    pub target: Target,
    /// In milliseconds of `Shared::now_ms`; a receipt waits as long as its session may come back: `u64::MAX`.
    pub deadline: u64,
    /// The frame was queued for the client: it is told when this is over.
    pub delivered: bool,
}

#[derive(Default)]
pub struct Exchanges {
    open: BTreeMap<Key, Open>,
    deadlines: BTreeSet<(u64, Uuid, u64)>,
}

impl Exchanges {
    /// `false`: as many are open as may.
    pub fn open(&mut self, key: Key, open: Open) -> bool {
        let full = self.open.len() >= MAX_OPEN || self.of(key.0).count() >= MAX_OF_SESSION;
        if full {
            return false;
        }
        if open.deadline != u64::MAX {
            self.deadlines.insert((open.deadline, key.0, key.1));
        }
        self.open.insert(key, open);
        true
    }

    pub fn get(&self, key: &Key) -> Option<&Open> {
        self.open.get(key)
    }

    pub fn delivered(&mut self, key: &Key) {
        if let Some(open) = self.open.get_mut(key) {
            open.delivered = true;
        }
    }

    pub fn take(&mut self, key: &Key) -> Option<Open> {
        let open = self.open.remove(key)?;
        self.deadlines.remove(&(open.deadline, key.0, key.1));
        Some(open)
    }

    /// What a client may answer under this event and number: once.
    pub fn answered(&mut self, key: &Key, target: Target) -> Option<Open> {
        // Not only what is known to be delivered: a quick answer is here before the writer of the frame has said so.
        let fits = |o: &Open| o.awaits == Awaits::Answer && o.target == target;
        self.open.get(key).is_some_and(fits).then(|| self.take(key))?
    }

    /// Receipts for what the client says it has.
    pub fn received(&mut self, session: Uuid, has: impl Fn(u64) -> bool) -> Vec<Open> {
        let keys: Vec<Key> = self
            .of(session)
            .filter(|((_, number), open)| open.awaits == Awaits::Receipt && has(*number))
            .map(|(key, _)| *key)
            .collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// All of a session that `which` chooses.
    pub fn take_of(&mut self, session: Uuid, which: impl Fn(&Open) -> bool) -> Vec<(u64, Open)> {
        let keys: Vec<Key> = self.of(session).filter(|(_, open)| which(open)).map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.take(key).map(|open| (key.1, open))).collect()
    }

    /// Those whose deadline has passed.
    pub fn due(&mut self, now: u64) -> Vec<(Key, Open)> {
        let mut due = Vec::new();
        while let Some((deadline, session, number)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let key = (session, number);
            due.extend(self.open.remove(&key).map(|open| (key, open)));
        }
        due
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    fn of(&self, session: Uuid) -> impl Iterator<Item = (&Key, &Open)> {
        self.open.range((session, 0)..=(session, u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);

    fn open(awaits: Awaits, deadline: u64) -> Open {
        let reply = Reply { to: "q".into(), correlation_id: None };
        Open { reply, awaits, target: Target(7), deadline, delivered: false }
    }

    #[test]
    fn a_client_answers_once_what_it_was_asked() {
        let mut all = Exchanges::default();
        assert!(all.open((A, 5), open(Awaits::Answer, 100)));
        assert!(all.answered(&(B, 5), Target(7)).is_none());
        assert!(all.answered(&(A, 5), Target(8)).is_none());
        assert!(all.answered(&(A, 5), Target(7)).is_some());
        assert!(all.answered(&(A, 5), Target(7)).is_none());
        assert!(all.due(1000).is_empty(), "its deadline went with it");
    }

    #[test]
    fn deadlines_and_receipts() {
        let mut all = Exchanges::default();
        all.open((A, 1), open(Awaits::Answer, 100));
        all.open((B, 1), open(Awaits::Answer, 50));
        all.open((A, 2), open(Awaits::Receipt, u64::MAX));
        all.open((A, 3), open(Awaits::Receipt, u64::MAX));
        let due: Vec<Key> = all.due(100).into_iter().map(|(key, _)| key).collect();
        assert_eq!(due, [(B, 1), (A, 1)]);
        assert_eq!(all.received(A, |number| number <= 2).len(), 1);
        assert_eq!(all.take_of(A, |_| true).len(), 1);
        assert_eq!(all.len(), 0);
    }

    #[test]
    fn one_session_cannot_take_it_all() {
        let mut all = Exchanges::default();
        assert!((0..MAX_OF_SESSION as u64).all(|n| all.open((A, n), open(Awaits::Answer, 1))));
        assert!(!all.open((A, u64::MAX), open(Awaits::Answer, 1)));
        assert!(all.open((B, 0), open(Awaits::Answer, 1)));
    }
}
