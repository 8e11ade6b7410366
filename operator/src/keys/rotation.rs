//! What is made new from time to time: when, and what takes whose place. Without I/O.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// The annotation with the time of the last rotation.
pub const ROTATED_AT: &str = "bannou.dev/rotated-at";

/// Clocks of machines differ; a time later than that is no time that anybody wrote.
const SKEW: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    NotYet,
    Now,
    /// Nobody can tell when it was rotated last: its time counts from now on.
    Unknown,
}

/// Whether a period is over. One that was missed, however often, is made up for once: each key is known for a whole period before it counts.
pub fn due(rotated_at: Option<&str>, period: Duration, now: Timestamp) -> Due {
    let at = rotated_at.and_then(|text| text.parse::<Timestamp>().ok());
    match at.map(|at| now.duration_since(at)) {
        None => Due::Unknown,
        Some(age) if age < -SKEW => Due::Unknown,
        Some(age) if age >= SignedDuration::try_from(period).unwrap_or(SignedDuration::MAX) => Due::Now,
        Some(_) => Due::NotYet,
    }
}

/// What is current and what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<T> {
    /// What was current until now.
    pub previous: Option<T>,
    pub current: T,
    pub next: T,
    /// Whether anything is new: it is dated anew then.
    pub changed: bool,
}

/// The next one takes the place of the current one when it is due. What is missing is made, and what gateways know already comes first.
pub fn turn<T>(current: Option<T>, next: Option<T>, due: bool, mut fresh: impl FnMut() -> T) -> Turn<T> {
    match (current, next) {
        (Some(current), Some(next)) if due => {
            Turn { previous: Some(current), current: next, next: fresh(), changed: true }
        }
        (Some(current), Some(next)) => Turn { previous: None, current, next, changed: false },
        (Some(current), None) => Turn { previous: None, current, next: fresh(), changed: true },
        (None, Some(next)) => Turn { previous: None, current: next, next: fresh(), changed: true },
        (None, None) => Turn { previous: None, current: fresh(), next: fresh(), changed: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_is_due_after_a_period_and_an_unknown_time_counts_from_now() {
        let period = Duration::from_secs(100);
        let written = at(0).to_string();
        for (now, said) in
            [(0, Due::NotYet), (99, Due::NotYet), (100, Due::Now), (100_000, Due::Now), (-60, Due::NotYet)]
        {
            assert_eq!(due(Some(&written), period, at(now)), said, "{now}");
        }
        assert_eq!(due(None, period, at(0)), Due::Unknown);
        assert_eq!(due(Some("yesterday"), period, at(0)), Due::Unknown);
        assert_eq!(due(Some(&at(7200).to_string()), period, at(0)), Due::Unknown, "written by a clock that is wrong");
    }

    #[test]
    fn each_is_next_before_it_is_current_and_previous_after_it() {
        let mut count = 0;
        let mut fresh = || {
            count += 1;
            count
        };
        let mut turned = turn(None, None, false, &mut fresh);
        assert_eq!(turned, Turn { previous: None, current: 1, next: 2, changed: true });
        for known in 2..6 {
            let kept = turn(Some(turned.current), Some(turned.next), false, &mut fresh);
            assert_eq!(kept, Turn { previous: None, changed: false, ..turned });
            turned = turn(Some(turned.current), Some(turned.next), true, &mut fresh);
            assert_eq!(turned, Turn { previous: Some(known - 1), current: known, next: known + 1, changed: true });
        }
    }

    #[test]
    fn what_is_missing_is_made_and_nothing_counts_that_nobody_knew() {
        let fresh = || 9;
        // Due as well: one step at a time.
        assert_eq!(turn(None, Some(2), true, fresh), Turn { previous: None, current: 2, next: 9, changed: true });
        assert_eq!(turn(Some(1), None, true, fresh), Turn { previous: None, current: 1, next: 9, changed: true });
    }
}
