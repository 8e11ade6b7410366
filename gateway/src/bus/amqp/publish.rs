//! What waits to be published, and to be confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::config::Limits;
use super::dial::Conn;
use super::fault::{Backoff, Fault, NOT_FOUND};
use super::link::{Declared, Link};
use super::message::{self, Parcel};
use super::metrics::AmqpMetrics;
use super::returns::{Outcome, Returns};
use super::{Shared, dial::Health};
use crate::bus::{Confirmed, Unpublished};

/// What was handed over and is not sent yet; counts what is sent and not confirmed, too.
pub struct Queue {
    inner: Mutex<Inner>,
    more: Notify,
    metrics: AmqpMetrics,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Entry>,
    count: usize,
    bytes: usize,
}

struct Entry {
    parcel: Parcel,
    done: oneshot::Sender<Result<(), Unpublished>>,
    /// How often the broker said that it could not take it.
    refused: u32,
}

/// Refusals by a broker that is busy with itself, [`TICK`] apart, before it is believed.
const REFUSALS: u32 = 60;
/// How long a declaration is waited for. With one log that cannot be had the others are still worth publishing to.
const DECLARES: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(250);
/// From when on a confirmation that does not come is told.
const TELL: Duration = Duration::from_secs(5);

impl Queue {
    pub fn new(metrics: AmqpMetrics) -> Queue {
        Queue { inner: Mutex::default(), more: Notify::new(), metrics }
    }

    /// # Errors
    /// [`Unpublished::Full`].
    pub fn push(&self, parcel: Parcel, limits: &Limits) -> Result<Confirmed, Unpublished> {
        let (done, confirmed) = oneshot::channel();
        let size = parcel.size();
        {
            let mut inner = self.inner.lock();
            if inner.count >= limits.unconfirmed || inner.bytes + size > limits.unconfirmed_bytes {
                self.metrics.unpublished(Unpublished::Full.reason());
                return Err(Unpublished::Full);
            }
            inner.count += 1;
            inner.bytes += size;
            inner.waiting.push_back(Entry { parcel, done, refused: 0 });
        }
        self.metrics.unconfirmed.inc();
        self.metrics.unconfirmed_bytes.inc_by(i64::try_from(size).unwrap_or(i64::MAX));
        self.more.notify_one();
        Ok(Confirmed(confirmed))
    }

    fn pop(&self) -> Option<Entry> {
        self.inner.lock().waiting.pop_front()
    }

    fn finish(&self, entry: Entry, result: Result<(), Unpublished>) {
        let size = entry.parcel.size();
        {
            let mut inner = self.inner.lock();
            inner.count -= 1;
            inner.bytes -= size;
        }
        self.metrics.unconfirmed.dec();
        self.metrics.unconfirmed_bytes.dec_by(i64::try_from(size).unwrap_or(i64::MAX));
        match &result {
            Ok(()) => drop(self.metrics.confirmed.inc()),
            Err(error) => self.metrics.unpublished(error.reason()),
        }
        // Who asked may have gone.
        let _ = entry.done.send(result);
    }
}

/// Publishes what is in the queue, over every outage.
pub async fn run(shared: Arc<Shared>, mut link: Link) {
    let mut kept = Kept::default();
    let mut backoff = Backoff::new(shared.dialer.config.timeouts.retry);
    let mut declared = shared.declared.subscribe();
    while let Some(conn) = link.get().await {
        // What is not declared, or not loaded by a node that starts, would come back as if nobody wanted it.
        let there = declared.wait_for(|declared| *declared != Declared::NotYet);
        tokio::select! {
            _ = tokio::time::timeout(DECLARES, there) => {}
            fault = conn.ended() => tracing::debug!(%fault, "gone before anything was published"),
        }
        let since = Instant::now();
        let fault = match open(&conn).await {
            Ok(channel) => {
                let session = Session::new(&shared, &conn, channel, std::mem::take(&mut kept));
                let (rest, fault) = session.run().await;
                kept = rest;
                fault
            }
            Err(fault) => fault,
        };
        shared.status.well(BLOCKED);
        shared.status.well(CONFIRMING);
        if fault.of_the_channel() {
            shared.status.awaits(PUBLISHING, format!("publishing: {fault}"));
            if matches!(fault, Fault::Refused { code: NOT_FOUND, .. }) {
                shared.declare_again.notify_one();
            }
        } else {
            // This connection has no other use. (Its own word for it says more, where it has one.)
            conn.condemn(fault);
        }
        if since.elapsed() > TELL {
            backoff.reset();
        }
        backoff.wait().await;
    }
}

const PUBLISHING: &str = "publishes";
const BLOCKED: &str = "blocked";
const CONFIRMING: &str = "confirmations";

async fn open(conn: &Conn) -> Result<Channel, Fault> {
    let channel = conn.channel().await?;
    conn.call("confirm.select", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// What one channel left unconfirmed, for the next one.
#[derive(Default)]
struct Kept {
    /// In the order of publishing.
    entries: VecDeque<Entry>,
    /// The broker closed a channel because of one of the first this many: they go one by one, so that it shows which one.
    suspects: usize,
}

type Answer = (u64, lapin::Result<Confirmation>);

/// One channel, from its first message to its end.
struct Session<'a> {
    shared: &'a Shared,
    conn: &'a Conn,
    channel: Channel,
    kept: Kept,
    /// Refused for now, and sent again with the next tick.
    later: Vec<Entry>,
    sent: BTreeMap<u64, (Entry, Instant)>,
    answers: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    returns: Returns,
    number: u64,
    /// Since when it takes publishes; `None` while it does not.
    open_since: Option<Instant>,
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, conn: &'a Conn, channel: Channel, kept: Kept) -> Session<'a> {
        Session {
            shared,
            conn,
            channel,
            kept,
            later: Vec::new(),
            sent: BTreeMap::new(),
            answers: FuturesUnordered::new(),
            returns: Returns::default(),
            number: 0,
            open_since: Some(Instant::now()),
        }
    }

    /// Ends with what is not confirmed, and why.
    async fn run(mut self) -> (Kept, Fault) {
        let fault = self.publish().await;
        let unconfirmed = self.sent.len();
        self.shared.metrics.resent.inc_by(unconfirmed as u64);
        let mut entries: VecDeque<Entry> =
            std::mem::take(&mut self.sent).into_values().map(|(entry, _)| entry).collect();
        entries.append(&mut self.later.into());
        let mut suspects = self.kept.suspects;
        if fault.of_the_channel() {
            // With one alone on its way it is clear whose fault it is, unless it is nobody's: an exchange that is gone.
            let alone = suspects > 0 && unconfirmed == 1;
            if alone && !matches!(fault, Fault::Refused { code: NOT_FOUND, .. }) {
                if let Some(entry) = entries.pop_front() {
                    tracing::warn!(exchange = %entry.parcel.exchange, key = %entry.parcel.key, %fault, "a message was refused");
                    self.shared.queue.finish(entry, Err(Unpublished::Refused(fault.to_string())));
                }
                suspects -= 1;
            } else {
                suspects = suspects.max(entries.len());
            }
        }
        entries.append(&mut self.kept.entries);
        (Kept { entries, suspects }, fault)
    }

    async fn publish(&mut self) -> Fault {
        let mut health = self.conn.health();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now = health.borrow_and_update().clone();
            if let Some(fault) = self.look(now) {
                return fault;
            }
            if let Err(fault) = self.send().await {
                return fault;
            }
            tokio::select! {
                Some(answer) = self.answers.next() => {
                    if let Err(fault) = self.answered(answer) {
                        return fault;
                    }
                }
                () = self.shared.queue.more.notified() => {}
                _ = health.changed() => {}
                _ = tick.tick() => if let Some(fault) = self.tick() {
                    return fault;
                },
            }
        }
    }

    /// At the connection: it may have ended, or take no publishes for now.
    fn look(&mut self, health: Health) -> Option<Fault> {
        if let Some(why) = health.blocked {
            self.open_since = None;
            self.shared.status.awaits(BLOCKED, format!("the broker accepts no publishes: {why}"));
        } else if self.open_since.is_none() {
            self.open_since = Some(Instant::now());
            self.shared.status.well(BLOCKED);
        }
        health.ended
    }

    /// All that may be sent now.
    async fn send(&mut self) -> Result<(), Fault> {
        while self.open_since.is_some() && (self.kept.suspects == 0 || self.sent.is_empty()) {
            let Some(entry) = self.kept.entries.pop_front().or_else(|| self.shared.queue.pop()) else { break };
            self.number += 1;
            let number = self.number;
            let mut answer = self.call(number, &entry.parcel);
            self.sent.insert(number, (entry, Instant::now()));
            // The first poll puts it into lapin's own queue: that makes the order. The second one waits for the answer.
            match std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
                Poll::Pending => self.answers.push(answer),
                Poll::Ready(answer) => self.answered(answer)?,
            }
        }
        Ok(())
    }

    fn call(&self, number: u64, parcel: &Parcel) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let (channel, properties) = (self.channel.clone(), parcel.numbered(number));
        let (exchange, key, body) = (parcel.exchange.clone(), parcel.key.clone(), parcel.body.clone());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        Box::pin(async move {
            let publish = async { channel.basic_publish(exchange, key, options, &body, properties).await?.await };
            (number, publish.await)
        })
    }

    /// Takes this answer and all others that are there: see [`Returns::settle`].
    fn answered(&mut self, first: Answer) -> Result<(), Fault> {
        let mut next = Some(first);
        let mut broken = None;
        while let Some((number, answer)) = next {
            let with = |message: Option<lapin::message::BasicReturnMessage>| {
                message.and_then(|message| message::number(&message.properties))
            };
            match answer {
                Ok(Confirmation::Ack(message)) => self.returns.confirmed(number, with(message)),
                Ok(Confirmation::Nack(message)) => {
                    self.returns.refused(with(message));
                    self.refused(number);
                }
                Ok(Confirmation::NotRequested) => broken = Some(Fault::Broken("no confirmations".to_owned())),
                Err(error) => broken = Some(error.into()),
            }
            next = self.answers.next().now_or_never().flatten();
        }
        for (number, outcome) in self.returns.settle(self.answers.is_empty()) {
            if let Some((entry, _)) = self.sent.remove(&number) {
                self.settled(entry, outcome);
            }
        }
        broken.map_or(Ok(()), Err)
    }

    fn settled(&mut self, entry: Entry, outcome: Outcome) {
        self.kept.suspects = self.kept.suspects.saturating_sub(1);
        self.shared.status.well(PUBLISHING);
        let result = match outcome {
            Outcome::Taken => Ok(()),
            Outcome::Returned if entry.parcel.reply => {
                tracing::debug!(queue = %entry.parcel.key, "an answer was lost: its queue is gone");
                self.shared.metrics.lost_replies.inc();
                Ok(())
            }
            Outcome::Returned => Err(Unpublished::Returned),
        };
        self.shared.queue.finish(entry, result);
    }

    /// The broker could not store it.
    fn refused(&mut self, number: u64) {
        let Some((mut entry, _)) = self.sent.remove(&number) else { return };
        entry.refused += 1;
        if entry.parcel.reply || entry.refused > REFUSALS {
            self.kept.suspects = self.kept.suspects.saturating_sub(1);
            self.shared.queue.finish(entry, Err(Unpublished::Refused("the broker could not store it".to_owned())));
        } else {
            self.later.push(entry);
        }
    }

    fn tick(&mut self) -> Option<Fault> {
        for entry in self.later.drain(..) {
            self.shared.metrics.resent.inc();
            self.kept.entries.push_back(entry);
        }
        let waited = match (self.sent.first_key_value(), self.open_since) {
            (Some((_, (_, sent))), Some(open)) => sent.elapsed().min(open.elapsed()),
            _ => Duration::ZERO,
        };
        if waited > TELL {
            let line = format!("the broker's confirmation of {} messages", self.sent.len());
            self.shared.status.awaits(CONFIRMING, line);
        } else {
            self.shared.status.well(CONFIRMING);
        }
        (waited > self.shared.dialer.config.timeouts.confirm).then_some(Fault::Slow("a publish"))
    }
}
