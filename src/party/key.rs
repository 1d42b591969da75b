//! API keys: 256 random bits, stored as a hash, revoked at once.

use super::role::Role;
use crate::error::{Error, Result};
use crate::ids::{KeyId, OrganizationId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqlx::PgExecutor;

/// How stale `last_used_at` may be: a write per request would cost more than it tells.
const LAST_USE_GRAIN: TimeDelta = TimeDelta::seconds(60);

/// A bearer token. `Debug` keeps it to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A fresh token: 32 random bytes in base64url, with a prefix that secret scanners can look for.
    ///
    /// # Panics
    /// If the operating system gives no randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        Self(format!("omt_{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token as it was sent or set: 32 to 200 visible ASCII characters, else nothing.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let fits = (32..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The token itself, to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored: its SHA-256. 256 random bits cannot be searched, so no slow hash is needed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who is calling, as the key says.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The organisation.
    pub organization: OrganizationId,
    /// The key it called with.
    pub key: KeyId,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl Caller {
    /// Whether the organisation has a role.
    #[must_use]
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// The caller of a token, if it is valid now. One round trip; notes the use at most once a minute.
pub async fn authenticate(
    db: impl PgExecutor<'_>,
    token: &Token,
    now: DateTime<Utc>,
) -> Result<Option<Caller>> {
    let hash = token.hash();
    let row = sqlx::query!(
        r#"WITH used AS (
               UPDATE api_key SET last_used_at = $2
               WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                 AND (last_used_at IS NULL OR last_used_at < $3)
           )
           SELECT k.id, k.organization_id, o.roles AS "roles: Vec<Role>"
           FROM api_key k JOIN organization o ON o.id = k.organization_id
           WHERE k.token_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)"#,
        hash.as_slice(),
        now,
        now - LAST_USE_GRAIN
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Caller {
        organization: row.organization_id.into(),
        key: row.id.into(),
        roles: row.roles,
    }))
}

/// Stores a key and returns its id.
pub async fn store(
    db: impl PgExecutor<'_>,
    organization: OrganizationId,
    label: &str,
    token: &Token,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<KeyId> {
    let (id, hash) = (KeyId::new(), token.hash());
    sqlx::query!(
        "INSERT INTO api_key (id, organization_id, label, token_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id.0,
        organization.0,
        label,
        hash.as_slice(),
        now,
        expires_at
    )
    .execute(db)
    .await
    .map_err(Error::from)?;
    Ok(id)
}
