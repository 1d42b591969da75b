//! Findings: records that looked suspicious when they were written.

use crate::base::ids::FindingId;
use crate::base::input::input;
use crate::http::core::app::App;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::query;
use crate::timber::finding::read::{FindingView, list};
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use axum::extract::{OriginalUri, State};
use axum::response::Response;
use utoipa::IntoParams;

input! {
    /// Which page of the findings.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct FindingQuery {
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

/// Findings on the caller's own records; all findings for an inspector
///
/// A finding marks a record as suspicious; the record was accepted nevertheless.
#[utoipa::path(
    get, path = "/v1/findings", operation_id = "list_findings", tag = "logs", security(("token" = [])), params(FindingQuery),
    responses(
        (status = 200, description = "A page of findings", body = Page<FindingView>),
    )
)]
pub async fn list_findings(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let query: FindingQuery = query(&uri)?;
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key::<FindingId>(query.cursor.as_ref())?;
    let mut db = app.connection(caller.organization).await?;
    let rows = list(&mut **db, Reader::from(&caller), after, Limit::probe(query.limit)).await?;
    Ok(Page::of(&cursors, rows, query.limit, |finding| finding.id, |finding| finding).into_response(&uri))
}
