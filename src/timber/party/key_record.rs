//! Makes and revokes API keys. Both are recorded as events on the organisation's chain. So if a key was
//! inserted directly into the table, to write in another organisation's name, its event is missing, and this
//! reveals it.

use super::head;
use super::key::{Caller, may_manage_keys};
use crate::base::error::{Error, Result};
use crate::base::ids::{KeyId, OrganizationId};
use crate::base::token::Token;
use crate::base::units::utc_text;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Hash, LockedHead, NewHead, SubjectKind, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::OrganizationEventType;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

/// A key to be created.
#[derive(Clone, Copy, Debug)]
pub struct NewKey<'a> {
    /// Its id.
    pub id: KeyId,
    /// The label that the organisation gives to the key. It is not hashed into the chain, because it may name
    /// a person.
    pub label: &'a str,
    /// Its token.
    pub token: &'a Token,
    /// Time from which the key is no longer valid.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The public part of both events.
#[derive(Serialize)]
struct KeyPublic {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: OrganizationEventType,
    on: NaiveDate,
}

/// The business part of the events `key_made` and `key_revoked`. `of_key` is the key that is made or revoked;
/// `key`, within `act`, is the key with which the request was sent.
#[derive(Serialize)]
struct KeyBusiness<'a> {
    v: u8,
    #[serde(flatten)]
    act: &'a Actor,
    of_key: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_hash: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// Makes a key of an organisation and returns the time of its creation.
///
/// # Errors
/// Not found, if there is no such organisation.
pub async fn make(
    tx: &mut Tx<'_>,
    act: &Actor,
    organization: OrganizationId,
    key: NewKey<'_>,
) -> Result<DateTime<Utc>> {
    let head = head::lock(tx, organization).await?;
    let hash = Hash(key.token.hash());
    let business = KeyBusiness {
        v: 1,
        act,
        of_key: key.id,
        token_hash: Some(hash),
        expires_at: key.expires_at.map(utc_text),
    };
    let head = add(tx, act, head, OrganizationEventType::KeyMade, &business).await?;
    sqlx::query!(
        "INSERT INTO api_key (id, organization_id, label, token_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        key.id.0,
        organization.0,
        key.label,
        hash.0.as_slice(),
        head.received_at,
        key.expires_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(head.received_at)
}

/// The result of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The key is revoked, now or earlier.
    Done,
    /// Refused, because this is the operator's last valid key: without it, no key could be created.
    LastOfOperator,
}

/// Revokes a key from now on; does nothing if it is revoked already.
///
/// # Errors
/// Not found, also for a key that the caller may not act on.
pub async fn revoke(tx: &mut Tx<'_>, caller: &Caller, act: &Actor, key: KeyId) -> Result<Revocation> {
    let found = sqlx::query!("SELECT organization_id FROM api_key WHERE id = $1", key.0)
        .fetch_optional(&mut **tx)
        .await?
        .map(|row| OrganizationId::from(row.organization_id))
        .filter(|organization| may_manage_keys(caller, *organization));
    let organization = found.ok_or(Error::NotFound)?;
    let head = head::lock(tx, organization).await?;
    // Whether the key is revoked is read under the lock: if two requests revoke it at once, only one records
    // an event.
    let revoked = sqlx::query_scalar!(
        r#"SELECT revoked_at IS NOT NULL AS "revoked!" FROM api_key WHERE id = $1"#,
        key.0
    )
    .fetch_one(&mut **tx)
    .await?;
    if revoked {
        return Ok(Revocation::Done);
    }
    let is_last = sqlx::query_scalar!(
        r#"SELECT NOT EXISTS (SELECT FROM api_key
                              WHERE organization_id = $1 AND id <> $2 AND revoked_at IS NULL
                                AND (expires_at IS NULL OR expires_at > $3)) AS "is_last!"
           FROM organization WHERE id = $1 AND roles @> ARRAY['operator']"#,
        organization.0,
        key.0,
        act.at()
    )
    .fetch_optional(&mut **tx)
    .await?;
    if is_last == Some(true) {
        return Ok(Revocation::LastOfOperator);
    }
    let business = KeyBusiness { v: 1, act, of_key: key, token_hash: None, expires_at: None };
    let head = add(tx, act, head, OrganizationEventType::KeyRevoked, &business).await?;
    sqlx::query!("UPDATE api_key SET revoked_at = $2 WHERE id = $1", key.0, head.received_at)
        .execute(&mut **tx)
        .await?;
    Ok(Revocation::Done)
}

async fn add(
    tx: &mut Tx<'_>,
    act: &Actor,
    head: LockedHead,
    event_type: OrganizationEventType,
    business: &KeyBusiness<'_>,
) -> Result<NewHead> {
    let public = KeyPublic { v: 1, subject: SubjectKind::Organization.name(), event_type, on: act.on() };
    let (public, business) = (canonical::text(&public), canonical::text(business));
    let draft = act.draft(head, event_type, public, business, None);
    head::add(tx, act.at(), draft).await
}
