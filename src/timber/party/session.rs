//! Sessions of the desk. A browser signs in with a proof ([`Proof`]) and gets a secret in a cookie; each of its
//! requests then has the rights of the key, as they are at that moment. A session is no subject: no event is about
//! it, and what is recorded in it names the key, as a record made with the API does.
//!
//! A session ends when it is signed out, when its key is revoked or expires, when it was not used for some hours, and
//! at last after some days. The query that finds a session finds its key too, so a revoked key ends its sessions at
//! once.

use super::key::{Caller, KeyRow, KeyUsage, TokenHash};
use super::role::Role;
use crate::base::error::Result;
use crate::base::ids::{KeyId, SessionId};
use crate::base::token::{SessionSecret, Token};
use crate::db::batching::BatchQuery;
use crate::evidence::chain::Tx;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

/// How exact `last_seen_at` is, as for the last use of a key.
const LAST_SEEN_PRECISION: TimeDelta = TimeDelta::seconds(60);
/// Sessions that a key has at the same time; a further one ends the session that was not used for the longest time.
/// One key may serve an office, and the table stays bounded.
const MAX_SESSIONS: i64 = 100;
/// Rows of sessions are deleted this time after their last use.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// What a person shows to sign in. Passkeys, OIDC and the state's digital signature (through an external verifier)
/// would be further proofs; whatever the proof, a session belongs to a key.
#[derive(Clone, Debug)]
pub enum Proof {
    /// The token of an API key.
    Key(Token),
}

impl Proof {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
        }
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Without a request.
    pub idle: TimeDelta,
    /// At most.
    pub whole: TimeDelta,
}

impl Lifetime {
    /// The lifetime of a session with these roles: a working day without a request and 30 days in all, so that a clerk
    /// signs in once a month. An inspector reads every history and works on the road: a shift, and a day in all.
    #[must_use]
    pub fn of(roles: &[Role]) -> Self {
        if roles.contains(&Role::Inspector) {
            Self { idle: TimeDelta::hours(8), whole: TimeDelta::hours(24) }
        } else {
            Self { idle: TimeDelta::hours(12), whole: TimeDelta::days(30) }
        }
    }

    /// Whether a session that was made and last used at these times has ended at `now`.
    #[must_use]
    pub fn is_over(self, created: DateTime<Utc>, last_seen: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        last_seen + self.idle <= now || created + self.whole <= now
    }
}

/// A session that has not ended.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id, by which it is listed and ended; not a secret.
    pub id: SessionId,
    /// The key's organisation, with its roles now.
    pub caller: Caller,
    /// The key, as reads resolve it from a token.
    pub key: TokenHash,
    /// The person to whom the key belongs.
    pub person: Option<Uuid>,
    /// The organisation's name; `None` if it was erased.
    pub organization_name: Option<String>,
}

/// Looks up the session of a cookie.
#[derive(Clone, Copy, Debug)]
pub struct SessionLookup {
    hash: [u8; 32],
    now: DateTime<Utc>,
}

impl SessionLookup {
    /// The session of `secret` in a request at `now`.
    #[must_use]
    pub fn new(secret: &SessionSecret, now: DateTime<Utc>) -> Self {
        Self { hash: secret.hash(), now }
    }
}

impl BatchQuery for SessionLookup {
    /// `None` if there is no such session, or it has ended.
    type Output = Option<Session>;

    fn cost(&self) -> usize {
        1
    }

    /// Takes one round trip, and two more if uses must be stored: at most once a minute for each session.
    async fn load(db: &mut PgConnection, lookups: &[&Self]) -> sqlx::Result<Vec<Result<Self::Output>>> {
        let hashes: Vec<&[u8]> = lookups.iter().map(|lookup| lookup.hash.as_slice()).collect();
        let rows = sqlx::query!(
            r#"SELECT s.id, s.secret_hash, s.person_id, s.created_at, s.last_seen_at,
                      k.id AS key_id, k.token_hash, k.organization_id, k.expires_at, k.last_used_at,
                      o.name, o.roles AS "roles: Vec<Role>", o.suspended_since IS NOT NULL AS "suspended!"
               FROM session s JOIN api_key k ON k.id = s.key_id JOIN organization o ON o.id = k.organization_id
               WHERE s.secret_hash = ANY($1) AND s.ended_at IS NULL AND k.revoked_at IS NULL"#,
            &hashes as &[&[u8]]
        )
        .fetch_all(&mut *db)
        .await?;
        let (mut uses, mut seen) = (KeyUsage::default(), Vec::new());
        let mut found = Vec::with_capacity(lookups.len());
        for lookup in lookups {
            let session = rows.iter().find(|row| row.secret_hash == lookup.hash).and_then(|row| {
                let now = lookup.now;
                let token: [u8; 32] = row.token_hash.as_slice().try_into().ok()?;
                let key = TokenHash::stored(token, now);
                if Lifetime::of(&row.roles).is_over(row.created_at, row.last_seen_at, now) {
                    return None;
                }
                let used =
                    KeyRow { id: row.key_id, expires_at: row.expires_at, last_used_at: row.last_used_at };
                if !uses.admit(&key, used) {
                    return None;
                }
                if row.last_seen_at < now - LAST_SEEN_PRECISION {
                    seen.push((row.id, now));
                }
                Some(Session {
                    id: row.id.into(),
                    caller: Caller {
                        organization: row.organization_id.into(),
                        key: row.key_id.into(),
                        roles: row.roles.clone(),
                        suspended: row.suspended,
                    },
                    key,
                    person: row.person_id,
                    organization_name: row.name.clone(),
                })
            });
            found.push(Ok(session));
        }
        uses.note(db).await?;
        note_seen(db, &seen).await?;
        Ok(found)
    }
}

/// Stores that sessions were used. A locked row is skipped: another request uses or ends the session.
async fn note_seen(db: &mut PgConnection, seen: &[(Uuid, DateTime<Utc>)]) -> sqlx::Result<()> {
    let Some(now) = seen.iter().map(|(_, now)| *now).max() else { return Ok(()) };
    let ids: Vec<Uuid> = seen.iter().map(|(id, _)| *id).collect();
    sqlx::query!(
        "UPDATE session SET last_seen_at = $2
         WHERE id IN (SELECT id FROM session WHERE id = ANY($1) FOR UPDATE SKIP LOCKED)",
        &ids,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Begins a session of the key of `caller`, and returns its secret. `browser` has at most 60 characters.
///
/// # Errors
/// From the database.
pub async fn begin(
    tx: &mut Tx<'_>,
    caller: &Caller,
    proof: &Proof,
    browser: &str,
    now: DateTime<Utc>,
) -> Result<SessionSecret> {
    let secret = SessionSecret::random();
    let hash = secret.hash();
    sqlx::query!(
        "INSERT INTO session (id, secret_hash, key_id, proof, browser, created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        SessionId::new().0,
        hash.as_slice(),
        caller.key.0,
        proof.as_str(),
        browser,
        now
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "UPDATE session SET ended_at = $2
         WHERE id IN (SELECT id FROM session WHERE key_id = $1 AND ended_at IS NULL
                      ORDER BY last_seen_at DESC, id DESC OFFSET $3)",
        caller.key.0,
        now,
        MAX_SESSIONS
    )
    .execute(&mut **tx)
    .await?;
    Ok(secret)
}

/// A session in the list of a key.
#[derive(Clone, Debug)]
pub struct ListedSession {
    /// Its id.
    pub id: SessionId,
    /// Browser and system.
    pub browser: String,
    /// When it was signed in.
    pub created_at: DateTime<Utc>,
    /// Last use, to within a minute.
    pub last_seen_at: DateTime<Utc>,
}

/// The sessions of the caller's key that have not ended, the one used last first.
///
/// # Errors
/// From the database.
pub async fn list(
    db: impl PgExecutor<'_>,
    caller: &Caller,
    now: DateTime<Utc>,
) -> Result<Vec<ListedSession>> {
    let lifetime = Lifetime::of(&caller.roles);
    let rows = sqlx::query_as!(
        ListedSession,
        r#"SELECT id AS "id: SessionId", browser, created_at, last_seen_at FROM session
           WHERE key_id = $1 AND ended_at IS NULL ORDER BY last_seen_at DESC, id DESC"#,
        caller.key.0
    )
    .fetch_all(db)
    .await?;
    let is_open = |row: &ListedSession| !lifetime.is_over(row.created_at, row.last_seen_at, now);
    Ok(rows.into_iter().filter(is_open).collect())
}

/// Ends one session of a key, or all of them. Returns how many. A session of another key is left as it is.
///
/// # Errors
/// From the database.
pub async fn end(tx: &mut Tx<'_>, key: KeyId, only: Option<SessionId>, now: DateTime<Utc>) -> Result<u64> {
    let ended = sqlx::query!(
        "UPDATE session SET ended_at = $3
         WHERE key_id = $1 AND ($2::uuid IS NULL OR id = $2) AND ended_at IS NULL",
        key.0,
        only.map(|id| id.0),
        now
    );
    Ok(ended.execute(&mut **tx).await?.rows_affected())
}

/// Deletes the rows of sessions that were last used more than 30 days ago. Returns how many.
///
/// # Errors
/// From the database.
pub async fn forget_old(pool: &PgPool, now: DateTime<Utc>) -> Result<u64> {
    let deleted = sqlx::query!("DELETE FROM session WHERE last_seen_at < $1", now - KEPT_FOR);
    Ok(deleted.execute(pool).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_last_in_any_case() {
        let at = |hours: i64| DateTime::UNIX_EPOCH + TimeDelta::hours(hours);
        let clerk = Lifetime::of(&[Role::Enterprise]);
        let inspector = Lifetime::of(&[Role::Carrier, Role::Inspector]);
        assert!(!clerk.is_over(at(0), at(0), at(12) - TimeDelta::microseconds(1)));
        assert!(clerk.is_over(at(0), at(0), at(12)));
        assert!(!clerk.is_over(at(0), at(719), at(720) - TimeDelta::microseconds(1)));
        assert!(clerk.is_over(at(0), at(719), at(720)));
        assert!(!inspector.is_over(at(0), at(0), at(7)));
        assert!(inspector.is_over(at(0), at(0), at(8)));
        assert!(inspector.is_over(at(0), at(23), at(24)));
    }
}
