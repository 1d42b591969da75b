//! What was found, and how far the check is.

use crate::base::vocabulary::vocabulary;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

vocabulary! {
    /// What is wrong. The words are stable: scripts may rest on them.
    pub enum Code: "unknown-finding-code" {
        /// An event's hash is not that of what it says, when it was received and what it follows on.
        EventAltered = "event-altered",
        /// An event that must be there is not.
        EventMissing = "event-missing",
        /// An event says what no program of ours writes.
        EventUnreadable = "event-unreadable",
        /// An event was received before the one in front of it.
        TimeFell = "time-fell",
        /// A column of an event that copies its text for the search says something else.
        CopyDiffers = "copy-differs",
        /// An event names another one by a hash that is not its.
        ReferenceDiffers = "reference-differs",
        /// A personal part is not what its event committed to.
        PersonalDiffers = "personal-differs",
        /// A personal part is gone, and no erasure was recorded that covers its event.
        PersonalMissing = "personal-missing",
        /// A recorded erasure is not what was erased.
        ErasureDiffers = "erasure-differs",
        /// A column says something else than the events.
        StateDiffers = "state-differs",
        /// The events give a row that is not there.
        RowMissing = "row-missing",
        /// A row is there that no event gives.
        RowUnexplained = "row-unexplained",
        /// The table has lost its primary key: a row may be there twice.
        KeyMissing = "key-missing",
        /// The table has a column that this program knows no rule for.
        ColumnUnknown = "column-unknown",
        /// An event is neither in the register nor on its way there.
        LeafMissing = "leaf-missing",
        /// The register holds another entry for an event.
        LeafDiffers = "leaf-differs",
        /// The register has an entry that no event gives.
        LeafUnexplained = "leaf-unexplained",
        /// The register's leaves do not run 0, 1, 2 … to its size.
        LeafGap = "leaf-gap",
        /// Older events were not yet taken into the register.
        RegisterIncomplete = "register-incomplete",
        /// The published register is larger than the database's.
        PublishedLarger = "published-larger",
        /// A published file is not made of the leaves in the database.
        TileDiffers = "tile-differs",
        /// The signed root is not that of the leaves in the database.
        RootDiffers = "root-differs",
        /// The published checkpoint is not signed by a key that was given.
        SignatureInvalid = "signature-invalid",
    }
}

/// Something that is wrong. `Display` is its line: `CODE TABLE KEY [event SUBJECT/SEQ]: DETAIL`,
/// without personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// The table, or `published` for a file of the register.
    pub table: &'static str,
    /// The row's key there, its columns separated by `/`.
    pub key: String,
    /// The event that is wrong, or that contradicts the row: subject and seq.
    pub event: Option<(Uuid, i32)>,
    /// A sentence.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.table, self.key)?;
        if let Some((subject, seq)) = self.event {
            write!(f, " event {subject}/{seq}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which pass.
    pub pass: &'static str,
    /// Rows it has checked.
    pub done: u64,
    /// Rows there are, as far as that is known; 0 if not.
    pub of: u64,
}

/// Who is told.
pub trait Watch: Send {
    /// Something is wrong.
    fn found(&mut self, finding: Finding);

    /// A pass went on; called once a snapshot.
    fn went_on(&mut self, step: Step) {
        let _ = step;
    }
}

impl Watch for Vec<Finding> {
    fn found(&mut self, finding: Finding) {
        self.push(finding);
    }
}

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows checked, by pass.
    pub checked: Vec<(&'static str, u64)>,
    /// Events of the published register that were compared; nothing without one.
    pub published: Option<u64>,
    /// Findings by code.
    pub findings: BTreeMap<Code, u64>,
}

impl Summary {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked: Vec<String> = self.checked.iter().map(|(pass, rows)| format!("{rows} {pass}")).collect();
        write!(f, "Checked: {}.", checked.join(", "))?;
        match self.published {
            Some(size) => write!(f, " The published register agrees or is told of above, to {size} events.")?,
            None => f.write_str(" There was no published register to compare with.")?,
        }
        if self.is_clean() {
            return f.write_str(" Nothing is wrong.");
        }
        let found: Vec<String> =
            self.findings.iter().map(|(code, count)| format!("{count} {code}")).collect();
        write!(f, " WRONG: {}.", found.join(", "))
    }
}

/// Passes findings on and counts them.
pub(super) struct Report<'w> {
    watch: &'w mut dyn Watch,
    summary: Summary,
}

impl<'w> Report<'w> {
    pub(super) fn new(watch: &'w mut dyn Watch) -> Self {
        Self { watch, summary: Summary::default() }
    }

    /// Something is wrong with a row.
    pub(super) fn find(
        &mut self,
        code: Code,
        table: &'static str,
        key: impl fmt::Display,
        event: Option<(Uuid, i32)>,
        detail: impl Into<String>,
    ) {
        *self.summary.findings.entry(code).or_default() += 1;
        self.watch.found(Finding { code, table, key: key.to_string(), event, detail: detail.into() });
    }

    /// Something is wrong with an event.
    pub(super) fn event(&mut self, code: Code, subject: Uuid, seq: i32, detail: impl Into<String>) {
        self.find(code, "event", format_args!("{subject}/{seq}"), Some((subject, seq)), detail);
    }

    /// Something that is wrong once, however often it is looked at.
    pub(super) fn once(&mut self, code: Code, table: &'static str, key: &str, detail: &str) {
        if !self.summary.findings.contains_key(&code) {
            self.find(code, table, key, None, detail);
        }
    }

    /// A pass went on by so many rows.
    pub(super) fn went_on(&mut self, pass: &'static str, rows: usize, of: u64) {
        let rows = rows as u64;
        let done = match self.summary.checked.iter_mut().find(|(known, _)| *known == pass) {
            Some((_, done)) => {
                *done += rows;
                *done
            }
            None => {
                self.summary.checked.push((pass, rows));
                rows
            }
        };
        self.watch.went_on(Step { pass, done, of });
    }

    pub(super) fn published(&mut self, size: u64) {
        self.summary.published = Some(size);
    }

    pub(super) fn finish(self) -> Summary {
        self.summary
    }
}
