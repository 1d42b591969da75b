//! Reading Rust values from a [`Node`].

use super::{Errors, Node, whole};
use crate::base::error::Invalid;
use crate::base::personal_number;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, SubsecRound, Timelike};
use rust_decimal::Decimal;
use uuid::Uuid;

/// A value that can be read from untrusted input.
///
/// `None` always comes with at least one error in `errors`. `Some` may come with errors, too, if they do not
/// prevent making the value; later checks can then find more errors. Only [`Errors::finish`] decides whether
/// the request is valid.
pub trait Read: Sized {
    /// The part of a value with errors that can be read. For a struct of `input!` that declares a partial
    /// struct: the readable members. For a list: the readable items. Any other value is read completely or
    /// not at all; its implementation of this trait contains `whole!()`.
    type Partial;

    /// Reads as much as possible of the value of `node`, and adds every error in it.
    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self::Partial>;

    /// The value, if all of it was read.
    fn complete(partial: Self::Partial) -> Option<Self>;

    /// Reads the value of `node`, and adds every error in it.
    fn read(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
        Self::read_partial(node, errors).and_then(Self::complete)
    }

    /// The result for a member `name` that `object` does not have, or that is `null`: `None` and the error
    /// `required`. Optional types replace this.
    fn absent(object: Node<'_>, name: &'static str, errors: &mut Errors) -> Option<Self::Partial> {
        let detail = format!("`{}` is required.", object.field_label(name));
        errors.refuse_field(object, name, Invalid::new("required", detail));
        None
    }
}

/// A domain type with one parser for its text. `parse_text!` implements it by the type's `parse`.
pub trait ParseText: Sized {
    /// The value, or why the text is invalid.
    fn parse_text(text: &str) -> Result<Self, Invalid>;
}

/// A domain type that is a JSON number. `parse_number!` implements it by the type's `parse`.
pub trait ParseNumber: Sized {
    /// Parses the digits as sent (see [`Node::number`]); must never round them.
    fn parse_number(digits: &str) -> Result<Self, Invalid>;
}

/// [`Read`] for a [`ParseText`].
pub fn read_text<T: ParseText>(node: Node<'_>, errors: &mut Errors) -> Option<T> {
    let read = node.text().and_then(T::parse_text);
    read.map_err(|invalid| errors.refuse(node, invalid)).ok()
}

/// [`Read`] for a [`ParseNumber`].
pub fn read_number<T: ParseNumber>(node: Node<'_>, errors: &mut Errors) -> Option<T> {
    let read = node.number().and_then(|digits| T::parse_number(&digits));
    read.map_err(|invalid| errors.refuse(node, invalid)).ok()
}

/// Absent and `null` both mean `None`.
impl<T: Read> Read for Option<T> {
    type Partial = Option<T::Partial>;

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self::Partial> {
        if node.is_null() { Some(None) } else { T::read_partial(node, errors).map(Some) }
    }

    fn complete(partial: Self::Partial) -> Option<Self> {
        partial.map_or(Some(None), |partial| T::complete(partial).map(Some))
    }

    fn absent(_: Node<'_>, _: &'static str, _: &mut Errors) -> Option<Self::Partial> {
        Some(None)
    }
}

/// Reads every item, so that the errors of all items are reported. A `null` item is an error like any other
/// item of the wrong type.
impl<T: Read> Read for Vec<T> {
    /// `None` for an item of which nothing is readable, so that the others keep their positions.
    type Partial = Vec<Option<T::Partial>>;

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self::Partial> {
        let items = node.items().map_err(|invalid| errors.refuse(node, invalid)).ok()?;
        Some(items.map(|item| T::read_partial(item, errors)).collect())
    }

    fn complete(partial: Self::Partial) -> Option<Self> {
        partial.into_iter().map(|item| item.and_then(T::complete)).collect()
    }
}

/// The check of a type in `input!` that has no rule about more than one field: it does nothing.
pub const fn no_rule<T>(_: &mut T, _: Node<'_>, _: &mut Errors) {}

/// A list with limits on its number of items: `[1..=5000]` in `input!`.
pub trait Bounded: Read {
    /// Reads the list if it has `min` to `max` items, otherwise refuses it with `too-few` or `too-many`. The
    /// items of a refused list are not read.
    fn read_bounded(node: Node<'_>, min: usize, max: usize, errors: &mut Errors) -> Option<Self::Partial>;
}

impl<T: Read> Bounded for Vec<T> {
    fn read_bounded(node: Node<'_>, min: usize, max: usize, errors: &mut Errors) -> Option<Self::Partial> {
        let len = node.items().map_or(min, |items| items.len());
        let code = match len {
            _ if len < min => "too-few",
            _ if len > max => "too-many",
            _ => return Self::read_partial(node, errors),
        };
        let detail = format!("Expected {min} to {max} {}, found {len}.", node.items_label());
        errors.refuse(node, Invalid::new(code, detail));
        None
    }
}

impl<T: Bounded> Bounded for Option<T> {
    fn read_bounded(node: Node<'_>, min: usize, max: usize, errors: &mut Errors) -> Option<Self::Partial> {
        if node.is_null() { Some(None) } else { T::read_bounded(node, min, max, errors).map(Some) }
    }
}

impl Read for bool {
    whole!();

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
        node.boolean().map_err(|invalid| errors.refuse(node, invalid)).ok()
    }
}

/// The text unchanged, untrimmed, up to 1,000 characters (`too-long`): for texts that are echoed or
/// looked up whatever they contain, such as a code to verify. All other texts have types of their own.
impl ParseText for String {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        if text.chars().nth(1_000).is_some() {
            return Err(Invalid::new("too-long", "At most 1,000 characters."));
        }
        Ok(text.to_owned())
    }
}

/// A time by RFC 3339, with its offset; any other text is refused with `not-a-time`. The time is truncated to
/// microseconds, the precision of the chain and the database, because clocks send more digits than they
/// measure. Leap seconds are refused, because neither the chain nor the database supports them. The year is 1
/// to 9999.
impl ParseText for DateTime<FixedOffset> {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .filter(|time| time.nanosecond() < 1_000_000_000)
            .filter(|time| (1..=9999).contains(&time.year()) && (1..=9999).contains(&time.to_utc().year()))
            .map(|time| time.trunc_subsecs(6))
            .ok_or_else(|| {
                let detail = "Expected a time with its offset (RFC 3339), like 2026-03-14T09:30:00+05:00.";
                Invalid::new("not-a-time", detail)
            })
    }
}

/// `YYYY-MM-DD` (`not-a-date`).
impl ParseText for NaiveDate {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        let shaped = text.len() == 10
            && text.bytes().enumerate().all(|(index, byte)| match index {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        shaped
            .then(|| Self::parse_from_str(text, "%Y-%m-%d").ok())
            .flatten()
            .filter(|date| date.year() >= 1)
            .ok_or_else(|| Invalid::new("not-a-date", "Expected a date, like 2026-03-14."))
    }
}

/// Hyphenated, in either case (`not-a-uuid`).
impl ParseText for Uuid {
    fn parse_text(text: &str) -> Result<Self, Invalid> {
        (text.len() == 36).then(|| Self::try_parse(text).ok()).flatten().ok_or_else(|| {
            Invalid::new("not-a-uuid", "Expected a UUID, like 018f3c9e-7a1b-7c44-9d21-5f0e6a7b8c9d.")
        })
    }
}

macro_rules! whole_numbers {
    ($($integer:ty),+) => {$(
        /// A whole number, which may be written as `3.0` or `3e2` (`not-an-integer`, `out-of-range`).
        impl ParseNumber for $integer {
            fn parse_number(digits: &str) -> Result<Self, Invalid> {
                let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
                if fraction.bytes().any(|digit| digit != b'0') {
                    return Err(Invalid::new("not-an-integer", "Expected a whole number."));
                }
                integer.parse().or_else(|_| if integer == "-0" { Ok(0) } else { Err(()) }).map_err(|()| {
                    let detail = format!("Expected {} to {}.", Self::MIN, Self::MAX);
                    Invalid::new("out-of-range", detail)
                })
            }
        }
    )+};
}

whole_numbers!(u16, u32, u64, i16, i32, i64);

/// The decimal exactly as it was sent: zeros at its end count for its scale. More digits than a decimal has
/// (28) are refused with `too-many-digits`.
impl ParseNumber for Decimal {
    fn parse_number(digits: &str) -> Result<Self, Invalid> {
        Self::from_str_exact(digits)
            .map_err(|_| Invalid::new("too-many-digits", "This number has more digits than can be stored."))
    }
}

macro_rules! reads {
    ($($with:ident: $($type:ty),+;)+) => {$($(
        impl Read for $type {
            whole!();

            fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
                $with(node, errors)
            }
        }
    )+)+};
}

reads! {
    read_text: String, DateTime<FixedOffset>, NaiveDate, Uuid;
    read_number: u16, u32, u64, i16, i32, i64, Decimal;
}

/// The members of one object, matched to the names a type knows. Made by `input!`.
#[derive(Debug)]
pub struct Fields<'d, const N: usize> {
    object: Node<'d>,
    names: &'static [&'static str; N],
    values: [Option<Node<'d>>; N],
    next: usize,
}

impl<'d, const N: usize> Fields<'d, N> {
    /// Opens the object `node`; each member that is not in `names` is refused as `unknown-field`
    /// (in a query `unknown-parameter`).
    pub fn open(node: Node<'d>, names: &'static [&'static str; N], errors: &mut Errors) -> Option<Self> {
        let members = node.members().map_err(|invalid| errors.refuse(node, invalid)).ok()?;
        let mut values = [None; N];
        // Most clients send fields in the documented order, so the next documented name is tried first.
        let mut expected = 0;
        for (key, value) in members {
            let found = (expected..N).chain(0..expected).find(|index| names[*index] == key);
            if let Some(index) = found {
                values[index] = (!value.is_null()).then_some(value);
                expected = index + 1;
            } else {
                refuse_unknown(node, key, names, errors);
            }
        }
        Some(Self { object: node, names, values, next: 0 })
    }

    /// Reads the next field, in the order of the names.
    pub fn read<T: Read>(&mut self, errors: &mut Errors) -> Option<T> {
        self.read_partial::<T>(errors).and_then(T::complete)
    }

    /// Reads as much as possible of the next field.
    pub fn read_partial<T: Read>(&mut self, errors: &mut Errors) -> Option<T::Partial> {
        self.read_with::<T>(errors, T::read_partial)
    }

    /// Reads as much as possible of the next field, a list of `min` to `max` items.
    pub fn read_bounded<T: Bounded>(
        &mut self,
        min: usize,
        max: usize,
        errors: &mut Errors,
    ) -> Option<T::Partial> {
        self.read_with::<T>(errors, |node, errors| T::read_bounded(node, min, max, errors))
    }

    fn read_with<T: Read>(
        &mut self,
        errors: &mut Errors,
        read: impl FnOnce(Node<'_>, &mut Errors) -> Option<T::Partial>,
    ) -> Option<T::Partial> {
        let index = self.next;
        self.next += 1;
        match self.values[index] {
            Some(node) => {
                // Reasons and notes are hashed and stay readable, so no person's number may be in them.
                let is_kept = matches!(self.names[index], "reason" | "note");
                if is_kept && node.text().is_ok_and(personal_number::is_in) {
                    errors.refuse(node, personal_number::refusal());
                }
                read(node, errors)
            }
            None => T::absent(self.object, self.names[index], errors),
        }
    }
}

fn refuse_unknown(object: Node<'_>, key: &str, names: &[&'static str], errors: &mut Errors) {
    let shown: String = key.chars().take(50).collect();
    let mut detail = format!("`{}` is not known here.", shown.escape_debug());
    if !errors.is_full()
        && let Some(near) = did_you_mean(key, names)
    {
        detail = format!("{detail} Did you mean `{near}`?");
    }
    let invalid = Invalid::new(object.unknown_code(), detail);
    // The error contains the name only if it is short, so that a name of a megabyte is not sent back.
    if shown.len() == key.len() {
        errors.refuse_field(object, key, invalid);
    } else {
        errors.refuse(object, invalid);
    }
}

/// The name in `names` that the client probably meant by `word`: at most a third of the name's letters are
/// mistyped.
#[must_use]
pub fn did_you_mean(word: &str, names: &[&'static str]) -> Option<&'static str> {
    if word.len() > 100 {
        return None;
    }
    let word = word.to_lowercase().replace(['-', ' '], "_");
    let near = names.iter().map(|name| (strsim::osa_distance(&word, name), *name)).min()?;
    (near.0 <= near.1.len() / 3).then_some(near.1)
}
