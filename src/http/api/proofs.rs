//! Proofs that a record is in the public register: of one entry for any client, of a complete
//! history for callers that may read it. The endpoints of logs are here; those of other subjects are with the
//! subjects, and use the functions of this file.

use crate::base::error::{Invalid, Location};
use crate::base::ids::OrganizationId;
use crate::base::input::input;
use crate::evidence::chain::Subject;
use crate::evidence::chain::history::{ChainPages, DisclosedEvent, Disclosure, StoredEvent};
use crate::evidence::register::published::{PublishedError, PublishedState};
use crate::http::api::logs::{is_long, refused, visible_log};
use crate::http::api::verify::{is_genuine, segment_before};
use crate::http::core::address::ClientAddr;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::problem::Problem;
use crate::http::core::problem_type::ProblemType;
use crate::http::core::query::{NoQuery, Query};
use crate::http::core::response::EventList;
use crate::services::export::{Export, ExportEvent, frame, leaves, proven};
use crate::services::long_history::LongHistory;
use crate::services::register_lookup::{SubjectLeaf, newest, newest_of, proof};
use crate::timber::custody::history::{LogEvent, up_to};
use crate::timber::custody::log::read::Access;
use crate::timber::party::key::Caller;
use crate::timber::seal::Code;
use axum::extract::{OriginalUri, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use utoipa::IntoParams;
use uuid::Uuid;

impl From<PublishedError> for Problem {
    fn from(error: PublishedError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// The record exists, but the register does not cover it yet.
fn not_published_yet() -> Problem {
    let detail = "The public register does not cover this record yet; usually it does within a second.";
    Problem::new(ProblemType::NotPublishedYet, detail).retry_after(2)
}

/// Runs `work`, which reads the published files, on a blocking thread.
pub(in crate::http) async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishedError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Problem::internal(error.to_string()))??)
}

/// The published state of the register; `None` if nothing is published.
pub(in crate::http) async fn published_state(app: &App) -> Result<Option<Arc<PublishedState>>, Problem> {
    let published = app.register.clone();
    reading(move || published.read()).await
}

/// Proof that a log's newest record is in the public register
///
/// Public, with the same codes and the same limits as the check of a seal. A `tlog-proof` (C2SP): the
/// entry of the newest event that the published checkpoint covers, its index, and the inclusion proof
/// up to the signed root. `ormantrace verify` checks it offline, and so do other programs.
#[utoipa::path(
    get, path = "/v1/logs/{code}/proof", operation_id = "get_log_proof", tag = "register", security((), ("token" = [])),
    params(("code" = String, Path, description = "Seal number or marking code, percent-encoded")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "Not on a log; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many checks from this address", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_log_proof(
    State(app): State<App>,
    caller: Option<Caller>,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    _: NoQuery,
) -> Result<Response, Problem> {
    let code = segment_before(&uri, "/proof");
    let permit = match (caller, unresolved.token()) {
        (Some(_), Some(token)) => {
            app.limiter.key_hits().take(token.to_bytes(), 1)?;
            None
        }
        _ => Some(app.limiter.admit(client.0, || is_genuine(&app, &code))?),
    };
    let published_state = published_state(&app).await?;
    let size = published_state.as_ref().map_or(0, |published_state| published_state.checkpoint.size);
    let leaf = match Code::parse_public(&code) {
        Ok(read) => match (newest(&app.pool, &read, &app.key_ring, size).await?, read.other_reading()) {
            (SubjectLeaf::Unknown, Some(other)) => newest(&app.pool, &other, &app.key_ring, size).await?,
            (leaf, _) => leaf,
        },
        Err(_) => SubjectLeaf::Unknown,
    };
    if let (SubjectLeaf::Unknown, Some(permit)) = (&leaf, permit) {
        permit.miss();
    }
    proof_response(&app, leaf, published_state).await
}

/// The proof of an entry against the published state.
async fn proof_response(
    app: &App,
    leaf: SubjectLeaf,
    published_state: Option<Arc<PublishedState>>,
) -> Result<Response, Problem> {
    match (leaf, published_state) {
        (SubjectLeaf::Unknown, _) => Err(Problem::not_found()),
        (SubjectLeaf::At { index, entry }, Some(published_state)) => {
            let published = app.register.clone();
            let text =
                reading(move || Ok(proof(&published, &published_state, index, &entry)?.to_string())).await?;
            Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        }
        _ => Err(not_published_yet()),
    }
}

/// The proof of the newest event of a subject. The caller's access is checked before.
pub(in crate::http) async fn subject_proof_response(
    app: &App,
    caller: &Caller,
    subject: &Subject,
) -> Result<Response, Problem> {
    let published_state = published_state(app).await?;
    let size = published_state.as_ref().map_or(0, |published_state| published_state.checkpoint.size);
    let leaf = newest_of(&mut **app.connection(caller.organization).await?, subject.id, size).await?;
    proof_response(app, leaf, published_state).await
}

input! {
    /// Optional parts of an export.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct ExportQuery {
        /// Size of an earlier checkpoint: the file then has a consistency proof from that checkpoint.
        pub since: Option<u64>,
    }
}

/// A log's history with its proofs, in one file
///
/// Every event that the caller may see, disclosed as far as the caller may see it, each with its proof
/// against one signed checkpoint. `ormantrace verify` checks the file offline. Events that the register
/// does not cover yet are marked `pending`. For a past party, `until` is the last event that it may see.
#[utoipa::path(
    get, path = "/v1/logs/{code}/export", operation_id = "export_log", tag = "register", security(("token" = [])),
    params(("code" = String, Path, description = "Seal number, marking code or id, percent-encoded"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 403, description = "The operator reads no histories", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_log(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    query: Result<Query<ExportQuery>, Problem>,
) -> Result<Response, Problem> {
    let Query(ExportQuery { since }) = match query {
        Ok(query) => query,
        Err(problem) => return Err(refused(&app, &unresolved, problem).await),
    };
    let (reader, row, access) = visible_log(&app, &unresolved, &segment_before(&uri, "/export")).await?;
    let subject = row.subject()?;
    let events = if is_long(&row, access)? {
        let permit = app.reads.memory_permits(up_to(&row, access)?, reader.organization).await?;
        let long = LongHistory::of_events(&app.reads, row, access, reader).await?;
        let events = long.events();
        let pages = long.into_pages().map(|page| Ok(disclosed(page?)));
        EventList { events, event_bytes: EVENT_BYTES, pages: Box::pin(pages), permit }
    } else {
        EventList::of(disclosed(app.reads.history(&row, access, reader).await?.events), EVENT_BYTES)
    };
    let until = matches!(access, Access::Partial { .. }).then_some(events.events);
    exported(&app, reader.organization, subject, events, until, since).await
}

fn disclosed(events: Vec<LogEvent>) -> Vec<DisclosedEvent> {
    events.into_iter().map(LogEvent::into_disclosed).collect()
}

/// The export file of a chain. The caller's access is checked before. `until` is set for a past party: the last event that it may see.
pub(in crate::http) async fn exported(
    app: &App,
    reader: OrganizationId,
    subject: Subject,
    list: EventList<DisclosedEvent>,
    until: Option<u32>,
    since: Option<u64>,
) -> Result<Response, Problem> {
    // The published state is read after the head of the chain. Otherwise events that were published between
    // the two reads would be `pending`.
    let Some(state) = published_state(app).await? else { return Err(not_published_yet()) };
    let size = state.checkpoint.size;
    if since.is_some_and(|since| since > size) {
        let invalid =
            Invalid::new("since-beyond-register", format!("The published register has {size} entries."));
        return Err(Problem::wrong_at(Location::Query("since".into()), invalid));
    }
    let published = app.register.clone();
    let frame = reading(move || frame(&subject, until, &published, &state, since)).await?;
    let EventList { events, event_bytes, pages, permit } = list;
    let pages = pages.then(page_proofs(app, reader, subject.id, size));
    EventList { events, event_bytes, pages: Box::pin(pages), permit }.respond(&frame).await
}

/// Adds the proofs to each page of events.
fn page_proofs(
    app: &App,
    reader: OrganizationId,
    subject: Uuid,
    size: u64,
) -> impl FnMut(Result<Vec<DisclosedEvent>, Problem>) -> ProvenPage + Send + 'static {
    let app = app.clone();
    move |page| {
        let app = app.clone();
        Box::pin(async move {
            let events = page?;
            let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(Vec::new()) };
            let leaves =
                leaves(&mut **app.connection(reader).await?, subject, [first.seq(), last.seq()], size)
                    .await?;
            let published = app.register.clone();
            reading(move || proven(events, &leaves, &published, size)).await
        })
    }
}

type ProvenPage = Pin<Box<dyn Future<Output = Result<Vec<ExportEvent>, Problem>> + Send>>;

/// Approximate length of an event in an export, in bytes.
const EVENT_BYTES: usize = 2_048;

/// The events of `subject`. `open` decides which parts of an event are disclosed. If `bare`, the events have
/// no evidence.
pub(in crate::http) async fn subject_events(
    app: &App,
    caller: &Caller,
    subject: Subject,
    bare: bool,
    open: impl Fn(&StoredEvent) -> Disclosure + Send + Sync + 'static,
) -> Result<EventList<DisclosedEvent>, Problem> {
    let permit = app.reads.memory_permits(subject.events, caller.organization).await?;
    let state = (app.clone(), caller.organization, ChainPages::of(subject), open);
    // No connection is held between two pages, whatever time the client takes to read one.
    let pages = stream::try_unfold(state, move |(app, reader, mut pages, open)| async move {
        let mut db = app.connection(reader).await?;
        let events = pages.next(&mut db, &open).await?;
        drop(db);
        let shown = events.into_iter();
        let shown: Vec<_> =
            if bare { shown.map(DisclosedEvent::without_evidence).collect() } else { shown.collect() };
        Ok((!shown.is_empty()).then_some((shown, (app, reader, pages, open))))
    });
    let event_bytes = if bare { 512 } else { EVENT_BYTES };
    Ok(EventList { events: subject.events, event_bytes, pages: Box::pin(pages), permit })
}
