//! Rebuilds the values of the parameters (`parameter`) from the operator's chain.

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, Stored, compare};
use super::snapshot::Reader;
use crate::timber::parameter::record::{ParameterBusiness, ParameterPublic};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The newest event about a value, and the row that it requires.
struct Value {
    at: (Uuid, i32),
    row: Vec<(&'static str, Expected)>,
}

/// Compares the rows of `parameter` with the events. Of several events about one parameter and day, the newest
/// counts.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let events = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", public AS "public?", business AS "business?",
                  received_at AS "received_at?: Stored"
           FROM event WHERE region IS NULL AND type = 'parameter_set' ORDER BY received_at, subject_id, seq"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT row_to_json(t)::text AS "row!" FROM parameter t ORDER BY name, valid_from"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    reader.end().await?;
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for event in events {
        let public =
            event.public.as_deref().and_then(|text| serde_json::from_str::<ParameterPublic>(text).ok());
        let business =
            event.business.as_deref().and_then(|text| serde_json::from_str::<ParameterBusiness>(text).ok());
        let (Some(public), Some(business)) = (public, business) else {
            report.event(
                Code::EventUnreadable,
                event.subject,
                event.seq,
                "it states no value of a parameter",
            );
            continue;
        };
        let key = format!("{}/{}", public.parameter, public.valid_from);
        let row = vec![
            ("name", Expected::text(public.parameter)),
            ("valid_from", Expected::date(public.valid_from)),
            ("value", Expected::Number(public.value.decimal())),
            ("document_kind", Expected::text(business.document.kind)),
            ("document_number", Expected::text(business.document.number)),
            ("document_issued_on", business.document.issued_on.map_or(Expected::Null, Expected::date)),
            ("set_at", Expected::time(event.received_at.and_then(|at| at.0))),
        ];
        known.insert(key, Value { at: (event.subject, event.seq), row });
    }
    for row in rows {
        let row = Row::parse(&row);
        let part = |column| row.text(column).unwrap_or_default();
        let key = format!("{}/{}", part("name"), part("valid_from"));
        match known.remove(&key) {
            Some(Value { at, row: expected }) => {
                compare(report, "parameter", &key, Some(at), &expected, &row);
            }
            None => {
                report.find(Code::RowUnexplained, "parameter", key, None, "no event sets this value");
            }
        }
    }
    for (key, Value { at, .. }) in known {
        report.find(Code::RowMissing, "parameter", key, Some(at), "the operator's chain sets this value");
    }
    Ok(())
}
