//! What was checked, and how each check came out.

use serde::Serialize;
use std::fmt;

/// A thing that is checked. The names are stable: programs may compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The file is of a known form, with nothing missing and nothing besides.
    Format,
    /// The checkpoint is signed by the register's key.
    Checkpoint,
    /// Enough witnesses countersigned the checkpoint.
    Witnesses,
    /// The checkpoint and the one seen last time are of one history.
    Memory,
    /// Every entry is of the version that is known here.
    Entry,
    /// Every entry is of the subject that the file names.
    Subject,
    /// Events run from 1 without a gap.
    Sequence,
    /// Time of receipt never falls.
    Time,
    /// Each event follows from the one before it.
    Link,
    /// Every part that is shown is what was committed to.
    Parts,
    /// Every entry commits to its three parts.
    Record,
    /// Every event is in the tree that the checkpoint is of.
    Inclusion,
    /// The register has no later event of this chain.
    Complete,
    /// The receipt is signed by the key of receipts.
    Receipt,
    /// The receipt is of these events.
    Leaves,
}

impl Check {
    /// Its name in the answer's lines and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Checkpoint => "checkpoint",
            Self::Witnesses => "witnesses",
            Self::Memory => "memory",
            Self::Entry => "entry",
            Self::Subject => "subject",
            Self::Sequence => "sequence",
            Self::Time => "time",
            Self::Link => "link",
            Self::Parts => "parts",
            Self::Record => "record",
            Self::Inclusion => "inclusion",
            Self::Complete => "complete",
            Self::Receipt => "receipt",
            Self::Leaves => "leaves",
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It does not hold, or what was asked for could not be shown.
    Failed,
    /// Nothing was given to check it with, or nothing asked for it.
    Unchecked,
}

impl Outcome {
    /// The word of the answer's line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Unchecked => "not checked",
        }
    }
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was checked.
    pub check: Check,
    /// The event that it failed at, from 1; nothing where it is about the whole file.
    pub event: Option<usize>,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, for a person.
    pub detail: String,
}

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The history of one subject with its proofs.
    Export,
    /// A tlog-proof of one entry.
    Proof,
    /// An answer to a write, with its receipt.
    Receipt,
    /// A bare checkpoint.
    Checkpoint,
}

/// Everything that was checked, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the file is.
    pub kind: Kind,
    /// One or more lines a check: one if it holds, one an event if it does not.
    pub lines: Vec<Line>,
    /// Whether a signature was checked with a key that the reader brought along.
    pub trusted: bool,
}

impl Report {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, lines: Vec::new(), trusted: false }
    }

    /// Whether no check failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.outcome != Outcome::Failed)
    }

    /// The first event that a check failed at.
    #[must_use]
    pub fn first_event(&self) -> Option<usize> {
        let failed = self.lines.iter().filter(|line| line.outcome == Outcome::Failed);
        failed.filter_map(|line| line.event).min()
    }

    pub(super) fn ok(&mut self, check: Check, detail: impl Into<String>) {
        self.line(check, Outcome::Ok, None, detail.into());
    }

    pub(super) fn failed(&mut self, check: Check, detail: impl Into<String>) {
        self.line(check, Outcome::Failed, None, detail.into());
    }

    pub(super) fn unchecked(&mut self, check: Check, detail: impl Into<String>) {
        self.line(check, Outcome::Unchecked, None, detail.into());
    }

    pub(super) fn failed_at(&mut self, check: Check, event: usize, detail: impl Into<String>) {
        self.line(check, Outcome::Failed, Some(event), detail.into());
    }

    /// A line for each event at fault, or one that says `ok`.
    pub(super) fn over(&mut self, check: Check, faults: Vec<(usize, String)>, ok: impl Into<String>) {
        if faults.is_empty() {
            self.ok(check, ok);
        }
        for (event, detail) in faults {
            self.failed_at(check, event, detail);
        }
    }

    fn line(&mut self, check: Check, outcome: Outcome, event: Option<usize>, detail: String) {
        self.lines.push(Line { check, event, outcome, detail });
    }

    /// The answer as one JSON object: `kind`, `valid`, `trusted`, `checks`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"kind": self.kind, "valid": self.holds(), "trusted": self.trusted, "checks": self.lines})
    }
}

impl fmt::Display for Report {
    /// A line a check, then what follows from them. Whatever came out of the file is made harmless
    /// for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { check, event, outcome, detail } in &self.lines {
            write!(f, "{:<12} {:<11} ", outcome.word(), check.name())?;
            if let Some(event) = event {
                write!(f, "event {event}: ")?;
            }
            writeln!(f, "{}", harmless(detail))?;
        }
        match (self.holds(), self.first_event(), self.trusted) {
            (false, Some(event), _) => writeln!(f, "NOT VALID. The first event in doubt is {event}."),
            (false, None, _) => writeln!(f, "NOT VALID."),
            (true, _, true) => writeln!(f, "Valid."),
            (true, _, false) => f.write_str(UNTRUSTED),
        }
    }
}

/// Said where everything fits together, and nothing says by whom it was made.
const UNTRUSTED: &str = "\
Sound in itself. Who signed it was not checked with a key of yours: anybody can make such a file with
keys of his own. Give --trust with the register's key, taken from somewhere else than this file.
";

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_lines_and_in_json_are_the_same() {
        use Check::{
            Checkpoint, Complete, Entry, Format, Inclusion, Leaves, Link, Memory, Parts, Receipt, Record,
            Sequence, Subject, Time, Witnesses,
        };
        for check in [
            Format, Checkpoint, Witnesses, Memory, Entry, Subject, Sequence, Time, Link, Parts, Record,
            Inclusion, Complete, Receipt, Leaves,
        ] {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }

    #[test]
    fn the_first_event_at_fault_is_found_and_nothing_reaches_the_terminal_raw() {
        let mut report = Report::new(Kind::Export);
        report.ok(Check::Format, "of 3 events");
        report.over(Check::Link, vec![(3, "does not follow from event 2".into())], "");
        report.failed_at(Check::Record, 2, "\u{1b}[2J");
        assert!(!report.holds());
        assert_eq!(report.first_event(), Some(2));
        let text = report.to_string();
        assert!(text.contains("FAILED       link        event 3: does not follow from event 2\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
