//! Organisations: the operator registers them, and each may read its own record.

use super::organization_changes::check_duplicates;
use crate::base::error::Invalid;
use crate::base::ids::OrganizationId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::{Text, lost_letters};
use crate::evidence::chain::history::StoredEvent;
use crate::evidence::chain::{Subject, SubjectKind};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::api::proofs::{ExportQuery, exported, subject_events, subject_proof_response};
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{NoQuery, Query, id_in_path};
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::services::export::Export;
use crate::timber::party::bin::Bin;
use crate::timber::party::change::check_roles;
use crate::timber::party::key::Caller;
use crate::timber::party::organization::{
    NewOrganization, Organization, OrganizationFilter, bin_taken, by_bin, disclosure, get, list, register,
    subject,
};
use crate::timber::party::role::{OrganizationKind, Role};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use std::sync::Arc;

input! {
    /// An organisation to register.
    pub struct OrganizationRequest {
        /// BIN or IIN.
        pub bin: Bin,
        /// Name.
        #[schema(example = "ТОО «Ертіс ағаш»")]
        pub name: Text<200>,
        /// Legal form; default: a legal entity, or a sole trader if the number is a person's (IIN).
        pub kind: Option<OrganizationKind>,
        /// Its roles: at least one, but none for an individual.
        pub roles: Vec<Role> [0..=5],
    }
    => PartialOrganization::check as PartialOrganization;

    /// Filters of the organisations.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct OrganizationQuery {
        /// Only the organisation with this BIN or IIN.
        #[param(value_type = Option<String>)]
        pub bin: Option<Bin>,
        /// Only organisations with this text in their name, in any case of letters.
        #[param(value_type = Option<String>)]
        pub name: Option<Text<200>>,
        /// Only organisations with this role.
        pub role: Option<Role>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }

    /// Which page of a list.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct PageQuery {
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

impl OrganizationRequest {
    /// The legal form. The default follows from the number: an IIN is a person's, so its default is a form
    /// with a name that is not public.
    fn legal_kind(&self) -> OrganizationKind {
        self.kind.unwrap_or(Self::default_kind(self.bin.is_person()))
    }

    fn default_kind(is_person: bool) -> OrganizationKind {
        if is_person { OrganizationKind::SoleTrader } else { OrganizationKind::LegalEntity }
    }
}

impl PartialOrganization {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        let is_person = self.bin.as_ref().is_some_and(Bin::is_person);
        if is_person && self.kind == Some(Some(OrganizationKind::LegalEntity)) {
            let detail = "This is a person's number (IIN), and a person is no legal entity; send `sole_trader` or \
                          `farm`, whose name is not public.";
            errors.refuse_field(node, "kind", Invalid::new("person-not-legal-entity", detail));
        }
        if self.kind == Some(Some(OrganizationKind::Individual)) && self.bin.is_some() && !is_person {
            let detail = "An individual is registered with a person's number (IIN).";
            errors.refuse_field(node, "bin", Invalid::new("individual-is-a-person", detail));
        }
        if let Some(invalid) = self.name.as_ref().and_then(|name| lost_letters(name.as_str())) {
            errors.refuse_field(node, "name", invalid);
        }
        check_duplicates(node, self.roles.iter().flatten(), errors);
        // The kind is the default one, if none was sent.
        let kind = match self.kind {
            Some(Some(kind)) => kind,
            Some(None) => OrganizationRequest::default_kind(is_person),
            None => return,
        };
        let roles = self.roles.as_deref().and_then(|roles| roles.iter().copied().collect::<Option<Vec<_>>>());
        if let Some(error) = roles.and_then(|roles| check_roles(kind, &roles, &node.at_field("roles"))) {
            errors.push(error);
        }
    }
}

/// Registers an organisation.
///
/// The response for a sole trader or a farm names a person, so it is not stored: a repetition with the same
/// `Idempotency-Key` gets 409 `already-done`, which names the organisation.
#[utoipa::path(
    post, path = "/v1/organizations", operation_id = "create_organization", tag = "organizations",
    security(("token" = [])),
    request_body = OrganizationRequest,
    responses(
        (status = 201, description = "Registered", body = Receipted<Organization>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`bin-taken`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create_organization(
    State(app): State<App>,
    Operator(caller): Operator,
    parsed: Parsed<OrganizationRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse(&app, &caller, partial).await?),
    };
    let actor = caller.act(app.clock.now())?;
    let kind = input.legal_kind();
    let new = NewOrganization { bin: input.bin, name: input.name, kind, roles: input.roles };
    let work = Arc::new((actor, OrganizationId::new(), new));
    write
        .run(&app, &caller, "create_organization", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (actor, id, new) = &*work;
                let made = register(tx, actor, *id, new).await?;
                let done = WriteResponse::created(&made, Made::new(SubjectKind::Organization, *id));
                Ok(if new.kind == OrganizationKind::LegalEntity { done } else { done.do_not_store() })
            })
        })
        .await
}

/// All errors of a registration that could not be read completely: also that its number is taken.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<OrganizationRequest>,
) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, .. } = partial;
    if let Some(bin) = input.and_then(|input| input.bin)
        && by_bin(&mut **app.connection(caller.organization).await?, bin).await?.is_some()
    {
        errors.conflict.push(bin_taken());
    }
    Ok(errors.into_error().into())
}

/// Organisations that you may see: the operator and inspectors see all, others only themselves.
///
/// The organisations are in the order of their registration.
#[utoipa::path(
    get, path = "/v1/organizations", operation_id = "list_organizations", tag = "organizations",
    security(("token" = [])),
    params(OrganizationQuery),
    responses(
        (status = 200, description = "A page of organisations, in the order of registration", body = Page<Organization>),
    )
)]
pub async fn list_organizations(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<OrganizationQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(query.cursor.as_ref())?;
    let filter = OrganizationFilter {
        bin: query.bin,
        name: query.name.map(|name| name.as_str().to_owned()),
        role: query.role,
    };
    let mut db = app.connection(caller.organization).await?;
    let rows = list(&mut **db, &caller, &filter, after, Limit::probe(query.limit)).await?;
    Ok(Page::of(&cursors, rows, query.limit, |row| row.id, |row| row).into_response(&uri))
}

/// One organisation.
///
/// Its name, roles and identification number.
#[utoipa::path(
    get, path = "/v1/organizations/{id}", operation_id = "get_organization", tag = "organizations",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation")),
    responses(
        (status = 200, description = "The organisation", body = Organization),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_organization(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<Organization>, Problem> {
    let id = id_in_path(&id)?;
    let mut db = app.connection(caller.organization).await?;
    Ok(Json(get(&mut **db, &caller, id).await?))
}

/// The organisation in the path, with the access rule of `GET /v1/organizations/{id}`.
async fn visible_organization(app: &App, caller: &Caller, id: &str) -> Result<Subject, Problem> {
    let id: OrganizationId = id_in_path(id)?;
    let mut db = app.connection(caller.organization).await?;
    get(&mut **db, caller, id).await?;
    Ok(subject(&mut **db, id).await?)
}

/// Proof that an organisation's newest record is in the public register
///
/// For callers that may see the organisation. The same format as a log's proof.
#[utoipa::path(
    get, path = "/v1/organizations/{id}/proof", operation_id = "get_organization_proof", tag = "register",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_organization_proof(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    subject_proof_response(&app, &caller, &visible_organization(&app, &caller, &id).await?).await
}

/// An organisation's history with its proofs, in one file
///
/// For callers that may see the organisation: its registration, and erasures of a person's data. Events about
/// keys are disclosed to callers that may list the keys: the organisation itself and the operator. In the
/// format of a log's export.
#[utoipa::path(
    get, path = "/v1/organizations/{id}/export", operation_id = "export_organization", tag = "register",
    security(("token" = [])),
    params(("id" = OrganizationId, Path, description = "The organisation"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_organization(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(ExportQuery { since }): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let chain = visible_organization(&app, &caller, &id).await?;
    let reader = caller.clone();
    let open = move |event: &StoredEvent| disclosure(&reader, chain.id.into(), event);
    let events = subject_events(&app, &caller, chain, false, open).await?;
    exported(&app, caller.organization, chain, events, None, since).await
}
