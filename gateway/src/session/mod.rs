//! One client, from upgrade to close.
//!
//! Three kinds of task touch a session: its own (reads frames, obeys timers), those of its calls, and other sessions
//! that are its peers. What they share is behind one short lock, which is never held across an await, and never together
//! with another session's.

mod calls;
mod control;
mod effects;
mod frames;
mod peers;
mod rights;
mod task;
mod tell;
mod timers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bannou_crds::{Kind, Target};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::auth::Principal;
use crate::control::{self as messages, Reconnect};
use crate::handle::{Handle, random};
use crate::shared::Shared;
use crate::view::View;
use crate::ws::{Limits, Writer};

use calls::Calls;
use peers::Peers;
use timers::Timers;

pub use task::{Hello, run};

/// Text frames of a client are no longer than this.
pub const MAX_TEXT: usize = 16 * 1024;

pub struct Session {
    pub writer: Writer,
    pub id: Uuid,
    pub shared: Arc<Shared>,
    nonce: u64,
    target: Target,
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
    /// The tag of a session's first home.
    const TAG: u8 = 1;

    pub fn new(
        shared: Arc<Shared>,
        writer: Writer,
        address: std::net::IpAddr,
        principal: Option<Principal>,
        token: Option<Box<str>>,
    ) -> Arc<Session> {
        let id = Uuid::new_v4();
        let snapshot = shared.snapshot.load_full();
        let view = snapshot.view(snapshot.admitted(principal.as_ref()));
        let timers = Timers::new(&shared, &view, principal.as_ref());
        Arc::new(Session {
            writer,
            id,
            nonce: u64::from_be_bytes(random()),
            target: Target::of(Kind::Peer, id.as_bytes()),
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
            }),
            shared,
        })
    }

    /// `<slot>.<session id>.<tag>`: where services reach this client.
    pub fn client_id(&self) -> String {
        format!("{}.{}.{}", self.shared.slot, self.id, Self::TAG)
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
        self.shared.key.mint(self.nonce, target)
    }

    /// Says `closing` and begins the closing handshake. The first reason counts.
    pub fn close(self: &Arc<Self>, close: Close) {
        {
            let mut state = self.state.lock();
            if state.closing.is_some() {
                return;
            }
            state.closing = Some(close.code);
        }
        // A full queue has no room for the reason; the close frame itself goes in any case.
        let _ = self.writer.text(&messages::closing(close.code, close.reason, close.reconnect, close.after_ms));
        self.writer.close(close.code, close.reason);
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

    /// Ends everything that others hold of this session. Called once, when its task is over.
    pub fn leave(self: &Arc<Self>) {
        let (peers, calls, subject) = {
            let mut state = self.state.lock();
            state.left = true;
            let subject = state.principal.as_ref().map(|p| rights::subject_key(p));
            (state.peers.take(), state.calls.take(), subject)
        };
        self.changed();
        calls.abort();
        if let Some(subject) = subject {
            self.shared.table.remove_subject(subject, self.id);
        }
        if let Some(peers) = peers {
            peers.part_all(self);
        }
    }
}
