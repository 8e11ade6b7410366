//! What must not be said before this gateway has read its own log up to now: 404 and 408.

use std::sync::Arc;

use uuid::Uuid;

use super::Desk;
use super::absent::AGAIN_MS;
use crate::bus::contract::Reply;
use crate::bus::records::SlotRecord;
use crate::shared::Shared;

/// Beyond these the oldest go unsaid: callers have deadlines of their own.
const MAX: usize = 65_536;

#[derive(Debug)]
struct Statement {
    session: Uuid,
    reply: Reply,
    status: u16,
}

/// What a marker brings back.
#[derive(Debug, Default)]
struct Back {
    said: Vec<Statement>,
    /// The epoch that was asked for before it.
    renewed: Option<u64>,
}

/// Statements in two lots: those before the marker that is under way, and those after.
#[derive(Debug, Default)]
pub struct Owed {
    number: u64,
    under_way: Option<u64>,
    /// When that marker was written, in milliseconds of `Shared::now_ms`.
    since: u64,
    before: Vec<Statement>,
    after: Vec<Statement>,
    /// Of [`Alive::standing`](crate::bus::alive::Alive::standing), in the same two lots.
    renewing: Option<u64>,
    to_renew: Option<u64>,
}

impl Owed {
    fn add(&mut self, statement: Statement) -> bool {
        let fits = self.before.len() + self.after.len() < MAX;
        if fits {
            self.after.push(statement);
        }
        fits
    }

    /// The number of a marker that should be written now. One that may not speak asks for nothing but to be renewed.
    fn next(&mut self, may_speak: bool) -> Option<u64> {
        let wanted = self.to_renew.is_some() || may_speak && !self.after.is_empty();
        if self.under_way.is_some() || !wanted {
            return None;
        }
        self.number += 1;
        self.under_way = Some(self.number);
        self.before = std::mem::take(&mut self.after);
        self.renewing = self.to_renew.take();
        Some(self.number)
    }

    /// The marker could not be written, or what it brought back may not be said.
    fn again(&mut self, mut before: Vec<Statement>) {
        before.append(&mut self.after);
        self.after = before;
    }

    fn unsent(&mut self) {
        self.under_way = None;
        let before = std::mem::take(&mut self.before);
        self.again(before);
        self.to_renew = self.to_renew.max(self.renewing.take());
    }

    /// What may be said now that a marker came back.
    fn came_back(&mut self, number: u64) -> Back {
        if self.under_way != Some(number) {
            return Back::default();
        }
        self.under_way = None;
        Back { said: std::mem::take(&mut self.before), renewed: self.renewing.take() }
    }

    /// Another gateway speaks for this session from now on.
    fn forget(&mut self, session: Uuid) {
        self.before.retain(|s| s.session != session);
        self.after.retain(|s| s.session != session);
    }
}

impl Desk {
    /// Says it once this gateway knows that the session is still its own.
    pub(super) fn owe(&self, shared: &Arc<Shared>, session: Uuid, reply: Reply, status: u16) {
        if !self.owed.lock().add(Statement { session, reply, status }) {
            shared.metrics.event_lost("too much to say");
        }
        self.send_marker();
    }

    pub(super) fn send_marker(&self) {
        let Some(number) = self.owed.lock().next(self.alive.may_speak()) else { return };
        if self.append(&SlotRecord::Marker { by: self.bus.slot(), number }).is_err() {
            self.owed.lock().unsent();
        }
    }

    /// A marker that has not come back for so long is lost: its statements wait for the next one.
    pub(super) fn send_marker_again(&self, now: u64) {
        {
            let mut owed = self.owed.lock();
            match owed.under_way {
                Some(_) if owed.since + AGAIN_MS <= now => owed.unsent(),
                Some(_) => return,
                None => {}
            }
            owed.since = now;
        }
        self.send_marker();
    }

    /// A marker of this gateway came out of its own log.
    pub(super) fn marker_came(&self, shared: &Arc<Shared>, number: u64) {
        let Back { said, renewed } = self.owed.lock().came_back(number);
        if let Some(epoch) = renewed {
            self.alive.renewed(epoch);
        }
        if self.alive.may_speak() {
            for statement in said {
                self.tell(shared, &statement.reply, statement.status);
            }
        } else {
            self.owed.lock().again(said);
        }
        self.send_marker();
    }

    /// Asks to be told, by [`Alive::renewed`](crate::bus::alive::Alive::renewed), when the own log is read up to now.
    pub(super) fn renew(&self, epoch: u64) {
        self.owed.lock().to_renew = Some(epoch);
        self.send_marker();
    }

    /// The marker under way is lost with its log.
    pub(super) fn marker_lost(&self) {
        self.owed.lock().unsent();
        self.send_marker();
    }

    pub(super) fn say_nothing_of(&self, session: Uuid) {
        self.owed.lock().forget(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(session: u128, status: u16) -> Statement {
        Statement { session: Uuid::from_u128(session), reply: Reply { to: "q".into(), correlation_id: None }, status }
    }

    #[test]
    fn nothing_is_said_before_a_marker_that_was_written_after_it() {
        let mut owed = Owed::default();
        owed.add(statement(1, 404));
        assert_eq!(owed.next(true), Some(1));
        owed.add(statement(2, 408));
        assert_eq!(owed.next(true), None, "one at a time");
        assert!(owed.came_back(0).said.is_empty());
        let said: Vec<u16> = owed.came_back(1).said.iter().map(|s| s.status).collect();
        assert_eq!(said, [404]);
        assert_eq!(owed.next(true), Some(2));
        owed.forget(Uuid::from_u128(2));
        assert!(owed.came_back(2).said.is_empty());
    }

    #[test]
    fn a_marker_that_is_lost_is_written_again() {
        let mut owed = Owed { to_renew: Some(3), ..Owed::default() };
        owed.add(statement(1, 404));
        owed.next(true);
        owed.add(statement(2, 404));
        owed.unsent();
        assert_eq!(owed.next(true), Some(2));
        let back = owed.came_back(2);
        assert_eq!((back.said.len(), back.renewed), (2, Some(3)));
    }

    #[test]
    fn one_that_may_not_speak_asks_to_be_renewed_alone() {
        let mut owed = Owed::default();
        owed.add(statement(1, 404));
        assert_eq!(owed.next(false), None);
        owed.to_renew = Some(7);
        assert_eq!(owed.next(false), Some(1));
        assert_eq!(owed.came_back(1).renewed, Some(7));
    }
}
