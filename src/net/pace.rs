//! The slowest pace at which a peer may send a body or read a response.
//!
//! If only pauses were limited, a peer could move one byte a second, and so hold a connection, its memory and
//! its place for as long as it likes.

use std::time::Duration;
use tokio::time::Instant;

/// The slowest pace and the time limit of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes per second, averaged over a window. Default 8,000.
    pub bytes_per_second: u64,
    /// The window over which the pace is averaged. It is also the longest pause. Default 10 s.
    pub window: Duration,
    /// The longest time for the complete transfer. Default 120 s.
    pub total: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes_per_second: 8_000, window: Duration::from_secs(10), total: Duration::from_mins(2) }
    }
}

impl Pace {
    /// Bytes that must move in one window.
    fn bytes_per_window(&self) -> u64 {
        let bytes = u128::from(self.bytes_per_second) * self.window.as_millis() / 1_000;
        // The result is at least one byte, even with a pace of 0, so that a pause of a complete window is
        // always too slow.
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}

/// Measures the time in which a transfer waits for its peer, and the bytes that it moves.
#[derive(Debug)]
pub struct PaceMeter {
    pace: Pace,
    waited: Duration,
    bytes: u64,
    waits_since: Option<Instant>,
}

impl PaceMeter {
    /// A meter at the beginning of a window.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, waited: Duration::ZERO, bytes: 0, waits_since: None }
    }

    /// Counts bytes that were transferred; ends a wait for the peer, if there was one.
    pub fn moved(&mut self, bytes: u64, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now - since;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Notes that the transfer waits for its peer now. Returns the time of the next check, or `None` if the
    /// peer is too slow. `started` is the time at which the transfer began.
    pub fn waits(&mut self, started: Option<Instant>, now: Instant) -> Option<Instant> {
        let since = *self.waits_since.get_or_insert(now);
        let deadline = started.map(|started| started + self.pace.total);
        if deadline.is_some_and(|deadline| now >= deadline) {
            return None;
        }
        let mut left = self.pace.window.saturating_sub(self.waited + (now - since));
        if left.is_zero() {
            if self.bytes < self.pace.bytes_per_window() {
                return None;
            }
            (self.waited, self.bytes, self.waits_since) = (Duration::ZERO, 0, Some(now));
            left = self.pace.window;
        }
        let window_end = now + left;
        Some(deadline.map_or(window_end, |deadline| deadline.min(window_end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace =
        Pace { bytes_per_second: 100, window: Duration::from_secs(10), total: Duration::from_mins(1) };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Moves `bytes` every second, waiting in between; returns the second at which the peer is too slow.
    fn runs_until(bytes: u64) -> Option<u64> {
        let start = Instant::now();
        let mut meter = PaceMeter::new(PACE);
        for second in 0..600 {
            let now = start + s(second);
            meter.moved(bytes, now);
            if meter.waits(Some(start), now).is_none() {
                return Some(second);
            }
        }
        None
    }

    #[test]
    fn a_drip_is_too_slow_and_the_pace_itself_is_enough_until_the_end() {
        assert_eq!(runs_until(1), Some(10));
        assert_eq!(runs_until(99), Some(20), "the first window has eleven pieces");
        assert_eq!(runs_until(100), Some(60), "the time limit");
    }

    #[test]
    fn time_in_which_nothing_waits_for_the_peer_does_not_count() {
        let start = Instant::now();
        let mut meter = PaceMeter::new(PACE);
        for hour in 1..100 {
            let now = start + s(3_600 * hour);
            assert_eq!(meter.waits(None, now).map(|at| at <= now + s(10)), Some(true));
            meter.moved(200, now + s(1));
        }
    }

    #[test]
    fn a_silent_peer_is_too_slow_after_the_window() {
        let start = Instant::now();
        let mut meter = PaceMeter::new(PACE);
        meter.moved(50, start);
        assert_eq!(meter.waits(None, start), Some(start + s(10)));
        assert_eq!(meter.waits(None, start + s(9)), Some(start + s(10)));
        assert_eq!(meter.waits(None, start + s(10)), None);
    }
}
