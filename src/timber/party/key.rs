//! API keys: 256 random bits, stored as a hash. Revocation takes effect at once. [`super::key_record`] makes
//! and revokes them.

use super::role::Role;
use crate::base::error::{Error, Result};
use crate::base::ids::{KeyId, OperationId, OrganizationId};
use crate::base::token::Token;
use crate::base::units::utc_text;
use crate::db::batching::BatchQuery;
use crate::timber::event::actor::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

/// How exact `last_used_at` is. Storing the time of every request would cost more than the exact time is
/// worth.
const LAST_USED_PRECISION: TimeDelta = TimeDelta::seconds(60);

/// The caller, resolved from its key.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The organisation.
    pub organization: OrganizationId,
    /// The key of the request.
    pub key: KeyId,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it is suspended.
    pub suspended: bool,
}

impl Caller {
    /// Whether the organisation has a role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The common fields of an event that the caller records at `now`, under a new operation id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the server's clock is wrong: outside the years 1970 to 2200.
    pub fn act(&self, now: DateTime<Utc>) -> Result<Actor> {
        Actor::of(self.organization, self.key, now)
    }

    /// As [`Caller::act`], but under the id `operation`, which the write request has already.
    ///
    /// # Errors
    /// As for [`Caller::act`].
    pub fn act_in(&self, operation: OperationId, now: DateTime<Utc>) -> Result<Actor> {
        Actor::in_operation(self.organization, self.key, operation, now)
    }
}

/// The hash of a request's token, to be resolved to a [`Caller`].
///
/// It is also a batch query, which reads the caller. Checks of codes and lookups of logs do not need this
/// query, because their own queries resolve the token too.
#[derive(Clone, Copy, Debug)]
pub struct TokenHash {
    hash: [u8; 32],
    now: DateTime<Utc>,
}

/// The expiry and last use of a key that is not revoked, from its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRow {
    /// The key.
    pub id: Uuid,
    /// Time from which the key is no longer valid.
    pub expires_at: Option<DateTime<Utc>>,
    /// Time of the last use of the key, to within a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Collects, for one batch of queries, the keys for which a new time of last use must be stored in the
/// database.
#[derive(Debug, Default)]
pub(crate) struct KeyUsage {
    keys: Vec<Uuid>,
    now: Option<DateTime<Utc>>,
}

impl KeyUsage {
    /// Whether the key is valid, that is, not expired at the time of the request. If it is valid, adds this
    /// use to those that [`Self::note`] stores, unless a use within the last minute is stored already.
    pub(crate) fn admit(&mut self, token: &TokenHash, key: KeyRow) -> bool {
        if key.expires_at.is_some_and(|end| end <= token.now) {
            return false;
        }
        if key.last_used_at.is_none_or(|last| last < token.now - LAST_USED_PRECISION) {
            self.keys.push(key.id);
            self.now = self.now.max(Some(token.now));
        }
        true
    }

    /// Stores the collected uses. Usually there are none, because each key is updated at most once a minute.
    pub(crate) async fn note(self, db: &mut PgConnection) -> sqlx::Result<()> {
        let Some(now) = self.now else { return Ok(()) };
        // SKIP LOCKED: if a key's row is locked, another request is already updating or revoking the key, so
        // this one need not wait for it.
        sqlx::query!(
            "UPDATE api_key SET last_used_at = $2
             WHERE id IN (SELECT id FROM api_key WHERE id = ANY($1) FOR UPDATE SKIP LOCKED)",
            &self.keys,
            now
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

impl TokenHash {
    /// The token of a request at `now`.
    #[must_use]
    pub fn new(token: &Token, now: DateTime<Utc>) -> Self {
        Self { hash: token.hash(), now }
    }

    /// The stored hash of a key's token, in a request at `now`.
    #[must_use]
    pub(super) fn stored(hash: [u8; 32], now: DateTime<Utc>) -> Self {
        Self { hash, now }
    }

    /// The hash by which the key is found.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// The time of the request.
    #[must_use]
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The same as a value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.hash
    }
}

impl BatchQuery for TokenHash {
    type Output = Option<Caller>;

    fn cost(&self) -> usize {
        1
    }

    /// Takes one round trip, and a second one if the use of a key must be stored: at most once a minute for
    /// each key.
    async fn load(db: &mut PgConnection, tokens: &[&Self]) -> sqlx::Result<Vec<Result<Option<Caller>>>> {
        let hashes: Vec<&[u8]> = tokens.iter().map(|token| token.hash.as_slice()).collect();
        let rows = sqlx::query!(
            r#"SELECT k.token_hash, k.id, k.organization_id, o.roles AS "roles: Vec<Role>", k.expires_at, k.last_used_at,
                      o.suspended_since IS NOT NULL AS "suspended!"
               FROM api_key k JOIN organization o ON o.id = k.organization_id
               WHERE k.token_hash = ANY($1) AND k.revoked_at IS NULL"#,
            &hashes as &[&[u8]]
        )
        .fetch_all(&mut *db)
        .await?;
        let mut uses = KeyUsage::default();
        let callers = tokens
            .iter()
            .map(|token| {
                let row = rows.iter().find(|row| row.token_hash == token.hash)?;
                let key = KeyRow { id: row.id, expires_at: row.expires_at, last_used_at: row.last_used_at };
                uses.admit(token, key).then(|| Caller {
                    organization: row.organization_id.into(),
                    key: row.id.into(),
                    roles: row.roles.clone(),
                    suspended: row.suspended,
                })
            })
            .map(Ok)
            .collect();
        uses.note(db).await?;
        Ok(callers)
    }
}

/// A key as listed: all its data except the token, which is not stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Key {
    /// Id.
    pub id: KeyId,
    /// The organisation's label for it.
    #[schema(example = "Тірек №2 планшеті")]
    pub label: String,
    /// Time of its creation.
    #[schema(value_type = DateTime<Utc>)]
    pub created_at: String,
    /// Time from which the key is no longer valid; null if it never expires.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<String>,
    /// Time of its revocation.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub revoked_at: Option<String>,
    /// Time of the last use of the key, to within a minute.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub last_used_at: Option<String>,
}

/// Whether `caller` may make, list and revoke the keys of an organisation. An organisation may do so with its
/// own keys, and the operator with all keys.
#[must_use]
pub fn may_manage_keys(caller: &Caller, organization: OrganizationId) -> bool {
    caller.organization == organization || caller.is(Role::Operator)
}

/// Checks that an organisation exists and that `caller` may act on its keys ([`may_manage_keys`]).
///
/// # Errors
/// Not found, whether the organisation does not exist or the caller may not act on its keys.
pub async fn check_may_manage_keys(
    db: impl PgExecutor<'_>,
    caller: &Caller,
    organization: OrganizationId,
) -> Result<()> {
    let exists = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM organization WHERE id = $1) AS "exists!""#,
        organization.0
    )
    .fetch_one(db)
    .await?;
    if exists && may_manage_keys(caller, organization) { Ok(()) } else { Err(Error::NotFound) }
}

/// Keys of an organisation, including revoked ones, in the order of their creation, after the key `after`.
pub async fn list(
    db: impl PgExecutor<'_>,
    organization: OrganizationId,
    after: Option<KeyId>,
    limit: i64,
) -> Result<Vec<Key>> {
    let rows = sqlx::query!(
        "SELECT id, label, created_at, expires_at, revoked_at, last_used_at FROM api_key
         WHERE organization_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        organization.0,
        after.map(|id| id.0),
        limit
    )
    .fetch_all(db)
    .await?;
    let keys = rows.into_iter().map(|row| Key {
        id: row.id.into(),
        label: row.label,
        created_at: utc_text(row.created_at),
        expires_at: row.expires_at.map(utc_text),
        revoked_at: row.revoked_at.map(utc_text),
        last_used_at: row.last_used_at.map(utc_text),
    });
    Ok(keys.collect())
}

/// The key of the caller's request.
pub async fn of_caller(db: impl PgExecutor<'_>, caller: &Caller) -> Result<KeyInUse> {
    let row = sqlx::query!("SELECT label, expires_at FROM api_key WHERE id = $1", caller.key.0)
        .fetch_one(db)
        .await?;
    Ok(KeyInUse { id: caller.key, label: row.label, expires_at: row.expires_at.map(utc_text) })
}

/// The key of the present request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct KeyInUse {
    /// Id.
    pub id: KeyId,
    /// The organisation's label for it.
    pub label: String,
    /// Time from which the key is no longer valid; null if it never expires.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<String>,
}
