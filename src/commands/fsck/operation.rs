//! Checks the write requests (table `operation`): each event that such a row names must exist and must have
//! been recorded by this write request. The reverse, that the write request of each event names that event,
//! is checked with the events (`sweep`).

use super::Failure;
use super::report::{Code, Report};
use super::row::{Expected, Row, compare};
use super::snapshot::Reader;
use uuid::Uuid;

/// Number of write requests that are read in one snapshot. One write request may name 5,000 events.
const WRITE_REQUESTS: i64 = 500;

/// Checks all write requests.
pub(super) async fn check(reader: &mut Reader<'_>, report: &mut Report<'_>) -> Result<(), Failure> {
    let of = reader.about("operation").await?;
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        reader.begin().await?;
        let rows = sqlx::query!(
            r#"SELECT organization_id AS "organization!", operation_id AS "operation!",
                      (row_to_json(t)::jsonb - 'subjects' - 'seqs')::text AS "row!",
                      COALESCE(cardinality(subjects), 0) AS "subjects!", COALESCE(cardinality(seqs), 0) AS "seqs!"
               FROM operation t WHERE (organization_id, operation_id) > ($1, $2)
               ORDER BY organization_id, operation_id LIMIT $3"#,
            after.0,
            after.1,
            WRITE_REQUESTS
        )
        .fetch_all(&mut *reader.db)
        .await?;
        let Some(last) = rows.last() else {
            reader.end().await?;
            return Ok(());
        };
        let end = (last.organization, last.operation);
        let strays = sqlx::query!(
            r#"SELECT o.organization_id AS "organization!", o.operation_id AS "operation!", m.subject_id AS "subject?",
                      m.seq AS "seq?"
               FROM operation o CROSS JOIN LATERAL UNNEST(o.subjects, o.seqs) AS m (subject_id, seq)
               LEFT JOIN event e ON e.subject_id = m.subject_id AND e.seq = m.seq
                 AND e.organization_id = o.organization_id AND e.operation_id = o.operation_id
               WHERE (o.organization_id, o.operation_id) > ($1, $2) AND (o.organization_id, o.operation_id) <= ($3, $4)
                 AND e.subject_id IS NULL"#,
            after.0,
            after.1,
            end.0,
            end.1
        )
        .fetch_all(&mut *reader.db)
        .await?;
        reader.end().await?;
        for row in &rows {
            let key = format!("{}/{}", row.organization, row.operation);
            if row.subjects == 0 || row.subjects != row.seqs {
                let detail = "subjects and seqs name no events";
                report.find(Code::StateDiffers, "operation", &key, None, detail);
            }
            // No value of these four columns is left to compare here: `sweep` compares `kind` and
            // `created_at` with the events, and `organization_id` and `operation_id` are the primary key.
            let expected_row = ["organization_id", "operation_id", "kind", "created_at"]
                .map(|name| (name, Expected::CheckedElsewhere));
            compare(report, "operation", &key, None, &expected_row, &Row::parse(&row.row));
        }
        for stray in strays {
            let key = format!("{}/{}", stray.organization, stray.operation);
            let at = stray.subject.zip(stray.seq);
            report.find(
                Code::StateDiffers,
                "operation",
                key,
                at,
                "it names an event that was not recorded by it",
            );
        }
        report.progress("write requests", rows.len(), of);
        after = end;
    }
}
