//! What waits to be announced, session by session.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::bus::records::{SessionEvent, SessionEventKind};

/// Bounded but for ends of sessions whose start is out: of those there are no more than sessions.
#[derive(Debug)]
pub(super) struct Queue {
    bound: usize,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    of_session: HashMap<Uuid, u64>,
    /// Where both start and end wait: what goes when there is no room.
    whole: BTreeSet<u64>,
    /// Sessions of which nothing is said any more, until they end.
    silent: HashSet<Uuid>,
    events: usize,
}

#[derive(Debug)]
struct Waiting {
    session: Uuid,
    events: Vec<SessionEvent>,
    /// The bus had some of it once: nobody knows what came of that, so none of it may go.
    tried: bool,
}

impl Waiting {
    fn is_whole(&self) -> bool {
        let begins = self.events.first().is_some_and(|e| is_start(e.event));
        begins && !self.tried && self.events.last().is_some_and(|e| is_end(e.event))
    }
}

fn is_start(kind: SessionEventKind) -> bool {
    matches!(kind, SessionEventKind::Connected | SessionEventKind::Moved)
}

fn is_end(kind: SessionEventKind) -> bool {
    kind == SessionEventKind::Disconnected
}

impl Queue {
    pub fn new(bound: usize) -> Queue {
        Queue {
            bound,
            next: 0,
            waiting: BTreeMap::new(),
            of_session: HashMap::new(),
            whole: BTreeSet::new(),
            silent: HashSet::new(),
            events: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.events
    }

    /// Gives how many events were dropped for it, itself included.
    pub fn push(&mut self, event: SessionEvent) -> usize {
        let session = event.session_id;
        if self.silent.contains(&session) {
            if is_end(event.event) {
                self.silent.remove(&session);
            }
            return 1;
        }
        let mut dropped = 0;
        if self.events >= self.bound {
            dropped = self.make_room();
        }
        if self.events >= self.bound && !is_end(event.event) {
            if is_start(event.event) {
                self.silent.insert(session);
                return dropped + 1;
            }
            return dropped + self.replace(event);
        }
        self.append(session, [event], false);
        // An end that found no room goes with its start, where nobody has heard of that yet.
        if self.events > self.bound {
            dropped += self.make_room();
        }
        dropped
    }

    fn append(&mut self, session: Uuid, events: impl IntoIterator<Item = SessionEvent>, tried: bool) {
        let at = *self.of_session.entry(session).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let waiting = self.waiting.entry(at).or_insert_with(|| Waiting { session, events: Vec::new(), tried });
        waiting.tried |= tried;
        let before = waiting.events.len();
        waiting.events.extend(events);
        self.events += waiting.events.len() - before;
        if waiting.is_whole() {
            self.whole.insert(at);
        }
    }

    /// Puts it in the place of one of its kind that waits.
    fn replace(&mut self, event: SessionEvent) -> usize {
        let waiting = self.of_session.get(&event.session_id).and_then(|at| self.waiting.get_mut(at));
        let same = waiting.and_then(|w| w.events.iter_mut().find(|e| e.event == event.event));
        if let Some(same) = same {
            *same = event;
        }
        1
    }

    /// Drops the oldest session whose start and end both wait; gives how many events that were.
    fn make_room(&mut self) -> usize {
        let Some(at) = self.whole.pop_first() else { return 0 };
        self.remove(at).len()
    }

    fn remove(&mut self, at: u64) -> Vec<SessionEvent> {
        let Some(waiting) = self.waiting.remove(&at) else { return Vec::new() };
        self.of_session.remove(&waiting.session);
        self.whole.remove(&at);
        self.events -= waiting.events.len();
        waiting.events
    }

    /// Takes whole sessions, the oldest first, until there are `at_least` events or none is left.
    pub fn take(&mut self, at_least: usize) -> Vec<SessionEvent> {
        let mut taken = Vec::new();
        while taken.len() < at_least {
            let Some(at) = self.waiting.keys().next().copied() else { break };
            taken.append(&mut self.remove(at));
        }
        taken
    }

    /// Takes back what could not be published, before whatever came meanwhile. Gives how many of them are dropped.
    pub fn put_back(&mut self, events: Vec<SessionEvent>) -> usize {
        let mut dropped = 0;
        let mut sessions: Vec<(Uuid, Vec<SessionEvent>)> = Vec::new();
        for event in events {
            match sessions.iter_mut().find(|(id, _)| *id == event.session_id) {
                Some((_, of_it)) => of_it.push(event),
                None => sessions.push((event.session_id, vec![event])),
            }
        }
        for (session, mut events) in sessions {
            if self.silent.contains(&session) {
                dropped += events.len();
                continue;
            }
            if let Some(at) = self.of_session.get(&session).copied() {
                events.append(&mut self.remove(at));
            }
            self.append(session, events, true);
        }
        dropped
    }

    /// Says nothing more of a session that others ended: neither what waits nor what comes, its end included.
    /// `ended`: nothing will come.
    pub fn silence(&mut self, session: Uuid, ended: bool) -> usize {
        let waiting = self.of_session.get(&session).copied();
        let events = waiting.map_or_else(Vec::new, |at| self.remove(at));
        if !ended && !events.last().is_some_and(|e| is_end(e.event)) {
            self.silent.insert(session);
        }
        events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::SessionEventKind::{Authenticated, Connected, Disconnected};
    use super::*;

    fn event(session: u128, event: SessionEventKind) -> SessionEvent {
        let session_id = Uuid::from_u128(session);
        let client_id = format!("0000000000000001.{session_id}.1");
        SessionEvent { event, session_id, tag: 1, client_id, issuer: None, subject: None, reason: None }
    }

    fn names(events: &[SessionEvent]) -> Vec<(u128, SessionEventKind)> {
        events.iter().map(|e| (e.session_id.as_u128(), e.event)).collect()
    }

    fn filled(bound: usize, events: &[(u128, SessionEventKind)]) -> (Queue, usize) {
        let mut queue = Queue::new(bound);
        let dropped = events.iter().map(|(session, kind)| queue.push(event(*session, *kind))).sum();
        (queue, dropped)
    }

    #[test]
    fn within_the_bound_all_is_kept_in_the_order_of_each_session() {
        let said = [(1, Connected), (2, Connected), (1, Authenticated), (2, Disconnected), (1, Disconnected)];
        let (mut queue, dropped) = filled(5, &said);
        assert_eq!((queue.len(), dropped), (5, 0));
        let taken = queue.take(1);
        assert_eq!(names(&taken), [(1, Connected), (1, Authenticated), (1, Disconnected)]);
        assert_eq!(names(&queue.take(9)), [(2, Connected), (2, Disconnected)]);
        assert_eq!((queue.len(), queue.take(1).len()), (0, 0));
    }

    #[test]
    fn without_room_those_go_of_whom_nobody_has_heard() {
        let (mut queue, dropped) = filled(3, &[(1, Connected), (1, Disconnected), (2, Connected), (3, Connected)]);
        assert_eq!(dropped, 2);
        assert_eq!(names(&queue.take(9)), [(2, Connected), (3, Connected)]);
        let (mut queue, dropped) = filled(1, &[(1, Connected), (1, Disconnected)]);
        assert_eq!((dropped, queue.take(9).len(), queue.len()), (2, 0, 0), "both or none");
    }

    #[test]
    fn a_start_that_is_refused_has_no_end() {
        let (mut queue, dropped) = filled(1, &[(1, Connected), (2, Connected), (2, Authenticated)]);
        assert_eq!((dropped, queue.silent.len()), (2, 1));
        assert_eq!(names(&queue.take(9)), [(1, Connected)]);
        assert_eq!(queue.push(event(2, Disconnected)), 1);
        assert_eq!((queue.len(), queue.silent.len()), (0, 0), "and is forgotten with it");
    }

    #[test]
    fn an_end_whose_start_is_out_is_kept_in_any_case() {
        let (mut queue, _) = filled(2, &[(1, Connected), (2, Connected)]);
        assert_eq!(queue.take(9).len(), 2);
        for said in [(3, Connected), (4, Connected), (1, Disconnected), (2, Disconnected)] {
            assert_eq!(queue.push(event(said.0, said.1)), 0);
        }
        let all = [(3, Connected), (4, Connected), (1, Disconnected), (2, Disconnected)];
        assert_eq!(names(&queue.take(9)), all);
    }

    #[test]
    fn what_could_not_be_published_comes_before_what_came_meanwhile() {
        let (mut queue, _) = filled(1, &[(1, Connected)]);
        let tried = queue.take(9);
        assert_eq!(queue.push(event(1, Disconnected)), 0);
        assert_eq!(queue.put_back(tried), 0);
        assert_eq!(queue.push(event(2, Connected)), 1, "what was tried may be out: it makes no room");
        assert_eq!(names(&queue.take(9)), [(1, Connected), (1, Disconnected)]);
    }

    #[test]
    fn without_room_the_newest_word_on_a_subject_counts() {
        let (mut queue, _) = filled(2, &[(1, Connected), (1, Authenticated)]);
        let newer = SessionEvent { subject: Some("ada".into()), ..event(1, Authenticated) };
        assert_eq!(queue.push(newer.clone()), 1);
        assert_eq!(queue.take(9)[1], newer);
    }

    #[test]
    fn of_a_session_that_others_ended_nothing_is_said() {
        let (mut queue, _) = filled(9, &[(1, Connected), (2, Connected), (2, Disconnected)]);
        assert_eq!(queue.silence(Uuid::from_u128(1), false) + queue.silence(Uuid::from_u128(2), false), 3);
        assert_eq!(queue.put_back(vec![event(1, Connected)]), 1);
        assert_eq!(queue.push(event(1, Disconnected)), 1);
        assert_eq!((queue.len(), queue.silent.len()), (0, 0));
    }
}
