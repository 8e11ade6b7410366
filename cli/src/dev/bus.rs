//! The bus of `bannou dev`, and how its demo services speak on it.

use std::sync::Arc;

use bannou_gateway::bus::local::LocalBroker;
use bannou_gateway::bus::{Bus, Slot};

use crate::demo::Voice;

/// Whom the quickstart's exposures name as `senders`: the user that a fresh RabbitMQ has, so that one YAML does for both.
const USER: &str = "guest";
/// As the broker would name a queue that a service asks it for.
const REPLIES: &str = "amq.gen-demo";

/// Inside the process.
pub fn local() -> (Arc<dyn Bus>, Voice) {
    let broker = LocalBroker::default();
    let bus = broker.bus(Slot(uuid::Uuid::new_v4().as_u64_pair().0), USER);
    let voice = Voice::new(bus.clone(), REPLIES.to_owned(), broker.mailbox(REPLIES));
    (bus, voice)
}
