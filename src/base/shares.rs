//! Equal shares of a limited resource, one for each owner that uses it at the moment, so that no owner can
//! take all of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// If the map has at least this many shares, the unused ones are removed before a new one is added.
const SWEEP_FROM: usize = 256;

/// The shares.
#[derive(Debug)]
pub struct Shares<K> {
    permits: usize,
    of: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    /// Each owner gets a share of `permits` permits, but of at least one.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits: permits.clamp(1, Semaphore::MAX_PERMITS), of: Mutex::new(HashMap::new()) }
    }

    /// The permits of one share.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// The share of `owner`. It exists as long as one of its permits is held or waited for.
    #[must_use]
    pub fn of(&self, owner: K) -> Arc<Semaphore> {
        // A poisoned lock is harmless: an entry is inserted completely or not at all.
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = of.get(&owner).and_then(Weak::upgrade) {
            return share;
        }
        if of.len() >= SWEEP_FROM {
            of.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.permits));
        of.insert(owner, Arc::downgrade(&share));
        share
    }
}

/// The permits for the memory of a response: one part is from the owner's share, one from the memory that all
/// owners share.
#[derive(Debug)]
pub struct MemoryPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl MemoryPermit {
    /// Both permits together.
    #[must_use]
    pub fn new(own: OwnedSemaphorePermit, all: OwnedSemaphorePermit) -> Self {
        Self { _own: own, _all: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lasts_as_long_as_its_permits() {
        let shares = Shares::new(2);
        let permit = shares.of("birch").try_acquire_many_owned(2).unwrap();
        assert!(shares.of("birch").try_acquire_owned().is_err());
        assert!(shares.of("pine").try_acquire_owned().is_ok());
        drop(permit);
        assert!(shares.of("birch").try_acquire_owned().is_ok());
    }

    #[test]
    fn unused_shares_are_removed() {
        let shares = Shares::new(1);
        let kept = shares.of(0).try_acquire_owned().unwrap();
        for owner in 0..10 * SWEEP_FROM {
            let _ = shares.of(owner);
        }
        assert!(shares.of.lock().unwrap().len() <= SWEEP_FROM);
        assert!(shares.of(0).try_acquire_owned().is_err(), "one in use is not removed");
        drop(kept);
    }
}
