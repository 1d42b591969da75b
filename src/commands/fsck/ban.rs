//! Rebuilds the bans (`ban`) from the operator's chain.

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, Stored, compare};
use super::snapshot::Reader;
use crate::timber::ticket::ban::{BanBusiness, BanPart};
use chrono::NaiveDate;
use serde::Deserialize;
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Deserialize)]
struct Set {
    ban: BanPart,
}

#[derive(Deserialize)]
struct Ended {
    ban: EndedBan,
    on: NaiveDate,
}

#[derive(Deserialize)]
struct EndedBan {
    id: Uuid,
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

/// A ban, as its events require it.
struct Ban {
    /// The newest event about it.
    at: (Uuid, i32),
    row: Vec<(&'static str, Expected)>,
    ended: Option<(NaiveDate, String)>,
}

/// Compares the rows of `ban` with the events.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    reader.begin().await?;
    let events = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", type AS "type!", public AS "public?", business AS "business?",
                  received_at AS "received_at?: Stored"
           FROM event WHERE region IS NULL AND type IN ('ban_set', 'ban_ended')
           ORDER BY received_at, subject_id, seq"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let rows = sqlx::query_scalar!(r#"SELECT row_to_json(t)::text AS "row!" FROM ban t ORDER BY id"#)
        .fetch_all(&mut *reader.db)
        .await?;
    reader.end().await?;
    let mut known: BTreeMap<Uuid, Ban> = BTreeMap::new();
    for event in events {
        let (public, business) = (event.public.as_deref(), event.business.as_deref());
        let at = (event.subject, event.seq);
        let read = if event.r#type == "ban_set" {
            set(public, business).map(|(id, mut row)| {
                row.push(("made_at", Expected::time(event.received_at.and_then(|at| at.0))));
                known.insert(id, Ban { at, row, ended: None });
            })
        } else {
            ended(public, business).and_then(|(id, on, reason)| {
                let ban = known.get_mut(&id)?;
                (ban.at, ban.ended) = (at, Some((on, reason)));
                Some(())
            })
        };
        if read.is_none() {
            report.event(
                Code::EventUnreadable,
                event.subject,
                event.seq,
                "it states no ban, or ends an unknown one",
            );
        }
    }
    for row in rows {
        let row = Row::parse(&row);
        let id = row.uuid("id").unwrap_or_default();
        let Some(Ban { at, row: mut expected, ended }) = known.remove(&id) else {
            report.find(Code::RowUnexplained, "ban", id, None, "no event records this ban");
            continue;
        };
        let (on, reason) = ended.unzip();
        expected.push(("ended_on", on.map_or(Expected::Null, Expected::date)));
        expected.push(("end_reason", Expected::maybe(reason)));
        compare(report, "ban", &id, Some(at), &expected, &row);
    }
    for (id, Ban { at, .. }) in known {
        report.find(Code::RowMissing, "ban", id, Some(at), "the operator's chain records this ban");
    }
    Ok(())
}

/// The id of a recorded ban, and the columns that its event requires, besides those of its end and its time.
fn set(public: Option<&str>, business: Option<&str>) -> Option<(Uuid, Vec<(&'static str, Expected)>)> {
    let Set { ban } = serde_json::from_str(public?).ok()?;
    let business: BanBusiness = serde_json::from_str(business?).ok()?;
    let row = vec![
        ("id", Expected::text(ban.id)),
        ("kind", Expected::text(ban.kind)),
        ("region", Expected::maybe(ban.region)),
        ("forest_owner_id", Expected::maybe(business.forest_owner)),
        ("species", Expected::maybe(ban.species)),
        ("hs", Expected::Words(ban.hs.iter().map(ToString::to_string).collect())),
        ("from_day", Expected::date(ban.from)),
        ("until_day", Expected::date(ban.until)),
        ("existing_tickets", Expected::Bool(ban.existing_tickets == Some(true))),
        ("document_kind", Expected::text(business.document.kind)),
        ("document_number", Expected::text(business.document.number)),
        ("document_issued_on", business.document.issued_on.map_or(Expected::Null, Expected::date)),
    ];
    Some((ban.id.0, row))
}

/// The id of a ban that was ended, its first day without the ban, and the reason.
fn ended(public: Option<&str>, business: Option<&str>) -> Option<(Uuid, NaiveDate, String)> {
    let Ended { ban, on } = serde_json::from_str(public?).ok()?;
    let Reason { reason } = serde_json::from_str(business?).ok()?;
    Some((ban.id, on, reason))
}
