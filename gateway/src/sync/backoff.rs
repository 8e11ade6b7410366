//! Waits between dials, all of them by chance, so that gateways which lost one operator do not come to the next together.

use std::time::Duration;

use crate::handle::random;

#[derive(Debug)]
pub struct Backoff {
    range: (Duration, Duration),
    bound: Duration,
}

impl Backoff {
    /// The first wait is below the first bound, later ones below twice the one before, and never above the second.
    pub fn new(range: (Duration, Duration)) -> Backoff {
        Backoff { range, bound: range.0 }
    }

    pub fn reset(&mut self) {
        self.bound = self.range.0;
    }

    pub fn next(&mut self) -> Duration {
        let bound = self.bound;
        self.bound = (bound * 2).min(self.range.1);
        bound.mul_f64(f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX))
    }

    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_by_chance_below_a_bound_that_grows_to_its_own_and_starts_again() {
        let (first, last) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new((first, last));
        let mut bound = first;
        let mut waits = Vec::new();
        for _ in 0..20 {
            waits.push(backoff.next());
            assert!(waits[waits.len() - 1] <= bound);
            bound = (bound * 2).min(last);
        }
        waits.dedup();
        assert!(waits.len() > 10, "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > first), "they grow: {waits:?}");
        backoff.reset();
        assert!(backoff.next() <= first);
    }
}
