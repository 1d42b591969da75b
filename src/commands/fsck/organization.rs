//! Rebuilds the row of an organisation from its first event.

use super::load::{EventRow, PersonalRow};
use super::row::Expected;
use crate::timber::event::types::EventType;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Public {
    kind: String,
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct Person {
    bin: String,
    name: String,
}

/// The expected values of an organisation's row, except for its head; `None` if the event cannot be read.
///
/// `personal` is the personal part of its first event; `None` once that was erased.
pub(super) fn expected_row(
    first: &EventRow,
    personal: Option<&PersonalRow>,
) -> Option<Vec<(&'static str, Expected)>> {
    let public: Public = serde_json::from_str(first.public()).ok()?;
    let person = match personal {
        Some(personal) => Some(serde_json::from_str::<Person>(&personal.text).ok()?),
        None => None,
    };
    Some(vec![
        ("kind", Expected::text(public.kind)),
        ("roles", Expected::Words(public.roles)),
        ("bin", Expected::maybe(person.as_ref().map(|person| &person.bin))),
        ("name", Expected::maybe(person.as_ref().map(|person| &person.name))),
        ("created_at", Expected::time(first.received())),
    ])
}

/// Whether an organisation's chain may have an event of this type at its seq.
pub(super) fn is_allowed(event: &EventRow) -> bool {
    matches!(event.event_type(), Some(of @ EventType::Organization(_)) if of.begins_chain() == (event.seq == 1))
}

/// The time of an event's occurrence, from its business part.
pub(super) fn occurred(business: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    let at = business.get("occurred")?.get("at")?.as_str()?;
    chrono::DateTime::parse_from_rfc3339(at).ok().map(|at| at.to_utc())
}
