//! The table kit. On a narrow screen each row becomes a card, with the column's name before each value; the roles are
//! written out, because browsers forget them with that layout.

use askama::Template;

/// A table; `Display` writes it as HTML.
#[derive(Template)]
#[template(path = "desk/table.html")]
pub(super) struct Table {
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// What is said in place of a table without rows.
    empty: String,
}

struct Column {
    label: String,
    numeric: bool,
}

/// A cell.
#[derive(Default)]
pub(super) struct Cell {
    text: String,
    href: Option<String>,
    note: Option<String>,
    action: Option<Action>,
    /// Whether the cell has nothing to say; a card leaves it out.
    blank: bool,
}

/// A button in a cell.
struct Action {
    path: &'static str,
    name: &'static str,
    value: String,
    /// What is said of the button in addition to the cell's text, to those who do not see the row.
    about: String,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// An optional text; a dash if there is none.
    pub(super) fn of(text: Option<String>) -> Self {
        let blank = text.is_none();
        Self { blank, ..Self::text(text.unwrap_or_else(|| "–".to_owned())) }
    }

    pub(super) fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { href: Some(href.into()), ..Self::text(text) }
    }

    /// With a second line, in smaller letters.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// A button that sends `name` and `value` to `path`.
    pub(super) fn button(
        label: String,
        path: &'static str,
        (name, value): (&'static str, String),
        about: String,
    ) -> Self {
        Self { action: Some(Action { path, name, value, about }), ..Self::text(label) }
    }
}

impl Table {
    /// A table without rows yet. The first cell of a row is its heading.
    pub(super) fn new(caption: String, empty: String) -> Self {
        Self { caption, columns: Vec::new(), rows: Vec::new(), empty }
    }

    pub(super) fn column(mut self, label: String) -> Self {
        self.columns.push(Column { label, numeric: false });
        self
    }

    /// A column of numbers, which stand to the right.
    pub(super) fn numbers(mut self, label: String) -> Self {
        self.columns.push(Column { label, numeric: true });
        self
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.caption);
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn cells<'t>(&'t self, row: &'t [Cell]) -> impl Iterator<Item = (&'t Column, &'t Cell)> {
        self.columns.iter().zip(row)
    }
}
