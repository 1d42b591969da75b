//! Reading seals: one seal, its history and label, lists, stock.

use crate::base::error::{FieldError, Location};
use crate::base::input::input;
use crate::evidence::chain::history::DisclosedEvent;
use crate::http::core::app::App;
use crate::http::core::auth::SealHolder;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{HistoryQuery, NoQuery, Query};
use crate::http::core::response::EventList;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::label::label_svg;
use crate::timber::seal::view::{self, Access, Counts, HolderStock, Seal, SealFilter, SealHistory};
use crate::timber::seal::{SealName, SealStatus, stock};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

/// Which seals a caller may see.
pub(in crate::http) fn access(caller: &Caller) -> Access {
    if caller.is(Role::Operator) || caller.is(Role::Inspector) {
        Access::All
    } else {
        Access::Own(caller.organization)
    }
}

/// The seal in the URL, if the caller may see it; else 404, also for text that is no seal number or marking code,
/// and for a code that is not the registered one.
async fn find(app: &App, caller: &Caller, text: &str, access: Access) -> Result<Seal, Problem> {
    let name = SealName::parse(text).map_err(|_| Problem::not_found())?;
    let mut db = app.connection(caller.organization).await?;
    let number = stock::numbers_of(&mut db, &[&name]).await?.pop().flatten();
    let seal = view::get(&mut **db, &number.ok_or_else(Problem::not_found)?, access).await?;
    seal.filter(|seal| !name.differs_from(&seal.marking_code)).ok_or_else(Problem::not_found)
}

/// One seal.
///
/// Its status and holder, its marking code, and the log that it is on.
#[utoipa::path(
    get, path = "/v1/seals/{number}", operation_id = "get_seal", tag = "seals", security(("token" = [])),
    params(("number" = String, Path, description = "Seal number or marking code", example = "KZ-0000417")),
    responses(
        (status = 200, description = "The seal now", body = Seal),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_seal(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
    _: NoQuery,
) -> Result<Json<Seal>, Problem> {
    Ok(Json(find(&app, &caller, &number, access(&caller)).await?))
}

/// What happened to a seal: the events of its batch that concern it.
///
/// In order of receipt. With `evidence=none` the response has the hashes alone.
#[utoipa::path(
    get, path = "/v1/seals/{number}/history", operation_id = "get_seal_history", tag = "seals",
    security(("token" = [])),
    params(("number" = String, Path, description = "Seal number or marking code", example = "KZ-0000417"), HistoryQuery),
    responses(
        (status = 200, description = "The seal and its events", body = SealHistory),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_seal_history(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Problem> {
    let seal = find(&app, &caller, &number, access(&caller)).await?;
    let history =
        view::SealHistoryPages::of(&mut **app.connection(caller.organization).await?, &seal).await?;
    let (events, bare) = (history.events(), query.omits_evidence());
    let permit = app.reads.memory_permits(events, caller.organization).await?;
    let pages = stream::try_unfold((app, history), move |(app, mut history)| async move {
        let events = history.next(&mut **app.connection(caller.organization).await?).await?;
        if events.is_empty() {
            return Ok(None);
        }
        let shown = events.into_iter();
        let shown =
            if bare { shown.map(DisclosedEvent::without_evidence).collect() } else { shown.collect() };
        Ok(Some((shown, (app, history))))
    });
    let event_bytes = if bare { 512 } else { 2_048 };
    let list = EventList { events, event_bytes, pages: Box::pin(pages), permit };
    list.respond(&SealHistory { seal, events: Vec::new() }).await
}

/// The label: DataMatrix, QR code and number, to print.
///
/// An SVG picture with sizes in millimetres: the complete marking code as DataMatrix, the link of the public check as QR
/// code, and the number as text. A void seal, also one that was replaced, gets 409 `seal-void`.
#[utoipa::path(
    get, path = "/v1/seals/{number}/label.svg", operation_id = "get_seal_label", tag = "seals",
    security(("token" = [])),
    params(("number" = String, Path, description = "Seal number or marking code", example = "KZ-0000417")),
    responses(
        (status = 200, description = "The label, sizes in mm", body = String, content_type = "image/svg+xml"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`seal-void`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_seal_label(
    State(app): State<App>,
    caller: Caller,
    Path(number): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    let access = if caller.is(Role::Operator) { Access::All } else { Access::Own(caller.organization) };
    let seal = find(&app, &caller, &number, access).await?;
    if seal.status == SealStatus::Void {
        // A label printed now would come onto timber, and every check would call it void.
        let reason = seal.void_reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let detail = format!("{} is void{reason}: no label is made for it.", seal.number);
        return Err(Problem::conflict(vec![FieldError::new(
            Location::Pointer(String::new()),
            "seal-void",
            detail,
        )]));
    }
    let svg = label_svg(&seal.number, &seal.marking_code, &app.public_url)
        .map_err(|error| Problem::internal(format!("label of {}: {error}", seal.number)))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], svg).into_response())
}

input! {
    /// Which seals to list.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct SealQuery {
        /// Only seals with this status.
        pub status: Option<SealStatus>,
        /// Only seals of the holder with this BIN.
        pub holder_bin: Option<Bin>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

/// Seals ordered by number: the caller's own; all seals for the operator and inspectors.
///
/// Each seal has its status, its holder and its marking code.
#[utoipa::path(
    get, path = "/v1/seals", operation_id = "list_seals", tag = "seals", security(("token" = [])),
    params(SealQuery),
    responses(
        (status = 200, description = "One page", body = Page<Seal>),
    )
)]
pub async fn list_seals(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<SealQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after: Option<String> = cursors.key(query.cursor.as_ref())?;
    let filter = SealFilter {
        access: access(&caller),
        holder_bin: query.holder_bin.as_ref().map(Bin::as_str),
        status: query.status,
        after: after.as_deref(),
        limit: Limit::probe(query.limit),
    };
    let rows = view::list(&mut *app.connection(caller.organization).await?, &filter).await?;
    let page = Page::of(&cursors, rows, query.limit, |seal| seal.number.to_string(), |seal| seal);
    Ok(page.into_response(&uri))
}

/// How many seals there are, by status.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stock {
    /// Of all seals that the caller may see.
    #[serde(flatten)]
    pub total: Counts,
    /// By holder; only for callers that may see all seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holders: Option<Vec<HolderStock>>,
}

/// How many seals of each status the caller holds; for the operator, the seals of all holders.
///
/// The numbers of seals that are issued, applied and void. For the operator also by holder.
#[utoipa::path(
    get, path = "/v1/seal-stock", operation_id = "get_seal_stock", tag = "seals", security(("token" = [])),
    responses(
        (status = 200, description = "The stock now", body = Stock),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_seal_stock(
    State(app): State<App>,
    SealHolder(caller): SealHolder,
    _: NoQuery,
) -> Result<Json<Stock>, Problem> {
    let access = access(&caller);
    let holders = view::stock(&mut **app.connection(caller.organization).await?, access).await?;
    let total = holders.iter().fold(Counts::default(), |sum, stock| Counts {
        issued: sum.issued + stock.counts.issued,
        applied: sum.applied + stock.counts.applied,
        void: sum.void + stock.counts.void,
    });
    Ok(Json(Stock { total, holders: (access == Access::All).then_some(holders) }))
}
