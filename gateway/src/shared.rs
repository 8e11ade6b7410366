//! What every session of this process shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::auth::{FailureLimiter, Principal};
use crate::bus::alive::{Alive, Beat, CutOff};
use crate::bus::announce::Announcer;
use crate::bus::closer::{self, Closer};
use crate::bus::contract::ReplyAllow;
use crate::bus::directory::{Directory, MOST_SESSIONS};
use crate::bus::meters::Meters;
use crate::bus::records::SessionEvent;
use crate::bus::{Bus, Slot};
use crate::deliver::Desk;
use crate::forward::Forwarder;
use crate::keyring::Keyring;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::sync;
use crate::table::{SHARDS, Table};
use crate::tiers::TierSet;

/// Pings, deadlines and what the protocol leaves to the gateway. Seconds and milliseconds of wall-clock-free time.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub ping_every_ms: u64,
    pub pong_within_ms: u64,
    /// For the first frame of a resume, and for a token where no anonymous tier admits.
    pub hello_within_ms: u64,
    /// How long before expiry `token_expiring` is sent.
    pub expiring_before_ms: u64,
    /// After expiry, until the tiers go.
    pub expiry_grace_ms: u64,
    /// How gateways tell each other that they live.
    pub beat: Beat,
    /// How long what still arrives for a closed gateway is answered before its log is deleted.
    pub log_grace_ms: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            ping_every_ms: 25_000,
            pong_within_ms: 10_000,
            hello_within_ms: 10_000,
            expiring_before_ms: 60_000,
            expiry_grace_ms: 25_000,
            beat: Beat::default(),
            log_grace_ms: 60_000,
        }
    }
}

/// Sessions that adapt to a new catalog before others have their turn.
const AT_ONCE: usize = 32;

/// How long the last words may take.
const SAID_WITHIN: Duration = Duration::from_secs(3);

/// What connects one gateway with services and with other gateways.
pub struct Fleet {
    pub desk: Desk,
    pub alive: Arc<Alive>,
    pub announcer: Arc<Announcer>,
    pub directory: Arc<Directory>,
    pub closer: Closing,
}

/// How this gateway closes what dead ones leave.
#[derive(Clone)]
pub struct Closing {
    allow: ReplyAllow,
    meters: Meters,
}

impl Fleet {
    /// `address`: where other gateways reach this one.
    pub fn new(
        bus: Arc<dyn Bus>,
        allow: ReplyAllow,
        address: String,
        beat: Beat,
        meters: Meters,
        most: usize,
    ) -> Fleet {
        let alive = Alive::new(bus.clone(), address, beat, meters.clone());
        let speaks = alive.clone();
        let announcer = Announcer::new(bus.clone(), most, meters.clone(), move || speaks.may_speak());
        let directory = Directory::new(bus.clone(), MOST_SESSIONS, meters.clone());
        let closer = Closing { allow: allow.clone(), meters };
        Fleet { desk: Desk::new(bus, allow, alive.clone()), alive, announcer, directory, closer }
    }
}

/// What is obeyed at first, and who says what follows.
pub struct Configuration {
    pub snapshot: Arc<Snapshot>,
    /// `None`: somebody who is always there, such as a file.
    pub operator: Option<Arc<sync::State>>,
}

pub struct Shared {
    pub keyring: Arc<Keyring>,
    /// The first part of every `client_id`.
    pub slot: Slot,
    pub desk: Desk,
    /// Sessions without a connection that are kept for their clients to come back to.
    pub max_absent: usize,
    pub metrics: Arc<Metrics>,
    pub table: Table,
    pub snapshot: ArcSwap<Snapshot>,
    /// What is known of the operator, where there is one.
    pub operator: Option<Arc<sync::State>>,
    pub forwarder: Arc<Forwarder>,
    pub failures: FailureLimiter,
    pub timing: Timing,
    pub bus: Arc<dyn Bus>,
    pub alive: Arc<Alive>,
    announcer: Arc<Announcer>,
    pub directory: Arc<Directory>,
    closer: Closing,
    leaving: Notify,
    /// Every session is to look at what is in force.
    changed: Notify,
    /// How often that was asked for, and which time they all were last told.
    asked: AtomicU64,
    told: watch::Sender<u64>,
    /// Without word from fleet or operator for too long: revocations could have been missed.
    anonymous_only: AtomicBool,
    started: Instant,
}

impl Shared {
    pub fn new(
        keyring: Arc<Keyring>,
        metrics: Arc<Metrics>,
        config: Configuration,
        forwarder: Arc<Forwarder>,
        timing: Timing,
        fleet: Fleet,
        max_connections: usize,
    ) -> Shared {
        let Fleet { desk, alive, announcer, directory, closer } = fleet;
        Shared {
            keyring,
            slot: desk.bus.slot(),
            max_absent: max_connections,
            metrics,
            table: Table::default(),
            snapshot: ArcSwap::new(config.snapshot),
            operator: config.operator,
            forwarder,
            failures: FailureLimiter::default(),
            timing,
            bus: desk.bus.clone(),
            desk,
            alive,
            announcer,
            directory,
            closer,
            leaving: Notify::new(),
            changed: Notify::new(),
            asked: AtomicU64::new(0),
            told: watch::Sender::new(0),
            anonymous_only: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    /// Tells services and other gateways what became of a session.
    pub fn announce(&self, event: SessionEvent) {
        self.announcer.announce(event);
    }

    /// Another gateway speaks for this session from now on.
    pub fn disown(&self, session: Uuid) {
        self.announcer.disown(session, true);
    }

    /// Nothing is known yet of what is to be served.
    pub fn awaits_catalog(&self) -> bool {
        self.operator.as_ref().is_some_and(|operator| operator.awaits_catalog())
    }

    /// The tiers that a principal holds by admission, as far as this gateway may tell.
    pub fn admitted(&self, snapshot: &Snapshot, principal: Option<&Principal>) -> TierSet {
        snapshot.admitted(principal.filter(|_| !self.anonymous_only.load(Ordering::Relaxed)))
    }

    /// Without word from the fleet for so long that no token counts.
    pub fn holds_anonymous_only(&self) -> bool {
        self.anonymous_only.load(Ordering::Relaxed)
    }

    /// Reads and speaks on the bus until that is shut down.
    pub async fn serve_bus(self: Arc<Self>) {
        let shared = self.clone();
        let window_ms = move || shared.snapshot.load().catalog.fleet.resume_window_ms;
        let known = (self.bus.clone(), self.alive.clone(), self.directory.clone());
        let Closing { allow, meters } = self.closer.clone();
        let grace = Duration::from_millis(self.timing.log_grace_ms);
        let closer = Closer::new(known, allow, window_ms, grace, self.timing.beat, meters);
        tokio::join!(
            Desk::run(self.clone()),
            async {
                // Who leaves sends no more beacons.
                tokio::select! {
                    () = self.alive.clone().run() => {}
                    () = self.leaving.notified() => {}
                }
            },
            self.announcer.clone().run(),
            self.directory.clone().run(),
            closer.run(),
        );
    }

    /// One tick of the clock of all timers.
    pub fn sweep(self: &Arc<Self>) {
        let now = self.now_ms();
        let (control_age, config_age) = {
            let snapshot = self.snapshot.load();
            (snapshot.catalog.fleet.max_control_age_ms, snapshot.catalog.fleet.max_config_age_ms)
        };
        let control = self.alive.cut_off(control_age) >= CutOff::Privileges;
        let config = self.operator.as_ref().is_some_and(|operator| operator.silent_ms() > config_age);
        let anonymous_only = control || config;
        if self.anonymous_only.swap(anonymous_only, Ordering::Relaxed) != anonymous_only {
            tracing::warn!(
                anonymous_only,
                control,
                config,
                "the age of control stream or configuration decides about tiers"
            );
            self.everybody_looks();
        }
        if let Some(operator) = &self.operator {
            operator.measure();
        }
        self.table.each(|session| session.sweep(now));
        self.desk.sweep(self, now);
    }

    /// All sessions are over, their ends are said: for the end of the process. Within a few seconds, or not at all.
    pub async fn end_sessions(self: &Arc<Self>) {
        self.desk.close_everybody(self);
        let ended = async {
            while !self.desk.nobody_is_away() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.announcer.flushed().await;
        };
        if tokio::time::timeout(SAID_WITHIN, ended).await.is_err() {
            return tracing::warn!("not every end of a session could be said: another gateway will");
        }
        self.leaving.notify_one();
        match tokio::time::timeout(SAID_WITHIN, closer::leave(&*self.bus, &self.alive)).await {
            Ok(Ok(())) => tracing::info!("left the fleet"),
            Ok(Err(error)) => tracing::warn!(%error, "could not say that this gateway leaves: its silence will"),
            Err(_) => tracing::warn!("could not say in time that this gateway leaves: its silence will"),
        }
    }

    /// Milliseconds since this process began to serve; what all timers count in.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Puts a snapshot into force; every session adapts by itself, once [`Shared::spread`] has come to it: see [`Shared::told`].
    pub fn apply(&self, snapshot: Arc<Snapshot>) -> u64 {
        self.metrics.catalog_applied.inc();
        self.renew(snapshot)
    }

    /// [`Shared::apply`], where it is the same catalog with other keys.
    pub fn renew(&self, snapshot: Arc<Snapshot>) -> u64 {
        self.snapshot.store(snapshot);
        self.everybody_looks()
    }

    fn everybody_looks(&self) -> u64 {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.notify_one();
        asked
    }

    /// Returns when every session was told to look since [`Shared::apply`] gave this number.
    pub async fn told(&self, asked: u64) {
        // The sender is this struct's own.
        let _ = self.told.subscribe().wait_for(|told| *told >= asked).await;
    }

    /// Makes sessions look at what is in force whenever that changes, a few at a time: a frame that is relayed meanwhile waits for
    /// these few, not for all. For ever.
    pub async fn spread(&self) {
        loop {
            // What changes while this goes round is kept for another round.
            self.changed.notified().await;
            let asked = self.asked.load(Ordering::Acquire);
            for part in 0..SHARDS {
                for few in self.table.part(part).chunks(AT_ONCE) {
                    few.iter().for_each(Session::catalog_changed);
                    tokio::task::yield_now().await;
                }
            }
            self.table.each_waiting(Session::catalog_changed);
            self.told.send_replace(asked);
        }
    }
}
