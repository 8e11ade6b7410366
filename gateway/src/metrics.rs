//! What Prometheus reads. Counters are plain fields: sessions reach them without a look-up.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Close {
    pub code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Refusal {
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Call {
    /// `<service>.<endpoint>`: as many as the catalog has.
    pub endpoint: String,
    /// The first digit of the status, as `2xx`.
    pub class: &'static str,
}

pub struct Metrics {
    pub registry: Registry,
    pub connections: Gauge,
    pub connects: Counter,
    pub refused: Family<Refusal, Counter>,
    pub closes: Family<Close, Counter>,
    pub peer_frames: Counter,
    pub peer_frames_dropped: Counter,
    pub frames_refused: Family<Refusal, Counter>,
    pub calls: Family<Call, Counter>,
    pub calls_in_flight: Gauge,
    pub call_seconds: Histogram,
    pub effects_dropped: Family<Refusal, Counter>,
    pub internal_messages: Counter,
    pub internal_refused: Family<Refusal, Counter>,
    pub events_sent: Counter,
    pub events_lost: Family<Refusal, Counter>,
    pub events_refused: Family<Refusal, Counter>,
    pub event_answers: Counter,
    pub exchanges_open: Gauge,
    pub sessions_absent: Gauge,
    pub resumes: Family<Refusal, Counter>,
    pub catalog_rejected: Counter,
    pub catalog_applied: Counter,
    pub fleet: crate::bus::meters::Meters,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("bannou_gateway"),
            connections: Gauge::default(),
            connects: Counter::default(),
            refused: Family::default(),
            closes: Family::default(),
            peer_frames: Counter::default(),
            peer_frames_dropped: Counter::default(),
            frames_refused: Family::default(),
            calls: Family::default(),
            calls_in_flight: Gauge::default(),
            call_seconds: Histogram::new(exponential_buckets(0.001, 2.5, 12)),
            effects_dropped: Family::default(),
            internal_messages: Counter::default(),
            internal_refused: Family::default(),
            events_sent: Counter::default(),
            events_lost: Family::default(),
            events_refused: Family::default(),
            event_answers: Counter::default(),
            exchanges_open: Gauge::default(),
            sessions_absent: Gauge::default(),
            resumes: Family::default(),
            catalog_rejected: Counter::default(),
            catalog_applied: Counter::default(),
            fleet: Default::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "Open client connections", self.connections.clone());
        r.register("connects", "Client connections accepted since start", self.connects.clone());
        r.register("refused_connects", "Upgrades refused, by reason", self.refused.clone());
        r.register("closes", "Connections closed, by WebSocket close code (1006: without one)", self.closes.clone());
        r.register("peer_frames", "Frames passed from client to client", self.peer_frames.clone());
        r.register("peer_frames_dropped", "Frames for a peer whose queue was full", self.peer_frames_dropped.clone());
        r.register("refused_frames", "Frames of clients refused, by reason", self.frames_refused.clone());
        r.register("calls", "Requests to services that ended, by endpoint and class of status", self.calls.clone());
        r.register("calls_in_flight", "Requests to services not ended yet", self.calls_in_flight.clone());
        r.register_with_unit(
            "call",
            "Time from a request's frame to its last",
            Unit::Seconds,
            self.call_seconds.clone(),
        );
        r.register("effects_dropped", "Answer headers not honoured, by reason", self.effects_dropped.clone());
        r.register("internal_messages", "Messages that services sent over HTTP", self.internal_messages.clone());
        r.register(
            "internal_refused",
            "Calls of services over HTTP that failed, by reason",
            self.internal_refused.clone(),
        );
        r.register("events_sent", "Frames of services queued for clients", self.events_sent.clone());
        r.register("events_lost", "Frames of services not delivered, by reason", self.events_lost.clone());
        r.register("events_refused", "Messages of services refused, by reason", self.events_refused.clone());
        r.register("event_answers", "Answers of clients passed to services", self.event_answers.clone());
        r.register("exchanges_open", "Receipts and answers that services wait for", self.exchanges_open.clone());
        r.register("sessions_absent", "Sessions without a connection that may come back", self.sessions_absent.clone());
        r.register("resumes", "Resumes asked for, by what came of them", self.resumes.clone());
        r.register("catalog_rejected", "Catalogs refused; the last good one goes on", self.catalog_rejected.clone());
        r.register("catalog_applied", "Catalogs put into force", self.catalog_applied.clone());
        self.fleet.register(r);
    }

    pub fn refuse_frame(&self, reason: &'static str) {
        self.frames_refused.get_or_create(&Refusal { reason }).inc();
    }

    pub fn event_lost(&self, reason: &'static str) {
        self.events_lost.get_or_create(&Refusal { reason }).inc();
    }

    pub fn event_refused(&self, reason: &'static str) {
        self.events_refused.get_or_create(&Refusal { reason }).inc();
    }

    pub fn call_ended(&self, endpoint: &str, status: u16, seconds: f64) {
        let class = match status {
            0..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.calls.get_or_create(&Call { endpoint: endpoint.to_owned(), class }).inc();
        self.call_seconds.observe(seconds);
    }
}
