//! Session events to `bannou.sessions`: an end for every start that went out, over every outage.

mod queue;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::meters::Meters;
use super::records::{SessionEvent, message};
use super::{Bus, To, Unpublished};
use crate::metrics::Refusal;
use queue::Queue;

/// Handed to the bus at once; the next ones when these are confirmed.
const BATCH: usize = 512;
/// Before what was not taken is tried again, and between looks at whether this gateway may speak.
const PAUSE: Duration = Duration::from_millis(250);

pub struct Announcer {
    bus: Arc<dyn Bus>,
    may_speak: Box<dyn Fn() -> bool + Send + Sync>,
    queue: Mutex<Queue>,
    /// Events that wait or are with the bus.
    open: watch::Sender<usize>,
    wake: Notify,
    meters: Meters,
}

impl Announcer {
    /// Keeps up to `bound` events that the bus has not taken yet. Nothing is published while `may_speak` is false.
    pub fn new(
        bus: Arc<dyn Bus>,
        bound: usize,
        meters: Meters,
        may_speak: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Arc<Announcer> {
        let queue = Mutex::new(Queue::new(bound));
        let may_speak = Box::new(may_speak);
        Arc::new(Announcer { bus, may_speak, queue, open: watch::Sender::new(0), wake: Notify::new(), meters })
    }

    /// Never waits. What finds no room is dropped and counted: sessions of which nobody has heard go first, and of a
    /// start that is dropped nothing more is said.
    pub fn announce(&self, event: SessionEvent) {
        // One count under one lock, so that it never falls below what is there.
        let mut queue = self.queue.lock();
        let before = queue.len();
        let dropped = queue.push(event);
        self.count(before, queue.len(), dropped, "full");
        drop(queue);
        self.wake.notify_one();
    }

    /// Another gateway ended or took over this session and says so itself: nothing more of it comes from here.
    /// `ended`: no event of it will be announced any more.
    pub fn disown(&self, session: Uuid, ended: bool) {
        let mut queue = self.queue.lock();
        let before = queue.len();
        let dropped = queue.silence(session, ended);
        self.count(before, queue.len(), dropped, "disowned");
    }

    fn count(&self, before: usize, after: usize, dropped: usize, reason: &'static str) {
        self.open.send_modify(|open| *open = *open + after - before);
        self.meters.session_events_waiting.set(*self.open.borrow() as i64);
        if dropped > 0 {
            self.meters.session_events_dropped.get_or_create(&Refusal { reason }).inc_by(dropped as u64);
        }
    }

    /// Returns when all that was announced is confirmed.
    pub async fn flushed(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Publishes until the bus is shut down.
    pub async fn run(self: Arc<Self>) {
        loop {
            if self.queue.lock().len() == 0 {
                self.wake.notified().await;
                continue;
            }
            if !(self.may_speak)() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match self.publish_some().await {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(ShutDown) => return,
            }
        }
    }

    /// `false`: not all was taken.
    async fn publish_some(&self) -> Result<bool, ShutDown> {
        // Still counted as open: with the bus, or put back.
        let events = self.queue.lock().take(BATCH);
        let took = events.len();
        let mut refused: Option<Unpublished> = None;
        let publish = |event: &SessionEvent| match refused {
            // In order: what comes after one that was not taken waits as well.
            Some(_) => None,
            None => {
                let sent = self.bus.publish(To::Sessions(event.event.key().to_owned()), message(event));
                sent.inspect_err(|error| refused = Some(error.clone())).ok()
            }
        };
        let sent: Vec<_> = events.iter().map(publish).collect();
        let mut again = Vec::new();
        let mut sessions = HashSet::new();
        let mut confirmed = 0;
        for (event, sent) in events.into_iter().zip(sent) {
            let outcome = match sent {
                Some(sent) => sent.await,
                None => Err(Unpublished::Full),
            };
            match outcome {
                // A repeat, where a record of this session before it has to go out again: order counts for more.
                _ if sessions.contains(&event.session_id) => again.push(event),
                Ok(()) => confirmed += 1,
                Err(Unpublished::ShutDown) => return Err(ShutDown),
                Err(Unpublished::Refused(why)) => {
                    tracing::error!(event = event.event.key(), session = %event.session_id, %why, "not announced");
                    self.meters.session_events_dropped.get_or_create(&Refusal { reason: "refused" }).inc();
                }
                Err(Unpublished::Full | Unpublished::Returned) => {
                    sessions.insert(event.session_id);
                    again.push(event);
                }
            }
        }
        self.meters.session_events.inc_by(confirmed);
        let all = again.is_empty();
        let mut queue = self.queue.lock();
        let before = queue.len();
        let dropped = queue.put_back(again);
        self.count(before + took, queue.len(), dropped, "disowned");
        Ok(all)
    }
}

#[derive(Debug)]
struct ShutDown;

#[cfg(test)]
mod tests;
