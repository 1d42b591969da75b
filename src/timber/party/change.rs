//! Changes of an organisation: its name and its roles, its suspension and the end of that. Each is an event of its
//! chain. The name and the reason are in the personal part.
//!
//! Lock order: the standing ([`super::standing`]), then the row. A new name changes the erasure epoch, so that no
//! instance shows the old one from its cache or by an ETag.

use super::head;
use super::organization::{Organization, row};
use super::role::{OrganizationKind, Role, conflicting};
use super::standing;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::base::input::RequestErrors;
use crate::base::units::Text;
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::{Draft, LockedHead, NewHead, Salt, Tx, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::OrganizationEventType;
use chrono::NaiveDate;
use serde::Serialize;

/// The public part of the three events.
#[derive(Serialize)]
struct ChangePublic<'a> {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: OrganizationEventType,
    on: NaiveDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<&'a [Role]>,
}

/// The business part of the three events.
#[derive(Serialize)]
struct ChangeBusiness<'a> {
    v: u8,
    #[serde(flatten)]
    act: &'a Actor,
}

/// The personal part of the three events.
#[derive(Serialize)]
struct ChangePersonal<'a> {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    reason: &'a str,
}

/// An organisation with its standing locked, so that no write of it is under way.
pub struct Locked {
    head: LockedHead,
    /// The organisation as it is now.
    pub organization: Organization,
}

/// Locks an organisation for a change. The time of the change is to be read afterwards: the writes that this waits
/// for are then recorded before it.
///
/// # Errors
/// Not found.
pub async fn lock(tx: &mut Tx<'_>, id: OrganizationId) -> Result<Locked> {
    standing::lock(tx, id).await?;
    let head = head::lock(tx, id).await?;
    let organization = row(&mut **tx, id).await?.ok_or(Error::NotFound)?;
    Ok(Locked { head, organization })
}

const SUSPENDED_OPERATOR: &str = "An operator cannot be suspended: no organisation could end its suspension.";

/// New values of an organisation; `None` for one that stays.
#[derive(Clone, Debug, Default)]
pub struct NewValues {
    /// Name.
    pub name: Option<Text<200>>,
    /// All roles, without duplicates.
    pub roles: Option<Vec<Role>>,
}

/// Where the request states the new values.
pub struct Locations {
    /// The name.
    pub name: Location,
    /// The roles.
    pub roles: Location,
}

impl NewValues {
    /// The roles that the organisation loses.
    #[must_use]
    pub fn lost(&self, locked: &Locked) -> Vec<Role> {
        let Some(roles) = &self.roles else { return Vec::new() };
        locked.organization.roles.iter().copied().filter(|role| !roles.contains(role)).collect()
    }

    /// The roles that the organisation has afterwards.
    #[must_use]
    pub fn roles_after(&self, locked: &Locked) -> Vec<Role> {
        self.roles.clone().unwrap_or_else(|| locked.organization.roles.clone())
    }

    /// Adds the errors that the organisation itself shows, without what it holds.
    pub fn check(&self, locked: &Locked, at: &Locations, errors: &mut RequestErrors) {
        let of = &locked.organization;
        if self.name.is_some() && of.name.is_none() {
            let detail = "The data of this person was erased; it gets no new name.";
            errors.conflict.push(FieldError::new(at.name.clone(), "erased", detail));
        }
        let becomes_operator = self.roles.as_ref().is_some_and(|roles| roles.contains(&Role::Operator))
            && !of.roles.contains(&Role::Operator);
        if becomes_operator && of.suspended_since.is_some() {
            errors.conflict.push(FieldError::new(
                at.roles.clone(),
                "operator-not-suspended",
                SUSPENDED_OPERATOR,
            ));
        }
        if let Some(roles) = &self.roles
            && let Some(error) = check_roles(of.kind, roles, &at.roles)
        {
            errors.invalid.push(error);
        }
    }
}

/// What is wrong with the roles of an organisation of this kind.
#[must_use]
pub fn check_roles(kind: OrganizationKind, roles: &[Role], at: &Location) -> Option<FieldError> {
    let (code, detail) = match (kind, roles) {
        (OrganizationKind::Individual, []) => return None,
        (OrganizationKind::Individual, _) => {
            ("individual-has-no-role", "An individual has timber for own use only, and has no role.")
        }
        (_, []) => ("too-few", "An organisation has at least one role."),
        (_, roles) if conflicting(roles) => {
            let detail = "An operator or inspector has no timber: it cannot be an enterprise, forest owner or carrier too.";
            ("roles-conflict", detail)
        }
        _ => return None,
    };
    Some(FieldError::new(at.clone(), code, detail))
}

/// Gives an organisation the new values, which were checked. Nothing is recorded if none of them is new.
///
/// # Errors
/// From the database.
pub async fn change(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: Locked,
    new: &NewValues,
    reason: &Text<200>,
) -> Result<Organization> {
    let Locked { head, mut organization } = locked;
    let mut roles = new.roles.clone();
    if let Some(roles) = &mut roles {
        roles.sort_unstable();
    }
    let roles = roles.filter(|roles| *roles != organization.roles);
    let name = new.name.as_ref().map(Text::as_str).filter(|name| organization.name.as_deref() != Some(name));
    if roles.is_none() && name.is_none() {
        return Ok(organization);
    }
    let event_type = OrganizationEventType::Changed;
    let personal = ChangePersonal { v: 1, name, reason: reason.as_str() };
    record(tx, act, head, event_type, roles.as_deref(), personal).await.map(drop)?;
    sqlx::query!(
        "UPDATE organization SET name = COALESCE($2, name), roles = COALESCE($3, roles) WHERE id = $1",
        organization.id.0,
        name,
        roles.as_deref() as Option<&[Role]>
    )
    .execute(&mut **tx)
    .await?;
    if let Some(name) = name {
        let epoch = Salt::random().0;
        sqlx::query!("UPDATE erasure_epoch SET value = $1", epoch.as_slice()).execute(&mut **tx).await?;
        organization.name = Some(name.to_owned());
    }
    organization.roles = roles.unwrap_or(organization.roles);
    Ok(organization)
}

/// Suspends an organisation.
///
/// # Errors
/// Conflict: `operator-not-suspended` for an operator, `already-suspended`.
pub async fn suspend(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: Locked,
    reason: &Text<200>,
) -> Result<Organization> {
    if locked.organization.roles.contains(&Role::Operator) {
        return Err(conflict("operator-not-suspended", SUSPENDED_OPERATOR));
    }
    if locked.organization.suspended_since.is_some() {
        return Err(conflict("already-suspended", "The organisation is suspended already."));
    }
    set_suspended(tx, act, locked, OrganizationEventType::Suspended, reason).await
}

/// Ends the suspension of an organisation.
///
/// # Errors
/// Conflict: `not-suspended`.
pub async fn resume(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: Locked,
    reason: &Text<200>,
) -> Result<Organization> {
    if locked.organization.suspended_since.is_none() {
        return Err(conflict("not-suspended", "The organisation is not suspended."));
    }
    set_suspended(tx, act, locked, OrganizationEventType::Resumed, reason).await
}

async fn set_suspended(
    tx: &mut Tx<'_>,
    act: &Actor,
    locked: Locked,
    event_type: OrganizationEventType,
    reason: &Text<200>,
) -> Result<Organization> {
    let Locked { head, organization } = locked;
    let personal = ChangePersonal { v: 1, name: None, reason: reason.as_str() };
    let head = record(tx, act, head, event_type, None, personal).await?;
    let since = (event_type == OrganizationEventType::Suspended).then_some(head.received_at);
    sqlx::query!("UPDATE organization SET suspended_since = $2 WHERE id = $1", organization.id.0, since)
        .execute(&mut **tx)
        .await?;
    Ok(Organization { suspended_since: since.map(crate::base::units::utc_text), ..organization })
}

async fn record(
    tx: &mut Tx<'_>,
    act: &Actor,
    head: LockedHead,
    event_type: OrganizationEventType,
    roles: Option<&[Role]>,
    personal: ChangePersonal<'_>,
) -> Result<NewHead> {
    let public = ChangePublic { v: 1, subject: "organization", event_type, on: act.on(), roles };
    let personal =
        Personal { id: OperationId::new().0, text: canonical::text(&personal), secret: Secret::random() };
    let personal = personal.store(tx, act.organization.0, act.at()).await?;
    let draft = Draft {
        head,
        public: canonical::text(&public),
        business: canonical::text(&ChangeBusiness { v: 1, act }),
        personal: Some(personal),
        event_type: event_type.as_str(),
        organization: act.organization.0,
        operation: act.operation.0,
        occurred_at: act.at(),
        region: None,
    };
    head::add(tx, act.at(), draft).await
}

fn conflict(code: &'static str, detail: &'static str) -> Error {
    Error::Conflict(vec![FieldError::new(Location::body(), code, detail)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::chain::bytes::{Part, commit};

    /// The vectors "Organisations that change" in `docs/CHAIN.md`; their commitments were made with Python's
    /// hashlib.
    #[test]
    fn changes_have_the_bytes_of_the_specification() {
        let id =
            |last: u32| format!("01999999-9999-7999-8999-9999999999{last:02}").parse::<uuid::Uuid>().unwrap();
        let now = "2026-11-28T04:00:00Z".parse().unwrap();
        let act = Actor::in_operation(id(2).into(), id(3).into(), OperationId(id(4)), now).unwrap();
        let page = include_str!("../../../docs/CHAIN.md");
        let salts = [
            "ff3158b46e440e52040a9926f0bb67f1ee517040a29362034636221eb806a1ed",
            "cccdd282ebf739590f47bebe5f16f342b91c733c39a1f7f77277f88a180c62f2",
            "d8e62e55185b2d880508db3ccb92dea262e87fa9853da45071d891c709d505d9",
        ];
        let roles = [Role::ForestOwner, Role::Enterprise];
        let cases = [
            (OrganizationEventType::Changed, Some(&roles[..]), Some("ТОО «Ертіс ағаш»"), "Re-registration"),
            (OrganizationEventType::Suspended, None, None, "Court order"),
            (OrganizationEventType::Resumed, None, None, "Order lifted"),
        ];
        for (event_type, roles, name, reason) in cases {
            let public = ChangePublic { v: 1, subject: "organization", event_type, on: act.on(), roles };
            let texts = [
                canonical::text(&public),
                canonical::text(&ChangeBusiness { v: 1, act: &act }),
                canonical::text(&ChangePersonal { v: 1, name, reason }),
            ];
            let parts = [Part::Public, Part::Business, Part::Personal];
            for ((kind, text), salt) in parts.into_iter().zip(&texts).zip(salts) {
                let salt = Salt(hex::decode(salt).unwrap().try_into().unwrap());
                assert!(page.contains(&format!("`{text}` | `{}`", commit(kind, &salt, text))), "{text}");
            }
        }
    }
}
