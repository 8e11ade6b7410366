//! Who is connected. Sessions enter once and leave by the guard that entering gave.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::session::Session;

/// Locks are held for a look-up at most; several, so that a wave of connects does not queue behind one.
pub const SHARDS: usize = 16;

#[derive(Default)]
pub struct Table {
    shards: [Mutex<HashMap<Uuid, Arc<Session>>>; SHARDS],
    /// Those who have asked to resume, or will.
    waiting: Mutex<Vec<Arc<Session>>>,
    subjects: Mutex<HashMap<u64, Vec<Uuid>>>,
}

/// Takes its session out again when it is dropped.
pub struct Seat(Arc<Session>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.leave();
        self.0.shared.table.remove(&self.0);
    }
}

impl Table {
    /// A session whose identity is not decided yet waits beside the others.
    pub fn enter(session: &Arc<Session>) -> Seat {
        let table = &session.shared.table;
        if session.is_known() {
            table.shard(session.id()).lock().insert(session.id(), session.clone());
        } else {
            table.waiting.lock().push(session.clone());
        }
        Seat(session.clone())
    }

    /// A waiting session has its identity now, and takes the place of whoever had it.
    pub fn identified(&self, session: &Arc<Session>) {
        self.shard(session.id()).lock().insert(session.id(), session.clone());
        self.waiting.lock().retain(|s| !Arc::ptr_eq(s, session));
    }

    fn remove(&self, session: &Arc<Session>) {
        if !session.is_known() {
            self.waiting.lock().retain(|s| !Arc::ptr_eq(s, session));
            return;
        }
        let mut shard = self.shard(session.id()).lock();
        if shard.get(&session.id()).is_some_and(|s| Arc::ptr_eq(s, session)) {
            shard.remove(&session.id());
        }
    }

    pub fn find(&self, id: Uuid) -> Option<Arc<Session>> {
        self.shard(id).lock().get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().len()).sum::<usize>() + self.waiting.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` for everybody. It must not enter or leave.
    pub fn each(&self, f: impl Fn(&Arc<Session>)) {
        for shard in &self.shards {
            shard.lock().values().for_each(&f);
        }
        self.each_waiting(f);
    }

    /// The same for those whose identity is not decided yet.
    pub fn each_waiting(&self, f: impl Fn(&Arc<Session>)) {
        self.waiting.lock().iter().for_each(f);
    }

    /// One of [`SHARDS`] parts of everybody whose identity is known.
    pub fn part(&self, part: usize) -> Vec<Arc<Session>> {
        self.shards[part % SHARDS].lock().values().cloned().collect()
    }

    /// The sessions of a subject.
    pub fn of_subject(&self, subject: u64) -> Vec<Arc<Session>> {
        let ids = self.subjects.lock().get(&subject).cloned().unwrap_or_default();
        ids.into_iter().filter_map(|id| self.find(id)).collect()
    }

    /// Counts a connection for its subject; gives the oldest ones that are now too many.
    pub fn add_subject(&self, subject: u64, session: Uuid, at_most: usize) -> Vec<Arc<Session>> {
        let mut subjects = self.subjects.lock();
        let list = subjects.entry(subject).or_default();
        if !list.contains(&session) {
            list.push(session);
        }
        let too_many = list.len().saturating_sub(at_most.max(1));
        let oldest: Vec<Uuid> = list.drain(..too_many).collect();
        drop(subjects);
        oldest.into_iter().filter_map(|id| self.find(id)).collect()
    }

    pub fn remove_subject(&self, subject: u64, session: Uuid) {
        let mut subjects = self.subjects.lock();
        if let Some(list) = subjects.get_mut(&subject) {
            list.retain(|id| *id != session);
            if list.is_empty() {
                subjects.remove(&subject);
            }
        }
    }

    fn shard(&self, id: Uuid) -> &Mutex<HashMap<Uuid, Arc<Session>>> {
        &self.shards[id.as_bytes()[0] as usize % SHARDS]
    }
}
