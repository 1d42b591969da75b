//! The chain of a finding: it begins with the first explanation, decision or inspector's observation, and has every
//! later one.
//!
//! Lock order: findings come after all other subjects, by id. So a decision that holds a log or a ticket does that
//! before it locks the finding, and the findings of a record are stored after the record.

use super::content::{
    AboutPart, FindingBusiness, FindingPersonal, FindingPublic, ObservationPart, RecordPart, RecordedBy,
    evidence_digest, finding_digest,
};
use super::draft::EvidenceEvent;
use super::read;
use super::report;
use super::row::{FindingRow, FindingState};
use super::rules::CITIZEN_REPORT;
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, OperationId};
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::{Draft, LockedHead, NewHead, Subject, SubjectKind, Tx, canonical};
use crate::timber::event::heads::chain_heads;
use crate::timber::event::types::FindingEventType;
use crate::timber::party::reader::Reader;
use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

chain_heads!(Finding, "finding");

/// A finding under lock: its row and its evidence stay as they are until the end of the transaction.
pub struct LockedFinding {
    /// The row.
    pub row: FindingRow,
    head: LockedHead,
    evidence: Vec<EvidenceEvent>,
}

/// What an event says besides what every event of a finding says.
#[derive(Default)]
pub(super) struct EventContent {
    pub(super) appeal: Option<bool>,
    pub(super) hold: Option<bool>,
    pub(super) by_version: Option<u16>,
    pub(super) act: Option<RecordPart>,
    pub(super) observed: Option<ObservationPart>,
    pub(super) personal: Option<FindingPersonal>,
    /// The text of which `personal` has the digest.
    pub(super) long_text: Option<String>,
}

impl EventContent {
    /// With a text, which is hashed itself or by its digest.
    pub(super) fn of_text(text: &str) -> Self {
        let personal = FindingPersonal::of_text(text);
        let long_text = personal.text_digest.map(|_| text.to_owned());
        Self { personal: Some(personal), long_text, ..Self::default() }
    }
}

/// Locks a finding that the reader may see.
///
/// # Errors
/// Not found, also for a finding that the reader may not see; database errors.
pub async fn lock(tx: &mut Tx<'_>, reader: Reader, id: FindingId) -> Result<LockedFinding> {
    // Lock and read are two statements, because the row is read by the statement that every reader uses.
    let head = lock_heads(tx, &[id.0]).await?.pop().ok_or(Error::NotFound)?;
    let row = read::row(&mut **tx, reader, id).await?;
    let evidence = all_evidence(&mut **tx, id).await?;
    Ok(LockedFinding { row, head, evidence })
}

impl LockedFinding {
    /// Appends an event; if it is the first of the chain, `opened` before it. `state` is the finding's state after it.
    pub(super) async fn record(
        self,
        tx: &mut Tx<'_>,
        by: RecordedBy,
        event: FindingEventType,
        state: FindingState,
        content: EventContent,
    ) -> Result<NewHead> {
        let Self { mut row, mut head, evidence } = self;
        let mut content = content;
        if head.next_seq() == 1 {
            let mut opening = EventContent::default();
            if row.rule == CITIZEN_REPORT.id {
                row.created_at = made_when_opened(tx, row.id, by).await?;
                if let Some(texts) = report::texts(&mut **tx, row.id).await? {
                    opening = EventContent::of_text(&texts);
                }
            }
            if event != FindingEventType::Opened {
                let of = (FindingEventType::Opened, row.state);
                head = add_with(tx, by, (&row, &evidence[..]), head, of, opening).await?.into_locked();
            } else if opening.personal.is_some() {
                content = opening;
            }
        }
        add_with(tx, by, (&row, &evidence[..]), head, (event, state), content).await
    }
}

/// A notice of buyers' reports gets the time at which it is opened, so that its time tells nothing about a report.
async fn made_when_opened(tx: &mut Tx<'_>, id: FindingId, by: RecordedBy) -> Result<DateTime<Utc>> {
    let made = sqlx::query_scalar!(
        "UPDATE finding SET created_at = $2 WHERE id = $1 RETURNING created_at",
        id.0,
        by.at()
    );
    Ok(made.fetch_one(&mut **tx).await?)
}

/// Appends an event, and stores a long text beside it.
async fn add_with(
    tx: &mut Tx<'_>,
    by: RecordedBy,
    finding: (&FindingRow, &[EvidenceEvent]),
    head: LockedHead,
    of: (FindingEventType, FindingState),
    content: EventContent,
) -> Result<NewHead> {
    let seq = i32::try_from(head.next_seq()).unwrap_or(i32::MAX);
    if let Some(text) = &content.long_text {
        sqlx::query!(
            "INSERT INTO finding_text (finding_id, seq, text) VALUES ($1, $2, $3)",
            finding.0.id.0,
            seq,
            text
        )
        .execute(&mut **tx)
        .await?;
    }
    let draft = draft(tx, by, finding, head, of, content).await?;
    add(tx, by, draft).await
}

async fn add(tx: &mut Tx<'_>, by: RecordedBy, draft: Draft) -> Result<NewHead> {
    let id = draft.head.id();
    let added = append_and_store(tx, by.at(), vec![draft]).await?.pop();
    added.ok_or_else(|| Error::CorruptRow(format!("finding {id}: no event was added")))
}

async fn draft(
    tx: &mut Tx<'_>,
    by: RecordedBy,
    (row, evidence): (&FindingRow, &[EvidenceEvent]),
    head: LockedHead,
    (event_type, state): (FindingEventType, FindingState),
    content: EventContent,
) -> Result<Draft> {
    let public = FindingPublic {
        v: 1,
        subject: SubjectKind::Finding.name(),
        event_type,
        on: by.on(),
        rule: &row.rule,
        version: row.version,
        severity: row.severity,
        state,
    };
    let business = FindingBusiness {
        v: 1,
        by,
        finding: row.id,
        party: row.organization,
        about: AboutPart { id: row.subject_id, kind: row.subject_kind },
        score: row.score,
        evidence: u32::try_from(evidence.len()).unwrap_or(u32::MAX),
        evidence_digest: evidence_digest(evidence),
        digest: (event_type == FindingEventType::Opened).then(|| finding_digest(row)),
        appeal: content.appeal,
        hold: content.hold,
        by_version: content.by_version,
        act: content.act,
        observed: content.observed,
    };
    let personal = match content.personal {
        None => None,
        Some(part) => {
            let part =
                Personal { id: OperationId::new().0, text: canonical::text(&part), secret: Secret::random() };
            Some(part.store(tx, by.organization.0, by.at()).await?)
        }
    };
    Ok(Draft {
        head,
        public: canonical::text(&public),
        business: canonical::text(&business),
        personal,
        event_type: event_type.as_str(),
        organization: by.organization.0,
        operation: by.operation.0,
        occurred_at: by.at(),
        region: None,
    })
}

/// All evidence of a finding.
async fn all_evidence(db: impl PgExecutor<'_>, id: FindingId) -> Result<Vec<EvidenceEvent>> {
    let rows = sqlx::query!(
        "SELECT subject_id, seq, subject_kind FROM finding_evidence WHERE finding_id = $1 ORDER BY subject_id, seq",
        id.0
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let corrupt = |_| Error::CorruptRow(format!("finding_evidence of {id}"));
            let (seq, kind) = (u32::try_from(row.seq).map_err(corrupt)?, u8::try_from(row.subject_kind));
            Ok(EvidenceEvent { subject: row.subject_id, seq, kind: kind.map_err(corrupt)? })
        })
        .collect()
}

/// Records on the chains of findings that they have more evidence. `ids` are findings that have a chain.
pub(super) async fn evidence_added(tx: &mut Tx<'_>, by: RecordedBy, ids: &[FindingId]) -> Result<()> {
    let reader = Reader { organization: by.organization, inspector: true };
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for id in ids {
        let locked = lock(tx, reader, id).await?;
        let state = locked.row.state;
        locked
            .record(tx, by, FindingEventType::EvidenceAdded, state, EventContent::default())
            .await
            .map(drop)?;
    }
    Ok(())
}

/// Marks a finding that version `by_version` of its rule does not make; a finding that has a chain gets an event. Decided
/// findings stay as they are. Returns whether it was marked.
///
/// # Errors
/// From the database.
pub async fn supersede(tx: &mut Tx<'_>, by: RecordedBy, id: FindingId, by_version: u16) -> Result<bool> {
    let locked = lock(tx, Reader { organization: by.organization, inspector: true }, id).await?;
    if locked.row.state != FindingState::New || locked.row.superseded_at.is_some() {
        return Ok(false);
    }
    if locked.row.is_opened() {
        let content = EventContent { by_version: Some(by_version), ..EventContent::default() };
        locked.record(tx, by, FindingEventType::Superseded, FindingState::New, content).await.map(drop)?;
    }
    sqlx::query!("UPDATE finding SET superseded_at = $2 WHERE id = $1", id.0, by.at())
        .execute(&mut **tx)
        .await?;
    Ok(true)
}

/// The subject of a finding's chain, for a reader that may see the finding. A finding that was neither explained nor
/// decided has no events.
///
/// # Errors
/// Not found, also for a finding that the reader may not see; database errors.
pub async fn subject(db: impl PgExecutor<'_>, reader: Reader, id: FindingId) -> Result<Subject> {
    let own = (!reader.inspector).then_some(reader.organization.0);
    let row = sqlx::query!(
        "SELECT salt, head_seq FROM finding
         WHERE id = $1 AND ($2::uuid IS NULL
             OR organization_id = $2 AND (rule <> 'citizen-report' OR state <> 'new'))",
        id.0,
        own
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound)?;
    Subject::stored(SubjectKind::Finding, id.0, &row.salt, row.head_seq)
}
