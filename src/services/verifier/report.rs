//! The report: every check with its outcome.

use serde::Serialize;
use std::fmt;

/// A check. The names are stable: programs may compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The file is in a known format, without missing or additional members.
    Format,
    /// The checkpoint is signed by the register's key.
    Checkpoint,
    /// Enough witnesses have cosigned the checkpoint.
    Witnesses,
    /// The checkpoint is consistent with the one seen last.
    Memory,
    /// Every entry has the only format version that this program knows.
    Entry,
    /// Every entry has the ref of the file's subject.
    Subject,
    /// Events are numbered from 1 without a gap.
    Sequence,
    /// The time of receipt never decreases.
    Time,
    /// Each event has the hash of the event before it.
    Link,
    /// Every disclosed part matches its commitment.
    Parts,
    /// Every entry's record is the hash of its three commitments.
    Record,
    /// The file is about the seal that the user has named. Without a seal, the line only states which log,
    /// ticket, batch or organisation the file is about.
    About,
    /// Every event is in the checkpoint's tree.
    Inclusion,
    /// The register has no later event of this chain.
    Complete,
    /// The receipt is signed by a trusted key.
    Receipt,
    /// The receipt promises exactly the events that the response lists.
    Leaves,
}

impl Check {
    /// Its name in the report's lines and in JSON.
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
            Self::About => "about",
            Self::Inclusion => "inclusion",
            Self::Complete => "complete",
            Self::Receipt => "receipt",
            Self::Leaves => "leaves",
        }
    }
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The check passed.
    Ok,
    /// The check failed, or a requested check could not be made.
    Failed,
    /// Everything shown is valid, but the register has more that is not shown, or the user has seen a newer
    /// checkpoint and given nothing that connects the two.
    Incomplete,
    /// The input for the check was not given.
    Unchecked,
}

impl Outcome {
    /// The word in the report's line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "FAILED",
            Self::Incomplete => "INCOMPLETE",
            Self::Unchecked => "not checked",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The check.
    pub check: Check,
    /// The event that the line is about, from 1; `None` if it is about the complete file.
    pub event: Option<usize>,
    /// The outcome.
    pub outcome: Outcome,
    /// Details for people.
    pub detail: String,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The history of one subject with its proofs.
    Export,
    /// A tlog-proof of one entry.
    Proof,
    /// The response to a write, with its receipt.
    Receipt,
    /// A bare checkpoint.
    Checkpoint,
}

/// The result of all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No check failed, and a signature was verified with a trusted key.
    Valid,
    /// No check failed, but no trusted key was used.
    Untrusted,
    /// No check failed, but the register has later events, which the file does not show, or may have.
    Incomplete,
    /// A check failed.
    Invalid,
}

/// All checks of a file, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The kind of the file.
    pub kind: Kind,
    /// The lines, in the order of the checks. A check has several lines if it failed, or could not be made,
    /// at several events.
    pub lines: Vec<Line>,
    /// Whether a signature was verified with a key that the user trusts.
    pub trusted: bool,
}

impl Report {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, lines: Vec::new(), trusted: false }
    }

    /// Whether the file is valid and complete: no check failed, and no check found later events in the
    /// register.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(self.verdict(), Verdict::Valid | Verdict::Untrusted)
    }

    /// The result of all checks.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let any = |outcome| self.lines.iter().any(|line| line.outcome == outcome);
        if any(Outcome::Failed) {
            Verdict::Invalid
        } else if any(Outcome::Incomplete) {
            Verdict::Incomplete
        } else if self.trusted {
            Verdict::Valid
        } else {
            Verdict::Untrusted
        }
    }

    /// The first event at which a check failed.
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

    pub(super) fn incomplete(&mut self, check: Check, detail: impl Into<String>) {
        self.line(check, Outcome::Incomplete, None, detail.into());
    }

    pub(super) fn unchecked_at(&mut self, check: Check, event: usize, detail: impl Into<String>) {
        self.line(check, Outcome::Unchecked, Some(event), detail.into());
    }

    pub(super) fn failed_at(&mut self, check: Check, event: usize, detail: impl Into<String>) {
        self.line(check, Outcome::Failed, Some(event), detail.into());
    }

    /// A failed line for each event in `errors`, or one `ok` line if there are none.
    pub(super) fn failed_each(&mut self, check: Check, errors: Vec<(usize, String)>, ok: impl Into<String>) {
        if errors.is_empty() {
            self.ok(check, ok);
        }
        for (event, detail) in errors {
            self.failed_at(check, event, detail);
        }
    }

    fn line(&mut self, check: Check, outcome: Outcome, event: Option<usize>, detail: String) {
        self.lines.push(Line { check, event, outcome, detail });
    }

    /// The report as one JSON object: `kind`, `valid`, `verdict`, `trusted`, `checks`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.kind, "valid": self.holds(), "verdict": self.verdict(), "trusted": self.trusted,
            "checks": self.lines
        })
    }
}

impl fmt::Display for Report {
    /// The lines of the checks, then the verdict. Control characters, which may come from the file, are
    /// replaced, so that they cannot reach a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { check, event, outcome, detail } in &self.lines {
            write!(f, "{:<12} {:<11} ", outcome.word(), check.name())?;
            if let Some(event) = event {
                write!(f, "event {event}: ")?;
            }
            writeln!(f, "{}", harmless(detail))?;
        }
        match (self.verdict(), self.first_event()) {
            (Verdict::Invalid, Some(event)) => writeln!(f, "NOT VALID. The first event in doubt is {event}."),
            (Verdict::Invalid, None) => writeln!(f, "NOT VALID."),
            (Verdict::Valid, _) => writeln!(f, "Valid."),
            (Verdict::Incomplete, _) if self.trusted => writeln!(f, "Valid as far as shown."),
            (Verdict::Incomplete, _) => write!(f, "Incomplete. {UNTRUSTED}{TRUST}"),
            (Verdict::Untrusted, _) if self.kind == Kind::Receipt => write!(f, "{UNTRUSTED}{RECEIPTS}"),
            (Verdict::Untrusted, _) => write!(f, "{UNTRUSTED}{TRUST}"),
        }
    }
}

/// The verdict if no check failed, but no trusted key was used.
const UNTRUSTED: &str = "\
Sound in itself. The signature was not checked with a key that you trust: anyone can make such a file
with keys of their own. ";
const TRUST: &str = "Give --trust with the register's key, from a source other than this file.\n";
const RECEIPTS: &str = "Give --receipts with the key of receipts, from a source other than this file.\n";

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_lines_and_in_json_are_the_same() {
        use Check::{
            About, Checkpoint, Complete, Entry, Format, Inclusion, Leaves, Link, Memory, Parts, Receipt,
            Record, Sequence, Subject, Time, Witnesses,
        };
        for check in [
            Format, Checkpoint, Witnesses, Memory, Entry, Subject, Sequence, Time, Link, Parts, Record,
            About, Inclusion, Complete, Receipt, Leaves,
        ] {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }

    #[test]
    fn the_first_event_at_fault_is_found_and_nothing_reaches_the_terminal_raw() {
        let mut report = Report::new(Kind::Export);
        report.ok(Check::Format, "of 3 events");
        report.failed_each(Check::Link, vec![(3, "does not follow from event 2".into())], "");
        report.failed_at(Check::Record, 2, "\u{1b}[2J");
        assert!(!report.holds());
        assert_eq!(report.first_event(), Some(2));
        let text = report.to_string();
        assert!(text.contains("FAILED       link        event 3: does not follow from event 2\n"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
