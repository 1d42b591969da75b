//! Compares the search columns of table `event` with the event's texts, in the order of the table's pages:
//! in any other order, a table larger than memory would cost one page read per event.

use super::Failure;
use super::report::{Code, Report};
use super::row::Stored;
use super::snapshot::Reader;
use serde::Deserialize;
use uuid::Uuid;

/// Pages per snapshot: 8 MB.
const PAGES: i64 = 1_000;

#[derive(Deserialize)]
struct Business {
    organization: Uuid,
    operation: Uuid,
    occurred: Occurred,
}

#[derive(Deserialize)]
struct Occurred {
    at: String,
}

/// Compares the search columns of all events.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut page, mut seen) = (0, 0);
    loop {
        reader.begin().await?;
        let pages = sqlx::query_scalar!(
            r#"SELECT pg_relation_size('event') / current_setting('block_size')::bigint AS "pages!""#
        )
        .fetch_one(&mut *reader.db)
        .await?;
        if page >= pages {
            reader.end().await?;
            return Ok(());
        }
        let rows = check_pages(reader, report, page).await?;
        reader.end().await?;
        page = (page + PAGES).min(pages);
        let all = u64::try_from(pages).unwrap_or_default();
        let done = u64::try_from(page).unwrap_or_default();
        seen += rows as u64;
        report.progress("rows of search columns", rows, seen * all / done.max(1));
    }
}

async fn check_pages(reader: &mut Reader<'_>, report: &mut Report<'_>, page: i64) -> Result<usize, Failure> {
    let rows = sqlx::query!(
        r#"SELECT subject_id AS "subject?", seq AS "seq?", public AS "public?", business AS "business?",
                  subject_kind AS "kind?", type AS "event_type?", organization_id AS "organization?",
                  operation_id AS "operation?", occurred_at AS "occurred_at?: Stored", region
           FROM event WHERE ctid >= format('(%s,0)', $1::bigint)::tid AND ctid < format('(%s,0)', $2::bigint)::tid"#,
        page,
        page + PAGES
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let count = rows.len();
    for row in rows {
        let (subject, seq) = (row.subject.unwrap_or_default(), row.seq.unwrap_or_default());
        let public =
            serde_json::from_str::<super::load::PublicMembers>(row.public.as_deref().unwrap_or_default());
        let business = serde_json::from_str::<Business>(row.business.as_deref().unwrap_or_default());
        let (Ok(public), Ok(business)) = (public, business) else {
            report.event(Code::EventUnreadable, subject, seq, "its parts cannot be read");
            continue;
        };
        let occurred = chrono::DateTime::parse_from_rfc3339(&business.occurred.at).ok().map(|at| at.to_utc());
        let same = [
            ("subject_id", row.subject.is_some()),
            ("seq", row.seq.is_some()),
            ("subject_kind", row.kind == public.kind().map(|kind| i16::from(kind.byte()))),
            ("type", row.event_type.as_ref() == Some(&public.type_word)),
            ("region", row.region == public.region),
            ("organization_id", row.organization == Some(business.organization)),
            ("operation_id", row.operation == Some(business.operation)),
            ("occurred_at", occurred.is_some() && row.occurred_at.and_then(|at| at.0) == occurred),
        ];
        for (column, same) in same {
            if !same {
                report.event(Code::CopyDiffers, subject, seq, format!("{column} differs from its text"));
            }
        }
    }
    Ok(count)
}
