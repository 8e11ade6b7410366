//! The brokers of these tests are what they seem.

use crate::support::broker::{Broker, Cluster};

#[tokio::test]
async fn a_broker_keeps_what_it_has_over_a_kill() {
    let broker = Broker::start().await;
    broker.ctl(&["add_vhost", "kept"]);
    broker.kill().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", broker.port)).await.is_err(), "it is gone");
    broker.restart().await;
    assert!(broker.ctl(&["list_vhosts", "--silent"]).lines().any(|line| line == "kept"));
}

#[ignore = "a cluster takes long to start: tests/run.sh broker-long"]
#[tokio::test]
async fn three_nodes_find_each_other_and_go_on_without_one() {
    let cluster = Cluster::start().await;
    cluster.nodes[1].kill().await;
    cluster.nodes[0].ctl(&["add_vhost", "new"]);
    assert!(cluster.nodes[2].ctl(&["list_vhosts", "--silent"]).lines().any(|line| line == "new"));
    cluster.nodes[1].restart().await;
    cluster.whole().await;
}
