//! Rates by GCRA, one limiter per connection and thing that is limited, made on first use.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

pub struct Rate(DefaultDirectRateLimiter);

impl Rate {
    /// A rate of 0 is taken for 1: to allow nothing, expose nothing.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst));
        Rate(RateLimiter::direct(quota))
    }

    /// `Err`: how long until the next one fits.
    pub fn check(&self) -> Result<(), Duration> {
        self.0.check().map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }
}
