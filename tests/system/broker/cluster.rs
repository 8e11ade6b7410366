//! Three nodes, one of which dies or has no replica. Slow to start: `tests/run.sh broker-long`.

use bannou_gateway::bus::amqp::AmqpConfig;
use bannou_gateway::bus::{Bus, Log, Slot, Start};

use super::{Traffic, bus_of, config, own, record, round_trip, text, to_client, well};
use crate::support::broker::Cluster;

/// A slot whose process connects to this node first.
fn slot(node: u64) -> Slot {
    Slot(Slot::random().0 / 3 * 3 + node)
}

fn all(cluster: &Cluster) -> AmqpConfig {
    config(&cluster.urls("/"))
}

#[ignore = "a cluster takes long to start: tests/run.sh broker-long"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_that_leads_a_log_dies_and_what_was_confirmed_arrives() {
    let mut cluster = Cluster::start().await;
    let bus = bus_of(all(&cluster), slot(0)).await;
    let mut reader = own(&bus);
    let traffic = Traffic::start(bus.clone(), bus.slot());
    record(&mut own(&bus)).await;
    let leader = cluster.leader("/", &Log::Slot(bus.slot()).name()).node.clone();
    let index = cluster.nodes.iter().position(|node| node.node == leader).unwrap();
    cluster.nodes[index].kill().await;
    let dead = cluster.nodes.remove(index);
    well(&*bus).await;
    traffic.all_arrives(&mut reader).await;
    round_trip(&bus).await;
    dead.restart().await;
}

#[ignore = "a cluster takes long to start: tests/run.sh broker-long"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_log_costs_this_reader_a_retry_alone() {
    let cluster = Cluster::start().await;
    let mut single = all(&cluster);
    single.replicas = Some(1);
    let owner = bus_of(single.clone(), slot(0)).await;
    let log = Log::Slot(owner.slot());
    for n in 0..10 {
        owner.publish(to_client(owner.slot()), text(&n.to_string())).unwrap().await.unwrap();
    }
    for node in [1, 2] {
        let other = bus_of(single.clone(), slot(node)).await;
        let mut reader = other.read(log, Start::First);
        for n in 0..10 {
            assert_eq!(record(&mut reader).await, (n, n.to_string()));
        }
        round_trip(&other).await;
        well(&*other).await;
    }
}
