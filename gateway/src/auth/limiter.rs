//! How often an address may present a bad token.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Counts failures per client address (IPv6 by /64) with GCRA. Ask [`check`](Self::check) before a signature is checked,
/// tell [`failed`](Self::failed) after one was wrong.
///
/// Bounded: it remembers at least the latest half of `capacity` failing addresses and at most `capacity`.
#[derive(Debug)]
pub struct FailureLimiter {
    /// What one failure costs.
    interval: Duration,
    /// How much cost an address may have piled up and still try.
    tolerance: Duration,
    generation: usize,
    addresses: Mutex<Generations>,
}

/// When an address will have paid off its failures. A full `young` becomes `old`, and the `old` one is forgotten: constant
/// cost per failure, however many addresses an attacker has.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u128, Instant>,
    old: HashMap<u128, Instant>,
}

impl FailureLimiter {
    /// `burst` failures at once (at least one), then one per `interval`.
    pub fn new(burst: u32, interval: Duration, capacity: usize) -> Self {
        Self {
            interval,
            tolerance: interval * (burst.max(1) - 1),
            generation: (capacity / 2).max(1),
            addresses: Mutex::default(),
        }
    }

    /// Whether this address may present a token. Costs it nothing.
    pub fn check(&self, address: IpAddr, now: Instant) -> bool {
        let key = key(address);
        let addresses = self.addresses.lock();
        let free_at = addresses.young.get(&key).or_else(|| addresses.old.get(&key));
        free_at.is_none_or(|at| at.saturating_duration_since(now) <= self.tolerance)
    }

    /// This address presented a bad token.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let key = key(address);
        let mut addresses = self.addresses.lock();
        let before = addresses.young.get(&key).or_else(|| addresses.old.get(&key)).copied();
        // Capped, so that failures of attempts that ran side by side lock nobody out for longer than one interval.
        let free_at = before.map_or(now, |at| at.max(now)) + self.interval;
        let free_at = free_at.min(now + self.tolerance + self.interval);
        if addresses.young.len() >= self.generation && !addresses.young.contains_key(&key) {
            addresses.old = std::mem::take(&mut addresses.young);
        }
        addresses.young.insert(key, free_at);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let addresses = self.addresses.lock();
        addresses.young.len() + addresses.old.len()
    }
}

impl Default for FailureLimiter {
    /// Thirty at once, then one per two seconds: a household or an office behind one address is not one client.
    fn default() -> Self {
        Self::new(30, Duration::from_secs(2), 65_536)
    }
}

fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6) & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_then_one_per_interval() {
        let limiter = FailureLimiter::new(3, SECOND, 100);
        let (a, now) = (ip("192.0.2.1"), Instant::now());
        for _ in 0..3 {
            assert!(limiter.check(a, now));
            limiter.failed(a, now);
        }
        assert!(!limiter.check(a, now));
        assert!(!limiter.check(a, now + SECOND - Duration::from_nanos(1)));
        assert!(limiter.check(a, now + SECOND));
        limiter.failed(a, now + SECOND);
        assert!(!limiter.check(a, now + SECOND));
        assert!(limiter.check(ip("192.0.2.2"), now), "another address is not concerned");
    }

    #[test]
    fn checking_costs_nothing_and_debts_are_capped() {
        let limiter = FailureLimiter::new(2, SECOND, 100);
        let (a, now) = (ip("192.0.2.1"), Instant::now());
        assert!((0..100).all(|_| limiter.check(a, now)));
        for _ in 0..100 {
            limiter.failed(a, now);
        }
        assert!(!limiter.check(a, now));
        assert!(limiter.check(a, now + SECOND));
    }

    #[test]
    fn ipv6_counts_by_its_64_and_mapped_ipv4_as_ipv4() {
        let limiter = FailureLimiter::new(1, SECOND, 100);
        let now = Instant::now();
        limiter.failed(ip("2001:db8:1:2::1"), now);
        assert!(!limiter.check(ip("2001:db8:1:2:ffff::9"), now));
        assert!(limiter.check(ip("2001:db8:1:3::1"), now));
        limiter.failed(ip("::ffff:192.0.2.1"), now);
        assert!(!limiter.check(ip("192.0.2.1"), now));
        assert!(limiter.check(ip("192.0.2.2"), now));
        assert!(limiter.check(ip("::1"), now));
    }

    #[test]
    fn it_stays_bounded_and_forgets_the_oldest_first() {
        let limiter = FailureLimiter::new(1, SECOND, 100);
        let now = Instant::now();
        for n in 0..10_000_u32 {
            limiter.failed(IpAddr::from(n.to_be_bytes()), now);
            assert!(limiter.len() <= 100);
        }
        assert!(limiter.check(IpAddr::from(0_u32.to_be_bytes()), now));
        assert!((9_950..10_000_u32).all(|n| !limiter.check(IpAddr::from(n.to_be_bytes()), now)));
    }
}
