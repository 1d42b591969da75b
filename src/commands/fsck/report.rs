//! The errors that `fsck` finds, its progress and its summary.

use crate::base::vocabulary::vocabulary;
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

vocabulary! {
    /// Kind of an fsck error. The words are stable: scripts may rely on them.
    pub enum Code: "unknown-finding-code" {
        /// An event's hash does not match its content, its `received_at` and the previous hash.
        EventAltered = "event-altered",
        /// An event is missing.
        EventMissing = "event-missing",
        /// An event has content that no version of this program writes.
        EventUnreadable = "event-unreadable",
        /// An event was received before the previous event of its chain.
        TimeFell = "time-fell",
        /// A search column of an event differs from the text it copies.
        CopyDiffers = "copy-differs",
        /// An event refers to another event by a hash that is not that event's.
        ReferenceDiffers = "reference-differs",
        /// A personal part does not match the commitment of its event.
        PersonalDiffers = "personal-differs",
        /// A personal part is gone, and no recorded erasure covers its event.
        PersonalMissing = "personal-missing",
        /// A recorded erasure differs from what was erased.
        ErasureDiffers = "erasure-differs",
        /// A column of present state differs from the events.
        StateDiffers = "state-differs",
        /// A row that follows from the events is missing.
        RowMissing = "row-missing",
        /// A row exists that follows from no event.
        RowUnexplained = "row-unexplained",
        /// The table has lost its primary key or a unique constraint, so rows may be duplicated; or it has lost a
        /// foreign key, so rows may refer to nothing.
        KeyMissing = "key-missing",
        /// Row security is on: it may hide rows from the check.
        RowSecurity = "row-security",
        /// A rule changes what statements on the table do.
        RuleUnexpected = "rule-unexpected",
        /// A trigger that keeps the table append-only or enforces a constraint is missing, disabled or
        /// changed.
        TriggerMissing = "trigger-missing",
        /// The table has a trigger, or the database an event trigger, that no migration made.
        TriggerUnexpected = "trigger-unexpected",
        /// A role other than the owner may change or delete evidence.
        GrantUnexpected = "grant-unexpected",
        /// The owner is the service, the publisher or another unexpected role.
        OwnerUnexpected = "owner-unexpected",
        /// The service or the publisher has an attribute or a membership that gives it further rights.
        RoleUnexpected = "role-unexpected",
        /// A stored setting decides which tables and rows a session sees, or which triggers run.
        SettingUnexpected = "setting-unexpected",
        /// The table is missing, or something else stands in its place.
        TableReplaced = "table-replaced",
        /// The table has a column that this program has no rule for.
        ColumnUnknown = "column-unknown",
        /// An event has neither a leaf in the transparency log nor a row in its queue.
        LeafMissing = "leaf-missing",
        /// An event's leaf or queue row holds another entry.
        LeafDiffers = "leaf-differs",
        /// A leaf or queue row follows from no event, or is a duplicate.
        LeafUnexplained = "leaf-unexplained",
        /// The indexes of the leaves are not 0, 1, 2 … up to the size of the tlog.
        LeafGap = "leaf-gap",
        /// Events from before the transparency log was introduced are not yet in it.
        RegisterIncomplete = "register-incomplete",
        /// The published transparency log is larger than that of the database.
        PublishedLarger = "published-larger",
        /// A published file does not match the leaves in the database.
        TileDiffers = "tile-differs",
        /// The signed root does not match the leaves in the database.
        RootDiffers = "root-differs",
        /// The published checkpoint is not signed by any of the expected keys.
        SignatureInvalid = "signature-invalid",
    }
}

/// An fsck error. `Display` gives its line: `CODE TABLE KEY [event SUBJECT/SEQ]: DETAIL`, without personal
/// data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsckError {
    /// The kind of error.
    pub code: Code,
    /// The table, or `published` for a file of the transparency log.
    pub table: &'static str,
    /// The row's primary key, its columns separated by `/`; or the file's name.
    pub key: String,
    /// The event that has the error, or that contradicts the row: subject and seq.
    pub event: Option<(Uuid, i32)>,
    /// What differs, in words.
    pub detail: String,
}

impl fmt::Display for FsckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.table, self.key)?;
        if let Some((subject, seq)) = self.event {
            write!(f, " event {subject}/{seq}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Progress of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the pass.
    pub pass: &'static str,
    /// Rows checked so far.
    pub done: u64,
    /// Estimated number of rows to check; 0 if unknown.
    pub of: u64,
}

/// Receives errors and progress while the check runs.
pub trait Watch: Send {
    /// Called for each error.
    fn found(&mut self, finding: FsckError);

    /// Called with a line that an administrator should read and that is no error.
    fn listed(&mut self, line: &str) {
        let _ = line;
    }

    /// Called with the progress of a pass, once per snapshot.
    fn progress(&mut self, step: Step) {
        let _ = step;
    }
}

impl Watch for Vec<FsckError> {
    fn found(&mut self, finding: FsckError) {
        self.push(finding);
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows checked, per pass.
    pub checked: Vec<(&'static str, u64)>,
    /// Size of the published transparency log that was compared; `None` without one.
    pub published: Option<u64>,
    /// Number of errors, by code.
    pub errors: BTreeMap<Code, u64>,
}

impl Summary {
    /// Whether the check found no errors.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked: Vec<String> = self.checked.iter().map(|(pass, rows)| format!("{rows} {pass}")).collect();
        write!(f, "Checked: {}.", checked.join(", "))?;
        match self.published {
            Some(size) => write!(
                f,
                " Compared with the published register ({size} events); any differences are listed above."
            )?,
            None => f.write_str(" There was no published register to compare with.")?,
        }
        if self.is_clean() {
            return f.write_str(" Nothing is wrong.");
        }
        let found: Vec<String> = self.errors.iter().map(|(code, count)| format!("{count} {code}")).collect();
        write!(f, " WRONG: {}.", found.join(", "))
    }
}

/// Passes errors to the [`Watch`] and counts them.
pub(super) struct Report<'w> {
    watch: &'w mut dyn Watch,
    summary: Summary,
}

impl<'w> Report<'w> {
    pub(super) fn new(watch: &'w mut dyn Watch) -> Self {
        Self { watch, summary: Summary::default() }
    }

    /// Reports an error in a row or file.
    pub(super) fn find(
        &mut self,
        code: Code,
        table: &'static str,
        key: impl fmt::Display,
        event: Option<(Uuid, i32)>,
        detail: impl Into<String>,
    ) {
        *self.summary.errors.entry(code).or_default() += 1;
        self.watch.found(FsckError { code, table, key: key.to_string(), event, detail: detail.into() });
    }

    /// Passes a line to the [`Watch`] that an administrator should read and that is no error.
    pub(super) fn list(&mut self, line: &str) {
        self.watch.listed(line);
    }

    /// Reports an error in an event.
    pub(super) fn event(&mut self, code: Code, subject: Uuid, seq: i32, detail: impl Into<String>) {
        self.find(code, "event", format_args!("{subject}/{seq}"), Some((subject, seq)), detail);
    }

    /// Reports an error unless one of the same code was reported already.
    pub(super) fn once(&mut self, code: Code, table: &'static str, key: &str, detail: &str) {
        if !self.summary.errors.contains_key(&code) {
            self.find(code, table, key, None, detail);
        }
    }

    /// Reports that a pass has checked `rows` more rows.
    pub(super) fn progress(&mut self, pass: &'static str, rows: usize, of: u64) {
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
        self.watch.progress(Step { pass, done, of });
    }

    pub(super) fn published(&mut self, size: u64) {
        self.summary.published = Some(size);
    }

    pub(super) fn finish(self) -> Summary {
        self.summary
    }
}
