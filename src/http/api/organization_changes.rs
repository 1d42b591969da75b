//! Changes of organisations by the operator: name, roles, suspension.

use crate::base::error::{Error, Invalid, Location};
use crate::base::ids::OrganizationId;
use crate::base::input::{Errors, Node, RequestErrors, input};
use crate::base::units::{Text, lost_letters};
use crate::evidence::chain::{SubjectKind, Tx};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::problem::Problem;
use crate::http::core::query::id_in_path;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteRequest, WriteResponse};
use crate::timber::custody::holdings::held_under;
use crate::timber::party::change::{self, Locations, Locked, NewValues};
use crate::timber::party::key::Caller;
use crate::timber::party::organization::Organization;
use crate::timber::party::role::{OrganizationKind, Role};
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

input! {
    /// New values of an organisation.
    pub struct OrganizationChange {
        /// New name.
        #[schema(example = "ТОО «Ертіс ағаш»")]
        pub name: Option<Text<200>>,
        /// All roles from now on.
        pub roles: Option<Vec<Role>> [0..=5],
        /// Why.
        #[schema(example = "Қайта тіркелді")]
        pub reason: Text<200>,
    }
    => PartialOrganizationChange::check as PartialOrganizationChange;

    /// Why an organisation is suspended.
    pub struct SuspendRequest {
        /// Why.
        #[schema(example = "Сот шешімі")]
        pub reason: Text<200>,
    }

    /// Why a suspension ends.
    pub struct ResumeRequest {
        /// Why.
        #[schema(example = "Шешім күшін жойды")]
        pub reason: Text<200>,
    }
}

impl PartialOrganizationChange {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if self.name == Some(None) && self.roles == Some(None) {
            let detail = "State `name`, `roles` or both.";
            errors.refuse(node, Invalid::new("nothing-to-change", detail));
        }
        if let Some(invalid) = self.name.iter().flatten().find_map(|name| lost_letters(name.as_str())) {
            errors.refuse_field(node, "name", invalid);
        }
        check_duplicates(node, self.roles.iter().flatten().flatten(), errors);
    }
}

/// Refuses each role that is listed before.
pub(super) fn check_duplicates<'r>(
    node: Node<'_>,
    roles: impl Iterator<Item = &'r Option<Role>>,
    errors: &mut Errors,
) {
    let nodes = node.get("roles").and_then(|roles| roles.items().ok()).into_iter().flatten();
    let mut seen = Vec::new();
    for (role, node) in roles.zip(nodes) {
        if role.is_some() && seen.contains(role) {
            errors.refuse(node, Invalid::new("duplicate-role", "Each role may be given once."));
        }
        seen.push(*role);
    }
}

/// Changes an organisation's name, its roles, or both.
///
/// A role goes only when nothing is held under it. Past events show the new name, because they name the organisation by
/// its id. The response for a sole trader, a farm or an individual names a person, so it is not stored.
#[utoipa::path(
    patch, path = "/v1/organizations/{id}", operation_id = "change_organization", tag = "organizations",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation")),
    request_body = OrganizationChange,
    responses(
        (status = 200, description = "Changed", body = Receipted<Organization>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`holds-timber`, `holds-seals`, `holds-tickets`, `issued-tickets`, \
            `keeps-timber`, `carries-timber`, `last-operator`, `operator-not-suspended`, `erased`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn change_organization(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    parsed: Parsed<OrganizationChange>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse(&app, &caller, &id, partial).await?),
    };
    let OrganizationChange { name, roles, reason } = input;
    run(app, caller, &id, write, ("change_organization", What::Change(NewValues { name, roles })), reason)
        .await
}

/// Suspends an organisation: from now on it may read, and record only the end of what is under way.
///
/// It may still explain findings, revoke its keys, and record `arrived`, `received`, `lost`, `destroyed`, `rejected` and
/// `withdrawn`. Offers that it made are accepted with a finding. An operator cannot be suspended.
#[utoipa::path(
    post, path = "/v1/organizations/{id}/suspend", operation_id = "suspend_organization", tag = "organizations",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation")),
    request_body = SuspendRequest,
    responses(
        (status = 200, description = "Suspended", body = Receipted<Organization>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`operator-not-suspended`, `already-suspended`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn suspend_organization(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<SuspendRequest>,
) -> Result<Response, Problem> {
    run(app, caller, &id, write, ("suspend_organization", What::Suspend), input.reason).await
}

/// Ends the suspension of an organisation.
///
/// It may do again what its roles allow.
#[utoipa::path(
    post, path = "/v1/organizations/{id}/resume", operation_id = "resume_organization", tag = "organizations",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation")),
    request_body = ResumeRequest,
    responses(
        (status = 200, description = "Resumed", body = Receipted<Organization>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`not-suspended`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resume_organization(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<ResumeRequest>,
) -> Result<Response, Problem> {
    run(app, caller, &id, write, ("resume_organization", What::Resume), input.reason).await
}

enum What {
    Change(NewValues),
    Suspend,
    Resume,
}

fn locations() -> Locations {
    Locations { name: Location::Pointer("/name".into()), roles: Location::Pointer("/roles".into()) }
}

/// Adds all reasons against the new values: those of the organisation itself, and what it holds under its roles.
async fn check(
    tx: &mut Tx<'_>,
    app: &App,
    locked: &Locked,
    new: &NewValues,
    errors: &mut RequestErrors,
) -> Result<(), Error> {
    let at = locations();
    new.check(locked, &at, errors);
    let (lost, after) = (new.lost(locked), new.roles_after(locked));
    if !lost.is_empty() {
        let now = app.clock.now();
        for error in held_under(tx, locked.organization.id, &lost, &after, now, &at.roles).await? {
            errors.conflict.push(error);
        }
    }
    Ok(())
}

async fn run(
    app: App,
    caller: Caller,
    id: &str,
    write: WriteRequest,
    (name, what): (&'static str, What),
    reason: Text<200>,
) -> Result<Response, Problem> {
    let id: OrganizationId = id_in_path(id)?;
    let work = Arc::new((app.clone(), caller.clone(), what, reason));
    write
        .run(&app, &caller, name, move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, what, reason) = &*work;
                let locked = change::lock(tx, id).await?;
                // The writes of the organisation that were under way have ended: the change is recorded after them.
                let act = caller.act(app.clock.now())?;
                let changed = match what {
                    What::Change(new) => {
                        let mut errors = RequestErrors::default();
                        check(tx, app, &locked, new, &mut errors).await?;
                        errors.into_result()?;
                        change::change(tx, &act, locked, new, reason).await?
                    }
                    What::Suspend => change::suspend(tx, &act, locked, reason).await?,
                    What::Resume => change::resume(tx, &act, locked, reason).await?,
                };
                let done = WriteResponse::ok(&changed, Made::new(SubjectKind::Organization, id));
                let public = changed.kind == OrganizationKind::LegalEntity;
                Ok::<_, Error>(if public { done } else { done.do_not_store() })
            })
        })
        .await
}

/// All errors of a change that could not be read completely: also those that the organisation shows in the values that
/// could be read.
async fn refuse(
    app: &App,
    caller: &Caller,
    id: &str,
    partial: PartialWrite<OrganizationChange>,
) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, .. } = partial;
    if let (Some(input), Ok(id)) = (input, id_in_path(id)) {
        let roles = input.roles.flatten().and_then(|roles| roles.into_iter().collect::<Option<Vec<_>>>());
        let new = NewValues { name: input.name.flatten(), roles };
        let mut tx = app.begin(caller.organization).await?;
        let checked = match change::lock(&mut tx, id).await {
            Ok(locked) => check(&mut tx, app, &locked, &new, &mut errors).await,
            Err(error) => Err(error),
        };
        tx.rollback().await.map_err(Error::from)?;
        match checked {
            Err(Error::NotFound) => {}
            checked => checked?,
        }
    }
    Ok(errors.into_error().into())
}
