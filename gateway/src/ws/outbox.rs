//! Frames for other connections, collected over one read batch without any lock.
//!
//! [`Writer::binary`] takes the target's lock for each message, and unlocking waits until the bytes just copied have left
//! the processor's store buffer: 28 ns of 270 for a relayed message of 1 KiB (measured). Here a batch is put together in
//! a buffer of its own per target and handed over in one piece, mostly without another copy.

use std::sync::Arc;

use super::frame::{self, Opcode};
use super::{HEADER, Payload, Refused, Writer, pool};

/// Targets that one batch keeps apart; with more, the first is flushed early.
const TARGETS: usize = 16;

/// Staged frames of this size are handed over before the batch ends: as much as one read can bring, so that a batch is
/// one `send`. (With 64 KiB, 64 messages of 1 KiB were two, which cost a tenth of each; likewise for 16 KiB.) A queue
/// with a lower limit is served earlier, by [`Writer::admit`].
const BATCH: usize = pool::SCRATCH;

/// What one session sends to others while it handles one read batch.
///
/// [`Outbox::flush`] must follow each batch, also one that failed: until then nothing is sent. Frames staged here come
/// after whatever is written to the target directly meanwhile.
#[derive(Debug)]
pub struct Outbox<O> {
    staged: Vec<Staged<O>>,
}

#[derive(Debug)]
struct Staged<O> {
    target: Arc<O>,
    frames: Vec<u8>,
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Outbox { staged: Vec::new() }
    }
}

impl<O> Outbox<O>
where
    O: AsRef<Writer> + Send + Sync + 'static,
{
    /// Stages a binary message for `target`: `header`, then what follows the first 24 bytes of `body`. Refused by the
    /// same rule as [`Writer::binary`]; senders that stage at the same moment do not see each other, so a queue can
    /// exceed its limit by 256 KiB for each of them.
    #[inline]
    pub fn binary(&mut self, target: &Arc<O>, header: &[u8; HEADER], body: &Payload<'_>) -> Result<(), Refused> {
        let writer: &Writer = (**target).as_ref();
        let len = HEADER + body.len().saturating_sub(HEADER);
        let whole = frame::header_len(len) + len;
        let frames = self.frames_for(target);
        writer.admit(frames, whole)?;
        frames.reserve(whole);
        frame::put_header(frames, Opcode::Binary, len);
        frames.extend_from_slice(header);
        body.append_to(HEADER, frames);
        if frames.len() >= BATCH {
            writer.hand_over(frames);
        }
        Ok(())
    }

    /// Hands every target what is staged for it, and flushes it.
    #[inline]
    pub fn flush(&mut self) {
        for Staged { target, frames } in self.staged.drain(..) {
            Writer::send(&target, frames);
        }
    }

    #[inline]
    fn frames_for(&mut self, target: &Arc<O>) -> &mut Vec<u8> {
        let at = match self.staged.iter().rposition(|staged| Arc::ptr_eq(&staged.target, target)) {
            Some(at) => at,
            None => {
                if self.staged.len() == TARGETS {
                    let Staged { target, frames } = self.staged.remove(0);
                    Writer::send(&target, frames);
                }
                // Most sessions talk to one peer at a time, and this stays allocated while they are idle.
                self.staged.reserve_exact(1);
                self.staged.push(Staged { target: target.clone(), frames: pool::take() });
                self.staged.len() - 1
            }
        };
        &mut self.staged[at].frames
    }
}
