//! Nobody is disturbed: many clients of several tiers, many edits, and after each one everybody has what the resources say.

mod crowd;
mod reading;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use crate::kit::Cluster;
use crate::kit::backend::Backend;
use crate::kit::pod::Pod;
use crate::kit::running::Place;
use crowd::Crowd;
use reading::{KINDS, Reading};
use world::World;

/// How much of it.
struct Size {
    clients: usize,
    /// Each a write of one resource; the last `BURST` of a block's are made without waiting.
    blocks: usize,
    /// Sets that differ, each of which clients must have seen before the next was asked for.
    sets: usize,
    /// Blocks whose burst is made while the operator is dead.
    without_operator: &'static [usize],
}

/// Edits of a block of which each is awaited, and that follow without a wait. A block ends with a comparison of everybody.
const PACED: usize = 30;
const BURST: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_and_a_hundred_edits() {
    undisturbed(Size { clients: 100, blocks: 2, sets: 50, without_operator: &[0] }).await;
}

/// Minutes: `tests/run.sh undisturbed-long`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_thousand_clients_and_a_thousand_edits() {
    undisturbed(Size { clients: 1_000, blocks: 20, sets: 500, without_operator: &[4, 9, 14] }).await;
}

async fn undisturbed(size: Size) {
    let (cluster, _turn) = Cluster::alone().await;
    let mut world = World::new(cluster).await;
    let place = Place::new(world.namespace(), "operator-0");
    let mut operator = Some(place.start(cluster, &[]).await);
    let backend = Backend::start().await;
    let mut gateways = Vec::new();
    for name in ["gateway-0", "gateway-1"] {
        let pod = Pod::new(cluster, world.namespace(), name).await;
        let gateway = pod.start_with(place.port, &backend, &[]).await;
        gateway.ready().await;
        gateways.push((pod, gateway));
    }
    let urls: Vec<&str> = gateways.iter().map(|(_, gateway)| gateway.url.as_str()).collect();
    let crowd = Crowd::connect(&urls, size.clients, |kind, n| world.token(kind, n)).await;
    let mut written = Reading::of_cluster(cluster, world.namespace()).await;
    everybody_has(&crowd, &written).await;

    let (mut edits, mut seen) = (0, BTreeSet::new());
    for block in 0..size.blocks {
        // Each edit is seen before the next is made: what clients were told is what was written, in that order.
        crowd.forget_history();
        let mut history: BTreeMap<&str, Vec<BTreeSet<String>>> =
            KINDS.iter().map(|kind| (*kind, vec![written.set(kind)])).collect();
        for _ in 0..PACED {
            let now = loop {
                edits += usize::from(world.edit().await);
                let now = world.reading();
                // An edit that changes nobody's set cannot be awaited; another one follows at once.
                if KINDS.iter().any(|kind| now.set(kind) != written.set(kind)) {
                    break now;
                }
            };
            written = now;
            for (kind, sets) in &mut history {
                sets.push(written.set(kind));
                crowd.first_has(kind, &written.set(kind)).await;
            }
            seen.insert(KINDS.map(|kind| written.set(kind)));
        }
        everybody_has(&crowd, &written).await;
        crowd.went_through(&history);

        let away = size.without_operator.contains(&block);
        if away {
            operator.take().unwrap().process.kill();
        }
        for _ in 0..BURST {
            edits += usize::from(world.edit().await);
        }
        if away {
            // Nobody lost anything by that, and nobody can have been told of the edits.
            everybody_has(&crowd, &written).await;
            operator = Some(place.start(cluster, &[]).await);
        }
        written = Reading::of_cluster(cluster, world.namespace()).await;
        assert_eq!(
            KINDS.map(|k| written.set(k)),
            KINDS.map(|k| world.reading().set(k)),
            "what is read is what was written"
        );
        everybody_has(&crowd, &written).await;
        for (_, gateway) in &gateways {
            assert_eq!(gateway.closes().await, 0.0);
        }
    }
    assert!(edits >= size.blocks * (PACED + BURST), "{edits} edits");
    assert!(seen.len() >= size.sets, "{} different sets", seen.len());
    println!(
        "{} clients, {edits} edits, {} different sets awaited, {} comparisons",
        size.clients,
        seen.len(),
        size.blocks * 2
    );
    for (_, gateway) in &gateways {
        assert_eq!(gateway.metric("connections").await, (size.clients / 2) as f64);
        assert_eq!(gateway.metric("operator_refused_versions_total").await, 0.0);
    }
    drop(operator);
}

/// A comparison of every client with what the resources say.
async fn everybody_has(crowd: &Crowd, reading: &Reading) {
    for kind in KINDS {
        crowd.all_have(kind, &reading.set(kind)).await;
    }
}
