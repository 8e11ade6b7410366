//! A bus for tests of what is said and when: it does with a message what the test tells it to.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Bus, Confirmed, Log, Message, Read, Reader, Record, Slot, Start, State, To, Unpublished};

/// What becomes of what is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Confirm,
    /// Taken, and confirmed when the mode is `Confirm` again.
    Hold,
    /// As [`Unpublished::Full`] at once.
    Full,
    /// As [`Unpublished::Returned`] by the confirmation.
    Return,
    /// So for one message, then `Confirm`.
    ReturnOne,
}

pub struct Fake {
    slot: Slot,
    inner: Mutex<Inner>,
    /// How many messages were taken.
    pub taken: watch::Sender<usize>,
    state: watch::Sender<State>,
}

struct Inner {
    mode: Mode,
    published: Vec<(To, Message)>,
    held: Vec<oneshot::Sender<Result<(), Unpublished>>>,
    /// Readers of logs; what is published straight into a log comes to them.
    readers: Vec<(Log, mpsc::Sender<Read>)>,
    offset: u64,
}

impl Fake {
    pub fn new(slot: Slot) -> Arc<Fake> {
        let inner =
            Inner { mode: Mode::Confirm, published: Vec::new(), held: Vec::new(), readers: Vec::new(), offset: 0 };
        let (taken, state) = (watch::Sender::new(0), watch::Sender::new(State::default()));
        Arc::new(Fake { slot, inner: Mutex::new(inner), taken, state })
    }

    pub fn set(&self, mode: Mode) {
        let mut inner = self.inner.lock();
        if mode == Mode::Confirm {
            for held in inner.held.drain(..) {
                let _ = held.send(Ok(()));
            }
        }
        inner.mode = mode;
    }

    /// Everything that was taken since the last call.
    pub fn drain(&self) -> Vec<(To, Message)> {
        std::mem::take(&mut self.inner.lock().published)
    }

    /// Returns when `n` messages have been taken in all.
    pub async fn took(&self, n: usize) {
        self.taken.subscribe().wait_for(|taken| *taken >= n).await.unwrap();
    }

    /// Writes into a log as a gateway.
    pub fn write(&self, log: Log, message: Message) {
        let mut inner = self.inner.lock();
        inner.offset += 1;
        let message = Message { user_id: Some(self.user().to_owned()), ..message };
        let record = Record { offset: inner.offset, key: log.name(), message };
        for (_, reader) in inner.readers.iter().filter(|(of, _)| *of == log) {
            reader.try_send(Read::Record(record.clone())).unwrap();
        }
    }
}

impl Bus for Fake {
    fn slot(&self) -> Slot {
        self.slot
    }

    fn user(&self) -> &str {
        "gateway"
    }

    fn read(&self, log: Log, _: Start) -> Reader {
        let (sender, receiver) = mpsc::channel(1_024);
        self.inner.lock().readers.push((log, sender));
        Reader(receiver)
    }

    fn publish(&self, to: To, message: Message) -> Result<Confirmed, Unpublished> {
        let (sender, receiver) = oneshot::channel();
        let mode = self.inner.lock().mode.clone();
        match mode {
            Mode::Full => return Err(Unpublished::Full),
            Mode::Hold => self.inner.lock().held.push(sender),
            Mode::ReturnOne => {
                self.inner.lock().mode = Mode::Confirm;
                drop(sender.send(Err(Unpublished::Returned)));
            }
            Mode::Return => drop(sender.send(Err(Unpublished::Returned))),
            Mode::Confirm => {
                if let To::Log(log) = to {
                    self.write(log, message.clone());
                }
                drop(sender.send(Ok(())));
            }
        }
        self.inner.lock().published.push((to, message));
        self.taken.send_modify(|taken| *taken += 1);
        Ok(Confirmed(receiver))
    }

    fn delete(&self, _: Slot) -> Confirmed {
        let (sender, receiver) = oneshot::channel();
        drop(sender.send(Ok(())));
        Confirmed(receiver)
    }

    fn reply_to(&self) -> String {
        format!("bannou.reply.{}", self.slot)
    }

    fn replies(&self) -> mpsc::Receiver<Message> {
        mpsc::channel(1).1
    }

    fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }
}
