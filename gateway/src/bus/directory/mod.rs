//! Where every session of the fleet lives, and whose it is, from the log of session events.
//!
//! It is whole when a marker of this gateway comes back that was written straight into the log: past the exchange, so
//! that services bound to it never see one, and without an `event`, so that those who read the stream skip it. An own
//! session event would do as well, but a gateway without clients has none to send.
//!
//! A log is kept for a while, a session may last longer: each gateway says again, the same way, who is still there.

mod index;
mod intern;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::meters::Meters;
use super::records::{self, Presence, SessionEvent, SessionsRecord};
use super::{Bus, Confirmed, Log, Read, Record, Slot, Start, To, Unpublished};
use index::Index;

/// Sessions of a fleet that a directory holds.
pub const MOST_SESSIONS: usize = 4_000_000;
/// How often it is said who is still there: well within what logs are kept for, a quarter of an hour.
const STILL_THERE: Duration = Duration::from_secs(300);
/// Sessions in one record.
const AT_ONCE: usize = 256;
/// Before a marker that was not taken is sent again.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Directory {
    bus: Arc<dyn Bus>,
    index: RwLock<Index>,
    progress: watch::Sender<Progress>,
    /// The log was made anew: nothing in it says who is there.
    remade: Notify,
    meters: Meters,
}

/// How far the log of session events has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All that was there when this gateway started has been read.
    pub whole: bool,
    /// How often the log was made anew: what was in it is lost, and who starts later knows only what is announced again.
    pub remade: u64,
}

impl Directory {
    pub fn new(bus: Arc<dyn Bus>, bound: usize, meters: Meters) -> Arc<Directory> {
        let index = RwLock::new(Index::new(bound));
        Arc::new(Directory { bus, index, progress: watch::Sender::default(), remade: Notify::new(), meters })
    }

    /// Reads session events, and says who is still there, until the bus is shut down.
    pub async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.follow() => {}
            () = self.say_who_is_there() => {}
        }
    }

    async fn say_who_is_there(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(STILL_THERE) => {}
                () = self.remade.notified() => {}
            }
            let slot = self.bus.slot();
            for sessions in self.sessions_in(slot).chunks(AT_ONCE) {
                loop {
                    // Asked once more: who has left meanwhile must not follow its own end.
                    let here = |there: &&Presence| self.home(there.session) == Some((slot, there.tag));
                    let sessions = sessions.iter().filter(here).cloned().collect();
                    let record = records::message(&SessionsRecord::Present { by: slot, sessions });
                    let taken = match self.bus.publish(To::Log(Log::Sessions), record) {
                        Ok(sent) => sent.await,
                        Err(error) => Err(error),
                    };
                    match taken {
                        Ok(()) => break,
                        Err(Unpublished::ShutDown) => return,
                        Err(error) => tracing::warn!(%error, "not said who is still there: once more"),
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn follow(&self) {
        let mut reader = self.bus.read(Log::Sessions, Start::First);
        let mut marker = self.mark(1);
        let mut number = 1;
        loop {
            let read = tokio::select! {
                read = reader.next() => read,
                taken = taken(&mut marker), if !self.progress.borrow().whole => {
                    if taken {
                        // It comes back, or the log is made anew.
                        marker = Marker::Sent;
                    } else {
                        number += 1;
                        marker = self.mark(number);
                    }
                    continue;
                }
            };
            match read {
                Some(Read::Record(record)) => self.read(&record, number),
                Some(Read::Gap { from, to }) => tracing::info!(from, to, "session events are gone"),
                Some(Read::Remade) => {
                    tracing::warn!("the log of session events was made anew");
                    self.progress.send_modify(|p| p.remade += 1);
                    self.remade.notify_one();
                    number += 1;
                    marker = self.mark(number);
                }
                Some(Read::Gone) | None => return,
            }
        }
    }

    fn mark(&self, number: u64) -> Marker {
        let marker = SessionsRecord::Marker { by: self.bus.slot(), number };
        match self.bus.publish(To::Log(Log::Sessions), records::message(&marker)) {
            Ok(sent) => Marker::Under(sent),
            Err(error) => {
                tracing::warn!(%error, "no marker is sent to the log of session events");
                Marker::Refused
            }
        }
    }

    fn read(&self, record: &Record, number: u64) {
        if let Some(known) = records::of::<SessionsRecord>(record, Log::Sessions, self.bus.user()) {
            return match known {
                SessionsRecord::Marker { by, number: n } if by == self.bus.slot() && n == number => {
                    self.progress.send_modify(|p| p.whole = true);
                    tracing::info!(sessions = self.len(), "the directory is whole");
                }
                SessionsRecord::Marker { .. } => {}
                SessionsRecord::Present { by, sessions } => self.learn(|index| index.present(by, &sessions)),
            };
        }
        let by_a_gateway = record.message.user_id.as_deref() == Some(self.bus.user());
        let Some(event) = by_a_gateway.then(|| serde_json::from_slice::<SessionEvent>(&record.message.body).ok())
        else {
            return;
        };
        let Some(event) = event.filter(|e| record.key == e.event.key()) else { return };
        self.learn(|index| index.apply(&event));
    }

    fn learn(&self, what: impl FnOnce(&mut Index) -> bool) {
        let mut index = self.index.write();
        if !what(&mut index) {
            self.meters.directory_full.inc();
        }
        self.meters.directory_sessions.set(index.len() as i64);
        self.meters.directory_subjects.set(index.subjects() as i64);
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub fn is_ready(&self) -> bool {
        self.progress.borrow().whole
    }

    /// Returns when all that was in the log at the start has been read.
    pub async fn ready(&self) {
        let _ = self.progress.subscribe().wait_for(|p| p.whole).await;
    }

    pub fn len(&self) -> usize {
        self.index.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The `client_id` of each session of a subject, in no order.
    pub fn sessions_of(&self, issuer: &str, subject: &str) -> Vec<String> {
        self.index.read().of_subject(issuer, subject)
    }

    /// Where a session lives now, and under which tag.
    pub fn home(&self, session: Uuid) -> Option<(Slot, u8)> {
        self.index.read().home(session)
    }

    /// Who lives in a slot. Looks at every session of the fleet.
    pub fn sessions_in(&self, slot: Slot) -> Vec<Presence> {
        self.index.read().in_slot(slot)
    }

    /// Takes out who is left of a slot whose log is deleted; gives how many that were.
    pub fn forget(&self, slot: Slot) -> usize {
        let mut index = self.index.write();
        let gone = index.forget(slot);
        self.meters.directory_sessions.set(index.len() as i64);
        self.meters.directory_subjects.set(index.subjects() as i64);
        gone
    }
}

enum Marker {
    Under(Confirmed),
    Refused,
    Sent,
}

/// Whether the marker is in the log; does not return once it is known to be.
async fn taken(marker: &mut Marker) -> bool {
    match marker {
        Marker::Under(sent) => match sent.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a marker to the log of session events was not taken");
                *marker = Marker::Refused;
                tokio::time::sleep(AGAIN).await;
                false
            }
        },
        Marker::Refused => {
            tokio::time::sleep(AGAIN).await;
            false
        }
        Marker::Sent => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
