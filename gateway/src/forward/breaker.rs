//! A circuit breaker: counts, a clock that the caller brings, no I/O.
//!
//! Closed: everything passes, failures in a row are counted. Open: nothing passes until a time. Half-open: a few requests
//! pass as a trial; when all of them succeed it closes, when one fails it opens again.

use std::time::{Duration, Instant};

pub use bannou_crds::catalog::Breaker as Rules;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// Says nothing about the service: cancelled by the client, or refused by our own limits.
    Neither,
}

/// Permission for one request; hand it back with the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The state it was given in: an answer from before the breaker opened says nothing about the trial after.
    epoch: u64,
}

#[derive(Debug, Default)]
pub struct Breaker {
    epoch: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { trying: u32, succeeded: u32 },
}

impl Default for State {
    fn default() -> Self {
        State::Closed { failures: 0 }
    }
}

impl Breaker {
    /// `None`: refuse the request.
    pub fn admit(&mut self, rules: &Rules, now: Instant) -> Option<Ticket> {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.enter(State::HalfOpen { trying: 0, succeeded: 0 });
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { .. } => return None,
            State::HalfOpen { trying, succeeded } => {
                if *trying + *succeeded >= rules.half_open_requests.max(1) {
                    return None;
                }
                *trying += 1;
            }
        }
        Some(Ticket { epoch: self.epoch })
    }

    pub fn settle(&mut self, ticket: Ticket, outcome: Outcome, rules: &Rules, now: Instant) {
        if ticket.epoch != self.epoch {
            return;
        }
        match (&mut self.state, outcome) {
            (State::Closed { failures }, Outcome::Success) => *failures = 0,
            (State::Closed { failures }, Outcome::Failure) => {
                *failures += 1;
                if *failures >= rules.consecutive_failures.max(1) {
                    self.open(rules, now);
                }
            }
            (State::HalfOpen { trying, succeeded }, Outcome::Success) => {
                *trying = trying.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= rules.half_open_requests.max(1) {
                    self.enter(State::Closed { failures: 0 });
                }
            }
            (State::HalfOpen { .. }, Outcome::Failure) => self.open(rules, now),
            (State::HalfOpen { trying, .. }, Outcome::Neither) => *trying = trying.saturating_sub(1),
            (State::Open { .. }, _) | (State::Closed { .. }, Outcome::Neither) => {}
        }
    }

    fn open(&mut self, rules: &Rules, now: Instant) {
        self.enter(State::Open { until: now + Duration::from_millis(rules.open_for_ms) });
    }

    fn enter(&mut self, state: State) {
        self.epoch += 1;
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { consecutive_failures: 3, open_for_ms: 1_000, half_open_requests: 2 };

    struct Bench {
        breaker: Breaker,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Bench { breaker: Breaker::default(), now: Instant::now() }
        }

        fn admit(&mut self) -> Option<Ticket> {
            self.breaker.admit(&RULES, self.now)
        }

        fn settle(&mut self, ticket: Ticket, outcome: Outcome) {
            self.breaker.settle(ticket, outcome, &RULES, self.now);
        }

        fn one(&mut self, outcome: Outcome) {
            let ticket = self.admit().expect("admitted");
            self.settle(ticket, outcome);
        }

        fn opened() -> Self {
            let mut bench = Bench::new();
            for _ in 0..3 {
                bench.one(Outcome::Failure);
            }
            bench
        }

        fn later(&mut self, millis: u64) {
            self.now += Duration::from_millis(millis);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut bench = Bench::new();
        for outcome in [Outcome::Failure, Outcome::Failure, Outcome::Success, Outcome::Failure, Outcome::Failure] {
            bench.one(outcome);
        }
        assert!(bench.admit().is_some());
        bench.one(Outcome::Failure);
        assert!(bench.admit().is_none());
    }

    #[test]
    fn cancelled_requests_count_for_nothing() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.one(Outcome::Neither);
        }
        bench.one(Outcome::Failure);
        bench.one(Outcome::Neither);
        bench.one(Outcome::Failure);
        assert!(bench.admit().is_some(), "two failures, not three");
        bench.one(Outcome::Failure);
        assert!(bench.admit().is_none());
    }

    #[test]
    fn it_stays_open_until_its_time_and_then_admits_a_few() {
        let mut bench = Bench::opened();
        bench.later(999);
        assert!(bench.admit().is_none());
        bench.later(1);
        let first = bench.admit().expect("the first trial");
        let second = bench.admit().expect("the second trial");
        assert!(bench.admit().is_none(), "two trials at a time");
        bench.settle(first, Outcome::Success);
        assert!(bench.admit().is_none(), "one succeeded, one is under way: enough to decide");
        bench.settle(second, Outcome::Success);
        for _ in 0..10 {
            assert!(bench.admit().is_some(), "closed again");
        }
    }

    #[test]
    fn a_failed_trial_opens_it_again_for_the_whole_time() {
        let mut bench = Bench::opened();
        bench.later(1_000);
        bench.one(Outcome::Success);
        bench.one(Outcome::Failure);
        bench.later(999);
        assert!(bench.admit().is_none());
        bench.later(1);
        assert!(bench.admit().is_some());
    }

    #[test]
    fn a_cancelled_trial_frees_its_place() {
        let mut bench = Bench::opened();
        bench.later(1_000);
        for _ in 0..10 {
            bench.one(Outcome::Neither);
        }
        bench.one(Outcome::Success);
        bench.one(Outcome::Success);
        bench.one(Outcome::Failure);
        assert!(bench.admit().is_some(), "closed: one failure is not three");
    }

    #[test]
    fn answers_from_before_say_nothing_about_the_trial() {
        let mut bench = Bench::new();
        let old: Vec<_> = (0..5).map(|_| bench.admit().expect("closed")).collect();
        for _ in 0..3 {
            bench.one(Outcome::Failure);
        }
        bench.later(1_000);
        let trial = bench.admit().expect("half open");
        for ticket in old {
            bench.settle(ticket, Outcome::Failure);
        }
        bench.settle(trial, Outcome::Success);
        bench.one(Outcome::Success);
        assert!(bench.admit().is_some(), "late failures neither opened it nor took a trial's place");
    }
}
