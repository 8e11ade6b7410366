use super::super::fake::{Fake, Mode};
use super::super::local::{Limits, LocalBroker, Retention};
use super::super::records::SessionEventKind::{Connected, Disconnected};
use super::*;

const USER: &str = "gateway";

fn connected(session: u128, slot: Slot) -> SessionEvent {
    let session_id = Uuid::from_u128(session);
    SessionEvent {
        event: Connected,
        session_id,
        tag: 1,
        client_id: format!("{slot}.{session_id}.1"),
        issuer: Some("i".into()),
        subject: Some("ada".into()),
        reason: None,
    }
}

async fn publish(bus: &Arc<dyn Bus>, event: &SessionEvent) {
    let to = To::Sessions(event.event.key().to_owned());
    bus.publish(to, records::message(event)).unwrap().await.unwrap();
}

fn start(bus: &Arc<dyn Bus>) -> Arc<Directory> {
    let directory = Directory::new(bus.clone(), 100, Meters::default());
    tokio::spawn(directory.clone().run());
    directory
}

#[tokio::test(start_paused = true)]
async fn whole_at_its_start_and_up_to_date_from_then_on() {
    let broker = LocalBroker::default();
    let [one, two] = [1, 2].map(|slot| broker.bus(Slot(slot), USER));
    publish(&one, &connected(1, Slot(1))).await;
    let directory = start(&two);
    assert!(!directory.is_ready());
    directory.ready().await;
    assert_eq!(directory.sessions_of("i", "ada").len(), 1);
    assert_eq!(directory.home(Uuid::from_u128(1)), Some((Slot(1), 1)));
    publish(&one, &SessionEvent { event: Disconnected, ..connected(1, Slot(1)) }).await;
    publish(&one, &connected(2, Slot(1))).await;
    // Another one reads as far: then this one has, too.
    start(&one).ready().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(directory.sessions_in(Slot(1)).iter().map(|r| r.session.as_u128()).collect::<Vec<_>>(), [2]);
    assert_eq!((directory.forget(Slot(1)), directory.is_empty()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_the_record_of_its_start() {
    let retention = Retention { messages: 4, bytes: 1 << 20 };
    let broker = LocalBroker::new(Limits { retention, ..Limits::default() });
    let [one, two] = [1, 2].map(|slot| broker.bus(Slot(slot), USER));
    let directory = start(&one);
    directory.ready().await;
    publish(&one, &connected(1, Slot(1))).await;
    // Lets it read that before the log forgets.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(directory.len(), 1);
    for other in 10..15 {
        publish(&one, &SessionEvent { event: Disconnected, ..connected(other, Slot(1)) }).await;
    }
    let early = start(&two);
    early.ready().await;
    assert!(early.is_empty(), "the log has forgotten it");
    tokio::time::sleep(STILL_THERE + AGAIN).await;
    for late in [early, start(&two)] {
        late.ready().await;
        assert_eq!(late.sessions_of("i", "ada").len(), 1);
    }
    broker.lose(Log::Sessions);
    directory.progress().wait_for(|p| p.remade == 1).await.unwrap();
    tokio::time::sleep(AGAIN).await;
    let late = start(&two);
    late.ready().await;
    assert_eq!(late.len(), 1, "said at once when the log was made anew");
}

#[tokio::test(start_paused = true)]
async fn only_gateways_count() {
    let broker = LocalBroker::default();
    let [gateway, service] = [broker.bus(Slot(1), USER), broker.bus(Slot(2), "game")];
    publish(&service, &connected(1, Slot(2))).await;
    // The marker of one who is no gateway, under this gateway's name.
    let forged = records::message(&SessionsRecord::Marker { by: Slot(1), number: 1 });
    service.publish(To::Log(Log::Sessions), forged).unwrap().await.unwrap();
    // A record whose key is not its event's, and one straight in the log.
    let event = records::message(&connected(2, Slot(1)));
    gateway.publish(To::Sessions("joined".into()), event.clone()).unwrap().await.unwrap();
    gateway.publish(To::Log(Log::Sessions), event).unwrap().await.unwrap();
    let there = Presence { session: Uuid::from_u128(4), tag: 1, issuer: None, subject: None };
    let present = SessionsRecord::Present { by: Slot(1), sessions: vec![there] };
    service.publish(To::Log(Log::Sessions), records::message(&present)).unwrap().await.unwrap();
    publish(&gateway, &connected(3, Slot(1))).await;
    let directory = start(&gateway);
    directory.ready().await;
    assert_eq!((directory.len(), directory.home(Uuid::from_u128(3)).is_some()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_is_not_taken_is_sent_again() {
    let bus = Fake::new(Slot(1));
    bus.set(Mode::Return);
    let directory = Directory::new(bus.clone(), 100, Meters::default());
    tokio::spawn(directory.clone().run());
    bus.took(3).await;
    assert!(!directory.is_ready());
    bus.set(Mode::Confirm);
    directory.ready().await;
}
