//! Checks that a personal part is missing only where a recorded erasure covers exactly its event.

use super::Failure;
use super::chain::Missing;
use super::report::{Code, Report};
use super::snapshot::Reader;
use crate::base::error::Error;
use crate::timber::event::types::OrganizationEventType;
use crate::timber::party::erasure::{ErasureBusiness, events_digest, events_of};
use uuid::Uuid;

/// Maximum numbers of erasure records and of personal parts that are read in one snapshot.
const RECORDS: i64 = 500;
const PARTS: i64 = 10_000;

/// Compares the recorded erasures with the personal parts that are gone. `missing` has the events without
/// their personal part; those that no record covers are reported. Runs after the chains, so that an erasure
/// made in the meantime is among the records.
pub(super) async fn check(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    mut missing: Missing,
) -> Result<(), Failure> {
    let of = sqlx::query_scalar!(
        r#"SELECT count(*) AS "of!" FROM event WHERE region IS NULL AND type = $1"#,
        OrganizationEventType::PersonalErased.as_str()
    )
    .fetch_one(&mut *reader.db)
    .await?;
    let mut after = (Uuid::nil(), 0);
    loop {
        reader.begin().await?;
        let records = sqlx::query!(
            r#"SELECT subject_id AS "subject!", seq AS "seq!", business AS "business?" FROM event
               WHERE region IS NULL AND type = $4 AND (subject_id, seq) > ($1, $2)
               ORDER BY subject_id, seq LIMIT $3"#,
            after.0,
            after.1,
            RECORDS,
            OrganizationEventType::PersonalErased.as_str()
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let count = records.len();
        let last = records.last().map(|last| (last.subject, last.seq));
        for record in records {
            let business = ErasureBusiness::parse(record.business.as_deref().unwrap_or_default());
            check_record(reader, report, (record.subject, record.seq), business.ok(), &mut missing).await?;
        }
        reader.end().await?;
        let Some(last) = last else { break };
        after = last;
        report.progress("erasures", count, of.unsigned_abs());
    }
    for (personal, events) in missing {
        for at in events {
            let detail = format!("its personal part {personal} is gone, and no recorded erasure covers it");
            report.event(Code::PersonalMissing, at.0, at.1, detail);
        }
    }
    strays(reader, report).await
}

async fn events_with(reader: &mut Reader<'_>, personal: Uuid) -> Result<Vec<(Uuid, i32)>, Failure> {
    let events = events_of(reader.db, personal).await.map_err(|error| match error {
        Error::Database(error) => error,
        other => sqlx::Error::Protocol(other.to_string()),
    })?;
    Ok(events)
}

/// Compares one record, and removes the events it covers from `missing`.
async fn check_record(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    at: (Uuid, i32),
    business: Option<ErasureBusiness>,
    missing: &mut Missing,
) -> Result<(), Failure> {
    let Some(business) = business else {
        report.event(Code::EventUnreadable, at.0, at.1, "its business part cannot be read");
        return Ok(());
    };
    let events = events_with(reader, business.personal).await?;
    let there = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM personal WHERE id = $1) AS "there!""#,
        business.personal
    )
    .fetch_one(&mut *reader.db)
    .await?;
    if there {
        let detail = "the personal part that it erased still exists";
        report.event(Code::ErasureDiffers, at.0, at.1, detail);
    }
    let same = u32::try_from(events.len()) == Ok(business.events)
        && events_digest(&events).to_string() == business.digest
        && business.organization.0 == at.0;
    if !same {
        let detail = "the events that had this personal part are not those it erased";
        report.event(Code::ErasureDiffers, at.0, at.1, detail);
    }
    if let Some(gone) = missing.get_mut(&business.personal) {
        gone.retain(|event| events.binary_search(event).is_err());
    }
    Ok(())
}

/// Reports personal parts that belong to no event. A personal part usually has the id of its harvest or of
/// its organisation; only where neither exists are the events searched.
async fn strays(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let of = reader.about("personal").await?;
    let mut after = Uuid::nil();
    loop {
        reader.begin().await?;
        let parts = sqlx::query!(
            r#"SELECT p.id AS "id!", (h.id IS NOT NULL OR e.subject_id IS NOT NULL) AS "known!" FROM personal p
               LEFT JOIN harvest h ON h.id = p.id AND h.personal_id = p.id
               LEFT JOIN event e ON e.subject_id = p.id AND e.seq = 1 AND e.personal_id = p.id
               WHERE p.id > $1 ORDER BY p.id LIMIT $2"#,
            after,
            PARTS
        )
        .fetch_all(&mut *reader.db)
        .await?;
        for part in parts.iter().filter(|part| !part.known) {
            if events_with(reader, part.id).await?.is_empty() {
                report.find(
                    Code::RowUnexplained,
                    "personal",
                    part.id,
                    None,
                    "no event has this personal part",
                );
            }
        }
        reader.end().await?;
        let Some(last) = parts.last() else { return Ok(()) };
        after = last.id;
        report.progress("personal parts", parts.len(), of);
    }
}
