//! What every bus does. Cases take a [`Broker`] that is theirs alone.

use std::collections::BTreeMap;

use bannou_gateway::bus::records::{self, ControlRecord, GroupsRecord, SlotRecord};
use bannou_gateway::bus::{Bus, Log, Message, Read, Start, To, Unpublished, Value};
use uuid::Uuid;

use super::{Broker, in_time, next, record, text};

/// Makes a test of each case, for a form of the bus: `bus_suite!(f)` where `async fn f() -> impl Broker`.
macro_rules! bus_suite {
    ($broker:path) => {
        bus_suite! { $broker:
            a_key_reaches_its_log_alone
            the_groups_log_takes_what_is_meant_for_many_and_begins_with_a_marker
            what_nothing_takes_comes_back
            everything_of_a_message_travels_but_foreign_headers
            readers_begin_where_they_say_and_read_in_order
            a_reader_that_stops_delays_nobody_and_misses_nothing
            records_go_straight_into_logs_and_count_from_gateways
            session_events_are_read_by_every_gateway
            a_reply_comes_to_who_asked
            replies_are_taken_once
            a_log_that_is_deleted_is_gone
            a_log_of_a_living_gateway_that_is_lost_is_made_anew
            what_is_published_while_cut_off_arrives_afterwards_in_order
            the_state_says_what_is_waited_for
            a_dropped_bus_ends_its_readers
        }
    };
    ($broker:path: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let broker = $broker().await;
            $crate::bus::suite::$case(&broker).await;
        }
    )*};
}

fn to_client(bus: &dyn Bus) -> String {
    format!("{}.{}.1", bus.slot(), Uuid::new_v4())
}

pub async fn a_key_reaches_its_log_alone(broker: &impl Broker) {
    let [one, other] = [broker.gateway().await, broker.gateway().await];
    let (mut of_one, mut of_other) =
        (one.read(Log::Slot(one.slot()), Start::First), other.read(Log::Slot(other.slot()), Start::First));
    broker.send(&to_client(&*one), text("one")).await.unwrap();
    broker.send(&to_client(&*other), text("other")).await.unwrap();
    broker.send(&one.slot().to_string(), text("the slot itself")).await.unwrap();
    assert_eq!(record(&mut of_one).await, (0, "one".to_owned()));
    assert_eq!(record(&mut of_one).await, (1, "the slot itself".to_owned()));
    assert_eq!(record(&mut of_other).await, (0, "other".to_owned()));
    let mut across = other.read(Log::Slot(one.slot()), Start::Offset(1));
    assert_eq!(record(&mut across).await, (1, "the slot itself".to_owned()), "any gateway reads any log");
}

pub async fn the_groups_log_takes_what_is_meant_for_many_and_begins_with_a_marker(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let mut reader = bus.read(Log::Groups, Start::First);
    let Read::Record(first) = next(&mut reader).await else { panic!("no record") };
    assert_eq!(first.offset, 0);
    let marker: Option<GroupsRecord> = records::of(&first, Log::Groups, bus.user());
    assert!(matches!(marker, Some(GroupsRecord::Marker { .. })), "{first:?}");
    let keys = ["subject.00ff", "tier.player", "group.chat.room", "all"];
    for key in keys {
        broker.send(key, text(key)).await.unwrap();
    }
    let second = broker.gateway().await;
    let mut other = second.read(Log::Groups, Start::Offset(1));
    for key in keys {
        for reader in [&mut reader, &mut other] {
            let Read::Record(record) = next(reader).await else { panic!("no record for {key}") };
            assert_eq!((record.key.as_str(), &record.message.body[..]), (key, key.as_bytes()));
        }
    }
}

pub async fn what_nothing_takes_comes_back(broker: &impl Broker) {
    let bus = broker.gateway().await;
    for key in ["0123456789abcdef.x.1", "all.of.them", "nobody"] {
        assert_eq!(broker.send(key, text("x")).await, Err(Unpublished::Returned), "{key}");
        let published = in_time(key, bus.publish(To::Clients(key.to_owned()), text("x")).unwrap()).await;
        assert_eq!(published, Err(Unpublished::Returned), "{key}");
    }
    let gone = Log::Slot("0123456789abcdef".parse().unwrap());
    assert_eq!(bus.publish(To::Log(gone), text("x")).unwrap().await, Err(Unpublished::Returned));
    // What is returned costs the others nothing.
    assert_eq!(bus.publish(To::Clients(to_client(&*bus)), text("x")).unwrap().await, Ok(()));
}

pub async fn everything_of_a_message_travels_but_foreign_headers(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let mut reader = bus.read(Log::Slot(bus.slot()), Start::First);
    let headers = [
        ("bannou-service", Value::Text("game".to_owned())),
        ("bannou-timeout-ms", Value::Int(-3)),
        ("bannou-last", Value::Bool(true)),
    ];
    let headers: BTreeMap<_, _> = headers.map(|(name, value)| (name.to_owned(), value)).into();
    let sent = Message {
        body: vec![0, 255, 10, 13].into(),
        user_id: Some("game".to_owned()),
        reply_to: Some("somewhere".to_owned()),
        correlation_id: Some("c-1".to_owned()),
        message_id: Some("m-1".to_owned()),
        headers: headers.clone(),
    };
    let mut with_more = sent.clone();
    with_more.headers.insert("x-death".to_owned(), Value::Text("nobody's business".to_owned()));
    let key = to_client(&*bus);
    broker.send(&key, with_more).await.unwrap();
    bus.publish(To::Clients(key.clone()), Message { headers, ..Message::default() }).unwrap().await.unwrap();
    let Read::Record(came) = next(&mut reader).await else { panic!("no record") };
    assert_eq!((came.key, came.message), (key, sent));
    let Read::Record(came) = next(&mut reader).await else { panic!("no record") };
    assert_eq!(came.message.user_id.as_deref(), Some(bus.user()), "a gateway's messages carry its user");
}

pub async fn readers_begin_where_they_say_and_read_in_order(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let log = Log::Slot(bus.slot());
    let key = to_client(&*bus);
    for n in 0..500 {
        broker.send(&key, text(&n.to_string())).await.unwrap();
    }
    let mut later = bus.read(log, Start::Next);
    for (mut reader, from) in [(bus.read(log, Start::First), 0), (bus.read(log, Start::Offset(123)), 123)] {
        for n in from..500 {
            assert_eq!(record(&mut reader).await, (n, n.to_string()));
        }
    }
    // A reader that begins with the next is in place by the time that its gateway has read what it wrote itself.
    let give_up = tokio::time::Instant::now() + super::PATIENCE;
    let first = loop {
        broker.send(&key, text("later")).await.unwrap();
        let read = tokio::time::timeout(std::time::Duration::from_millis(200), later.next()).await;
        if let Ok(Some(Read::Record(record))) = read {
            break record;
        }
        assert!(tokio::time::Instant::now() < give_up);
    };
    assert!(first.offset >= 500 && first.message.body == "later", "{first:?}");
}

pub async fn a_reader_that_stops_delays_nobody_and_misses_nothing(broker: &impl Broker) {
    const MANY: u64 = 3000;
    let bus = broker.gateway().await;
    let log = Log::Slot(bus.slot());
    let (mut stopped, mut quick) = (bus.read(log, Start::First), bus.read(log, Start::First));
    let waiting: Vec<_> = (0..MANY)
        .map(|n| bus.publish(To::Clients(to_client(&*bus)), text(&n.to_string())).expect("fewer than may wait"))
        .collect();
    for confirmed in waiting {
        in_time("a confirmation", confirmed).await.unwrap();
    }
    for reader in [&mut quick, &mut stopped] {
        for n in 0..MANY {
            assert_eq!(record(reader).await, (n, n.to_string()));
        }
    }
}

pub async fn records_go_straight_into_logs_and_count_from_gateways(broker: &impl Broker) {
    let [one, other] = [broker.gateway().await, broker.gateway().await];
    let log = Log::Slot(one.slot());
    let mut reader = one.read(log, Start::First);
    let closed = SlotRecord::Closed { session: Uuid::new_v4(), by: other.slot() };
    let body: bytes::Bytes = serde_json::to_vec(&closed).unwrap().into();
    // The same bytes from a service are a message for nobody, whatever key they come with.
    let forged = Message { body: body.clone(), ..Message::default() };
    broker.send(&one.slot().to_string(), forged.clone()).await.unwrap();
    assert_eq!(broker.send(&log.name(), forged).await, Err(Unpublished::Returned));
    other.publish(To::Log(log), Message { body, ..Message::default() }).unwrap().await.unwrap();
    let Read::Record(message) = next(&mut reader).await else { panic!("no record") };
    assert_eq!(records::of::<SlotRecord>(&message, log, one.user()), None);
    let Read::Record(written) = next(&mut reader).await else { panic!("no record") };
    assert_eq!(records::of(&written, log, one.user()), Some(closed));

    let alive = ControlRecord::Alive { slot: one.slot(), address: "127.0.0.1:1".to_owned(), number: 1 };
    let message = Message { body: serde_json::to_vec(&alive).unwrap().into(), ..Message::default() };
    let mut control = other.read(Log::Control, Start::First);
    one.publish(To::Log(Log::Control), message).unwrap().await.unwrap();
    let Read::Record(written) = next(&mut control).await else { panic!("no record") };
    assert_eq!(records::of(&written, Log::Control, other.user()), Some(alive));
}

pub async fn session_events_are_read_by_every_gateway(broker: &impl Broker) {
    let buses = [broker.gateway().await, broker.gateway().await];
    for bus in &buses {
        bus.publish(To::Sessions("connected".to_owned()), text(&bus.slot().to_string())).unwrap().await.unwrap();
    }
    for bus in &buses {
        let mut reader = bus.read(Log::Sessions, Start::First);
        for from in &buses {
            let Read::Record(record) = next(&mut reader).await else { panic!("no record") };
            assert_eq!(
                (record.key.as_str(), &record.message.body[..]),
                ("connected", from.slot().to_string().as_bytes())
            );
        }
    }
}

pub async fn a_reply_comes_to_who_asked(broker: &impl Broker) {
    let [one, other] = [broker.gateway().await, broker.gateway().await];
    let mut replies = [one.replies(), other.replies()];
    assert_ne!(one.reply_to(), other.reply_to());
    let answer = |text: &str| Message {
        correlation_id: Some(text.to_owned()),
        headers: [("bannou-status".to_owned(), Value::Int(200))].into(),
        ..Message::default()
    };
    other.publish(To::Queue(one.reply_to()), answer("one")).unwrap().await.unwrap();
    one.publish(To::Queue(other.reply_to()), answer("other")).unwrap().await.unwrap();
    one.publish(To::Queue(one.reply_to()), answer("itself")).unwrap().await.unwrap();
    let got = in_time("a reply", replies[0].recv()).await.unwrap();
    assert_eq!((got.correlation_id.as_deref(), got.headers), (Some("one"), answer("").headers));
    assert_eq!(in_time("a reply", replies[0].recv()).await.unwrap().correlation_id.as_deref(), Some("itself"));
    assert_eq!(in_time("a reply", replies[1].recv()).await.unwrap().correlation_id.as_deref(), Some("other"));

    // To a service the same, and a queue that is gone holds up nothing.
    let (name, mut inbox) = broker.inbox().await;
    let lost = one.publish(To::Queue("bannou.reply.nobody".to_owned()), answer("lost")).unwrap();
    one.publish(To::Queue(name), answer("service")).unwrap().await.unwrap();
    assert_eq!(in_time("a reply", inbox.recv()).await.unwrap().correlation_id.as_deref(), Some("service"));
    let _ = in_time("an end for what is lost", lost).await;
}

pub async fn replies_are_taken_once(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let _taken = bus.replies();
    assert!(in_time("the second", bus.replies().recv()).await.is_none());
}

pub async fn a_log_that_is_deleted_is_gone(broker: &impl Broker) {
    let living = broker.gateway().await;
    let dead = broker.gateway().await;
    let (slot, key) = (dead.slot(), to_client(&*dead));
    broker.send(&key, text("left behind")).await.unwrap();
    drop(dead);
    let mut reader = living.read(Log::Slot(slot), Start::First);
    assert_eq!(record(&mut reader).await, (0, "left behind".to_owned()), "a log outlives its gateway");
    in_time("deleting", living.delete(slot)).await.unwrap();
    assert_eq!(next(&mut reader).await, Read::Gone);
    assert!(in_time("the end", reader.next()).await.is_none(), "nothing follows");
    assert_eq!(next(&mut living.read(Log::Slot(slot), Start::First)).await, Read::Gone);
    assert_eq!(broker.send(&key, text("x")).await, Err(Unpublished::Returned));
    in_time("deleting again", living.delete(slot)).await.unwrap();
}

pub async fn a_log_of_a_living_gateway_that_is_lost_is_made_anew(broker: &impl Broker) {
    let bus = broker.gateway().await;
    for (log, key) in [(Log::Slot(bus.slot()), to_client(&*bus)), (Log::Groups, "all".to_owned())] {
        let begin = if log == Log::Groups { 1 } else { 0 };
        let mut reader = bus.read(log, Start::Offset(begin));
        broker.send(&key, text("before")).await.unwrap();
        assert_eq!(record(&mut reader).await, (begin, "before".to_owned()));
        broker.lose(log).await;
        assert_eq!(next(&mut reader).await, Read::Remade, "{log:?}");
        in_time("a message after", async {
            while bus.publish(To::Clients(key.clone()), text("after")).unwrap().await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if log == Log::Groups {
            assert_eq!(record(&mut reader).await.0, 0, "the marker again");
        }
        assert_eq!(record(&mut reader).await, (begin, "after".to_owned()));
    }
}

pub async fn what_is_published_while_cut_off_arrives_afterwards_in_order(broker: &impl Broker) {
    let [one, other] = [broker.gateway().await, broker.gateway().await];
    let mut of_one = one.read(Log::Groups, Start::Offset(1));
    broker.send("all", text("before")).await.unwrap();
    assert_eq!(record(&mut of_one).await.1, "before");
    broker.cut_off(one.slot()).await;
    let mut waiting: Vec<_> =
        (0..100).map(|n| one.publish(To::Clients(to_client(&*other)), text(&n.to_string())).unwrap()).collect();
    other.publish(To::Clients("all".to_owned()), text("meanwhile")).unwrap().await.unwrap();
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(100), &mut waiting[0]).await.is_err(),
        "confirmed by a broker that is not reached"
    );
    broker.restore(one.slot()).await;
    for confirmed in waiting {
        assert_eq!(in_time("a confirmation", confirmed).await, Ok(()));
    }
    // Sent again where it was in doubt: nothing is missing, repeats are allowed, the first of each are in order.
    let mut reader = other.read(Log::Slot(other.slot()), Start::First);
    let mut expected = 0;
    while expected < 100 {
        let n: u64 = record(&mut reader).await.1.parse().unwrap();
        assert!(n <= expected, "{n} came before {expected}");
        expected = expected.max(n + 1);
    }
    assert_eq!(record(&mut of_one).await.1, "meanwhile", "read over the outage, nothing missing");
}

pub async fn the_state_says_what_is_waited_for(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let mut state = bus.state();
    in_time("all is well", state.wait_for(|s| s.awaiting.is_empty())).await.unwrap();
    broker.cut_off(bus.slot()).await;
    in_time("cut off", state.wait_for(|s| !s.awaiting.is_empty())).await.unwrap();
    broker.restore(bus.slot()).await;
    in_time("all is well again", state.wait_for(|s| s.awaiting.is_empty())).await.unwrap();
}

pub async fn a_dropped_bus_ends_its_readers(broker: &impl Broker) {
    let bus = broker.gateway().await;
    let mut reader = bus.read(Log::Control, Start::Next);
    drop(bus);
    in_time("the end", async { while reader.next().await.is_some() {} }).await;
}
