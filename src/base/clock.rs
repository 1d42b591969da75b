//! All code gets the time from a [`Clock`] that is passed to it. No other file reads the system clock
//! (`clippy.toml` forbids it), so that tests can stop the clock or set it back.

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// The source of the time: the system clock, or a clock that a test sets.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Held(Arc<AtomicI64>),
}

impl Clock {
    /// The system clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stays at `at` until [`Clock::set`] moves it; clones share it.
    #[must_use]
    pub fn held(at: DateTime<Utc>) -> Self {
        Self(Source::Held(Arc::new(AtomicI64::new(at.timestamp_micros()))))
    }

    /// The time now, truncated to microseconds, the precision of PostgreSQL and the chain.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = match &self.0 {
            Source::System => Utc::now().timestamp_micros(),
            Source::Held(at) => at.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_micros(micros).unwrap_or_default()
    }

    /// Sets a held clock, forwards or back. On the system clock this has no effect.
    pub fn set(&self, at: DateTime<Utc>) {
        if let Source::Held(held) = &self.0 {
            held.store(at.timestamp_micros(), Ordering::SeqCst);
        }
    }
}

/// Finds out whether the system clock was set while this process runs. It compares the clock with the
/// monotonic clock, which cannot be set.
#[derive(Clone, Debug)]
pub struct ClockWatch {
    clock: Clock,
    start: DateTime<Utc>,
    since: Instant,
}

impl ClockWatch {
    /// Begins to watch a clock.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { start: clock.now(), since: Instant::now(), clock }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The time that has passed on the clock since [`ClockWatch::new`], minus the time on the monotonic
    /// clock. It is positive if the clock was set forwards, and negative if it was set back.
    #[must_use]
    pub fn jump(&self) -> TimeDelta {
        let passed = TimeDelta::from_std(self.since.elapsed()).unwrap_or(TimeDelta::MAX);
        (self.clock.now() - self.start).checked_sub(&passed).unwrap_or(TimeDelta::MIN)
    }
}
