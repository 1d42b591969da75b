//! The head of an organisation's chain. Keys, marking keys, erasures and the operator's decisions are events on it.

use crate::base::error::{Error, Location, Result};
use crate::base::ids::OrganizationId;
use crate::evidence::chain::size::{self, MAX_BUSINESS_BYTES, MAX_PUBLIC_BYTES};
use crate::evidence::chain::{Draft, LockedHead, NewHead, Tx, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::heads::chain_heads;
use crate::timber::event::types::OrganizationEventType;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

chain_heads!(Organization, "organization");

/// Locks and returns the head of an organisation's chain.
///
/// # Errors
/// Not found, if there is no such organisation.
pub(crate) async fn lock(tx: &mut Tx<'_>, id: OrganizationId) -> Result<LockedHead> {
    lock_heads(tx, &[id.0]).await?.pop().ok_or(Error::NotFound)
}

/// Adds an event after a locked head, updates the organisation's row, and returns the new head.
///
/// # Errors
/// From the database.
pub(crate) async fn add(tx: &mut Tx<'_>, now: DateTime<Utc>, draft: Draft) -> Result<NewHead> {
    let id = draft.head.id();
    let added = append_and_store(tx, now, vec![draft]).await?.pop();
    added.ok_or_else(|| Error::CorruptRow(format!("organization {id}: no event was added")))
}

/// The operator on which chain marking keys and the operator's decisions are recorded. If there are several
/// operators, it is the one with the smallest id, so that all these events are on one chain, in one order.
///
/// # Errors
/// Not found, if there is no operator.
pub(crate) async fn operator(db: impl PgExecutor<'_>) -> Result<OrganizationId> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: OrganizationId" FROM organization WHERE roles @> ARRAY['operator'] ORDER BY id LIMIT 1"#
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::NotFound)
}

/// Locks the head of the chain of the [`operator`].
///
/// # Errors
/// Not found, if there is no operator.
pub(crate) async fn lock_operator(tx: &mut Tx<'_>) -> Result<LockedHead> {
    let operator = operator(&mut **tx).await?;
    lock(tx, operator).await
}

/// Locks the rows of the [`operator`] and of another organisation, in the order of their ids, and returns the head of
/// the operator's chain.
///
/// # Errors
/// Not found, if there is no operator.
pub(in crate::timber) async fn lock_operator_and(
    tx: &mut Tx<'_>,
    other: OrganizationId,
) -> Result<LockedHead> {
    let operator = operator(&mut **tx).await?;
    let heads = lock_heads(tx, &[operator.0, other.0]).await?;
    heads.into_iter().find(|head| head.id() == operator.0).ok_or(Error::NotFound)
}

/// An event that an organisation records from its office on an organisation's chain.
pub(crate) struct OfficeEvent<'a, P, B> {
    /// Type of the event.
    pub event_type: OrganizationEventType,
    /// The members of the public part besides version, subject, type and day.
    pub public: &'a P,
    /// The members of the business part besides version and those of [`Actor`].
    pub business: &'a B,
    /// The free texts of the request, with their locations.
    pub texts: &'a [(Location, &'a str)],
}

#[derive(Serialize)]
struct OfficePublic<'a, P> {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: OrganizationEventType,
    on: NaiveDate,
    #[serde(flatten)]
    more: &'a P,
}

#[derive(Serialize)]
struct OfficeBusiness<'a, B> {
    v: u8,
    #[serde(flatten)]
    act: &'a Actor,
    #[serde(flatten)]
    more: &'a B,
}

/// The canonical texts of the parts of an office event.
pub(crate) fn office_texts<P: Serialize, B: Serialize>(
    act: &Actor,
    event: &OfficeEvent<'_, P, B>,
) -> (String, String) {
    let public = OfficePublic {
        v: 1,
        subject: "organization",
        event_type: event.event_type,
        on: act.on(),
        more: event.public,
    };
    let business = OfficeBusiness { v: 1, act, more: event.business };
    (canonical::text(&public), canonical::text(&business))
}

/// Adds an office event after a locked head.
///
/// # Errors
/// `too-long-together`, if the texts of the request, each within its own limit, exceed the limit of a part.
pub(crate) async fn add_office_event<P: Serialize, B: Serialize>(
    tx: &mut Tx<'_>,
    act: &Actor,
    head: LockedHead,
    event: OfficeEvent<'_, P, B>,
) -> Result<NewHead> {
    let (public, business) = office_texts(act, &event);
    size::check(&public, MAX_PUBLIC_BYTES, event.texts).map_err(Error::Invalid)?;
    size::check(&business, MAX_BUSINESS_BYTES, event.texts).map_err(Error::Invalid)?;
    let draft = Draft {
        head,
        public,
        business,
        personal: None,
        event_type: event.event_type.as_str(),
        organization: act.organization.0,
        operation: act.operation.0,
        occurred_at: act.at(),
        region: None,
    };
    add(tx, act.at(), draft).await
}

/// Checks that `docs/CHAIN.md` has the texts and commitments of an event that is recorded as in its vectors.
#[cfg(test)]
pub(crate) fn assert_in_specification<P: Serialize, B: Serialize>(event: &OfficeEvent<'_, P, B>) {
    use crate::base::ids::{KeyId, OperationId};
    use crate::evidence::chain::bytes::{Part, Salt, commit};
    let id =
        |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
    let now = "2026-11-28T04:00:00Z".parse().unwrap();
    let act = Actor::in_operation(id(2).into(), KeyId(id(3)), OperationId(id(4)), now).unwrap();
    let (public, business) = office_texts(&act, event);
    let page = include_str!("../../../docs/CHAIN.md");
    let salts = [
        "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
        "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
    ];
    for ((kind, text), salt) in [(Part::Public, public), (Part::Business, business)].into_iter().zip(salts) {
        let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
        assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, &text))), "{text}");
    }
}
