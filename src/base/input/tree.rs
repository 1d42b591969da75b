//! A request's content as a flat list of values in the order in which they were sent, and views into it.
//!
//! One flat list instead of nested maps: a body of 5 MB costs one growing allocation. Each value stores the
//! index of its parent. The JSON pointer of a value is computed from these indexes, and only when the value
//! is refused.

use crate::base::error::{FieldError, Invalid, Location};
use crate::base::input::{Errors, Read, number, table::CellLocations};
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    True,
    False,
    /// A number; the span in the source.
    Number,
    /// A text without escapes. The span refers to the source.
    Text,
    /// A text that had escapes. The span refers to the decoded text.
    Decoded,
    /// A cell of a table, or a query parameter. It can be read as text or as a number. The span refers to the
    /// decoded text.
    Cell,
    List,
    /// The members follow as key, value, key, value. A key is a `Text` or a `Decoded`.
    Object,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub kind: Kind,
    pub parent: u32,
    /// Index of the item that follows this value and everything inside it.
    pub next: u32,
    pub start: u32,
    /// The number of bytes of a text or number; the number of items or members of a list or object.
    pub len: u32,
    /// In a list of JSON: the position of the value in the list. In a table: the line of the value; 0 if only
    /// its parent has a line.
    pub position: u32,
}

/// The source of a document, which determines how locations in it are named.
#[derive(Debug)]
pub(super) enum Origin {
    Json,
    Query,
    Table(CellLocations),
}

/// A request's content, parsed once: its syntax is checked, its meaning is not.
#[derive(Debug)]
pub struct Document<'s> {
    pub(super) source: &'s str,
    pub(super) decoded: String,
    pub(super) items: Vec<Item>,
    pub(super) origin: Origin,
    /// Errors that do not prevent the rest of the document from being read: a duplicate column, a row that is
    /// too long.
    pub(super) errors: Vec<FieldError>,
}

impl Document<'_> {
    /// The root value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node { document: self, index: 0 }
    }

    /// Reads a `T`, or returns all errors.
    pub fn read<T: Read>(&self) -> Result<T, Vec<FieldError>> {
        let mut errors = Errors::new();
        let read = self.read_into(&mut errors);
        errors.finish(read)
    }

    /// Reads a `T` in addition to others, such as a query and a body: `errors` collects the errors of all.
    pub fn read_into<T: Read>(&self, errors: &mut Errors) -> Option<T> {
        let read = self.read_partial_into::<T>(errors).and_then(T::complete);
        if self.errors.is_empty() { read } else { None }
    }

    /// Reads as much as possible of a `T`. It is complete only if `errors` gets no error.
    pub fn read_partial_into<T: Read>(&self, errors: &mut Errors) -> Option<T::Partial> {
        for error in &self.errors {
            errors.push(error.clone());
        }
        T::read_partial(self.root(), errors)
    }

    fn item(&self, index: u32) -> Item {
        // This cannot panic: only the builders below make indexes of the tree, and all of them are within
        // bounds.
        self.items[usize_of(index)]
    }

    fn text_of(&self, item: Item) -> &str {
        let span = usize_of(item.start)..usize_of(item.start) + usize_of(item.len);
        match item.kind {
            Kind::Decoded | Kind::Cell => &self.decoded[span],
            _ => &self.source[span],
        }
    }
}

/// A `u32` always fits: the crate builds for 32 and 64 bits only.
pub(super) fn usize_of(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The inverse of [`usize_of`]. It always fits, because sources beyond 4 GiB are refused before any span is
/// made.
pub(super) fn u32_of(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// One value in a [`Document`], and its location.
#[derive(Clone, Copy, Debug)]
pub struct Node<'d> {
    document: &'d Document<'d>,
    index: u32,
}

impl<'d> Node<'d> {
    fn item(self) -> Item {
        self.document.item(self.index)
    }

    fn child(self, index: u32) -> Self {
        Self { document: self.document, index }
    }

    /// Whether it is JSON's `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.item().kind == Kind::Null
    }

    /// The kind of value, for a sentence: "a number".
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self.item().kind {
            Kind::Null => "null",
            Kind::True | Kind::False => "a boolean",
            Kind::Number => "a number",
            Kind::Text | Kind::Decoded => "a string",
            Kind::Cell => "a text",
            Kind::List => "a list",
            Kind::Object => "an object",
        }
    }

    /// The error for a value that is not what was `expected` ("a number"): `wrong-type`.
    #[must_use]
    pub fn wrong_type(self, expected: &str) -> Invalid {
        Invalid::new("wrong-type", format!("Expected {expected}, found {}.", self.type_name()))
    }

    /// The text of a string, a cell or a query parameter. Any other value is refused with `wrong-type`.
    pub fn text(self) -> Result<&'d str, Invalid> {
        let item = self.item();
        match item.kind {
            Kind::Text | Kind::Decoded | Kind::Cell => Ok(self.document.text_of(item)),
            _ => Err(self.wrong_type("a string")),
        }
    }

    /// The number as it was written, in plain form: `-`, digits, perhaps a point and digits, no exponent, at
    /// most 64 characters. Trailing zeros stay, because the client sent them.
    ///
    /// In a table the decimal sign may be a comma. A space between thousands is refused in a table, because
    /// two numbers in one cell would look the same.
    ///
    /// Codes: `wrong-type`, `number-too-long`, `not-a-number` (cells).
    pub fn number(self) -> Result<Cow<'d, str>, Invalid> {
        let item = self.item();
        match item.kind {
            Kind::Number => number::plain(self.document.text_of(item)),
            Kind::Cell => {
                let comma = matches!(self.document.origin, Origin::Table(_));
                number::cell(self.document.text_of(item), comma)
            }
            _ => Err(self.wrong_type("a number")),
        }
    }

    /// Reads a boolean: `true` or `false` in JSON, or one of these words in a CSV cell or query parameter.
    /// Anything else is `wrong-type`.
    pub fn boolean(self) -> Result<bool, Invalid> {
        let item = self.item();
        match item.kind {
            Kind::True => Ok(true),
            Kind::False => Ok(false),
            Kind::Cell => match self.document.text_of(item) {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Invalid::new("wrong-type", "Expected `true` or `false`.")),
            },
            _ => Err(self.wrong_type("a boolean")),
        }
    }

    /// The items of a list. Else `wrong-type`.
    pub fn items(self) -> Result<Items<'d>, Invalid> {
        let item = self.item();
        match item.kind {
            Kind::List => Ok(Items { list: self, next: self.index + 1, left: usize_of(item.len) }),
            _ => Err(self.wrong_type("a list")),
        }
    }

    /// The members of an object, in the order in which they were sent; no key appears twice. Any other value
    /// is refused with `wrong-type`.
    pub fn members(self) -> Result<Members<'d>, Invalid> {
        let item = self.item();
        match item.kind {
            Kind::Object => Ok(Members { object: self, next: self.index + 1, left: usize_of(item.len) }),
            _ => Err(self.wrong_type("an object")),
        }
    }

    /// The member `name` of an object; `None` if there is none, or this is not an object.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        self.members().ok()?.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The location of this value.
    #[must_use]
    pub fn at(self) -> Location {
        self.location(None)
    }

    /// The location of the member `name` of this object, present or absent.
    #[must_use]
    pub fn at_field(self, name: &str) -> Location {
        self.location(Some(name))
    }

    /// The name of the member `name` as the sender knows it: in a table, that of its column.
    #[must_use]
    pub fn field_label(self, name: &str) -> String {
        match self.at_field(name) {
            Location::Cell { column, .. } if !column.is_empty() => column,
            _ => name.to_owned(),
        }
    }

    /// Whether this is a table without the column of the member `name`.
    pub(super) fn lacks_column(self, name: &str) -> bool {
        let Origin::Table(locations) = &self.document.origin else { return false };
        let path = self.path().into_iter().filter_map(|(key, _)| key).chain([name]);
        locations.lacks(&path.collect::<Vec<_>>())
    }

    /// What the items of a list are called: rows in a table.
    pub(super) fn items_label(self) -> &'static str {
        if matches!(self.document.origin, Origin::Table(_)) { "rows" } else { "items" }
    }

    /// The line of a row of a table; `None` in JSON.
    #[must_use]
    pub fn line(self) -> Option<u64> {
        match self.at() {
            Location::Cell { line, .. } => Some(line),
            _ => None,
        }
    }

    /// The error code of an unknown member.
    pub(super) fn unknown_code(self) -> &'static str {
        match self.document.origin {
            Origin::Query => "unknown-parameter",
            Origin::Json | Origin::Table(_) => "unknown-field",
        }
    }

    /// The kind of this value.
    pub(super) fn kind(self) -> Kind {
        self.item().kind
    }

    /// The text of a number, a string, a cell or a query parameter, without any conversion.
    pub(super) fn raw(self) -> &'d str {
        self.document.text_of(self.item())
    }

    fn parent(self) -> Option<Self> {
        (self.index != 0).then(|| self.child(self.item().parent))
    }

    /// The steps from the root to this value: keys, and `None` for an item of a list.
    fn path(self) -> Vec<(Option<&'d str>, u32)> {
        let mut path = Vec::new();
        let mut node = self;
        while let Some(parent) = node.parent() {
            let key = (parent.kind() == Kind::Object).then(|| node.child(node.index - 1).raw());
            path.push((key, node.item().position));
            node = parent;
        }
        path.reverse();
        path
    }

    fn location(self, field: Option<&str>) -> Location {
        let mut path = self.path();
        match &self.document.origin {
            Origin::Json => {
                let mut pointer = String::new();
                let steps = path.into_iter().chain(field.map(|name| (Some(name), 0)));
                for (key, position) in steps {
                    pointer.push('/');
                    match key {
                        Some(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                        None => pointer.push_str(&position.to_string()),
                    }
                }
                Location::Pointer(pointer)
            }
            Origin::Query => {
                let name = path.first().and_then(|(key, _)| *key).or(field).unwrap_or_default();
                Location::Query(Cow::Owned(name.to_owned()))
            }
            Origin::Table(locations) => {
                let line = path.iter().rev().map(|(_, line)| *line).find(|line| *line != 0).unwrap_or(1);
                path.extend(field.map(|name| (Some(name), 0)));
                let keys: Vec<&str> = path.into_iter().filter_map(|(key, _)| key).collect();
                locations.at(&keys, u64::from(line))
            }
        }
    }
}

/// The items of a list, in order.
#[derive(Clone, Debug)]
pub struct Items<'d> {
    list: Node<'d>,
    next: u32,
    left: usize,
}

impl<'d> Iterator for Items<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        self.left = self.left.checked_sub(1)?;
        let node = self.list.child(self.next);
        self.next = node.item().next;
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// The members of an object: key and value.
#[derive(Clone, Debug)]
pub struct Members<'d> {
    object: Node<'d>,
    next: u32,
    left: usize,
}

impl<'d> Iterator for Members<'d> {
    type Item = (&'d str, Node<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.object.child(self.next);
        let value = self.object.child(self.next + 1);
        self.next = value.item().next;
        Some((key.raw(), value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Members<'_> {}

/// Builds the flat list, container by container.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub items: Vec<Item>,
    pub decoded: String,
}

impl Builder {
    /// Adds a value without children.
    pub fn leaf(&mut self, kind: Kind, parent: u32, span: std::ops::Range<usize>, position: u32) -> u32 {
        let index = u32_of(self.items.len());
        let start = u32_of(span.start);
        self.items.push(Item { kind, parent, next: index + 1, start, len: u32_of(span.len()), position });
        index
    }

    /// Adds a text that is not in the source.
    pub fn decoded(&mut self, kind: Kind, parent: u32, text: &str, position: u32) -> u32 {
        let start = self.decoded.len();
        self.decoded.push_str(text);
        self.leaf(kind, parent, start..self.decoded.len(), position)
    }

    /// Begins a list or an object; [`Builder::close`] ends it.
    pub fn open(&mut self, kind: Kind, parent: u32, position: u32) -> u32 {
        self.leaf(kind, parent, 0..0, position)
    }

    /// Ends a container with `len` items or members.
    pub fn close(&mut self, container: u32, len: u32) {
        let next = u32_of(self.items.len());
        let item = &mut self.items[usize_of(container)];
        item.next = next;
        item.len = len;
    }

    /// The document, once its root is closed.
    pub fn finish(self, source: &str, origin: Origin, errors: Vec<FieldError>) -> Document<'_> {
        Document { source, decoded: self.decoded, items: self.items, origin, errors }
    }
}
