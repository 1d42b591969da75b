//! Errors of a request: [`Malformed`], which makes the entire body unreadable, and the field errors of a
//! readable body.

use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::input::Node;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Maximum number of field errors in a response. Otherwise the response to a hostile batch could have
/// more bytes than the batch; a person corrects a thousand errors before needing to see more.
pub const MAX_FIELD_ERRORS: usize = 1_000;

/// The body (or query) does not have the declared format, so its fields cannot be read: 400.
///
/// Codes: `not-json`, `not-utf8`, `nul-character`, `lone-surrogate`, `duplicate-key`, `too-deep`,
/// `too-many-values`, `too-large`, `not-csv`, `unknown-charset`, `not-a-query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line of the body (from 1) and the number of the character in this line (from 1, written as text),
    /// or the query parameter.
    pub at: Location,
    /// Stable code.
    pub code: &'static str,
    /// One sentence.
    pub detail: Cow<'static, str>,
}

impl Malformed {
    /// An error at byte `offset` of `source`.
    pub(super) fn in_text(
        source: &[u8],
        offset: usize,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let before = &source[..offset.min(source.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        // Editors count characters, so the continuation bytes of a UTF-8 character are not counted.
        let characters = before[line_start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        let at = Location::Cell {
            line: u64::try_from(line).unwrap_or(u64::MAX),
            column: (characters + 1).to_string(),
        };
        Self { at, code, detail: detail.into() }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for FieldError {
    fn from(malformed: Malformed) -> Self {
        Self::new(malformed.at, malformed.code, malformed.detail)
    }
}

/// Collects the field errors of one request. Beyond [`MAX_FIELD_ERRORS`] it only counts.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    entries: Vec<FieldError>,
    more: usize,
    /// Columns that a table lacks, with the codes reported for them, so that a missing column is reported
    /// once and not again for each row.
    missing: Vec<(Location, &'static str)>,
}

impl Errors {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of errors, including those beyond the limit.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len() + self.more
    }

    /// Whether there are no errors so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a further error is only counted, so that its sentence need not be composed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MAX_FIELD_ERRORS
    }

    /// Adds an error that has its location.
    pub fn push(&mut self, entry: FieldError) {
        self.add(|| entry);
    }

    /// Refuses the value of `node`.
    pub fn refuse(&mut self, node: Node<'_>, invalid: Invalid) {
        self.add(|| FieldError::invalid(node.at(), invalid));
    }

    /// Refuses the member `name` of the object `node`; the member may be absent.
    pub fn refuse_field(&mut self, node: Node<'_>, name: &str, invalid: Invalid) {
        if node.lacks_column(name) {
            let missing = (node.at_field(name), invalid.code);
            if self.missing.contains(&missing) {
                return;
            }
            self.missing.push(missing);
        }
        self.add(|| FieldError::invalid(node.at_field(name), invalid));
    }

    /// Returns the value if there were no errors, otherwise all errors. If there were more than
    /// [`MAX_FIELD_ERRORS`], the last one has the code `too-many-errors` and the number of those that are not
    /// listed.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<FieldError>> {
        let Self { mut entries, more, .. } = self;
        match read {
            Some(value) if entries.is_empty() => return Ok(value),
            None if entries.is_empty() => {
                let detail = "The request cannot be read.";
                entries.push(FieldError::new(Location::Pointer(String::new()), "unreadable", detail));
            }
            _ => {}
        }
        sort_cells(&mut entries);
        if more > 0 {
            let detail = format!("{more} more errors are not listed.");
            entries.push(FieldError::new(Location::Pointer(String::new()), "too-many-errors", detail));
        }
        Err(entries)
    }

    /// Adds an error, if there is one.
    pub fn push_some(&mut self, entry: Option<FieldError>) {
        if let Some(entry) = entry {
            self.push(entry);
        }
    }

    /// Adds the errors of `other` after these.
    pub fn append(&mut self, other: Self) {
        for entry in other.entries {
            self.push(entry);
        }
        self.more += other.more;
    }

    /// `entry` is a closure, so that the location is computed only for errors that are listed.
    fn add(&mut self, entry: impl FnOnce() -> FieldError) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.entries.push(entry());
        }
    }
}

/// Sorts the errors of a table by line, then by the name of the column. An error of an entire line comes
/// before those of its cells. Errors with other locations, such as query parameters, come first and keep
/// their order.
fn sort_cells(entries: &mut [FieldError]) {
    entries.sort_by(|a, b| match (&a.at, &b.at) {
        (Location::Cell { line, column }, Location::Cell { line: other, column: of_other }) => {
            (line, column).cmp(&(other, of_other))
        }
        (Location::Cell { .. }, _) => Ordering::Greater,
        (_, Location::Cell { .. }) => Ordering::Less,
        _ => Ordering::Equal,
    });
}

/// The errors of one request, from all checks that it did not pass. The number of errors in each list is
/// limited, and so is the number of all errors.
#[derive(Debug, Default)]
pub struct RequestErrors {
    /// Well-formed but invalid: 422.
    pub invalid: Errors,
    /// In conflict with the present state: 409.
    pub conflict: Errors,
}

impl RequestErrors {
    /// A list that begins with the errors that were found while the request was read.
    #[must_use]
    pub fn after(reading: Errors) -> Self {
        Self { invalid: reading, conflict: Errors::new() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.invalid.is_empty() && self.conflict.is_empty()
    }

    /// Adds the field errors of `error`.
    ///
    /// # Errors
    /// `error`, if it has no field errors.
    pub fn add(&mut self, error: Error) -> Result<()> {
        let (list, entries) = match error {
            Error::Invalid(entries) => (&mut self.invalid, entries),
            Error::Conflict(entries) => (&mut self.conflict, entries),
            other => return Err(other),
        };
        for entry in entries {
            list.push(entry);
        }
        Ok(())
    }

    /// 409 if all errors are conflicts with the present state, otherwise 422 with all of them.
    #[must_use]
    pub fn into_error(self) -> Error {
        let Self { mut invalid, conflict } = self;
        let all_conflicts = invalid.is_empty();
        invalid.append(conflict);
        let entries = invalid.finish(Some(())).err().unwrap_or_default();
        if all_conflicts { Error::Conflict(entries) } else { Error::Invalid(entries) }
    }

    /// Succeeds if there are no errors.
    ///
    /// # Errors
    /// As [`RequestErrors::into_error`].
    pub fn into_result(self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.into_error()) }
    }
}
