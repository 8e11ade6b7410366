//! What every session of this process shares.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::auth::FailureLimiter;
use crate::bus::Bus;
use crate::bus::contract::ReplyAllow;
use crate::forward::Forwarder;
use crate::handle::FleetKey;
use crate::metrics::Metrics;
use crate::resume::Sealer;
use crate::session::Session;
use crate::snapshot::Snapshot;
use crate::table::Table;

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
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            ping_every_ms: 25_000,
            pong_within_ms: 10_000,
            hello_within_ms: 10_000,
            expiring_before_ms: 60_000,
            expiry_grace_ms: 25_000,
        }
    }
}

pub struct Shared {
    pub key: FleetKey,
    pub sealer: Sealer,
    /// 64 random bits of this process, in hex: the first part of every `client_id`.
    pub slot: String,
    pub metrics: Arc<Metrics>,
    pub table: Table,
    pub snapshot: ArcSwap<Snapshot>,
    pub forwarder: Arc<Forwarder>,
    pub failures: FailureLimiter,
    pub timing: Timing,
    pub bus: Arc<dyn Bus>,
    /// Where answers to services may go.
    pub reply_allow: ReplyAllow,
    started: Instant,
}

impl Shared {
    pub fn new(
        key: FleetKey,
        metrics: Arc<Metrics>,
        snapshot: Arc<Snapshot>,
        forwarder: Arc<Forwarder>,
        timing: Timing,
        bus: Arc<dyn Bus>,
        reply_allow: ReplyAllow,
    ) -> Shared {
        Shared {
            sealer: Sealer::new(key.resume_key()),
            key,
            slot: bus.slot().to_string(),
            metrics,
            table: Table::default(),
            snapshot: ArcSwap::new(snapshot),
            forwarder,
            failures: FailureLimiter::default(),
            timing,
            bus,
            reply_allow,
            started: Instant::now(),
        }
    }

    /// Milliseconds since this process began to serve; what all timers count in.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Puts a snapshot into force; every session adapts by itself.
    pub fn apply(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
        self.metrics.catalog_applied.inc();
        self.table.each(Session::catalog_changed);
    }
}
