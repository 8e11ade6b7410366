//! Readers: a task each, which reads from the ring at its own pace and so holds up nobody.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{Broker, Stream};
use crate::bus::{Log, Read, Reader, Start};

/// Read ahead of whoever takes them.
const AHEAD: usize = 64;

/// Needs a tokio runtime around it.
pub fn start(broker: Arc<Broker>, log: Log, start: Start, cut_off: watch::Receiver<bool>) -> Reader {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // Both at once: what is written after this is read by a reader that begins with the next one.
    let stream = broker.stream(log);
    let at = stream.as_ref().map_or(0, |stream| stream.ring.lock().position(start));
    tokio::spawn(async move {
        let follow = Follow { broker, log, cut_off, sender };
        let _: Option<()> = follow.run(stream, at).await;
    });
    Reader(receiver)
}

struct Follow {
    broker: Arc<Broker>,
    log: Log,
    /// Closed when the bus of this reader is dropped.
    cut_off: watch::Receiver<bool>,
    sender: mpsc::Sender<Read>,
}

impl Follow {
    /// `None`: nobody takes anything any more, or the bus is gone.
    async fn run(mut self, mut stream: Option<Arc<Stream>>, mut at: u64) -> Option<()> {
        loop {
            let Some(present) = stream.take() else {
                self.connected().await?;
                self.bring(Read::Gone).await?;
                return Some(());
            };
            self.until_deleted(&present, at).await?;
            stream = self.broker.stream(self.log);
            if stream.is_some() {
                self.bring(Read::Remade).await?;
                at = 0;
            }
        }
    }

    /// Ready once the stream is deleted.
    async fn until_deleted(&mut self, stream: &Stream, mut at: u64) -> Option<()> {
        let mut end = stream.end.subscribe();
        loop {
            self.connected().await?;
            if end.borrow_and_update().is_none() {
                return Some(());
            }
            let batch = {
                let ring = stream.ring.lock();
                // Seen under the lock: what is written after the cut must not come through.
                if *self.cut_off.borrow() { continue } else { ring.from(at, AHEAD) }
            };
            if batch.is_empty() {
                tokio::select! {
                    changed = end.changed() => if changed.is_err() { return Some(()) },
                    changed = self.cut_off.changed() => changed.ok()?,
                    () = self.sender.closed() => return None,
                }
            }
            for read in batch {
                at = match &read {
                    Read::Record(record) => record.offset + 1,
                    Read::Gap { to, .. } => to + 1,
                    Read::Remade | Read::Gone => at,
                };
                self.bring(read).await?;
            }
        }
    }

    async fn connected(&mut self) -> Option<()> {
        tokio::select! {
            connected = self.cut_off.wait_for(|cut_off| !*cut_off) => connected.ok().map(drop),
            () = self.sender.closed() => None,
        }
    }

    async fn bring(&mut self, read: Read) -> Option<()> {
        tokio::select! {
            sent = self.sender.send(read) => sent.ok(),
            // Dropped while its owner still reads: the bus is shut down.
            () = gone(&mut self.cut_off) => None,
        }
    }
}

/// Ready when the bus is gone.
async fn gone(cut_off: &mut watch::Receiver<bool>) {
    while cut_off.changed().await.is_ok() {}
}
