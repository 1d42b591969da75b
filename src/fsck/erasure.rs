//! A personal part may be gone only if an erasure was recorded that covers exactly its event.

use super::Failure;
use super::chain::Missing;
use super::report::{Code, Report};
use super::snapshot::Reader;
use crate::error::Error;
use crate::party::erasure::{Business, events_digest, events_of};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Holds the recorded erasures against what is gone, and `missing` against both. Read after the
/// chains, so that an erasure made meanwhile is among the records.
pub(super) async fn check(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
    missing: Missing,
) -> Result<(), Failure> {
    reader.begin().await?;
    let records = sqlx::query!(
        r#"SELECT subject_id AS "subject!", seq AS "seq!", business AS "business?" FROM event
           WHERE region IS NULL AND type = 'personal_erased' ORDER BY subject_id, seq"#
    )
    .fetch_all(&mut *reader.db)
    .await?;
    let mut covered: HashMap<Uuid, HashSet<(Uuid, i32)>> = HashMap::new();
    let count = records.len();
    for record in records {
        let at = (record.subject, record.seq);
        let Ok(said) = Business::parse(record.business.as_deref().unwrap_or_default()) else {
            report.event(Code::EventUnreadable, at.0, at.1, "its business part cannot be read");
            continue;
        };
        let events = events_of(reader.db, said.personal).await.map_err(|error| match error {
            Error::Database(error) => error,
            other => sqlx::Error::Protocol(other.to_string()),
        })?;
        let there = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM personal WHERE id = $1) AS "there!""#,
            said.personal
        )
        .fetch_one(&mut *reader.db)
        .await?;
        if there {
            let detail = "the personal part that it erased is there";
            report.event(Code::ErasureDiffers, at.0, at.1, detail);
        }
        let same = u32::try_from(events.len()) == Ok(said.events)
            && events_digest(&events).to_string() == said.digest
            && said.organization.0 == record.subject;
        if !same {
            let detail = "the events that had their personal part there are not those it erased";
            report.event(Code::ErasureDiffers, at.0, at.1, detail);
        }
        covered.entry(said.personal).or_default().extend(events);
    }
    reader.end().await?;
    report.went_on("erasures", count, 0);
    for (personal, events) in missing {
        let erased = covered.get(&personal);
        for at in events {
            if erased.is_none_or(|erased| !erased.contains(&at)) {
                let detail =
                    format!("its personal part {personal} is gone, and no recorded erasure covers it");
                report.event(Code::PersonalMissing, at.0, at.1, detail);
            }
        }
    }
    Ok(())
}
