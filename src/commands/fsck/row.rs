//! Stored rows as JSON, and the value expected from the events for each column.
//!
//! PostgreSQL converts a row to JSON with all its columns. So a new column is included too, and a value that
//! the types of this program would reject can still be read and compared.

use super::coverage;
use super::report::{Code, Report};
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgTypeInfo, PgValueRef, Postgres};
use std::fmt;
use uuid::Uuid;

/// Microseconds from 1970-01-01 to PostgreSQL's own epoch, 2000-01-01.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// A time as stored; `None` for `infinity` or a time outside chrono's range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored(pub Option<DateTime<Utc>>);

impl sqlx::Type<Postgres> for Stored {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as sqlx::Type<Postgres>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Postgres> for Stored {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(micros.checked_add(POSTGRES_EPOCH).and_then(DateTime::from_timestamp_micros)))
    }
}

/// A stored row.
pub(super) struct Row(Map<String, Value>);

impl Row {
    /// From `row_to_json(…)::text`.
    pub(super) fn parse(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    pub(super) fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column)?.as_str()
    }

    pub(super) fn uuid(&self, column: &str) -> Option<Uuid> {
        self.text(column)?.parse().ok()
    }

    pub(super) fn int(&self, column: &str) -> Option<i64> {
        self.0.get(column)?.as_i64()
    }

    pub(super) fn decimal(&self, column: &str) -> Option<Decimal> {
        decimal(self.0.get(column)?)
    }
}

/// The value that the events require in a column.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// Any value: another comparison checks it.
    CheckedElsewhere,
    /// NULL.
    Null,
    /// This text, id, date or word.
    Text(String),
    /// This number.
    Number(Decimal),
    /// This time.
    Time(DateTime<Utc>),
    /// This truth value.
    Bool(bool),
    /// This list of words.
    Words(Vec<String>),
    /// A text with this SHA-256, in hex.
    Digest(String),
    /// The events give no valid value for this column, although they should. Every stored value counts as
    /// different.
    Never,
}

impl Expected {
    pub(super) fn text(value: impl fmt::Display) -> Self {
        Self::Text(value.to_string())
    }

    /// A text, or NULL.
    pub(super) fn maybe<T: fmt::Display>(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::text)
    }

    /// A decimal in its text form.
    pub(super) fn decimal(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::text(text), Self::Number)
    }

    /// A decimal, or NULL.
    pub(super) fn maybe_decimal(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::decimal)
    }

    /// A number, or NULL.
    pub(super) fn maybe_number(number: Option<Decimal>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }

    pub(super) fn int(value: impl Into<i64>) -> Self {
        Self::Number(Decimal::from(value.into()))
    }

    pub(super) fn bytes(value: &[u8]) -> Self {
        Self::Text(format!("\\x{}", hex::encode(value)))
    }

    pub(super) fn date(value: NaiveDate) -> Self {
        Self::text(value)
    }

    pub(super) fn time(value: Option<DateTime<Utc>>) -> Self {
        value.map_or(Self::Never, Self::Time)
    }

    fn is(&self, found: &Value) -> bool {
        match self {
            Self::CheckedElsewhere => true,
            Self::Null => found.is_null(),
            Self::Text(text) => found.as_str() == Some(text),
            Self::Number(number) => decimal(found) == Some(*number),
            Self::Time(time) => {
                let read = found.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
                read.is_some_and(|read| read.to_utc() == *time)
            }
            Self::Bool(flag) => found.as_bool() == Some(*flag),
            Self::Words(words) => found.as_array().is_some_and(|found| {
                found.len() == words.len() && found.iter().zip(words).all(|(f, w)| f.as_str() == Some(w))
            }),
            Self::Digest(digest) => {
                found.as_str().is_some_and(|text| hex::encode(Sha256::digest(text)) == *digest)
            }
            Self::Never => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckedElsewhere => f.write_str("anything"),
            Self::Null => f.write_str("nothing"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => number.fmt(f),
            Self::Time(time) => f.write_str(&crate::base::units::utc_text(*time)),
            Self::Bool(flag) => flag.fmt(f),
            Self::Words(words) => write!(f, "{words:?}"),
            Self::Digest(digest) => write!(f, "a text with the digest {digest}"),
            Self::Never => f.write_str("no valid value"),
        }
    }
}

/// Columns with values that are never printed, since they name persons.
const PERSONAL_COLUMNS: [&str; 3] = ["bin", "name", "text"];
/// Longest part of a value that is printed, in characters.
const MAX_PRINTED_CHARS: usize = 120;

/// Compares a row with the values that the events require. Every column must be in `expected_row` or in
/// [`coverage::NO_EVIDENCE`].
pub(super) fn compare(
    report: &mut Report<'_>,
    table: &'static str,
    key: &dyn fmt::Display,
    event: Option<(Uuid, i32)>,
    expected_row: &[(&'static str, Expected)],
    row: &Row,
) {
    for (column, expected) in expected_row {
        let found = row.0.get(*column).unwrap_or(&Value::Null);
        if expected.is(found) {
            continue;
        }
        let detail = if PERSONAL_COLUMNS.contains(column) {
            format!("{column} is not what the events give")
        } else {
            let mut printed = found.to_string();
            if printed.len() > MAX_PRINTED_CHARS {
                printed = format!("{}…", printed.chars().take(MAX_PRINTED_CHARS).collect::<String>());
            }
            format!("{column} is {printed}, the events give {expected}")
        };
        report.find(Code::StateDiffers, table, key, event, detail);
    }
    for column in row.0.keys() {
        if !expected_row.iter().any(|(known, _)| known == column) && !coverage::is_no_evidence(table, column)
        {
            let detail = format!("this program has no rule for column {column}");
            report.find(Code::ColumnUnknown, table, key, event, detail);
        }
    }
}

/// A JSON number as a decimal. The columns have at most 14 digits, and a decimal of at most 15 digits is
/// unchanged after a conversion to a double and back.
fn decimal(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expected: &Expected, json: &str) -> bool {
        expected.is(&serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn values_are_compared_as_what_they_mean() {
        assert!(found(&Expected::decimal("0.33"), "0.3300"));
        assert!(found(&Expected::decimal("9999999999.9999"), "9999999999.9999"));
        assert!(!found(&Expected::decimal("9999999999.9999"), "9999999999.9998"));
        assert!(!found(&Expected::decimal("0.33"), "\"NaN\""));
        assert!(found(&Expected::int(3_i32), "3.0000"));
        let at = "2026-10-05T05:00:00.000001Z".parse().expect("a time");
        assert!(found(&Expected::Time(at), "\"2026-10-05T10:00:00.000001+05:00\""));
        assert!(
            !found(&Expected::Time(at), "\"2026-10-05T10:00:00+05:00\"")
                && !found(&Expected::Time(at), "\"infinity\"")
        );
        assert!(found(&Expected::Null, "null") && !found(&Expected::Null, "\"\""));
        assert!(found(&Expected::Words(vec!["a".into(), "b".into()]), r#"["a","b"]"#));
        assert!(!found(&Expected::Words(vec!["a".into()]), r#"["a",null]"#));
        assert!(!found(&Expected::time(None), "null"));
    }

    #[test]
    fn a_column_without_a_rule_is_told() {
        let mut found = Vec::new();
        let mut report = Report::new(&mut found);
        let row = Row::parse(r#"{"id":"1","species":"pinus_sylvestris","hue":"brown"}"#);
        let expected_row =
            [("id", Expected::CheckedElsewhere), ("species", Expected::text("betula_pendula"))];
        compare(&mut report, "log", &"1", None, &expected_row, &row);
        let codes: Vec<Code> = found.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::StateDiffers, Code::ColumnUnknown]);
    }
}
