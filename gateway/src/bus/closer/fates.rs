//! What became of the sessions of a dead slot, by the order of its log.

use std::collections::HashMap;

use uuid::Uuid;

use crate::bus::Slot;
use crate::bus::records::SlotRecord;

/// Sessions of one log that are told apart. Those beyond are answered 404 without a record that says so: nobody closes
/// what a service made up.
const MOST_SESSIONS: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nobody has closed it, nobody has taken it over.
    Open,
    Closed,
    /// It lives in another slot.
    Taken,
}

/// Of a takeover by another slot and `closed`, the first in the log counts.
#[derive(Debug)]
pub(super) struct Fates {
    slot: Slot,
    bound: usize,
    /// With the highest tag under which the session is known to have been taken over, within its slot or beyond.
    sessions: HashMap<Uuid, (Fate, u8)>,
}

impl Fates {
    pub fn new(slot: Slot) -> Fates {
        Fates { slot, bound: MOST_SESSIONS, sessions: HashMap::new() }
    }

    /// The session lives in this slot, says the directory, and got there under this tag: takeovers by older tokens lost.
    pub fn resides(&mut self, session: Uuid, tag: u8) {
        if let Some((_, known)) = self.mention(session) {
            *known = tag.max(*known);
        }
    }

    /// The session has something to do with this slot.
    pub fn mention(&mut self, session: Uuid) -> Option<&mut (Fate, u8)> {
        if self.sessions.len() >= self.bound && !self.sessions.contains_key(&session) {
            return None;
        }
        Some(self.sessions.entry(session).or_insert((Fate::Open, 0)))
    }

    pub fn read(&mut self, record: &SlotRecord) {
        let slot = self.slot;
        match record {
            SlotRecord::Takeover { session, tag, slot: to, .. } => {
                let Some((fate, known)) = self.mention(*session) else { return };
                // The first one with a tag wins it; a resume within the slot goes through the log like any other.
                if *fate == Fate::Open && tag > known {
                    *known = *tag;
                    if *to != slot {
                        *fate = Fate::Taken;
                    }
                }
            }
            SlotRecord::Closed { session, .. } => {
                if let Some((fate @ Fate::Open, _)) = self.mention(*session) {
                    *fate = Fate::Closed;
                }
            }
            SlotRecord::Settled { .. } | SlotRecord::Marker { .. } => {}
        }
    }

    /// Those who are still to be closed.
    pub fn open(&self) -> Vec<Uuid> {
        let open = self.sessions.iter().filter(|(_, (fate, _))| *fate == Fate::Open);
        open.map(|(session, _)| *session).collect()
    }

    pub fn of(&self, session: Uuid) -> Option<Fate> {
        self.sessions.get(&session).map(|(fate, _)| *fate)
    }

    pub fn is_taken(&self, session: Uuid) -> bool {
        self.of(session) == Some(Fate::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: Slot = Slot(1);
    const OTHER: Slot = Slot(2);
    const SESSION: Uuid = Uuid::from_u128(7);

    fn takeover(tag: u8, slot: Slot) -> SlotRecord {
        SlotRecord::Takeover { session: SESSION, tag, slot, id: Uuid::from_u128(tag.into()) }
    }

    fn fate(records: &[SlotRecord]) -> Option<Fate> {
        let mut fates = Fates::new(DEAD);
        records.iter().for_each(|record| fates.read(record));
        fates.of(SESSION)
    }

    #[test]
    fn of_takeover_and_closed_the_first_counts() {
        let closed = SlotRecord::Closed { session: SESSION, by: OTHER };
        assert_eq!(fate(&[]), None);
        assert_eq!(fate(&[closed.clone(), takeover(2, OTHER)]), Some(Fate::Closed));
        assert_eq!(fate(&[takeover(2, OTHER), closed.clone()]), Some(Fate::Taken));
        assert_eq!(fate(&[takeover(2, DEAD), closed]), Some(Fate::Closed), "a resume in the slot itself is no end");
    }

    #[test]
    fn the_first_takeover_with_a_tag_wins_it() {
        assert_eq!(fate(&[takeover(2, DEAD), takeover(2, OTHER)]), Some(Fate::Open));
        assert_eq!(fate(&[takeover(2, DEAD), takeover(3, OTHER)]), Some(Fate::Taken));
        let mut fates = Fates::new(DEAD);
        fates.resides(SESSION, 3);
        fates.read(&takeover(3, OTHER));
        assert!(!fates.is_taken(SESSION), "by a token of before it came here");
        fates.read(&takeover(4, OTHER));
        assert!(fates.is_taken(SESSION));
    }

    #[test]
    fn whoever_is_mentioned_is_to_be_closed_within_the_bound() {
        let mut fates = Fates { bound: 1, ..Fates::new(DEAD) };
        fates.mention(SESSION);
        assert!(fates.mention(Uuid::from_u128(8)).is_none());
        assert_eq!(fates.open(), [SESSION]);
        fates.read(&SlotRecord::Closed { session: SESSION, by: OTHER });
        assert!(fates.open().is_empty() && !fates.is_taken(SESSION));
    }
}
