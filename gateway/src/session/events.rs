//! What services send to this session: frames out of logs, and the client's answers.

use std::sync::Arc;

use bannou_crds::Target;
use bannou_crds::catalog::OnOverflow;
use bytes::Bytes;

use super::{Close, Session, State};
use crate::control::{Reconnect, to_json};
use crate::deliver::position::{self, Homes};
use crate::problem::{self, More};
use crate::view::View;
use crate::wire::{ERROR, Header, INBOUND, LOGGED, ONE_WAY};
use crate::ws::{Refused, Writer};

const OVERFLOWED: Close =
    Close::new(1013, "the queue is full: what was not delivered waits in the log", Reconnect::Resume);
const ELSEWHERE: Close = Close::new(4410, "this session was closed elsewhere", Reconnect::Fresh);
const NO_MORE_TAGS: Close = Close::new(4410, "this session has moved as often as it may", Reconnect::Fresh);
const TAKEN_OVER: Close = Close::new(4409, "a newer connection of this session took its place", Reconnect::No);

/// Frames that wait because only the newest of their event counts.
const MAX_HELD_BYTES: usize = 1 << 20;

/// Which log a frame stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stands {
    /// `bannou.groups`.
    Groups,
    /// The log of this gateway's slot.
    Home,
}

/// A service's message on its way to one session.
#[derive(Clone, Copy, Debug)]
pub struct EventFrame<'a> {
    pub target: Target,
    pub request: bool,
    pub on_overflow: OnOverflow,
    pub stands: Stands,
    pub offset: u64,
    pub body: &'a Bytes,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Queued; with the kernel once the writer has passed this mark.
    Queued(u64),
    /// Waits for room, or for a replay that is under way.
    Waits,
    /// The client does not keep up, or is not there: it stays in the log until it comes back.
    Absent,
    /// This session may not receive it.
    Forbidden,
    /// The client does not keep up, and the event is one that may be lost.
    Dropped,
}

/// What only those sessions have that moved, replay, or whose client is slow.
#[derive(Debug)]
pub struct Logged {
    pub homes: Homes,
    pub replay: Option<Replay>,
    held: Vec<Held>,
    /// A task waits for room for what is held.
    waiting: bool,
    /// Tiers that came after the session began: what was sent before is not theirs.
    gained: Vec<Gained>,
    /// A pong has answered a ping that was sent after the newest token.
    pub settled: bool,
}

impl Logged {
    pub(super) fn at(homes: Homes) -> Logged {
        Logged { homes, ..Logged::default() }
    }

    pub(super) fn forget_held(&mut self) {
        self.held.clear();
        self.waiting = false;
    }
}

impl Default for Logged {
    fn default() -> Logged {
        Logged {
            homes: Homes::first(),
            replay: None,
            held: Vec::new(),
            waiting: false,
            gained: Vec::new(),
            settled: true,
        }
    }
}

/// How far a replay has come, by log: the next offset to send, and the newest that was left to it meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replay {
    pub home: Option<Progress>,
    pub groups: Option<Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub next: u64,
    /// All up to here, itself included, is the replay's.
    pub until: u64,
}

#[derive(Debug)]
struct Held {
    stands: Stands,
    offset: u64,
    target: Target,
    request: bool,
    body: Bytes,
}

#[derive(Debug)]
struct Gained {
    tier: Box<str>,
    /// The newest offsets that were before it.
    home: Option<u64>,
    groups: Option<u64>,
}

impl State {
    pub(super) fn tag(&self) -> u8 {
        self.logged.as_ref().map_or(position::FIRST_HOME, |l| l.homes.current())
    }

    /// The exchange number of what stands there.
    pub(super) fn number(&self, stands: Stands, offset: u64) -> u64 {
        match (stands, &self.logged) {
            (Stands::Groups, _) => position::number(position::GROUPS, offset),
            (Stands::Home, Some(logged)) => logged.homes.number(offset),
            (Stands::Home, None) => position::number(position::FIRST_HOME, offset),
        }
    }

    fn replay(&mut self, stands: Stands) -> Option<&mut Progress> {
        let replay = self.logged.as_mut()?.replay.as_mut()?;
        match stands {
            Stands::Home => replay.home.as_mut(),
            Stands::Groups => replay.groups.as_mut(),
        }
    }

    fn holds_back(&self) -> bool {
        self.logged.as_ref().is_some_and(|l| !l.held.is_empty())
    }
}

impl Session {
    /// Sends a frame that just came out of a log. Never waits; flush when the batch is over.
    pub fn deliver(self: &Arc<Self>, frame: &EventFrame<'_>) -> Delivery {
        let mut state = self.state.lock();
        if state.left || state.closing.is_some() || !state.greeted {
            return Delivery::Absent;
        }
        if let Some(progress) = state.replay(frame.stands) {
            progress.until = progress.until.max(frame.offset);
            return Delivery::Waits;
        }
        if state.view.find(frame.target).is_none() {
            return Delivery::Forbidden;
        }
        if state.holds_back() {
            // Numbers only grow: nothing overtakes what is held.
            self.send_held(&mut state);
        }
        if state.holds_back() {
            return self.overflow(&mut state, frame);
        }
        match self.put_event(&state, frame.target, frame.request, frame.stands, frame.offset, frame.body) {
            Ok(mark) => Delivery::Queued(mark),
            Err(Refused::Full) => self.overflow(&mut state, frame),
            Err(Refused::Closed) => Delivery::Absent,
        }
    }

    fn put_event(
        &self,
        state: &State,
        target: Target,
        request: bool,
        stands: Stands,
        offset: u64,
        body: &Bytes,
    ) -> Result<u64, Refused> {
        let flags = INBOUND | LOGGED | if request { 0 } else { ONE_WAY };
        let header = Header { handle: self.handle_of(target), id: flags | state.number(stands, offset) };
        self.writer.binary_bytes(&header.to_bytes(), body)?;
        self.shared.metrics.events_sent.inc();
        Ok(self.writer.mark())
    }

    fn overflow(self: &Arc<Self>, state: &mut State, frame: &EventFrame<'_>) -> Delivery {
        match frame.on_overflow {
            OnOverflow::CloseAndReplay => {
                self.close_locked(state, OVERFLOWED);
                Delivery::Absent
            }
            OnOverflow::Drop => {
                self.shared.metrics.event_lost("queue full");
                Delivery::Dropped
            }
            OnOverflow::KeepLatest => self.hold(state, frame),
        }
    }

    fn hold(self: &Arc<Self>, state: &mut State, frame: &EventFrame<'_>) -> Delivery {
        let older = {
            let held = &mut state.logged.get_or_insert_default().held;
            let at = held.iter().position(|h| h.target == frame.target && h.stands == frame.stands);
            at.map(|at| held.remove(at))
        };
        if let Some(older) = older {
            self.shared.metrics.event_lost("replaced by a newer one");
            let number = state.number(older.stands, older.offset);
            self.shared.desk.given_up(self.id(), number, 503);
        }
        let Some(logged) = state.logged.as_mut() else { return Delivery::Dropped };
        if logged.held.iter().map(|h| h.body.len()).sum::<usize>() + frame.body.len() > MAX_HELD_BYTES {
            self.shared.metrics.event_lost("queue full");
            return Delivery::Dropped;
        }
        let EventFrame { target, request, stands, offset, body, .. } = *frame;
        logged.held.push(Held { stands, offset, target, request, body: body.clone() });
        if !std::mem::replace(&mut logged.waiting, true) {
            tokio::spawn(self.clone().send_held_when_there_is_room());
        }
        Delivery::Waits
    }

    /// In the order of the logs, as far as there is room.
    fn send_held(self: &Arc<Self>, state: &mut State) {
        let Some(mut held) = state.logged.as_mut().map(|l| std::mem::take(&mut l.held)) else { return };
        held.sort_by_key(|h| (h.stands, h.offset));
        let mut sent = 0;
        for h in &held {
            if state.view.find(h.target).is_none() {
                self.shared.desk.given_up(self.id(), state.number(h.stands, h.offset), 403);
            } else {
                match self.put_event(state, h.target, h.request, h.stands, h.offset, &h.body) {
                    Ok(mark) => self.shared.desk.queued(self, state.number(h.stands, h.offset), mark),
                    // Closed: it stays in the log, and so does whoever waits for it.
                    Err(Refused::Closed) => {}
                    Err(Refused::Full) => break,
                }
            }
            sent += 1;
        }
        held.drain(..sent);
        if let Some(logged) = &mut state.logged {
            logged.held = held;
        }
    }

    async fn send_held_when_there_is_room(self: Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                self.send_held(&mut state);
                let gone = state.left || state.closing.is_some();
                let logged = state.logged.as_mut();
                let next = logged.as_ref().and_then(|l| l.held.first()).map(|h| h.body.len()).filter(|_| !gone);
                if let (None, Some(logged)) = (next, logged) {
                    logged.waiting = false;
                }
                next
            };
            Writer::flush(&self);
            let Some(len) = next else { return };
            self.writer.room(len + 64).await;
        }
    }

    /// Sends a frame of a replay, by the rights of now and of then. `None`: no room yet.
    pub fn replay(self: &Arc<Self>, frame: &EventFrame<'_>) -> Option<Delivery> {
        let mut state = self.state.lock();
        if state.left || state.closing.is_some() {
            return Some(Delivery::Absent);
        }
        let may = self.view_then(&state, frame.stands, frame.offset).find(frame.target).is_some();
        let delivery = if may {
            match self.put_event(&state, frame.target, frame.request, frame.stands, frame.offset, frame.body) {
                Ok(mark) => Delivery::Queued(mark),
                Err(Refused::Full) => return None,
                Err(Refused::Closed) => Delivery::Absent,
            }
        } else {
            Delivery::Forbidden
        };
        if let Some(progress) = state.replay(frame.stands) {
            progress.next = frame.offset + 1;
        }
        Some(delivery)
    }

    /// Everything before `next` was looked at. `true`: the replay of this log has caught up, and frames come live again.
    pub fn replayed(self: &Arc<Self>, stands: Stands, next: u64) -> bool {
        let mut state = self.state.lock();
        if state.left || state.closing.is_some() {
            return true;
        }
        let Some(progress) = state.replay(stands) else { return true };
        progress.next = progress.next.max(next);
        if progress.next <= progress.until {
            return false;
        }
        if let Some(replay) = state.logged.as_mut().and_then(|l| l.replay.as_mut()) {
            match stands {
                Stands::Home => replay.home = None,
                Stands::Groups => replay.groups = None,
            }
            if replay.home.is_none() && replay.groups.is_none() {
                state.logged.iter_mut().for_each(|l| l.replay = None);
                self.tell_resume(&state);
            }
        }
        true
    }

    /// What this session was permitted when that offset was written, of what it is permitted now.
    fn view_then(&self, state: &State, stands: Stands, offset: u64) -> Arc<View> {
        let later = |g: &Gained| match stands {
            Stands::Home => g.home >= Some(offset),
            Stands::Groups => g.groups >= Some(offset),
        };
        let gained = state.logged.as_ref().map_or(&[][..], |l| &l.gained);
        let mut tiers = state.view.tiers;
        for gained in gained.iter().filter(|g| later(g)) {
            let at = state.view.snapshot.catalog.tiers.iter().position(|t| *t.name == *gained.tier);
            at.inspect(|at| tiers.remove(*at));
        }
        if tiers == state.view.tiers { state.view.clone() } else { state.view.snapshot.view(tiers) }
    }

    /// Remembers from where on new tiers count.
    pub(super) fn note_gains(&self, state: &mut State, new: &View) {
        if !state.greeted {
            return;
        }
        let old: Vec<&str> = state.view.held_tiers().collect();
        let gained: Vec<Box<str>> = new.held_tiers().filter(|name| !old.contains(name)).map(Into::into).collect();
        if gained.is_empty() {
            return;
        }
        let (home, groups) = self.shared.desk.heads();
        let all = &mut state.logged.get_or_insert_default().gained;
        all.retain(|g| !gained.contains(&g.tier));
        all.extend(gained.into_iter().map(|tier| Gained { tier, home, groups }));
    }

    /// The client's cursors, if it has read all that was written to it: (`cursor`, `group_cursor`).
    pub(super) fn positions(&self, state: &State) -> (u64, u64) {
        let (mut home, mut groups) = self.shared.desk.heads();
        if let Some(logged) = &state.logged {
            let back = |head: &mut Option<u64>, next: u64| {
                *head = next.checked_sub(1).map(|before| head.map_or(before, |h| h.min(before)));
            };
            let replay = logged.replay.unwrap_or_default();
            replay.home.iter().for_each(|p| back(&mut home, p.next));
            replay.groups.iter().for_each(|p| back(&mut groups, p.next));
            for held in &logged.held {
                match held.stands {
                    Stands::Home => back(&mut home, held.offset),
                    Stands::Groups => back(&mut groups, held.offset),
                }
            }
        }
        let home = home.map_or(position::before(state.tag()), |offset| state.number(Stands::Home, offset));
        (home, groups.map_or(0, |offset| position::number(position::GROUPS, offset)))
    }

    /// Says that something can no longer be delivered, in numbers of the client.
    pub(super) fn say_gap(self: &Arc<Self>, state: &State, lost: Option<(u64, u64)>) {
        let (cursor, group_cursor) = self.positions(state);
        let mut gap = serde_json::json!({
            "type": "gap", "cursor": cursor.to_string(), "group_cursor": group_cursor.to_string(),
        });
        match lost {
            Some((from, to)) => {
                gap["from"] = from.to_string().into();
                gap["to"] = to.to_string().into();
            }
            None => gap["unknown"] = true.into(),
        }
        self.say(&to_json(&gap));
    }

    /// These offsets are lost for everybody who reads that log.
    pub fn lost(self: &Arc<Self>, stands: Stands, from: u64, to: u64) {
        let state = self.state.lock();
        if state.greeted {
            let numbers = (state.number(stands, from), state.number(stands, to));
            self.say_gap(&state, Some(numbers));
        }
    }

    /// The log was made anew: its offsets begin again.
    pub fn remade(self: &Arc<Self>, stands: Stands) {
        let mut state = self.state.lock();
        let go_on = match stands {
            Stands::Groups => true,
            Stands::Home => {
                let logged = state.logged.get_or_insert_default();
                // Nobody has shown yet that the token of the new tag has come.
                logged.settled = false;
                logged.homes.remade().is_some()
            }
        };
        if let Some(logged) = &mut state.logged {
            logged.held.retain(|h| h.stands != stands);
            if let Some(replay) = &mut logged.replay {
                match stands {
                    Stands::Home => replay.home = None,
                    Stands::Groups => replay.groups = None,
                }
            }
            for gained in &mut logged.gained {
                match stands {
                    Stands::Home => gained.home = None,
                    Stands::Groups => gained.groups = None,
                }
            }
        }
        if !go_on {
            return self.close_locked(&mut state, NO_MORE_TAGS);
        }
        if state.greeted && !state.left {
            self.say_gap(&state, None);
            self.tell_resume(&state);
        }
    }

    /// The session goes on under the next tag, from this offset on, on another connection; this one is over.
    /// `None`: it has none left.
    pub fn fence(self: &Arc<Self>, offset: u64) -> Option<u8> {
        let mut state = self.state.lock();
        state.disowned = true;
        let logged = state.logged.get_or_insert_default();
        // Whoever asked may be gone: an older token is void only when the newer one is known to have come.
        logged.settled = false;
        let tag = logged.homes.moved(offset);
        self.close_locked(&mut state, if tag.is_some() { TAKEN_OVER } else { NO_MORE_TAGS });
        tag
    }

    /// Another gateway has taken this session over, or has closed it.
    pub fn gone_elsewhere(self: &Arc<Self>, taken_over: bool) {
        let mut state = self.state.lock();
        state.disowned = true;
        self.close_locked(&mut state, if taken_over { TAKEN_OVER } else { ELSEWHERE });
    }

    /// The tag of its home, and whether a client has shown that it holds the token that goes with it.
    pub fn home(&self) -> (u8, bool) {
        let state = self.state.lock();
        (state.tag(), state.logged.as_ref().is_none_or(|l| l.settled))
    }

    /// The number that a frame at this offset of its home has.
    pub fn home_number(&self, offset: u64) -> u64 {
        self.state.lock().number(Stands::Home, offset)
    }

    /// A service's request is over without this client's answer.
    pub fn end_event(self: &Arc<Self>, target: Target, number: u64, status: u16, detail: &str) {
        let header = Header { handle: self.handle_of(target), id: INBOUND | LOGGED | ERROR | number };
        let body = problem::made(status, detail, &self.instance(number), More::default());
        // Where there is no room the client learns it from the answer to its own.
        if self.writer.binary_bytes(&header.to_bytes(), &body).is_ok() {
            Writer::flush(self);
        }
    }
}
