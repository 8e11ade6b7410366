//! From logs to sessions, and back to those who asked.
//!
//! ```text
//! log of the slot ┐                                    ┌ receipt, answer, or why not → reply_to
//! bannou.groups ──┴→ contract → judge → session.deliver ┤
//!                                                       └ absent: open until the session comes back, or is closed
//! ```
//!
//! What concerns a session is said by the log's order alone: a resume, the end of a session and every "404" wait until a
//! record of this gateway has come back out of its own log, so that one that was stopped learns first what is no longer
//! its own.

mod absent;
mod groups;
mod judge;
mod open;
mod owed;
pub mod position;
mod replay;
mod seen;
mod slot;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bannou_crds::Target;
use bannou_crds::catalog::Event;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::bus::alive::Alive;
use crate::bus::contract::{self, Reply, ReplyAllow, Speech};
use crate::bus::records::SlotRecord;
use crate::bus::{Bus, Log, Message, Record, To, Unpublished};
use crate::session::{Delivery, Session, Stands};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::ws::Writer;

use absent::Absent;
use judge::judge;
use open::{Awaits, Exchanges, Open};
use owed::Owed;
use seen::Seen;

/// No record was dealt with yet.
const NOTHING: u64 = u64::MAX;

pub struct Desk {
    pub bus: Arc<dyn Bus>,
    allow: ReplyAllow,
    alive: Arc<Alive>,
    exchanges: Mutex<Exchanges>,
    absent: Mutex<Absent>,
    owed: Mutex<Owed>,
    takeovers: Mutex<HashMap<Uuid, oneshot::Sender<Takeover>>>,
    replays: replay::Queue,
    slot_head: AtomicU64,
    groups_head: AtomicU64,
    /// Set before the first look at who is there, so that whoever comes meanwhile knows where it must read from.
    slot_begun: AtomicU64,
    groups_begun: AtomicU64,
    groups_epoch: AtomicU64,
    seen: [Mutex<Seen>; 2],
    slot_ready: AtomicBool,
    groups_ready: AtomicBool,
}

/// What came of a takeover, by the order of the log.
pub enum Takeover {
    /// The session as it was; it goes on under `tag` from `offset` on.
    Won { holder: Arc<Session>, tag: u8, offset: u64 },
    /// Somebody else won that tag, or the session is closed.
    Lost,
}

impl Desk {
    pub fn new(bus: Arc<dyn Bus>, allow: ReplyAllow, alive: Arc<Alive>) -> Desk {
        Desk {
            bus,
            allow,
            alive,
            exchanges: Mutex::default(),
            absent: Mutex::default(),
            owed: Mutex::default(),
            takeovers: Mutex::default(),
            replays: replay::Queue::default(),
            slot_head: AtomicU64::new(NOTHING),
            groups_head: AtomicU64::new(NOTHING),
            slot_begun: AtomicU64::new(NOTHING),
            groups_begun: AtomicU64::new(NOTHING),
            groups_epoch: AtomicU64::new(0),
            seen: Default::default(),
            slot_ready: AtomicBool::new(false),
            groups_ready: AtomicBool::new(false),
        }
    }

    /// Reads until the bus is shut down.
    pub async fn run(shared: Arc<Shared>) {
        tokio::join!(
            slot::read(shared.clone()),
            slot::follow_standing(shared.clone()),
            groups::read(shared.clone()),
            replay::run(shared.clone(), crate::session::Stands::Home),
            replay::run(shared, crate::session::Stands::Groups),
        );
    }

    /// What is awaited before clients can be served, a line each.
    pub fn awaiting(&self) -> Vec<String> {
        let mut awaited = self.bus.state().borrow().awaiting.clone();
        let log = |ready: &AtomicBool, log: Log| {
            (!ready.load(Ordering::Relaxed)).then(|| format!("the log {}: not read to its end yet", log.name()))
        };
        awaited.extend(log(&self.slot_ready, Log::Slot(self.bus.slot())));
        awaited.extend(log(&self.groups_ready, Log::Groups));
        if !self.alive.is_ready() {
            awaited.push("the log bannou.control: not read to its end yet".to_owned());
        }
        awaited
    }

    /// The newest offsets of the slot's log and of `bannou.groups` that sessions have been given.
    pub fn heads(&self) -> (Option<u64>, Option<u64>) {
        let head = |h: &AtomicU64| Some(h.load(Ordering::Acquire)).filter(|h| *h != NOTHING);
        (head(&self.slot_head), head(&self.groups_head))
    }

    /// Tells whoever asked. Full: as with every reply, the caller's own deadline is the last word.
    pub fn answer(&self, reply: &Reply, status: u16, body: Bytes) -> Result<(), Unpublished> {
        self.say(reply, reply.message(status, body))
    }

    fn say(&self, reply: &Reply, message: Message) -> Result<(), Unpublished> {
        self.bus.publish(To::Queue(reply.to.clone()), message).map(drop)
    }

    fn tell(&self, shared: &Shared, reply: &Reply, status: u16) {
        if self.answer(reply, status, Bytes::new()).is_err() {
            shared.metrics.event_lost("reply not published");
        }
    }

    /// The exchange ends with this status, if it is still open.
    pub fn given_up(&self, session: Uuid, number: u64, status: u16) {
        let open = self.exchanges.lock().take(&(session, number));
        if let Some(open) = open {
            let _ = self.answer(&open.reply, status, Bytes::new());
        }
    }

    /// A frame is in the queue of its client: it may answer; a receipt follows when the queue has passed `mark`.
    pub fn queued(&self, session: &Arc<Session>, number: u64, mark: u64) {
        let key = (session.id(), number);
        let mut exchanges = self.exchanges.lock();
        let Some(awaits) = exchanges.get(&key).map(|o| o.awaits) else { return };
        exchanges.delivered(&key);
        drop(exchanges);
        if awaits == Awaits::Receipt {
            if session.writer.has_passed(mark) {
                return self.given_up(key.0, key.1, 200);
            }
            let session = session.clone();
            // As many as there are open exchanges.
            tokio::spawn(async move {
                if session.writer.passed(mark).await {
                    session.shared.desk.given_up(key.0, key.1, 200);
                }
            });
        }
    }

    /// A client answers what a service asked. `false`: nobody awaits it any more.
    ///
    /// # Errors
    /// The bus takes no more for now.
    pub fn client_answered(
        &self,
        session: Uuid,
        target: Target,
        number: u64,
        status: u16,
        body: Bytes,
    ) -> Result<bool, Unpublished> {
        let Some(open) = self.exchanges.lock().answered(&(session, number), target) else { return Ok(false) };
        let said = self.answer(&open.reply, status, body);
        if said.is_err() {
            self.exchanges.lock().open((session, number), open);
        }
        said.map(|()| true)
    }

    /// The rights to some events are gone: what was asked under them is over.
    pub fn rights_changed(&self, session: &Arc<Session>, permits: impl Fn(Target) -> bool) -> Vec<(u64, Target)> {
        let ended = self.exchanges.lock().take_of(session.id(), |open| open.delivered && !permits(open.target));
        for (_, open) in &ended {
            let _ = self.answer(&open.reply, 403, Bytes::new());
        }
        ended.into_iter().filter(|(_, o)| o.awaits == Awaits::Answer).map(|(n, o)| (n, o.target)).collect()
    }

    /// The cursors of a client that came back: receipts for what it has.
    pub fn received(&self, session: Uuid, has: impl Fn(u64) -> bool) {
        for open in self.exchanges.lock().received(session, has) {
            let _ = self.answer(&open.reply, 200, Bytes::new());
        }
    }

    /// Asks the log for a session. What comes of it is decided by the log's order.
    pub fn take_over(&self, session: Uuid, tag: u8) -> Result<oneshot::Receiver<Takeover>, Unpublished> {
        let id = Uuid::new_v4();
        let (tell, told) = oneshot::channel();
        {
            let mut takeovers = self.takeovers.lock();
            takeovers.retain(|_, asked| !asked.is_closed());
            takeovers.insert(id, tell);
        }
        let slot = self.bus.slot();
        self.append(&SlotRecord::Takeover { session, tag, slot, id })?;
        Ok(told)
    }

    /// A client has shown that it holds the token of this tag: older ones are void.
    pub fn settled(&self, session: Uuid, tag: u8) {
        let _ = self.append(&SlotRecord::Settled { session, tag });
    }

    fn append(&self, record: &SlotRecord) -> Result<(), Unpublished> {
        let body = crate::control::to_json(record).into();
        self.bus.publish(To::Log(Log::Slot(self.bus.slot())), Message { body, ..Message::default() }).map(drop)
    }

    /// What the clock asks for.
    pub fn sweep(&self, shared: &Arc<Shared>, now: u64) {
        let due = self.exchanges.lock().due(now);
        for ((id, number), open) in due {
            if let Some(session) = shared.table.find(id).filter(|_| open.delivered) {
                session.end_event(open.target, number, 408, "too late: the caller waits no longer");
            }
            self.owe(shared, id, open.reply, 408);
        }
        self.close_absent(shared, now);
        self.send_marker_again(now);
        shared.metrics.exchanges_open.set(self.exchanges.lock().len() as i64);
        shared.metrics.sessions_absent.set(self.absent.lock().len() as i64);
    }

    /// Opens what somebody waits for before the frame goes out, so that no answer can be faster.
    fn open(
        &self,
        shared: &Shared,
        speech: &Speech<'_>,
        to: (Uuid, u64),
        target: Target,
        wait_ms: Option<u64>,
    ) -> bool {
        let Some(reply) = speech.reply.clone() else { return true };
        let (awaits, deadline) = match wait_ms {
            Some(ms) => (Awaits::Answer, shared.now_ms().saturating_add(ms)),
            None => (Awaits::Receipt, u64::MAX),
        };
        let open = Open { reply, awaits, target, deadline, delivered: false };
        let fits = self.exchanges.lock().open(to, open);
        if !fits {
            speech.reply.iter().for_each(|reply| self.tell(shared, reply, 429));
            shared.metrics.event_refused("too many open exchanges");
        }
        fits
    }

    /// What a delivery means for whoever waits.
    fn settle(&self, session: &Arc<Session>, number: u64, delivery: Delivery, touched: &mut Touched) {
        match delivery {
            Delivery::Queued(mark) => touched.add(session, number, mark),
            Delivery::Waits | Delivery::Absent => {}
            Delivery::Forbidden => {
                session.shared.metrics.event_refused("not permitted to this client");
                self.given_up(session.id(), number, 403);
            }
            Delivery::Dropped => self.given_up(session.id(), number, 503),
        }
    }

    /// How often `bannou.groups` was made anew since this gateway started.
    pub fn groups_epoch(&self) -> u64 {
        self.groups_epoch.load(Ordering::SeqCst)
    }

    /// A message of a service, and the event it speaks under. `None`: it may not be said, and whoever asked has heard why.
    fn hear<'a>(
        &self,
        shared: &Shared,
        snapshot: &'a Snapshot,
        stands: Stands,
        record: &'a Record,
    ) -> Option<(Speech<'a>, &'a Event)> {
        let refuse = |reply: &Option<Reply>, status, reason| {
            shared.metrics.event_refused(reason);
            reply.iter().for_each(|reply| self.tell(shared, reply, status));
        };
        let speech = match contract::parse(record, &self.allow) {
            Ok(speech) => speech,
            Err(malformed) => {
                refuse(&malformed.reply, malformed.status, malformed.reason);
                return None;
            }
        };
        let event = match judge(snapshot, &speech, self.bus.user()) {
            Ok(event) => event,
            Err(refused) => {
                refuse(&speech.reply, refused.status, refused.reason);
                return None;
            }
        };
        if self.repeats(shared, stands, record, &speech) {
            shared.metrics.event_refused("repeated message_id");
            return None;
        }
        Some((speech, event))
    }

    /// Whether this is a publisher's own repeat of a message that stands earlier in the same log.
    fn repeats(&self, shared: &Shared, stands: Stands, record: &Record, speech: &Speech<'_>) -> bool {
        let Some(id) = speech.message_id else { return false };
        let mut seen = self.seen[usize::from(stands == Stands::Groups)].lock();
        seen.before(speech.user.unwrap_or_default(), &record.key, id, record.offset, shared.now_ms())
    }

    fn forget_seen(&self, stands: Stands) {
        *self.seen[usize::from(stands == Stands::Groups)].lock() = Seen::default();
    }

    /// A session that is connected, or may come back: never missed while it goes from the one to the other.
    fn whereabouts(&self, shared: &Shared, id: Uuid) -> Option<Arc<Session>> {
        let connected = || shared.table.find(id);
        connected().or_else(|| self.away(id)).or_else(connected)
    }

    /// What the logs' readers have begun with, at least.
    pub fn begun(&self) -> (Option<u64>, Option<u64>) {
        let begun = |b: &AtomicU64| Some(b.load(Ordering::SeqCst)).filter(|b| *b != NOTHING);
        (begun(&self.slot_begun), begun(&self.groups_begun))
    }

    fn is_open(&self, session: Uuid, number: u64) -> bool {
        self.exchanges.lock().get(&(session, number)).is_some()
    }
}

/// Sessions that were written to in one batch: flushed once, at its end.
#[derive(Default)]
pub(crate) struct Touched(Vec<(Arc<Session>, u64, u64)>);

impl Touched {
    fn add(&mut self, session: &Arc<Session>, number: u64, mark: u64) {
        self.0.push((session.clone(), number, mark));
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn flush(&mut self, desk: &Desk) {
        let mut last: Option<&Arc<Session>> = None;
        for (session, ..) in &self.0 {
            if last.is_none_or(|l| !Arc::ptr_eq(l, session)) {
                Writer::flush(session);
            }
            last = Some(session);
        }
        for (session, number, mark) in self.0.drain(..) {
            desk.queued(&session, number, mark);
        }
    }
}
