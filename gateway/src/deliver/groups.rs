//! `bannou.groups`: what services send to many; every gateway reads it, for its own clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::slot::{BATCH, frame_of};
use super::{Desk, NOTHING, Touched};
use crate::bus::contract::{Address, DELIVERED, Speech};
use crate::bus::records::{self, GroupsRecord};
use crate::bus::{Log, Message, Read, Record, Start, To, Value};
use crate::control::to_json;
use crate::session::{Delivery, EventFrame, Session, Stands, subject_of_key};
use crate::shared::Shared;
use crate::table::SHARDS;

/// Sessions that are written to before others get their turn on this thread.
const TURN: usize = 128;

pub async fn read(shared: Arc<Shared>) {
    let desk = &shared.desk;
    let mut reader = desk.bus.read(Log::Groups, Start::Next);
    let mut ask = tokio::time::interval(Duration::from_secs(1));
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            // Whether the reader is there shows when it brings what was written after it: asked until it does.
            _ = ask.tick(), if !desk.groups_ready.load(Ordering::Relaxed) => {
                let body = to_json(&GroupsRecord::Marker { by: desk.bus.slot(), number: 0 }).into();
                let _ = desk.bus.publish(To::Log(Log::Groups), Message { body, ..Message::default() });
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
                    desk.groups_begun.store(record.offset, Ordering::SeqCst);
                    desk.groups_record(&shared, &record, &mut touched).await;
                    desk.groups_head.store(record.offset, Ordering::Release);
                }
                Read::Gap { from, to } => {
                    tracing::warn!(from, to, "records of bannou.groups are gone");
                    desk.groups_head.store(to, Ordering::Release);
                    shared.table.each(|s| s.lost(Stands::Groups, from, to));
                }
                Read::Remade | Read::Gone => {
                    tracing::warn!("bannou.groups was made anew");
                    desk.groups_head.store(NOTHING, Ordering::Release);
                    desk.groups_begun.store(NOTHING, Ordering::SeqCst);
                    desk.groups_epoch.fetch_add(1, Ordering::SeqCst);
                    desk.forget_seen(Stands::Groups);
                    shared.table.each(|session| session.remade(Stands::Groups));
                    desk.each_away(|session| session.remade(Stands::Groups));
                }
            }
        }
        touched.flush(desk);
    }
}

impl Desk {
    async fn groups_record(&self, shared: &Arc<Shared>, record: &Record, touched: &mut Touched) {
        if record.key == Log::Groups.name() {
            match records::of::<GroupsRecord>(record, Log::Groups, self.bus.user()) {
                Some(GroupsRecord::Marker { by, .. }) if by == self.bus.slot() => {
                    self.groups_ready.store(true, Ordering::Relaxed);
                }
                Some(_) => {}
                None => shared.metrics.event_refused("no record of a gateway"),
            }
            return;
        }
        let snapshot = shared.snapshot.load_full();
        let Some((speech, event)) = self.hear(shared, &snapshot, Stands::Groups, record) else { return };
        if matches!(speech.to, Address::Group(_)) {
            shared.metrics.event_refused("groups are of a later version");
            return speech.reply.iter().for_each(|reply| self.tell(shared, reply, 501));
        }
        let frame = frame_of(event, Stands::Groups, record.offset, speech.body);
        let delivered = self.to_many(shared, &speech, &frame, touched).await;
        if let Some(reply) = &speech.reply {
            let mut message = reply.message(200, bytes::Bytes::new());
            message.headers.insert(DELIVERED.to_owned(), Value::Int(delivered));
            if self.say(reply, message).is_err() {
                shared.metrics.event_lost("reply not published");
            }
        }
    }

    /// How many have it in their queue.
    async fn to_many(
        &self,
        shared: &Arc<Shared>,
        speech: &Speech<'_>,
        frame: &EventFrame<'_>,
        touched: &mut Touched,
    ) -> i64 {
        let mut delivered = 0;
        let mut give = |session: &Arc<Session>, touched: &mut Touched| {
            if let Delivery::Queued(mark) = session.deliver(frame) {
                delivered += 1;
                // No exchange is open under a number of this log: the mark is nobody's.
                touched.add(session, u64::MAX, mark);
            }
        };
        match &speech.to {
            Address::Subject(hex) => {
                for session in shared.table.of_subject(subject_of_key(hex)) {
                    if session.is_of_subject(hex) {
                        give(&session, touched);
                    }
                }
            }
            Address::Client { .. } | Address::Group(_) => {}
            to @ (Address::All | Address::Tier(_)) => {
                for part in 0..SHARDS {
                    for sessions in shared.table.part(part).chunks(TURN) {
                        for session in sessions.iter().filter(|s| concerns(s, to)) {
                            give(session, touched);
                        }
                        if touched.len() >= TURN {
                            touched.flush(self);
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
        }
        delivered
    }
}

/// Whether what is sent to there is for this session.
pub(super) fn concerns(session: &Session, to: &Address) -> bool {
    match to {
        Address::All => true,
        Address::Tier(name) => session.holds_tier(name),
        Address::Subject(hex) => session.is_of_subject(hex),
        Address::Client { .. } | Address::Group(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::contract;

    #[test]
    fn a_subject_is_found_by_the_first_bytes_of_its_key() {
        let hex = contract::subject_key("https://id.example.com/", "42");
        assert_eq!(subject_of_key(&hex), 0x168e_4dd1_d33b_6d91);
    }
}
