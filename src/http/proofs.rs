//! Proofs that a record is in the public register: one entry for anyone, a whole history for those
//! who may read it.

use super::address::ClientAddr;
use super::app::App;
use super::asked::{Asked, NothingAsked};
use super::auth::HistoryReader;
use super::kind::Kind;
use super::logs::seen;
use super::problem::Problem;
use super::verify::last_segment;
use crate::custody::history;
use crate::error::{At, Invalid};
use crate::input::input;
use crate::log::store::Reader;
use crate::party::key::Caller;
use crate::register::export::{Export, export, leaves};
use crate::register::lookup::{Place, newest, proof};
use crate::register::published::{PublishedError, Said};
use crate::seal::Code;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use utoipa::IntoParams;

impl From<PublishedError> for Problem {
    fn from(error: PublishedError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// The record is known, and the register does not have it yet.
fn not_published_yet() -> Problem {
    let detail = "The public register does not cover this record yet; usually it does within a second.";
    Problem::new(Kind::NotPublishedYet, detail).retry_after(2)
}

/// Runs what reads the published files apart from the threads that serve.
pub(super) async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishedError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Problem::internal(error.to_string()))??)
}

/// What is published now.
pub(super) async fn said(app: &App) -> Result<Option<Arc<Said>>, Problem> {
    let published = app.register.clone();
    reading(move || published.read()).await
}

/// The code in a path before its last segment.
fn code_before(uri: &Uri, last: &str) -> Result<String, Problem> {
    let path = uri.path().strip_suffix(last).unwrap_or_default();
    let named = path.parse().map_err(|_| Problem::not_found())?;
    Ok(last_segment(&named))
}

/// Proof that a log's newest record is in the public register
///
/// For anyone who may verify, with the same codes and the same limits. A `tlog-proof` (C2SP): the
/// entry of the newest event that the published checkpoint covers, its place, and the way from there
/// to the signed root. `ormantrace verify` checks it offline, and so do other programs.
#[utoipa::path(
    get, path = "/v1/logs/{code}/proof", operation_id = "get_log_proof", tag = "register",
    params(("code" = String, Path, description = "Seal number or marking code, percent-encoded")),
    security((), ("token" = [])),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "On no log; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many checks from this address", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_log_proof(
    State(app): State<App>,
    caller: Option<Caller>,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    _: NothingAsked,
) -> Result<Response, Problem> {
    let permit = match caller {
        Some(_) => None,
        None => Some(app.limiter.admit(client.0)?),
    };
    let said = said(&app).await?;
    let size = said.as_ref().map_or(0, |said| said.checkpoint.size);
    let place = match Code::parse_public(&code_before(&uri, "/proof")?) {
        Ok(code) => newest(&app.pool, &code, &app.key_ring, size).await?,
        Err(_) => Place::Unknown,
    };
    match (place, said) {
        (Place::Unknown, _) => {
            if let Some(permit) = permit {
                permit.miss();
            }
            Err(Problem::not_found())
        }
        (Place::At { index, entry }, Some(said)) => {
            let published = app.register.clone();
            let text = reading(move || Ok(proof(&published, &said, index, &entry)?.to_string())).await?;
            Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
        }
        _ => Err(not_published_yet()),
    }
}

input! {
    /// What an export has besides.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct ExportQuery {
        /// Size of a checkpoint seen earlier: the file then proves that the register went on from it.
        pub since: Option<u64>,
    }
}

/// A log's history with its proofs, in one file
///
/// Every event that the caller may see, opened as far as the caller may see it, each with its proof
/// against one signed checkpoint. `ormantrace verify` checks the file offline. Events that the register
/// does not cover yet are marked `pending`.
#[utoipa::path(
    get, path = "/v1/logs/{code}/export", operation_id = "export_log", tag = "register", security(("token" = [])),
    params(("code" = String, Path, description = "Seal number, marking code or id, percent-encoded"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 403, description = "The operator reads no histories", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Absent, or not yours to see; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_log(
    State(app): State<App>,
    HistoryReader(caller): HistoryReader,
    OriginalUri(uri): OriginalUri,
    Asked(ExportQuery { since }): Asked<ExportQuery>,
) -> Result<Json<Export>, Problem> {
    let reader = Reader::from(&caller);
    let (row, sight) = seen(&app, reader, &code_before(&uri, "/export")?).await?;
    let history = history::read(&app.reads, &row, sight, reader).await?;
    // After the history, so that no event is pending only for having been read early.
    let Some(said) = said(&app).await? else { return Err(not_published_yet()) };
    let size = said.checkpoint.size;
    if since.is_some_and(|since| since > size) {
        let wrong =
            Invalid::new("since-beyond-register", format!("The published register has {size} entries."));
        return Err(Problem::wrong_at(At::Query("since".into()), wrong));
    }
    let leaves = leaves(&app.pool, row.id, history.events.len(), size).await?;
    let published = app.register.clone();
    Ok(Json(reading(move || export(&row, history, &leaves, &published, &said, since)).await?))
}
