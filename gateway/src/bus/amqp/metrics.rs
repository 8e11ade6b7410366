//! What Prometheus reads of the bus.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::bus::Log;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Of {
    /// `slot` (its own), `other` (of another slot), `groups`, `control`, `sessions`.
    pub log: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Part {
    /// `reading`, `publishing`.
    pub part: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Unpublished {
    /// As `Unpublished::reason`.
    pub reason: &'static str,
}

/// Clones count together. Registered once by whoever owns the registry.
#[derive(Clone, Debug, Default)]
pub struct AmqpMetrics {
    pub confirmed: Counter,
    pub unpublished: Family<Unpublished, Counter>,
    pub resent: Counter,
    pub lost_replies: Counter,
    pub unconfirmed: Gauge,
    pub unconfirmed_bytes: Gauge,
    pub reconnects: Family<Part, Counter>,
    pub awaiting: Gauge,
    pub read: Family<Of, Counter>,
    pub gaps: Family<Of, Counter>,
    pub remade: Family<Of, Counter>,
    pub position: Family<Of, Gauge>,
}

impl AmqpMetrics {
    /// Under the prefix of `registry`, each name beginning with `bus_`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("bus");
        r.register("confirmed", "Messages that the broker confirmed", self.confirmed.clone());
        r.register("unpublished", "Messages that were not published, by reason", self.unpublished.clone());
        r.register("resent", "Messages sent again after an outage", self.resent.clone());
        r.register("lost_replies", "Answers whose queue was gone", self.lost_replies.clone());
        r.register("unconfirmed", "Messages that wait for a confirmation", self.unconfirmed.clone());
        r.register("unconfirmed_bytes", "Their size", self.unconfirmed_bytes.clone());
        r.register("reconnects", "Connections to the broker made anew, by what they are for", self.reconnects.clone());
        r.register("awaiting", "Things the bus waits for: 0 when all is well", self.awaiting.clone());
        r.register("read", "Records read, by log", self.read.clone());
        r.register("gaps", "Records that were gone when it was their turn, by log", self.gaps.clone());
        r.register("remade", "Logs found to be made anew", self.remade.clone());
        r.register("position", "The offset read last, by log", self.position.clone());
    }

    pub(super) fn reconnected(&self, part: &'static str) {
        self.reconnects.get_or_create(&Part { part }).inc();
    }

    pub(super) fn unpublished(&self, reason: &'static str) {
        self.unpublished.get_or_create(&Unpublished { reason }).inc();
    }
}

impl Of {
    /// As few labels as there are kinds.
    pub(super) fn new(log: Log, own: crate::bus::Slot) -> Of {
        let log = match log {
            Log::Slot(slot) if slot == own => "slot",
            Log::Slot(_) => "other",
            Log::Groups => "groups",
            Log::Control => "control",
            Log::Sessions => "sessions",
        };
        Of { log }
    }
}
