//! What a dead gateway leaves is closed by a living one.
//!
//! ```text
//! dead for the resume window → read its log up to an own marker → closed {session} for whoever was not taken over
//!   → up to an own marker again: now it is decided who is closed
//!   → read the log once more: 404 for what was asked of closed sessions; `disconnected` for each
//!   → latecomers for a grace → log deleted, `deleted` in bannou.control
//! ```
//!
//! Everything here may be done twice, and by two gateways at once: who asked keeps the first answer, records and events
//! repeat themselves. Reading twice keeps memory small: answers are made while the log is read, sessions are what is kept.

mod close;
mod fates;
mod leave;
mod say;
mod turn;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::alive::{Alive, Beat};
use super::contract::ReplyAllow;
use super::directory::Directory;
use super::meters::Meters;
use super::{Bus, Slot};

pub use leave::leave;

/// Slots closed at once: each is one reader of a log.
const AT_ONCE: usize = 2;

pub struct Closer {
    bus: Arc<dyn Bus>,
    alive: Arc<Alive>,
    directory: Arc<Directory>,
    allow: ReplyAllow,
    /// How long a session can come back, now, in milliseconds.
    window_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    grace: Duration,
    beat: Beat,
    markers: AtomicU64,
    meters: Meters,
}

/// Why a slot is not closed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It lives, or this gateway cannot tell. Begun anew where that is so.
    Abandoned,
    LogGone,
}

impl Closer {
    /// `window_ms` gives the fleet's resume window; `grace`: how long what still arrives for a closed slot is answered.
    pub fn new(
        (bus, alive, directory): (Arc<dyn Bus>, Arc<Alive>, Arc<Directory>),
        allow: ReplyAllow,
        window_ms: impl Fn() -> u64 + Send + Sync + 'static,
        grace: Duration,
        beat: Beat,
        meters: Meters,
    ) -> Arc<Closer> {
        let window_ms = Box::new(window_ms);
        let markers = AtomicU64::new(0);
        Arc::new(Closer { bus, alive, directory, allow, window_ms, grace, beat, markers, meters })
    }

    /// Looks after dead slots, those of before this gateway started too, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        self.alive.ready().await;
        self.directory.ready().await;
        let mut tick = tokio::time::interval(Duration::from_millis((self.beat.every_ms / 2).max(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = JoinSet::new();
        let mut at_work: HashMap<Slot, tokio::task::Id> = HashMap::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    for slot in self.turns() {
                        if at_work.len() < AT_ONCE && !at_work.contains_key(&slot) {
                            let job = jobs.spawn(self.clone().close(slot));
                            at_work.insert(slot, job.id());
                        }
                    }
                }
                Some(done) = jobs.join_next_with_id() => {
                    let id = match done {
                        Ok((id, ())) => id,
                        Err(error) => error.id(),
                    };
                    at_work.retain(|_, job| *job != id);
                }
            }
        }
    }

    fn turns(&self) -> Vec<Slot> {
        let dead = self.alive.dead();
        if dead.is_empty() {
            return Vec::new();
        }
        let live: Vec<Slot> = self.alive.live().into_iter().map(|(slot, _)| slot).collect();
        turn::turns(&dead, &live, self.bus.slot(), (self.window_ms)(), self.beat.dead_after_ms)
    }
}

#[cfg(test)]
mod tests;
