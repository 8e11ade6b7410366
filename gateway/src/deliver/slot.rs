//! The log of this gateway: what is addressed to its clients, and what the order of the log decides about them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::judge::timeout_ms;
use super::{Desk, NOTHING, Takeover, Touched};
use crate::bus::contract::{Address, Speech};
use crate::bus::records::{self, SlotRecord};
use crate::bus::{Log, Read, Record, Slot, Start};
use crate::session::{EventFrame, Stands};
use crate::shared::Shared;
use bannou_crds::catalog::{Event, EventInteraction};

/// Records that are dealt with before those who were written to are flushed.
pub(super) const BATCH: usize = 256;

pub async fn read(shared: Arc<Shared>) {
    let desk = &shared.desk;
    let own = desk.bus.slot();
    let mut reader = desk.bus.read(Log::Slot(own), Start::First);
    // Number 0 is owed by nobody: that it comes back says that the log can be written and is read to its end.
    let first = SlotRecord::Marker { by: own, number: 0 };
    let mut ask = tokio::time::interval(Duration::from_secs(1));
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            // Again until it does: a broker that has not made the log yet gives the first one back.
            _ = ask.tick(), if !desk.slot_ready.load(Ordering::Relaxed) => {
                let _ = desk.append(&first);
                continue;
            }
        };
        let Some(read) = read else { return };
        let mut touched = Touched::default();
        let mut next = Some(read);
        for _ in 0..BATCH {
            let Some(read) = next.take().or_else(|| reader.0.try_recv().ok()) else { break };
            match read {
                Read::Record(record) => {
                    desk.slot_begun.store(record.offset, Ordering::SeqCst);
                    desk.slot_record(&shared, &record, &mut touched);
                    desk.slot_head.store(record.offset, Ordering::Release);
                }
                Read::Gap { from, to } => {
                    tracing::warn!(from, to, "records of this gateway's log are gone");
                    desk.slot_head.store(to, Ordering::Release);
                    shared.table.each(|s| s.lost(Stands::Home, from, to));
                }
                Read::Remade | Read::Gone => {
                    tracing::warn!("the log of this gateway was made anew");
                    desk.slot_remade(&shared);
                }
            }
        }
        touched.flush(desk);
    }
}

/// Whenever others may have taken this gateway for dead, it reads its log up to now before it says anything of it.
pub async fn follow_standing(shared: Arc<Shared>) {
    let desk = &shared.desk;
    let mut standing = desk.alive.standing();
    loop {
        let now = *standing.borrow_and_update();
        if now.deposed {
            tracing::error!("another gateway has closed this one's log: all its sessions are over");
            desk.depose(&shared);
        } else if now.epoch > 0 {
            desk.renew(now.epoch);
        }
        if standing.changed().await.is_err() {
            return;
        }
    }
}

impl Desk {
    fn slot_record(&self, shared: &Arc<Shared>, record: &Record, touched: &mut Touched) {
        let own = self.bus.slot();
        let log = Log::Slot(own);
        if record.key == log.name() {
            match records::of::<SlotRecord>(record, log, self.bus.user()) {
                Some(known) => self.obey(shared, known, record.offset),
                None => shared.metrics.event_refused("no record of a gateway"),
            }
            return;
        }
        let snapshot = shared.snapshot.load_full();
        let Some((speech, event)) = self.hear(shared, &snapshot, Stands::Home, record) else { return };
        if let Address::Client { slot, session, .. } = &speech.to
            && *slot == own
        {
            self.to_client(shared, &speech, *session, event, record.offset, touched);
        }
    }

    fn to_client(
        &self,
        shared: &Arc<Shared>,
        speech: &Speech<'_>,
        id: Uuid,
        event: &Event,
        offset: u64,
        touched: &mut Touched,
    ) {
        let Some(session) = self.whereabouts(shared, id) else {
            shared.metrics.event_refused("client gone");
            if let Some(reply) = speech.reply.clone() {
                self.owe(shared, id, reply, 404);
            }
            return;
        };
        let number = session.home_number(offset);
        let request = event.interaction == EventInteraction::Request;
        let wait_ms = request.then(|| timeout_ms(event, speech));
        if !self.open(shared, speech, (id, number), event.target, wait_ms) {
            return;
        }
        let frame = frame_of(event, Stands::Home, offset, speech.body);
        let delivery = session.deliver(&frame);
        self.settle(&session, number, delivery, touched);
    }

    /// What the order of the log decides.
    fn obey(&self, shared: &Arc<Shared>, record: SlotRecord, offset: u64) {
        let own = self.bus.slot();
        match record {
            SlotRecord::Marker { by, number: 0 } if by == own => self.slot_ready.store(true, Ordering::Relaxed),
            SlotRecord::Marker { by, number } if by == own => self.marker_came(shared, number),
            SlotRecord::Marker { .. } | SlotRecord::Settled { .. } => {}
            SlotRecord::Takeover { session, tag, slot, id } => self.taken(shared, session, tag, slot, id, offset),
            SlotRecord::Closed { session, by } if by == own => self.closed(shared, session),
            SlotRecord::Closed { session, .. } => self.gone_elsewhere(shared, session, false),
        }
    }

    /// The first takeover in the log wins its tag; of takeover and `closed`, the first one.
    fn taken(&self, shared: &Arc<Shared>, session: Uuid, tag: u8, slot: Slot, id: Uuid, offset: u64) {
        let asked = self.takeovers.lock().remove(&id);
        let tell = |what: Takeover| asked.map(|asked| asked.send(what));
        let holder = self.whereabouts(shared, session);
        let Some(holder) = holder.filter(|h| h.home().0.checked_add(1) == Some(tag)) else {
            tell(Takeover::Lost);
            return;
        };
        if slot != self.bus.slot() {
            return self.gone_elsewhere(shared, session, true);
        }
        // Whoever asked may be gone by now; the session waits for the next one.
        let until = shared.now_ms() + shared.snapshot.load().catalog.fleet.resume_window_ms;
        self.left(&holder, until, "connection lost");
        match holder.fence(offset) {
            Some(tag) => drop(tell(Takeover::Won { holder, tag, offset })),
            None => drop(tell(Takeover::Lost)),
        }
    }

    fn slot_remade(&self, shared: &Arc<Shared>) {
        self.slot_head.store(NOTHING, Ordering::Release);
        self.slot_begun.store(NOTHING, Ordering::SeqCst);
        self.forget_seen(Stands::Home);
        // Nobody's turn was decided: whoever asks again finds the new log.
        self.takeovers.lock().clear();
        self.closing_lost();
        shared.table.each(|session| session.remade(Stands::Home));
        self.each_away(|session| session.remade(Stands::Home));
        self.marker_lost();
    }
}

/// What a session is given of an event.
pub(super) fn frame_of<'a>(event: &Event, stands: Stands, offset: u64, body: &'a bytes::Bytes) -> EventFrame<'a> {
    EventFrame {
        target: event.target,
        request: event.interaction == EventInteraction::Request,
        on_overflow: event.on_overflow,
        stands,
        offset,
        body,
    }
}
