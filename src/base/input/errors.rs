//! Faults: the one that stops a body from being read at all, and the many that do not.

use crate::base::error::{At, Entry, Invalid};
use crate::base::input::Node;
use std::borrow::Cow;

/// So many entries an answer holds at most. A hostile batch could otherwise be answered with
/// more bytes than it has; a person mends a thousand faults before asking for the next.
pub const MOST_ENTRIES: usize = 1_000;

/// The body (or query) is not what it says it is, so that nothing in it has a place: 400.
///
/// Codes: `not-json`, `not-utf8`, `nul-character`, `lone-surrogate`, `duplicate-key`, `too-deep`,
/// `too-many-values`, `too-large`, `not-csv`, `unknown-charset`, `not-a-query`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line (from 1) and character in it (from 1, as text) of the body, or the query parameter.
    pub at: At,
    /// Stable code.
    pub code: &'static str,
    /// One sentence.
    pub detail: Cow<'static, str>,
}

impl Malformed {
    /// A fault at byte `offset` of `source`.
    pub(super) fn in_text(
        source: &[u8],
        offset: usize,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let before = &source[..offset.min(source.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        // Bytes that continue a character do not move an editor's column.
        let characters = before[line_start..].iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        let at =
            At::Cell { line: u64::try_from(line).unwrap_or(u64::MAX), column: (characters + 1).to_string() };
        Self { at, code, detail: detail.into() }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for Entry {
    fn from(fault: Malformed) -> Self {
        Self::new(fault.at, fault.code, fault.detail)
    }
}

/// Gathers the faults of one request. Beyond [`MOST_ENTRIES`] it only counts.
#[derive(Debug, Default)]
pub struct Errors {
    entries: Vec<Entry>,
    more: usize,
}

impl Errors {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many faults were found, those beyond the cap included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len() + self.more
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a further fault will only be counted, so that its sentence need not be worked out.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MOST_ENTRIES
    }

    /// Adds a fault whose place is known.
    pub fn push(&mut self, entry: Entry) {
        self.add(|| entry);
    }

    /// Refuses the value of `node`.
    pub fn refuse(&mut self, node: Node<'_>, invalid: Invalid) {
        self.add(|| Entry::invalid(node.at(), invalid));
    }

    /// Refuses the member `name` of the object `node`, which need not be there.
    pub fn refuse_field(&mut self, node: Node<'_>, name: &str, invalid: Invalid) {
        self.add(|| Entry::invalid(node.at_field(name), invalid));
    }

    /// What was read, if nothing at all was wrong; else every fault, and if there were more than
    /// [`MOST_ENTRIES`], a last one of code `too-many-errors` that says how many more.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Entry>> {
        let Self { mut entries, more } = self;
        match read {
            Some(value) if entries.is_empty() => return Ok(value),
            None if entries.is_empty() => {
                let detail = "This cannot be read.";
                entries.push(Entry::new(At::Pointer(String::new()), "unreadable", detail));
            }
            _ => {}
        }
        if more > 0 {
            let detail = format!("{more} more faults are not listed.");
            entries.push(Entry::new(At::Pointer(String::new()), "too-many-errors", detail));
        }
        Err(entries)
    }

    /// The place is worked out only for faults that are kept.
    fn add(&mut self, entry: impl FnOnce() -> Entry) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.entries.push(entry());
        }
    }
}
