//! Appeals that are not answered.

use super::draft::{EvidenceEvent, FindingSubject};
use super::rules::APPEAL_UNANSWERED;
use super::write::{NewFinding, store};
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, OrganizationId};
use crate::evidence::chain::{SubjectKind, Tx};
use chrono::{DateTime, TimeDelta, Utc};

/// Finds the appeals that wait longer than `days`. The finding questions the inspectorate that decided; there is one for
/// each appeal. Returns how many were found.
///
/// # Errors
/// From the database.
pub async fn appeals(tx: &mut Tx<'_>, days: TimeDelta, now: DateTime<Utc>) -> Result<usize> {
    // One server at a time: two would both find the same appeal, and count it twice.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('appeals', 0))").execute(&mut **tx).await?;
    let rows = sqlx::query!(
        r#"SELECT f.id AS "id: FindingId", f.rule, f.appealed_at AS "appealed_at!",
                  said.seq AS "appeal!", said.business AS "decision!"
           FROM finding f
           CROSS JOIN LATERAL (
               SELECT (SELECT min(a.seq) FROM event a
                       WHERE a.subject_id = f.id AND a.type = 'explained' AND a.seq > d.seq
                         AND a.business::jsonb -> 'appeal' = 'true') AS seq, d.business
               FROM event d WHERE d.subject_id = f.id AND d.type = 'decided' ORDER BY d.seq DESC LIMIT 1
           ) AS said
           WHERE f.appealed_at < $1 AND said.seq IS NOT NULL
             AND NOT EXISTS (SELECT FROM finding o WHERE o.rule = $2 AND o.subject_id = f.id
                                 AND o.key = said.seq::text)"#,
        now - days,
        APPEAL_UNANSWERED.id
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let organization = super::content::recorder(&row.decision);
        let corrupt = || Error::CorruptRow(format!("the decision on finding {}", row.id));
        let decider: OrganizationId = organization.ok_or_else(corrupt)?;
        let (finding, seq) = (FindingSubject { kind: SubjectKind::Finding, id: row.id.0 }, row.appeal);
        let draft = APPEAL_UNANSWERED
            .found(APPEAL_UNANSWERED.severity)
            .input("rule", row.rule)
            .number("days", (now - row.appealed_at).num_days())
            .about(finding)
            .key(seq)
            .shown_by(EvidenceEvent::of(finding, u32::try_from(seq).unwrap_or_default()));
        found.push((decider, NewFinding { draft, log: None, ticket: None, party: Some(decider) }));
    }
    let count = found.len();
    for (decider, new) in found {
        store(tx, decider, vec![new], now).await?;
    }
    Ok(count)
}
