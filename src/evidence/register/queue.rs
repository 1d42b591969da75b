//! The lag of the register as this process knows it, and the limit at which writes are refused.
//!
//! The sequencer of the process stores a reading at each of its rounds; writes, `/readyz` and
//! `/metrics` read it from memory. The age of a reading is added to the lag, because the state of
//! the queue since then is unknown.

use super::receipt::Receipt;
use crate::evidence::chain::Leaves;
use crate::evidence::tlog::note::{Signer, VerifierKey};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The maximum number of leaves of one round. When this many leaves are committed, a round starts early.
pub const FULL: usize = 1_000;
/// If the oldest leaf in the queue has waited longer than this, new writes are refused, because the receipts
/// promise one minute.
pub const MAX_LAG: Duration = Duration::from_secs(30);
/// How long a reading of an empty queue is valid.
const EMPTY_READING_TTL: Duration = Duration::from_secs(5);

/// The queue as one process knows it. Clones share it.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    signer: Signer,
    former: Vec<VerifierKey>,
    begun: Instant,
    reading: Mutex<Option<(Instant, Reading)>>,
    committed: AtomicUsize,
    full: Notify,
}

/// The queue at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Leaves of the register.
    pub size: u64,
    /// How long the oldest leaf in the queue has waited; `None` if the queue is empty.
    pub oldest: Option<Duration>,
}

/// The lag of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Leaves of the register.
    pub size: u64,
    /// How long the oldest leaf has waited, with the age of the reading.
    pub lag: Duration,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("lag", &self.lag()).finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue for which no reading is stored yet. Without a reading, writes are accepted until [`MAX_LAG`]
    /// has passed since this call. `signer` signs the receipts.
    #[must_use]
    pub fn new(signer: Signer) -> Self {
        Self::begun_at(signer, Instant::now())
    }

    /// The same as [`Queue::new`], but the time without a reading is counted from `begun`, which may be in
    /// the future.
    #[must_use]
    pub fn begun_at(signer: Signer, begun: Instant) -> Self {
        Self::build(signer, Vec::new(), begun)
    }

    /// The same as [`Queue::new`], with the public keys that signed earlier receipts. A receipt must be
    /// verifiable even after the key that signed it was replaced.
    #[must_use]
    pub fn after(signer: Signer, former: Vec<VerifierKey>) -> Self {
        Self::build(signer, former, Instant::now())
    }

    fn build(signer: Signer, former: Vec<VerifierKey>, begun: Instant) -> Self {
        Self(Arc::new(Inner {
            signer,
            former,
            begun,
            reading: Mutex::new(None),
            committed: AtomicUsize::new(0),
            full: Notify::new(),
        }))
    }

    /// The key that signs receipts.
    #[must_use]
    pub fn receipt_key(&self) -> &Signer {
        &self.0.signer
    }

    /// The public keys to verify receipts with: the current one, then the earlier ones.
    #[must_use]
    pub fn receipt_keys(&self) -> Vec<VerifierKey> {
        let now = self.0.signer.verifier();
        let former = self.0.former.iter().filter(|key| *key != now);
        std::iter::once(now).chain(former).cloned().collect()
    }

    /// The receipt for a write request; `None` if it added no events.
    #[must_use]
    pub fn receipt(&self, leaves: &Leaves) -> Option<Receipt> {
        Receipt::sign(&self.0.signer, leaves)
    }

    /// The lag of the register; `None` before the sequencer's first reading.
    #[must_use]
    pub fn lag(&self) -> Option<Lag> {
        let (at, reading) = (*self.0.reading.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = at.elapsed();
        let lag = match reading.oldest {
            Some(age) => age + since,
            None if since > EMPTY_READING_TTL => since,
            None => Duration::ZERO,
        };
        Some(Lag { size: reading.size, lag })
    }

    /// The lag, if it is so long that writes must be refused. Without any reading, the time since the
    /// start counts: a sequencer that never reaches the database must not leave writes open for ever.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        let lag = self.lag().map_or_else(|| self.0.begun.elapsed(), |lag| lag.lag);
        Some(lag).filter(|lag| *lag > MAX_LAG)
    }

    /// Counts leaves that were committed to the queue.
    pub fn committed(&self, leaves: usize) {
        if self.0.committed.fetch_add(leaves, Ordering::Relaxed) + leaves >= FULL {
            self.0.full.notify_one();
        }
    }

    /// Resolves when this process has committed enough leaves for a full round since the last round began.
    pub(super) async fn full(&self) {
        self.0.full.notified().await;
    }

    /// Resets the count of committed leaves at the start of a round.
    pub(super) fn round_started(&self) {
        self.0.committed.store(0, Ordering::Relaxed);
    }

    /// Stores a reading made now.
    pub(super) fn note(&self, reading: Reading) {
        *self.0.reading.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), reading));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tlog::note::Kind;

    fn begun(before: Duration) -> Queue {
        let signer = Signer::from_seed("orman.test/receipts", Kind::Text, &[9; 32]).unwrap();
        // `checked_sub` succeeds, because the machine has been up for longer.
        Queue::begun_at(signer, Instant::now().checked_sub(before).unwrap())
    }

    #[test]
    fn a_queue_of_which_nothing_was_ever_read_takes_no_more_after_a_while() {
        assert_eq!(begun(MAX_LAG / 2).behind(), None, "a start takes its time");
        let queue = begun(MAX_LAG + Duration::from_secs(1));
        assert!(queue.behind().is_some_and(|lag| lag > MAX_LAG));
        assert_eq!(queue.lag(), None, "no figure is made up");
        queue.note(Reading { size: 3, oldest: None });
        assert_eq!(queue.behind(), None, "the first reading ends it");
    }
}
