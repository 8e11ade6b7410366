//! One client, from upgrade to close.
//!
//! Three kinds of task touch a session: its own (reads frames, obeys timers), those of its calls, and other sessions
//! that are its peers. What they share is behind one short lock, which is never held across an await, and never together
//! with another session's.

mod calls;
mod control;
mod effects;
mod events;
mod frames;
mod peers;
mod resume;
mod rights;
mod seen;
mod task;
mod tell;
mod timers;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bannou_crds::{Kind, Target};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::auth::Principal;
use crate::bus::records::{SessionEvent, SessionEventKind};
use crate::control::{Reconnect, closing};
use crate::handle::{Handle, KeyId, random};
use crate::keyring::Key;
use crate::shared::Shared;
use crate::view::View;
use crate::ws::{Limits, Writer};

use calls::Calls;
use peers::Peers;
use timers::Timers;

pub use events::{Delivery, EventFrame, Stands};
pub use rights::subject_of_key;
pub use seen::{KICKED, MAX_REASON, Seen};
pub use task::{Hello, run};

/// Text frames of a client are no longer than this.
pub const MAX_TEXT: usize = 16 * 1024;

pub struct Session {
    pub writer: Writer,
    pub shared: Arc<Shared>,
    /// Not known before a resume has succeeded or failed.
    identity: OnceLock<Identity>,
    /// Rises whenever rights or peers change, so that the reading task knows that what it remembers is old.
    generation: AtomicU32,
    in_flight: AtomicU32,
    /// When the session's task must look at its timers, in milliseconds of [`Shared::now_ms`].
    next_timer: AtomicU64,
    address: std::net::IpAddr,
    authenticating: AtomicBool,
    waker: AtomicWaker,
    /// There is something to do that did not come from the socket.
    called: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// In force.
    view: Arc<View>,
    /// What the client has been told, whole.
    told: Arc<View>,
    /// An update on its way to the client that did not fit at once.
    telling: Option<Box<tell::Telling>>,
    /// A task waits for room to go on telling.
    stuck: bool,
    catalog_changed: bool,
    greeted: bool,
    revision: u64,
    rights: u64,
    reason: &'static str,
    principal: Option<Box<Principal>>,
    /// The client's own token, kept only where an endpoint forwards it.
    token: Option<Box<str>>,
    peers: Option<Box<Peers>>,
    calls: Calls,
    timers: Timers,
    closing: Option<u16>,
    left: bool,
    /// It goes on elsewhere, or is over by another's word: nothing is said of it here.
    disowned: bool,
    /// The close code that ended the connection.
    ended: u16,
    /// What only those sessions need that came back, or whose client does not keep up.
    logged: Option<Box<events::Logged>>,
}

/// What a session keeps wherever it goes.
#[derive(Clone)]
struct Identity {
    id: Uuid,
    nonce: u64,
    /// What its handles are made with, whatever the fleet's is by now.
    key: Arc<Key>,
    /// As others know it: of kind peer, by its id.
    target: Target,
}

impl Identity {
    fn random(key: Arc<Key>) -> Identity {
        let id = Uuid::new_v4();
        Identity { id, nonce: u64::from_be_bytes(random()), key, target: Target::of(Kind::Peer, id.as_bytes()) }
    }
}

/// How a session came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Fresh,
    /// It may turn out to be an earlier one.
    Resuming,
}

/// A close that the gateway starts.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
    pub reconnect: Reconnect,
    pub after_ms: u64,
}

impl Close {
    pub const fn new(code: u16, reason: &'static str, reconnect: Reconnect) -> Close {
        Close { code, reason, reconnect, after_ms: 0 }
    }

    pub const fn later(self, after_ms: u64) -> Close {
        Close { after_ms, ..self }
    }
}

impl AsRef<Writer> for Session {
    fn as_ref(&self) -> &Writer {
        &self.writer
    }
}

impl Session {
    pub fn new(
        shared: Arc<Shared>,
        writer: Writer,
        address: std::net::IpAddr,
        principal: Option<Principal>,
        token: Option<Box<str>>,
        origin: Origin,
    ) -> Arc<Session> {
        let snapshot = shared.snapshot.load_full();
        let view = snapshot.view(shared.admitted(&snapshot, principal.as_ref()));
        let timers = Timers::new(&shared, &view, principal.as_ref());
        let identity = match origin {
            Origin::Fresh => Identity::random(shared.keyring.current()).into(),
            Origin::Resuming => OnceLock::new(),
        };
        Arc::new(Session {
            writer,
            identity,
            generation: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            next_timer: AtomicU64::new(timers.next()),
            address,
            authenticating: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            called: AtomicBool::new(false),
            state: Mutex::new(State {
                told: view.clone(),
                view,
                telling: None,
                stuck: false,
                catalog_changed: false,
                greeted: false,
                revision: 1,
                rights: 1,
                reason: "catalog",
                principal: principal.map(Box::new),
                token,
                peers: None,
                calls: Calls::default(),
                timers,
                closing: None,
                left: false,
                disowned: false,
                ended: 1006,
                logged: None,
            }),
            shared,
        })
    }

    /// Nil as long as a resume has not been decided.
    pub fn id(&self) -> Uuid {
        self.identity.get().map_or(Uuid::nil(), |i| i.id)
    }

    fn nonce(&self) -> u64 {
        self.identity.get().map_or(0, |i| i.nonce)
    }

    fn target(&self) -> Target {
        self.identity.get().map_or(Target(0), |i| i.target)
    }

    /// Whether it is decided which session this is.
    pub fn is_known(&self) -> bool {
        self.identity.get().is_some()
    }

    /// `<slot>.<session id>.<tag>`: where services reach this client.
    fn client_id(&self, state: &State) -> String {
        format!("{}.{}.{}", self.shared.slot, self.id(), state.tag())
    }

    /// What the codec should enforce for a view.
    pub fn ws_limits(view: &View) -> Limits {
        Limits {
            // The limit is the payload's: the header comes on top.
            binary_bytes: view.limits.max_message_bytes as usize + crate::wire::HEADER_LEN,
            text_bytes: MAX_TEXT,
            queue_bytes: view.limits.send_queue_bytes as usize,
            write_timeout: std::time::Duration::from_secs(5),
        }
    }

    pub fn subject(&self) -> Option<String> {
        self.state.lock().principal.as_ref().map(|p| p.subject.to_string())
    }

    fn handle_of(&self, target: Target) -> Handle {
        self.identity.get().map_or([0; 16], |i| i.key.mint(i.nonce, target))
    }

    fn handles_of(&self, targets: impl Iterator<Item = Target>) -> Vec<Handle> {
        self.identity.get().map_or_else(Vec::new, |i| i.key.mint_all(i.nonce, targets))
    }

    /// What a handle of this session points at.
    fn open(&self, handle: &Handle) -> Option<Target> {
        self.identity.get().and_then(|i| i.key.open(i.nonce, handle))
    }

    fn key_id(&self) -> Option<KeyId> {
        self.identity.get().map(|i| i.key.id())
    }

    /// For the connection on which this session goes on.
    fn same_identity(&self) -> Identity {
        self.identity.get().cloned().unwrap_or_else(|| Identity::random(self.shared.keyring.current()))
    }

    /// Says `closing` and begins the closing handshake. The first reason counts.
    pub fn close(self: &Arc<Self>, close: Close) {
        self.close_locked(&mut self.state.lock(), close);
    }

    fn close_locked(self: &Arc<Self>, state: &mut State, close: Close) {
        self.close_saying(state, close, close.reason);
    }

    /// With another reason than the close's own.
    fn close_saying(self: &Arc<Self>, state: &mut State, close: Close, reason: &str) {
        if state.closing.is_some() {
            return;
        }
        state.closing = Some(close.code);
        // A full queue has no room for the reason; the close frame itself goes in any case.
        let _ = self.writer.text(&closing(close.code, reason, close.reconnect, close.after_ms));
        self.writer.close(close.code, reason);
        Writer::flush(self);
        self.call_task();
    }

    fn is_closing(&self) -> bool {
        self.state.lock().closing.is_some()
    }

    /// Makes the session's own task look at what changed.
    fn call_task(&self) {
        self.called.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Sends a control message; where the queue is full it is dropped, and reading has stopped by then.
    pub fn say(self: &Arc<Self>, json: &[u8]) {
        if self.writer.text(json).is_err() {
            self.shared.metrics.refuse_frame("control message dropped: queue full");
        }
        Writer::flush(self);
    }

    /// Wakes the session when its timers are due.
    pub fn sweep(self: &Arc<Self>, now_ms: u64) {
        if self.next_timer.load(Ordering::Relaxed) <= now_ms {
            self.call_task();
        }
    }

    pub fn catalog_changed(self: &Arc<Self>) {
        self.state.lock().catalog_changed = true;
        self.call_task();
    }

    /// The connection is over. The session goes on as long as its client may come back. Called once.
    pub fn leave(self: &Arc<Self>) {
        let (peers, calls, subject, stays) = {
            let mut state = self.state.lock();
            state.left = true;
            let subject = state.principal.as_deref().map(rights::subject_key);
            let window = state.view.snapshot.catalog.fleet.resume_window_ms;
            let stays = (state.greeted && !state.disowned).then(|| (may_come_back(state.ended), window, state.ended));
            let peers = match stays {
                Some((true, ..)) => None,
                // Whoever took the session over has its peers, or will.
                None if state.disowned => None,
                _ => state.peers.take(),
            };
            (peers, state.calls.take(), subject, stays)
        };
        self.changed();
        calls.abort();
        if let Some(subject) = subject {
            self.shared.table.remove_subject(subject, self.id());
        }
        if let Some(peers) = peers {
            peers.part_all(self);
        }
        if let Some((may, window, code)) = stays {
            let until = if may { self.shared.now_ms().saturating_add(window) } else { 0 };
            self.shared.desk.left(self, until, why_ended(code));
        }
    }

    /// The session is over for good.
    pub fn ended(self: &Arc<Self>, reason: &str) {
        let state = self.state.lock();
        self.announce(&state, SessionEventKind::Disconnected, Some(reason));
        drop(state);
        self.forgotten();
    }

    /// Nobody will come back to it here.
    pub fn forgotten(self: &Arc<Self>) {
        let peers = self.state.lock().peers.take();
        if let Some(peers) = peers {
            peers.part_all(self);
        }
    }

    /// Whether a connection that takes nothing more may be followed by another one of this session.
    fn may_be_back(&self) -> bool {
        let (closing, left, disowned) = {
            let state = self.state.lock();
            (state.closing, state.left, state.disowned)
        };
        if left && !disowned {
            return self.shared.desk.away(self.id()).is_some();
        }
        disowned || closing.is_none_or(may_come_back)
    }

    fn announce(&self, state: &State, event: SessionEventKind, reason: Option<&str>) {
        let principal = state.principal.as_deref();
        let event = SessionEvent {
            event,
            session_id: self.id(),
            tag: state.tag(),
            client_id: self.client_id(state),
            issuer: principal.map(|p| p.issuer.to_string()),
            subject: principal.map(|p| p.subject.to_string()),
            reason: reason.map(str::to_owned),
        };
        self.shared.announce(event);
    }
}

/// Whether a session outlives a connection that ended with this code.
fn may_come_back(code: u16) -> bool {
    matches!(code, 1006 | 1011 | 1012 | 1013 | 4408 | 4503)
}

fn why_ended(code: u16) -> &'static str {
    match code {
        1000 | 1001 | 1005 => "closed by the client",
        1002 | 1003 | 1007 | 1009 => "protocol violation",
        1008 => "limits ignored",
        1012 => "the gateway went away",
        1013 => "the client did not keep up",
        4401 => "token invalid or expired",
        4403 => KICKED,
        4408 => "nothing heard",
        4409 => "replaced",
        4410 => "session too old",
        _ => "connection lost",
    }
}
