//! Logs that lose something: it is said what, once, and nothing else is lost.

use bannou_gateway::bus::{Bus, Log, Read, Start, To};

use super::{bus, config, in_time, next, own, record, text, to_client};
use crate::support::amqp::Peer;
use crate::support::broker::shared;
use crate::support::proxy::{Proxy, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_is_a_gap() {
    let (broker, vhost) = shared().await;
    let mut small = config(&[broker.url(&vhost)]);
    (small.retention.bytes, small.retention.segment_bytes) = (2_000_000, 500_000);
    let bus = bus(small).await;
    // Numbers of their own: a log leaves out an offset where one segment ends.
    for n in 0..100 {
        let body = format!("{n} {}", "x".repeat(50_000));
        in_time("a confirmation", bus.publish(to_client(bus.slot()), text(&body)).unwrap()).await.unwrap();
    }
    let number = |body: &str| body.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap();
    let mut reader = bus.read(Log::Slot(bus.slot()), Start::Offset(2));
    let Read::Gap { from: 2, to } = next(&mut reader).await else { panic!("no gap") };
    let (offset, body) = record(&mut reader).await;
    assert_eq!(offset, to + 1);
    let first = number(&body);
    assert!(first > 2, "{first}");
    for n in first + 1..100 {
        assert_eq!(number(&record(&mut reader).await.1), n, "nothing else is missing, and nothing is said to be");
    }
    assert!(number(&record(&mut own(&bus)).await.1) >= first, "who begins with the first is told of no gap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_another_made_anew_meanwhile_is_noticed() {
    let (broker, vhost) = shared().await;
    let admin = Peer::connect(broker, "guest", &vhost).await;
    let proxy = Proxy::to(broker.port).await;
    let away = bus(config(&[format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", proxy.port)])).await;
    let there = bus(config(&[broker.url(&vhost)])).await;
    let mut reader = away.read(Log::Control, Start::First);
    let write = async |body: &str| {
        in_time("a confirmation", there.publish(To::Log(Log::Control), text(body)).unwrap()).await.unwrap();
    };
    for body in ["a", "b", "c"] {
        write(body).await;
        assert_eq!(record(&mut reader).await.1, body);
    }
    let mut other = there.read(Log::Control, Start::Offset(3));
    write("d").await;
    assert_eq!(record(&mut other).await.1, "d");
    assert_eq!(record(&mut reader).await.1, "d");
    proxy.turn(Way::Reset);
    in_time("cut off", away.state().wait_for(|state| !state.awaiting.is_empty())).await.unwrap();
    admin.delete_queue("bannou.control").await;
    assert_eq!(next(&mut other).await, Read::Remade);
    // As many as before and more: by their number alone nobody could tell.
    for body in ["e", "f", "g", "h", "i"] {
        write(body).await;
        assert_eq!(record(&mut other).await.1, body);
    }
    proxy.turn(Way::Open);
    assert_eq!(next(&mut reader).await, Read::Remade);
    for (offset, body) in ["e", "f", "g", "h", "i"].into_iter().enumerate() {
        assert_eq!(record(&mut reader).await, (offset as u64, body.to_owned()));
    }
}
