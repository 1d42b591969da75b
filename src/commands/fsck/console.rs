//! Output of a check for a person at a terminal: one line per fsck error on standard output, progress on
//! standard error.

use super::report::{FsckError, Step, Watch};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the progress line is rewritten on a terminal, and how often a line is added elsewhere.
const LIVE: Duration = Duration::from_millis(200);
const LINES: Duration = Duration::from_secs(10);

/// Prints fsck errors and progress.
pub struct Console {
    live: bool,
    /// The current pass, and when it began.
    pass: Option<(&'static str, Instant)>,
    printed: Option<Instant>,
}

impl Default for Console {
    fn default() -> Self {
        Self { live: std::io::stderr().is_terminal(), pass: None, printed: None }
    }
}

impl Console {
    /// Clears the progress line of a terminal.
    pub fn finish(&self) {
        if self.live {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Watch for Console {
    fn found(&mut self, finding: FsckError) {
        self.finish();
        // A closed pipe must not end the check: the exit code still reports the result.
        let _ = writeln!(std::io::stdout(), "{finding}");
    }

    fn listed(&mut self, line: &str) {
        self.finish();
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn progress(&mut self, step: Step) {
        let now = Instant::now();
        let since = match self.pass {
            Some((pass, since)) if pass == step.pass => since,
            _ => {
                self.pass = Some((step.pass, now));
                now
            }
        };
        let every = if self.live { LIVE } else { LINES };
        if self.printed.is_some_and(|printed| now - printed < every) {
            return;
        }
        self.printed = Some(now);
        let line = line(step, now - since);
        let mut to = std::io::stderr();
        let _ = if self.live { write!(to, "\r\x1b[K{line}") } else { writeln!(to, "{line}") };
    }
}

fn line(step: Step, elapsed: Duration) -> String {
    let Step { pass, done, of } = step;
    let mut line = match of {
        0 => format!("{pass}: {done}"),
        _ => format!("{pass}: {} % ({done})", done.saturating_mul(100).checked_div(of).unwrap_or(0).min(100)),
    };
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    if let Some(rate) = done.saturating_mul(1_000).checked_div(millis) {
        line.push_str(&format!(", {rate} a second"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_fast() {
        let step = |done, of| Step { pass: "events", done, of };
        assert_eq!(
            line(step(1_500, 6_000), Duration::from_millis(500)),
            "events: 25 % (1500), 3000 a second"
        );
        assert_eq!(line(step(7_000, 6_000), Duration::ZERO), "events: 100 % (7000)");
        assert_eq!(line(step(10, 0), Duration::from_secs(1)), "events: 10, 10 a second");
    }
}
