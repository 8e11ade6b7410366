//! The way in for services: logs that gateways read, and what is published.
//!
//! One trait, [`Bus`], and two forms of it: RabbitMQ, and one inside the process for `bannou dev`. A bus knows logs,
//! messages and confirmations; what a message means is the business of those who read.
//!
//! ```text
//! service → exchange bannou.clients ─┬ <slot>.#                        → log bannou.slot.<slot> → that gateway
//!                                    └ subject.# tier.# group.# all    → log bannou.groups      → every gateway
//! gateway → log of a slot (records: takeover, settled, closed, marker), bannou.control (who is alive)
//! gateway → exchange bannou.sessions → log bannou.sessions → every gateway, and services
//! gateway → the queue named by `reply_to` (receipts and answers)
//! ```

pub mod alive;
pub mod amqp;
pub mod announce;
pub mod closer;
pub mod contract;
pub mod directory;
#[cfg(test)]
mod fake;
pub mod local;
pub mod meters;
pub mod records;
pub mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};

/// 64 random bits that a gateway process makes at its start; written as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    pub fn random() -> Slot {
        Slot(u64::from_be_bytes(crate::handle::random()))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a slot is 16 lower-case hex digits")]
pub struct NotASlot;

impl FromStr for Slot {
    type Err = NotASlot;

    fn from_str(text: &str) -> Result<Slot, NotASlot> {
        let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Slot).ok_or(NotASlot)
    }
}

/// An append-only log; reading it takes nothing away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// What is addressed to clients of one gateway, and records of its sessions.
    Slot(Slot),
    /// What services send to subjects, tiers, groups, all.
    Groups,
    /// Who is alive, and every loss of rights.
    Control,
    /// Session events.
    Sessions,
}

impl Log {
    /// The name of the stream on the broker.
    pub fn name(self) -> String {
        match self {
            Log::Slot(slot) => format!("bannou.slot.{slot}"),
            Log::Groups => "bannou.groups".to_owned(),
            Log::Control => "bannou.control".to_owned(),
            Log::Sessions => "bannou.sessions".to_owned(),
        }
    }
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    First,
    Offset(u64),
    /// With what is written after the reader is there.
    Next,
}

/// A header's value; other types of AMQP do not matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Int(i64),
    Text(String),
    Bool(bool),
}

/// What travels. The bus keeps only headers that begin with `bannou-`: others are nobody's business here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub body: Bytes,
    /// Checked by the broker where it is set: who published.
    pub user_id: Option<String>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    pub message_id: Option<String>,
    pub headers: BTreeMap<String, Value>,
}

/// A message in a log. Offsets only grow; a log may leave some out, which is no [`Read::Gap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: u64,
    /// The routing key it was published with: the log's own name where it was written straight into the log.
    pub key: String,
    pub message: Message,
}

/// What a reader brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Record(Record),
    /// These offsets, both included, can no longer be read: retention took them, or the broker lost them.
    Gap {
        from: u64,
        to: u64,
    },
    /// The log was gone and was made anew: everything in it is lost, offsets begin again.
    Remade,
    /// The log of another slot does not exist (any more). Nothing follows.
    Gone,
}

/// Reads a log from its start on, over every outage, until it is dropped. In order, nothing twice.
#[derive(Debug)]
pub struct Reader(pub mpsc::Receiver<Read>);

impl Reader {
    /// `None`: the bus is shut down.
    pub async fn next(&mut self) -> Option<Read> {
        self.0.recv().await
    }
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// `bannou.clients` with this routing key. Returned ([`Unpublished::Returned`]) where no log takes it.
    Clients(String),
    /// `bannou.sessions` with this routing key.
    Sessions(String),
    /// Straight into a log: the way of records. Returned where the log is gone.
    Log(Log),
    /// The queue that a `reply_to` names. One that is gone loses the message.
    Queue(String),
}

/// Resolves once the broker has the message for certain; over outages it is sent again.
#[derive(Debug)]
pub struct Confirmed(pub oneshot::Receiver<Result<(), Unpublished>>);

impl Future for Confirmed {
    type Output = Result<(), Unpublished>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|r| r.unwrap_or(Err(Unpublished::ShutDown)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpublished {
    #[error("as many messages wait for the broker's confirmation as may")]
    Full,
    #[error("nothing is bound to take this message")]
    Returned,
    #[error("the broker refused this message: {0}")]
    Refused(String),
    #[error("the bus is shut down")]
    ShutDown,
}

impl Unpublished {
    /// A word for logs and metric labels.
    pub fn reason(&self) -> &'static str {
        match self {
            Unpublished::Full => "full",
            Unpublished::Returned => "returned",
            Unpublished::Refused(_) => "refused",
            Unpublished::ShutDown => "shut_down",
        }
    }
}

/// How the bus is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// What it waits for, a line each, without secrets. Empty: all is well.
    pub awaiting: Vec<String>,
}

/// The broker, as gateways need it. Nothing here waits for the network; what does is what it gives back.
///
/// Made for one slot: its log, the shared ones and their bindings are declared by the bus itself, and again after an
/// outage where they are missing.
pub trait Bus: Send + Sync + 'static {
    /// The slot whose log this process owns.
    fn slot(&self) -> Slot;

    /// The user this process publishes as. Records of logs count only with this `user_id`: all gateways of a fleet share it.
    fn user(&self) -> &str;

    /// Reads from `start` on. A slow reader of one log holds up no other.
    fn read(&self, log: Log, start: Start) -> Reader;

    /// Publishes; in order per destination. `user_id` is set by the bus.
    ///
    /// # Errors
    /// [`Unpublished::Full`] at once; the rest by what it gives.
    fn publish(&self, to: To, message: Message) -> Result<Confirmed, Unpublished>;

    /// Deletes the log of a slot; one that is not there counts as deleted.
    fn delete(&self, slot: Slot) -> Confirmed;

    /// What to write into `reply_to` so that the answer comes to [`Bus::replies`].
    fn reply_to(&self) -> String;

    /// Answers to what this process asked. Taken once; later calls give a closed channel.
    fn replies(&self) -> mpsc::Receiver<Message>;

    fn state(&self) -> watch::Receiver<State>;

    /// Adds what the bus counts, where it counts anything.
    fn register(&self, _registry: &mut Registry) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_reads_what_it_writes_and_nothing_else() {
        let slot = Slot(0xab);
        assert_eq!(slot.to_string(), "00000000000000ab");
        assert_eq!(slot.to_string().parse(), Ok(slot));
        for text in ["", "ab", "00000000000000AB", "+0000000000000ab", "00000000000000abc", "00000000000000ag"] {
            assert_eq!(text.parse::<Slot>(), Err(NotASlot), "{text}");
        }
    }
}
