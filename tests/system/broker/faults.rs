//! One broker, and a way to it, that fail. Each test owns its broker or its way.

use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::bus::{Bus, Log, Start, To, Unpublished};

use super::{Traffic, bus, config, in_time, own, record, round_trip, text, to_client, waits_for, well};
use crate::support::amqp::Peer;
use crate::support::broker::{Broker, shared};
use crate::support::proxy::{Proxy, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_costs_time_alone() {
    let broker = Broker::start().await;
    let bus = bus(config(&[broker.url("/")])).await;
    let mut reader = own(&bus);
    let mut groups = bus.read(Log::Groups, Start::Offset(1));
    let traffic = Traffic::start(bus.clone(), bus.slot());
    assert_eq!(record(&mut own(&bus)).await, (0, "0".to_owned()));
    broker.settle();
    broker.kill().await;
    waits_for(&*bus, &["the broker at 127.0.0.1:", "connection refused"]).await;
    let meanwhile = bus.publish(To::Clients("all".to_owned()), text("meanwhile")).unwrap();
    broker.restart().await;
    assert_eq!(in_time("a confirmation", meanwhile).await, Ok(()));
    well(&*bus).await;
    traffic.all_arrives(&mut reader).await;
    assert_eq!(record(&mut groups).await, (1, "meanwhile".to_owned()));
    // In order, told by a broker that knows of it.
    broker.stop().await;
    waits_for(&*bus, &["the broker at"]).await;
    broker.restart().await;
    round_trip(&bus).await;
}

/// Alone in its vhost, by a way of its own.
async fn by_a_way() -> (Proxy, Arc<bannou_gateway::bus::amqp::Amqp>) {
    let (broker, vhost) = shared().await;
    let proxy = Proxy::to(broker.port).await;
    let bus = bus(config(&[format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", proxy.port)])).await;
    (proxy, bus)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_reset_right_after_they_are_made() {
    let (proxy, bus) = by_a_way().await;
    let mut reader = own(&bus);
    let traffic = Traffic::start(bus.clone(), bus.slot());
    record(&mut own(&bus)).await;
    proxy.turn(Way::Reset);
    waits_for(&*bus, &["the broker at 127.0.0.1:"]).await;
    proxy.accepts(proxy.accepted() + 6).await;
    proxy.turn(Way::Open);
    well(&*bus).await;
    traffic.all_arrives(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_noticed_and_left() {
    let (proxy, bus) = by_a_way().await;
    let mut reader = own(&bus);
    let traffic = Traffic::start(bus.clone(), bus.slot());
    record(&mut own(&bus)).await;
    proxy.turn(Way::BlackHole);
    waits_for(&*bus, &["the broker at 127.0.0.1:", "silent for too long"]).await;
    waits_for(&*bus, &["the broker at 127.0.0.1:", "no answer to the connection in time"]).await;
    proxy.turn(Way::Open);
    well(&*bus).await;
    traffic.all_arrives(&mut reader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_memory_alarm_it_reads_and_holds_back_a_bounded_number() {
    let broker = Broker::start().await;
    let mut limited = config(&[broker.url("/")]);
    limited.limits.unconfirmed = 50;
    // Longer than this alarm: that a confirmation does not come is the broker's right now.
    limited.timeouts.confirm = Duration::from_secs(2);
    let bus = bus(limited).await;
    in_time("a confirmation", bus.publish(to_client(bus.slot()), text("before")).unwrap()).await.unwrap();
    broker.memory_alarm(true);
    let waiting: Vec<_> = (0..50).map(|n| bus.publish(to_client(bus.slot()), text(&n.to_string())).unwrap()).collect();
    assert_eq!(bus.publish(to_client(bus.slot()), text("x")).err(), Some(Unpublished::Full));
    waits_for(&*bus, &["the broker accepts no publishes"]).await;
    let mut reader = own(&bus);
    assert_eq!(record(&mut reader).await, (0, "before".to_owned()), "reading goes on");
    let mut state = bus.state();
    let recovered = state.wait_for(|state| state.awaiting.is_empty());
    assert!(tokio::time::timeout(Duration::from_secs(4), recovered).await.is_err(), "it still says what it waits for");
    broker.memory_alarm(false);
    for confirmed in waiting {
        assert_eq!(in_time("a confirmation", confirmed).await, Ok(()));
    }
    for n in 0..50_u64 {
        assert_eq!(record(&mut reader).await, (n + 1, n.to_string()), "once, since nothing was sent again");
    }
    well(&*bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_broker_closes_costs_what_closed_it_alone() {
    let (broker, vhost) = shared().await;
    let mut large = config(&[broker.url(&vhost)]);
    large.limits.body_bytes = 32 << 20;
    let bus = bus(large).await;
    let mut reader = own(&bus);
    let before: Vec<_> = (0..20).map(|n| bus.publish(to_client(bus.slot()), text(&n.to_string())).unwrap()).collect();
    // More than the broker takes in one message.
    let bad = bus.publish(to_client(bus.slot()), text(&"x".repeat(17 << 20))).unwrap();
    let after: Vec<_> = (20..40).map(|n| bus.publish(to_client(bus.slot()), text(&n.to_string())).unwrap()).collect();
    let refused = in_time("an end for the bad one", bad).await;
    assert!(matches!(&refused, Err(Unpublished::Refused(why)) if why.contains("larger")), "{refused:?}");
    for confirmed in before.into_iter().chain(after) {
        assert_eq!(in_time("a confirmation", confirmed).await, Ok(()));
    }
    let mut expected = 0;
    while expected < 40 {
        let number: u64 = record(&mut reader).await.1.parse().unwrap();
        assert!(number <= expected, "{number} before {expected}");
        expected = expected.max(number + 1);
    }
    well(&*bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_is_deleted_is_made_again_with_its_bindings() {
    let (broker, vhost) = shared().await;
    let admin = Peer::connect(broker, "guest", &vhost).await;
    let bus = bus(config(&[broker.url(&vhost)])).await;
    let mut reader = own(&bus);
    admin.delete_exchange("bannou.clients").await;
    // The first ones may fall between the exchange and its binding, and come back.
    let mut number = 0;
    in_time("a way for messages", async {
        loop {
            number += 1;
            match bus.publish(to_client(bus.slot()), text(&number.to_string())).unwrap().await {
                Ok(()) => return,
                Err(error) => assert_eq!(error, Unpublished::Returned),
            }
        }
    })
    .await;
    assert_eq!(record(&mut reader).await, (0, number.to_string()), "what was confirmed, and nothing else");
    well(&*bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_among_many_is_told_of_the_right_ones() {
    let (broker, vhost) = shared().await;
    let bus = bus(config(&[broker.url(&vhost)])).await;
    let mut reader = own(&bus);
    let waiting: Vec<_> = (0..2000_u32)
        .map(|n| {
            let taken = n % 3 != 1;
            let to = if taken { to_client(bus.slot()) } else { To::Clients("0123456789abcdef.x.1".to_owned()) };
            (taken, bus.publish(to, text(&n.to_string())).unwrap())
        })
        .collect();
    for (n, (taken, confirmed)) in waiting.into_iter().enumerate() {
        let expected = if taken { Ok(()) } else { Err(Unpublished::Returned) };
        assert_eq!(in_time("an outcome", confirmed).await, expected, "{n}");
    }
    for n in (0..2000).filter(|n| n % 3 != 1) {
        assert_eq!(record(&mut reader).await.1, n.to_string());
    }
}
