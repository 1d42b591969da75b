//! The windows of seals and of batches: who has which seals, and which are void.

use super::leaf::Facts;
use super::window::{BatchWindow, MAX_CHANGES, Range, SealWindow};
use uuid::Uuid;

/// Bearers of one seal that are kept.
const MAX_LOGS: usize = 8;

impl SealWindow {
    /// Notes that a log bears the seal.
    pub(super) fn put_on(&mut self, log: Uuid, at: i64, seq: u32) {
        if self.logs.len() < MAX_LOGS && !self.logs.iter().any(|(known, ..)| *known == log) {
            self.logs.push((log, at, seq));
        }
    }

    /// Notes that the seal is void. That it was replaced on its log is no void of this kind: the log bears
    /// another from then on.
    pub(super) fn voided(&mut self, batch: Uuid, facts: &Facts<'_>) {
        let reason = facts.reason.clone().unwrap_or_default();
        if self.void.is_none() && reason != "replaced" {
            self.void = Some((facts.occurred, reason, batch, facts.seq));
        }
    }
}

impl BatchWindow {
    /// Notes a registration or a transfer.
    pub(super) fn given(&mut self, facts: &Facts<'_>) {
        let (Some(first), Some(last), Some(to)) = (facts.first, facts.last, facts.to) else { return };
        let full = between(first, last).is_some_and(|count| Some(count) == facts.quantity.map(u64::from));
        if self.ranges.len() == MAX_CHANGES {
            // The registration stays, and the newest transfers.
            self.ranges.remove(1);
        }
        self.ranges.push(Range {
            first: first.to_owned(),
            last: last.to_owned(),
            to,
            at: facts.occurred,
            full,
        });
    }

    /// Whether `organization` may have had the seal at `at`, give or take `slack`. True if it is not known.
    pub(super) fn may_use(&self, number: &str, organization: Uuid, at: i64, slack: i64) -> bool {
        let mut owner = None;
        for range in self.ranges.iter().filter(|range| {
            range.first.len() == number.len() && *range.first <= *number && *number <= *range.last
        }) {
            if range.at - slack > at {
                break;
            }
            if !range.full {
                // Some seals of the range were given away, perhaps this one.
                return true;
            }
            // Around the moment of the transfer both may be right.
            if range.at + slack > at && owner == Some(organization) {
                return true;
            }
            owner = Some(range.to);
        }
        owner.is_none_or(|owner| owner == organization)
    }
}

/// How many numbers there are from `first` to `last`, if they differ in their last digits only.
fn between(first: &str, last: &str) -> Option<u64> {
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    if first.len() != last.len() || !first.is_ascii() || !last.is_ascii() {
        return None;
    }
    if common == first.len() {
        return Some(1);
    }
    let digits = |text: &str| text[common..].parse::<u64>().ok();
    digits(last)?.checked_sub(digits(first)?)?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_between() {
        assert_eq!(between("KZ-000001", "KZ-000100"), Some(100));
        assert_eq!(between("KZ-000009", "KZ-000009"), Some(1));
        assert_eq!(between("AB1", "AC1"), None);
        assert_eq!(between("9", "10"), None);
    }

    #[test]
    fn a_seal_belongs_to_the_last_that_got_it() {
        let (operator, first, second) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let given = |from: &'static str, last: &'static str, quantity, to, occurred| Facts {
            first: Some(from),
            last: Some(last),
            quantity: Some(quantity),
            to: Some(to),
            occurred,
            ..Facts::default()
        };
        let mut batch = BatchWindow::default();
        batch.given(&given("S000", "S099", 100, operator, 0));
        batch.given(&given("S000", "S049", 50, first, 1_000));
        batch.given(&given("S010", "S019", 10, second, 2_000));
        assert!(batch.may_use("S005", first, 5_000, 10) && !batch.may_use("S005", second, 5_000, 10));
        assert!(batch.may_use("S012", second, 5_000, 10) && !batch.may_use("S012", first, 5_000, 10));
        assert!(batch.may_use("S012", first, 1_500, 10) && batch.may_use("S012", first, 2_005, 10));
        assert!(!batch.may_use("S060", first, 5_000, 10) && batch.may_use("T060", first, 5_000, 10));
        batch.given(&given("S060", "S069", 3, first, 3_000));
        assert!(batch.may_use("S065", first, 5_000, 10), "some of the range were given to it");
    }
}
