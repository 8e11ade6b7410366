//! A gateway that is stopped for so long that others close what is its own.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Fleet, log_is_gone};
use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::process::PATIENCE;

const ASKED: [&str; 3] = ["asked", "asked the one that went", "asked meanwhile"];
/// Of requests that are open when their gateway stops: over when it wakes.
const DEADLINE: Duration = Duration::from_secs(10);

/// Two clients of a gateway that was stopped until another one had closed their sessions; one went meanwhile.
struct Stale {
    there: Client,
    gone: Client,
}

async fn closed_while_stopped(fleet: &mut Fleet, gateway: &Gateway) -> Stale {
    let (mut there, mut gone) = (gateway.client().await, gateway.client().await);
    for client in [&there, &gone] {
        fleet.events.wait("connected", client).await;
    }
    let deadline = Instant::now() + DEADLINE;
    for (client, id) in [(&mut there, ASKED[0]), (&mut gone, ASKED[1])] {
        fleet.send_within("check", client, id, Some(DEADLINE.as_millis() as u64)).await.unwrap();
        client.frame(|f| f.payload == id.as_bytes()).await;
    }
    gateway.process.signal("STOP");
    fleet.send("check", &there, ASKED[2]).await.unwrap();
    // It will find this when it wakes, beside deadlines that are over: each a reason to say something.
    gone.say_goodbye().await;
    for id in ASKED {
        assert_eq!(fleet.replies.status(id).await, 404, "{id}");
    }
    for client in [&there, &gone] {
        assert_eq!(fleet.events.wait("disconnected", client).await["reason"], "gateway died");
    }
    sleep_until(deadline).await;
    Stale { there, gone }
}

impl Fleet {
    /// Whoever closed the sessions has said so, and nobody else.
    fn nothing_was_said_twice(&self, stale: &Stale) {
        for client in [&stale.there, &stale.gone] {
            assert_eq!(self.events.all("disconnected", client).len(), 1, "{:?}", self.events.seen);
        }
        for id in ASKED {
            assert_eq!(self.replies.all(id), [404], "{id}");
        }
    }
}

/// Without news of the fleet for half a minute a gateway admits nobody; it has them when it has read what it missed.
async fn admits_again(gateway: &Gateway) {
    let admitted = async {
        while tokio_tungstenite::connect_async(&gateway.url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.expect("it admits nobody");
}

async fn publishes_nothing_that_is_not_its_to_say(fleet: &mut Fleet, flags: &[&str]) {
    let _living = fleet.gateway_with(flags).await;
    let stopped = fleet.gateway_with(flags).await;
    let mut stale = closed_while_stopped(fleet, &stopped).await;
    stopped.process.signal("CONT");
    assert_eq!(stale.there.closing().await["code"], 4410);
    // It goes on: what it says of another client comes after anything that it had to say of the stale ones.
    admits_again(&stopped).await;
    let mut fresh = stopped.client().await;
    fleet.send("check", &fresh, "asked again").await.unwrap();
    let frame = fresh.frame(|f| f.payload == b"asked again").await;
    fresh.reply(&frame, b"yes").await;
    assert_eq!(fleet.replies.status("asked again").await, 200);
    fresh.say_goodbye().await;
    fleet.events.wait("disconnected", &fresh).await;
    fleet.nothing_was_said_twice(&stale);
}

#[tokio::test]
async fn one_that_wakes_publishes_nothing_that_is_no_longer_its_to_say() {
    let mut fleet = Fleet::new().await;
    publishes_nothing_that_is_not_its_to_say(&mut fleet, &["--dead-after-ms", "3000", "--log-grace-ms", "600000"])
        .await;
}

#[tokio::test]
#[ignore = "a minute and more, with the real times: `make test-long`"]
async fn the_same_with_the_real_times() {
    let mut fleet = Fleet::with_window(45_000).await;
    publishes_nothing_that_is_not_its_to_say(&mut fleet, &[]).await;
}

#[tokio::test]
async fn one_that_wakes_after_its_log_is_gone_closes_its_clients_and_ends() {
    let mut fleet = Fleet::new().await;
    let living = fleet.gateway(500).await;
    let stopped = fleet.gateway(500).await;
    let mut stale = closed_while_stopped(&mut fleet, &stopped).await;
    log_is_gone(&fleet, &stale.there).await;
    stopped.process.signal("CONT");
    assert_eq!(stale.there.closing().await["code"], 4410);
    let ended = tokio::task::spawn_blocking(move || stopped.process.wait()).await.unwrap();
    assert!(!ended.success(), "whoever looks after it starts it anew");
    // What a gateway that ended might have said is there by the time that another one is heard.
    let fresh = living.client().await;
    fleet.send("found", &fresh, "pushed").await.unwrap();
    assert_eq!(fleet.replies.status("pushed").await, 200);
    fleet.events.wait("connected", &fresh).await;
    fleet.nothing_was_said_twice(&stale);
}
