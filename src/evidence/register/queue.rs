//! How far the register is behind, as this process knows it, and what follows from that.
//!
//! The sequencer of the process notes a reading at each of its rounds; whoever asks (a write,
//! `/readyz`, `/metrics`) gets it from memory. A reading that grows old counts as lag: where
//! nothing is known of the queue, nothing good is assumed.

use super::receipt::Receipt;
use crate::evidence::chain::Leaves;
use crate::evidence::tlog::note::{Signer, VerifierKey};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// With so many leaves waiting, a round begins before its time; also the most of one round.
pub const FULL: usize = 1_000;
/// A queue whose oldest leaf waits longer takes no more: the receipts promise a minute.
pub const MOST_LAG: Duration = Duration::from_secs(30);
/// How long a reading of an empty queue is believed.
const BELIEVED: Duration = Duration::from_secs(5);

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
    /// How long the oldest leaf in the queue waits; nothing if the queue is empty.
    pub oldest: Option<Duration>,
}

/// How far the register is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Leaves of the register.
    pub size: u64,
    /// How long the oldest leaf has been waiting.
    pub lag: Duration,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("lag", &self.lag()).finish_non_exhaustive()
    }
}

impl Queue {
    /// One of which nothing is known yet, which is believed for [`MOST_LAG`]; that key signs the receipts.
    #[must_use]
    pub fn new(signer: Signer) -> Self {
        Self::begun_at(signer, Instant::now())
    }

    /// The same, of which nothing has been known since that moment, which may be still to come.
    #[must_use]
    pub fn begun_at(signer: Signer, begun: Instant) -> Self {
        Self::told(signer, Vec::new(), begun)
    }

    /// The same, with the public keys that signed receipts before this one: receipts outlive their key.
    #[must_use]
    pub fn after(signer: Signer, former: Vec<VerifierKey>) -> Self {
        Self::told(signer, former, Instant::now())
    }

    fn told(signer: Signer, former: Vec<VerifierKey>, begun: Instant) -> Self {
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

    /// The public keys that receipts are checked with: the one that signs now, then those of before.
    #[must_use]
    pub fn receipt_keys(&self) -> Vec<VerifierKey> {
        let now = self.0.signer.verifier();
        let former = self.0.former.iter().filter(|key| *key != now);
        std::iter::once(now).chain(former).cloned().collect()
    }

    /// The receipt for a posting; nothing if it added no evidence.
    #[must_use]
    pub fn receipt(&self, leaves: &Leaves) -> Option<Receipt> {
        Receipt::sign(&self.0.signer, leaves)
    }

    /// How far the register is behind; nothing before the sequencer's first reading.
    #[must_use]
    pub fn lag(&self) -> Option<Lag> {
        let (at, reading) = (*self.0.reading.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = at.elapsed();
        let lag = match reading.oldest {
            Some(age) => age + since,
            None if since > BELIEVED => since,
            None => Duration::ZERO,
        };
        Some(Lag { size: reading.size, lag })
    }

    /// The lag, if it is too long for more evidence to be taken. Without any reading it counts from
    /// the beginning: a sequencer that never gets to the database must not leave writes open for ever.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        let lag = self.lag().map_or_else(|| self.0.begun.elapsed(), |lag| lag.lag);
        Some(lag).filter(|lag| *lag > MOST_LAG)
    }

    /// Says that so many leaves were committed to the queue.
    pub fn committed(&self, leaves: usize) {
        if self.0.committed.fetch_add(leaves, Ordering::Relaxed) + leaves >= FULL {
            self.0.full.notify_one();
        }
    }

    /// Resolves when this process has committed a full round of leaves since the last one began.
    pub(super) async fn full(&self) {
        self.0.full.notified().await;
    }

    /// Says that a round begins.
    pub(super) fn begins(&self) {
        self.0.committed.store(0, Ordering::Relaxed);
    }

    /// Notes what was read just now.
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
        // The machine has been up for longer than that.
        Queue::begun_at(signer, Instant::now().checked_sub(before).unwrap())
    }

    #[test]
    fn a_queue_of_which_nothing_was_ever_read_takes_no_more_after_a_while() {
        assert_eq!(begun(MOST_LAG / 2).behind(), None, "a start takes its time");
        let queue = begun(MOST_LAG + Duration::from_secs(1));
        assert!(queue.behind().is_some_and(|lag| lag > MOST_LAG));
        assert_eq!(queue.lag(), None, "no figure is made up");
        queue.note(Reading { size: 3, oldest: None });
        assert_eq!(queue.behind(), None, "the first reading ends it");
    }
}
