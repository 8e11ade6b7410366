//! The bus inside the process, of `bannou dev` and of tests: the same contract as RabbitMQ's, without a broker.
//!
//! A [`LocalBroker`] is shared by everybody in the process: gateways by [`LocalBroker::bus`] (several slots are several
//! gateways), services by [`LocalBroker::publish_as`] and [`LocalBroker::mailbox`].

mod read;
mod ring;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::records::GroupsRecord;
use super::{Bus, Confirmed, Log, Message, Reader, Slot, Start, State, To, Unpublished};
pub use ring::Retention;
use ring::Ring;

/// What waits in a queue of replies; what does not fit is lost.
const MAILBOX: usize = 1024;
/// Session events that are kept: every connect makes one, and whoever reads them here lives no longer than the broker.
const SESSION_EVENTS: usize = 1024;
/// Before the slot of a gateway, the name of its queue of replies.
const REPLIES: &str = "bannou.reply.";

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub retention: Retention,
    /// Messages that may wait for a broker that is cut off.
    pub unconfirmed: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { retention: Retention { messages: 100_000, bytes: 64 << 20 }, unconfirmed: 10_000 }
    }
}

/// The broker. Clones are the same one.
#[derive(Clone)]
pub struct LocalBroker(Arc<Broker>);

struct Broker {
    limits: Limits,
    logs: Mutex<HashMap<Log, Arc<Stream>>>,
    mailboxes: Mutex<HashMap<String, mpsc::Sender<Message>>>,
    gateways: Mutex<HashMap<Slot, Weak<Local>>>,
}

/// A log from its declaration to its deletion.
struct Stream {
    ring: Mutex<Ring>,
    /// Where the log ends; `None` once it is deleted.
    end: watch::Sender<Option<u64>>,
}

impl Stream {
    fn push(&self, key: String, message: Message) {
        // The end is told under the lock: told in another order it would go back.
        let mut ring = self.ring.lock();
        ring.push(key, message);
        self.end.send_replace(Some(ring.next()));
    }
}

impl Default for LocalBroker {
    fn default() -> LocalBroker {
        LocalBroker::new(Limits::default())
    }
}

impl LocalBroker {
    pub fn new(limits: Limits) -> LocalBroker {
        LocalBroker(Arc::new(Broker {
            limits,
            logs: Mutex::default(),
            mailboxes: Mutex::default(),
            gateways: Mutex::default(),
        }))
    }

    /// The bus of one gateway. It ends when it is dropped: its log stays until somebody deletes it.
    pub fn bus(&self, slot: Slot, user: &str) -> Arc<dyn Bus> {
        let reply_to = format!("{REPLIES}{slot}");
        let replies = self.mailbox(&reply_to);
        let local = Arc::new(Local {
            broker: self.0.clone(),
            slot,
            user: user.to_owned(),
            reply_to,
            replies: Mutex::new(Some(replies)),
            waiting: Mutex::new(None),
            cut_off: watch::Sender::new(false),
            state: watch::Sender::default(),
        });
        for log in [Log::Slot(slot), Log::Groups, Log::Control, Log::Sessions] {
            self.0.declare(log, &local);
        }
        let mut gateways = self.0.gateways.lock();
        gateways.retain(|_, gateway| gateway.strong_count() > 0);
        gateways.insert(slot, Arc::downgrade(&local));
        drop(gateways);
        local
    }

    /// Publishes on `bannou.clients`, as a service of this process that is `user`.
    ///
    /// # Errors
    /// [`Unpublished::Returned`] where no log takes it.
    pub fn publish_as(&self, user: &str, key: &str, message: Message) -> Result<(), Unpublished> {
        self.0.put(To::Clients(key.to_owned()), Message { user_id: Some(user.to_owned()), ..message })
    }

    /// A queue for replies, of this name; gone when it is dropped. A later one of the same name takes its place.
    pub fn mailbox(&self, name: &str) -> mpsc::Receiver<Message> {
        let (sender, receiver) = mpsc::channel(MAILBOX);
        let mut mailboxes = self.0.mailboxes.lock();
        mailboxes.retain(|_, sender| !sender.is_closed());
        mailboxes.insert(name.to_owned(), sender);
        receiver
    }

    /// A fault for tests: this gateway does not reach the broker any more. What it publishes waits, what is in logs
    /// stays there, replies to it are lost.
    pub fn cut_off(&self, slot: Slot) {
        if let Some(local) = self.0.gateway(slot) {
            local.waiting.lock().get_or_insert_default();
            local.cut_off.send_replace(true);
            local.state.send_replace(State { awaiting: vec!["the in-process broker: it was cut off".to_owned()] });
        }
    }

    /// The end of [`LocalBroker::cut_off`].
    pub fn restore(&self, slot: Slot) {
        if let Some(local) = self.0.gateway(slot) {
            let mut waiting = local.waiting.lock();
            local.cut_off.send_replace(false);
            // Under the lock: what is published meanwhile comes after.
            for (what, confirm) in waiting.take().into_iter().flatten() {
                let _ = confirm.send(self.0.perform(what));
            }
            local.state.send_replace(State::default());
        }
    }

    /// A fault for tests: the broker loses a log with all that is in it. Its gateway, if it lives, makes it anew.
    pub fn lose(&self, log: Log) {
        self.0.remove(log, true);
    }
}

impl Broker {
    fn gateway(&self, slot: Slot) -> Option<Arc<Local>> {
        self.gateways.lock().get(&slot)?.upgrade()
    }

    fn stream(&self, log: Log) -> Option<Arc<Stream>> {
        self.logs.lock().get(&log).cloned()
    }

    fn declare(&self, log: Log, owner: &Local) {
        self.logs.lock().entry(log).or_insert_with(|| self.fresh(log, owner));
    }

    fn fresh(&self, log: Log, owner: &Local) -> Arc<Stream> {
        let mut retention = self.limits.retention;
        if log == Log::Sessions {
            retention.messages = retention.messages.min(SESSION_EVENTS);
        }
        let mut ring = Ring::new(retention);
        if log == Log::Groups {
            let marker = GroupsRecord::Marker { by: owner.slot, number: 0 };
            let body = serde_json::to_vec(&marker).expect("a record is JSON").into();
            ring.push(log.name(), Message { body, user_id: Some(owner.user.clone()), ..Message::default() });
        }
        let end = watch::Sender::new(Some(ring.next()));
        Arc::new(Stream { ring: Mutex::new(ring), end })
    }

    /// Deletes a log. Its owner, when it lives, makes it anew where that is `wanted`.
    fn remove(&self, log: Log, wanted: bool) {
        let living = || self.gateways.lock().values().find_map(Weak::upgrade);
        let owner = if let Log::Slot(slot) = log { self.gateway(slot) } else { living() };
        let mut logs = self.logs.lock();
        let old = logs.remove(&log);
        if old.is_some()
            && let Some(owner) = owner.filter(|_| wanted)
        {
            logs.insert(log, self.fresh(log, &owner));
        }
        // Readers look for the new one after they are told, so it must be there by then.
        drop(logs);
        if let Some(old) = old {
            old.end.send_replace(None);
        }
    }

    fn perform(&self, what: What) -> Result<(), Unpublished> {
        match what {
            What::Publish(to, message) => self.put(to, message),
            What::Delete { slot, by } => {
                self.remove(Log::Slot(slot), by != slot);
                Ok(())
            }
        }
    }

    fn put(&self, to: To, mut message: Message) -> Result<(), Unpublished> {
        message.headers = std::mem::take(&mut message.headers).into_iter().filter(ours).collect::<BTreeMap<_, _>>();
        let (log, key) = match to {
            To::Queue(name) => {
                let slot = name.strip_prefix(REPLIES).and_then(|slot| slot.parse().ok());
                let cut_off = slot.and_then(|slot| self.gateway(slot)).is_some_and(|g| *g.cut_off.borrow());
                let mailbox = self.mailboxes.lock().get(&name).cloned().filter(|_| !cut_off);
                if mailbox.is_none_or(|mailbox| mailbox.try_send(message).is_err()) {
                    tracing::debug!(queue = name, "a reply is lost: its queue is gone or full");
                }
                return Ok(());
            }
            To::Clients(key) => (bound(&key).ok_or(Unpublished::Returned)?, key),
            To::Sessions(key) => (Log::Sessions, key),
            To::Log(log) => (log, log.name()),
        };
        self.stream(log).ok_or(Unpublished::Returned)?.push(key, message);
        Ok(())
    }
}

fn ours((name, _): &(String, super::Value)) -> bool {
    name.starts_with("bannou-")
}

/// The log that takes this routing key of `bannou.clients`.
fn bound(key: &str) -> Option<Log> {
    match key.split('.').next()? {
        "all" => (key == "all").then_some(Log::Groups),
        "subject" | "tier" | "group" => Some(Log::Groups),
        slot => slot.parse().ok().map(Log::Slot),
    }
}

enum What {
    Publish(To, Message),
    Delete { slot: Slot, by: Slot },
}

type Waiting = (What, oneshot::Sender<Result<(), Unpublished>>);

/// One gateway's end.
struct Local {
    broker: Arc<Broker>,
    slot: Slot,
    user: String,
    reply_to: String,
    replies: Mutex<Option<mpsc::Receiver<Message>>>,
    /// `Some` while this gateway is cut off.
    waiting: Mutex<Option<VecDeque<Waiting>>>,
    cut_off: watch::Sender<bool>,
    state: watch::Sender<State>,
}

impl Local {
    fn perform(&self, what: What, bounded: bool) -> Result<Confirmed, Unpublished> {
        let (confirm, confirmed) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        match &mut *waiting {
            Some(waiting) if bounded && waiting.len() >= self.broker.limits.unconfirmed => {
                return Err(Unpublished::Full);
            }
            Some(waiting) => waiting.push_back((what, confirm)),
            None => {
                let _ = confirm.send(self.broker.perform(what));
            }
        }
        Ok(Confirmed(confirmed))
    }
}

impl Bus for Local {
    fn slot(&self) -> Slot {
        self.slot
    }

    fn user(&self) -> &str {
        &self.user
    }

    fn read(&self, log: Log, start: Start) -> Reader {
        read::start(self.broker.clone(), log, start, self.cut_off.subscribe())
    }

    fn publish(&self, to: To, message: Message) -> Result<Confirmed, Unpublished> {
        self.perform(What::Publish(to, Message { user_id: Some(self.user.clone()), ..message }), true)
    }

    fn delete(&self, slot: Slot) -> Confirmed {
        // Not bounded: whoever deletes does it once for a slot.
        self.perform(What::Delete { slot, by: self.slot }, false).unwrap_or_else(|_| Confirmed(oneshot::channel().1))
    }

    fn reply_to(&self) -> String {
        self.reply_to.clone()
    }

    fn replies(&self) -> mpsc::Receiver<Message> {
        self.replies.lock().take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_log_takes_a_routing_key() {
        let slot = Log::Slot(Slot(1));
        for (key, log) in [
            ("0000000000000001.1a9ba2d4.1", Some(slot)),
            ("0000000000000001", Some(slot)),
            ("subject.ab", Some(Log::Groups)),
            ("tier.player", Some(Log::Groups)),
            ("group.chat.room", Some(Log::Groups)),
            ("all", Some(Log::Groups)),
            ("all.of.them", None),
            ("1.x.1", None),
            ("", None),
            ("bannou.slot.0000000000000001", None),
        ] {
            assert_eq!(bound(key), log, "{key}");
        }
    }
}
