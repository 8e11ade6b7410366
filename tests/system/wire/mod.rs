//! The wire, sentence by sentence of `docs/protocol.md`, against the real gateway process. The services behind it are a
//! small HTTP server of the test's own, so that a test can hold an answer back and see a call being dropped.

mod backend;
mod calls;
mod connect;
mod control;
mod frames;
mod keys;
mod life;
mod peers;
pub mod raw;

use bannou_crds::catalog::{Catalog, Effect, Endpoint, Interaction, Limits};

use crate::support::catalog::{catalog, direct, endpoint};
use crate::support::gateway::Gateway;
use backend::Backend;
use raw::Raw;

const ERROR: u64 = 1 << 62;
const INBOUND: u64 = 1 << 63;
const MORE: u64 = 1 << 61;
const ONE_WAY: u64 = 1 << 60;
const LOGGED: u64 = 1 << 59;

/// A gateway, and the services behind it.
struct World {
    gateway: Gateway,
    backend: Backend,
}

fn endpoints() -> Vec<Endpoint> {
    vec![
        endpoint("echo", "POST /echo"),
        endpoint("held", "POST /held"),
        Endpoint { timeout_ms: 300, ..endpoint("late", "POST /held") },
        Endpoint { interaction: Interaction::Stream, ..endpoint("stream", "POST /stream") },
        Endpoint { interaction: Interaction::OneWay, ..endpoint("tell", "POST /echo") },
        Endpoint { effects: vec![Effect::Peers], ..endpoint("introduce", "POST /introduce") },
        Endpoint { effects: vec![Effect::Tiers], ..endpoint("grant", "POST /echo") },
        Endpoint { max_request_bytes: 100, ..endpoint("small", "POST /echo") },
        Endpoint { tiers: vec!["player".into()], ..endpoint("members", "POST /echo") },
    ]
}

/// The catalog of these tests, with limits that a test can reach.
fn wire_catalog() -> Catalog {
    let mut all = catalog(vec![direct("svc", endpoints())]);
    all.fleet.origins = vec!["https://play.example".into()];
    for tier in &mut all.tiers {
        tier.limits = Limits { max_message_bytes: Some(65_536), ..tier.limits };
    }
    all
}

impl World {
    async fn start() -> World {
        World::with(&wire_catalog(), &[]).await
    }

    async fn with(catalog: &Catalog, flags: &[&str]) -> World {
        let backend = Backend::start().await;
        let target = format!("svc=http://{}", backend.address);
        let gateway = Gateway::start(catalog, |command| {
            command.args(["--override", &target]).args(flags);
        })
        .await;
        World { gateway, backend }
    }

    /// An anonymous connection, discovery read.
    async fn connect(&self) -> Raw {
        Raw::connect(&self.gateway.url, &[]).await.greeted().await
    }
}
