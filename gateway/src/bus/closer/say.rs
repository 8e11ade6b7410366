//! What a closer publishes: many messages at once, each confirmed before the next step.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Closer, Stop};
use crate::bus::{Confirmed, Message, Slot, To, Unpublished};

/// Confirmations awaited at once.
const IN_FLIGHT: usize = 256;
/// Before a bus that takes no more is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// Between looks at whether the slot is still dead.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Say<'a> {
    closer: &'a Closer,
    slot: Slot,
    in_flight: VecDeque<Confirmed>,
}

impl<'a> Say<'a> {
    pub fn new(closer: &'a Closer, slot: Slot) -> Say<'a> {
        Say { closer, slot, in_flight: VecDeque::new() }
    }

    /// # Errors
    /// The slot lives, this gateway is cut off, or the log is gone.
    pub async fn publish(&mut self, to: To, message: Message) -> Result<(), Stop> {
        if self.in_flight.len() >= IN_FLIGHT {
            self.settle_one().await?;
        }
        loop {
            self.closer.check(self.slot)?;
            match self.closer.bus.publish(to.clone(), message.clone()) {
                Ok(sent) => {
                    self.in_flight.push_back(sent);
                    return Ok(());
                }
                Err(Unpublished::ShutDown) => return Err(Stop::Abandoned),
                Err(Unpublished::Full) if !self.in_flight.is_empty() => self.settle_one().await?,
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Returns when everything is confirmed.
    ///
    /// # Errors
    /// As [`Say::publish`].
    pub async fn settle(&mut self) -> Result<(), Stop> {
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), Stop> {
        let Some(sent) = self.in_flight.pop_front() else { return Ok(()) };
        match self.closer.while_dead(self.slot, sent).await? {
            Ok(()) => Ok(()),
            Err(Unpublished::ShutDown) => Err(Stop::Abandoned),
            Err(Unpublished::Returned) => Err(Stop::LogGone),
            Err(error @ (Unpublished::Full | Unpublished::Refused(_))) => {
                tracing::warn!(slot = %self.slot, %error, "a message of a closer was not taken");
                Err(Stop::Abandoned)
            }
        }
    }
}

impl Closer {
    /// # Errors
    /// The slot is not known to be dead (any more).
    pub(super) fn check(&self, slot: Slot) -> Result<(), Stop> {
        if self.alive.is_dead(slot) { Ok(()) } else { Err(Stop::Abandoned) }
    }

    /// Waits for something as long as the slot is dead.
    pub(super) async fn while_dead<T>(&self, slot: Slot, what: impl Future<Output = T>) -> Result<T, Stop> {
        let mut what = std::pin::pin!(what);
        loop {
            match tokio::time::timeout(LOOK, &mut what).await {
                Ok(done) => {
                    self.check(slot)?;
                    return Ok(done);
                }
                Err(_) => self.check(slot)?,
            }
        }
    }
}
