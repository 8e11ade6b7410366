//! What the bus waits for, told to logs and readiness as it comes and goes.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use crate::bus::State;

/// A line for each part of the bus that waits.
#[derive(Debug)]
pub struct Status {
    lines: Mutex<BTreeMap<String, String>>,
    state: watch::Sender<State>,
    count: Gauge,
}

impl Status {
    pub fn new(count: Gauge) -> Status {
        Status { lines: Mutex::default(), state: watch::Sender::new(State::default()), count }
    }

    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// `part` waits for this; said once for as long as it stays the same.
    pub fn awaits(&self, part: &str, line: impl Into<String>) {
        let line = line.into();
        let mut lines = self.lines.lock();
        if lines.get(part) != Some(&line) {
            tracing::warn!(part, awaiting = %line, "the bus waits");
            lines.insert(part.to_owned(), line);
            self.tell(&lines);
        }
    }

    /// `part` waits for nothing any more.
    pub fn well(&self, part: &str) {
        let mut lines = self.lines.lock();
        if lines.remove(part).is_some() {
            tracing::info!(part, "the bus goes on");
            self.tell(&lines);
        }
    }

    fn tell(&self, lines: &BTreeMap<String, String>) {
        let mut awaiting: Vec<String> = lines.values().cloned().collect();
        awaiting.sort_unstable();
        awaiting.dedup();
        self.count.set(i64::try_from(awaiting.len()).unwrap_or(i64::MAX));
        self.state.send_replace(State { awaiting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_and_goes_with_its_part() {
        let status = Status::new(Gauge::default());
        let state = status.subscribe();
        let lines = || state.borrow().awaiting.clone();
        status.awaits("publishing", "the broker at h:1: connection refused");
        status.awaits("reading", "the broker at h:1: connection refused");
        assert_eq!(lines(), ["the broker at h:1: connection refused"], "the same thing once");
        status.awaits("reading", "another");
        status.well("publishing");
        assert_eq!(lines(), ["another"]);
        status.well("reading");
        status.well("reading");
        assert!(lines().is_empty());
    }
}
