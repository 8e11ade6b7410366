//! The bus over real RabbitMQ brokers, and what happens to it when they fail.

mod cluster;
mod faults;
mod gateway;
mod kit;
mod logs;
mod refused;
mod rights;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bannou_gateway::bus::amqp::{Amqp, AmqpConfig};
use bannou_gateway::bus::{Bus, Log, Message, Read, Reader, Slot, Start, To, Unpublished};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::process::PATIENCE;

/// With less patience than a real one has, so that tests are quick.
fn config(urls: &[String]) -> AmqpConfig {
    let mut config = AmqpConfig::parse(urls).unwrap();
    config.timeouts.connect = Duration::from_secs(3);
    config.timeouts.call = Duration::from_secs(3);
    config.timeouts.heartbeat = Duration::from_secs(1);
    config
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: nothing came"))
}

/// A bus that waits for nothing.
async fn bus(config: AmqpConfig) -> Arc<Amqp> {
    bus_of(config, Slot::random()).await
}

async fn bus_of(config: AmqpConfig, slot: Slot) -> Arc<Amqp> {
    let bus = Amqp::new(config, slot).unwrap();
    well(&*bus).await;
    bus
}

async fn well(bus: &dyn Bus) {
    awaits(bus, "nothing", <[String]>::is_empty).await;
}

/// Until it waits for something that says all of this.
async fn waits_for(bus: &dyn Bus, texts: &[&str]) {
    let right = |lines: &[String]| lines.iter().any(|line| texts.iter().all(|text| line.contains(text)));
    awaits(bus, &format!("{texts:?}"), right).await;
}

async fn awaits(bus: &dyn Bus, what: &str, right: impl Fn(&[String]) -> bool) {
    let mut state = bus.state();
    let found = timeout(PATIENCE, state.wait_for(|state| right(&state.awaiting))).await.is_ok();
    assert!(found, "it waits for {:?} and not for {what}", bus.state().borrow().awaiting);
}

fn text(body: &str) -> Message {
    Message { body: body.to_owned().into(), ..Message::default() }
}

fn to_client(slot: Slot) -> To {
    To::Clients(format!("{slot}.{}.1", Uuid::new_v4()))
}

/// Somebody who publishes a number every few milliseconds, whatever happens.
struct Traffic {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Vec<u64>>,
}

impl Traffic {
    fn start(bus: Arc<Amqp>, to: Slot) -> Traffic {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            let mut waiting = Vec::new();
            while stopped.try_recv().is_err() {
                pace.tick().await;
                let number = waiting.len() as u64;
                waiting.push(bus.publish(to_client(to), text(&number.to_string())));
            }
            let mut confirmed = Vec::new();
            for (number, result) in waiting.into_iter().enumerate() {
                match result {
                    Ok(confirmation) => match in_time("an end of a publish", confirmation).await {
                        Ok(()) => confirmed.push(number as u64),
                        Err(error) => assert_eq!(error, Unpublished::Returned, "{number}"),
                    },
                    Err(error) => assert_eq!(error, Unpublished::Full, "{number}"),
                }
            }
            confirmed
        });
        Traffic { stop, task }
    }

    /// Ends it; all that was confirmed has to arrive, the first of each in order, and nothing else but repeats.
    async fn all_arrives(self, reader: &mut Reader) -> Vec<u64> {
        let _ = self.stop.send(());
        let confirmed = in_time("the last confirmation", self.task).await.unwrap();
        let last = *confirmed.last().expect("something was confirmed");
        let mut seen: Vec<u64> = Vec::new();
        while seen.last() != Some(&last) {
            let (_, body) = record(reader).await;
            let number: u64 = body.parse().unwrap();
            if seen.last().is_none_or(|&last| number > last) {
                seen.push(number);
            } else {
                assert!(seen.binary_search(&number).is_ok(), "{number} came after {:?}", seen.last());
            }
        }
        let missing: Vec<_> = confirmed.iter().filter(|number| seen.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "confirmed, and did not arrive: {missing:?}");
        confirmed
    }
}

/// Offset and body of the next record.
async fn record(reader: &mut Reader) -> (u64, String) {
    match in_time("a record", reader.next()).await.expect("the bus is not shut down") {
        Read::Record(record) => (record.offset, String::from_utf8_lossy(&record.message.body).into_owned()),
        other => panic!("not a record: {other:?}"),
    }
}

/// What a reader brings next.
async fn next(reader: &mut Reader) -> Read {
    in_time("a reader", reader.next()).await.expect("the bus is not shut down")
}

fn own(bus: &Arc<Amqp>) -> Reader {
    bus.read(Log::Slot(bus.slot()), Start::First)
}

/// Publishes to the own log and reads it back: everything works.
async fn round_trip(bus: &Arc<Amqp>) {
    let mut reader = own(bus);
    let body = Uuid::new_v4().to_string();
    in_time("a confirmation", bus.publish(to_client(bus.slot()), text(&body)).unwrap()).await.unwrap();
    while record(&mut reader).await.1 != body {}
}
