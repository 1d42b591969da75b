//! Rebuilds harvests from the first events of their logs.

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, Stored, compare};
use super::snapshot::{Range, Reader};
use crate::timber::custody::content::{LogBusiness, LogPublic};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Number of harvests that are read in one snapshot. It is low because one harvest may have 5,000 logs.
const HARVESTS: i64 = 50;

/// The values and totals that the first events of a harvest's logs give.
struct Sum {
    /// One of the logs.
    log: Uuid,
    logs: i64,
    volume: Option<Decimal>,
    organization: Option<Uuid>,
    operation: Option<Uuid>,
    ticket: Option<Uuid>,
    personal: Option<Uuid>,
    received_at: Option<DateTime<Utc>>,
}

/// Compares all harvests.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let of = reader.about("harvest").await?;
    let mut low = Some(Uuid::nil());
    while let Some(from) = low {
        reader.begin().await?;
        let next = sqlx::query_scalar!(
            "SELECT id FROM harvest WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT 1",
            from,
            HARVESTS
        )
        .fetch_optional(&mut *reader.db)
        .await?;
        let range = Range::before(from, next);
        let harvests = check_range(reader, report, range).await?;
        reader.end().await?;
        report.progress("harvests", harvests, of);
        low = range.next();
    }
    Ok(())
}

async fn check_range(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    range: Range,
) -> Result<usize, Failure> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", row_to_json(t)::text AS "row!" FROM harvest t WHERE id BETWEEN $1 AND $2 ORDER BY id"#,
        range.low,
        range.high
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let mut sums: BTreeMap<Uuid, Sum> = BTreeMap::new();
    let mut logs = sqlx::query!(
        r#"SELECT l.harvest_id AS "harvest!", l.id AS "log!", e.public AS "public?", e.business AS "business?",
                  e.personal_id AS "personal?", e.received_at AS "received_at?: Stored"
           FROM harvest h JOIN log l ON l.harvest_id = h.id JOIN event e ON e.subject_id = l.id AND e.seq = 1
           WHERE h.id BETWEEN $1 AND $2"#,
        range.low,
        range.high
    )
    .fetch(&mut *reader.db);
    while let Some(row) = logs.try_next().await? {
        let public = LogPublic::parse(row.public.as_deref().unwrap_or_default()).ok();
        let business = LogBusiness::parse(row.business.as_deref().unwrap_or_default()).ok();
        let volume = public.and_then(|public| Some(public.volume_m3?.decimal()));
        let sum = sums.entry(row.harvest).or_insert_with(|| Sum {
            log: row.log,
            logs: 0,
            volume: Some(Decimal::ZERO),
            organization: business.as_ref().map(|business| business.organization.0),
            operation: business.as_ref().map(|business| business.operation.0),
            ticket: business.as_ref().and_then(|business| business.ticket.as_ref()).map(|head| head.id.0),
            personal: row.personal,
            received_at: row.received_at.and_then(|at| at.0),
        });
        sum.logs += 1;
        sum.volume = sum.volume.zip(volume).and_then(|(a, b)| a.checked_add(b));
    }
    drop(logs);
    let count = rows.len();
    for row in rows {
        let Some(sum) = sums.remove(&row.id) else {
            report.find(Code::RowUnexplained, "harvest", row.id, None, "no log with an event belongs to it");
            continue;
        };
        let expected_row = [
            ("id", Expected::CheckedElsewhere),
            ("organization_id", Expected::maybe(sum.organization)),
            ("ticket_id", Expected::maybe(sum.ticket)),
            ("operation_id", Expected::maybe(sum.operation)),
            ("personal_id", Expected::maybe(sum.personal)),
            ("log_count", Expected::int(sum.logs)),
            ("volume_m3", sum.volume.map_or(Expected::Never, Expected::Number)),
            ("received_at", Expected::time(sum.received_at)),
        ];
        compare(report, "harvest", &row.id, Some((sum.log, 1)), &expected_row, &Row::parse(&row.row));
    }
    Ok(count)
}
