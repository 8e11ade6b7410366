//! The bus inside the process.

use std::future::{Ready, ready};
use std::sync::Arc;

use bannou_gateway::bus::local::{Limits, LocalBroker, Retention};
use bannou_gateway::bus::{Bus, Log, Message, Read, Slot, Start, To, Unpublished};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Broker, next, record, text};

impl Broker for LocalBroker {
    async fn gateway(&self) -> Arc<dyn Bus> {
        self.bus(Slot(Uuid::new_v4().as_u64_pair().0), "bannou-gateway")
    }

    async fn send(&self, key: &str, message: Message) -> Result<(), Unpublished> {
        self.publish_as("game", key, message)
    }

    async fn inbox(&self) -> (String, mpsc::Receiver<Message>) {
        let name = Uuid::new_v4().to_string();
        let inbox = self.mailbox(&name);
        (name, inbox)
    }

    async fn cut_off(&self, slot: Slot) {
        LocalBroker::cut_off(self, slot);
    }

    async fn restore(&self, slot: Slot) {
        LocalBroker::restore(self, slot);
    }

    async fn lose(&self, log: Log) {
        LocalBroker::lose(self, log);
    }
}

fn broker() -> Ready<LocalBroker> {
    ready(LocalBroker::default())
}

bus_suite!(broker);

#[tokio::test]
async fn what_retention_took_is_a_gap() {
    let limits = Limits { retention: Retention { messages: 3, bytes: 1 << 20 }, ..Limits::default() };
    let broker = LocalBroker::new(limits);
    let bus = broker.gateway().await;
    for body in ["a", "b", "c", "d", "e"] {
        bus.publish(To::Log(Log::Control), text(body)).unwrap().await.unwrap();
    }
    let mut reader = bus.read(Log::Control, Start::Offset(0));
    assert_eq!(next(&mut reader).await, Read::Gap { from: 0, to: 1 });
    assert_eq!(record(&mut reader).await, (2, "c".to_owned()));
    let mut oldest = bus.read(Log::Control, Start::First);
    assert_eq!(record(&mut oldest).await, (2, "c".to_owned()));
}

#[tokio::test]
async fn what_waits_while_cut_off_is_bounded() {
    let broker = LocalBroker::new(Limits { unconfirmed: 2, ..Limits::default() });
    let bus = broker.gateway().await;
    LocalBroker::cut_off(&broker, bus.slot());
    let waiting = [(); 2].map(|()| bus.publish(To::Log(Log::Control), text("x")).unwrap());
    assert_eq!(bus.publish(To::Log(Log::Control), text("y")).err(), Some(Unpublished::Full));
    LocalBroker::restore(&broker, bus.slot());
    for confirmed in waiting {
        assert_eq!(confirmed.await, Ok(()));
    }
    assert_eq!(bus.publish(To::Log(Log::Control), text("y")).unwrap().await, Ok(()));
}

#[tokio::test]
async fn replies_to_a_gateway_that_is_cut_off_are_lost_like_those_to_a_queue_that_is_gone() {
    let broker = LocalBroker::default();
    let [one, other] = [broker.gateway().await, broker.gateway().await];
    let mut replies = one.replies();
    LocalBroker::cut_off(&broker, one.slot());
    other.publish(To::Queue(one.reply_to()), text("lost")).unwrap().await.unwrap();
    LocalBroker::restore(&broker, one.slot());
    other.publish(To::Queue(one.reply_to()), text("comes")).unwrap().await.unwrap();
    assert_eq!(replies.recv().await.unwrap().body, "comes");
}
