//! What clients missed, read again out of a log: one reader for all who came back meanwhile.
//!
//! A pass begins at the oldest offset that anybody wants. Whoever's queue is full leaves the pass and comes to a later
//! one when there is room, so nobody waits for anybody.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::groups::concerns;
use super::judge::judge;
use super::slot::frame_of;
use super::{Desk, Touched};
use crate::bus::contract::{self, Address};
use crate::bus::{Log, Read, Record, Start};
use crate::session::{Delivery, Session, Stands};
use crate::shared::Shared;
use bannou_crds::catalog::EventInteraction;

/// Twice so long without a record, while the bus is well, and the rest counts as lost: what is asked for is known to be there.
const STALLED: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Queue {
    home: Waiting,
    groups: Waiting,
}

#[derive(Default)]
struct Waiting {
    jobs: Mutex<Vec<Job>>,
    more: Notify,
}

struct Job {
    session: Arc<Session>,
    /// The first offset that the client does not have.
    next: u64,
}

impl Queue {
    fn of(&self, stands: Stands) -> &Waiting {
        match stands {
            Stands::Home => &self.home,
            Stands::Groups => &self.groups,
        }
    }

    fn push(&self, stands: Stands, job: Job) {
        let waiting = self.of(stands);
        waiting.jobs.lock().push(job);
        waiting.more.notify_one();
    }
}

impl Desk {
    /// Brings a session what follows `next`, until it has caught up.
    pub fn replay(&self, session: &Arc<Session>, stands: Stands, next: u64) {
        self.replays.push(stands, Job { session: session.clone(), next });
    }
}

pub async fn run(shared: Arc<Shared>, stands: Stands) {
    let desk = &shared.desk;
    loop {
        desk.replays.of(stands).more.notified().await;
        loop {
            let jobs = std::mem::take(&mut *desk.replays.of(stands).jobs.lock());
            // Those who have caught up already have nothing to read.
            let jobs: Vec<Job> = jobs.into_iter().filter(|j| !j.session.replayed(stands, j.next)).collect();
            if jobs.is_empty() {
                break;
            }
            pass(&shared, stands, jobs).await;
        }
    }
}

async fn pass(shared: &Arc<Shared>, stands: Stands, jobs: Vec<Job>) {
    let desk = &shared.desk;
    let log = match stands {
        Stands::Home => Log::Slot(desk.bus.slot()),
        Stands::Groups => Log::Groups,
    };
    let from = jobs.iter().map(|j| j.next).min().unwrap_or(0);
    let mut jobs: HashMap<Uuid, Job> = jobs.into_iter().map(|j| (j.session.id(), j)).collect();
    let mut reader = desk.bus.read(log, Start::Offset(from));
    let mut stalled = 0;
    while !jobs.is_empty() {
        match tokio::time::timeout(STALLED, reader.next()).await {
            Ok(Some(Read::Record(record))) => {
                stalled = 0;
                one(shared, stands, &record, &mut jobs);
            }
            Ok(Some(Read::Gap { from, to })) => {
                for job in jobs.values_mut().filter(|j| j.next <= to) {
                    job.session.lost(stands, from.max(job.next), to);
                    job.next = to + 1;
                }
            }
            Ok(Some(Read::Remade | Read::Gone)) | Ok(None) => return give_up(stands, jobs),
            // An outage loses nothing: the reader goes on after it.
            Err(_) if !desk.bus.state().borrow().awaiting.is_empty() => stalled = 0,
            Err(_) if stalled == 0 => stalled = 1,
            Err(_) => {
                tracing::warn!(log = log.name(), "a replay brings nothing more");
                return give_up(stands, jobs);
            }
        }
        jobs.retain(|_, job| !job.session.replayed(stands, job.next));
    }
}

/// What can no longer be read is told as a gap.
fn give_up(stands: Stands, jobs: HashMap<Uuid, Job>) {
    for job in jobs.into_values() {
        job.session.replay_lost(stands);
    }
}

fn one(shared: &Arc<Shared>, stands: Stands, record: &Record, jobs: &mut HashMap<Uuid, Job>) {
    let desk = &shared.desk;
    let offset = record.offset;
    let wants = |job: &Job| job.next <= offset;
    let pass_on = |jobs: &mut HashMap<Uuid, Job>| {
        jobs.values_mut().filter(|j| wants(j)).for_each(|j| j.next = offset + 1);
    };
    let Ok(speech) = contract::parse(record, &desk.allow) else { return pass_on(jobs) };
    let snapshot = shared.snapshot.load_full();
    let Ok(event) = judge(&snapshot, &speech, desk.bus.user()) else { return pass_on(jobs) };
    let repeat = desk.repeats(shared, stands, record, &speech);
    if repeat {
        return pass_on(jobs);
    }
    let frame = frame_of(event, stands, offset, speech.body);
    let concerned: Vec<Uuid> = match &speech.to {
        Address::Client { session, .. } => jobs.contains_key(session).then_some(*session).into_iter().collect(),
        to => jobs.iter().filter(|(_, j)| concerns(&j.session, to)).map(|(id, _)| *id).collect(),
    };
    let mut touched = Touched::default();
    for id in concerned {
        let Some(job) = jobs.get_mut(&id).filter(|j| wants(j)) else { continue };
        let number = job.session.home_number(offset);
        // Nobody waits any more for the answer to a request that is not open.
        let over = event.interaction == EventInteraction::Request && !desk.is_open(id, number);
        if over {
            continue;
        }
        match job.session.replay(&frame) {
            Some(delivery) => {
                if stands == Stands::Home {
                    desk.settle(&job.session, number, delivery, &mut touched);
                } else if let Delivery::Queued(mark) = delivery {
                    touched.add(&job.session, u64::MAX, mark);
                }
            }
            None => {
                let Some(job) = jobs.remove(&id) else { continue };
                wait_for_room(shared.clone(), stands, job, speech.body.len());
            }
        }
    }
    touched.flush(desk);
    pass_on(jobs);
}

/// Comes back when the client has read what it has. At most one such task for each session that replays.
fn wait_for_room(shared: Arc<Shared>, stands: Stands, job: Job, len: usize) {
    crate::ws::Writer::flush(&job.session);
    tokio::spawn(async move {
        job.session.writer.room(len + 64).await;
        shared.desk.replays.push(stands, job);
    });
}
