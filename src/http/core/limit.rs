//! The rate limit of the public check by client address, so that codes cannot be guessed and one client
//! cannot use all capacity.
//!
//! Each subscriber (an IPv4 address or an IPv6 /64) has its own meters. Every check counts as a hit, and a
//! check that finds nothing also counts as a miss. Hits are limited per second and per day, and misses per
//! minute. A client that reaches one of these limits gets 429 for every code that can be guessed. The code is
//! not looked up before, because the difference between 429 and 200 would show which codes exist. Codes that
//! cannot be guessed are an exception, because mobile operators let many phones share one address: their
//! checks then have a budget of their own.
//!
//! A miss is known only after the check, and several checks of a client may be running at that time. All of
//! their misses are counted, even beyond the limit, so that concurrent checks gain nothing. This needs a
//! meter of our own: the meters of rate-limiting crates can neither test a limit without consuming from it
//! nor count beyond it.

use crate::base::ids::KeyId;
use crate::http::core::address::subscriber;
use crate::http::core::block_limit::BlockLimiter;
use crate::http::core::daily::{DailyBudgets, per_day};
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
    /// The generic cell rate algorithm: `at` is the time at which everything taken so far is paid off.
    /// Returns how long to wait before one more can be taken; `None` if there is no wait.
    fn wait(self, at: Duration, now: Duration) -> Option<Duration> {
        let burst = self.step() * (self.count.max(1) - 1);
        at.checked_sub(now + burst).filter(|wait| !wait.is_zero())
    }

    fn take(self, at: &mut Duration, now: Duration) {
        *at = (*at).max(now) + self.step();
    }

    /// The same as [`Rate::wait`], for `count` at once. If `count` is more than the rate's own count, there
    /// is always a wait, so it is never accepted.
    pub(super) fn wait_many(self, at: Duration, count: usize, now: Duration) -> Option<Duration> {
        let taken = at.max(now).saturating_add(self.steps(count));
        taken.checked_sub(now + self.step() * self.count.max(1)).filter(|wait| !wait.is_zero())
    }

    pub(super) fn take_many(self, at: &mut Duration, count: usize, now: Duration) {
        *at = (*at).max(now).saturating_add(self.steps(count));
    }

    fn steps(self, count: usize) -> Duration {
        self.step().saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn step(self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// The limits for client addresses without a token, and for keys.
#[derive(Clone, Copy, Debug)]
pub struct LimitSettings {
    /// Checks that find nothing. Default 30 a minute.
    pub misses: Rate,
    /// Checks of any outcome. Default 20 a second.
    pub hits: Rate,
    /// Checks of genuine codes after the misses or the hits are used up. Default 60 a minute.
    pub genuine: Rate,
    /// Checks of any outcome in a day, of an address without a token; 0: no bound. Default 2,000.
    pub hits_per_day: u32,
    /// Checks of any outcome in a day, of a key; 0: no bound. Default 20,000.
    pub hits_per_key_and_day: u32,
    /// Unknown BINs that a key names in a day; 0: no bound. Default 200.
    pub unknown_bins_per_key_and_day: u32,
    /// Photos that a key uploads in a day; 0: no bound. Default 500.
    pub photos_per_key_and_day: u32,
    /// Buyers' reports that a block of addresses sends in an hour. Default 3.
    pub reports_per_block_and_hour: u32,
    /// Sign-ins with an invalid key that a block of addresses sends in an hour. Default 30.
    pub failed_sign_ins_per_block_and_hour: u32,
    /// How many subscribers have meters of their own; further subscribers share meters. Default
    /// 262,144, which is about 20 MB.
    pub tracked: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            misses: Rate { count: 30, per: Duration::from_mins(1) },
            hits: Rate { count: 20, per: Duration::from_secs(1) },
            genuine: Rate { count: 60, per: Duration::from_mins(1) },
            hits_per_day: 2_000,
            hits_per_key_and_day: 20_000,
            unknown_bins_per_key_and_day: 200,
            photos_per_key_and_day: 500,
            reports_per_block_and_hour: 3,
            failed_sign_ins_per_block_and_hour: 30,
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
    key_hits: DailyBudgets<[u8; 32]>,
    unknown_bins: DailyBudgets<KeyId>,
    photos: DailyBudgets<KeyId>,
    reports: BlockLimiter,
    sign_ins: BlockLimiter,
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
    genuine: Duration,
    day: Duration,
    /// Whether many subscribers share these meters. They then have no daily limit, since one of them would
    /// use it up for all.
    is_shared: bool,
}

/// A check that may proceed. Call [`Permit::miss`] if it finds nothing.
#[derive(Debug)]
#[must_use = "a check that finds nothing has to be counted"]
pub struct Permit {
    limiter: PublicLimiter,
    subscriber: IpAddr,
    counts_misses: bool,
}

/// The limit is reached; contains the time until the next check is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter {
    /// Whole seconds, rounded up, at least 1.
    pub seconds: u64,
}

impl RetryAfter {
    pub(in crate::http) fn from_wait(wait: Duration) -> Self {
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
        let shared = Meters { is_shared: true, ..Meters::default() };
        let shard = || Shard { meters: HashMap::new(), shared, sweep_at: SWEEP_FROM };
        Self(Arc::new(Inner {
            settings,
            start: Instant::now(),
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::new(shard())),
            key_hits: DailyBudgets::new(settings.hits_per_key_and_day),
            unknown_bins: DailyBudgets::new(settings.unknown_bins_per_key_and_day),
            photos: DailyBudgets::new(settings.photos_per_key_and_day),
            reports: BlockLimiter::new(settings.reports_per_block_and_hour, settings.tracked),
            sign_ins: BlockLimiter::new(settings.failed_sign_ins_per_block_and_hour, settings.tracked),
        }))
    }

    /// The checks of a key in a day, by the hash of its token.
    #[must_use]
    pub fn key_hits(&self) -> &DailyBudgets<[u8; 32]> {
        &self.0.key_hits
    }

    /// The unknown BINs that a key names in a day.
    #[must_use]
    pub fn unknown_bins(&self) -> &DailyBudgets<KeyId> {
        &self.0.unknown_bins
    }

    /// The photos that a key uploads in a day.
    #[must_use]
    pub fn photos(&self) -> &DailyBudgets<KeyId> {
        &self.0.photos
    }

    /// The buyers' reports of a block of addresses in an hour.
    #[must_use]
    pub fn reports(&self) -> &BlockLimiter {
        &self.0.reports
    }

    /// The failed sign-ins of a block of addresses in an hour.
    #[must_use]
    pub fn sign_ins(&self) -> &BlockLimiter {
        &self.0.sign_ins
    }

    /// Takes one check from the subscriber's budget. If the subscriber's hits or misses are used up, calls
    /// `is_genuine`, which decides without the database whether the code cannot be found by guessing. In that
    /// case only such a code is checked, and the check is taken from a budget for genuine codes.
    ///
    /// # Errors
    /// If the check is not accepted; contains the time after which the client may try again.
    pub fn admit(&self, address: IpAddr, is_genuine: impl FnOnce() -> bool) -> Result<Permit, RetryAfter> {
        self.admit_code_at(address, self.0.start.elapsed(), is_genuine)
    }

    fn admit_code_at(
        &self,
        address: IpAddr,
        now: Duration,
        is_genuine: impl FnOnce() -> bool,
    ) -> Result<Permit, RetryAfter> {
        let Rates { hits, misses, genuine, day } = self.rates();
        let capacity = self.0.settings.tracked / SHARDS;
        let subscriber = subscriber(address);
        let mut shard = self.shard(subscriber);
        let meters = shard.meters(subscriber, now, capacity);
        let day = day.filter(|_| !meters.is_shared);
        let too_fast = hits.wait(meters.hits, now);
        let used_up = misses.wait(meters.misses, now).max(day.and_then(|day| day.wait(meters.day, now)));
        let Some(wait) = used_up.max(too_fast) else {
            hits.take(&mut meters.hits, now);
            if let Some(day) = day {
                day.take(&mut meters.day, now);
            }
            drop(shard);
            return Ok(Permit { limiter: self.clone(), subscriber, counts_misses: true });
        };
        // The limit of hits per second does not apply to genuine codes, because checks of other codes from
        // the same address could use it up. It is not needed for genuine codes: checking a signature takes
        // less than a tenth of a millisecond, and the response to a refused check is delayed.
        let has_budget = genuine.wait(meters.genuine, now).is_none();
        drop(shard);
        if !has_budget || !is_genuine() {
            return Err(RetryAfter::from_wait(wait));
        }
        let mut shard = self.shard(subscriber);
        genuine.take(&mut shard.meters(subscriber, now, capacity).genuine, now);
        drop(shard);
        Ok(Permit { limiter: self.clone(), subscriber, counts_misses: false })
    }

    fn miss_at(&self, subscriber: IpAddr, now: Duration) {
        let mut shard = self.shard(subscriber);
        let meters = shard.meters(subscriber, now, self.0.settings.tracked / SHARDS);
        self.rates().misses.take(&mut meters.misses, now);
    }

    fn rates(&self) -> Rates {
        let LimitSettings { hits, misses, genuine, hits_per_day, .. } = self.0.settings;
        Rates { hits, misses, genuine, day: per_day(hits_per_day) }
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
    genuine: Rate,
    day: Option<Rate>,
}

impl Permit {
    /// The check found nothing.
    pub fn miss(self) {
        if self.counts_misses {
            self.limiter.miss_at(self.subscriber, self.limiter.0.start.elapsed());
        }
    }
}

impl Shard {
    fn meters(&mut self, subscriber: IpAddr, now: Duration, capacity: usize) -> &mut Meters {
        if self.meters.len() >= self.sweep_at.min(capacity) && !self.meters.contains_key(&subscriber) {
            // Meters that are full again are removed, because a new subscriber starts with full meters too.
            self.meters.retain(|_, meters| {
                let Meters { hits, misses, genuine, day, .. } = *meters;
                [hits, misses, genuine, day].into_iter().any(|paid_at| paid_at > now)
            });
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

    impl PublicLimiter {
        /// A check of a code that can be guessed.
        fn admit_at(&self, address: IpAddr, now: Duration) -> Result<Permit, RetryAfter> {
            self.admit_code_at(address, now, || false)
        }
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
            // There is one check every 50 ms, so that the limit on hits (20 a second) is not reached.
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
    fn a_genuine_code_is_admitted_after_the_misses_from_a_budget_of_its_own() {
        let limiter = PublicLimiter::new(LimitSettings::default());
        for _ in 0..100 {
            limiter.miss_at(ip("192.0.2.1"), s(10));
        }
        let at = |n: u32| s(10) + Duration::from_millis(50) * n;
        assert!(limiter.admit_at(ip("192.0.2.1"), at(0)).is_err(), "a number is refused");
        for n in 1..=63 {
            let permit = limiter.admit_code_at(ip("192.0.2.1"), at(n), || true).unwrap();
            // A miss from the budget for genuine codes does not prolong the refusal of other codes.
            permit.miss();
            assert!(limiter.admit_code_at(ip("192.0.2.2"), at(n), || panic!("not asked")).is_ok());
        }
        let refused = limiter.admit_code_at(ip("192.0.2.1"), at(64), || panic!("used up")).unwrap_err();
        assert_eq!(refused.seconds, 139, "100 misses, 30 of them at once, less 3 s");
        assert!(limiter.admit_code_at(ip("192.0.2.1"), at(82), || true).is_ok(), "one a second");
        assert!(limiter.admit_at(ip("192.0.2.1"), at(101)).is_err());
    }

    #[test]
    fn a_flood_of_other_codes_takes_nothing_from_genuine_ones() {
        let limiter = PublicLimiter::new(LimitSettings::default());
        let address = ip("192.0.2.1");
        for n in 0..6_000 {
            let now = s(10) + Duration::from_millis(5) * n;
            if let Ok(permit) = limiter.admit_code_at(address, now, || false) {
                limiter.miss_at(permit.subscriber, now);
            }
            if n % 200 == 199 {
                assert!(limiter.admit_code_at(address, now, || true).is_ok(), "after {n}");
            }
        }
    }

    #[test]
    fn two_thousand_hits_of_a_day() {
        let limiter = PublicLimiter::new(LimitSettings::default());
        let at = |n: u32| s(10) + Duration::from_millis(50) * n;
        let admitted = (0..4_000).filter(|n| limiter.admit_at(ip("192.0.2.1"), at(*n)).is_ok()).count();
        assert_eq!(admitted, 2_004, "and one in 43 s");
        assert!(limiter.admit_code_at(ip("192.0.2.1"), at(4_000), || true).is_ok());
        assert!(limiter.admit_at(ip("192.0.2.2"), at(4_000)).is_ok());
        let unbounded = PublicLimiter::new(LimitSettings { hits_per_day: 0, ..LimitSettings::default() });
        assert!((0..4_000).all(|n| unbounded.admit_at(ip("192.0.2.1"), at(n)).is_ok()));
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
