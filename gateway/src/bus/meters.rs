//! What a gateway measures of its fleet. Clones count together.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::Refusal;

#[derive(Clone, Default)]
pub struct Meters {
    pub control_age_seconds: Gauge<f64, AtomicU64>,
    pub gateways_alive: Gauge,
    pub gateways_dead: Gauge,
    pub session_events_waiting: Gauge,
    pub session_events: Counter,
    pub session_events_dropped: Family<Refusal, Counter>,
    pub directory_sessions: Gauge,
    pub directory_subjects: Gauge,
    pub directory_full: Counter,
    pub closed_slots: Counter,
    pub closed_sessions: Counter,
    pub closed_answers: Counter,
}

impl Meters {
    pub fn register(&self, r: &mut Registry) {
        r.register_with_unit(
            "control_age",
            "How old the news of the control stream are",
            Unit::Seconds,
            self.control_age_seconds.clone(),
        );
        r.register("fleet_alive", "Gateways that are heard, this one included", self.gateways_alive.clone());
        r.register("fleet_dead", "Gateways that fell silent and are not closed yet", self.gateways_dead.clone());
        r.register(
            "session_events_waiting",
            "Session events that the broker has not confirmed yet",
            self.session_events_waiting.clone(),
        );
        r.register("session_events", "Session events that the broker confirmed", self.session_events.clone());
        r.register(
            "session_events_dropped",
            "Session events that were not published, by reason",
            self.session_events_dropped.clone(),
        );
        r.register("directory_sessions", "Sessions of the fleet that are known", self.directory_sessions.clone());
        r.register("directory_subjects", "Subjects with a session", self.directory_subjects.clone());
        r.register("directory_full", "Session events for which the directory had no room", self.directory_full.clone());
        r.register("closed_slots", "Logs of dead gateways that this one closed", self.closed_slots.clone());
        r.register("closed_sessions", "Sessions of dead gateways that this one ended", self.closed_sessions.clone());
        r.register("closed_answers", "Callers of dead gateways told by this one", self.closed_answers.clone());
    }
}
