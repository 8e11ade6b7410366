//! A reader: a task of its own with a channel of its own, so that none holds up another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;

use super::Shared;
use super::dial::Conn;
use super::fault::{Backoff, Fault};
use super::link::Link;
use super::message;
use super::metrics::Of;
use super::position::{Position, Take};
use crate::bus::{Log, Read, Record, Start};

/// Reads one log for one owner.
pub struct Follow {
    shared: Arc<Shared>,
    link: Link,
    log: Log,
    start: Start,
    sender: mpsc::Sender<Read>,
    position: Position,
    of: Of,
    /// Its name in the status: several may read one log.
    part: String,
    /// How often this process had made the log when it was last looked at.
    made: u64,
    /// Whether it was ever there.
    attached: bool,
    /// It was not there a moment ago: what comes is another one.
    lost: bool,
    /// A node to read from by a connection of this reader's own: the common one has no replica, or cannot be read.
    aside: Option<usize>,
    /// How often what comes next could not be read, by a connection of its own.
    garbled: u32,
}

/// Why a channel is left.
enum Left {
    Fault(Fault),
    /// The broker ended the consumer: the log was deleted, or moves.
    Cancelled,
    /// The log is another one than before.
    Remade,
    /// Nobody takes what is read.
    Dropped,
}

/// How often what cannot be read is tried before it is left out.
const GARBLED: u32 = 3;

impl std::convert::From<Fault> for Left {
    fn from(fault: Fault) -> Left {
        Left::Fault(fault)
    }
}

impl Follow {
    /// `number` tells readers of one log apart.
    pub fn new(
        shared: Arc<Shared>,
        link: Link,
        log: Log,
        start: Start,
        number: u64,
        sender: mpsc::Sender<Read>,
    ) -> Follow {
        Follow {
            link,
            log,
            start,
            sender,
            position: Position::new(start),
            of: Of::new(log, shared.slot),
            part: format!("reader {number}"),
            made: shared.topology.made(log),
            attached: false,
            lost: false,
            aside: None,
            garbled: 0,
            shared,
        }
    }

    /// Until nobody takes what is read, the bus is shut down, or the log of another slot is gone.
    pub async fn run(mut self) {
        // There from the start, so that an alert sees the first gap as a rise.
        drop(self.shared.metrics.gaps.get_or_create(&self.of));
        let sender = self.sender.clone();
        tokio::select! {
            () = sender.closed() => {}
            () = self.follow() => {}
        }
        self.shared.status.well(&self.part);
    }

    async fn follow(&mut self) {
        let nodes = self.shared.dialer.config.nodes.len();
        let mut backoff = Backoff::new(self.shared.dialer.config.timeouts.retry);
        loop {
            let conn = match self.aside {
                None => match self.link.get().await {
                    Some(conn) => Ok(conn),
                    None => return,
                },
                Some(node) => self.shared.dialer.dial(node, "reading aside").await,
            };
            let node = conn.as_ref().map_or(self.aside.unwrap_or_default(), |conn| conn.node);
            let before = self.position.next();
            let left = match &conn {
                Ok(conn) => self.read(conn).await.err().unwrap_or(Left::Dropped),
                Err(fault) => Left::Fault(fault.clone()),
            };
            if self.position.next() != before {
                backoff.reset();
                self.garbled = 0;
            }
            match left {
                Left::Dropped => return,
                Left::Remade => continue,
                Left::Cancelled => {}
                Left::Fault(fault) if fault.no_queue() => {
                    if !self.shared.topology.ours(self.log) {
                        let _ = self.sender.send(Read::Gone).await;
                        return;
                    }
                    self.lost = true;
                    self.shared.declare_again.notify_one();
                }
                Left::Fault(Fault::Garbled) => self.leave_out(node).await,
                Left::Fault(fault) => {
                    let next = (node + 1) % nodes;
                    let common = self.link.node();
                    self.aside = match self.aside {
                        None => (fault.no_replica() && nodes > 1).then_some(next),
                        // All others were tried.
                        Some(_) if Some(next) == common => None,
                        Some(_) => Some(next),
                    };
                    // The end of the common connection is told by who makes it.
                    if fault.of_the_channel() || conn.is_err() || matches!(fault, Fault::Slow(_)) {
                        self.shared.status.awaits(&self.part, format!("{}: {fault}", self.log.name()));
                    }
                }
            }
            drop(conn);
            backoff.wait().await;
        }
    }

    /// The broker sent what cannot be read. Whose record that is shows on a connection of its own.
    async fn leave_out(&mut self, node: usize) {
        if self.aside.replace(node).is_some() {
            self.garbled += 1;
        }
        if self.garbled >= GARBLED
            && let Some(offset) = self.position.skip()
        {
            self.garbled = 0;
            tracing::warn!(log = %self.log.name(), offset, "left out a record that cannot be read");
            self.shared.metrics.gaps.get_or_create(&self.of).inc();
            let _ = self.sender.send(Read::Gap { from: offset, to: offset }).await;
        }
    }

    /// Never `Ok`.
    async fn read(&mut self, conn: &Conn) -> Result<(), Left> {
        let made = self.shared.topology.made(self.log);
        if made != self.made || self.lost {
            let known = self.attached || self.made > 0;
            (self.made, self.lost) = (made, true);
            if known {
                self.position.restart();
            } else {
                self.lost = false;
            }
        }
        if self.start == Start::Next && !self.attached {
            let end = end_of(conn, &self.log.name(), self.shared.dialer.config.limits.prefetch).await?;
            self.position = Position::new(Start::Offset(end));
        }
        let channel = conn.channel().await?;
        let prefetch = self.shared.dialer.config.limits.prefetch.max(4);
        let from = self.position.attach().map_or(From::First, From::Offset);
        let mut consumer = consume(conn, &channel, &self.log.name(), from, prefetch).await?;
        self.attached = true;
        self.shared.status.well(&self.part);
        if std::mem::take(&mut self.lost) {
            self.remade().await?;
        }
        let mut unacknowledged = 0;
        let mut ended = std::pin::pin!(conn.ended());
        loop {
            let delivery = tokio::select! {
                fault = &mut ended => return Err(fault.into()),
                delivery = consumer.next() => delivery,
            };
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(Fault::from(error).into()),
                None => return Err(Left::Cancelled),
            };
            let offset = message::offset(&delivery.properties)
                .ok_or_else(|| Fault::Broken(format!("{} is no stream", self.log.name())))?;
            let key = delivery.routing_key.as_str();
            match self.position.take(offset, key, &delivery.data) {
                Take::Skip => {}
                Take::Remade => {
                    self.position.restart();
                    self.remade().await?;
                    return Err(Left::Remade);
                }
                take => {
                    if let Take::Gap { from, to } = take {
                        self.shared.metrics.gaps.get_or_create(&self.of).inc_by(to - from + 1);
                        self.bring(Read::Gap { from, to }).await?;
                    }
                    let (key, message) = (key.to_owned(), message::unpack(&delivery.properties, delivery.data));
                    self.bring(Read::Record(Record { offset, key, message })).await?;
                    self.shared.metrics.read.get_or_create(&self.of).inc();
                    self.shared.metrics.position.get_or_create(&self.of).set(i64::try_from(offset).unwrap_or(i64::MAX));
                }
            }
            unacknowledged += 1;
            if unacknowledged >= prefetch / 4 {
                let options = BasicAckOptions { multiple: true };
                conn.call("basic.ack", channel.basic_ack(delivery.delivery_tag, options)).await?;
                unacknowledged = 0;
            }
        }
    }

    async fn remade(&mut self) -> Result<(), Left> {
        tracing::warn!(log = %self.log.name(), "the log was made anew: what was in it is lost");
        self.shared.metrics.remade.get_or_create(&self.of).inc();
        self.bring(Read::Remade).await
    }

    async fn bring(&self, read: Read) -> Result<(), Left> {
        self.sender.send(read).await.map_err(|_| Left::Dropped)
    }
}

/// Where a consumer of a stream begins.
#[derive(Clone, Copy, Debug)]
pub enum From {
    First,
    /// With the last chunk.
    Last,
    Offset(u64),
}

/// # Errors
/// Also when there is no such stream.
pub async fn consume(conn: &Conn, channel: &Channel, log: &str, from: From, prefetch: u16) -> Result<Consumer, Fault> {
    conn.call("basic.qos", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let mut arguments = FieldTable::default();
    let from = match from {
        From::First => AMQPValue::LongString("first".into()),
        From::Last => AMQPValue::LongString("last".into()),
        From::Offset(offset) => AMQPValue::LongLongInt(i64::try_from(offset).unwrap_or(i64::MAX)),
    };
    arguments.insert("x-stream-offset".into(), from);
    let call = channel.basic_consume(log.into(), "".into(), BasicConsumeOptions::default(), arguments);
    conn.call("basic.consume", call).await
}

/// How long the first record of a log that has one takes at most. (The broker's own count of records lags behind by seconds.)
const ARRIVES: Duration = Duration::from_secs(2);
/// How long the rest of a chunk takes after its first record.
const CHUNK: Duration = Duration::from_millis(200);

/// Whether there is a record in a log.
///
/// # Errors
/// As of any call.
pub async fn empty(conn: &Conn, log: &str) -> Result<bool, Fault> {
    let channel = conn.channel().await?;
    let mut consumer = consume(conn, &channel, log, From::First, 1).await?;
    match tokio::time::timeout(ARRIVES, consumer.next()).await {
        Ok(Some(delivery)) => delivery.map(|_| false).map_err(Fault::from),
        Ok(None) => Err(Fault::Broken(format!("{log} is gone"))),
        Err(_) => Ok(true),
    }
}

/// The offset behind the records that are there. One that is written meanwhile may count as there.
async fn end_of(conn: &Conn, log: &str, prefetch: u16) -> Result<u64, Fault> {
    let channel = conn.channel().await?;
    let mut consumer = consume(conn, &channel, log, From::Last, prefetch).await?;
    let (mut end, mut wait) = (0, ARRIVES);
    let began = Instant::now();
    while let Ok(Some(delivery)) = tokio::time::timeout(wait, consumer.next()).await {
        let offset = message::offset(&delivery?.properties);
        end = offset.ok_or_else(|| Fault::Broken(format!("{log} is no stream")))? + 1;
        wait = (began + ARRIVES + CHUNK).saturating_duration_since(Instant::now()).min(CHUNK);
    }
    Ok(end)
}
