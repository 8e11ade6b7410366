//! What is not as it has to be, and only a person can mend: said in words, and everything else goes on.

use bannou_gateway::bus::amqp::Amqp;
use bannou_gateway::bus::{Bus, Slot};
use lapin::types::AMQPValue;

use super::{config, round_trip, waits_for, well};
use crate::support::amqp::Peer;
use crate::support::broker::shared;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_other_arguments_is_named_and_the_rest_works() {
    let (broker, vhost) = shared().await;
    let admin = Peer::connect(broker, "guest", &vhost).await;
    let arguments =
        [("x-queue-type", AMQPValue::LongString("stream".into())), ("x-max-age", AMQPValue::LongString("7D".into()))];
    admin.declare("bannou.control", &arguments).await.unwrap();
    let bus = Amqp::new(config(&[broker.url(&vhost)]), Slot::random()).unwrap();
    waits_for(&*bus, &["log bannou.control", "other arguments than configured", "inequivalent arg"]).await;
    round_trip(&bus).await;
    admin.delete_queue("bannou.control").await;
    well(&*bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_declare_is_told_so() {
    let (broker, vhost) = shared().await;
    let url = broker.url_of("game", "game", &vhost);
    let bus = Amqp::new(config(&[url]), Slot::random()).unwrap();
    waits_for(&*bus, &["exchange bannou.clients", "may not make it"]).await;
    // Its log is missing, and whoever reads it waits and is told nothing wrong.
    let lines = bus.state().borrow().awaiting.join("\n");
    assert!(!lines.contains("game:game"), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_vhost_that_is_not_there() {
    let (broker, vhost) = shared().await;
    let wrong = Amqp::new(config(&[broker.url_of("guest", "open-sesame", &vhost)]), Slot::random()).unwrap();
    waits_for(&*wrong, &["the broker at", "ACCESS_REFUSED"]).await;
    let lines = wrong.state().borrow().awaiting.join("\n");
    assert!(!lines.contains("open-sesame"), "{lines}");
    let nowhere = Amqp::new(config(&[broker.url("nowhere")]), Slot::random()).unwrap();
    waits_for(&*nowhere, &["the broker at", "nowhere"]).await;
}
