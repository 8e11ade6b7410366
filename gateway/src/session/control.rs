//! Answers to control messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use futures_util::FutureExt;
use serde_json::value::RawValue;

use super::Session;
use crate::auth::{AuthError, Principal};
use crate::control::{self, FromClient, Id, Message};

impl Session {
    /// Answers one control message. Never waits: what must, goes on in a task of its own.
    pub(super) fn obey_control(self: &Arc<Self>, message: FromClient) {
        let id = message.id.as_deref();
        match message.what {
            Message::Ping => self.say(&control::ok(id, &serde_json::json!({}))),
            Message::Authenticate { token } => self.authenticate(message.id, token),
            Message::Describe { name } => self.describe(id, &name),
            Message::Part { label } => {
                if self.part(&label) {
                    self.say(&control::ok(id, &serde_json::json!({})));
                } else {
                    self.say(&control::error(id, 404, "no peer has that label", None));
                }
            }
            Message::Resume(_) => {
                let detail = "resume is the first frame of a connection that offered bannou.resume";
                self.say(&control::error(id, 400, detail, None));
            }
            Message::Later(what) => {
                let detail = format!("this gateway does not offer {what} yet");
                self.say(&control::error(id, 501, &detail, None));
            }
        }
    }

    fn authenticate(self: &Arc<Self>, id: Option<Id>, token: String) {
        if !self.shared.failures.check(self.address, Instant::now()) {
            let detail = "too many refused tokens from this address: wait a minute";
            return self.say(&control::error(id.as_deref(), 429, detail, None));
        }
        let Some(seat) = Authenticating::begin(self) else {
            let detail = "an authenticate is under way: wait for its answer";
            return self.say(&control::error(id.as_deref(), 409, detail, None));
        };
        // Nearly always the keys are there and this ends at once, in order with the frames around it.
        let session = self.clone();
        let mut verifying = Box::pin(async move {
            let result = session.verify(&token).await;
            (result, token)
        });
        match verifying.as_mut().now_or_never() {
            Some((result, token)) => seat.0.authenticated(id.as_deref(), result, &token),
            None => {
                tokio::spawn(async move {
                    let (result, token) = verifying.await;
                    seat.0.authenticated(id.as_deref(), result, &token);
                });
            }
        }
    }

    fn authenticated(self: &Arc<Self>, id: Option<&RawValue>, result: Result<Principal, AuthError>, token: &str) {
        match result {
            Ok(principal) => {
                let left = principal.expires_at.duration_since(SystemTime::now());
                self.log_in(principal, token, "authenticated");
                let expires_in_s = left.map_or(0, |d| d.as_secs());
                self.say(&control::ok(id, &serde_json::json!({"expires_in_s": expires_in_s})));
            }
            Err(error) => {
                if error.is_clients_fault() {
                    self.shared.failures.failed(self.address, Instant::now());
                }
                let status = if error.is_clients_fault() { 401 } else { 503 };
                self.say(&control::error(id, status, &error.detail(), None));
            }
        }
    }

    fn describe(self: &Arc<Self>, id: Option<&RawValue>, name: &str) {
        let view = self.state.lock().view.clone();
        let entry = view.entries().find(|e| &*e.name == name);
        let Some(entry) = entry else {
            return self.say(&control::error(id, 403, "not permitted or unknown", None));
        };
        let answer = if let Some((_, endpoint, _)) = view.snapshot.endpoint(entry) {
            serde_json::json!({
                "name": name, "kind": "endpoint", "interaction": endpoint.interaction, "payload": endpoint.payload,
                "content_type": endpoint.content_type, "idempotent": endpoint.idempotent,
                "timeout_ms": endpoint.timeout_ms, "max_request_bytes": endpoint.max_request_bytes,
                "schema": endpoint.schema, "deprecated": endpoint.deprecated,
            })
        } else if let Some((_, event)) = view.snapshot.event(entry) {
            serde_json::json!({
                "name": name, "kind": "event", "interaction": event.interaction,
                "timeout_ms": event.timeout_ms, "schema": event.schema,
            })
        } else {
            serde_json::json!({})
        };
        self.say(&control::ok(id, &answer));
    }
}

/// At most one `authenticate` of a connection is being checked.
struct Authenticating(Arc<Session>);

impl Authenticating {
    fn begin(session: &Arc<Session>) -> Option<Authenticating> {
        let free = !session.authenticating.swap(true, Ordering::AcqRel);
        free.then(|| Authenticating(session.clone()))
    }
}

impl Drop for Authenticating {
    fn drop(&mut self) {
        self.0.authenticating.store(false, Ordering::Release);
    }
}
