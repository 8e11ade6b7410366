//! Closing one slot, step by step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::fates::{Fate, Fates};
use super::say::Say;
use super::{Closer, Stop};
use crate::bus::contract::{self, Address, Reply};
use crate::bus::records::{self, ControlRecord, SessionEvent, SessionEventKind, SlotRecord};
use crate::bus::{Log, Read, Reader, Record, Slot, Start, To};

/// In the `disconnected` of a session whose gateway is gone.
pub const REASON: &str = "gateway died";
/// Rounds in which sessions are closed that were first mentioned while others were.
const ROUNDS: u64 = 8;
/// For a request that names no deadline, and at most: where its session was taken over, it is answered there.
const DEADLINE: Duration = Duration::from_secs(30);
const LATEST_DEADLINE: Duration = Duration::from_secs(300);
/// Replies that wait for their time; those beyond are given at once.
const MOST_AWAITED: usize = 16_384;

impl Closer {
    /// Closes a slot, as far as that can be done now.
    pub(super) async fn close(self: Arc<Self>, slot: Slot) {
        tracing::info!(%slot, "closing what a dead gateway left");
        let mut fates = Fates::new(slot);
        let answered = self.answer_all(slot, &mut fates).await;
        let closed = match answered {
            Ok(()) | Err(Stop::LogGone) => self.forget(slot, &fates).await,
            Err(Stop::Abandoned) => answered,
        };
        match closed {
            Ok(()) => {
                self.meters.closed_slots.inc();
                tracing::info!(%slot, "closed");
            }
            Err(_) => {
                tracing::info!(%slot, "not closed: it lives, or the broker is out of reach");
                // Before it is begun anew.
                tokio::time::sleep(self.pace()).await;
            }
        }
    }

    /// From the first record to the end of the grace.
    async fn answer_all(&self, slot: Slot, fates: &mut Fates) -> Result<(), Stop> {
        let mut progress = Progress::new(self, slot);
        let marker = self.close_sessions(slot, fates, &mut progress).await?;
        let mut say = Say::new(self, slot);
        let mut awaited = Awaited::default();
        let mut reader = self.bus.read(Log::Slot(slot), Start::First);
        let mut until: Option<Instant> = None;
        loop {
            let now = Instant::now();
            for (reply, status) in awaited.due(now) {
                self.answer(&mut say, &reply, status).await?;
            }
            if until.is_some_and(|until| now >= until) && awaited.is_empty() {
                return say.settle().await;
            }
            progress.made().await?;
            // Woken for deadlines and to show that it is at work; every record is read as fast as it comes.
            let Ok(read) = tokio::time::timeout(self.pace(), reader.next()).await else {
                say.settle().await?;
                continue;
            };
            let record = match read {
                Some(Read::Record(record)) => record,
                Some(Read::Gap { .. }) => continue,
                Some(Read::Gone) => return say.settle().await.and(Err(Stop::LogGone)),
                Some(Read::Remade) | None => return Err(Stop::Abandoned),
            };
            if self.is_marker(slot, &record, marker) && until.is_none() {
                say.settle().await?;
                self.disconnect(slot, fates).await?;
                until = Some(Instant::now() + self.grace);
            }
            self.answer_record(slot, &record, fates, &mut say, &mut awaited).await?;
        }
    }

    /// Reads the log until it is decided for every session whose it is. Gives the marker at which it was.
    async fn close_sessions(&self, slot: Slot, fates: &mut Fates, progress: &mut Progress<'_>) -> Result<u64, Stop> {
        let mut say = Say::new(self, slot);
        let mut reader = self.bus.read(Log::Slot(slot), Start::First);
        let mut marker = self.mark(slot, &mut say).await?;
        let mut round = 1;
        for resident in self.directory.sessions_in(slot) {
            fates.resides(resident.session, resident.tag);
        }
        loop {
            let record = self.next(slot, &mut reader).await?;
            progress.made().await?;
            if let Some(known) = records::of::<SlotRecord>(&record, Log::Slot(slot), self.bus.user()) {
                fates.read(&known);
            } else if let Some(Address::Client { session, .. }) = Address::parse(&record.key) {
                fates.mention(session);
            }
            if !self.is_marker(slot, &record, marker) {
                continue;
            }
            let open = fates.open();
            if open.is_empty() || round == ROUNDS {
                say.settle().await?;
                return Ok(marker);
            }
            let by = self.bus.slot();
            for session in open {
                let closed = SlotRecord::Closed { session, by };
                say.publish(To::Log(Log::Slot(slot)), records::message(&closed)).await?;
                self.meters.closed_sessions.inc();
            }
            marker = self.mark(slot, &mut say).await?;
            round += 1;
        }
    }

    async fn mark(&self, slot: Slot, say: &mut Say<'_>) -> Result<u64, Stop> {
        let number = self.markers.fetch_add(1, Ordering::Relaxed) + 1;
        let marker = SlotRecord::Marker { by: self.bus.slot(), number };
        say.publish(To::Log(Log::Slot(slot)), records::message(&marker)).await?;
        say.settle().await?;
        Ok(number)
    }

    fn is_marker(&self, slot: Slot, record: &Record, number: u64) -> bool {
        let own = SlotRecord::Marker { by: self.bus.slot(), number };
        records::of(record, Log::Slot(slot), self.bus.user()).as_ref() == Some(&own)
    }

    async fn next(&self, slot: Slot, reader: &mut Reader) -> Result<Record, Stop> {
        loop {
            match self.while_dead(slot, reader.next()).await? {
                Some(Read::Record(record)) => return Ok(record),
                Some(Read::Gap { .. }) => {}
                Some(Read::Gone) => return Err(Stop::LogGone),
                Some(Read::Remade) | None => return Err(Stop::Abandoned),
            }
        }
    }

    /// Tells whoever asked that the client is gone; where another gateway has it, that the time is over when it is.
    /// What is not known for certain waits, and is not said where the slot turns out to live.
    async fn answer_record(
        &self,
        slot: Slot,
        record: &Record,
        fates: &Fates,
        say: &mut Say<'_>,
        awaited: &mut Awaited,
    ) -> Result<(), Stop> {
        if record.key == Log::Slot(slot).name() {
            return Ok(());
        }
        match contract::parse(record, &self.allow) {
            Ok(speech) => {
                let Some(reply) = speech.reply else { return Ok(()) };
                let fate = match speech.to {
                    Address::Client { session, .. } => fates.of(session),
                    _ => None,
                };
                let (within, status) = match fate {
                    Some(Fate::Closed) => return self.answer(say, &reply, 404).await,
                    Some(Fate::Taken) => {
                        let within = speech.timeout_ms.map_or(DEADLINE, Duration::from_millis);
                        (within.min(LATEST_DEADLINE), 408)
                    }
                    // Nobody's; or a new one's of a gateway that has just come back, which will be heard by then.
                    Some(Fate::Open) | None => (Duration::from_millis(self.beat.dead_after_ms), 404),
                };
                match awaited.add(Instant::now() + within, reply, status) {
                    None => Ok(()),
                    Some(reply) => self.answer(say, &reply, status).await,
                }
            }
            Err(malformed) => match malformed.reply {
                Some(reply) => self.answer(say, &reply, malformed.status).await,
                None => Ok(()),
            },
        }
    }

    async fn answer(&self, say: &mut Say<'_>, reply: &Reply, status: u16) -> Result<(), Stop> {
        self.meters.closed_answers.inc();
        say.publish(To::Queue(reply.to.clone()), reply.message(status, Bytes::new())).await
    }

    /// The end of each session that the directory knows in this slot and nobody took over.
    async fn disconnect(&self, slot: Slot, fates: &Fates) -> Result<(), Stop> {
        let mut say = Say::new(self, slot);
        for resident in self.directory.sessions_in(slot).into_iter().filter(|r| !fates.is_taken(r.session)) {
            let event = SessionEvent {
                event: SessionEventKind::Disconnected,
                session_id: resident.session,
                tag: resident.tag,
                client_id: format!("{slot}.{}.{}", resident.session, resident.tag),
                issuer: resident.issuer,
                subject: resident.subject,
                reason: Some(REASON.to_owned()),
            };
            say.publish(To::Sessions(event.event.key().to_owned()), records::message(&event)).await?;
        }
        say.settle().await
    }

    /// The last step: without its log nobody can come back to this slot.
    async fn forget(&self, slot: Slot, fates: &Fates) -> Result<(), Stop> {
        self.check(slot)?;
        self.while_dead(slot, self.bus.delete(slot)).await?.map_err(|_| Stop::Abandoned)?;
        // Whoever is left: announced late, or by a gateway that closed it before and did not come so far.
        self.disconnect(slot, fates).await?;
        let mut say = Say::new(self, slot);
        say.publish(To::Log(Log::Control), records::message(&ControlRecord::Deleted { slot })).await?;
        // Read back, the slot is no longer dead but gone: what is awaited is the confirmation or that.
        match say.settle().await {
            Err(Stop::Abandoned) if !self.alive.is_deleted(slot) => return Err(Stop::Abandoned),
            _ => {}
        }
        self.directory.forget(slot);
        Ok(())
    }

    /// How often a closer shows that it is at work: several times within what others wait for it.
    fn pace(&self) -> Duration {
        Duration::from_millis((self.beat.dead_after_ms / 4).max(1))
    }
}

/// Shows the others that a slot is being closed, as long as that gets on.
struct Progress<'a> {
    closer: &'a Closer,
    slot: Slot,
    number: u64,
    said: Option<Instant>,
}

impl<'a> Progress<'a> {
    fn new(closer: &'a Closer, slot: Slot) -> Progress<'a> {
        Progress { closer, slot, number: 0, said: None }
    }

    async fn made(&mut self) -> Result<(), Stop> {
        if self.said.is_some_and(|at| at.elapsed() < self.closer.pace()) {
            return Ok(());
        }
        self.said = Some(Instant::now());
        self.number += 1;
        let by = self.closer.bus.slot();
        let record = ControlRecord::Closing { slot: self.slot, by, number: self.number };
        let mut say = Say::new(self.closer, self.slot);
        say.publish(To::Log(Log::Control), records::message(&record)).await
    }
}

/// Who hears what, when it is time.
#[derive(Default)]
struct Awaited(BTreeMap<Instant, Vec<(Reply, u16)>>, usize);

impl Awaited {
    /// Gives it back where there is no room.
    fn add(&mut self, at: Instant, reply: Reply, status: u16) -> Option<Reply> {
        if self.1 >= MOST_AWAITED {
            return Some(reply);
        }
        self.1 += 1;
        self.0.entry(at).or_default().push((reply, status));
        None
    }

    fn due(&mut self, now: Instant) -> Vec<(Reply, u16)> {
        let mut due = Vec::new();
        while let Some(first) = self.0.first_entry().filter(|first| *first.key() <= now) {
            due.append(&mut first.remove());
        }
        self.1 -= due.len();
        due
    }

    fn is_empty(&self) -> bool {
        self.1 == 0
    }
}
