//! Daily budgets of keys: how many codes a key checks, and how many unknown BINs it names.
//!
//! Seal numbers are consecutive and BINs have a structure, so without a budget any key could list all logs or
//! all organisations. A budget can be used at once, and is refilled evenly over a day. It is kept in memory,
//! so each instance counts for itself, and a restart begins anew.

use crate::base::ids::KeyId;
use crate::http::core::app::App;
use crate::http::core::limit::{Rate, RetryAfter};
use crate::http::core::problem::{Problem, ProblemType};
use axum::response::Response;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_hours(24);
/// If the map has this many keys or more, the keys with a full budget are removed before a new key is added.
const SWEEP_FROM: usize = 4_096;

/// `count` a day, as a rate; `None` for 0, which means no limit.
#[must_use]
pub fn per_day(count: u32) -> Option<Rate> {
    (count > 0).then_some(Rate { count, per: DAY })
}

/// A daily budget for each key.
#[derive(Debug)]
pub struct DailyBudgets<K> {
    rate: Option<Rate>,
    start: Instant,
    /// For each key, the time at which its budget is full again. The number is the size of the map at which
    /// keys with a full budget are removed.
    paid_at: Mutex<(HashMap<K, Duration>, usize)>,
}

/// A daily budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetUsed(pub RetryAfter);

impl From<BudgetUsed> for Problem {
    fn from(BudgetUsed(RetryAfter { seconds }): BudgetUsed) -> Self {
        let detail = format!("This key has used up its daily budget. Try again in {seconds} s.");
        Self::new(ProblemType::TooManyRequests, detail).retry_after(seconds)
    }
}

impl<K: Copy + Eq + Hash> DailyBudgets<K> {
    /// A budget of `per_day_and_key` for each key and day; 0 means no limit.
    #[must_use]
    pub fn new(per_day_and_key: u32) -> Self {
        let paid_at = Mutex::new((HashMap::new(), SWEEP_FROM));
        Self { rate: per_day(per_day_and_key), start: Instant::now(), paid_at }
    }

    /// Takes `count` uses from the key's budget: all of them or none.
    ///
    /// # Errors
    /// If the budget has fewer than `count` uses left.
    pub fn take(&self, key: K, count: usize) -> Result<(), BudgetUsed> {
        self.take_at(key, count, self.start.elapsed(), true)
    }

    /// Checks that the key's budget has `count` uses left, without taking any.
    ///
    /// # Errors
    /// If the budget has fewer than `count` uses left.
    pub fn check(&self, key: K, count: usize) -> Result<(), BudgetUsed> {
        self.take_at(key, count, self.start.elapsed(), false)
    }

    /// Takes `count` uses from the key's budget, even if fewer are left: for uses that are counted only after
    /// the work is done.
    pub fn charge(&self, key: K, count: usize) {
        let now = self.start.elapsed();
        if let Some(rate) = self.rate {
            let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            rate.take_many(Self::entry(&mut paid_at, key, now), count, now);
        }
    }

    fn take_at(&self, key: K, count: usize, now: Duration, takes: bool) -> Result<(), BudgetUsed> {
        let Some(rate) = self.rate else { return Ok(()) };
        // A poisoned lock is harmless: entries are changed in one step.
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = paid_at.0.get(&key).copied().unwrap_or_default();
        if let Some(wait) = rate.wait_many(paid, count, now) {
            return Err(BudgetUsed(RetryAfter::from_wait(wait)));
        }
        if takes {
            rate.take_many(Self::entry(&mut paid_at, key, now), count, now);
        }
        Ok(())
    }

    fn entry(
        (paid_at, sweep_at): &mut (HashMap<K, Duration>, usize),
        key: K,
        now: Duration,
    ) -> &mut Duration {
        if paid_at.len() >= *sweep_at && !paid_at.contains_key(&key) {
            paid_at.retain(|_, paid| *paid > now);
            *sweep_at = (2 * paid_at.len()).max(SWEEP_FROM);
        }
        paid_at.entry(key).or_default()
    }
}

/// Runs `work`, a write that names the BIN of another organisation, unless the key's daily budget of unknown
/// BINs is used up. Then charges the budget with the BINs that `work` has refused as unknown.
pub(in crate::http) async fn with_bins(
    app: &App,
    key: KeyId,
    work: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    app.limiter.unknown_bins().check(key, 1)?;
    let result = work.await;
    if let Err(problem) = &result {
        let unknown = problem.errors().iter().filter(|error| error.code == "unknown-organization").count();
        if unknown > 0 {
            app.limiter.unknown_bins().charge(key, unknown);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_has_its_budget_and_another_key_has_its_own() {
        let budgets = DailyBudgets::new(1_000);
        assert_eq!(budgets.take_at(1, 999, s(0), true), Ok(()));
        assert!(budgets.take_at(1, 2, s(0), true).is_err(), "all or nothing");
        assert_eq!(budgets.take_at(1, 1, s(0), true), Ok(()));
        let BudgetUsed(refused) = budgets.take_at(1, 1, s(0), true).unwrap_err();
        assert_eq!(refused.seconds, 87, "a thousandth of a day, rounded up");
        assert_eq!(budgets.take_at(2, 1_000, s(0), true), Ok(()));
        assert_eq!(budgets.take_at(1, 1, s(87), true), Ok(()), "Retry-After is honest");
        assert_eq!(budgets.take_at(1, 1_000, s(2 * 24 * 3_600), true), Ok(()));
    }

    #[test]
    fn checking_takes_nothing_and_a_charge_is_always_taken() {
        let budgets = DailyBudgets::new(2);
        assert_eq!((budgets.check("birch", 2), budgets.check("birch", 2)), (Ok(()), Ok(())));
        budgets.charge("birch", 5);
        assert!(budgets.check("birch", 1).is_err());
    }

    #[test]
    fn zero_is_no_bound_and_more_than_the_budget_is_never_taken() {
        let unbounded = DailyBudgets::new(0);
        assert_eq!(unbounded.take(1, usize::MAX), Ok(()));
        unbounded.charge(1, usize::MAX);
        let budgets = DailyBudgets::new(10);
        assert!(budgets.take(1, 11).is_err());
        assert_eq!(budgets.take(1, 10), Ok(()));
    }

    #[test]
    fn keys_with_an_unused_budget_are_removed() {
        let budgets = DailyBudgets::new(86_400);
        for key in 0..u64::try_from(4 * SWEEP_FROM).unwrap() {
            assert_eq!(budgets.take_at(key, 1, s(2 * key), true), Ok(()));
        }
        assert!(budgets.paid_at.lock().unwrap().0.len() <= SWEEP_FROM);
    }
}
