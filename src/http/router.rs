//! Every URL on one page.

use super::app::App;
use super::layers::{LayerSettings, with_layers};
use super::{events, findings, logs, pages, verify};
use axum::Router;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The head of the OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ormantrace",
        description = "Marking and tracing of timber: seals, felling tickets, harvests, custody, verification.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
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

/// The API of api.md, each operation with its path, and the OpenAPI document made from the same list.
#[must_use]
pub fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Head::openapi())
        // organisations and keys
        // felling tickets
        // seals
        // harvests
        // logs and custody
        .routes(routes!(logs::list_logs))
        .routes(routes!(logs::get_log))
        .routes(routes!(logs::get_log_history))
        .routes(routes!(events::list_events))
        .routes(routes!(findings::list_findings))
        // verification
        .routes(routes!(verify::verify_code))
        .routes(routes!(verify::verify_codes))
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().into_openapi()
}

/// Everything that is served, behind its layers.
pub fn router(app: App, layers: &LayerSettings) -> Router {
    let (api, _document) = api().split_for_parts();
    let router = api.merge(super::problem_pages::routes()).merge(pages::routes());
    with_layers(router, layers).layer(axum::middleware::from_fn(pages::problems_as_pages)).with_state(app)
}
