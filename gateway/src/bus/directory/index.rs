//! Session → where it lives and whose it is; subject → its sessions. Measured: 140 MB for a million sessions of as many
//! subjects with names of 36 characters, most of it for the names.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::num::NonZeroU8;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use uuid::Uuid;

use super::intern::Interner;
use crate::bus::Slot;
use crate::bus::contract::Address;
use crate::bus::records::{Presence, SessionEvent, SessionEventKind};

/// Sessions whose end was read a short while ago, so that a repeat of their start does not bring them back.
const MOST_ENDED: usize = 65_536;
/// No place, no subject.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Index {
    bound: usize,
    sessions: Vec<Option<Session>>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    hasher: RandomState,
    slots: Interner<Slot>,
    issuers: Interner<Box<str>>,
    subjects: Interner<(u32, Box<str>)>,
    /// By the subject's number: the first of its sessions.
    heads: Vec<u32>,
    ended: HashMap<Uuid, u8>,
    ended_in_order: VecDeque<Uuid>,
}

#[derive(Debug)]
struct Session {
    id: Uuid,
    slot: u32,
    subject: u32,
    /// Before and after it among the sessions of its subject.
    previous: u32,
    next: u32,
    tag: NonZeroU8,
}

impl Index {
    pub fn new(bound: usize) -> Index {
        Index {
            bound,
            sessions: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: RandomState::default(),
            slots: Interner::default(),
            issuers: Interner::default(),
            subjects: Interner::default(),
            heads: Vec::new(),
            ended: HashMap::new(),
            ended_in_order: VecDeque::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// `false`: there was no room for it. Repeats, what is out of date and what makes no sense change nothing.
    pub fn apply(&mut self, event: &SessionEvent) -> bool {
        let Some(Address::Client { slot, session, tag }) = Address::parse(&event.client_id) else { return true };
        let Some(tag) = NonZeroU8::new(tag) else { return true };
        if session != event.session_id || tag.get() != event.tag {
            return true;
        }
        let subject = event.issuer.as_deref().zip(event.subject.as_deref());
        match event.event {
            SessionEventKind::Connected | SessionEventKind::Moved | SessionEventKind::Authenticated => {
                self.put(session, slot, tag, subject, event.event == SessionEventKind::Authenticated)
            }
            SessionEventKind::Disconnected => {
                self.end(session, tag);
                true
            }
            SessionEventKind::Joined | SessionEventKind::Left => true,
        }
    }

    /// Who is said to be there still; as [`Index::apply`].
    pub fn present(&mut self, slot: Slot, sessions: &[Presence]) -> bool {
        let mut fits = true;
        for there in sessions {
            let subject = there.issuer.as_deref().zip(there.subject.as_deref());
            if let Some(tag) = NonZeroU8::new(there.tag) {
                fits &= self.put(there.session, slot, tag, subject, false);
            }
        }
        fits
    }

    fn put(&mut self, id: Uuid, slot: Slot, tag: NonZeroU8, subject: Option<(&str, &str)>, again: bool) -> bool {
        if self.ended.get(&id).is_some_and(|ended| *ended >= tag.get()) {
            return true;
        }
        if let Some(at) = self.find(id) {
            let known = self.sessions[at as usize].as_ref().map_or(tag, |s| s.tag);
            if tag < known || (tag == known && !again) {
                return true;
            }
            self.remove(at);
        }
        if self.len() >= self.bound {
            return false;
        }
        self.add(id, slot, tag, subject);
        true
    }

    fn add(&mut self, id: Uuid, slot: Slot, tag: NonZeroU8, subject: Option<(&str, &str)>) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            self.sessions.len() as u32 - 1
        });
        let subject = subject.map_or(NONE, |(issuer, subject)| {
            let issuer = self.issuers.acquire(issuer.into());
            self.subjects.acquire((issuer, subject.into()))
        });
        let mut next = NONE;
        if subject != NONE {
            if self.heads.len() <= subject as usize {
                self.heads.resize(subject as usize + 1, NONE);
            }
            next = std::mem::replace(&mut self.heads[subject as usize], at);
            self.at(next, |s| s.previous = at);
        }
        let slot = self.slots.acquire(slot);
        self.sessions[at as usize] = Some(Session { id, slot, subject, previous: NONE, next, tag });
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        let hash_of = |at: &u32| sessions[*at as usize].as_ref().map_or(0, |s| hasher.hash_one(s.id));
        self.by_id.insert_unique(hasher.hash_one(id), at, hash_of);
    }

    fn end(&mut self, id: Uuid, tag: NonZeroU8) {
        let known = self.find(id).filter(|at| self.sessions[*at as usize].as_ref().is_some_and(|s| s.tag <= tag));
        if let Some(at) = known {
            self.remove(at);
        }
        let ended = self.ended.entry(id).or_insert_with(|| {
            self.ended_in_order.push_back(id);
            tag.get()
        });
        *ended = (*ended).max(tag.get());
        if self.ended_in_order.len() > MOST_ENDED
            && let Some(oldest) = self.ended_in_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    fn remove(&mut self, at: u32) {
        let Some(session) = self.sessions[at as usize].take() else { return };
        self.free.push(at);
        if let Ok(entry) = self.by_id.find_entry(self.hasher.hash_one(session.id), |other| *other == at) {
            entry.remove();
        }
        self.slots.release(session.slot);
        if session.subject == NONE {
            return;
        }
        self.at(session.next, |s| s.previous = session.previous);
        if session.previous == NONE {
            self.heads[session.subject as usize] = session.next;
        } else {
            self.at(session.previous, |s| s.next = session.next);
        }
        if let Some((issuer, _)) = self.subjects.get(session.subject) {
            // One use of the issuer for each of its sessions.
            self.issuers.release(*issuer);
            self.subjects.release(session.subject);
        }
    }

    fn at(&mut self, at: u32, change: impl FnOnce(&mut Session)) {
        if let Some(Some(session)) = self.sessions.get_mut(at as usize) {
            change(session);
        }
    }

    fn find(&self, id: Uuid) -> Option<u32> {
        let is = |at: &u32| self.sessions[*at as usize].as_ref().is_some_and(|s| s.id == id);
        self.by_id.find(self.hasher.hash_one(id), is).copied()
    }

    fn home_of(&self, session: &Session) -> Option<(Slot, u8)> {
        Some((*self.slots.get(session.slot)?, session.tag.get()))
    }

    /// Where a session lives, and under which tag.
    pub fn home(&self, id: Uuid) -> Option<(Slot, u8)> {
        self.home_of(self.sessions[self.find(id)? as usize].as_ref()?)
    }

    pub fn of_subject(&self, issuer: &str, subject: &str) -> Vec<String> {
        let found = self.issuers.find(&issuer.into()).and_then(|i| self.subjects.find(&(i, subject.into())));
        let mut at = found.map_or(NONE, |subject| self.heads[subject as usize]);
        let mut clients = Vec::new();
        while let Some(Some(session)) = self.sessions.get(at as usize) {
            clients.extend(self.home_of(session).map(|(slot, tag)| format!("{slot}.{}.{tag}", session.id)));
            at = session.next;
        }
        clients
    }

    /// Looks at every session: for what happens once in a gateway's life.
    pub fn in_slot(&self, slot: Slot) -> Vec<Presence> {
        let Some(slot) = self.slots.find(&slot) else { return Vec::new() };
        let of_it = self.sessions.iter().flatten().filter(|s| s.slot == slot);
        let resident = |s: &Session| {
            let subject = self.subjects.get(s.subject);
            let issuer = subject.and_then(|(issuer, _)| self.issuers.get(*issuer)).map(|i| i.to_string());
            Presence { session: s.id, tag: s.tag.get(), issuer, subject: subject.map(|(_, s)| s.to_string()) }
        };
        of_it.map(resident).collect()
    }

    /// Takes out whoever is said to live in a slot that is over.
    pub fn forget(&mut self, slot: Slot) -> usize {
        let Some(slot) = self.slots.find(&slot) else { return 0 };
        let of_it = |at: &u32| self.sessions[*at as usize].as_ref().is_some_and(|s| s.slot == slot);
        let of_it: Vec<u32> = (0..self.sessions.len() as u32).filter(of_it).collect();
        of_it.iter().for_each(|at| self.remove(*at));
        of_it.len()
    }
}

#[cfg(test)]
mod tests;
