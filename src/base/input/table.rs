//! CSV bodies, converted to the same documents as JSON, so that one reader serves both.

use super::encoding::decode;
use super::tree::{Builder, Kind, Origin, u32_of};
use super::{Document, Malformed, did_you_mean};
use crate::base::error::{FieldError, Location};
use std::borrow::Cow;

/// Maximum number of columns. No template has more than 30. The limit is needed because the names of a header
/// are compared with each other, which takes too long for a header of a million names.
const MAX_COLUMNS: usize = 1_000;

/// The columns of a CSV body, and where each goes in the equivalent JSON.
///
/// ```text
/// Layout::rows("logs")
///     .columns(&["seal_number", "kind", "species"])
///     .column("lat", &["position", "lat"])
///     .shared("responsible_name", &["responsible_person", "name"])
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    rows: &'static str,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    name: &'static str,
    path: Vec<&'static str>,
    shared: bool,
}

impl Layout {
    /// Rows become the items of the list `name`.
    #[must_use]
    pub fn rows(name: &'static str) -> Self {
        Self { rows: name, columns: Vec::new() }
    }

    /// Columns that are fields of a row under the same names.
    #[must_use]
    pub fn columns(mut self, names: &[&'static str]) -> Self {
        for name in names {
            self = self.column(name, &[name]);
        }
        self
    }

    /// A column that is a field of a row under another name, or inside another field.
    #[must_use]
    pub fn column(mut self, name: &'static str, path: &[&'static str]) -> Self {
        self.columns.push(Column { name, path: path.to_vec(), shared: false });
        self
    }

    /// A column with the same value in every row (or none), which is a field of the request, not of a row.
    #[must_use]
    pub fn shared(mut self, name: &'static str, path: &[&'static str]) -> Self {
        self.columns.push(Column { name, path: path.to_vec(), shared: true });
        self
    }

    /// The names of all columns, in order: the header of a template.
    pub fn header(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.columns.iter().map(|column| column.name)
    }
}

/// Finds the name of a column (or parameter) by the path of the field that was made from it.
#[derive(Debug)]
pub(super) struct CellLocations {
    layout: Layout,
    parameters: Vec<&'static str>,
    header_line: u32,
    /// For each column of the layout, whether the header names it.
    present: Vec<bool>,
}

impl CellLocations {
    pub(super) fn at(&self, path: &[&str], line: u64) -> Location {
        if let [name] = path
            && let Some(parameter) = self.parameters.iter().find(|parameter| *parameter == name)
        {
            return Location::Query(Cow::Borrowed(parameter));
        }
        match self.column(path) {
            Some(column) => {
                // A missing column is reported once, at the header.
                let line = if self.present[column] { line } else { u64::from(self.header_line) };
                Location::Cell { line, column: self.layout.columns[column].name.to_owned() }
            }
            None => Location::Cell { line, column: self.rest(path).1.join(".") },
        }
    }

    /// Whether the header lacks the column of the field at `path`. The missing column is then one error, not
    /// one for each row.
    pub(super) fn lacks(&self, path: &[&str]) -> bool {
        self.column(path).is_some_and(|column| !self.present[column])
    }

    /// The index of the column that a field is made from. If it is made from several columns, this is the
    /// first of them.
    fn column(&self, path: &[&str]) -> Option<usize> {
        let (shared, path) = self.rest(path);
        let columns = || self.layout.columns.iter().enumerate().filter(|(_, column)| column.shared == shared);
        let exact = columns().find(|(_, column)| column.path.as_slice() == path);
        let group = || columns().find(|(_, column)| !path.is_empty() && column.path.starts_with(path));
        exact.or_else(group).map(|(index, _)| index)
    }

    /// Whether the field belongs to the request and not to a row; and the field's path within the request or
    /// the row.
    fn rest<'p, 's>(&self, path: &'p [&'s str]) -> (bool, &'p [&'s str]) {
        match path.split_first() {
            Some((first, rest)) if *first == self.layout.rows => (false, rest),
            _ => (true, path),
        }
    }
}

/// A CSV body, read as text but not yet matched to a [`Layout`].
///
/// - Separator: the one of `,`, `;`, tab and `|` that a first line such as `sep=;` names. Without such a
///   line: the one of `,`, `;` and tab that is the most frequent in the header line.
/// - Encoding: see `super::encoding`.
/// - The first line names the columns, in any order and case.
/// - Cells are trimmed; an empty one is an absent field. A line break inside a cell is refused: no field has
///   one, and a quote that is not closed looks like a line break in a cell. Empty lines are skipped.
/// - Empty cells at the end of a row may be left off, and separators may follow its last cell: a spreadsheet
///   that writes CSV decides for each block of 16 lines how many cells these lines get.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    header_line: u32,
    /// Line and cells of each row.
    rows: Vec<(u32, csv::StringRecord)>,
    over_limit: Option<u32>,
    limit: usize,
}

impl Table {
    /// Reads up to `limit` rows; `charset` is that of the content type, if it has one.
    ///
    /// # Errors
    /// [`Malformed`]: `unknown-charset`, `not-utf8`, `nul-character`, `not-csv` (a workbook, no header, a
    /// line break in a cell, over 1,000 columns).
    pub fn parse(bytes: &[u8], charset: Option<&str>, limit: usize) -> Result<Self, Malformed> {
        if let Some(format) = workbook(bytes) {
            let detail = format!(
                "This is {format}, not CSV; open it in a spreadsheet, save the sheet as \"CSV UTF-8\" and send that file."
            );
            return Err(Malformed::in_text(b"", 0, "not-csv", detail));
        }
        let text = decode(bytes, charset)?;
        if let Some(nul) = text.find('\0') {
            let detail =
                "NUL characters are not accepted; a spreadsheet's \"Unicode text\" (UTF-16) contains them.";
            return Err(Malformed::in_text(text.as_bytes(), nul, "nul-character", detail));
        }
        let named = named_separator(&text);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(named.unwrap_or_else(|| separator(&text)))
            .from_reader(text.as_bytes());
        let mut lines = LineFinder { text: text.as_bytes(), at: 0, line: 1 };
        let mut records = Vec::new();
        let mut over_limit = None;
        let mut skip = named.is_some();
        loop {
            let mut record = csv::StringRecord::new();
            let read = reader.read_record(&mut record).map_err(|error| {
                Malformed::in_text(text.as_bytes(), lines.at, "not-csv", format!("This is not CSV: {error}."))
            })?;
            if !read {
                break;
            }
            let line = lines.start_of(&record);
            if std::mem::take(&mut skip) {
                continue;
            }
            if record.iter().any(|cell| cell.contains(['\n', '\r'])) {
                let detail = "The cell that begins here contains a line break, or a quote is not closed.";
                return Err(Malformed::in_text(text.as_bytes(), lines.at, "not-csv", detail));
            }
            record.trim();
            if record.iter().all(str::is_empty) {
                continue;
            }
            if records.len() > limit {
                over_limit = Some(line);
                break;
            }
            records.push((line, record));
        }
        let mut records = records.into_iter();
        let Some((header_line, header)) = records.next() else {
            return Err(Malformed::in_text(b"", 0, "not-csv", "The first line must name the columns."));
        };
        if header.len() > MAX_COLUMNS {
            let detail = format!("At most {MAX_COLUMNS} columns.");
            return Err(Malformed::in_text(b"", 0, "not-csv", detail));
        }
        let header = header.iter().map(str::to_lowercase).collect();
        Ok(Self { header, header_line, rows: records.collect(), over_limit, limit })
    }

    /// Makes the JSON that the rows represent. `parameters` are fields of the request that are sent in the
    /// URL, present or not: errors in them are located in the query.
    ///
    /// Errors that are reported when the document is read (422): `unknown-field`, `duplicate-column`,
    /// `wrong-cell-count`, `too-many`, `differs` (in a shared column).
    #[must_use]
    pub fn document(
        &self,
        layout: &Layout,
        parameters: &[(&'static str, Option<&str>)],
    ) -> Document<'static> {
        let mut errors = Vec::new();
        let cells = self.match_columns(layout, &mut errors);
        let mut built = Builder::default();
        let root = built.open(Kind::Object, 0, 1);
        let mut members = 0;
        for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            built.decoded(Kind::Decoded, root, name, 0);
            built.decoded(Kind::Cell, root, value, 0);
            members += 1;
        }
        let shared: Vec<Leaf<'_>> = layout
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.shared)
            .filter_map(|(at, column)| {
                let (line, text) = self.shared_cell(cells[at]?, column.name, &mut errors)?;
                Some(Leaf { path: &column.path, line, text })
            })
            .collect();
        members += write_members(&mut built, root, &shared);
        built.decoded(Kind::Decoded, root, layout.rows, 0);
        let list = built.open(Kind::List, root, 0);
        for (line, record) in &self.rows {
            if record.iter().skip(self.header.len()).any(|cell| !cell.is_empty()) {
                let detail = format!(
                    "The header has {} cells, this line {}; those beyond the header must be empty.",
                    self.header.len(),
                    record.len()
                );
                let at = Location::Cell { line: u64::from(*line), column: String::new() };
                errors.push(FieldError::new(at, "wrong-cell-count", detail));
            }
            let leaves: Vec<Leaf<'_>> = layout
                .columns
                .iter()
                .enumerate()
                .filter(|(_, column)| !column.shared)
                .filter_map(|(at, column)| {
                    let text = record.get(cells[at]?).filter(|text| !text.is_empty())?;
                    Some(Leaf { path: &column.path, line: 0, text })
                })
                .collect();
            let row = built.open(Kind::Object, list, *line);
            let len = write_members(&mut built, row, &leaves);
            built.close(row, len);
        }
        built.close(list, u32_of(self.rows.len()));
        built.close(root, members + 1);
        if let Some(line) = self.over_limit {
            let detail = format!("At most {} rows.", self.limit);
            let at = Location::Cell { line: u64::from(line), column: String::new() };
            errors.push(FieldError::new(at, "too-many", detail));
        }
        let locations = CellLocations {
            layout: layout.clone(),
            parameters: parameters.iter().map(|(name, _)| *name).collect(),
            header_line: self.header_line,
            present: cells.iter().map(Option::is_some).collect(),
        };
        built.finish("", Origin::Table(locations), errors)
    }

    /// For each column of the layout, the index of its cell in a row.
    fn match_columns(&self, layout: &Layout, errors: &mut Vec<FieldError>) -> Vec<Option<usize>> {
        let mut cells = vec![None; layout.columns.len()];
        for (cell, name) in self.header.iter().enumerate() {
            let shown: String = name.chars().take(50).collect();
            let at = Location::Cell { line: u64::from(self.header_line), column: shown.clone() };
            let known = layout.columns.iter().position(|column| column.name == name);
            match known.map(|column| &mut cells[column]) {
                Some(Some(_)) => {
                    errors.push(FieldError::new(at, "duplicate-column", "This column appears twice."));
                }
                Some(slot) => *slot = Some(cell),
                None if name.is_empty()
                    && self.rows.iter().all(|(_, row)| row.get(cell).is_none_or(str::is_empty)) =>
                {
                    // This column has neither a name nor values. Spreadsheets export such columns next to a
                    // table, so it is ignored.
                }
                None => {
                    let names: Vec<_> = layout.header().collect();
                    let mut detail = format!("The column `{}` is not known here.", shown.escape_debug());
                    if let Some(near) = did_you_mean(name, &names) {
                        detail = format!("{detail} Did you mean `{near}`?");
                    }
                    errors.push(FieldError::new(at, "unknown-field", detail));
                }
            }
        }
        cells
    }

    /// The value of a shared column, and the first line that has it.
    fn shared_cell(&self, cell: usize, name: &str, errors: &mut Vec<FieldError>) -> Option<(u32, &str)> {
        let mut values = self.rows.iter().filter_map(|(line, row)| {
            row.get(cell).filter(|text| !text.is_empty()).map(|text| (*line, text))
        });
        let first = values.next()?;
        for (line, _) in values.filter(|(_, text)| *text != first.1) {
            let detail = format!("A file has one `{name}`; line {} has a different value.", first.0);
            let at = Location::Cell { line: u64::from(line), column: name.to_owned() };
            errors.push(FieldError::new(at, "differs", detail));
        }
        Some(first)
    }
}

/// A cell, with the path of the field that it becomes.
struct Leaf<'t> {
    path: &'t [&'static str],
    line: u32,
    text: &'t str,
}

/// Writes the leaves as members of `object`, those with a longer path inside objects of their own. Returns
/// the number of members of `object`.
fn write_members(built: &mut Builder, object: u32, leaves: &[Leaf<'_>]) -> u32 {
    let mut names: Vec<&str> = Vec::new();
    for leaf in leaves {
        let Some((name, rest)) = leaf.path.split_first() else { continue };
        if names.contains(name) {
            continue;
        }
        names.push(name);
        built.decoded(Kind::Decoded, object, name, 0);
        if rest.is_empty() {
            built.decoded(Kind::Cell, object, leaf.text, leaf.line);
            continue;
        }
        let inner: Vec<Leaf<'_>> = leaves
            .iter()
            .filter(|other| other.path.len() > 1 && other.path.first() == Some(name))
            .map(|other| Leaf { path: &other.path[1..], ..*other })
            .collect();
        let group = built.open(Kind::Object, object, leaf.line);
        let len = write_members(built, group, &inner);
        built.close(group, len);
    }
    u32_of(names.len())
}

/// Finds the line of each record. The position that the CSV reader gives for a record is before the empty
/// lines that it skips, so they are counted here.
struct LineFinder<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
}

impl LineFinder<'_> {
    /// The line on which `record` begins.
    fn start_of(&mut self, record: &csv::StringRecord) -> u32 {
        let from =
            record.position().map_or(self.at, |position| usize::try_from(position.byte()).unwrap_or(self.at));
        let breaks = self.text[from..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let to = from + breaks;
        self.line += u32_of(self.text[self.at..to].split(|byte| *byte == b'\n').count() - 1);
        self.at = to;
        self.line
    }
}

/// The separator of the table: the one of `,`, `;` and tab that is the most frequent in the header line,
/// outside quotes.
fn separator(text: &str) -> u8 {
    let mut quoted = false;
    let mut seen = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in text.trim_start_matches(['\r', '\n']).bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => break,
            _ if quoted => {}
            _ => {
                if let Some((_, count)) = seen.iter_mut().find(|(sign, _)| *sign == byte) {
                    *count += 1;
                }
            }
        }
    }
    // `max_by_key` returns the last maximum, so the order is reversed: of equally frequent separators the
    // first one is taken, and a table with a single column is read with commas.
    seen.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(sign, _)| sign)
}

/// The separator that a first line such as `sep=;` names. Spreadsheets read and write such lines.
fn named_separator(text: &str) -> Option<u8> {
    let line = text.trim_start_matches(['\r', '\n']).split(['\r', '\n']).next()?;
    let line = line.trim_start_matches('"');
    let (name, sign) = line.split_at_checked(4)?;
    let rest = sign.get(1..)?;
    let sign = *sign.as_bytes().first()?;
    // A spreadsheet that saves a file with a `sep=` line again adds separators to this line, one for each
    // further column.
    let alone = rest.bytes().all(|byte| byte == sign || byte == b'"' || byte == b' ');
    (name.eq_ignore_ascii_case("sep=") && alone && matches!(sign, b',' | b';' | b'\t' | b'|')).then_some(sign)
}

/// The name of a format with tags that programs export as a workbook, by its first tag. No column of a table begins
/// like one.
fn markup(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let begins =
        |tag: &str| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    if begins("<?xml") {
        // Excel 2003 writes its own XML; other XML is as little a table.
        return Some("an XML file, such as an Excel 2003 XML spreadsheet");
    }
    let html = ["<!doctype html", "<html", "<head", "<meta", "<body", "<table", "<style", "<!--"];
    html.iter().any(|tag| begins(tag)).then_some("an HTML page, as some programs export under the name xls")
}

/// The name of a spreadsheet's own file format, by its first bytes.
fn workbook(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\xD0\xCF\x11\xE0") {
        return Some("an Excel 97–2003 workbook (xls)");
    }
    if let Some(format) = markup(bytes) {
        return Some(format);
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return None;
    }
    // A zip archive lists its parts in a directory at its end. The directory is not compressed, so the names
    // of the parts can be found in the bytes of the file.
    let holds = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    Some(if holds(b"application/vnd.oasis.opendocument.spreadsheet") {
        "an OpenDocument spreadsheet (ods)"
    } else if holds(b"xl/workbook.bin") {
        "an Excel workbook (xlsb)"
    } else if holds(b"xl/") {
        "an Excel workbook (xlsx)"
    } else {
        "a zip archive, as xlsx and ods files are"
    })
}
