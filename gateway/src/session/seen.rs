//! What can be seen of a session from outside.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Close, Session, State};
use crate::auth::Principal;
use crate::control::Reconnect;
use crate::view::View;

/// The protocol's close for who is put out by somebody's word.
const CODE: u16 = 4403;
/// What services are told of such a session.
pub const KICKED: &str = "kicked or revoked";
/// A close frame has room for 123 bytes of it.
pub const MAX_REASON: usize = 120;

/// One session at one moment, while its lock is held.
pub struct Seen<'a> {
    session: &'a Session,
    state: &'a State,
    pub view: &'a Arc<View>,
    pub principal: Option<&'a Principal>,
    pub address: IpAddr,
    pub revision: u64,
    /// In milliseconds of `Shared::now_ms`.
    pub connected_ms: u64,
    pub in_flight: u32,
    pub queued_bytes: usize,
    /// The close code, once the gateway has said that it closes.
    pub closing: Option<u16>,
    /// Whether the client has been told all that it may use.
    pub told: bool,
}

impl Seen<'_> {
    /// Where services reach this client.
    pub fn client_id(&self) -> String {
        self.session.client_id(self.state)
    }
}

impl Session {
    /// `look` is called under the session's lock: it must not wait, and ask nothing of a session.
    pub fn see<T>(&self, look: impl FnOnce(Seen<'_>) -> T) -> T {
        let state = self.state.lock();
        look(Seen {
            session: self,
            view: &state.view,
            principal: state.principal.as_deref(),
            address: self.address,
            revision: state.revision,
            connected_ms: state.timers.connected(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            queued_bytes: self.writer.queued(),
            closing: state.closing,
            told: state.telling.is_none() && state.told.set == state.view.set,
            state: &state,
        })
    }

    /// Puts the client out: its session is over. `reason` is told to it; what does not fit is cut.
    pub fn kick(self: &Arc<Self>, reason: &str) {
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let close = Close::new(CODE, "kicked", Reconnect::No);
        self.close_saying(&mut self.state.lock(), close, &reason[..end]);
    }
}
