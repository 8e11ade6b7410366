//! Sessions without a connection: for a while their clients may come back, then they are closed.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Desk;
use crate::bus::records::SlotRecord;
use crate::session::Session;
use crate::shared::Shared;

/// A broker that has just started can lose what it took: what has not come back by then is written again.
pub(super) const AGAIN_MS: u64 = 5_000;

#[derive(Default)]
pub struct Absent(HashMap<Uuid, Away>);

struct Away {
    session: Arc<Session>,
    /// In milliseconds of `Shared::now_ms`.
    until: u64,
    reason: &'static str,
    /// When `closed` was written; when it comes back out of the log the session is over.
    closing: Option<u64>,
}

impl Absent {
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Desk {
    /// A connection is over. `until`: how long its client may come back, in milliseconds of `Shared::now_ms`; 0: not at all.
    pub fn left(&self, session: &Arc<Session>, until: u64, reason: &'static str) {
        let mut away = Away { session: session.clone(), until, reason, closing: None };
        let mut absent = self.absent.lock();
        if until == 0 {
            // Before anybody can ask for it: of the two in the log, the first one counts.
            let record = SlotRecord::Closed { session: session.id(), by: self.bus.slot() };
            away.closing = self.append(&record).is_ok().then(|| session.shared.now_ms());
        }
        absent.0.insert(session.id(), away);
    }

    /// The session of a client that may still come back.
    pub fn away(&self, id: Uuid) -> Option<Arc<Session>> {
        self.absent.lock().0.get(&id).map(|away| away.session.clone())
    }

    /// The client is there again, on another connection.
    pub fn back(&self, id: Uuid) {
        self.absent.lock().0.remove(&id);
    }

    /// Begins to close those whose time is over: written to the log first, since a resume may be there already.
    pub(super) fn close_absent(&self, shared: &Arc<Shared>, now: u64) {
        let by = self.bus.slot();
        let most = shared.max_absent;
        let mut absent = self.absent.lock();
        let over = absent.0.len().saturating_sub(most);
        if over > 0 {
            // Those who would have the least time left.
            let mut all: Vec<(u64, Uuid)> = absent.0.values().map(|a| (a.until, a.session.id())).collect();
            all.select_nth_unstable(over - 1);
            for (_, id) in &all[..over] {
                absent.0.entry(*id).and_modify(|away| away.until = 0);
            }
        }
        let due = |a: &&mut Away| a.until <= now && a.closing.is_none_or(|since| since + AGAIN_MS <= now);
        for away in absent.0.values_mut().filter(due) {
            // The bus takes no more: again with the next sweep.
            let record = SlotRecord::Closed { session: away.session.id(), by };
            away.closing = self.append(&record).is_ok().then_some(now);
        }
    }

    /// `closed` came out of the log, by this gateway: the session is over.
    pub(super) fn closed(&self, shared: &Arc<Shared>, id: Uuid) {
        let Some(away) = self.absent.lock().0.remove(&id) else { return };
        self.end(shared, &away.session, 404);
        away.session.ended(away.reason);
    }

    /// Another gateway has closed this session, or taken it over: it speaks for it from now on.
    pub(super) fn gone_elsewhere(&self, shared: &Arc<Shared>, id: Uuid, taken_over: bool) {
        self.say_nothing_of(id);
        shared.disown(id);
        drop(self.exchanges.lock().take_of(id, |_| true));
        if let Some(session) = shared.table.find(id) {
            session.gone_elsewhere(taken_over);
            session.forgotten();
        }
        let away = self.absent.lock().0.remove(&id);
        if let Some(away) = away {
            away.session.forgotten();
        }
    }

    /// All that waits for a session hears that it is gone.
    fn end(&self, shared: &Arc<Shared>, session: &Arc<Session>, status: u16) {
        let open = self.exchanges.lock().take_of(session.id(), |_| true);
        for (_, open) in open {
            self.tell(shared, &open.reply, status);
        }
    }

    /// The log was made anew: what was written there about sessions must be written again.
    pub(super) fn closing_lost(&self) {
        self.absent.lock().0.values_mut().for_each(|away| away.closing = None);
    }

    /// Nobody can come back any more: this gateway leaves.
    pub fn close_everybody(&self, shared: &Arc<Shared>) {
        self.absent.lock().0.values_mut().for_each(|away| away.until = 0);
        self.close_absent(shared, shared.now_ms());
    }

    /// This slot is over by the word of another gateway: so is everything in it.
    pub fn depose(&self, shared: &Arc<Shared>) {
        let mut all: Vec<Uuid> = self.absent.lock().0.keys().copied().collect();
        for part in 0..crate::table::SHARDS {
            all.extend(shared.table.part(part).iter().map(|session| session.id()));
        }
        all.into_iter().for_each(|id| self.gone_elsewhere(shared, id, false));
    }

    pub(super) fn each_away(&self, f: impl Fn(&Arc<Session>)) {
        // Not under the lock: sessions ask for it under theirs.
        self.all_away().iter().for_each(f);
    }

    /// Everybody who may still come back.
    pub fn all_away(&self) -> Vec<Arc<Session>> {
        self.absent.lock().0.values().map(|away| away.session.clone()).collect()
    }

    /// The session of a client that is away is over: it may not come back, also not before the next sweep.
    pub fn put_out(&self, id: Uuid, reason: &'static str) {
        if let Some(away) = self.absent.lock().0.get_mut(&id) {
            (away.until, away.reason) = (0, reason);
            if away.closing.is_none() {
                let record = SlotRecord::Closed { session: id, by: self.bus.slot() };
                away.closing = self.append(&record).is_ok().then(|| away.session.shared.now_ms());
            }
        }
    }

    pub fn nobody_is_away(&self) -> bool {
        self.absent.lock().0.is_empty()
    }
}
