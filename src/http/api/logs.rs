//! Reading logs and their histories.

use crate::base::error::Invalid;
use crate::base::ids::{LogId, TicketId};
use crate::base::input::input;
use crate::base::units::Text;
use crate::http::api::verify::{last_segment, segment_before};
use crate::http::core::app::App;
use crate::http::core::auth::{HistoryReader, UnresolvedCaller};
use crate::http::core::etag::ETag;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{HistoryQuery, NoQuery, Query};
use crate::http::core::response::EventList;
use crate::services::long_history::LongHistory;
use crate::services::reads::MAX_SHORT_HISTORY;
use crate::timber::custody::history::{self, LogEvent, LogHistory};
use crate::timber::custody::history_query::HistoryQuery as LogRowsQuery;
use crate::timber::custody::log::list::{self, LogFilter};
use crate::timber::custody::log::read::{self, Access, LogLookup, LogRow, LogView, Names};
use crate::timber::event::vocabulary::Status;
use crate::timber::party::reader::Reader;
use crate::timber::seal::Code;
use crate::timber::wood::species::Species;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use utoipa::{IntoParams, ToSchema};

/// Finds the log that the URL names, the caller as its reader, and the reader's access to it. If there is no
/// such log or the caller has no access, returns the error of [`refused`].
pub(in crate::http) async fn visible_log(
    app: &App,
    unresolved: &UnresolvedCaller,
    code: &str,
) -> Result<(Reader, LogRow, Access), Problem> {
    // If the text is not a code or no token was sent, nothing is looked up, because no log can be returned.
    if let (Ok(parsed), Some(token)) = (Code::parse(code), unresolved.token()) {
        let other = parsed.other_reading();
        for code in [Some(parsed), other].into_iter().flatten() {
            let Some((caller, row)) = app.reads.log(LogLookup::new(&code, token)).await? else { continue };
            unresolved.belongs_to(caller.organization);
            let Ok(HistoryReader(caller)) = HistoryReader::of(caller) else { break };
            let reader = Reader::from(&caller);
            if let Some(access) = row.access(reader) {
                return Ok((reader, row, access));
            }
        }
    }
    Err(refused(app, unresolved, Problem::not_found()).await)
}

/// The error for a caller without access: 401 if the token is missing or invalid, 403 if the caller's role
/// reads no histories, otherwise `problem`. The server runs the same statements for a log that does not exist
/// and for one that the caller may not see, so neither the response nor the load on the database
/// distinguishes them.
pub(in crate::http) async fn refused(app: &App, unresolved: &UnresolvedCaller, problem: Problem) -> Problem {
    let caller = unresolved.caller(app).await;
    let reader = caller.and_then(|caller| HistoryReader::of(caller.ok_or_else(Problem::unauthorized)?));
    reader.err().unwrap_or(problem)
}

/// The present state of a log
///
/// `{code}` is a seal number (present or earlier), an identification code, a complete marking code, or the
/// id. Past parties see the log as it was at their last event; the ticket's issuer sees harvest data.
#[utoipa::path(
    get, path = "/v1/logs/{code}", operation_id = "get_log", tag = "logs", security(("token" = [])),
    params(
        ("code" = String, Path, description = "Seal number, marking code or id, percent-encoded"),
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of a response that the client has"),
    ),
    responses(
        (status = 200, description = "The log", body = LogView,
            headers(("ETag" = String, description = "Changes with the response"))),
        (status = 304, description = "The client has this response already"),
        (status = 403, description = "The operator reads no histories", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_log(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    query: Result<NoQuery, Problem>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Err(problem) = query {
        return Err(refused(&app, &unresolved, problem).await);
    }
    let (reader, row, access) = visible_log(&app, &unresolved, &last_segment(&uri)).await?;
    let (etag, view) = match access {
        Access::Full => {
            let etag = ETag::new(&row.etag_input(reader, "log"));
            if etag.matches(&headers) {
                return Ok(etag.not_modified());
            }
            let rows = app.reads.history_rows(LogRowsQuery::names(&row, reader)).await?;
            (etag, row.view(&rows.names)?)
        }
        Access::Partial { .. } => {
            let (view, row) = if is_long(&row, access)? {
                let _permit =
                    app.reads.memory_permits(history::up_to(&row, access)?, reader.organization).await?;
                let long = LongHistory::read(&app.reads, row, access, reader).await?;
                (long.log().await?, long.row().clone())
            } else {
                (app.reads.history(&row, access, reader).await?.log, row)
            };
            let etag = ETag::new(&row.partial_etag_input(reader, "log", &view)?);
            if etag.matches(&headers) {
                return Ok(etag.not_modified());
            }
            (etag, view)
        }
    };
    Ok(etag.on(Json(view).into_response()))
}

/// The history of a log
///
/// Every event that the caller may see, in order of receipt, with everything that a third party needs to
/// recompute every hash. With `evidence=none` it is much smaller, and has the hashes alone. More than 100
/// events are sent page by page, without `Content-Length`, up to the last event at the time of the request; if
/// a page cannot be read, the connection is closed before the end of the body.
#[utoipa::path(
    get, path = "/v1/logs/{code}/history", operation_id = "get_log_history", tag = "logs", security(("token" = [])),
    params(
        ("code" = String, Path, description = "Seal number, marking code or id, percent-encoded"),
        HistoryQuery,
        ("If-None-Match" = Option<String>, Header, description = "`ETag` of a response that the client has"),
    ),
    responses(
        (status = 200, description = "The log and its events", body = LogHistory,
            headers(("ETag" = String, description = "Changes with the response"))),
        (status = 304, description = "The client has this response already"),
        (status = 403, description = "The operator reads no histories", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_log_history(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    query: Result<Query<HistoryQuery>, Problem>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let bare = match query {
        Ok(Query(query)) => query.omits_evidence(),
        Err(problem) => return Err(refused(&app, &unresolved, problem).await),
    };
    let (reader, row, access) = visible_log(&app, &unresolved, &segment_before(&uri, "/history")).await?;
    let what = if bare { "history_bare" } else { "history" };
    let known = (access == Access::Full).then(|| ETag::new(&row.etag_input(reader, what)));
    if let Some(etag) = known.as_ref().filter(|etag| etag.matches(&headers)) {
        return Ok(etag.not_modified());
    }
    let (log, row, list) = log_events(&app, row, access, reader, bare).await?;
    let etag = match known {
        Some(etag) => etag,
        None => ETag::new(&row.partial_etag_input(reader, what, &log)?),
    };
    if etag.matches(&headers) {
        return Ok(etag.not_modified());
    }
    Ok(etag.on(list.respond(&LogHistory { log, events: Vec::new() }).await?))
}

/// The log as `reader` may see it, and its events; without evidence if `bare`.
async fn log_events(
    app: &App,
    row: LogRow,
    access: Access,
    reader: Reader,
    bare: bool,
) -> Result<(LogView, LogRow, EventList<LogEvent>), Problem> {
    let event_bytes = if bare { 512 } else { 2_048 };
    let shown = move |events: Vec<LogEvent>| -> Vec<LogEvent> {
        if bare { events.into_iter().map(LogEvent::without_evidence).collect() } else { events }
    };
    if !is_long(&row, access)? {
        let LogHistory { log, events } = app.reads.history(&row, access, reader).await?;
        return Ok((log, row, EventList::of(shown(events), event_bytes)));
    }
    let permit = app.reads.memory_permits(history::up_to(&row, access)?, reader.organization).await?;
    let long = LongHistory::read(&app.reads, row, access, reader).await?;
    let (log, row, events) = (long.log().await?, long.row().clone(), long.events());
    let pages = long.into_pages().map(move |page| Ok(shown(page?)));
    Ok((log, row, EventList { events, event_bytes, pages: Box::pin(pages), permit }))
}

/// Whether the history of a log has so many events that it is read page by page.
pub(in crate::http) fn is_long(row: &LogRow, access: Access) -> Result<bool, Problem> {
    Ok(history::up_to(row, access)? > MAX_SHORT_HISTORY)
}

/// Filter of the logs by holder.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = AskedHolder, rename_all = "snake_case")]
pub enum HolderFilter {
    /// Logs that the caller holds.
    Me,
}

impl HolderFilter {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text == "me" {
            Ok(Self::Me)
        } else {
            Err(Invalid::new("unknown-holder", "The only valid holder is `me`."))
        }
    }
}

/// The id of a felling ticket in a query.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = AskedTicket, value_type = uuid::Uuid)]
pub struct TicketFilter(TicketId);

impl TicketFilter {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("bad-id", "An id is a UUID."))
    }
}

crate::base::input::parse_text!(HolderFilter, TicketFilter);

input! {
    /// Filters of the logs.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct LogQuery {
        /// `me`: only logs that the caller holds; default: logs it holds or owns, and all for an inspector.
        pub holder: Option<HolderFilter>,
        /// Only logs with this status.
        pub status: Option<Status>,
        /// Only logs of this species.
        pub species: Option<Species>,
        /// Only logs of this felling ticket.
        pub felling_ticket: Option<TicketFilter>,
        /// Only logs on this vehicle now, by its number plate; a carrier also finds those that it carries.
        pub vehicle: Option<Text<40>>,
        /// Only the log with this seal, present or past: its number or marking code.
        #[param(value_type = Option<String>)]
        #[schema(value_type = Option<String>)]
        pub seal: Option<Code>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

/// The caller's logs
///
/// The logs that the caller holds or owns, and for an inspector all logs, in the order of their ids.
#[utoipa::path(
    get, path = "/v1/logs", operation_id = "list_logs", tag = "logs", security(("token" = [])),
    params(LogQuery),
    responses(
        (status = 200, description = "A page of logs", body = Page<LogView>),
        (status = 403, description = "The operator reads no histories", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list_logs(
    State(app): State<App>,
    HistoryReader(caller): HistoryReader,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let reader = Reader::from(&caller);
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let filter = LogFilter {
        held: query.holder.is_some(),
        status: query.status,
        species: query.species,
        ticket: query.felling_ticket.map(|ticket| ticket.0),
        vehicle: query.vehicle.map(|vehicle| vehicle.as_str().to_owned()),
        seal: query.seal,
        waiting: None,
        after: cursors.key::<LogId>(query.cursor.as_ref())?,
        limit: Limit::probe(query.limit),
    };
    Ok(page_of_logs(&app, &cursors, reader, filter, query.limit).await?.into_response(&uri))
}

/// A page of the logs of `filter`, which was made for `limit`.
pub(in crate::http) async fn page_of_logs(
    app: &App,
    cursors: &Cursors<'_>,
    reader: Reader,
    filter: LogFilter,
    limit: Option<Limit>,
) -> Result<Page<LogView>, Problem> {
    let mut db = app.connection(reader.organization).await?;
    let ids = list::list(&mut db, reader, filter).await?;
    let page = Page::of(cursors, ids, limit, |id| *id, |id| id);
    let rows = read::fetch(&mut db, &page.items, app.clock.now()).await?;
    let names = Names::read(&mut **db, reader, rows.iter().flat_map(LogRow::parties).collect()).await?;
    // The reader may have lost full access to a log after the ids were listed and before the rows were read.
    let seen = rows.iter().filter(|row| row.access(reader) == Some(Access::Full));
    let items = seen.map(|row| row.view(&names)).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { items, next: page.next })
}
