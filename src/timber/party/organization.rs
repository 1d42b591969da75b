//! Organisations: registers them, and reads them as far as the caller may see them.

use super::bin::Bin;
use super::key::{Caller, may_manage_keys};
use super::role::{OrganizationKind, Role};
use super::standing;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::OrganizationId;
use crate::base::input::RequestErrors;
use crate::base::units::{Text, utc_text};
use crate::evidence::chain::Tx;
use crate::evidence::chain::append::Personal;
use crate::evidence::chain::bytes::Secret;
use crate::evidence::chain::history::{Disclosure, StoredEvent};
use crate::evidence::chain::{Draft, LockedHead, Subject, SubjectKind, append, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::OrganizationEventType;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

/// The data of an organisation to register.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// BIN or IIN.
    pub bin: Bin,
    /// Name.
    pub name: Text<200>,
    /// Its legal kind.
    pub kind: OrganizationKind,
    /// Its roles: at least one, without duplicates.
    pub roles: Vec<Role>,
}

/// An organisation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Organization {
    /// Id.
    pub id: OrganizationId,
    /// BIN or IIN; null once erased.
    pub bin: Option<Bin>,
    /// Name; null once erased.
    #[schema(example = "«Семей орманы» МОТР")]
    pub name: Option<String>,
    /// Its legal kind.
    pub kind: OrganizationKind,
    /// Its roles.
    pub roles: Vec<Role>,
    /// When it was registered.
    #[schema(value_type = DateTime<Utc>)]
    pub created_at: String,
    /// Since when it is suspended; null if it is not.
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub suspended_since: Option<String>,
}

/// The public part of `organization_registered`.
#[derive(Serialize)]
struct OrganizationPublic<'a> {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: OrganizationEventType,
    on: NaiveDate,
    roles: &'a [Role],
    kind: OrganizationKind,
}

/// The business part of `organization_registered`.
#[derive(Serialize)]
struct OrganizationBusiness<'a> {
    v: u8,
    #[serde(flatten)]
    act: &'a Actor,
}

/// The personal part of `organization_registered`.
#[derive(Serialize)]
struct OrganizationPersonal<'a> {
    v: u8,
    bin: Bin,
    name: &'a str,
}

/// Registers an organisation: its row and the first event of its chain.
///
/// # Errors
/// Conflict `bin-taken` at `/bin` if an organisation with this BIN is registered already.
pub async fn register(
    tx: &mut Tx<'_>,
    act: &Actor,
    id: OrganizationId,
    new: &NewOrganization,
) -> Result<Organization> {
    let mut roles = new.roles.clone();
    roles.sort_unstable();
    let public = OrganizationPublic {
        v: 1,
        subject: SubjectKind::Organization.name(),
        event_type: OrganizationEventType::Registered,
        on: act.on(),
        roles: &roles,
        kind: new.kind,
    };
    let person = OrganizationPersonal { v: 1, bin: new.bin, name: new.name.as_str() };
    let personal = Personal { id: id.0, text: canonical::text(&person), secret: Secret::random() };
    let personal = personal.store(tx, act.organization.0, act.at()).await?;
    let head = LockedHead::fresh(SubjectKind::Organization, id.0);
    let (public, business) = (canonical::text(&public), canonical::text(&OrganizationBusiness { v: 1, act }));
    let draft = act.draft(head, OrganizationEventType::Registered, public, business, None);
    let draft = Draft { personal: Some(personal), ..draft };
    for head in append(tx, act.at(), vec![draft]).await? {
        sqlx::query!(
            "INSERT INTO organization (id, salt, head_seq, head_hash, head_received_at, bin, name, kind, roles, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $5)",
            head.id,
            head.salt.0.as_slice(),
            head.seq_i32(),
            head.hash.0.as_slice(),
            head.received_at,
            new.bin.as_str(),
            new.name.as_str(),
            new.kind.as_str(),
            &roles as &[Role]
        )
        .execute(&mut **tx)
        .await
        .map_err(bin_conflict)?;
    }
    Ok(Organization {
        id,
        bin: Some(new.bin),
        name: Some(new.name.as_str().to_owned()),
        kind: new.kind,
        roles,
        created_at: utc_text(act.at()),
        suspended_since: None,
    })
}

fn bin_conflict(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("organization_bin_key") {
        return Error::Conflict(vec![bin_taken()]);
    }
    error.into()
}

/// The error for a BIN that is registered already.
#[must_use]
pub fn bin_taken() -> FieldError {
    let detail = "An organisation with this BIN is registered already.";
    FieldError::new(Location::Pointer("/bin".into()), "bin-taken", detail)
}

/// Whether `caller` may see the organisation, if it exists: as the organisation itself, the operator or an
/// inspector.
#[must_use]
pub fn may_see(caller: &Caller, organization: OrganizationId) -> bool {
    caller.organization == organization || sees_all(caller)
}

fn sees_all(caller: &Caller) -> bool {
    caller.is(Role::Operator) || caller.is(Role::Inspector)
}

/// One organisation, if `caller` may see it.
///
/// # Errors
/// Not found, also for an organisation that the caller may not see.
pub async fn get(db: impl PgExecutor<'_>, caller: &Caller, id: OrganizationId) -> Result<Organization> {
    // The query is also executed if the caller may not see the organisation, so that the time of the response
    // does not show whether the organisation exists.
    let found = list_rows(db, Some(id), &OrganizationFilter::default(), None, 1).await?.pop();
    found.filter(|_| may_see(caller, id)).ok_or(Error::NotFound)
}

/// One organisation, without an access check.
///
/// # Errors
/// From the database.
pub(crate) async fn row(db: impl PgExecutor<'_>, id: OrganizationId) -> Result<Option<Organization>> {
    Ok(list_rows(db, Some(id), &OrganizationFilter::default(), None, 1).await?.pop())
}

/// The chain of an organisation, without an access check: call [`get`] first.
///
/// # Errors
/// Not found, or a corrupt row.
pub async fn subject(db: impl PgExecutor<'_>, id: OrganizationId) -> Result<Subject> {
    let row = sqlx::query!("SELECT salt, head_seq FROM organization WHERE id = $1", id.0)
        .fetch_optional(db)
        .await?
        .ok_or(Error::NotFound)?;
    Subject::stored(SubjectKind::Organization, id.0, &row.salt, row.head_seq)
}

/// Which parts of an event of the organisation's chain are disclosed to `caller`, who may see the
/// organisation. The registration, changes, suspensions, erasures, marking keys and the operator's decisions are disclosed
/// in full, as in [`get`]. Events of
/// API keys are disclosed only to a caller who may list the keys ([`may_manage_keys`]).
#[must_use]
pub fn disclosure(caller: &Caller, id: OrganizationId, event: &StoredEvent) -> Disclosure {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        event_type: OrganizationEventType,
    }
    // An event with an unknown or unreadable type is treated like an event of an API key: only a caller who
    // may manage the keys may see it.
    let is_self = || match serde_json::from_str::<Typed>(&event.public).map(|typed| typed.event_type) {
        Ok(
            OrganizationEventType::Registered
            | OrganizationEventType::Changed
            | OrganizationEventType::Suspended
            | OrganizationEventType::Resumed
            | OrganizationEventType::PersonalErased
            | OrganizationEventType::MarkingKeyKnown
            | OrganizationEventType::ParameterSet
            | OrganizationEventType::BanSet
            | OrganizationEventType::BanEnded
            | OrganizationEventType::AllowableCutSet,
        ) => true,
        Ok(OrganizationEventType::KeyMade | OrganizationEventType::KeyRevoked) | Err(_) => false,
    };
    if may_manage_keys(caller, id) || is_self() { Disclosure::ALL } else { Disclosure::CLOSED }
}

/// Organisations that `caller` may see, in the order of their registration, after the organisation `after`.
pub async fn list(
    db: impl PgExecutor<'_>,
    caller: &Caller,
    filter: &OrganizationFilter,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Organization>> {
    let only = (!sees_all(caller)).then_some(caller.organization);
    list_rows(db, only, filter, after, limit).await
}

/// The filters of a list of organisations.
#[derive(Clone, Debug, Default)]
pub struct OrganizationFilter {
    /// Only the one with this BIN or IIN.
    pub bin: Option<Bin>,
    /// Only those with this text in their name, in any case of letters.
    pub name: Option<String>,
    /// Only those with this role.
    pub role: Option<Role>,
}

async fn list_rows(
    db: impl PgExecutor<'_>,
    only: Option<OrganizationId>,
    filter: &OrganizationFilter,
    after: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Organization>> {
    let rows = sqlx::query!(
        r#"SELECT id, bin AS "bin: Bin", name, kind AS "kind: OrganizationKind", roles AS "roles: Vec<Role>", created_at,
                  suspended_since
           FROM organization
           WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id > $2)
             AND ($4::text IS NULL OR bin = $4) AND ($6::text IS NULL OR roles @> ARRAY[$6])
             -- lower() of the database leaves letters as they are that its locale does not know.
             AND ($5::text IS NULL OR strpos(lower(name), lower($5)) > 0 OR strpos(name, $5) > 0)
           ORDER BY id LIMIT $3"#,
        only.map(|id| id.0),
        after.map(|id| id.0),
        limit,
        filter.bin.as_ref().map(Bin::as_str),
        filter.name.as_deref(),
        filter.role.map(Role::as_str)
    )
    .fetch_all(db)
    .await?;
    let organizations = rows.into_iter().map(|row| Organization {
        id: row.id.into(),
        bin: row.bin,
        name: row.name,
        kind: row.kind,
        roles: row.roles,
        created_at: utc_text(row.created_at),
        suspended_since: row.suspended_since.map(utc_text),
    });
    Ok(organizations.collect())
}

/// An organisation found by its BIN.
#[derive(Clone, Debug)]
pub struct OrganizationRef {
    /// Id.
    pub id: OrganizationId,
    /// Its kind.
    pub kind: OrganizationKind,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it is suspended.
    pub suspended: bool,
}

impl OrganizationRef {
    /// Its id. If it is suspended, `None`, and the conflict `organization-suspended` at `at`: a suspended organisation
    /// ends what is under way, and gets nothing new.
    pub fn unless_suspended(&self, at: Location, errors: &mut RequestErrors) -> Option<OrganizationId> {
        if self.suspended {
            let detail = "This organisation is suspended.";
            errors.conflict.push(FieldError::new(at, "organization-suspended", detail));
            return None;
        }
        Some(self.id)
    }
}

/// Whether an organisation is an individual, and whether it is suspended.
#[derive(Clone, Copy, Debug)]
pub struct Individual {
    /// Whether it is suspended.
    pub suspended: bool,
}

/// The organisation, if it is an individual, which has timber for own use only.
pub async fn individual(db: impl PgExecutor<'_>, id: OrganizationId) -> Result<Option<Individual>> {
    let found = sqlx::query_scalar!(
        r#"SELECT suspended_since IS NOT NULL AS "suspended!" FROM organization WHERE id = $1 AND kind = 'individual'"#,
        id.0
    );
    Ok(found.fetch_optional(db).await?.map(|suspended| Individual { suspended }))
}

/// The organisation with a BIN.
pub async fn by_bin(db: impl PgExecutor<'_>, bin: Bin) -> Result<Option<OrganizationRef>> {
    Ok(by_bins(db, &[bin]).await?.pop().map(|(_, found)| found))
}

/// The organisation with a BIN, with its standing kept until the end of the transaction ([`standing`]).
///
/// # Errors
/// From the database.
pub async fn by_bin_kept(tx: &mut Tx<'_>, bin: Bin) -> Result<Option<OrganizationRef>> {
    standing::keep_named(tx, &[bin]).await?;
    by_bin(&mut **tx, bin).await
}

/// The organisations with these BINs.
pub async fn by_bins(db: impl PgExecutor<'_>, bins: &[Bin]) -> Result<Vec<(Bin, OrganizationRef)>> {
    let bins: Vec<&str> = bins.iter().map(Bin::as_str).collect();
    let rows = sqlx::query!(
        r#"SELECT bin AS "bin!: Bin", id, kind AS "kind: OrganizationKind", roles AS "roles: Vec<Role>",
                  suspended_since IS NOT NULL AS "suspended!"
           FROM organization WHERE bin = ANY($1)"#,
        &bins as &[&str]
    )
    .fetch_all(db)
    .await?;
    let found = rows.into_iter().map(|row| {
        let found =
            OrganizationRef { id: row.id.into(), kind: row.kind, roles: row.roles, suspended: row.suspended };
        (row.bin, found)
    });
    Ok(found.collect())
}

/// The organisations that are registered as legal entities under a person's number (IIN). They were
/// registered before such registrations were refused. Public responses do not show their names.
pub async fn persons_as_legal_entities(db: impl PgExecutor<'_>) -> Result<Vec<OrganizationId>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: OrganizationId" FROM organization
           WHERE kind = 'legal_entity' AND substring(bin, 5, 1) BETWEEN '0' AND '3' ORDER BY id"#
    )
    .fetch_all(db)
    .await?;
    Ok(ids)
}

/// The organisations that have a role of supervision and one that holds or carries timber ([`conflicting`](super::role::conflicting)). They were
/// registered before such registrations were refused.
pub async fn with_conflicting_roles(db: impl PgExecutor<'_>) -> Result<Vec<OrganizationId>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id: OrganizationId" FROM organization
           WHERE roles && ARRAY['inspector', 'operator'] AND roles && ARRAY['enterprise', 'forest_owner', 'carrier']
           ORDER BY id"#
    )
    .fetch_all(db)
    .await?;
    Ok(ids)
}
