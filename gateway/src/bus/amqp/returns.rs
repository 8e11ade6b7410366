//! Which messages came back.
//!
//! A message that nothing takes is returned before it is confirmed, so both together say what became of it. lapin keeps the
//! returned messages of a channel in a queue and gives the oldest to whichever message is confirmed next, be it another one. So
//! each message carries a number of its own ([`crate::bus::amqp::message`]), and here the numbers are put together again.
//!
//! What holds: the broker returns in the order of publishing, and before the confirmation of the same message.

use std::collections::{BTreeMap, BTreeSet};

/// The confirmations of one channel.
#[derive(Debug, Default)]
pub struct Returns {
    returned: BTreeSet<u64>,
    /// Confirmed since the last [`Returns::settle`], and whether something came with the confirmation.
    fresh: BTreeMap<u64, bool>,
    /// Confirmed before that, and still not known whether returned.
    open: BTreeSet<u64>,
    highest: Option<u64>,
}

/// What became of a message that the broker confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Returned,
}

impl Returns {
    /// `number` is confirmed; with it came the message `with` out of the queue of the returned ones.
    pub fn confirmed(&mut self, number: u64, with: Option<u64>) {
        self.refused(with);
        self.fresh.insert(number, with.is_some());
    }

    /// One that the broker did not take came with this.
    pub fn refused(&mut self, with: Option<u64>) {
        self.returned.extend(with);
        self.highest = self.highest.max(with);
    }

    /// What is certain after a batch of confirmations: all of them that had happened, in whatever order. `last`: nothing else is
    /// unconfirmed.
    pub fn settle(&mut self, last: bool) -> Vec<(u64, Outcome)> {
        // One that found the queue empty shows that all returned until then were taken out, by those of this batch or before.
        // Of its own batch that says nothing about the others: they may have been confirmed after it.
        let emptied = last || self.fresh.values().any(|with| !with);
        let passed = |number: u64| last || self.highest.is_some_and(|highest| highest >= number);
        let open = std::mem::take(&mut self.open).into_iter().map(|number| (number, emptied));
        let fresh = std::mem::take(&mut self.fresh).into_iter().map(|(number, with)| (number, !with));
        let mut settled = Vec::new();
        for (number, certain) in open.chain(fresh) {
            if self.returned.remove(&number) {
                settled.push((number, Outcome::Returned));
            } else if certain || passed(number) {
                settled.push((number, Outcome::Taken));
            } else {
                self.open.insert(number);
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_return_that_came_with_another_ones_confirmation_is_its_own() {
        let mut returns = Returns::default();
        returns.confirmed(1, Some(2));
        assert_eq!(returns.settle(false), [(1, Outcome::Taken)]);
        returns.confirmed(2, None);
        assert_eq!(returns.settle(false), [(2, Outcome::Returned)]);
    }

    #[test]
    fn one_is_open_while_its_own_return_may_still_wait() {
        let mut returns = Returns::default();
        returns.confirmed(3, Some(2));
        assert_eq!(returns.settle(false), []);
        returns.confirmed(2, Some(3));
        assert_eq!(returns.settle(false), [(3, Outcome::Returned), (2, Outcome::Returned)]);
    }

    proptest! {
        /// Any order of confirmations, any moments at which they are seen.
        #[test]
        fn every_message_gets_its_own_outcome(
            returned in prop::collection::vec(any::<bool>(), 1..30),
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..4_usize), 30),
        ) {
            let (mut returns, mut queue, mut published, mut unconfirmed) =
                (Returns::default(), VecDeque::new(), 0, Vec::new());
            let mut settled = BTreeMap::new();
            for (pick, seen, burst) in picks.into_iter().cycle() {
                let more = burst + usize::from(unconfirmed.is_empty());
                for (number, &returned) in returned.iter().enumerate().skip(published).take(more) {
                    unconfirmed.push(number as u64);
                    queue.extend(returned.then_some(number as u64));
                    published += 1;
                }
                if unconfirmed.is_empty() {
                    break;
                }
                let number = unconfirmed.remove(pick.index(unconfirmed.len()));
                returns.confirmed(number, queue.pop_front());
                let last = unconfirmed.is_empty();
                if seen || last {
                    settled.extend(returns.settle(last));
                }
            }
            for (number, returned) in returned.into_iter().enumerate() {
                let expected = if returned { Outcome::Returned } else { Outcome::Taken };
                prop_assert_eq!(settled.get(&(number as u64)), Some(&expected), "{}", number);
            }
        }
    }
}
