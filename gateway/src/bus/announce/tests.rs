use std::sync::atomic::{AtomicBool, Ordering};

use super::super::fake::{Fake, Mode};
use super::super::records::SessionEventKind::{self, Authenticated, Connected, Disconnected};
use super::super::{Message, Slot};
use super::*;

fn event(session: u128, event: SessionEventKind) -> SessionEvent {
    let session_id = Uuid::from_u128(session);
    let client_id = format!("0000000000000001.{session_id}.1");
    SessionEvent { event, session_id, tag: 1, client_id, issuer: None, subject: None, reason: None }
}

fn said((to, message): (To, Message)) -> (u128, SessionEventKind) {
    let event: SessionEvent = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(to, To::Sessions(event.event.key().to_owned()));
    (event.session_id.as_u128(), event.event)
}

struct World {
    bus: Arc<Fake>,
    announcer: Arc<Announcer>,
    may_speak: Arc<AtomicBool>,
}

impl World {
    fn new(bound: usize) -> World {
        let bus = Fake::new(Slot(1));
        let may_speak = Arc::new(AtomicBool::new(true));
        let gate = may_speak.clone();
        let announcer = Announcer::new(bus.clone(), bound, Meters::default(), move || gate.load(Ordering::Relaxed));
        tokio::spawn(announcer.clone().run());
        World { bus, announcer, may_speak }
    }

    fn announce(&self, events: &[(u128, SessionEventKind)]) {
        events.iter().for_each(|(session, kind)| self.announcer.announce(event(*session, *kind)));
    }

    fn said(&self) -> Vec<(u128, SessionEventKind)> {
        self.bus.drain().into_iter().map(said).collect()
    }

    fn dropped(&self, reason: &'static str) -> u64 {
        self.announcer.meters.session_events_dropped.get_or_create(&Refusal { reason }).get()
    }
}

#[tokio::test(start_paused = true)]
async fn over_an_outage_nothing_within_the_bound_is_lost_and_order_is_kept() {
    let world = World::new(100);
    world.announce(&[(1, Connected)]);
    world.announcer.flushed().await;
    for mode in [Mode::Full, Mode::Return] {
        world.bus.drain();
        world.bus.set(mode);
        let events = [(1, Authenticated), (2, Connected), (2, Disconnected), (1, Authenticated)];
        world.announce(&events);
        // Some rounds of an outage.
        tokio::time::sleep(PAUSE * 5).await;
        assert_eq!(world.announcer.meters.session_events_waiting.get(), 4);
        world.bus.drain();
        world.bus.set(Mode::Confirm);
        world.announcer.flushed().await;
        assert_eq!(world.said(), [(1, Authenticated), (1, Authenticated), (2, Connected), (2, Disconnected)]);
    }
    assert_eq!(world.announcer.meters.session_events.get(), 9);
    assert_eq!(world.announcer.meters.session_events_waiting.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_comes_back_does_not_follow_its_own_end() {
    let world = World::new(100);
    world.bus.set(Mode::ReturnOne);
    world.announce(&[(1, Connected), (1, Disconnected), (2, Connected)]);
    world.announcer.flushed().await;
    let said = [(1, Connected), (1, Disconnected), (2, Connected), (1, Connected), (1, Disconnected)];
    assert_eq!(world.said(), said, "the first one was returned: its session is told again, in order");
}

#[tokio::test(start_paused = true)]
async fn an_end_for_every_start_that_went_out_and_for_no_other() {
    let world = World::new(2);
    world.announce(&[(1, Connected), (2, Connected)]);
    world.announcer.flushed().await;
    world.bus.set(Mode::Full);
    // 3 and 4 fill it, 5 finds no room, the ends of 1 and 2 are owed.
    world.announce(&[(3, Connected), (4, Connected), (5, Connected), (5, Disconnected)]);
    world.announce(&[(1, Disconnected), (2, Disconnected), (3, Disconnected), (4, Disconnected)]);
    world.bus.set(Mode::Confirm);
    world.announcer.flushed().await;
    let said = world.said();
    for session in [1, 2, 3, 4, 5] {
        let count = |kind| said.iter().filter(|e| **e == (session, kind)).count();
        assert_eq!(count(Connected), count(Disconnected), "{session}: {said:?}");
    }
    assert!(said.contains(&(1, Disconnected)) && said.contains(&(2, Disconnected)));
    assert_eq!(world.dropped("full"), 6);
}

#[tokio::test(start_paused = true)]
async fn with_the_bus_counts_as_open_until_it_is_confirmed() {
    let world = World::new(10);
    world.bus.set(Mode::Hold);
    world.announce(&[(1, Connected)]);
    world.bus.took(1).await;
    assert!(tokio::time::timeout(PAUSE, world.announcer.flushed()).await.is_err());
    world.bus.set(Mode::Confirm);
    world.announcer.flushed().await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_speak_says_nothing_and_then_nothing_of_what_others_ended() {
    let world = World::new(10);
    world.announce(&[(1, Connected), (2, Connected)]);
    world.announcer.flushed().await;
    world.said();
    world.may_speak.store(false, Ordering::Relaxed);
    world.announce(&[(1, Disconnected), (2, Disconnected)]);
    tokio::time::sleep(PAUSE * 5).await;
    assert_eq!(world.said(), []);
    world.announcer.disown(Uuid::from_u128(1), true);
    world.may_speak.store(true, Ordering::Relaxed);
    world.announcer.flushed().await;
    assert_eq!(world.said(), [(2, Disconnected)]);
    assert_eq!(world.dropped("disowned"), 1);
}
