//! One contract for every form of the bus: `suite` says what a bus must do, each form brings a [`Broker`] to it.

#[macro_use]
mod suite;
mod local;
mod rabbitmq;

use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::bus::{Bus, Log, Message, Read, Reader, Slot, Unpublished};
use tokio::sync::mpsc;

/// A broker as the suite needs it: its own for each test (a vhost, where it is a real one).
pub trait Broker: Send + Sync {
    /// The bus of one more gateway of the fleet, with a slot of its own; ready when this returns.
    fn gateway(&self) -> impl Future<Output = Arc<dyn Bus>> + Send;

    /// Publishes on `bannou.clients` as the service user `game`.
    fn send(&self, key: &str, message: Message) -> impl Future<Output = Result<(), Unpublished>> + Send;

    /// A queue of a service's, by the name that goes into `reply_to`.
    fn inbox(&self) -> impl Future<Output = (String, mpsc::Receiver<Message>)> + Send;

    /// From now on this gateway reaches no broker, until [`Broker::restore`]; returns once it is so.
    fn cut_off(&self, slot: Slot) -> impl Future<Output = ()> + Send;
    fn restore(&self, slot: Slot) -> impl Future<Output = ()> + Send;

    /// The broker loses this log.
    fn lose(&self, log: Log) -> impl Future<Output = ()> + Send;
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

async fn next(reader: &mut Reader) -> Read {
    in_time("a reader", reader.next()).await.expect("the bus is not shut down")
}

/// Offset and body of the next record.
async fn record(reader: &mut Reader) -> (u64, String) {
    match next(reader).await {
        Read::Record(record) => (record.offset, String::from_utf8_lossy(&record.message.body).into_owned()),
        other => panic!("not a record: {other:?}"),
    }
}

fn text(body: &str) -> Message {
    Message { body: body.to_owned().into(), ..Message::default() }
}
