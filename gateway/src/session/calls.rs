//! Requests of a client to services: each in a task of its own, ended by exactly one frame.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bannou_crds::Target;
use bannou_crds::catalog::{Effect, Interaction};
use bytes::Bytes;
use tokio::task::AbortHandle;

use super::{Session, State};
use crate::forward::{self, Answer, CallError};
use crate::problem::{self, More};
use crate::rate::Rate;
use crate::snapshot::Entry;
use crate::view::View;
use crate::wire::{CANCELLED, ERROR, Header, MORE};
use crate::ws::{Refused, Writer};

/// One part of a streamed answer is at most so large, so that parts of others come in between.
const MAX_PART: usize = 64 * 1024;

/// Requests in flight by (target, number), and what limits new ones. Empty for whoever never calls.
#[derive(Default)]
pub struct Calls(Option<Box<Inner>>);

#[derive(Default)]
struct Inner {
    open: HashMap<(Target, u64), Open, foldhash::fast::RandomState>,
    rate: Option<((u32, u32), Rate)>,
    endpoint_rates: HashMap<Target, Rate, foldhash::fast::RandomState>,
    next: u64,
}

struct Open {
    /// Tells a request from a later one under the same number.
    serial: u64,
    handle: [u8; 16],
    task: Option<AbortHandle>,
}

impl Calls {
    pub fn take(&mut self) -> Calls {
        Calls(self.0.take())
    }

    /// Lets go of every backend that works for this client. One-way messages were accepted and go on.
    pub fn abort(self) {
        for open in self.0.into_iter().flat_map(|inner| inner.open.into_values()) {
            if let Some(task) = open.task {
                task.abort();
            }
        }
    }

    pub fn is_open(&self, target: Target, number: u64) -> bool {
        self.0.as_ref().is_some_and(|i| i.open.contains_key(&(target, number)))
    }

    fn is(&self, key: (Target, u64), serial: u64) -> bool {
        self.0.as_ref().and_then(|i| i.open.get(&key)).is_some_and(|o| o.serial == serial)
    }

    fn remove(&mut self, key: (Target, u64)) -> Option<Open> {
        self.0.as_mut()?.open.remove(&key)
    }

    /// The tier's rate, then the endpoint's own. `Err`: milliseconds until the next one fits.
    fn check_rates(&mut self, view: &View, entry: &Entry) -> Result<(), u64> {
        let inner = self.0.get_or_insert_default();
        let wanted = (view.limits.requests_per_second, view.limits.burst);
        if inner.rate.as_ref().is_none_or(|(is, _)| *is != wanted) {
            inner.rate = Some((wanted, Rate::new(wanted.0, wanted.1)));
        }
        let wait = |d: std::time::Duration| (d.as_millis() as u64).max(1);
        if let Some((_, rate)) = &inner.rate {
            rate.check().map_err(wait)?;
        }
        if let Some(limit) = view.snapshot.rate_limit(entry) {
            // As many as the catalog has limited endpoints; forgotten when an edit changes the view.
            let rate = inner.endpoint_rates.entry(entry.target);
            rate.or_insert_with(|| Rate::new(limit.requests_per_second, limit.burst)).check().map_err(wait)?;
        }
        Ok(())
    }
}

/// Why a request did not start; the gateway's own word.
pub struct Refusal {
    pub status: u16,
    pub detail: String,
    pub more: More,
}

fn refuse(status: u16, detail: &str) -> Refusal {
    Refusal { status, detail: detail.to_owned(), more: More::default() }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Refusal {
        let more = More { reason: Some(error.reason()), ..More::default() };
        Refusal { more, ..refuse(error.status(), &error.to_string()) }
    }
}

/// What a request is, taken out of its frame.
pub struct Request {
    pub header: Header,
    pub one_way: bool,
    pub payload: Bytes,
}

/// Keeps count of what is in flight, however the task ends.
struct InFlight(Arc<Session>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.metrics.calls_in_flight.dec();
    }
}

impl Session {
    /// Starts a request to a service. Duplicates were sorted out before. Never waits.
    pub(super) fn start_call(
        self: &Arc<Self>,
        view: &Arc<View>,
        entry: &Entry,
        request: Request,
    ) -> Result<(), Refusal> {
        let Some((_, endpoint, route)) = view.snapshot.endpoint(entry) else {
            return Err(refuse(403, "an event's handle is accepted for answers alone"));
        };
        if endpoint.effects.iter().any(|e| matches!(e, Effect::Tiers | Effect::Groups)) {
            return Err(refuse(501, "the effects Tiers and Groups come with a later version of the gateway"));
        }
        let interaction = endpoint.interaction;
        let mut state = self.state.lock();
        if state.left || state.closing.is_some() {
            return Ok(());
        }
        state.calls.check_rates(view, entry).map_err(|wait| Refusal {
            status: 429,
            detail: "more requests than this connection's tiers allow".to_owned(),
            more: More::retry_after(wait),
        })?;
        if self.in_flight.load(Ordering::Relaxed) >= view.limits.max_in_flight {
            return Err(Refusal {
                status: 429,
                detail: "as many requests in flight as this connection's tiers allow".to_owned(),
                more: More::retry_after(100),
            });
        }
        let call = self.prepare(view, route, &state, &request)?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.shared.metrics.calls_in_flight.inc();
        let in_flight = InFlight(self.clone());
        let key = (entry.target, request.header.number());
        let answered = !request.one_way && interaction != Interaction::OneWay;
        let inner = state.calls.0.get_or_insert_default();
        inner.next += 1;
        let serial = inner.next;
        if answered {
            let open = Open { serial, handle: request.header.handle, task: None };
            inner.open.insert(key, open);
        }
        let header = request.header;
        let accepted = !request.one_way && interaction == Interaction::OneWay;
        let running = Running { session: self.clone(), view: view.clone(), key, serial, header, answered };
        let task = tokio::spawn(async move {
            let _in_flight = in_flight;
            running.run(call).await;
        });
        if let Some(open) = state.calls.0.as_mut().and_then(|i| i.open.get_mut(&key)).filter(|o| o.serial == serial) {
            open.task = Some(task.abort_handle());
        }
        drop(state);
        if accepted {
            let _ = self.writer.binary_bytes(&Header { id: header.number(), ..header }.to_bytes(), b"");
        }
        Ok(())
    }

    /// The client takes its request back: the backend is let go, and 499 is the last frame. `false`: nothing to cancel.
    pub(super) fn cancel_call(self: &Arc<Self>, target: Target, number: u64) {
        let mut state = self.state.lock();
        let Some(open) = state.calls.remove((target, number)) else { return };
        self.end_open(&open, number, CANCELLED, "cancelled by the client");
    }

    /// Calls whose right is gone end now.
    pub(super) fn end_forbidden_calls(self: &Arc<Self>, state: &mut State) {
        let State { view, calls, .. } = state;
        let Some(inner) = &mut calls.0 else { return };
        inner.endpoint_rates.clear();
        let forbidden: Vec<_> = inner.open.extract_if(|(target, _), _| view.find(*target).is_none()).collect();
        for ((_, number), open) in forbidden {
            self.end_open(&open, number, 403, "the right to call this endpoint has ended");
        }
    }

    fn end_open(self: &Arc<Self>, open: &Open, number: u64, status: u16, detail: &str) {
        if let Some(task) = &open.task {
            task.abort();
        }
        let header = Header { handle: open.handle, id: ERROR | number };
        let body = problem::made(status, detail, &self.instance(number), More::default());
        let header = header.to_bytes();
        let refused = self.writer.binary_bytes(&header, &body);
        Writer::flush(self);
        if refused == Err(Refused::Full) {
            // The exchange must end for the client too, once it reads again: at most one such task per call that was open.
            let session = self.clone();
            tokio::spawn(async move {
                while session.writer.binary_bytes(&header, &body) == Err(Refused::Full) {
                    session.writer.room(header.len() + body.len()).await;
                }
                Writer::flush(&session);
            });
        }
    }

    fn prepare(
        &self,
        view: &View,
        route: &Arc<forward::Route>,
        state: &State,
        request: &Request,
    ) -> Result<forward::Call, CallError> {
        let principal = state.principal.as_deref();
        let claims = |path: &[String]| principal.and_then(|p| p.claims.text(path)).map(str::to_owned);
        let caller = forward::Caller {
            client_id: &self.client_id(state),
            session_id: &self.id().to_string(),
            subject: principal.map(|p| &*p.subject),
            issuer: principal.map(|p| &*p.issuer),
            tiers: &view.tier_names,
            claims: &claims,
            token: state.token.as_deref(),
            number: request.header.number(),
            request_id: forward::RequestId::random(),
        };
        route.prepare(&caller, request.payload.clone())
    }

    /// What logs call one exchange of this session.
    pub(super) fn instance(&self, number: u64) -> String {
        format!("urn:bannou:{}:{}", self.id(), number)
    }
}

/// A request on its way.
struct Running {
    session: Arc<Session>,
    view: Arc<View>,
    key: (Target, u64),
    serial: u64,
    header: Header,
    answered: bool,
}

/// How a request ended, for its metric.
type Status = u16;

impl Running {
    async fn run(self, call: forward::Call) {
        let started = Instant::now();
        let view = self.view.clone();
        let Some(entry) = view.find(self.key.0) else { return };
        let Some((service, endpoint, _)) = view.snapshot.endpoint(entry) else { return };
        let request = call.request_id();
        let result = match self.session.shared.forwarder.call(call).await {
            Err(error) => Err(error),
            Ok(answer) => self.answer(answer, &service.name, &endpoint.name, endpoint.interaction).await,
        };
        let status = match result {
            Ok(status) => status,
            Err(error) => {
                let status = error.status();
                tracing::debug!(%request, endpoint = %entry.name, reason = error.reason(), status, "a call failed");
                let body = error.problem(&format!("urn:bannou:{request}"));
                self.send(ERROR, &problem::payload(status, &body), true).await;
                status
            }
        };
        self.session.shared.metrics.call_ended(&entry.name, status, started.elapsed().as_secs_f64());
    }

    async fn answer(
        &self,
        answer: Answer,
        service: &str,
        endpoint: &str,
        interaction: Interaction,
    ) -> Result<Status, CallError> {
        let Answer { status, effects, dropped, mut body } = answer;
        self.session.count_dropped(dropped);
        let success = (200..300).contains(&status);
        if interaction == Interaction::Stream && success {
            self.session.obey(effects, service, endpoint).await;
            self.stream(&mut body).await?;
            self.send(0, b"", true).await;
            return Ok(status);
        }
        let body = body.all().await?;
        self.session.obey(effects, service, endpoint).await;
        if success {
            self.send(0, &body, true).await;
        } else {
            self.send(ERROR, &problem::payload(status, &body), true).await;
        }
        Ok(status)
    }

    /// Passes parts on while the body arrives; reads it only as fast as the client takes them.
    async fn stream(&self, body: &mut forward::Body) -> Result<(), CallError> {
        while let Some(chunk) = body.next().await? {
            for part in chunk.chunks(MAX_PART) {
                self.send(MORE, part, false).await;
            }
        }
        Ok(())
    }

    /// One frame of the answer, once there is room; none when the request was ended by somebody else meanwhile.
    async fn send(&self, flags: u64, payload: &[u8], last: bool) {
        if !self.answered {
            return;
        }
        let header = Header { handle: self.header.handle, id: flags | self.key.1 }.to_bytes();
        loop {
            let refused = {
                let mut state = self.session.state.lock();
                if !state.calls.is(self.key, self.serial) {
                    return;
                }
                let refused = self.session.writer.binary_bytes(&header, payload);
                if last && refused != Err(Refused::Full) {
                    state.calls.remove(self.key);
                }
                refused
            };
            Writer::flush(&self.session);
            if refused != Err(Refused::Full) {
                return;
            }
            self.session.writer.room(header.len() + payload.len()).await;
        }
    }
}
