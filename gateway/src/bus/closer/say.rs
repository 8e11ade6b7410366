//! What a closer publishes: many messages at once, each confirmed before the next step.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Closer, Stop};
use crate::bus::{Confirmed, Log, Message, Slot, To, Unpublished};

/// Confirmations awaited at once.
const IN_FLIGHT: usize = 256;
/// Before a bus that takes no more is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// Between looks at whether the slot is still dead.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Say<'a> {
    closer: &'a Closer,
    slot: Slot,
    in_flight: VecDeque<(Kind, Confirmed)>,
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
                    self.in_flight.push_back((Kind::of(&to), sent));
                    return Ok(());
                }
                Err(Unpublished::Full) if !self.in_flight.is_empty() => self.settle_one().await?,
                Err(Unpublished::Full) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Kind::of(&to).verdict(Err(error)),
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
        let Some((kind, sent)) = self.in_flight.pop_front() else { return Ok(()) };
        let outcome = self.closer.while_dead(self.slot, sent).await?;
        if let Err(error) = &outcome {
            tracing::debug!(slot = %self.slot, %error, ?kind, "a message of a closer was not taken");
        }
        kind.verdict(outcome)
    }
}

/// What a message is for, and so what it means when it is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whoever waits has a deadline: nothing else hangs on it.
    Reply,
    /// Into the log that is being closed.
    Log,
    /// Without it the slot is not closed.
    Rest,
}

impl Kind {
    fn of(to: &To) -> Kind {
        match to {
            To::Queue(_) => Kind::Reply,
            To::Log(Log::Slot(_)) => Kind::Log,
            To::Log(_) | To::Sessions(_) | To::Clients(_) => Kind::Rest,
        }
    }

    fn verdict(self, outcome: Result<(), Unpublished>) -> Result<(), Stop> {
        match (self, outcome) {
            (_, Ok(())) => Ok(()),
            (_, Err(Unpublished::ShutDown)) => Err(Stop::Abandoned),
            (Kind::Reply, Err(_)) => Ok(()),
            (Kind::Log, Err(Unpublished::Returned)) => Err(Stop::LogGone),
            (Kind::Log | Kind::Rest, Err(_)) => Err(Stop::Abandoned),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_means_that_a_message_is_not_taken() {
        let reply = Kind::of(&To::Queue("q".into()));
        let log = Kind::of(&To::Log(Log::Slot(Slot(1))));
        let event = Kind::of(&To::Sessions("disconnected".into()));
        let refused = || Err(Unpublished::Refused("access".into()));
        for kind in [reply, log, event] {
            assert_eq!(kind.verdict(Ok(())), Ok(()));
            assert_eq!(kind.verdict(Err(Unpublished::ShutDown)), Err(Stop::Abandoned));
        }
        assert_eq!(reply.verdict(Err(Unpublished::Returned)), Ok(()), "who asked is gone, and holds up nobody");
        assert_eq!(reply.verdict(refused()), Ok(()));
        assert_eq!(log.verdict(Err(Unpublished::Returned)), Err(Stop::LogGone));
        assert_eq!(log.verdict(refused()), Err(Stop::Abandoned));
        assert_eq!(event.verdict(Err(Unpublished::Returned)), Err(Stop::Abandoned), "not before its end is said");
    }
}
