//! Reads leaves and windows from the database, and writes windows and findings.

use super::engine::{linked, named};
use super::finding::{Change, EngineFinding, FindingKey};
use super::leaf::{Leaf, PersonKey};
use super::window::{Key, Memory, Window};
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::evidence::chain::{SubjectKind, Tx};
use crate::timber::finding::chain;
use crate::timber::finding::content::RecordedBy;
use crate::timber::finding::write::{self, NewFinding};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use uuid::Uuid;

/// The key of the hashes that stand for persons.
#[derive(Clone)]
pub struct PersonSecret(pub [u8; 32]);

impl std::fmt::Debug for PersonSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonSecret")
    }
}

impl PersonSecret {
    /// The hash of the person in a personal part: of the IIN if there is one, else of the name.
    #[must_use]
    pub fn of(&self, personal: &str) -> Option<PersonKey> {
        #[derive(serde::Deserialize)]
        struct Person {
            name: Option<String>,
            iin: Option<String>,
        }
        let person: Person = serde_json::from_str(personal).ok()?;
        let name =
            || person.name.map(|name| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
        let text = person.iin.or_else(name)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(text.as_bytes());
        let hash: [u8; 32] = mac.finalize().into_bytes().into();
        Some(std::array::from_fn(|at| hash[at]))
    }
}

/// Up to `count` leaves from `from` on, in order and without a gap.
///
/// # Errors
/// Database errors; [`Error::CorruptRow`] for a gap.
pub async fn leaves(
    db: &mut PgConnection,
    secret: &PersonSecret,
    from: i64,
    count: i64,
) -> Result<Vec<Leaf>> {
    let rows = sqlx::query!(
        r#"SELECT l.index AS "index!", e.subject_kind AS "subject_kind!", e.subject_id AS "subject_id!", e.seq AS "seq!",
                  e.received_at AS "received_at!", e.organization_id AS "organization_id!", e.public AS "public!",
                  e.business AS "business!", p.text AS "personal?", s.batch_id AS "batch?"
           FROM (SELECT index, subject_id, seq FROM leaf WHERE index >= $1 ORDER BY index LIMIT $2) l
           JOIN event e ON e.subject_id = l.subject_id AND e.seq = l.seq
           LEFT JOIN personal p ON p.id = e.personal_id AND e.type = 'harvested'
           LEFT JOIN seal s ON s.number = (CASE WHEN e.type IN ('harvested', 'seal_replaced')
                                           THEN e.public::json ->> 'seal' END)
           ORDER BY l.index"#,
        from,
        count
    )
    .fetch_all(db)
    .await?;
    let mut leaves = Vec::with_capacity(rows.len());
    let mut person: Option<(String, Option<PersonKey>)> = None;
    for (row, expected) in rows.into_iter().zip(from..) {
        if row.index != expected {
            return Err(Error::CorruptRow(format!("leaf {expected} or its event is missing")));
        }
        // All logs of a harvest have one personal part.
        if let Some(text) = row.personal
            && person.as_ref().is_none_or(|(known, _)| *known != text)
        {
            let key = secret.of(&text);
            person = Some((text, key));
        }
        let of_harvest = row.seq == 1 && row.subject_kind == 1;
        leaves.push(Leaf {
            index: u64::try_from(row.index).unwrap_or(0),
            kind: kind(row.subject_kind)?,
            subject: row.subject_id,
            seq: u32::try_from(row.seq).unwrap_or(0),
            received_at: row.received_at,
            organization: row.organization_id,
            public: row.public,
            business: row.business,
            person: person.as_ref().filter(|_| of_harvest).and_then(|(_, key)| *key),
            batch: row.batch,
        });
    }
    Ok(leaves)
}

fn kind(stored: i16) -> Result<SubjectKind> {
    Ok(match stored {
        1 => SubjectKind::Log,
        2 => SubjectKind::FellingTicket,
        3 => SubjectKind::SealBatch,
        4 => SubjectKind::Organization,
        5 => SubjectKind::Finding,
        6 => SubjectKind::Waybill,
        other => return Err(Error::CorruptRow(format!("event.subject_kind: {other}"))),
    })
}

/// The stored windows of a batch.
#[derive(Debug, Default)]
pub struct Loaded {
    looked_up: HashSet<Key>,
    windows: BTreeMap<Key, Window>,
}

impl Loaded {
    /// The windows that `leaves` name, those that these name, and those that are due before `until`.
    ///
    /// # Errors
    /// Database errors, and [`Error::CorruptRow`] for a window that cannot be read.
    pub async fn of(db: &mut PgConnection, trial: bool, leaves: &[Leaf], until: i64) -> Result<Self> {
        let mut loaded = Self::default();
        let due = sqlx::query!(
            "SELECT kind, id FROM surveillance_state WHERE trial = $1 AND due < $2",
            trial,
            until
        )
        .fetch_all(&mut *db)
        .await?;
        let mut keys: Vec<Key> = due.into_iter().filter_map(|row| Key::stored(row.kind, row.id)).collect();
        for leaf in leaves {
            named(leaf, &mut keys);
        }
        loaded.add(&mut *db, trial, keys).await?;
        let mut keys = Vec::new();
        for leaf in leaves {
            let mut own = Vec::new();
            named(leaf, &mut own);
            for window in own.iter().filter_map(|key| loaded.windows.get(key)) {
                linked(leaf, window, &mut keys);
            }
        }
        loaded.add(db, trial, keys).await?;
        Ok(loaded)
    }

    /// Looks further windows up.
    ///
    /// # Errors
    /// As [`Loaded::of`].
    pub async fn add(
        &mut self,
        db: &mut PgConnection,
        trial: bool,
        keys: impl IntoIterator<Item = Key>,
    ) -> Result<()> {
        let new: Vec<Key> = keys.into_iter().filter(|key| self.looked_up.insert(*key)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let kinds: Vec<i16> = new.iter().map(|key| key.kind as i16).collect();
        let ids: Vec<Uuid> = new.iter().map(|key| key.id).collect();
        let rows = sqlx::query!(
            r#"SELECT s.kind, s.id, s."window" AS stored
               FROM UNNEST($2::smallint[], $3::uuid[]) AS k (kind, id)
               JOIN surveillance_state s ON s.trial = $1 AND s.kind = k.kind AND s.id = k.id"#,
            trial,
            &kinds,
            &ids
        )
        .fetch_all(db)
        .await?;
        for row in rows {
            let corrupt = |why: String| Error::CorruptRow(format!("surveillance_state {}: {why}", row.id));
            let key = Key::stored(row.kind, row.id).ok_or_else(|| corrupt("unknown kind".to_owned()))?;
            let window = serde_json::from_slice(&row.stored).map_err(|error| corrupt(error.to_string()))?;
            self.windows.insert(key, window);
        }
        Ok(())
    }

    /// A copy to fold with.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::of_batch(self.looked_up.clone());
        for (key, window) in &self.windows {
            memory.load(*key, window.clone());
        }
        memory
    }
}

/// Writes the windows that a fold has changed.
///
/// # Errors
/// Database errors.
pub async fn write_windows(db: &mut PgConnection, trial: bool, memory: &mut Memory) -> Result<()> {
    let (there, gone) = memory.changed();
    let kinds: Vec<i16> = there.iter().map(|(key, _)| key.kind as i16).collect();
    let ids: Vec<Uuid> = there.iter().map(|(key, _)| key.id).collect();
    let dues: Vec<Option<i64>> = there.iter().map(|(_, window)| window.due()).collect();
    let mut windows: Vec<Vec<u8>> = Vec::with_capacity(there.len());
    for (_, window) in &there {
        windows.push(serde_json::to_vec(window).map_err(|error| Error::CorruptRow(error.to_string()))?);
    }
    sqlx::query!(
        r#"INSERT INTO surveillance_state (trial, kind, id, "window", due)
           SELECT $1, kind, id, stored, due
           FROM UNNEST($2::smallint[], $3::uuid[], $4::bytea[], $5::bigint[]) AS new (kind, id, stored, due)
           ON CONFLICT (trial, kind, id) DO UPDATE SET "window" = excluded."window", due = excluded.due"#,
        trial,
        &kinds,
        &ids,
        &windows,
        &dues as &[Option<i64>]
    )
    .execute(&mut *db)
    .await?;
    if !gone.is_empty() {
        let kinds: Vec<i16> = gone.iter().map(|key| key.kind as i16).collect();
        let ids: Vec<Uuid> = gone.iter().map(|key| key.id).collect();
        sqlx::query!(
            "DELETE FROM surveillance_state s USING UNNEST($2::smallint[], $3::uuid[]) AS k (kind, id)
             WHERE s.trial = $1 AND s.kind = k.kind AND s.id = k.id",
            trial,
            &kinds,
            &ids
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Writes changes of findings in their order: what one leaf found, a later one may withdraw.
///
/// # Errors
/// Database errors.
pub async fn write_changes(
    tx: &mut Tx<'_>,
    trial: bool,
    changes: Vec<Change>,
    now: DateTime<Utc>,
) -> Result<()> {
    // The last change of each key counts. A finding that was withdrawn and found again is a new one.
    let mut found: BTreeMap<FindingKey, Box<EngineFinding>> = BTreeMap::new();
    let mut withdrawn: BTreeSet<FindingKey> = BTreeSet::new();
    for change in changes {
        match change {
            Change::Found(finding) => {
                // The first finding of a key stays as it was found.
                found.entry(finding.at.clone()).or_insert(finding);
            }
            Change::Withdrawn(key) => {
                found.remove(&key);
                withdrawn.insert(key);
            }
        }
    }
    for key in withdrawn {
        withdraw(tx, trial, &key, now).await?;
    }
    for finding in found.into_values() {
        let evidence =
            serde_json::to_string(&finding.evidence).map_err(|error| Error::CorruptRow(error.to_string()))?;
        let added = sqlx::query!(
            "INSERT INTO surveillance_finding
                 (trial, rule, subject_kind, subject_id, key, version, severity, organization_id, ticket_id, inputs, evidence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
            trial,
            finding.at.rule,
            i16::from(finding.at.kind),
            finding.at.subject,
            finding.at.key,
            i16::try_from(finding.version).unwrap_or(i16::MAX),
            finding.severity.as_str(),
            finding.organization,
            finding.ticket,
            finding.inputs.to_text(),
            evidence
        )
        .execute(&mut **tx)
        .await?;
        if added.rows_affected() == 1 && !trial {
            file(tx, &finding, now).await?;
        }
    }
    Ok(())
}

/// Makes a finding's row of table `finding`, which inspectors see, and notes its id.
pub(super) async fn file(tx: &mut Tx<'_>, finding: &EngineFinding, now: DateTime<Utc>) -> Result<()> {
    let key = free_key(tx, finding).await?;
    let new = NewFinding {
        draft: finding.draft(&key)?,
        log: (finding.at.kind == SubjectKind::Log.byte()).then_some((LogId(finding.at.subject), 0)),
        ticket: finding.ticket.map(TicketId),
        party: Some(OrganizationId(finding.organization)),
    };
    let stored = write::store(tx, OrganizationId(finding.organization), vec![new], now).await?;
    sqlx::query!(
        "UPDATE surveillance_finding SET finding_id = $5
         WHERE NOT trial AND rule = $1 AND subject_kind = $2 AND subject_id = $3 AND key = $4",
        finding.at.rule,
        i16::from(finding.at.kind),
        finding.at.subject,
        finding.at.key,
        stored.first().map(|stored| stored.id.0)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The finding's key; with a number behind it if the row of this key is superseded. So a finding that was
/// explained and comes back is a new row, which the lists show.
async fn free_key(tx: &mut Tx<'_>, finding: &EngineFinding) -> Result<String> {
    let key = &finding.at.key;
    let superseded = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM finding
           WHERE rule = $1 AND subject_id = $2 AND superseded_at IS NOT NULL
             AND (key = $3 OR key LIKE replace(replace($3, '_', '\_'), '%', '\%') || '~%')"#,
        finding.at.rule,
        finding.at.subject,
        key
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(if superseded == 0 { key.clone() } else { format!("{key}~{}", superseded + 1) })
}

/// Takes a finding back that later leaves have explained. One that an inspector has decided stays.
async fn withdraw(tx: &mut Tx<'_>, trial: bool, key: &FindingKey, now: DateTime<Utc>) -> Result<()> {
    let gone = sqlx::query!(
        "DELETE FROM surveillance_finding
         WHERE trial = $1 AND rule = $2 AND subject_kind = $3 AND subject_id = $4 AND key = $5
         RETURNING finding_id, organization_id, version",
        trial,
        key.rule,
        i16::from(key.kind),
        key.subject,
        key.key
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(gone) = gone else { return Ok(()) };
    let Some(id) = gone.finding_id else { return Ok(()) };
    supersede(tx, FindingId(id), gone.organization_id, gone.version, now).await
}

/// Marks a finding as superseded.
pub(super) async fn supersede(
    tx: &mut Tx<'_>,
    id: FindingId,
    party: Uuid,
    version: i16,
    now: DateTime<Utc>,
) -> Result<()> {
    let by = RecordedBy::server(OrganizationId(party), now)?;
    chain::supersede(tx, by, id, u16::try_from(version).unwrap_or(1)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_the_same_under_another_spelling_of_the_name() {
        let secret = PersonSecret([5; 32]);
        let one = secret.of(r#"{"iin":"850101300007","name":"Ерлан Оспанов","v":1}"#);
        let other = secret.of(r#"{"iin":"850101300007","name":"Е. Оспанов","v":1}"#);
        assert!(one.is_some() && one == other);
        let named = |name: &str| secret.of(&format!(r#"{{"name":"{name}","v":1}}"#));
        assert_eq!(named("Ерлан  Оспанов"), named("ерлан оспанов"));
        assert_ne!(named("Ерлан Оспанов"), named("Ерлан Осипов"));
        assert_ne!(one, PersonSecret([6; 32]).of(r#"{"iin":"850101300007","name":"Ерлан Оспанов","v":1}"#));
    }
}
