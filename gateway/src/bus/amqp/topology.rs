//! What has to be there: exchanges, logs, bindings. Made where it is missing, and never changed where it is there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, ExchangeKind};
use parking_lot::Mutex;

use super::config::{AmqpConfig, Retention};
use super::dial::{Conn, Dialer};
use super::fault::{ACCESS_REFUSED, Fault, NOT_FOUND, PRECONDITION_FAILED};
use super::message::{CLIENTS, Parcel, SESSIONS};
use super::read::empty;
use crate::bus::records::GroupsRecord;
use crate::bus::{Log, Message, Slot, To};

/// Keeps what this process needs on the broker.
pub struct Topology {
    slot: Slot,
    /// How often this process made each log: readers compare.
    made: Mutex<HashMap<Log, u64>>,
    /// `bannou.groups` has its first record.
    marked: AtomicBool,
    /// One at a time: who finds a log missing waits for who makes it.
    turn: tokio::sync::Mutex<()>,
}

/// Why something is not as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// The connection is the problem, not what is on the broker.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A person has to do something.
    #[error("{what}: {why}")]
    Person { what: String, why: String },
}

impl Topology {
    pub fn new(slot: Slot) -> Topology {
        Topology { slot, made: Mutex::default(), marked: AtomicBool::new(false), turn: tokio::sync::Mutex::default() }
    }

    /// How often this process has made `log`.
    pub fn made(&self, log: Log) -> u64 {
        self.made.lock().get(&log).copied().unwrap_or_default()
    }

    /// Whether this process makes `log` where it is missing.
    pub fn ours(&self, log: Log) -> bool {
        !matches!(log, Log::Slot(slot) if slot != self.slot)
    }

    /// Everything, in an order in which nothing is lost: a log before what is bound to it.
    ///
    /// # Errors
    /// The first thing that is not as it has to be.
    pub async fn ensure(&self, conn: &Conn, dialer: &Dialer) -> Result<(), Missing> {
        let _turn = self.turn.lock().await;
        for exchange in [CLIENTS, SESSIONS] {
            self.exchange(conn, exchange).await?;
        }
        let own = format!("{}.#", self.slot);
        self.log(conn, dialer, Log::Slot(self.slot), &[(CLIENTS, &own)]).await?;
        let many = ["subject.#", "tier.#", "group.#", "all"].map(|key| (CLIENTS, key));
        self.log(conn, dialer, Log::Groups, &many).await?;
        self.log(conn, dialer, Log::Control, &[]).await?;
        self.log(conn, dialer, Log::Sessions, &[(SESSIONS, "#")]).await
    }

    async fn exchange(&self, conn: &Conn, name: &str) -> Result<(), Missing> {
        let declare = async |passive| {
            let channel = conn.channel().await?;
            let options = ExchangeDeclareOptions { durable: true, passive, ..Default::default() };
            let call = channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default());
            conn.call("exchange.declare", call).await?;
            close(conn, &channel).await
        };
        let there = exists(declare(true).await)?.is_some();
        declared(&format!("exchange {name}"), there, declare(false).await)?;
        if !there {
            tracing::info!(exchange = name, "declared");
        }
        Ok(())
    }

    async fn log(&self, conn: &Conn, dialer: &Dialer, log: Log, bindings: &[(&str, &str)]) -> Result<(), Missing> {
        let (name, what) = (log.name(), format!("log {}", log.name()));
        let declare = async |passive| {
            let channel = conn.channel().await?;
            let options = QueueDeclareOptions { durable: true, passive, ..Default::default() };
            let call = channel.queue_declare(name.as_str().into(), options, arguments(&dialer.config, log));
            conn.call("queue.declare", call).await?;
            close(conn, &channel).await
        };
        let there = exists(declare(true).await)?.is_some();
        declared(&what, there, declare(false).await)?;
        if !there {
            tracing::info!(log = name, "declared");
            *self.made.lock().entry(log).or_default() += 1;
        }
        // Also when somebody else made it and came no further: a cursor of 0 has to mean that nothing was read.
        if log == Log::Groups && (!there || !self.marked.load(Ordering::Relaxed)) {
            if !there || Self::is_empty(conn, &name).await? {
                self.mark(conn.node, dialer).await?;
            }
            self.marked.store(true, Ordering::Relaxed);
        }
        for (exchange, key) in bindings {
            let channel = conn.channel().await?;
            let call = channel.queue_bind(
                name.as_str().into(),
                (*exchange).into(),
                (*key).into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            let bound = conn.call("queue.bind", call).await;
            declared(&format!("binding of {name} to {exchange} by {key}"), false, bound)?;
            close(conn, &channel).await?;
        }
        Ok(())
    }

    async fn is_empty(conn: &Conn, log: &str) -> Result<bool, Fault> {
        match empty(conn, log).await {
            // Nodes without a replica are no first nodes of anything.
            Err(fault) if fault.no_replica() => Ok(false),
            other => other,
        }
    }

    /// Writes the first record of `bannou.groups`, on a connection of which this is the only use: where the broker takes no
    /// publishes, it reads no more from a connection that publishes.
    async fn mark(&self, node: usize, dialer: &Dialer) -> Result<(), Fault> {
        let marker = GroupsRecord::Marker { by: self.slot, number: 0 };
        let body = serde_json::to_vec(&marker).expect("a record is JSON").into();
        let message = Message { body, ..Message::default() };
        let to = To::Log(Log::Groups);
        let parcel = Parcel::pack(to, message, &dialer.config.login.user, &dialer.config.limits);
        let parcel = parcel.map_err(|e| Fault::Broken(e.to_string()))?;
        let conn = dialer.dial(node, "marking").await?;
        let channel = conn.channel().await?;
        conn.call("confirm.select", channel.confirm_select(ConfirmSelectOptions::default())).await?;
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let Parcel { exchange, key, body, properties, .. } = parcel;
        let publish = async { channel.basic_publish(exchange, key, options, &body, properties).await?.await };
        match conn.call("the confirmation of a marker", publish).await? {
            Confirmation::Ack(None) => Ok(()),
            _ => Err(Fault::Broken("the broker did not take the first record of bannou.groups".to_owned())),
        }
    }
}

/// Deletes the log of a slot.
pub async fn delete(conn: &Conn, slot: Slot) -> Result<(), Fault> {
    let channel = conn.channel().await?;
    let call = channel.queue_delete(Log::Slot(slot).name().into(), QueueDeleteOptions::default());
    match conn.call("queue.delete", call).await {
        Err(Fault::Refused { code: NOT_FOUND, .. }) => Ok(()),
        Err(fault) => Err(fault),
        Ok(_) => close(conn, &channel).await,
    }
}

fn arguments(config: &AmqpConfig, log: Log) -> FieldTable {
    let Retention { age, bytes, segment_bytes } =
        if log == Log::Control { config.control_retention } else { config.retention };
    let mut table = FieldTable::default();
    let number = |n: u64| AMQPValue::LongLongInt(i64::try_from(n).unwrap_or(i64::MAX));
    table.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    table.insert("x-max-age".into(), AMQPValue::LongString(format!("{}s", age.as_secs().max(1)).into()));
    table.insert("x-max-length-bytes".into(), number(bytes));
    table.insert("x-stream-max-segment-size-bytes".into(), number(segment_bytes));
    if let Some(replicas) = config.replicas {
        table.insert("x-initial-cluster-size".into(), number(u64::from(replicas)));
    }
    table
}

/// Whether something is there, by a passive declaration. (A node that starts says of what it has not loaded yet that it is not
/// found, in other words.)
fn exists<T>(declared: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match declared {
        Ok(it) => Ok(Some(it)),
        Err(Fault::Refused { code: NOT_FOUND, text }) if text.contains("no queue") || text.contains("no exchange") => {
            Ok(None)
        }
        Err(fault) => Err(fault),
    }
}

/// What an active declaration said. One who may not make what is there already does not have to.
fn declared<T>(what: &str, there: bool, result: Result<T, Fault>) -> Result<(), Missing> {
    let person = |why: String| Err(Missing::Person { what: what.to_owned(), why });
    match result {
        Ok(_) => Ok(()),
        Err(Fault::Refused { code: ACCESS_REFUSED, .. }) if there => Ok(()),
        Err(Fault::Refused { code: ACCESS_REFUSED, text }) => {
            person(format!("it is not there, and this user may not make it ({text})"))
        }
        Err(Fault::Refused { code: PRECONDITION_FAILED, text }) => {
            person(format!("it is there with other arguments than configured ({text})"))
        }
        Err(fault) => Err(fault.into()),
    }
}

async fn close(conn: &Conn, channel: &Channel) -> Result<(), Fault> {
    conn.call("channel.close", channel.close(200, "done".into())).await
}
