//! The router: every URL of the server. Health checks and metrics can have listeners of their own, so
//! `core::health` and `core::metrics` make their routes, with the paths given here.

use super::api::register::RegisterFiles;
use super::api::{
    allowable_cuts, bans, custody_events, events, felling_tickets, finding_decisions, findings, harvests,
    keys, logs, observations, organization_changes, organizations, parameters, photos, proofs, reference,
    reports, seal_batches, seal_moves, seals, ticket_changes, verify,
};
use super::desk::{
    self, checks, codes, holds, home, log, logs as desk_logs, search, session, sessions, sign_in,
};
use super::pages::routes::{self as pages, Documentation};
use super::pages::{assets, problems};
use crate::evidence::register::queue::Lag;
use crate::evidence::tlog::Folder;
use crate::http::core::app::App;
use crate::http::core::auth::{Operator, refuse_bad_token};
use crate::http::core::body::batch_body;
use crate::http::core::health::Health;
use crate::http::core::layers::{LayerSettings, method_not_allowed, with_layers};
use crate::http::core::metrics::Exposition;
use crate::http::core::openapi_common::with_common_responses;
use crate::http::core::openapi_document::{conflicts, finished};
use crate::http::core::problem::Problem;
use crate::timber::party::key::Caller;
use axum::Router;
use axum::extract::{FromRequestParts, OriginalUri, Path};
use axum::handler::Handler;
use axum::http::{HeaderMap, Method, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{get, post};
use std::collections::BTreeSet;
use utoipa::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

/// The paths of the health checks: whether the process lives, and whether it is ready.
pub const HEALTH_PATHS: [&str; 2] = ["/healthz", "/readyz"];
/// The path of the metrics.
pub const METRICS_PATH: &str = "/metrics";

/// The head of the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ormantrace",
        description = "Marking and tracing of timber: seals, felling tickets, harvests, custody, verification.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    // Only query parameters use these schemas, and utoipa does not collect the schemas of query parameters
    // itself.
    components(schemas(
        crate::http::core::paging::Cursor,
        crate::http::core::paging::Limit,
        crate::http::core::query::EvidenceLevel,
        crate::timber::finding::read::FindingOrder,
        crate::http::api::events::OrganizationFilter,
        crate::http::api::felling_tickets::TicketHolder,
        crate::http::api::logs::HolderFilter,
        crate::http::api::logs::TicketFilter
    )),
    modifiers(&BearerToken)
)]
struct Head;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let components = openapi.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// A router with all operations of the API. The OpenAPI document is made from this router, so it lists
/// exactly these operations.
#[must_use]
pub fn api() -> OpenApiRouter<App> {
    router_of(callers()).merge(router_of(hot_reads()))
}

/// Makes a router of `operations`. The OpenAPI document of the router begins as [`Head`] (title, description,
/// licence, kind of token).
fn router_of(operations: Vec<UtoipaMethodRouter<App>>) -> OpenApiRouter<App> {
    operations.into_iter().fold(OpenApiRouter::with_openapi(Head::openapi()), OpenApiRouter::routes)
}

/// Names that different schemas of the document share. A test requires that there are none: utoipa would keep
/// only one schema of each name.
#[must_use]
pub fn schema_conflicts() -> BTreeSet<String> {
    let operations = [callers(), hot_reads()];
    conflicts(operations.iter().flatten().flat_map(|(schemas, ..)| schemas))
}

/// The operations that are hot reads. They resolve the token in the query that reads the data
/// ([`crate::http::core::auth::UnresolvedCaller`]).
fn hot_reads() -> Vec<UtoipaMethodRouter<App>> {
    vec![
        routes!(verify::verify_code),
        routes!(logs::get_log),
        routes!(logs::get_log_history),
        routes!(proofs::export_log),
    ]
}

/// The operations behind [`refuse_bad_token`].
fn callers() -> Vec<UtoipaMethodRouter<App>> {
    vec![
        // organisations and keys
        routes!(organizations::create_organization, organizations::list_organizations),
        routes!(organizations::get_organization, organization_changes::change_organization),
        routes!(organization_changes::suspend_organization),
        routes!(organization_changes::resume_organization),
        routes!(organizations::get_organization_proof),
        routes!(organizations::export_organization),
        routes!(keys::create_key, keys::list_keys),
        routes!(keys::revoke_key),
        routes!(keys::get_me),
        // lists for anyone
        routes!(reference::list_species),
        routes!(reference::list_regions),
        // felling tickets
        routes!(felling_tickets::create_felling_ticket, felling_tickets::list_felling_tickets),
        routes!(felling_tickets::get_felling_ticket),
        routes!(felling_tickets::get_felling_ticket_history),
        routes!(felling_tickets::get_felling_ticket_proof),
        routes!(felling_tickets::export_felling_ticket),
        routes!(ticket_changes::extend_felling_ticket),
        routes!(ticket_changes::cancel_felling_ticket),
        routes!(ticket_changes::hold_felling_ticket),
        routes!(ticket_changes::release_felling_ticket),
        routes!(ticket_changes::replace_felling_ticket_plot),
        // what the operator decides
        routes!(parameters::list_parameters),
        routes!(parameters::set_parameter),
        routes!(bans::create_ban, bans::list_bans),
        routes!(bans::end_ban),
        routes!(allowable_cuts::set_allowable_cut, allowable_cuts::list_allowable_cuts),
        // seals
        routes!(seals::list_seals),
        routes!(seal_batches::register_seals).layer(batch_body()),
        routes!(seals::get_seal),
        routes!(seals::get_seal_history),
        routes!(seals::get_seal_label),
        routes!(seals::get_seal_stock),
        routes!(seal_moves::transfer_seals).layer(batch_body()),
        routes!(seal_moves::void_seal),
        routes!(seal_batches::make_seals),
        routes!(seal_batches::list_batch_seals),
        routes!(seal_batches::get_seal_batch_proof),
        routes!(seal_batches::export_seal_batch),
        // harvests
        routes!(harvests::create_harvest).layer(batch_body()),
        routes!(harvests::get_harvest_template),
        routes!(harvests::get_harvest),
        // logs and custody
        routes!(custody_events::create_custody_event).layer(batch_body()),
        routes!(logs::list_logs),
        routes!(proofs::get_log_proof),
        routes!(events::list_events),
        // findings
        routes!(findings::list_findings, observations::create_observation),
        routes!(findings::get_finding),
        routes!(findings::list_rules),
        routes!(finding_decisions::explain_finding),
        routes!(finding_decisions::decide_finding),
        routes!(observations::open_report),
        routes!(photos::upload_photo).layer(batch_body()),
        routes!(photos::get_photo),
        routes!(finding_decisions::get_finding_history),
        routes!(finding_decisions::get_finding_proof),
        routes!(finding_decisions::export_finding),
        // verification
        routes!(verify::verify_codes).layer(batch_body()),
        routes!(reports::report_code),
    ]
}

/// The pages for people.
fn public_pages() -> Router<App> {
    Router::new()
        .route("/", get(pages::start))
        .route("/verify", get(pages::form))
        .route("/verify/{code}", get(pages::verification_page))
        .route("/verify/{code}/report", post(pages::report_form))
        .route("/01/{*path}", get(pages::digital_link))
        .route("/register", get(pages::register))
        .route("/problems", get(problems::list_problems))
        .route("/problems/{slug}", get(problems::show_problem))
        .route("/assets/{file}", get(assets::get_asset))
}

/// The pages of the desk. All but the sign-in need a session, and no other site can send their forms.
fn desk_pages(app: &App, public_url: Option<&str>) -> Router<App> {
    let signed_in = Router::new()
        .route("/desk", get(home::show))
        .route("/desk/sign-out", post(sign_in::sign_out))
        .route("/desk/sessions", get(sessions::list_sessions).post(sessions::end_sessions))
        .route("/desk/search", get(search::search))
        .route("/desk/codes", get(codes::show).post(codes::check_codes.layer(batch_body())))
        .route("/desk/logs", get(desk_logs::list_logs))
        .route("/desk/logs/{code}", get(log::show))
        .route("/desk/logs/{code}/export", get(proofs::export_log))
        .route("/desk/logs/{code}/checks/new", get(checks::new_check).post(checks::record_check))
        .route("/desk/logs/{code}/holds/new", get(holds::new_hold).post(holds::record_hold))
        .route("/desk/logs/{code}/releases/new", get(holds::new_release).post(holds::record_release))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), session::require_session));
    Router::new()
        .route("/desk/", get(async || Redirect::permanent("/desk")))
        .route("/desk/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .merge(signed_in)
        .layer(session::same_site_writes(public_url))
        .layer(from_fn(session::remember_language))
}

/// The OpenAPI document and the reference made from it.
fn documentation(of: Documentation) -> Router<App> {
    let (document, index, tag) = (of.clone(), of.clone(), of);
    Router::new()
        .route("/openapi.json", get(async move || document.document()))
        .route(
            "/docs",
            get(async move |OriginalUri(uri): OriginalUri, headers: HeaderMap| index.index(&uri, &headers)),
        )
        .route("/docs/", get(async || Redirect::permanent("/docs")))
        .route(
            "/docs/{tag}",
            get(async move |Path(slug): Path<String>, OriginalUri(uri): OriginalUri, headers: HeaderMap| {
                tag.tag(&slug, &uri, &headers)
            }),
        )
}

/// The routes of the files of the published register. `/register`, the HTML page about the register, has its
/// route elsewhere.
pub(in crate::http) fn register_files<S: Clone + Send + Sync + 'static>(files: RegisterFiles) -> Router<S> {
    let (checkpoint, tiles, keys) = (files.clone(), files.clone(), files);
    Router::new()
        .route("/checkpoint", get(async move || checkpoint.checkpoint().await))
        .route("/tile/{*path}", get(async move |Path(path): Path<String>| tiles.tile(path).await))
        .route("/keys.json", get(async move || keys.keys().await))
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> serde_json::Value {
    finished(&with_common_responses(api().into_openapi()))
}

/// Endpoints of the process itself, which are not part of the API.
#[derive(Clone, Debug)]
pub struct OpsEndpoints {
    /// `/healthz` and `/readyz`.
    pub health: Health,
    /// `/metrics` with the operator's token; `None` if the metrics have a listener of their own.
    pub metrics: Option<Exposition>,
    /// The published register, if this process serves it.
    pub register: Option<Folder>,
}

/// Ready while the database responds.
#[must_use]
pub fn health(app: &App) -> Health {
    let pool = app.pool.clone();
    let queue = app.queue.clone();
    let ping = move || {
        let pool = pool.clone();
        async move { crate::db::ping(&pool).await.map_err(|error| error.to_string()) }
    };
    // A lagging register stops writes, not reads: the lag is reported, but the process stays ready.
    Health::with_members(ping, move || match queue.lag() {
        None => serde_json::Map::new(),
        Some(Lag { size, lag }) => {
            let figures = serde_json::json!({"size": size, "lag_seconds": lag.as_secs_f64()});
            [("register".to_owned(), figures)].into_iter().collect()
        }
    })
}

/// The complete router with its layers and the default endpoints: health and metrics, no register files.
pub fn router(app: App, layers: &LayerSettings) -> Router {
    let operations = OpsEndpoints { health: health(&app), metrics: Some(Exposition::new()), register: None };
    served(app, layers, &operations)
}

/// The complete router with its layers.
pub fn served(app: App, layers: &LayerSettings, operations: &OpsEndpoints) -> Router {
    let (callers, _) = router_of(callers()).split_for_parts();
    let (hot_reads, _) = router_of(hot_reads()).split_for_parts();
    let server = layers.public_url.as_deref().unwrap_or_default();
    let mut router =
        callers.merge(public_pages()).merge(documentation(Documentation::new(&openapi(), server)));
    if let Some(register) = &operations.register {
        router = router.merge(register_files(RegisterFiles::of(register, &app.queue.receipt_keys())));
    }
    router = router
        // This fallback is inside the token layer, so that an invalid token (401) is reported before a wrong
        // method (405).
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), refuse_bad_token))
        .merge(hot_reads.method_not_allowed_fallback(hot_read_method_not_allowed))
        // The desk is outside the token layer: its requests have a session in place of a token.
        .merge(desk_pages(&app, layers.public_url.as_deref()))
        // The health checks are outside the token layer: a probe gets its response whatever token it sends,
        // since the liveness of the process must not depend on the database that stores the keys.
        .merge(operations.health.routes(HEALTH_PATHS));
    if let Some(exposition) = operations.metrics.clone() {
        let of = app.clone();
        router =
            router.merge(exposition.routes(METRICS_PATH, move |headers| operator_only(of.clone(), headers)));
    }
    with_layers(router, layers)
        .layer(from_fn(|request, next| pages::problems_as_pages(request, next, desk::error_page)))
        .with_state(app)
}

/// The 405 of the hot reads, to which the layer [`refuse_bad_token`] does not apply. The [`Caller`] extractor
/// rejects an invalid token (401) before the 405, as the layer does on all other routes.
async fn hot_read_method_not_allowed(_caller: Option<Caller>, method: Method) -> Problem {
    method_not_allowed(method).await
}

async fn operator_only(app: App, headers: HeaderMap) -> Result<(), Problem> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    Operator::from_request_parts(&mut parts, &app).await.map(drop)
}
