//! The bus over a real RabbitMQ.

use std::collections::HashMap;
use std::sync::Arc;

use bannou_gateway::bus::amqp::{Amqp, AmqpConfig};
use bannou_gateway::bus::{Bus, Log, Message, Slot, Unpublished};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Broker, in_time};
use crate::support::amqp::Peer;
use crate::support::broker::shared;
use crate::support::proxy::{Proxy, Way};

/// A vhost of the broker that all tests share.
struct Vhost {
    name: String,
    broker: &'static crate::support::broker::Broker,
    game: tokio::sync::Mutex<Peer>,
    admin: Peer,
    ways: Mutex<HashMap<Slot, Proxy>>,
}

async fn vhost() -> Vhost {
    let (broker, name) = shared().await;
    let game = tokio::sync::Mutex::new(Peer::connect(broker, "game", &name).await);
    let admin = Peer::connect(broker, "guest", &name).await;
    Vhost { name, broker, game, admin, ways: Mutex::default() }
}

impl Broker for Vhost {
    async fn gateway(&self) -> Arc<dyn Bus> {
        let proxy = Proxy::to(self.broker.port).await;
        let url = format!("amqp://guest:guest@127.0.0.1:{}/{}", proxy.port, self.name);
        let slot = Slot(Uuid::new_v4().as_u64_pair().0);
        let bus = Amqp::new(AmqpConfig::parse(&[url]).unwrap(), slot).unwrap();
        self.ways.lock().insert(slot, proxy);
        let mut state = bus.state();
        in_time("a gateway", state.wait_for(|state| state.awaiting.is_empty())).await.unwrap();
        bus
    }

    async fn send(&self, key: &str, message: Message) -> Result<(), Unpublished> {
        self.game.lock().await.publish("bannou.clients", key, message).await
    }

    async fn inbox(&self) -> (String, mpsc::Receiver<Message>) {
        self.admin.inbox().await
    }

    async fn cut_off(&self, slot: Slot) {
        self.ways.lock()[&slot].turn(Way::Reset);
    }

    async fn restore(&self, slot: Slot) {
        self.ways.lock()[&slot].turn(Way::Open);
    }

    async fn lose(&self, log: Log) {
        self.admin.delete_queue(&log.name()).await;
    }
}

bus_suite!(vhost);
