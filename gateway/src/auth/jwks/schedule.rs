//! When a JWKS is fetched next. Pure, but for the dice.

use std::time::Duration;

const MIN: Duration = Duration::from_secs(60);
const MAX: Duration = Duration::from_secs(3600);
/// For answers that do not say how long they hold.
const DEFAULT: Duration = Duration::from_secs(600);

/// `max_age` as the answer said, held between a minute and an hour, less up to a tenth so that gateways do not all come at
/// once. `random` is in 0..1.
pub(super) fn after_success(max_age: Option<Duration>, random: f64) -> Duration {
    max_age.unwrap_or(DEFAULT).clamp(MIN, MAX).mul_f64(1.0 - 0.1 * random).max(MIN)
}

/// Two seconds, doubling up to a minute, less up to half. `failures` in a row, counted from 1.
pub(super) fn after_failure(failures: u32, random: f64) -> Duration {
    let delay = Duration::from_secs(1 << failures.clamp(1, 6)).min(MIN);
    delay.mul_f64(1.0 - 0.5 * random)
}

/// In 0..1, of no cryptographic use.
pub(super) fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn max_age_is_honoured_within_a_minute_and_an_hour() {
        assert_eq!(after_success(Some(seconds(1000)), 0.0), seconds(1000));
        assert_eq!(after_success(Some(seconds(1000)), 0.5), seconds(950));
        assert_eq!(after_success(Some(seconds(0)), 0.9), seconds(60));
        assert_eq!(after_success(Some(seconds(90_000)), 0.0), seconds(3600));
        assert_eq!(after_success(None, 0.0), seconds(600));
    }

    #[test]
    fn failures_back_off_to_a_minute() {
        assert_eq!(after_failure(1, 0.0), seconds(2));
        assert_eq!(after_failure(2, 0.0), seconds(4));
        assert_eq!(after_failure(2, 0.5), seconds(3));
        assert_eq!(after_failure(u32::MAX, 0.0), seconds(60));
    }

    #[test]
    fn random_stays_in_its_bounds() {
        assert!((0..100).all(|_| (0.0..1.0).contains(&random())));
    }
}
