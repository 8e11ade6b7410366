//! The bus of `bannou dev`.

use std::sync::Arc;

use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::bus::{Bus, Slot};

/// Whom the quickstart's exposures name as `senders`: the user that a fresh RabbitMQ has, so that one YAML does for both.
const USER: &str = "guest";

/// Inside the process.
pub fn local() -> Arc<dyn Bus> {
    LocalBroker::default().bus(Slot(uuid::Uuid::new_v4().as_u64_pair().0), USER)
}
