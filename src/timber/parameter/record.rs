//! Sets a parameter from a day on. The event is on the operator's chain, so each value can be traced to the document
//! that decided it, and a value that was written into the table directly is recognised.

use super::name::ParameterName;
use super::{Parameters, Rulebook};
use crate::base::as_text;
use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::ids::{KeyId, OperationId, OrganizationId};
use crate::base::units::{Amount, LocalDate, utc_text};
use crate::evidence::chain::{LockedHead, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::{DecisionDocument, DocumentPart, LocalTime};
use crate::timber::event::types::OrganizationEventType;
use crate::timber::event::vocabulary::DocumentKind;
use crate::timber::party::head::{self, OfficeEvent};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How long a server may judge by values that it read earlier. A server reads them again more often than that, and
/// a new value is in force at the earliest on the first day that begins after this time has passed.
pub const READ_AGAIN_WITHIN: TimeDelta = TimeDelta::hours(1);

/// A value to set.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// The parameter.
    pub name: ParameterName,
    /// The value.
    pub value: Amount,
    /// First day (in Kazakhstan) on which it is in force.
    pub valid_from: LocalDate,
    /// The document that decided it.
    pub document: DocumentPart,
    /// Where the request states them.
    pub at: Locations,
}

/// Where a request to set a value states its members.
#[derive(Clone, Debug)]
pub struct Locations {
    /// The value.
    pub value: Location,
    /// The first day.
    pub valid_from: Location,
    /// The number of the document.
    pub document_number: Location,
}

/// The fields of the public part of `parameter_set`, besides those of every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterPublic {
    /// The name of the parameter.
    pub parameter: String,
    /// First day on which the value is in force.
    pub valid_from: NaiveDate,
    /// The value.
    #[serde(with = "as_text")]
    pub value: Amount,
}

/// The business part of `parameter_set`, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ParameterBusiness {
    /// The organisation that recorded it.
    pub organization: OrganizationId,
    /// The key with which it was recorded.
    pub key: KeyId,
    /// The write request.
    pub operation: OperationId,
    /// When it was recorded.
    pub occurred: LocalTime,
    /// The document that decided it.
    pub document: DocumentPart,
}

/// The fields of the business part besides those of [`Actor`].
#[derive(Serialize)]
struct Decided<'a> {
    document: &'a DocumentPart,
}

/// The first day on which a value that is set at `now` can be in force.
#[must_use]
pub fn earliest(now: DateTime<Utc>) -> NaiveDate {
    LocalDate::of(now + READ_AGAIN_WITHIN).day().succ_opt().unwrap_or(NaiveDate::MAX)
}

/// The errors of a value: outside the parameter's bounds, with too many decimals, or in force too early. `value` and
/// `valid_from` are `None` where they could not be read.
#[must_use]
pub fn check(
    name: ParameterName,
    value: Option<Amount>,
    valid_from: Option<LocalDate>,
    now: DateTime<Utc>,
    at: &Locations,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let definition = name.definition();
    if let Some(value) = value.map(Amount::decimal) {
        if value < definition.min || value > definition.max {
            let (min, max, unit) = (definition.min.normalize(), definition.max.normalize(), definition.unit);
            let detail = format!("The value of `{name}` is {min} to {max} {unit}.");
            errors.push(FieldError::new(at.value.clone(), "parameter-out-of-range", detail));
        } else if value.normalize().scale() > definition.default.scale() {
            let detail =
                format!("The value of `{name}` has at most {} decimals.", definition.default.scale());
            errors.push(FieldError::new(at.value.clone(), "value-too-precise", detail));
        }
    }
    let first = earliest(now);
    if valid_from.is_some_and(|from| from.day() < first) {
        let detail = format!(
            "A value is in force from {first} on at the earliest: from tomorrow in Kazakhstan, and in the last hour of a \
             day from the day after."
        );
        errors.push(FieldError::new(at.valid_from.clone(), "valid-from-too-early", detail));
    }
    errors
}

/// Sets a value. A value that was set for the same day is replaced.
///
/// # Errors
/// [`Error::Invalid`] with the errors of [`check`]; not found, if there is no operator.
pub async fn set(tx: &mut Tx<'_>, act: &Actor, new: &NewValue) -> Result<()> {
    let head = head::lock_operator(tx).await?;
    // The act's time was read before the lock. That is early enough: a server reads the values again within an hour.
    let errors = check(new.name, Some(new.value), Some(new.valid_from), act.at(), &new.at);
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    write(tx, act, head, new).await
}

/// The document of the values that a new database begins with.
const FIRST_START: &str = "first start";

/// Sets the values that a new database begins with, in force from today on: no record exists yet that they could
/// judge. Exports state country and HS code.
///
/// # Errors
/// From the database; not found, if there is no operator.
pub async fn begin(tx: &mut Tx<'_>, act: &Actor) -> Result<()> {
    let head = head::lock_operator(tx).await?;
    let corrupt = |error: Invalid| Error::CorruptRow(format!("parameter.value: {error}"));
    let new = NewValue {
        name: ParameterName::ExportSpecified,
        value: Amount::new(Decimal::ONE).map_err(corrupt)?,
        valid_from: LocalDate::new(act.on()).map_err(corrupt)?,
        document: DocumentPart { kind: DocumentKind::Other, number: FIRST_START.to_owned(), issued_on: None },
        at: Locations {
            value: Location::body(),
            valid_from: Location::body(),
            document_number: Location::body(),
        },
    };
    write(tx, act, head, &new).await
}

async fn write(tx: &mut Tx<'_>, act: &Actor, head: LockedHead, new: &NewValue) -> Result<()> {
    let public = ParameterPublic {
        parameter: new.name.as_str().to_owned(),
        valid_from: new.valid_from.day(),
        value: new.value,
    };
    let business = Decided { document: &new.document };
    let head = head::add_office_event(
        tx,
        act,
        head,
        OfficeEvent {
            event_type: OrganizationEventType::ParameterSet,
            public: &public,
            business: &business,
            texts: &[(new.at.document_number.clone(), &new.document.number)],
        },
    )
    .await?;
    sqlx::query!(
        "INSERT INTO parameter (name, valid_from, value, document_kind, document_number, document_issued_on, set_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (name, valid_from) DO UPDATE
         SET value = $3, document_kind = $4, document_number = $5, document_issued_on = $6, set_at = $7",
        new.name.as_str(),
        new.valid_from.day(),
        new.value.decimal(),
        new.document.kind.as_str(),
        new.document.number,
        new.document.issued_on,
        head.received_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reads the stored values into the rulebook.
///
/// # Errors
/// From the database; the values in the rulebook stay as they were.
pub async fn refresh(rulebook: &Rulebook, db: impl PgExecutor<'_>) -> Result<()> {
    let _turn = rulebook.reading.lock().await;
    rulebook.replace(load(db).await?);
    Ok(())
}

/// The values of the table, without those of parameters that this program does not know. A day or value that is not
/// finite, which only an insider can have written, has no meaning here; `fsck` names its row.
///
/// # Errors
/// From the database.
pub async fn load(db: impl PgExecutor<'_>) -> Result<Parameters> {
    let rows = sqlx::query!(
        "SELECT name, valid_from, value FROM parameter
         WHERE isfinite(valid_from) AND value NOT IN ('NaN', 'Infinity', '-Infinity')"
    )
    .fetch_all(db)
    .await?;
    let known = |name: &str| ParameterName::parse(name).ok();
    Ok(Parameters::new(
        rows.into_iter().filter_map(|row| Some((known(&row.name)?, row.valid_from, row.value))),
    ))
}

/// A parameter, with its values.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Parameter)]
pub struct ParameterView {
    /// Its name.
    pub name: ParameterName,
    /// What it limits.
    pub about: &'static str,
    /// The unit of its values; empty for a plain number.
    #[schema(example = "days")]
    pub unit: &'static str,
    /// The value where none was set.
    pub default: Amount,
    /// The lowest value that may be set.
    pub min: Amount,
    /// The highest value that may be set.
    pub max: Amount,
    /// The value in force today in Kazakhstan.
    pub value: Amount,
    /// The values that were set, by the day from which each is in force.
    pub values: Vec<DatedValue>,
}

/// A value of a parameter, in force from a day until the next one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DatedValue {
    /// The value.
    pub value: Amount,
    /// First day (in Kazakhstan) on which it is in force.
    pub valid_from: LocalDate,
    /// The document that decided it.
    pub document: DecisionDocument,
    /// When the operator set it.
    #[schema(value_type = DateTime<Utc>)]
    pub set_at: String,
}

/// All parameters, or the one with the name `only`.
///
/// # Errors
/// From the database.
pub async fn list(
    db: impl PgExecutor<'_>,
    only: Option<ParameterName>,
    now: DateTime<Utc>,
) -> Result<Vec<ParameterView>> {
    let rows = sqlx::query!(
        r#"SELECT name, valid_from AS "valid_from: LocalDate", value, document_kind AS "document_kind: DocumentKind",
                  document_number, document_issued_on, set_at
           FROM parameter WHERE $1::text IS NULL OR name = $1 ORDER BY name, valid_from"#,
        only.map(ParameterName::as_str)
    )
    .fetch_all(db)
    .await?;
    let mut dated: BTreeMap<String, Vec<DatedValue>> = BTreeMap::new();
    for row in rows {
        dated.entry(row.name).or_default().push(DatedValue {
            value: amount(row.value)?,
            valid_from: row.valid_from,
            document: DecisionDocument {
                kind: row.document_kind,
                number: row.document_number,
                issued_on: row.document_issued_on,
            },
            set_at: utc_text(row.set_at),
        });
    }
    let today = LocalDate::of(now).day();
    let names = ParameterName::ALL.iter().copied().filter(|name| only.is_none_or(|only| only == *name));
    names
        .map(|name| {
            let definition = name.definition();
            let values = dated.remove(name.as_str()).unwrap_or_default();
            let in_force = values.iter().rev().find(|value| value.valid_from.day() <= today);
            Ok(ParameterView {
                name,
                about: definition.about,
                unit: definition.unit,
                default: amount(definition.default)?,
                min: amount(definition.min)?,
                max: amount(definition.max)?,
                value: in_force.map_or_else(|| amount(definition.default), |value| Ok(value.value))?,
                values,
            })
        })
        .collect()
}

fn amount(value: Decimal) -> Result<Amount> {
    Amount::new(value).map_err(|error: Invalid| Error::CorruptRow(format!("parameter.value: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector "A parameter is set" in `docs/CHAIN.md`; its commitments were made with Python's hashlib.
    #[test]
    fn a_set_parameter_has_the_bytes_of_the_specification() {
        let public = ParameterPublic {
            parameter: ParameterName::TicketHoldDays.as_str().to_owned(),
            valid_from: "2026-11-29".parse().unwrap(),
            value: Amount::parse("8").unwrap(),
        };
        let document = DocumentPart {
            kind: DocumentKind::Other,
            number: "18-02/1".to_owned(),
            issued_on: Some("2026-11-20".parse().unwrap()),
        };
        let business = Decided { document: &document };
        let event_type = OrganizationEventType::ParameterSet;
        let event = OfficeEvent { event_type, public: &public, business: &business, texts: &[] };
        crate::timber::party::head::assert_in_specification(&event);
    }

    #[test]
    fn a_value_is_in_force_from_tomorrow_or_late_in_the_evening_from_the_day_after() {
        // Midnight in Kazakhstan is 19:00 UTC.
        let earliest = |now: &str| earliest(now.parse().unwrap()).to_string();
        assert_eq!(earliest("2026-10-05T05:00:00Z"), "2026-10-06");
        assert_eq!(earliest("2026-10-05T17:59:59Z"), "2026-10-06");
        assert_eq!(earliest("2026-10-05T18:00:00Z"), "2026-10-07");
        assert_eq!(earliest("2026-10-05T19:00:00Z"), "2026-10-07");
    }

    #[test]
    fn a_value_lies_within_the_bounds() {
        let now = "2026-10-05T05:00:00Z".parse().unwrap();
        let at = Locations {
            value: Location::body(),
            valid_from: Location::body(),
            document_number: Location::body(),
        };
        let codes = |value: &str, from: &str| {
            let errors = check(
                ParameterName::TicketHoldDays,
                Some(Amount::parse(value).unwrap()),
                Some(LocalDate::parse(from).unwrap()),
                now,
                &at,
            );
            errors.into_iter().map(|error| error.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("1", "2026-10-06"), [""; 0]);
        assert_eq!(codes("10", "2026-10-06"), [""; 0]);
        assert_eq!(codes("0", "2026-10-06"), ["parameter-out-of-range"]);
        assert_eq!(codes("11", "2026-10-05"), ["parameter-out-of-range", "valid-from-too-early"]);
        assert_eq!(codes("7.5", "2026-10-06"), ["value-too-precise"]);
    }
}
