//! CSV output that is safe to open in a spreadsheet.

use std::borrow::Cow;

/// Makes a cell that a spreadsheet shows and does not execute. A text that begins like a formula
/// (`=`, `+`, `-`, `@`, tab, carriage return; the OWASP list, and the full-width forms) gets an
/// apostrophe in front, unless it is a plain number.
#[must_use]
pub fn csv_safe(text: &str) -> Cow<'_, str> {
    let formula = text
        .trim_start_matches([' ', '\u{A0}'])
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{FF1D}', '\u{FF0B}', '\u{FF0D}', '\u{FF20}']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let number = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if formula && !number { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Writes rows as CSV (RFC 4180: commas, CRLF, quotes where needed) into bytes.
///
/// The writer of the crate csv is not used: it leaves a cell with `;` or a tab without quotes, and spreadsheets of some
/// locales split lines there; and it quotes no cell that begins or ends with a space, which they trim.
#[derive(Debug, Default)]
pub struct Sheet {
    bytes: Vec<u8>,
}

impl Sheet {
    /// An empty sheet, without a header.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sheet that begins with a byte order mark, without which spreadsheets misread Cyrillic.
    #[must_use]
    pub fn with_bom() -> Self {
        Self { bytes: b"\xEF\xBB\xBF".to_vec() }
    }

    /// Adds a row of cells, each made [safe](csv_safe).
    pub fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.write(cells, csv_safe);
    }

    /// Adds a row of unchanged cells: for our own codes, which a machine must read back exactly.
    pub fn exact_row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.write(cells, |text| Cow::Borrowed(text));
    }

    /// The bytes written since the last call; for streaming.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn write<C: AsRef<str>>(
        &mut self,
        cells: impl IntoIterator<Item = C>,
        form: impl Fn(&str) -> Cow<'_, str>,
    ) {
        for (index, cell) in cells.into_iter().enumerate() {
            if index > 0 {
                self.bytes.push(b',');
            }
            let cell = form(cell.as_ref());
            if cell.contains(['"', ',', ';', '\t', '\r', '\n']) || cell.trim().len() < cell.len() {
                self.bytes.push(b'"');
                self.bytes.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
                self.bytes.push(b'"');
            } else {
                self.bytes.extend_from_slice(cell.as_bytes());
            }
        }
        self.bytes.extend_from_slice(b"\r\n");
    }
}
