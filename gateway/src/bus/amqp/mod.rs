//! The bus over RabbitMQ.
//!
//! ```text
//! Amqp ── Supervisor (reading)    ─ one connection ─┬ declares what is missing
//!      │                                            ├ a channel for each reader, one for replies, one to delete a log
//!      └─ Supervisor (publishing) ─ one connection ── a channel with confirmations
//! ```
//!
//! Nothing is left to lapin's own recovery, under which publishes were seen to hang for ever: each await has a timeout, a
//! connection that fails is thrown away whole, and another one made to the next node. What is not confirmed by then is sent
//! again, in order. Readers go on behind what they brought last.
//!
//! lapin logs returned messages whole at `WARN`: `lapin=off` belongs into every filter of logs ([`LOG_FILTER`]).

mod config;
mod dial;
mod fault;
mod link;
mod message;
mod metrics;
mod position;
mod publish;
mod read;
mod replies;
mod returns;
mod status;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};

pub use self::config::{AmqpConfig, Limits, Login, Node, NotAConfig, Retention, Timeouts, Tls};
use self::dial::Dialer;
use self::fault::Backoff;
use self::link::{Declared, Link, Role, Supervisor};
use self::message::Parcel;
pub use self::metrics::AmqpMetrics;
use self::publish::Queue;
use self::read::Follow;
use self::status::Status;
use self::topology::Topology;
use super::{Bus, Confirmed, Log, Message, Reader, Slot, Start, State, To, Unpublished};

/// To be added to a filter of logs: lapin would write messages of services into them.
pub const LOG_FILTER: &str = "lapin=off";

/// The bus of one process. Dropping it ends its readers and its connections; its log stays.
pub struct Amqp {
    shared: Arc<Shared>,
    link: Link,
    replies: Mutex<Option<mpsc::Receiver<Message>>>,
    readers: AtomicU64,
    /// Logs that are being deleted.
    deleting: Arc<Semaphore>,
    down: watch::Sender<bool>,
}

/// What all tasks of a bus share.
struct Shared {
    slot: Slot,
    dialer: Dialer,
    topology: Topology,
    /// Something was not there: declare everything once more.
    declare_again: Notify,
    declared: watch::Sender<Declared>,
    status: Status,
    queue: Queue,
    metrics: AmqpMetrics,
}

/// Deletions at a time.
const DELETIONS: usize = 16;

impl Amqp {
    /// Connects, and stays connected, in the background: see [`Bus::state`]. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// Of what TLS needs.
    pub fn new(config: AmqpConfig, slot: Slot) -> Result<Arc<Amqp>, NotAConfig> {
        let (metrics, limits) = (AmqpMetrics::default(), config.limits);
        let shared = Arc::new(Shared {
            slot,
            dialer: Dialer::new(config, slot)?,
            topology: Topology::new(slot),
            declare_again: Notify::new(),
            declared: watch::Sender::new(Declared::NotYet),
            status: Status::new(metrics.awaiting.clone()),
            queue: Queue::new(metrics.clone()),
            metrics,
        });
        let (reading, read_link) = Supervisor::new(Role::Reading);
        let (publishing, publish_link) = Supervisor::new(Role::Publishing);
        let (sender, replies) = mpsc::channel(limits.ahead.max(1));
        let amqp = Amqp {
            link: read_link.clone(),
            replies: Mutex::new(Some(replies)),
            readers: AtomicU64::default(),
            deleting: Arc::new(Semaphore::new(DELETIONS)),
            down: watch::Sender::new(false),
            shared,
        };
        let shared = &amqp.shared;
        for role in [Role::Reading, Role::Publishing] {
            shared.status.awaits(role.word(), format!("the broker at {}: not connected yet", first_node(shared)));
        }
        shared.status.awaits(replies::PART, "the queue for answers: not declared yet");
        amqp.spawn(reading.run(shared.clone()));
        amqp.spawn(publishing.run(shared.clone()));
        amqp.spawn(publish::run(shared.clone(), publish_link));
        amqp.spawn(replies::run(shared.clone(), read_link, sender));
        Ok(Arc::new(amqp))
    }

    /// To be registered by whoever owns the registry.
    pub fn metrics(&self) -> &AmqpMetrics {
        &self.shared.metrics
    }

    /// Until the bus is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut down = self.down.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                _ = down.wait_for(|down| *down) => {}
                () = task => {}
            }
        });
    }
}

fn first_node(shared: &Shared) -> &Node {
    &shared.dialer.config.nodes[link::first_node(shared)]
}

impl Drop for Amqp {
    fn drop(&mut self) {
        self.down.send_replace(true);
    }
}

impl Bus for Amqp {
    fn slot(&self) -> Slot {
        self.shared.slot
    }

    fn user(&self) -> &str {
        &self.shared.dialer.config.login.user
    }

    fn read(&self, log: Log, start: Start) -> Reader {
        let (sender, receiver) = mpsc::channel(self.shared.dialer.config.limits.ahead.max(1));
        let number = self.readers.fetch_add(1, Ordering::Relaxed);
        let follow = Follow::new(self.shared.clone(), self.link.clone(), log, start, number, sender);
        self.spawn(follow.run());
        Reader(receiver)
    }

    fn publish(&self, to: To, message: Message) -> Result<Confirmed, Unpublished> {
        let limits = &self.shared.dialer.config.limits;
        match Parcel::pack(to, message, self.user(), limits) {
            Ok(parcel) => self.shared.queue.push(parcel, limits),
            Err(refused) => {
                self.shared.metrics.unpublished(refused.reason());
                let (done, confirmed) = oneshot::channel();
                let _ = done.send(Err(refused));
                Ok(Confirmed(confirmed))
            }
        }
    }

    fn delete(&self, slot: Slot) -> Confirmed {
        let (done, confirmed) = oneshot::channel();
        let (shared, mut link, deleting) = (self.shared.clone(), self.link.clone(), self.deleting.clone());
        self.spawn(async move {
            let Ok(_turn) = deleting.acquire().await else { return };
            let mut backoff = Backoff::new(shared.dialer.config.timeouts.retry);
            while let Some(conn) = link.get().await {
                match topology::delete(&conn, slot).await {
                    Ok(()) => {
                        let _ = done.send(Ok(()));
                        return;
                    }
                    Err(fault) if fault.of_the_channel() => {
                        let _ = done.send(Err(Unpublished::Refused(fault.to_string())));
                        return;
                    }
                    Err(_) => backoff.wait().await,
                }
            }
        });
        Confirmed(confirmed)
    }

    fn reply_to(&self) -> String {
        replies::name(self.shared.slot)
    }

    fn replies(&self) -> mpsc::Receiver<Message> {
        self.replies.lock().take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    fn state(&self) -> watch::Receiver<State> {
        self.shared.status.subscribe()
    }
}
