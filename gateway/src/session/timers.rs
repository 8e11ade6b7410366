//! All that a session does by the clock. Pure: a list of instants and what is due.

use std::time::SystemTime;

use crate::auth::Principal;
use crate::shared::{Shared, Timing};
use crate::view::View;

pub const NEVER: u64 = u64::MAX;

/// Instants in milliseconds of [`Shared::now_ms`].
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    ping: u64,
    pong: u64,
    resume: u64,
    expiring: u64,
    expiry: u64,
    age: u64,
    session_age: u64,
    hello: u64,
    connected: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Ping,
    /// No pong came.
    Silent,
    RenewResume,
    TokenExpiring,
    TokenExpired,
    ConnectionAge,
    SessionAge,
    NoHello,
}

impl Timers {
    pub fn new(shared: &Shared, view: &View, principal: Option<&Principal>) -> Timers {
        let now = shared.now_ms();
        let fleet = &view.snapshot.catalog.fleet;
        let mut timers = Timers {
            ping: now + shared.timing.ping_every_ms,
            pong: NEVER,
            resume: now + half(fleet.resume_window_ms),
            expiring: NEVER,
            expiry: NEVER,
            age: now.saturating_add(view.limits.max_connection_age_ms),
            session_age: now.saturating_add(fleet.max_session_age_ms),
            hello: if view.tiers.is_empty() { now + shared.timing.hello_within_ms } else { NEVER },
            connected: now,
        };
        timers.token(now, &shared.timing, principal, SystemTime::now());
        timers
    }

    /// Takes over the expiry of a new token; `None` forgets the old one's.
    pub fn token(&mut self, now: u64, timing: &Timing, principal: Option<&Principal>, clock: SystemTime) {
        let Some(principal) = principal else {
            (self.expiring, self.expiry) = (NEVER, NEVER);
            return;
        };
        let left = principal.expires_at.duration_since(clock).map_or(0, |d| d.as_millis() as u64);
        // A token that lives shortly is announced half way.
        self.expiring = now + left - timing.expiring_before_ms.min(left / 2);
        self.expiry = now + left + timing.expiry_grace_ms;
    }

    pub fn rights_changed(&mut self, now: u64, view: &View, timing: &Timing) {
        self.age = self.connected.saturating_add(view.limits.max_connection_age_ms);
        self.hello = match (view.tiers.is_empty(), self.hello) {
            (false, _) => NEVER,
            (true, NEVER) => now + timing.hello_within_ms,
            (true, since) => since,
        };
    }

    /// When this connection came.
    pub fn connected(&self) -> u64 {
        self.connected
    }

    /// When the session is older than it may be, however often it moves.
    pub fn session_age(&self) -> u64 {
        self.session_age
    }

    /// The session came back on this connection.
    pub fn resumed(&mut self, session_age: u64, view: &View) {
        self.session_age = session_age;
        self.age = self.connected.saturating_add(view.limits.max_connection_age_ms);
        self.hello = NEVER;
    }

    /// The client's first frame must come, whatever tiers it holds.
    pub fn await_hello(&mut self, now: u64, timing: &Timing) {
        self.hello = now + timing.hello_within_ms;
    }

    pub fn hello_came(&mut self, view: &View) {
        if !view.tiers.is_empty() {
            self.hello = NEVER;
        }
    }

    pub fn pong_came(&mut self) {
        self.pong = NEVER;
    }

    pub fn next(&self) -> u64 {
        [self.ping, self.pong, self.resume, self.expiring, self.expiry, self.age, self.session_age, self.hello]
            .into_iter()
            .min()
            .unwrap_or(NEVER)
    }

    /// One thing that is due, and sets its next time. Call until `None`.
    pub fn due(&mut self, now: u64, timing: &Timing, resume_window_ms: u64) -> Option<Due> {
        let take = |at: &mut u64, again: u64| {
            let due = *at <= now;
            if due {
                *at = again;
            }
            due
        };
        if take(&mut self.pong, NEVER) {
            Some(Due::Silent)
        } else if take(&mut self.hello, NEVER) {
            Some(Due::NoHello)
        } else if take(&mut self.session_age, NEVER) {
            Some(Due::SessionAge)
        } else if take(&mut self.age, NEVER) {
            Some(Due::ConnectionAge)
        } else if take(&mut self.expiry, NEVER) {
            Some(Due::TokenExpired)
        } else if take(&mut self.expiring, NEVER) {
            Some(Due::TokenExpiring)
        } else if take(&mut self.resume, now + half(resume_window_ms)) {
            Some(Due::RenewResume)
        } else if take(&mut self.ping, now + timing.ping_every_ms) {
            self.pong = now + timing.pong_within_ms;
            Some(Due::Ping)
        } else {
            None
        }
    }
}

fn half(window_ms: u64) -> u64 {
    (window_ms / 2).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Timers {
        Timers {
            ping: NEVER,
            pong: NEVER,
            resume: NEVER,
            expiring: NEVER,
            expiry: NEVER,
            age: NEVER,
            session_age: NEVER,
            hello: NEVER,
            connected: 0,
        }
    }

    #[test]
    fn a_ping_awaits_its_pong() {
        let timing = Timing::default();
        let mut timers = Timers { ping: 100, ..quiet() };
        assert_eq!(timers.due(99, &timing, 1), None);
        assert_eq!(timers.due(100, &timing, 1), Some(Due::Ping));
        assert_eq!(timers.due(100, &timing, 1), None);
        assert_eq!(timers.next(), 100 + timing.pong_within_ms);
        timers.pong_came();
        assert_eq!(timers.next(), 100 + timing.ping_every_ms);
        assert_eq!(timers.due(100 + timing.ping_every_ms, &timing, 1), Some(Due::Ping));
        let late = 100 + timing.ping_every_ms + timing.pong_within_ms;
        assert_eq!(timers.due(late, &timing, 1), Some(Due::Silent));
    }
}
