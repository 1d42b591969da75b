//! Rebuilds the allowable cuts (`allowable_cut`) from the operator's chain.

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, Stored, compare};
use super::snapshot::Reader;
use crate::timber::ticket::cut::{CutBusiness, forestry_key};
use crate::timber::wood::species::SpeciesGroup;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The newest event about a cut, and the row that it requires.
struct Cut {
    at: (Uuid, i32),
    row: Vec<(&'static str, Expected)>,
}

/// Compares the rows of `allowable_cut` with the events. Of several events about one cut, the newest counts.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let events = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", business AS "business?", received_at AS "received_at?: Stored"
           FROM event WHERE region IS NULL AND type = 'allowable_cut_set' ORDER BY received_at, subject_id, seq"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let rows =
        sqlx::query_scalar!(r#"SELECT row_to_json(t)::text AS "row!" FROM allowable_cut t ORDER BY id"#)
            .fetch_all(&mut *reader.db)
            .await?;
    reader.end().await?;
    let mut known: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for event in events {
        let business =
            event.business.as_deref().and_then(|text| serde_json::from_str::<CutBusiness>(text).ok());
        let Some(CutBusiness { cut, document }) = business else {
            report.event(Code::EventUnreadable, event.subject, event.seq, "it states no allowable cut");
            continue;
        };
        let key = cut.forestry.as_deref().map(forestry_key).unwrap_or_default();
        let row = vec![
            ("id", Expected::text(cut.id)),
            ("forest_owner_id", Expected::text(cut.forest_owner)),
            ("year", Expected::int(cut.year)),
            ("forestry", Expected::maybe(cut.forestry)),
            ("forestry_key", Expected::text(key)),
            ("species_group", Expected::text(cut.group.map_or("", SpeciesGroup::as_str))),
            ("volume_m3", Expected::Number(cut.volume_m3.decimal())),
            ("document_kind", Expected::text(document.kind)),
            ("document_number", Expected::text(document.number)),
            ("document_issued_on", document.issued_on.map_or(Expected::Null, Expected::date)),
            ("set_at", Expected::time(event.received_at.and_then(|at| at.0))),
        ];
        known.insert(cut.id.0, Cut { at: (event.subject, event.seq), row });
    }
    for row in rows {
        let row = Row::parse(&row);
        let id = row.uuid("id").unwrap_or_default();
        match known.remove(&id) {
            Some(Cut { at, row: expected }) => {
                compare(report, "allowable_cut", &id, Some(at), &expected, &row);
            }
            None => {
                report.find(Code::RowUnexplained, "allowable_cut", id, None, "no event sets this cut");
            }
        }
    }
    for (id, Cut { at, .. }) in known {
        report.find(Code::RowMissing, "allowable_cut", id, Some(at), "the operator's chain sets this cut");
    }
    Ok(())
}
