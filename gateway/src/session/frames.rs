//! The reading side of a session: every frame of a batch, decided by its header alone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bannou_crds::{Kind, Target};

use super::calls::{Refusal, Request};
use super::{Close, Session};
use crate::control::{self, Reconnect};
use crate::handle::Handle;
use crate::problem::{self, More};
use crate::rate::Rate;
use crate::view::View;
use crate::wire::{CANCELLED, FromClient, HEADER_LEN, Header, INBOUND, flag_names};
use crate::ws::{Handler, Outbox, Payload, Refused};

/// Malformed frames that a connection may send before it is closed.
const MAX_MALFORMED: u32 = 16;

const TOO_MALFORMED: Close = Close::new(1008, "too many malformed frames", Reconnect::Fresh).later(5_000);
const TOO_FORBIDDEN: Close =
    Close::new(1008, "too many frames to handles that are not permitted", Reconnect::Fresh).later(5_000);
const TOO_MANY: Close = Close::new(1008, "limits ignored for too long", Reconnect::Fresh).later(5_000);

/// The peer that this client wrote to last: most frames go to the same one as the frame before.
struct LastPeer {
    handle: Handle,
    session: Arc<Session>,
    as_known_there: Handle,
}

/// What only those connections need that broke a rule.
struct Strikes {
    forbidden: Rate,
    limited: Rate,
    control: Rate,
    malformed: u32,
}

impl Default for Strikes {
    fn default() -> Strikes {
        Strikes { forbidden: Rate::new(2, 128), limited: Rate::new(64, 4096), control: Rate::new(20, 60), malformed: 0 }
    }
}

/// What one read brought behind a `resume`; nothing more is read before that is decided.
struct Resuming {
    ask: Option<(control::Resume, Option<control::Id>)>,
    parked: Vec<Parked>,
}

enum Parked {
    Binary(Vec<u8>),
    Text(String),
    TooLarge(Vec<u8>, u64),
}

pub struct Frames {
    session: Arc<Session>,
    view: Arc<View>,
    generation: u32,
    last: Option<LastPeer>,
    /// What goes to others since the last flush.
    outbox: Outbox<Session>,
    strikes: Option<Box<Strikes>>,
    stop: bool,
    /// The first frame must be `resume`.
    awaiting_resume: bool,
    /// A resume that is being decided, and what came after it meanwhile.
    resuming: Option<Box<Resuming>>,
    pub pong: bool,
    passed: u64,
}

/// Where a frame goes that is none of the last peer's.
enum Route {
    Peer(Arc<Session>, Handle),
    Gone,
    Service(Target),
    Forbidden,
}

impl Frames {
    pub fn new(session: Arc<Session>, awaiting_resume: bool) -> Frames {
        let view = session.state.lock().view.clone();
        Frames {
            session,
            view,
            generation: 0,
            last: None,
            outbox: Outbox::default(),
            strikes: None,
            stop: false,
            awaiting_resume,
            resuming: None,
            pong: false,
            passed: 0,
        }
    }

    /// Takes over what changed since the last look.
    pub fn refresh(&mut self) {
        let generation = self.session.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.last = None;
            let state = self.session.state.lock();
            self.view = state.view.clone();
            self.stop = state.closing.is_some() || state.left;
        }
    }

    /// A resume that was asked for; when it is decided, [`Frames::go_on`]. Boxed: few connections begin like this, and all
    /// would have to hold it.
    pub fn resume_asked(&mut self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let (ask, id) = self.resuming.as_mut()?.ask.take()?;
        let session = self.session.clone();
        Some(Box::pin(async move { session.resume(ask, id).await }))
    }

    /// The resume is decided: what came behind it is obeyed now.
    pub fn go_on(&mut self) {
        let Some(resuming) = self.resuming.take() else { return };
        for parked in resuming.parked {
            if self.stop {
                return;
            }
            match parked {
                Parked::Binary(mut message) => self.binary(Payload::assembled(&mut message)),
                Parked::Text(message) => self.text(&message),
                Parked::TooLarge(head, len) => self.too_large(&head, len),
            }
        }
        self.flush();
    }

    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Sends what the batch left in the queues of others.
    pub fn flush(&mut self) {
        self.outbox.flush();
        if self.passed > 0 {
            self.session.shared.metrics.peer_frames.inc_by(std::mem::take(&mut self.passed));
        }
    }

    fn strikes(&mut self) -> &mut Strikes {
        self.strikes.get_or_insert_default()
    }

    fn close(&mut self, close: Close) {
        self.session.close(close);
        self.stop = true;
    }

    fn malformed(&mut self, json: &[u8]) {
        self.session.shared.metrics.refuse_frame("malformed");
        self.session.say(json);
        self.strikes().malformed += 1;
        if self.strikes().malformed >= MAX_MALFORMED {
            self.close(TOO_MALFORMED);
        }
    }

    fn limited(&mut self) {
        self.session.shared.metrics.refuse_frame("rate limited");
        if self.strikes().limited.check().is_err() {
            self.close(TOO_MANY);
        }
    }

    /// Ends the sender's exchange with a failure of the gateway's own, where an answer is wanted.
    fn fail(&self, header: Header, kind: FromClient, status: u16, detail: &str, more: More) {
        let Some(id) = kind.failure_id(header.id) else { return };
        let body = problem::made(status, detail, &self.session.instance(header.number()), more);
        let _ = self.session.writer.binary_bytes(&Header { id, ..header }.to_bytes(), &body);
    }

    fn duplicate(&self, header: Header) {
        let detail = "a request with this handle and number is in flight; it was not forwarded again";
        self.session.say(&control::error(None, 409, detail, Some((&header.handle, header.number()))));
    }

    fn illegal(&mut self, header: Header, detail: &str) {
        self.session.shared.metrics.refuse_frame("illegal flags");
        self.session.say(&control::error(None, 400, detail, Some((&header.handle, header.number()))));
    }

    fn route(&self, handle: &Handle) -> Route {
        let session = &self.session;
        let Some(target) = session.open(handle) else { return Route::Forbidden };
        match target.kind() {
            Some(Kind::Peer) => {
                let state = session.state.lock();
                let Some(peers) = &state.peers else { return Route::Forbidden };
                match peers.get(target) {
                    Some(link) => Route::Peer(link.session.clone(), link.as_known_there),
                    None if peers.is_gone(target) => Route::Gone,
                    None => Route::Forbidden,
                }
            }
            Some(Kind::Endpoint | Kind::Event) => Route::Service(target),
            Some(Kind::Group) | None => Route::Forbidden,
        }
    }

    fn pass_to_peer(&mut self, header: Header, kind: FromClient, message: &Payload<'_>) {
        let Some(last) = &self.last else { return };
        let out = Header { handle: last.as_known_there, id: header.id ^ INBOUND }.to_bytes();
        let result = self.outbox.binary(&last.session, &out, message);
        match result {
            Ok(()) => self.passed += 1,
            Err(Refused::Full) => {
                self.session.shared.metrics.peer_frames_dropped.inc();
                self.fail(header, kind, 503, "the peer's queue is full", More::retry_after(100));
            }
            Err(Refused::Closed) if last.session.may_be_back() => {
                let more = More::retry_after(500);
                self.fail(header, kind, 503, "this peer is not connected just now: it may come back", more);
            }
            Err(Refused::Closed) => self.fail(header, kind, 404, "this peer is gone", More::default()),
        }
    }

    fn ask_service(&mut self, target: Target, header: Header, kind: FromClient, message: Payload<'_>) {
        let view = self.view.clone();
        let Some(entry) = view.find(target) else { return self.forbidden(header, kind) };
        match (kind, target.kind()) {
            (FromClient::Cancel, _) => self.session.cancel_call(target, header.number()),
            (FromClient::LoggedAnswer { error }, Some(Kind::Event)) => {
                self.answer_service(target, header, kind, error, message);
            }
            (FromClient::Request | FromClient::OneWay, Some(Kind::Endpoint)) => {
                let one_way = kind == FromClient::OneWay;
                if !one_way && self.in_flight(target, header) {
                    return self.duplicate(header);
                }
                let request = Request { header, one_way, payload: message.into_bytes(HEADER_LEN) };
                if let Err(Refusal { status, detail, more }) = self.session.start_call(&view, entry, request) {
                    self.session.shared.metrics.refuse_frame(problem::title(status));
                    self.fail(header, kind, status, &detail, more);
                    if status == 429 {
                        self.limited();
                    }
                }
            }
            (FromClient::Answer { .. } | FromClient::LoggedAnswer { .. }, Some(Kind::Endpoint)) => {
                self.illegal(header, "an endpoint starts no exchange that could be answered");
            }
            // An event's handle is accepted for answers alone.
            _ => self.forbidden(header, kind),
        }
    }

    fn answer_service(&mut self, target: Target, header: Header, kind: FromClient, error: bool, message: Payload<'_>) {
        let status = if error { message.status().unwrap_or_default() } else { 200 };
        if error && !(400..600).contains(&status) {
            return self.illegal(header, "an ERROR answer carries a status from 400 to 599");
        }
        let body = message.into_bytes(if error { HEADER_LEN + 2 } else { HEADER_LEN });
        let desk = &self.session.shared.desk;
        match desk.client_answered(self.session.id(), target, header.number(), status, body) {
            Ok(true) => drop(self.session.shared.metrics.event_answers.inc()),
            Ok(false) => self.fail(header, kind, 404, "nobody awaits this answer any more", More::default()),
            Err(_) => {
                let more = More::retry_after(1000);
                self.fail(header, kind, 503, "cut off from the broker: answer again later", more);
            }
        }
    }

    fn in_flight(&self, target: Target, header: Header) -> bool {
        self.session.state.lock().calls.is_open(target, header.number())
    }

    fn forbidden(&mut self, header: Header, kind: FromClient) {
        self.session.shared.metrics.refuse_frame("forbidden");
        self.fail(header, kind, 403, "not permitted or unknown", More::default());
        if self.strikes().forbidden.check().is_err() {
            self.close(TOO_FORBIDDEN);
        }
    }

    fn frame(&mut self, header: Header, message: Payload<'_>) {
        let Some(kind) = FromClient::of(header.id) else {
            let detail = format!("a client may not send this combination of flags: {}", flag_names(header.id));
            return self.illegal(header, &detail);
        };
        if kind.has_status() {
            let status = message.status();
            if status.is_none() || kind == FromClient::Cancel && status != Some(CANCELLED) {
                return self.illegal(header, "ERROR needs a status: 499 to cancel a request, any in an answer");
            }
        }
        if self.last.as_ref().is_none_or(|last| last.handle != header.handle) {
            match self.route(&header.handle) {
                Route::Peer(session, as_known_there) => {
                    self.last = Some(LastPeer { handle: header.handle, session, as_known_there });
                }
                Route::Gone => return self.fail(header, kind, 404, "this peer is gone", More::default()),
                Route::Service(target) => return self.ask_service(target, header, kind, message),
                Route::Forbidden if kind == FromClient::Cancel => return,
                Route::Forbidden => return self.forbidden(header, kind),
            }
        }
        if matches!(kind, FromClient::LoggedAnswer { .. }) {
            return self.illegal(header, "LOGGED belongs to answers to events");
        }
        self.pass_to_peer(header, kind, &message);
    }

    fn must_resume(&mut self) -> bool {
        if self.awaiting_resume {
            const NOT_RESUME: Close =
                Close::new(1008, "the first frame after bannou.resume must be a well-formed resume", Reconnect::Fresh);
            self.close(NOT_RESUME);
        }
        self.awaiting_resume
    }
}

impl Handler for Frames {
    fn binary(&mut self, message: Payload<'_>) {
        if let Some(resuming) = &mut self.resuming {
            let mut whole = Vec::with_capacity(message.len());
            message.append_to(0, &mut whole);
            return resuming.parked.push(Parked::Binary(whole));
        }
        self.refresh();
        if self.stop || self.must_resume() {
            return;
        }
        match message.head() {
            Some(head) => self.frame(Header::read(&head), message),
            None => {
                let detail = "a binary frame has at least 24 bytes: handle (16), Message ID (8)";
                self.malformed(&control::error(None, 400, detail, None));
            }
        }
    }

    fn text(&mut self, message: &str) {
        if let Some(resuming) = &mut self.resuming {
            return resuming.parked.push(Parked::Text(message.to_owned()));
        }
        // What it changes must not overtake the frames before it.
        self.flush();
        self.refresh();
        if self.stop {
            return;
        }
        let parsed = control::parse(message);
        if self.awaiting_resume {
            return match parsed {
                Ok(control::FromClient { id, what: control::Message::Resume(ask) }) => {
                    self.awaiting_resume = false;
                    self.resuming = Some(Box::new(Resuming { ask: Some((ask, id)), parked: Vec::new() }));
                }
                _ => drop(self.must_resume()),
            };
        }
        if let Err(wait) = self.strikes().control.check() {
            let id = parsed.map_or_else(|m| m.id, |m| m.id);
            let detail = format!("too many control messages: wait {} ms", wait.as_millis().max(1));
            self.session.say(&control::error(id.as_deref(), 429, &detail, None));
            return self.limited();
        }
        match parsed {
            Ok(message) => self.session.obey_control(message),
            Err(m) if m.garbage => self.malformed(&control::error(None, 400, &m.detail, None)),
            Err(m) => self.session.say(&control::error(m.id.as_deref(), 400, &m.detail, None)),
        }
        // What it changed counts for the very next frame.
        self.refresh();
    }

    fn too_large(&mut self, head: &[u8], len: u64) {
        if let Some(resuming) = &mut self.resuming {
            return resuming.parked.push(Parked::TooLarge(head.to_vec(), len));
        }
        self.refresh();
        if self.stop || self.must_resume() {
            return;
        }
        let Ok(head) = <&[u8; HEADER_LEN]>::try_from(head) else { return };
        let header = Header::read(head);
        let Some(kind) = FromClient::of(header.id) else {
            return self.illegal(header, &format!("illegal flags: {}", flag_names(header.id)));
        };
        self.session.shared.metrics.refuse_frame("too large");
        let open = self.session.open(&header.handle);
        if kind == FromClient::Request && open.is_some_and(|target| self.in_flight(target, header)) {
            return self.duplicate(header);
        }
        let most = self.view.limits.max_message_bytes;
        let detail = format!("a payload of {} bytes: at most {most} are allowed", len - HEADER_LEN as u64);
        self.fail(header, kind, 413, &detail, More::default());
    }

    fn pong(&mut self, _payload: &[u8]) {
        self.pong = true;
    }

    fn violated(&mut self, code: u16, reason: &'static str) {
        self.session.say(&control::closing(code, reason, Reconnect::No, 0));
    }

    fn should_stop(&self) -> bool {
        self.stop
    }
}
