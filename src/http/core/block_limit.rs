//! The limits on buyers' reports and on failed sign-ins by block of addresses. Unlike the meters of [`crate::http::core::limit`], which are
//! refilled steadily, this counts within a window: not more than the limit in any hour. Addresses are kept in memory for
//! an hour, and nowhere else.

use crate::http::core::address::block;
use crate::http::core::limit::RetryAfter;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const HOUR: Duration = Duration::from_hours(1);

/// Counts the reports, or the failed sign-ins, of each block of addresses in the last hour.
#[derive(Debug)]
pub struct BlockLimiter {
    limit: usize,
    tracked: usize,
    start: Instant,
    /// The times of what each block did, in order.
    taken: Mutex<HashMap<IpAddr, VecDeque<Duration>>>,
}

impl BlockLimiter {
    /// `limit` reports in an hour for each block; at most `tracked` blocks are counted, further ones are refused.
    #[must_use]
    pub fn new(limit: u32, tracked: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, tracked: tracked.max(1), start: Instant::now(), taken: Mutex::default() }
    }

    /// Counts one report.
    ///
    /// # Errors
    /// If the block has as many reports in this hour as are allowed.
    pub fn take(&self, address: IpAddr) -> Result<(), RetryAfter> {
        self.take_at(address, self.start.elapsed())
    }

    /// Takes back the newest count of a block: what was counted before it was known did not count.
    pub fn give_back(&self, address: IpAddr) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = taken.get_mut(&block(address)) {
            times.pop_back();
        }
    }

    fn take_at(&self, address: IpAddr, now: Duration) -> Result<(), RetryAfter> {
        let of = block(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |at: &Duration| *at + HOUR <= now;
        if taken.len() >= self.tracked && !taken.contains_key(&of) {
            taken.retain(|_, times| times.back().is_some_and(|last| !is_over(last)));
            if taken.len() >= self.tracked {
                return Err(RetryAfter::from_wait(HOUR));
            }
        }
        let times = taken.entry(of).or_default();
        while times.front().is_some_and(is_over) {
            times.pop_front();
        }
        if times.len() >= self.limit {
            let wait = times.front().map_or(HOUR, |oldest| (*oldest + HOUR).saturating_sub(now));
            return Err(RetryAfter::from_wait(wait));
        }
        times.push_back(now);
        drop(taken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_in_any_hour_and_block() {
        let limiter = BlockLimiter::new(3, 2);
        let take = |address: &str, at| limiter.take_at(address.parse().unwrap(), s(at));
        assert_eq!((take("192.0.2.1", 0), take("192.0.2.2", 1_200)), (Ok(()), Ok(())));
        assert_eq!(take("192.0.2.3", 2_400), Ok(()));
        assert_eq!(take("192.0.2.200", 3_599), Err(RetryAfter { seconds: 1 }), "the same /24");
        assert_eq!(take("192.0.3.1", 3_599), Ok(()), "another block");
        assert_eq!(
            take("2001:db8::1", 3_599),
            Err(RetryAfter { seconds: 3_600 }),
            "no room for a third block"
        );
        assert_eq!(take("192.0.2.200", 3_600), Ok(()));
        assert_eq!(take("192.0.2.200", 3_601), Err(RetryAfter { seconds: 1_199 }));
        // Blocks without a report in the last hour make room.
        assert_eq!(take("2001:db8::1", 7_300), Ok(()));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (limiter, address) = (BlockLimiter::new(1, 16), "192.0.2.1".parse().unwrap());
        assert_eq!(limiter.take_at(address, s(0)), Ok(()));
        limiter.give_back(address);
        assert_eq!(limiter.take_at(address, s(1)), Ok(()));
        assert!(limiter.take_at(address, s(2)).is_err());
    }

    #[test]
    fn of_many_at_once_three_are_taken() {
        let limiter = BlockLimiter::new(3, 16);
        let taken = std::thread::scope(|scope| {
            let all: Vec<_> = (0..64)
                .map(|last| {
                    let limiter = &limiter;
                    scope.spawn(move || limiter.take(format!("198.51.100.{last}").parse().unwrap()).is_ok())
                })
                .collect();
            all.into_iter().filter_map(|one| one.join().ok()).filter(|taken| *taken).count()
        });
        assert_eq!(taken, 3);
    }
}
