//! This gateway's beacons, and who else is alive.
//!
//! Who writes 404, 408 or `disconnected` asks [`Alive::may_speak`] first: it is false from the moment on in which others
//! may have taken this gateway for dead (it was stopped, or cut off from the broker), until the reader of its own log
//! has read that log up to a fresh marker and says so with [`Alive::renewed`].

mod roster;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::meters::Meters;
use super::records::{self, ControlRecord};
use super::{Bus, Confirmed, Log, Read, Slot, Start, To};
use roster::Roster;

pub use roster::Dead;

/// Without the control stream for so long, a gateway admits no new session.
const NO_NEWCOMERS_AFTER_MS: u64 = 30_000;

/// How often a gateway says that it is there, and how long a silence is the end. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    pub every_ms: u64,
    pub dead_after_ms: u64,
}

impl Default for Beat {
    fn default() -> Beat {
        Beat { every_ms: 2_000, dead_after_ms: 10_000 }
    }
}

impl Beat {
    /// For a silence of `dead_after_ms`, as many beacons in it as by default.
    pub fn within(dead_after_ms: u64) -> Beat {
        let dead_after_ms = dead_after_ms.max(10);
        Beat { every_ms: dead_after_ms / 5, dead_after_ms }
    }
}

/// What a gateway that does not hear the control stream may no longer do; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutOff {
    No,
    /// A resume is answered with 4503: a loss of rights could have been missed.
    Resumes,
    /// No new session is admitted.
    Newcomers,
    /// Older than the fleet's `maxControlAge`: anonymous tiers alone.
    Privileges,
}

/// Where this gateway stands in its fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// 0 until the control stream has been read whole. Rises whenever the gateway hears again after a time in which
    /// others may have taken it for dead: the owner of its log then reads it up to a fresh marker and calls
    /// [`Alive::renewed`].
    pub epoch: u64,
    /// Its log was deleted by another: this slot is over, all its sessions are closed, the process starts anew.
    pub deposed: bool,
}

pub struct Alive {
    bus: Arc<dyn Bus>,
    address: String,
    beat: Beat,
    began: Instant,
    roster: Mutex<Roster>,
    standing: watch::Sender<Standing>,
    renewed: AtomicU64,
    meters: Meters,
}

impl Alive {
    /// `address`: where other gateways reach this one.
    pub fn new(bus: Arc<dyn Bus>, address: String, beat: Beat, meters: Meters) -> Arc<Alive> {
        let roster = Mutex::new(Roster::new(bus.slot(), beat, 0));
        let standing = watch::Sender::new(Standing::default());
        let began = Instant::now();
        Arc::new(Alive { bus, address, beat, began, roster, standing, renewed: AtomicU64::new(0), meters })
    }

    /// Sends beacons and reads the control stream until the bus is shut down.
    pub async fn run(self: Arc<Self>) {
        let mut reader = self.bus.read(Log::Control, Start::First);
        let mut tick = tokio::time::interval(Duration::from_millis(self.beat.every_ms));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // One at a time: what waits over an outage is one beacon, and the next one follows when it is through.
        let mut beacon: Option<Confirmed> = None;
        let mut sent_at = Instant::now();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.measure();
                    if beacon.is_none() {
                        sent_at = Instant::now();
                        beacon = self.send_beacon();
                    }
                }
                sent = confirmed(&mut beacon) => {
                    beacon = None;
                    if let Err(error) = sent {
                        tracing::warn!(%error, "a beacon to the control stream was not taken");
                    } else if sent_at.elapsed() >= Duration::from_millis(self.beat.every_ms) {
                        // It says how things were: the next one, how they are now.
                        tick.reset_immediately();
                    }
                }
                read = reader.next() => match read {
                    Some(Read::Record(record)) => {
                        if let Some(record) = records::of(&record, Log::Control, self.bus.user()) {
                            self.read(record);
                        }
                    }
                    // Neither makes anybody alive or dead; who was there is kept.
                    Some(Read::Gap { from, to }) => tracing::info!(from, to, "records of the control stream are gone"),
                    Some(Read::Remade) => tracing::warn!("the control stream was made anew: its records are lost"),
                    Some(Read::Gone) | None => return,
                }
            }
        }
    }

    fn send_beacon(&self) -> Option<Confirmed> {
        let number = self.roster.lock().next_number(self.now_ms());
        let record = ControlRecord::Alive { slot: self.bus.slot(), address: self.address.clone(), number };
        let sent = self.bus.publish(To::Log(Log::Control), records::message(&record));
        sent.inspect_err(|error| tracing::warn!(%error, "no beacon is sent")).ok()
    }

    fn read(&self, record: ControlRecord) {
        let now = self.now_ms();
        let standing = {
            let mut roster = self.roster.lock();
            roster.read(record, now);
            Standing { epoch: roster.epoch(), deposed: roster.deposed() }
        };
        self.standing.send_if_modified(|s| std::mem::replace(s, standing) != standing);
    }

    fn measure(&self) {
        let now = self.now_ms();
        let roster = self.roster.lock();
        self.meters.control_age_seconds.set(roster.age(now) as f64 / 1000.0);
        self.meters.gateways_alive.set(roster.others(now).len() as i64 + i64::from(roster.is_news(now)));
        self.meters.gateways_dead.set(roster.dead(now).len() as i64);
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Changes when the gateway becomes ready, when it may have been taken for dead, and when it is deposed.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The control stream has been read whole.
    pub fn is_ready(&self) -> bool {
        self.standing.borrow().epoch > 0
    }

    /// Returns when the control stream has been read whole.
    pub async fn ready(&self) {
        let _ = self.standing.subscribe().wait_for(|s| s.epoch > 0).await;
    }

    /// Returns when another gateway has deleted the own log: this slot is over, and the process starts anew.
    pub async fn deposed(&self) {
        let mut standing = self.standing.subscribe();
        if standing.wait_for(|s| s.deposed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The own log has been read up to a marker that was sent after `epoch` began.
    pub fn renewed(&self, epoch: u64) {
        self.renewed.fetch_max(epoch, Ordering::AcqRel);
    }

    /// Whether this gateway may still say how things of its own slot ended. Asked right before it is said.
    pub fn may_speak(&self) -> bool {
        let roster = self.roster.lock();
        roster.is_news(self.now_ms()) && !roster.deposed() && self.renewed.load(Ordering::Acquire) == roster.epoch()
    }

    /// How long ago the newest own beacon that came back was sent: how old the news of the control stream are.
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.roster.lock().age(self.now_ms()))
    }

    /// What this gateway may no longer do, by the age of its news; `max_control_age_ms` is the fleet's.
    pub fn cut_off(&self, max_control_age_ms: u64) -> CutOff {
        let age = self.age().as_millis() as u64;
        let waits = !self.bus.state().borrow().awaiting.is_empty();
        cut_off(age, waits, self.beat, max_control_age_ms)
    }

    /// Who is alive, and where they are reached: this gateway first while it hears itself, then by slot.
    pub fn live(&self) -> Vec<(Slot, String)> {
        let now = self.now_ms();
        let roster = self.roster.lock();
        let own = roster.is_news(now).then(|| (self.bus.slot(), self.address.clone()));
        own.into_iter().chain(roster.others(now)).collect()
    }

    /// Who fell silent and whose log is there yet; empty while this gateway does not hear the control stream.
    pub fn dead(&self) -> Vec<Dead> {
        self.roster.lock().dead(self.now_ms())
    }

    pub fn is_dead(&self, slot: Slot) -> bool {
        self.dead().iter().any(|d| d.slot == slot)
    }

    /// Whether the log of this slot is known to be deleted.
    pub fn is_deleted(&self, slot: Slot) -> bool {
        self.roster.lock().is_deleted(slot)
    }
}

fn cut_off(age_ms: u64, bus_waits: bool, beat: Beat, max_control_age_ms: u64) -> CutOff {
    if age_ms >= max_control_age_ms.max(NO_NEWCOMERS_AFTER_MS) {
        CutOff::Privileges
    } else if age_ms >= NO_NEWCOMERS_AFTER_MS {
        CutOff::Newcomers
    } else if bus_waits || age_ms >= 3 * beat.every_ms {
        CutOff::Resumes
    } else {
        CutOff::No
    }
}

/// Waits for ever where nothing is on its way.
async fn confirmed(beacon: &mut Option<Confirmed>) -> Result<(), super::Unpublished> {
    match beacon {
        Some(sent) => sent.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
