use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::contract::{EVENT, SERVICE, STATUS, TIMEOUT_MS};
use super::super::local::LocalBroker;
use super::super::records::SessionEventKind::{Connected, Disconnected};
use super::super::records::{self, ControlRecord, SessionEvent, SlotRecord};
use super::super::{Log, Message, Read, Reader, Record, Start, To, Unpublished, Value};
use super::*;

const USER: &str = "gateway";
const WINDOW: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(60);
const DEAD: Duration = Duration::from_secs(10);

/// A gateway, as far as its fleet is concerned.
struct Gateway {
    slot: Slot,
    bus: Arc<dyn Bus>,
    alive: Arc<Alive>,
    directory: Arc<Directory>,
    meters: Meters,
    tasks: Vec<JoinHandle<()>>,
}

impl Gateway {
    async fn start(broker: &LocalBroker, slot: u64) -> Gateway {
        let bus = broker.bus(Slot(slot), USER);
        let (beat, meters) = (Beat::default(), Meters::default());
        let alive = Alive::new(bus.clone(), format!("g{slot}:1"), beat, meters.clone());
        let directory = Directory::new(bus.clone(), 1_000, meters.clone());
        let parts = (bus.clone(), alive.clone(), directory.clone());
        let allow = ReplyAllow::default();
        let closer = Closer::new(parts, allow, || WINDOW.as_millis() as u64, GRACE, beat, meters.clone());
        let tasks =
            vec![tokio::spawn(alive.clone().run()), tokio::spawn(directory.clone().run()), tokio::spawn(closer.run())];
        alive.ready().await;
        directory.ready().await;
        Gateway { slot: Slot(slot), bus, alive, directory, meters, tasks }
    }

    /// As kill -9: what it did is in the logs, it does no more.
    fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    async fn connect(&self, session: u128) -> String {
        let session_id = Uuid::from_u128(session);
        let client_id = format!("{}.{session_id}.1", self.slot);
        let event = SessionEvent {
            event: Connected,
            session_id,
            tag: 1,
            client_id: client_id.clone(),
            issuer: None,
            subject: None,
            reason: None,
        };
        let sent = self.bus.publish(To::Sessions("connected".into()), records::message(&event));
        sent.unwrap().await.unwrap();
        client_id
    }

    async fn append(&self, slot: Slot, record: SlotRecord) {
        self.bus.publish(To::Log(Log::Slot(slot)), records::message(&record)).unwrap().await.unwrap();
    }
}

/// A service, and what it hears.
struct Service {
    broker: LocalBroker,
    replies: mpsc::Receiver<Message>,
}

impl Service {
    fn new(broker: &LocalBroker) -> Service {
        Service { broker: broker.clone(), replies: broker.mailbox("amq.gen-service") }
    }

    fn ask(&self, client_id: &str, id: &str, timeout_ms: i64) -> Result<(), Unpublished> {
        self.ask_to("amq.gen-service", client_id, id, timeout_ms)
    }

    fn ask_to(&self, reply_to: &str, client_id: &str, id: &str, timeout_ms: i64) -> Result<(), Unpublished> {
        let text = |text: &str| Value::Text(text.to_owned());
        let headers = [(SERVICE, text("game")), (EVENT, text("ready")), (TIMEOUT_MS, Value::Int(timeout_ms))];
        let message = Message {
            reply_to: Some(reply_to.to_owned()),
            correlation_id: Some(id.to_owned()),
            headers: headers.map(|(k, v)| (k.to_owned(), v)).into(),
            ..Message::default()
        };
        self.broker.publish_as("game", client_id, message)
    }

    async fn hears(&mut self) -> (String, i64) {
        let reply = self.replies.recv().await.unwrap();
        let Some(Value::Int(status)) = reply.headers.get(STATUS) else { panic!("{reply:?}") };
        (reply.correlation_id.unwrap(), *status)
    }
}

async fn next_of<R>(reader: &mut Reader, f: impl Fn(&Record) -> Option<R>) -> R {
    loop {
        match reader.next().await {
            Some(Read::Record(record)) => {
                if let Some(found) = f(&record) {
                    return found;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn event_of(record: &Record) -> Option<SessionEvent> {
    serde_json::from_slice(&record.message.body).ok()
}

fn disconnected(record: &Record) -> Option<SessionEvent> {
    event_of(record).filter(|e| e.event == Disconnected)
}

async fn deleted(bus: &Arc<dyn Bus>, slot: Slot) {
    let mut control = bus.read(Log::Control, Start::First);
    let is = |record: &Record| {
        records::of(record, Log::Control, USER).filter(|r: &ControlRecord| *r == ControlRecord::Deleted { slot })
    };
    next_of(&mut control, is).await;
}

async fn is_gone(bus: &Arc<dyn Bus>, slot: Slot) -> bool {
    bus.read(Log::Slot(slot), Start::First).next().await == Some(Read::Gone)
}

#[tokio::test(start_paused = true)]
async fn callers_hear_404_sessions_end_and_the_log_goes_after_the_grace() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let living = Gateway::start(&broker, 1).await;
    let dying = Gateway::start(&broker, 2).await;
    let clients = [dying.connect(7).await, dying.connect(8).await];
    // Sent while it lived: one to a known session, one to a session whose start never went out.
    let unknown = format!("{}.{}.1", dying.slot, Uuid::from_u128(9));
    for (id, client) in [("a", &clients[0]), ("b", &clients[1]), ("c", &unknown)] {
        service.ask(client, id, 1_000).unwrap();
    }
    let dead = dying.slot;
    let died = tokio::time::Instant::now();
    dying.kill();
    let mut heard = vec![service.hears().await, service.hears().await, service.hears().await];
    heard.sort_unstable();
    assert_eq!(heard, [("a".to_owned(), 404), ("b".to_owned(), 404), ("c".to_owned(), 404)]);
    assert!(died.elapsed() >= DEAD + WINDOW, "its clients could have come back until then");
    let mut sessions = living.bus.read(Log::Sessions, Start::First);
    for session in [7, 8] {
        let end = next_of(&mut sessions, disconnected).await;
        assert_eq!((end.session_id.as_u128(), end.tag, end.reason.as_deref()), (session, 1, Some("gateway died")));
    }
    // Every session that was mentioned is closed in the log, so that nobody takes it over any more.
    let mut log = living.bus.read(Log::Slot(dead), Start::First);
    let mut closed = Vec::new();
    for _ in 0..3 {
        let is = |r: &Record| match records::of(r, Log::Slot(dead), USER) {
            Some(SlotRecord::Closed { session, .. }) => Some(session.as_u128()),
            _ => None,
        };
        closed.push(next_of(&mut log, is).await);
    }
    closed.sort_unstable();
    assert_eq!(closed, [7, 8, 9]);
    // Latecomers are answered until the log is gone.
    service.ask(&clients[0], "late", 1_000).unwrap();
    assert_eq!(service.hears().await, ("late".to_owned(), 404));
    service.ask(&format!("{dead}.{}.1", Uuid::from_u128(10)), "nobody's", 1_000).unwrap();
    assert_eq!(service.hears().await, ("nobody's".to_owned(), 404));
    deleted(&living.bus, dead).await;
    assert!(is_gone(&living.bus, dead).await);
    assert!(died.elapsed() >= DEAD + WINDOW + GRACE);
    assert_eq!(service.ask(&clients[0], "too late", 1_000), Err(Unpublished::Returned));
    assert_eq!((living.directory.len(), living.alive.dead()), (0, vec![]));
    assert_eq!(living.meters.closed_answers.get(), 5, "each once");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_is_not_ended_and_its_callers_have_their_time() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let living = Gateway::start(&broker, 1).await;
    let dying = Gateway::start(&broker, 2).await;
    let taken = dying.connect(7).await;
    let resumed_here = dying.connect(8).await;
    let takeover = |session, slot| SlotRecord::Takeover {
        session: Uuid::from_u128(session),
        tag: 2,
        slot,
        id: Uuid::from_u128(1),
    };
    living.append(dying.slot, takeover(7, living.slot)).await;
    dying.append(dying.slot, takeover(8, dying.slot)).await;
    service.ask(&taken, "a", 90_000).unwrap();
    service.ask(&resumed_here, "b", 1_000).unwrap();
    let dead = dying.slot;
    dying.kill();
    assert_eq!(service.hears().await, ("b".to_owned(), 404));
    let read = tokio::time::Instant::now();
    assert_eq!(service.hears().await, ("a".to_owned(), 408));
    assert!(read.elapsed() >= Duration::from_secs(89));
    deleted(&living.bus, dead).await;
    let mut sessions = living.bus.read(Log::Sessions, Start::First);
    assert_eq!(next_of(&mut sessions, disconnected).await.session_id, Uuid::from_u128(8));
    let rest = async { next_of(&mut sessions, disconnected).await };
    assert!(tokio::time::timeout(GRACE, rest).await.is_err(), "the one that was taken over lives on");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_starts_closes_what_was_left_before() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let dying = Gateway::start(&broker, 1).await;
    let client = dying.connect(7).await;
    service.ask(&client, "a", 1_000).unwrap();
    let dead = dying.slot;
    dying.kill();
    let late = Gateway::start(&broker, 2).await;
    assert_eq!(service.hears().await, ("a".to_owned(), 404));
    deleted(&late.bus, dead).await;
}

#[tokio::test(start_paused = true)]
async fn a_closer_that_dies_is_followed_by_the_next() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let third = Gateway::start(&broker, 3).await;
    let first = Gateway::start(&broker, 1).await;
    let dying = Gateway::start(&broker, 2).await;
    let client = dying.connect(7).await;
    service.ask(&client, "a", 1_000).unwrap();
    let (dead, dead_too) = (dying.slot, first.slot);
    dying.kill();
    let mut log = third.bus.read(Log::Slot(dead), Start::First);
    let closed = |by| {
        move |r: &Record| match records::of(r, Log::Slot(dead), USER) {
            Some(SlotRecord::Marker { by: writer, .. }) if writer == by => Some(()),
            _ => None,
        }
    };
    next_of(&mut log, closed(Slot(1))).await;
    first.kill();
    next_of(&mut log, closed(Slot(3))).await;
    assert_eq!(service.hears().await, ("a".to_owned(), 404));
    deleted(&third.bus, dead).await;
    deleted(&third.bus, dead_too).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_was_only_cut_off_is_left_alone_when_it_is_back_and_learns_what_is_closed() {
    let broker = LocalBroker::default();
    let service = Service::new(&broker);
    let living = Gateway::start(&broker, 1).await;
    let cut = Gateway::start(&broker, 2).await;
    cut.connect(7).await;
    cut.alive.renewed(1);
    broker.cut_off(cut.slot);
    tokio::time::sleep(DEAD + WINDOW / 2).await;
    assert!(living.alive.is_dead(cut.slot));
    assert!(!cut.alive.may_speak());
    broker.restore(cut.slot);
    cut.alive.standing().wait_for(|s| s.epoch == 2).await.unwrap();
    tokio::time::sleep(WINDOW).await;
    assert!(!living.alive.is_dead(cut.slot));
    assert_eq!(living.meters.closed_sessions.get(), 0);
    assert_eq!(living.directory.len(), 1);
    // And for longer than the window: its sessions are closed, its log stays while it is there.
    broker.cut_off(cut.slot);
    let mut log = living.bus.read(Log::Slot(cut.slot), Start::First);
    let closed = |r: &Record| match records::of(r, Log::Slot(cut.slot), USER) {
        Some(SlotRecord::Closed { session, .. }) => Some(session.as_u128()),
        _ => None,
    };
    assert_eq!(next_of(&mut log, closed).await, 7);
    // Its closer is at work, and a session that nobody has heard of is asked: one that began when it was back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.ask(&format!("{}.{}.1", cut.slot, Uuid::from_u128(8)), "to a new session", 1_000).unwrap();
    broker.restore(cut.slot);
    let back = cut.alive.standing().wait_for(|s| s.epoch == 3).await.map(|s| *s).unwrap();
    assert!(!back.deposed);
    tokio::time::sleep(GRACE * 2).await;
    assert!(!is_gone_now(&living.bus, cut.slot).await);
    assert_eq!((living.meters.closed_slots.get(), living.meters.closed_answers.get()), (0, 0));
}

async fn is_gone_now(bus: &Arc<dyn Bus>, slot: Slot) -> bool {
    matches!(bus.read(Log::Slot(slot), Start::First).next().await, None | Some(Read::Gone))
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_order_is_closed_at_once_and_the_last_one_takes_its_log_along() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let living = Gateway::start(&broker, 1).await;
    let leaving = Gateway::start(&broker, 2).await;
    let client = leaving.connect(7).await;
    // One beacon of the other must have been heard.
    while leaving.alive.live().len() < 2 || living.alive.live().len() < 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (bus, alive, left) = (leaving.bus.clone(), leaving.alive.clone(), leaving.slot);
    leaving.kill();
    leave(&*bus, &alive).await.unwrap();
    let said = tokio::time::Instant::now();
    service.ask(&client, "a", 1_000).unwrap();
    assert_eq!(service.hears().await, ("a".to_owned(), 404));
    assert!(said.elapsed() < DEAD, "nobody is waited for");
    deleted(&living.bus, left).await;
    let (bus, alive, slot) = (living.bus.clone(), living.alive.clone(), living.slot);
    living.kill();
    leave(&*bus, &alive).await.unwrap();
    deleted(&bus, slot).await;
    assert!(is_gone(&bus, slot).await);
}

#[tokio::test(start_paused = true)]
async fn only_where_gateways_may_answer_and_only_by_records_of_gateways() {
    let broker = LocalBroker::default();
    let mut service = Service::new(&broker);
    let mut foreign = broker.mailbox("orders");
    let living = Gateway::start(&broker, 1).await;
    let dying = Gateway::start(&broker, 2).await;
    let client = dying.connect(7).await;
    // A service that writes a record into the log: the session is not taken over by it.
    let forger = broker.bus(Slot(9), "game");
    let takeover = SlotRecord::Takeover { session: Uuid::from_u128(7), tag: 2, slot: Slot(1), id: Uuid::from_u128(1) };
    forger.publish(To::Log(Log::Slot(dying.slot)), records::message(&takeover)).unwrap().await.unwrap();
    service.ask_to("orders", &client, "x", 1_000).unwrap();
    service.ask(&client, "a", 1_000).unwrap();
    let dead = dying.slot;
    dying.kill();
    assert_eq!(service.hears().await, ("a".to_owned(), 404));
    deleted(&living.bus, dead).await;
    assert!(foreign.try_recv().is_err());
    assert_eq!(living.meters.closed_answers.get(), 1);
}
