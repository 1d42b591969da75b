//! Search over the events of all logs, for inspectors.

use crate::base::error::Invalid;
use crate::base::ids::OrganizationId;
use crate::base::input::input;
use crate::base::region::Region;
use crate::base::units::Moment;
use crate::http::core::app::App;
use crate::http::core::auth::Inspector;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::Query;
use crate::timber::custody::search::{EventCursor, EventFilter, FoundEvent, search};
use crate::timber::event::types::LogEventType;
use crate::timber::party::reader::Reader;
use axum::extract::{OriginalUri, State};
use axum::response::Response;
use utoipa::{IntoParams, ToSchema};

/// The id of an organisation in a query.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = AskedOrganization, value_type = uuid::Uuid)]
pub struct OrganizationFilter(OrganizationId);

impl OrganizationFilter {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("bad-id", "An id is a UUID."))
    }
}

crate::base::input::parse_text!(OrganizationFilter);

input! {
    /// Filters of the events.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct EventQuery {
        /// Only events in this region, by its ISO 3166-2 code.
        #[param(value_type = Option<String>)]
        pub region: Option<Region>,
        /// Only events of this type.
        pub r#type: Option<LogEventType>,
        /// Received at this time or later.
        pub from: Option<Moment>,
        /// Received before this time.
        pub to: Option<Moment>,
        /// Only events recorded by this organisation.
        pub organization: Option<OrganizationFilter>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

/// Events of all logs, in order of receipt
///
/// For inspectors: every recorded event in the order of receipt, filtered by region, type, time and organisation.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "list_events", tag = "logs", security(("token" = [])),
    params(EventQuery),
    responses(
        (status = 200, description = "A page of events", body = Page<FoundEvent>),
        (status = 403, description = "Not an inspector", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_events(
    State(app): State<App>,
    Inspector(caller): Inspector,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<EventQuery>,
) -> Result<Response, Problem> {
    let filter = EventFilter {
        region: query.region,
        event_type: query.r#type,
        from: query.from.map(Moment::instant),
        to: query.to.map(Moment::instant),
        organization: query.organization.map(|id| id.0),
    };
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key::<EventCursor>(query.cursor.as_ref())?;
    let mut db = app.connection(caller.organization).await?;
    let rows = search(&mut db, Reader::from(&caller), filter, after, Limit::probe(query.limit)).await?;
    Ok(Page::of(&cursors, rows, query.limit, |(cursor, _)| *cursor, |(_, event)| event).into_response(&uri))
}
