//! Reads seals: one, a list, counts, and the history of one.

use super::marking_code::MarkingCode;
use super::number::SealNumber;
use super::stock::{SealStatus, VoidReason};
use crate::base::error::{Error, Result};
use crate::base::ids::{LogId, OrganizationId, SealBatchId};
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::history::{DisclosedEvent, Disclosure, PAGE, StoredEvent};
use crate::evidence::chain::{Hash, Subject, SubjectKind};
use crate::timber::party::role::OrganizationKind;
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use uuid::Uuid;

/// The seals that a caller may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All seals: for the operator and inspectors.
    All,
    /// The seals of one organisation.
    Own(OrganizationId),
}

impl Access {
    fn organization(self) -> Option<Uuid> {
        match self {
            Self::All => None,
            Self::Own(organization) => Some(organization.0),
        }
    }
}

/// An organisation that holds seals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Holder {
    /// The organisation.
    pub id: OrganizationId,
    /// BIN or IIN. Absent once erased. For a sole trader or a farm it is personal data, and absent unless the
    /// caller is that organisation, the operator or an inspector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin: Option<String>,
    /// Name; null in the same cases.
    pub name: Option<String>,
}

impl Holder {
    /// Removes what the caller may not see. The BIN and name of a sole trader or a farm are personal data:
    /// only the organisation itself, the operator and inspectors see more than the id.
    fn disclosed(self, kind: OrganizationKind, access: Access) -> Self {
        if kind.known_by(self.bin.as_deref()) == OrganizationKind::LegalEntity
            || access == Access::All
            || access == Access::Own(self.id)
        {
            self
        } else {
            Self { bin: None, name: None, ..self }
        }
    }
}

/// A seal in its present state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Seal {
    /// The number printed on it.
    pub number: SealNumber,
    /// Complete marking code, GS as the character U+001D, without a leading FNC1.
    pub marking_code: MarkingCode,
    /// Status.
    pub status: SealStatus,
    /// The organisation that holds it.
    pub holder: Holder,
    /// The batch it was registered in.
    pub batch_id: SealBatchId,
    /// The log it was hammered into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_id: Option<LogId>,
    /// Reason of the void.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void_reason: Option<VoidReason>,
}

/// A row of the queries in [`get`] and [`list`], which all select the same columns.
struct SealColumns {
    number: SealNumber,
    marking_code: MarkingCode,
    status: SealStatus,
    holder_id: Uuid,
    bin: Option<String>,
    name: Option<String>,
    kind: OrganizationKind,
    batch_id: Uuid,
    log_id: Option<Uuid>,
    void_reason: Option<VoidReason>,
}

impl SealColumns {
    fn seal(self, access: Access) -> Seal {
        let row = self;
        let holder = Holder { id: row.holder_id.into(), bin: row.bin, name: row.name };
        Seal {
            number: row.number,
            marking_code: row.marking_code,
            status: row.status,
            holder: holder.disclosed(row.kind, access),
            batch_id: row.batch_id.into(),
            log_id: row.log_id.map(Into::into),
            void_reason: row.void_reason,
        }
    }
}

/// A seal, if it exists and the caller may see it. The holder of the log that bears a seal may see the seal
/// too, because that organisation may void it.
pub async fn get(db: impl PgExecutor<'_>, number: &SealNumber, access: Access) -> Result<Option<Seal>> {
    let row = sqlx::query_as!(
        SealColumns,
        r#"SELECT s.number AS "number: SealNumber", s.marking_code AS "marking_code: MarkingCode",
                  s.status AS "status: SealStatus", s.holder_id, o.bin, o.name,
                  o.kind AS "kind: OrganizationKind", s.batch_id, s.log_id, s.void_reason AS "void_reason: VoidReason"
           FROM seal s JOIN organization o ON o.id = s.holder_id
           WHERE s.number = $1
             AND ($2::uuid IS NULL OR s.holder_id = $2
                  OR EXISTS (SELECT FROM log l WHERE l.id = s.log_id AND l.holder_id = $2))"#,
        number.as_str(),
        access.organization()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.seal(access)))
}

/// Which seals to list.
#[derive(Clone, Debug)]
pub struct SealFilter<'w> {
    /// The seals that the caller may see.
    pub access: Access,
    /// Only seals of the holder with this BIN.
    pub holder_bin: Option<&'w str>,
    /// Only seals with this status.
    pub status: Option<SealStatus>,
    /// Only seals after this number.
    pub after: Option<&'w str>,
    /// Maximum number of seals.
    pub limit: i64,
}

/// Seals in the order of their numbers.
pub async fn list(db: &mut PgConnection, filter: &SealFilter<'_>) -> Result<Vec<Seal>> {
    let named = match filter.holder_bin {
        None => None,
        Some(bin) => {
            let id = sqlx::query_scalar!("SELECT id FROM organization WHERE bin = $1", bin)
                .fetch_optional(&mut *db)
                .await?;
            match id {
                Some(id) => Some(id),
                None => return Ok(Vec::new()),
            }
        }
    };
    let holder = match (filter.access.organization(), named) {
        (Some(organization), Some(named)) if organization != named => return Ok(Vec::new()),
        (organization, named) => organization.or(named),
    };
    let after = filter.after.unwrap_or_default();
    let rows = if let Some(holder) = holder {
        let statuses: Vec<&str> = SealStatus::ALL
            .iter()
            .filter(|status| filter.status.is_none_or(|only| only == **status))
            .map(|status| status.as_str())
            .collect();
        // The query reads one index range for each status, so that its cost depends on the size of the page
        // and not on the size of the holder's stock.
        sqlx::query_as!(
            SealColumns,
            r#"SELECT s.number AS "number!: SealNumber", s.marking_code AS "marking_code!: MarkingCode",
                      s.status AS "status!: SealStatus", s.holder_id AS "holder_id!", o.bin, o.name,
                      o.kind AS "kind: OrganizationKind", s.batch_id AS "batch_id!", s.log_id, s.void_reason AS "void_reason: VoidReason"
               FROM UNNEST($2::text[]) AS of (status)
               CROSS JOIN LATERAL (SELECT * FROM seal WHERE holder_id = $1 AND status = of.status AND number > $3
                                   ORDER BY number LIMIT $4) s
               JOIN organization o ON o.id = s.holder_id
               ORDER BY s.number LIMIT $4"#,
            holder,
            &statuses as &[&str],
            after,
            filter.limit
        )
        .fetch_all(db)
        .await?
    } else {
        sqlx::query_as!(
            SealColumns,
            r#"SELECT s.number AS "number: SealNumber", s.marking_code AS "marking_code: MarkingCode",
                      s.status AS "status: SealStatus", s.holder_id, o.bin, o.name,
                      o.kind AS "kind: OrganizationKind", s.batch_id, s.log_id, s.void_reason AS "void_reason: VoidReason"
               FROM seal s JOIN organization o ON o.id = s.holder_id
               WHERE s.number > $1 AND ($2::text IS NULL OR s.status = $2)
               ORDER BY s.number LIMIT $3"#,
            after,
            filter.status.map(SealStatus::as_str),
            filter.limit
        )
        .fetch_all(db)
        .await?
    };
    Ok(rows.into_iter().map(|row| row.seal(filter.access)).collect())
}

/// How many seals a holder has, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// In stock.
    pub issued: i64,
    /// On logs.
    pub applied: i64,
    /// No longer usable.
    pub void: i64,
}

/// One holder's stock.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HolderStock {
    /// The holder.
    pub holder: Holder,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Stocks of all holders that the caller may see, in the order of their ids.
pub async fn stock(db: impl PgExecutor<'_>, access: Access) -> Result<Vec<HolderStock>> {
    let rows = sqlx::query!(
        r#"SELECT c.holder_id AS "holder_id!", o.bin, o.name, o.kind AS "kind: OrganizationKind",
                  c.issued AS "issued!", c.applied AS "applied!", c.void AS "void!"
           FROM (SELECT holder_id, count(*) FILTER (WHERE status = 'issued') AS issued,
                        count(*) FILTER (WHERE status = 'applied') AS applied,
                        count(*) FILTER (WHERE status = 'void') AS void
                 FROM seal WHERE $1::uuid IS NULL OR holder_id = $1 GROUP BY holder_id) c
           JOIN organization o ON o.id = c.holder_id ORDER BY c.holder_id"#,
        access.organization()
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| HolderStock {
            holder: Holder { id: row.holder_id.into(), bin: row.bin, name: row.name }
                .disclosed(row.kind, access),
            counts: Counts { issued: row.issued, applied: row.applied, void: row.void },
        })
        .collect())
}

/// A seal with its history.
#[derive(Serialize, ToSchema)]
pub struct SealHistory {
    /// The seal in its present state.
    pub seal: Seal,
    /// Those events of the batch's chain that concern the seal; the first one is the registration.
    pub events: Vec<DisclosedEvent>,
}

/// The history of one seal, page by page. It ends with the event that was the head of the batch's chain when
/// [`SealHistoryPages::of`] was called.
#[derive(Clone, Debug)]
pub struct SealHistoryPages {
    number: SealNumber,
    batch: Subject,
    /// Number of events that concern the seal.
    events: u32,
    /// Seq of the last event that was read.
    after: u32,
}

impl SealHistoryPages {
    /// Counts the events of a seal's batch that concern the seal. One statement.
    ///
    /// # Errors
    /// A database error, or a corrupt row.
    pub async fn of(db: impl PgExecutor<'_>, seal: &Seal) -> Result<Self> {
        let row = sqlx::query!(
            r#"SELECT b.salt, b.head_seq, (SELECT count(*) FROM seal_move m
                   WHERE m.number = $1 AND m.batch_id = $2 AND m.seq <= b.head_seq) AS "moves!"
               FROM seal_batch b WHERE b.id = $2"#,
            seal.number.as_str(),
            seal.batch_id.0
        )
        .fetch_one(db)
        .await?;
        let batch = Subject::stored(SubjectKind::SealBatch, seal.batch_id.0, &row.salt, row.head_seq)?;
        // One more, because the registration concerns every seal of the batch but is not in table
        // `seal_move`.
        let events = u32::try_from(row.moves).map_or(u32::MAX, |moves| moves.saturating_add(1));
        Ok(Self { number: seal.number.clone(), batch, events, after: 0 })
    }

    /// Number of events that concern the seal.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.events
    }

    /// The next events, at most a page; none after the last one. One statement.
    ///
    /// # Errors
    /// A database error, or a corrupt row.
    pub async fn next(&mut self, db: impl PgExecutor<'_>) -> Result<Vec<DisclosedEvent>> {
        let limit = |events: u32| i32::try_from(events).unwrap_or(i32::MAX);
        let rows = sqlx::query!(
            r#"SELECT e.seq, e.received_at, e.hash, e.secret, e.public, e.business,
                      e.personal_commitment, p.hash AS "prev?"
               FROM (SELECT 1 AS seq
                     UNION ALL SELECT m.seq FROM seal_move m WHERE m.number = $1 AND m.batch_id = $2) w
               JOIN event e ON e.subject_id = $2 AND e.seq = w.seq
               LEFT JOIN event p ON p.subject_id = $2 AND p.seq = w.seq - 1
               WHERE w.seq > $3 AND w.seq <= $4
               ORDER BY e.seq LIMIT $5"#,
            self.number.as_str(),
            self.batch.id,
            limit(self.after),
            limit(self.batch.events),
            i64::from(PAGE)
        )
        .fetch_all(db)
        .await?;
        let reference = self.batch.reference();
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let read = || {
                let event = StoredEvent {
                    seq: u32::try_from(row.seq).ok()?,
                    received_at: row.received_at,
                    hash: Hash::from_slice(&row.hash)?,
                    prev: match &row.prev {
                        Some(prev) => Hash::from_slice(prev)?,
                        None => Hash::ZERO,
                    },
                    secret: Secret(row.secret.as_slice().try_into().ok()?),
                    public: row.public.clone(),
                    business: row.business.clone(),
                    personal_commitment: match &row.personal_commitment {
                        Some(commitment) => Some(Hash::from_slice(commitment)?),
                        None => None,
                    },
                    personal: None,
                };
                Some(event)
            };
            let event =
                read().ok_or_else(|| Error::CorruptRow(format!("event {}/{}", self.batch.id, row.seq)))?;
            self.after = event.seq;
            events.push(event.shown(reference, Disclosure::BUSINESS));
        }
        Ok(events)
    }
}

/// The chain of a batch, if the caller may see all seals or holds a seal of the batch now. So a caller can
/// see the chain exactly if [`of_batch`] shows it a seal of the batch. `None` for any other caller and for a
/// missing batch. One statement.
///
/// # Errors
/// From the database, or a corrupt row.
pub async fn batch_subject(
    db: impl PgExecutor<'_>,
    batch: SealBatchId,
    access: Access,
) -> Result<Option<Subject>> {
    let row = sqlx::query!(
        "SELECT b.salt, b.head_seq FROM seal_batch b
         WHERE b.id = $1
           AND ($2::uuid IS NULL OR EXISTS (SELECT FROM seal s WHERE s.batch_id = b.id AND s.holder_id = $2))",
        batch.0,
        access.organization()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Subject::stored(SubjectKind::SealBatch, batch.0, &row.salt, row.head_seq)).transpose()
}

/// The seqs of those events of a batch's chain that concern seals which the caller holds: the registration,
/// and every event that transferred or voided one of these seals. `None` if these are all events of the
/// chain, or if the caller may see all seals.
///
/// Reads the caller's seals `page_size` at a time, and stops as soon as every event is included: for a
/// million seals that were transferred in one request, the chain has only two events.
///
/// # Errors
/// From the database.
pub async fn concerning(
    db: &mut PgConnection,
    batch: &Subject,
    access: Access,
    page_size: i64,
) -> Result<Option<BTreeSet<u32>>> {
    let Access::Own(reader) = access else { return Ok(None) };
    let mut seqs = BTreeSet::from([1]);
    let mut after = Some(String::new());
    while let Some(last) = after {
        if (1..=batch.events).all(|seq| seqs.contains(&seq)) {
            return Ok(None);
        }
        let row = sqlx::query!(
            r#"WITH mine AS (
                   SELECT s.number FROM seal s
                   WHERE s.batch_id = $1 AND s.number > $3 AND s.holder_id = $2 ORDER BY s.number LIMIT $4)
               SELECT max(mine.number) AS last, array_agg(DISTINCT m.seq) FILTER (WHERE m.seq IS NOT NULL) AS seqs
               FROM mine LEFT JOIN seal_move m ON m.number = mine.number AND m.batch_id = $1"#,
            batch.id,
            reader.0,
            last,
            page_size
        )
        .fetch_one(&mut *db)
        .await?;
        seqs.extend(row.seqs.into_iter().flatten().filter_map(|seq| u32::try_from(seq).ok()));
        after = row.last;
    }
    Ok(Some(seqs))
}

/// Numbers and marking codes of those seals of a batch that the caller may see: at most `limit`, from the
/// first number after `after`.
pub async fn of_batch(
    db: impl PgExecutor<'_>,
    batch: SealBatchId,
    access: Access,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "SELECT number, marking_code FROM seal
         WHERE batch_id = $1 AND number > $2 AND ($3::uuid IS NULL OR holder_id = $3)
         ORDER BY number LIMIT $4",
        batch.0,
        after,
        access.organization(),
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.number, row.marking_code)).collect())
}
