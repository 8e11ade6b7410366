//! What a session holds, and every way in which that changes.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Close, Session, State};
use crate::auth::{AuthError, Principal};
use crate::bus::contract;
use crate::bus::records::SessionEventKind;
use crate::control::Reconnect;
use crate::wire::CANCELLED;

const NEEDS_TOKEN: Close = Close::new(4401, "no tier admits this connection: a token is needed", Reconnect::No);
const EXPIRED: Close = Close::new(4401, "the token expired and no anonymous tier admits", Reconnect::No);
const REPLACED: Close = Close::new(4409, "a newer connection of this subject took its place", Reconnect::No);

/// Issuer and subject together: the first bytes of the key by which services address them.
pub fn subject_key(principal: &Principal) -> u64 {
    subject_of_key(&contract::subject_key(&principal.issuer, &principal.subject))
}

/// From a routing key's 64 hex digits.
pub fn subject_of_key(hex: &str) -> u64 {
    hex.get(..16).and_then(|first| u64::from_str_radix(first, 16).ok()).unwrap_or(0)
}

impl Session {
    /// Checks a token against the configuration in force.
    ///
    /// # Errors
    /// The token is refused.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        let verifier = self.shared.snapshot.load().verifier.clone();
        verifier.verify(token, SystemTime::now()).await
    }

    /// Logs in, or refreshes: the tiers follow the new token.
    pub(super) fn log_in(self: &Arc<Self>, principal: Principal, token: &str, reason: &'static str) {
        let key = subject_key(&principal);
        let mut state = self.state.lock();
        if state.left {
            return;
        }
        let before = state.principal.as_deref().map(subject_key);
        state.timers.token(self.shared.now_ms(), &self.shared.timing, Some(&principal), SystemTime::now());
        state.token = state.view.snapshot.forwards_tokens.then(|| token.into());
        state.principal = Some(Box::new(principal));
        self.settle(&mut state, reason, true);
        if state.greeted {
            self.announce(&state, SessionEventKind::Authenticated, None);
        }
        let at_most = state.view.limits.max_connections_per_subject as usize;
        drop(state);
        if let Some(before) = before.filter(|b| *b != key) {
            self.shared.table.remove_subject(before, self.id());
        }
        self.count_subject(key, at_most);
    }

    /// The connection counts for its subject; older ones beyond the limit make room.
    pub(super) fn count_subject(self: &Arc<Self>, key: u64, at_most: usize) {
        for oldest in self.shared.table.add_subject(key, self.id(), at_most) {
            oldest.close(REPLACED);
        }
        // A session that left in between had nothing to take back then.
        if self.state.lock().left {
            self.shared.table.remove_subject(key, self.id());
        }
    }

    /// The grace after the token's end is over.
    pub(super) fn token_expired(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some(old) = state.principal.take() else { return };
        state.token = None;
        state.timers.token(self.shared.now_ms(), &self.shared.timing, None, SystemTime::now());
        self.settle(&mut state, "token expired", true);
        let nobody = state.view.tiers.is_empty();
        drop(state);
        self.shared.table.remove_subject(subject_key(&old), self.id());
        if nobody {
            self.close(EXPIRED);
        }
    }

    pub(super) fn no_token_came(self: &Arc<Self>) {
        self.close(NEEDS_TOKEN);
    }

    /// Adapts to the snapshot in force.
    pub(super) fn follow_catalog(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if !std::mem::take(&mut state.catalog_changed) || state.left {
            return;
        }
        let snapshot = self.shared.snapshot.load();
        if state.principal.as_deref().is_some_and(|p| !snapshot.verifier.knows(p)) {
            // Its issuer is none of this fleet's any more: what its token gave goes at once.
            if let Some(old) = state.principal.take() {
                self.shared.table.remove_subject(subject_key(&old), self.id());
            }
            state.token = None;
            state.timers.token(self.shared.now_ms(), &self.shared.timing, None, SystemTime::now());
        }
        self.settle(&mut state, "catalog", false);
    }

    /// Brings the view in line with principal and snapshot, and tells the client.
    fn settle(self: &Arc<Self>, state: &mut State, reason: &'static str, renew: bool) {
        let snapshot = self.shared.snapshot.load_full();
        let view = snapshot.view(self.shared.admitted(&snapshot, state.principal.as_deref()));
        let mut rights = false;
        if !Arc::ptr_eq(&view, &state.view) {
            rights = view.set != state.view.set;
            state.rights += u64::from(rights);
            state.reason = reason;
            self.note_gains(state, &view);
            state.timers.rights_changed(self.shared.now_ms(), &view, &self.shared.timing);
            state.view = view;
            self.writer.set_queue_limit(state.view.limits.send_queue_bytes as usize);
            self.changed();
            self.end_forbidden_calls(state);
            self.end_forbidden_events(state);
        }
        // An edit that is none of this client's costs it no message.
        if renew || rights {
            self.tell_resume(state);
        }
        self.tell(state);
        self.reschedule(state);
    }

    /// What services asked under events that this client may no longer receive is over.
    fn end_forbidden_events(self: &Arc<Self>, state: &State) {
        if self.is_known() && state.greeted {
            let view = &state.view;
            for (number, target) in self.shared.desk.rights_changed(self, |target| view.find(target).is_some()) {
                self.end_event(target, number, CANCELLED, "the right to this event has ended");
            }
        }
    }

    pub fn holds_tier(&self, name: &str) -> bool {
        self.state.lock().view.held_tiers().any(|tier| tier == name)
    }

    /// Whether this client logged in as the subject of that routing key.
    pub fn is_of_subject(&self, hex: &str) -> bool {
        let state = self.state.lock();
        state.principal.as_deref().is_some_and(|p| contract::subject_key(&p.issuer, &p.subject) == hex)
    }

    pub(super) fn reschedule(&self, state: &State) {
        self.next_timer.store(state.timers.next(), std::sync::atomic::Ordering::Relaxed);
    }
}
