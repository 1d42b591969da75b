//! The rate limit of the public check by client address, so that codes cannot be
//! guessed and one client cannot use all capacity.
//!
//! Two meters run per subscriber (an IPv4 address or an IPv6 /64): every check
//! counts as a hit, and a check that finds nothing also counts as a miss. A client
//! that has used up its misses is rejected before any work is done. A miss is known
//! only after the check, when several checks of a client may be running; all of
//! them are charged, so that concurrent checks gain nothing. That is why the meter
//! is our own: the rate-limiting crates can neither test a limit without consuming
//! from it nor go into debt.

use crate::http::core::address::subscriber;
use crate::http::core::problem::Problem;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A rate: `count` at once, and as many again spread evenly over `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// The period.
    pub per: Duration,
}

impl Rate {
    /// The generic cell rate algorithm: `at` is the time at which everything taken so far is
    /// paid off. Returns how long to wait for the next one; `None` if there is no wait.
    fn wait(self, at: Duration, now: Duration) -> Option<Duration> {
        let burst = self.step() * (self.count.max(1) - 1);
        at.checked_sub(now + burst).filter(|wait| !wait.is_zero())
    }

    fn take(self, at: &mut Duration, now: Duration) {
        *at = (*at).max(now) + self.step();
    }

    fn step(self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// How often a client address without a token may check.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// Checks that find nothing. Default 30 a minute.
    pub misses: Rate,
    /// Checks of any outcome. Default 20 a second.
    pub hits: Rate,
    /// How many subscribers have meters of their own; further subscribers share meters. Default
    /// 262,144, which is about 20 MB.
    pub tracked: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            misses: Rate { count: 30, per: Duration::from_mins(1) },
            hits: Rate { count: 20, per: Duration::from_secs(1) },
            tracked: 1 << 18,
        }
    }
}

/// The limiter of the public check. Clones share their meters.
#[derive(Clone, Debug)]
pub struct PublicLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: LimitSettings,
    start: Instant,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

const SHARDS: usize = 16;
/// A shard smaller than this is not worth sweeping.
const SWEEP_FROM: usize = 256;

#[derive(Debug)]
struct Shard {
    meters: HashMap<IpAddr, Meters>,
    /// Shared by subscribers that arrive when the shard is full.
    shared: Meters,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Meters {
    hits: Duration,
    misses: Duration,
}

/// A check that may proceed. Call [`Permit::miss`] if it finds nothing.
#[derive(Debug)]
#[must_use = "a check that finds nothing has to be counted"]
pub struct Permit {
    limiter: PublicLimiter,
    subscriber: IpAddr,
}

/// The limit is reached; says when the next check is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Whole seconds, rounded up, at least 1.
    pub seconds: u64,
}

impl RetryAfter {
    fn from_wait(wait: Duration) -> Self {
        Self { seconds: wait.as_secs() + u64::from(wait.subsec_nanos() > 0) }
    }
}

impl From<RetryAfter> for Problem {
    fn from(refused: RetryAfter) -> Self {
        Self::too_many_requests(refused.seconds)
    }
}

impl PublicLimiter {
    /// A limiter without any meters yet.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        let shard = || Shard { meters: HashMap::new(), shared: Meters::default(), sweep_at: SWEEP_FROM };
        Self(Arc::new(Inner {
            settings,
            start: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(shard())),
        }))
    }

    /// Takes one check, unless the subscriber's hits or misses are used up.
    ///
    /// # Errors
    /// When to try again, if they are used up.
    pub fn admit(&self, address: IpAddr) -> Result<Permit, RetryAfter> {
        self.admit_at(address, self.0.start.elapsed())
    }

    fn admit_at(&self, address: IpAddr, now: Duration) -> Result<Permit, RetryAfter> {
        let Rates { hits, misses } = self.rates();
        let subscriber = subscriber(address);
        let mut shard = self.shard(subscriber);
        let meters = shard.meters(subscriber, now, self.0.settings.tracked / SHARDS);
        let wait = misses.wait(meters.misses, now).max(hits.wait(meters.hits, now));
        if let Some(wait) = wait {
            return Err(RetryAfter::from_wait(wait));
        }
        hits.take(&mut meters.hits, now);
        drop(shard);
        Ok(Permit { limiter: self.clone(), subscriber })
    }

    fn miss_at(&self, subscriber: IpAddr, now: Duration) {
        let mut shard = self.shard(subscriber);
        let meters = shard.meters(subscriber, now, self.0.settings.tracked / SHARDS);
        self.rates().misses.take(&mut meters.misses, now);
    }

    fn rates(&self) -> Rates {
        Rates { hits: self.0.settings.hits, misses: self.0.settings.misses }
    }

    fn shard(&self, subscriber: IpAddr) -> MutexGuard<'_, Shard> {
        let [low, ..] = self.0.hasher.hash_one(subscriber).to_le_bytes();
        // A poisoned lock is harmless: meters are consistent after every step.
        self.0.shards[usize::from(low) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many subscribers have meters of their own now.
    #[must_use]
    pub fn tracked(&self) -> usize {
        let len = |shard: &Mutex<Shard>| shard.lock().unwrap_or_else(PoisonError::into_inner).meters.len();
        self.0.shards.iter().map(len).sum()
    }
}

struct Rates {
    hits: Rate,
    misses: Rate,
}

impl Permit {
    /// The check found nothing.
    pub fn miss(self) {
        self.limiter.miss_at(self.subscriber, self.limiter.0.start.elapsed());
    }
}

impl Shard {
    fn meters(&mut self, subscriber: IpAddr, now: Duration, capacity: usize) -> &mut Meters {
        if self.meters.len() >= self.sweep_at.min(capacity) && !self.meters.contains_key(&subscriber) {
            // A subscriber that has paid off everything is the same as a new one.
            self.meters.retain(|_, meters| meters.hits > now || meters.misses > now);
            self.meters.shrink_to(2 * self.meters.len());
            self.sweep_at = (2 * self.meters.len()).max(SWEEP_FROM);
            if self.meters.len() >= capacity {
                return &mut self.shared;
            }
        }
        self.meters.entry(subscriber).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn miss(limiter: &PublicLimiter, address: &str, now: Duration) -> Result<(), RetryAfter> {
        let permit = limiter.admit_at(ip(address), now)?;
        limiter.miss_at(permit.subscriber, now);
        Ok(())
    }

    #[test]
    fn thirty_misses_a_minute_and_then_one_every_two_seconds() {
        let limiter = PublicLimiter::new(LimitSettings::default());
        for n in 0..30 {
            // One every 50 ms, so that the limit on hits (20 a second) is not reached.
            assert_eq!(
                miss(&limiter, "192.0.2.1", s(10) + Duration::from_millis(50) * n),
                Ok(()),
                "miss {n}"
            );
        }
        let now = s(10) + Duration::from_millis(1450);
        let refused = miss(&limiter, "192.0.2.1", now).unwrap_err();
        assert_eq!(refused.seconds, 1);
        assert_eq!(miss(&limiter, "192.0.2.2", now), Ok(()), "another address is not affected");
        assert_eq!(miss(&limiter, "192.0.2.1", now + s(1)), Ok(()), "Retry-After is honest");
        assert!(miss(&limiter, "192.0.2.1", now + s(1)).is_err());
    }

    #[test]
    fn misses_side_by_side_are_all_charged() {
        let settings = LimitSettings { hits: Rate { count: 1000, per: s(1) }, ..LimitSettings::default() };
        let limiter = PublicLimiter::new(settings);
        let permits: Vec<_> = (0..60).map(|_| limiter.admit_at(ip("192.0.2.1"), s(1)).unwrap()).collect();
        for permit in &permits {
            limiter.miss_at(permit.subscriber, s(1));
        }
        assert_eq!(limiter.admit_at(ip("192.0.2.1"), s(1)).unwrap_err().seconds, 62, "30 over, 2 s each");
        assert!(limiter.admit_at(ip("192.0.2.1"), s(62)).is_err());
        assert!(limiter.admit_at(ip("192.0.2.1"), s(63)).is_ok());
    }

    #[test]
    fn twenty_hits_a_second() {
        let limiter = PublicLimiter::new(LimitSettings::default());
        for _ in 0..20 {
            assert!(limiter.admit_at(ip("192.0.2.1"), s(5)).is_ok());
        }
        assert_eq!(limiter.admit_at(ip("192.0.2.1"), s(5)).unwrap_err(), RetryAfter { seconds: 1 });
        assert!(limiter.admit_at(ip("192.0.2.1"), s(5) + Duration::from_millis(50)).is_ok());
    }

    #[test]
    fn a_whole_64_is_one_caller() {
        let settings = LimitSettings { misses: Rate { count: 2, per: s(60) }, ..LimitSettings::default() };
        let limiter = PublicLimiter::new(settings);
        assert_eq!(miss(&limiter, "2001:db8::1", s(0)), Ok(()));
        assert_eq!(miss(&limiter, "2001:db8::ffff:1", s(0)), Ok(()));
        assert_eq!(miss(&limiter, "2001:db8::2", s(0)).unwrap_err().seconds, 30);
        assert_eq!(miss(&limiter, "2001:db8:0:1::2", s(0)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let settings = LimitSettings { tracked: 16 * 64, ..LimitSettings::default() };
        let limiter = PublicLimiter::new(settings);
        let mut refused = 0;
        for n in 0..20_000_u32 {
            let address = IpAddr::V4((0x0a00_0000 + n).into());
            refused += u32::from(limiter.admit_at(address, s(1)).is_err());
        }
        assert!(limiter.tracked() <= 16 * 64);
        assert!(refused > 0, "subscribers beyond the limit share meters");
        for n in 0..2_000_u32 {
            let address = IpAddr::V4((0x0b00_0000 + n).into());
            assert!(limiter.admit_at(address, s(100 + u64::from(n))).is_ok(), "idle meters are dropped");
        }
        assert!(limiter.tracked() <= 16 * 64);
    }

    proptest! {
        #[test]
        fn never_more_misses_than_the_rate_allows(steps in proptest::collection::vec(0u64..5_000, 1..300)) {
            let limiter = PublicLimiter::new(LimitSettings::default());
            let mut now = Duration::ZERO;
            let mut taken = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                if miss(&limiter, "192.0.2.1", now).is_ok() {
                    taken.push(now);
                }
            }
            for (index, from) in taken.iter().enumerate() {
                let within = taken[index..].iter().filter(|at| **at < *from + s(60)).count();
                prop_assert!(within <= 60, "a full burst and a minute's worth: {}", within);
            }
        }

        #[test]
        fn waiting_as_told_is_always_enough(count in 1u32..50, seconds in 1u64..100, tries in 1u32..100) {
            let rate = Rate { count, per: s(seconds) };
            let limiter = PublicLimiter::new(LimitSettings { misses: rate, hits: Rate { count: 1000, per: s(1) }, ..LimitSettings::default() });
            for _ in 0..tries {
                if let Err(refused) = miss(&limiter, "192.0.2.1", s(1)) {
                    prop_assert!(refused.seconds >= 1);
                    prop_assert!(limiter.admit_at(ip("192.0.2.1"), s(1 + refused.seconds)).is_ok());
                }
            }
        }
    }
}
