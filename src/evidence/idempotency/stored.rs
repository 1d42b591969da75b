//! The responses stored under the clients' idempotency keys.

use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::{SubjectKind, Tx};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

/// What a write request can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeKind {
    /// A subject, or a change of one.
    Subject(SubjectKind),
    /// An API key.
    Key,
    /// A harvest.
    Harvest,
    /// Events of existing subjects, under the operation id of the request.
    Operation,
}

impl MadeKind {
    /// The word in the database.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Subject(kind) => kind.name(),
            Self::Key => "key",
            Self::Harvest => "harvest",
            Self::Operation => "operation",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let others = [Self::Key, Self::Harvest, Self::Operation];
        let other = others.into_iter().find(|kind| kind.as_str() == word);
        other.or_else(|| SubjectKind::from_name(word).map(Self::Subject))
    }
}

impl From<SubjectKind> for MadeKind {
    fn from(kind: SubjectKind) -> Self {
        Self::Subject(kind)
    }
}

/// What a write request made. `Display` names it in the problem that a repeated request gets if there is no
/// stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its kind.
    pub kind: MadeKind,
    /// Its id.
    pub id: Uuid,
}

impl Made {
    /// A record that the request made the thing of this kind with this id.
    #[must_use]
    pub fn new(kind: impl Into<MadeKind>, id: impl Into<Uuid>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    /// Decodes the columns of a row. In rows that the previous version of the program wrote, `kind` and `id`
    /// are null.
    fn stored(kind: Option<&str>, id: Option<Uuid>, text: &str) -> Result<Self> {
        let typed = kind.zip(id).and_then(|(kind, id)| Some(Self { kind: MadeKind::parse(kind)?, id }));
        let named = || {
            let (kind, id) = text.rsplit_once(' ')?;
            Some(Self { kind: MadeKind::parse(&kind.replace(' ', "_"))?, id: id.parse().ok()? })
        };
        typed.or_else(named).ok_or_else(|| Error::CorruptRow(format!("idempotency.already_done: {text}")))
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str().replace('_', " "), self.id)
    }
}

/// Reserves the key for this transaction; fails if an earlier request with the same key is still running. It
/// does not wait: waiting requests would hold the pool's connections.
pub async fn reserve(tx: &mut Tx<'_>, organization: OrganizationId, name: &str) -> Result<()> {
    let lock = lock_of(organization, name);
    let acquired = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "taken!""#, lock)
        .fetch_one(&mut **tx)
        .await?;
    if acquired { Ok(()) } else { Err(Error::InProgress) }
}

/// Key of the advisory lock for a client's idempotency key.
pub(crate) fn lock_of(organization: OrganizationId, name: &str) -> i64 {
    let mut hasher = Sha256::new();
    hasher.update(organization.0.as_bytes());
    hasher.update(name.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    i64::from_be_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

/// The response stored under the client's idempotency key.
#[derive(Clone, Debug)]
pub struct StoredResponse {
    /// The organisation of the caller.
    pub organization: OrganizationId,
    /// The key.
    pub key: String,
    /// Fingerprint of the write request.
    pub fingerprint: [u8; 32],
    /// HTTP status of the response.
    pub status: i16,
    /// The response body, gzip; `None` if it must not be stored.
    pub body: Option<Vec<u8>>,
    /// What the request made.
    pub made: Made,
    /// When the response was made.
    pub created_at: DateTime<Utc>,
    /// Until when the body is stored.
    pub body_until: DateTime<Utc>,
}

/// Stores responses; makes no round trip if there are none.
pub async fn store_responses(tx: &mut Tx<'_>, responses: Vec<StoredResponse>) -> Result<()> {
    if responses.is_empty() {
        return Ok(());
    }
    let organizations: Vec<Uuid> = responses.iter().map(|row| row.organization.0).collect();
    let keys: Vec<&str> = responses.iter().map(|row| row.key.as_str()).collect();
    let fingerprints: Vec<&[u8]> = responses.iter().map(|row| row.fingerprint.as_slice()).collect();
    let statuses: Vec<i16> = responses.iter().map(|row| row.status).collect();
    let bodies: Vec<Option<&[u8]>> = responses.iter().map(|row| row.body.as_deref()).collect();
    let already_done: Vec<String> = responses.iter().map(|row| row.made.to_string()).collect();
    let made_kinds: Vec<&str> = responses.iter().map(|row| row.made.kind.as_str()).collect();
    let made_ids: Vec<Uuid> = responses.iter().map(|row| row.made.id).collect();
    let created_at: Vec<DateTime<Utc>> = responses.iter().map(|row| row.created_at).collect();
    let body_until: Vec<DateTime<Utc>> = responses.iter().map(|row| row.body_until).collect();
    sqlx::query!(
        "INSERT INTO idempotency (organization_id, key, fingerprint, status, body, already_done, created_at, body_until,
                                  made_kind, made_id)
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::bytea[], $4::smallint[], $5::bytea[], $6::text[],
                              $7::timestamptz[], $8::timestamptz[], $9::text[], $10::uuid[])",
        &organizations,
        &keys as &[&str],
        &fingerprints as &[&[u8]],
        &statuses,
        &bodies as &[Option<&[u8]>],
        &already_done,
        &created_at,
        &body_until,
        &made_kinds as &[&str],
        &made_ids,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The row stored under an idempotency key.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Fingerprint of the write request.
    pub fingerprint: Vec<u8>,
    /// HTTP status of the response.
    pub status: i16,
    /// The response body, gzip; `None` if it is not stored.
    pub body: Option<Vec<u8>>,
    /// What the request made.
    pub made: Made,
}

/// The row stored under a client's idempotency key; `None` if there is none.
pub async fn find(tx: &mut Tx<'_>, organization: OrganizationId, key: &str) -> Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT fingerprint, status, body, already_done, made_kind, made_id
         FROM idempotency WHERE organization_id = $1 AND key = $2",
        organization.0,
        key
    );
    let Some(row) = row.fetch_optional(&mut **tx).await? else { return Ok(None) };
    let made = Made::stored(row.made_kind.as_deref(), row.made_id, &row.already_done)?;
    Ok(Some(Stored { fingerprint: row.fingerprint, status: row.status, body: row.body, made }))
}

/// Deletes expired stored responses: the bodies when their `body_until` has passed, the rows after 90 days.
pub async fn forget_old(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let bodies =
        sqlx::query!("UPDATE idempotency SET body = NULL WHERE body IS NOT NULL AND body_until < $1", now)
            .execute(pool)
            .await?;
    let rows = sqlx::query!("DELETE FROM idempotency WHERE created_at < $1", now - TimeDelta::days(90))
        .execute(pool)
        .await?;
    Ok(bodies.rows_affected() + rows.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_version_before_names_what_was_made() {
        let id = Uuid::from_u128(7);
        let subjects = SubjectKind::ALL.iter().copied().map(MadeKind::Subject);
        for kind in subjects.chain([MadeKind::Key, MadeKind::Harvest, MadeKind::Operation]) {
            let made = Made::new(kind, id);
            assert_eq!(Made::stored(None, None, &made.to_string()).unwrap(), made);
            assert_eq!(Made::stored(Some(kind.as_str()), Some(id), "").unwrap(), made);
        }
        assert_eq!(Made::new(SubjectKind::FellingTicket, id).to_string(), format!("felling ticket {id}"));
        for text in ["", "key", "key 7", "permit 00000000-0000-0000-0000-000000000007"] {
            assert!(Made::stored(None, None, text).is_err(), "{text}");
        }
    }
}
