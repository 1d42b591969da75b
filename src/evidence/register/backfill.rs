//! Adds leaves for events from before the register existed, once, when a database is migrated.
//!
//! The leaves are inserted into the tree directly: if they went through the queue, its lag would block new
//! writes. The backfill is one transaction, so if it is interrupted, nothing has changed.

use crate::base::error::{Error, Result};
use crate::evidence::chain::bytes::{Entry, Hash, Salt, Secret, SubjectKind, subject_ref};
use crate::evidence::chain::history::StoredEvent;
use futures_util::future::BoxFuture;
use sqlx::{Connection, PgConnection};
use std::collections::HashMap;
use uuid::Uuid;

/// Events per batch: about 10 MB, which suits the memory of a small server.
pub const BATCH: i64 = 5_000;
/// Progress is logged every so many events.
const LOG_EVERY: i64 = 500_000;

/// [`backfill`], as the database's migration calls it.
#[must_use]
pub fn on_migration(owner: &mut PgConnection) -> BoxFuture<'_, Result<()>> {
    Box::pin(backfill(owner, BATCH))
}

/// Adds a leaf for every event without one, and records in the database that this is complete. The migration
/// calls it under the migration lock; a second call does nothing. `batch` events are held in memory at a
/// time.
///
/// Each entry is recomputed from its row and must have the stored hash: the register must not prove a record
/// that was altered before. Older versions of the program must have stopped writing before this is called.
///
/// # Errors
/// [`Error::CorruptRow`] for the first event with a stored hash that differs from the hash computed from its
/// row, or with a missing predecessor; nothing has changed then.
pub async fn backfill(owner: &mut PgConnection, batch: i64) -> Result<()> {
    let complete = sqlx::query_scalar!("SELECT complete FROM register").fetch_one(&mut *owner).await?;
    if complete {
        return Ok(());
    }
    let mut tx = owner.begin().await?;
    // The row is locked before anything else is read. So if another process has made the backfill in the
    // meantime, this process sees it.
    let register = sqlx::query!("SELECT size, complete FROM register FOR UPDATE").fetch_one(&mut *tx).await?;
    if register.complete {
        return Ok(());
    }
    let mut size = register.size;
    let mut reported = size;
    let mut last = LastEvent { subject: Uuid::nil(), seq: 0, hash: Hash::ZERO };
    while let Some(events) = read(&mut tx, &last, batch).await? {
        let added = sqlx::query!(
            "INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
             SELECT $1 + row_number() OVER (ORDER BY place) - 1, entry, subject_id, seq, statement_timestamp()
             FROM UNNEST($2::bytea[], $3::uuid[], $4::int[]) WITH ORDINALITY AS e (entry, subject_id, seq, place)
             WHERE NOT EXISTS (SELECT FROM leaf l WHERE l.subject_id = e.subject_id AND l.seq = e.seq)
               AND NOT EXISTS (SELECT FROM leaf_queue q WHERE q.subject_id = e.subject_id AND q.seq = e.seq)",
            size,
            &events.entries,
            &events.subjects,
            &events.seqs
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        size += i64::try_from(added).unwrap_or(0);
        last = events.last;
        if size - reported >= LOG_EVERY {
            reported = size;
            tracing::info!(leaves = size, "adding older events to the register");
        }
    }
    sqlx::query!(
        "UPDATE register
         SET complete = true, size = $1, sequenced_at = CASE WHEN $1 > size THEN statement_timestamp() ELSE sequenced_at END",
        size
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if size > register.size {
        tracing::info!(leaves = size, "all older events are in the register");
    }
    Ok(())
}

/// The last event that was read.
struct LastEvent {
    subject: Uuid,
    seq: i32,
    hash: Hash,
}

struct Batch {
    entries: Vec<Vec<u8>>,
    subjects: Vec<Uuid>,
    seqs: Vec<i32>,
    last: LastEvent,
}

/// The next events after `last`, chain by chain; `None` if there are no more.
async fn read(tx: &mut PgConnection, last: &LastEvent, limit: i64) -> Result<Option<Batch>> {
    let rows = sqlx::query!(
        "SELECT subject_id, seq, subject_kind, received_at, hash, secret, public, business, personal_commitment
         FROM event WHERE (subject_id, seq) > ($1, $2) ORDER BY subject_id, seq LIMIT $3",
        last.subject,
        last.seq,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(end) = rows.last() else { return Ok(None) };
    let last_of_batch = (end.subject_id, end.seq);
    let mut subjects: Vec<Uuid> = rows.iter().map(|row| row.subject_id).collect();
    subjects.dedup();
    let salts = salts(tx, &subjects).await?;
    let (mut previous, mut prev) = ((last.subject, last.seq), last.hash);
    let mut batch = Batch {
        entries: Vec::with_capacity(rows.len()),
        subjects: Vec::with_capacity(rows.len()),
        seqs: Vec::with_capacity(rows.len()),
        last: LastEvent { subject: last_of_batch.0, seq: last_of_batch.1, hash: Hash::ZERO },
    };
    for row in rows {
        let (id, seq) = (row.subject_id, row.seq);
        let corrupt = |what: &str| Error::CorruptRow(format!("event {seq} of {id}: {what}"));
        let follows = if seq == 1 { previous.0 != id } else { previous == (id, seq - 1) };
        if !follows {
            return Err(corrupt("the event before it is missing"));
        }
        if seq == 1 {
            prev = Hash::ZERO;
        }
        let hash = |bytes: &[u8], column| Hash::from_slice(bytes).ok_or_else(|| corrupt(column));
        let kind = u8::try_from(row.subject_kind).ok().and_then(SubjectKind::from_byte);
        let kind = kind.ok_or_else(|| corrupt("subject_kind"))?;
        let salt = salts.get(&id).ok_or_else(|| corrupt("its subject is missing"))?;
        let personal_commitment = row.personal_commitment.as_deref();
        let event = StoredEvent {
            seq: u32::try_from(seq).map_err(|_| corrupt("seq"))?,
            received_at: row.received_at,
            hash: hash(&row.hash, "hash")?,
            prev,
            secret: Secret(row.secret.as_slice().try_into().map_err(|_| corrupt("secret"))?),
            public: row.public,
            business: row.business,
            personal_commitment: personal_commitment
                .map(|bytes| hash(bytes, "personal_commitment"))
                .transpose()?,
            personal: None,
        };
        let entry: Entry = event.entry(subject_ref(kind, id, salt));
        if entry.link() != event.hash {
            return Err(corrupt("altered since it was recorded: its hash does not match"));
        }
        batch.entries.push(entry.as_bytes().to_vec());
        batch.subjects.push(id);
        batch.seqs.push(seq);
        (previous, prev) = ((id, seq), event.hash);
    }
    batch.last.hash = prev;
    Ok(Some(batch))
}

/// Salts of the subjects' refs, by subject.
async fn salts(tx: &mut PgConnection, subjects: &[Uuid]) -> Result<HashMap<Uuid, Salt>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", salt AS "salt!" FROM log WHERE id = ANY($1)
           UNION ALL SELECT id, salt FROM felling_ticket WHERE id = ANY($1)
           UNION ALL SELECT id, salt FROM seal_batch WHERE id = ANY($1)
           UNION ALL SELECT id, salt FROM finding WHERE id = ANY($1) AND head_seq > 0
           UNION ALL SELECT id, salt FROM organization WHERE id = ANY($1)"#,
        subjects
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let salt = row.salt.as_slice().try_into();
            let salt = salt.map_err(|_| Error::CorruptRow(format!("salt of {}: not 32 bytes", row.id)))?;
            Ok((row.id, Salt(salt)))
        })
        .collect()
}
