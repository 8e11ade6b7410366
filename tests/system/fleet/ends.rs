//! A gateway that is killed, and one that leaves.

use crate::support::client::Client;
use crate::support::process::Process;

use super::{Fleet, log_is_gone};

#[tokio::test]
async fn what_a_killed_gateway_leaves_is_closed_by_another() {
    let mut fleet = Fleet::new().await;
    let living = fleet.gateway(2_000).await;
    let dying = fleet.gateway(2_000).await;
    let mut clients = [dying.client().await, dying.client().await];
    for client in &mut clients {
        fleet.events.wait("connected", client).await;
    }
    // Open while it lives: the client has the request and does not answer.
    fleet.send("check", &clients[0], "asked").await.unwrap();
    clients[0].frame(|f| f.payload == b"asked").await;
    dying.process.kill();
    // And what comes when it is dead: a request, and a push whose receipt is awaited.
    fleet.send("check", &clients[0], "asked the dead").await.unwrap();
    fleet.send("found", &clients[1], "pushed to the dead").await.unwrap();
    for id in ["asked", "asked the dead", "pushed to the dead"] {
        assert_eq!(fleet.replies.status(id).await, 404, "{id}");
    }
    for client in &clients {
        let end = fleet.events.wait("disconnected", client).await;
        assert_eq!(end["reason"], "gateway died");
        assert_eq!(end["tag"], 1);
    }
    log_is_gone(&fleet, &clients[0]).await;
    assert_eq!(living.metric("bannou_gateway_closed_slots_total").await, 1.0);
    let survivor = living.client().await;
    fleet.send("found", &survivor, "to the living").await.unwrap();
    assert_eq!(fleet.replies.status("to the living").await, 200);
}

#[tokio::test]
async fn a_gateway_that_starts_closes_what_the_last_one_left() {
    let mut fleet = Fleet::new().await;
    let dying = fleet.gateway(500).await;
    let client = dying.client().await;
    fleet.events.wait("connected", &client).await;
    dying.process.kill();
    fleet.send("check", &client, "asked the dead").await.unwrap();
    let _next = fleet.gateway(500).await;
    assert_eq!(fleet.replies.status("asked the dead").await, 404);
    fleet.events.wait("disconnected", &client).await;
    log_is_gone(&fleet, &client).await;
}

#[tokio::test]
async fn one_that_leaves_in_order_says_the_ends_itself_and_its_log_goes() {
    let mut fleet = Fleet::with_window(600_000).await;
    let living = fleet.gateway(500).await;
    let leaving = fleet.gateway(500).await;
    let mut client = leaving.client().await;
    fleet.events.wait("connected", &client).await;
    fleet.send("check", &client, "asked").await.unwrap();
    client.frame(|f| f.payload == b"asked").await;
    both_know_each_other(&living, &leaving).await;
    let ended = tokio::task::spawn_blocking(move || Process::terminate(leaving.process)).await.unwrap();
    assert!(ended.success());
    assert_eq!(fleet.replies.status("asked").await, 404);
    let end = fleet.events.wait("disconnected", &client).await;
    assert_ne!(end["reason"], "gateway died");
    // Though clients of one that died could come back for ten minutes.
    log_is_gone(&fleet, &client).await;
    assert_eq!(living.metric("bannou_gateway_closed_sessions_total").await, 0.0);
    drop::<Client>(client);
}

async fn both_know_each_other(one: &super::Gateway, other: &super::Gateway) {
    for gateway in [one, other] {
        while gateway.metric("bannou_gateway_fleet_alive").await < 2.0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
