//! The path of every write to the database. The request is read completely, takes its place
//! ([`crate::http::core::place`]) and is fingerprinted. It then runs in a task of its own, because a client
//! that disconnects cancels its handler and a write must not stop half way. The write and its stored response
//! are one transaction, which is retried after a conflict with another transaction.

use crate::base::error::{Error, FieldError, Location};
use crate::base::ids::OrganizationId;
use crate::base::input::{Document, Errors, Layout, Read, RequestErrors, Table, lower_uuids};
use crate::db;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::stored::{self, Made, MadeKind, StoredResponse, reserve};
use crate::evidence::register::Receipt;
use crate::http::core::app::App;
use crate::http::core::body::BodyRules;
use crate::http::core::place::RequestPlace;
use crate::http::core::problem::{Problem, ProblemType};
use crate::http::core::query::NoQuery;
use crate::timber::party::key::Caller;
use crate::timber::party::standing;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

/// Header that marks a replayed response.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Media types of a table.
const CSV_TYPES: [&str; 3] = ["text/csv", "text/tab-separated-values", "application/vnd.ms-excel"];
/// Maximum attempts of one transaction, including the first.
const MAX_ATTEMPTS: u32 = 4;
/// Responses up to this size in bytes are stored for 90 days, larger ones for 7.
const LARGE_RESPONSE: usize = 64 * 1024;

/// Identifies a write request: its idempotency key, and the fingerprint of what was sent.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The client's key, if it sent one.
    pub idempotency_key: Option<String>,
    /// HMAC-SHA-256 under a server secret over method, route, path, query and canonical body. If it were a
    /// plain hash, an erased IIN could be found by trying all IINs.
    pub fingerprint: [u8; 32],
    /// Whether a suspended organisation may do this too.
    pub while_suspended: bool,
}

/// A parsed write request.
#[derive(Debug)]
pub struct ParsedWrite<T, Q = NoQuery> {
    /// The parsed body.
    pub input: T,
    /// The parsed query.
    pub parameters: Q,
    /// Its idempotency key and fingerprint.
    pub write: WriteRequest,
}

/// A write request as far as it could be parsed.
pub enum Parsed<T: Read, Q = NoQuery> {
    /// Without errors.
    Complete(ParsedWrite<T, Q>),
    /// The request has errors. It is refused, but first its readable part is checked against the database, to
    /// find further errors.
    Partial(PartialWrite<T>),
}

/// A write request that has errors.
pub struct PartialWrite<T: Read> {
    /// What could be read of the body, if anything.
    pub input: Option<T::Partial>,
    /// The errors found so far.
    pub errors: RequestErrors,
    /// As in [`WriteRequest`].
    pub fingerprint: [u8; 32],
}

/// The response to a write, before it is sent.
pub struct WriteResponse {
    status: StatusCode,
    body: Vec<u8>,
    stored: bool,
    hashes: bool,
    made: Made,
}

impl WriteResponse {
    /// 201 with the new resource; `made` names it in the 409 for a repetition without a stored response.
    pub fn created<T: Serialize>(body: &T, made: Made) -> Self {
        Self::new(StatusCode::CREATED, body, made)
    }

    /// 200 with the result; `made` as in [`WriteResponse::created`].
    pub fn ok<T: Serialize>(body: &T, made: Made) -> Self {
        Self::new(StatusCode::OK, body, made)
    }

    /// Keeps the response out of the database, because it contains a secret or a person's name. A repetition
    /// gets 409.
    #[must_use]
    pub fn do_not_store(mut self) -> Self {
        self.stored = false;
        self
    }

    /// Declares that the response contains the hash of each new event, so that the receipt can omit them.
    #[must_use]
    pub fn with_hashes(mut self) -> Self {
        self.hashes = true;
        self
    }

    /// Adds the receipt after the response's own members.
    pub(in crate::http) fn with_receipt(mut self, receipt: Receipt) -> Self {
        let leaves = receipt.leaves.filter(|_| !self.hashes);
        let receipt = serde_json::to_vec(&Receipt { leaves, ..receipt }).expect("receipts serialise");
        // The response of every write is a non-empty JSON object. The receipt is inserted before its last
        // brace, so that the other members need not be serialised again.
        debug_assert!(self.body.starts_with(b"{\"") && self.body.ends_with(b"}"));
        self.body.pop();
        self.body.extend_from_slice(b",\"receipt\":");
        self.body.extend_from_slice(&receipt);
        self.body.push(b'}');
        self
    }

    /// The stored response under the client's key.
    pub(in crate::http) fn stored_response(
        &self,
        organization: OrganizationId,
        key: &str,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> StoredResponse {
        let days = if self.body.len() > LARGE_RESPONSE { 7 } else { 90 };
        StoredResponse {
            organization,
            key: key.to_owned(),
            fingerprint,
            status: i16::try_from(self.status.as_u16()).unwrap_or(200),
            body: self.stored.then(|| pack(&self.body)),
            made: self.made,
            created_at: now,
            body_until: now + TimeDelta::days(days),
        }
    }

    fn new<T: Serialize>(status: StatusCode, body: &T, made: Made) -> Self {
        let body = serde_json::to_vec(body).expect("responses serialise");
        Self { status, body, stored: true, hashes: false, made }
    }

    pub(in crate::http) fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (self.status, [(CONTENT_TYPE, json)], self.body).into_response()
    }
}

/// A complete write request, read within the limits of its route, with its place among the concurrent
/// requests.
///
/// Invalid values in the head (the idempotency key, parameters of the query) are reported after the body is
/// parsed: a body that is too large, of another type or not JSON comes first (413, 415, 400). Errors in key,
/// query and body are reported in one 422.
pub struct Envelope {
    /// Media type without parameters, lower case; `None` if none was sent.
    pub media_type: Option<String>,
    /// `charset` parameter of the media type.
    pub charset: Option<String>,
    /// Query as sent.
    pub query: Option<String>,
    /// The body, decompressed.
    pub body: Bytes,
    idempotency_key: Result<Option<String>, FieldError>,
    scope: Vec<u8>,
}

impl FromRequest<App> for Envelope {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let route = MatchedPath::from_request_parts(&mut parts, app).await.ok();
        let mut scope = Vec::new();
        let named = [
            parts.method.as_str(),
            route.as_ref().map_or("", |route| route.as_str()),
            parts.uri.path(),
            &without_dry_run(parts.uri.query().unwrap_or_default()),
        ];
        for piece in named.map(lower_uuids) {
            scope.extend_from_slice(&(piece.len() as u64).to_be_bytes());
            scope.extend_from_slice(piece.as_bytes());
        }
        let idempotency_key = read_key(&parts.headers);
        if parts.headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
            return Err(Problem::unsupported_media_type("Content-Type was sent twice; send one."));
        }
        let content_type =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
        });
        let media_type = Some(media_type.trim().to_ascii_lowercase()).filter(|media| !media.is_empty());
        let query = parts.uri.query().map(str::to_owned);
        let place = parts.extensions.get::<Arc<RequestPlace>>().cloned();
        let organization = parts.extensions.get::<Caller>().map(|caller| caller.organization);
        if let (Some(place), Some(rules)) = (&place, parts.extensions.get::<Arc<BodyRules>>()) {
            place.reserve_body(organization, rules.expected(&body)).await?;
        }
        let body = Bytes::from_request(Request::from_parts(parts, body), app).await?;
        if let Some(place) = place {
            place.take(organization).await?;
        }
        Ok(Self { media_type, charset, query, body, idempotency_key, scope })
    }
}

impl Envelope {
    /// Whether the body is declared as CSV. Browsers on machines with Excel declare CSV files with the media
    /// type of Excel files.
    #[must_use]
    pub fn is_csv(&self) -> bool {
        self.media_type.as_deref().is_some_and(|media| CSV_TYPES.contains(&media))
    }

    /// Rejects every media type but JSON; a missing one counts as JSON.
    pub fn require_json(&self) -> Result<(), Problem> {
        if self.is_json() {
            return Ok(());
        }
        Err(Problem::unsupported_media_type("This call accepts application/json."))
    }

    /// Whether the body is CSV rather than JSON, for a call that accepts both; any other media type is
    /// rejected.
    pub fn is_csv_not_json(&self) -> Result<bool, Problem> {
        if self.is_csv() || self.is_json() {
            return Ok(self.is_csv());
        }
        let workbook = self.media_type.as_deref().is_some_and(|media| {
            ["excel", "spreadsheet", "text/html"].iter().any(|part| media.contains(part))
        });
        let advice = if workbook { " Save a workbook as \"CSV UTF-8\" and send that file." } else { "" };
        let detail = format!("This call accepts application/json and {}.{advice}", CSV_TYPES.join(", "));
        Err(Problem::unsupported_media_type(detail))
    }

    fn is_json(&self) -> bool {
        match self.media_type.as_deref() {
            None | Some("application/json") => true,
            Some(media) => media.starts_with("application/") && media.ends_with("+json"),
        }
    }

    /// Parses the body as JSON.
    pub fn json<T: Read, Q: Read>(&self, app: &App) -> Result<ParsedWrite<T, Q>, Problem> {
        self.json_partial(app)?.into_complete()
    }

    /// Parses the body as JSON, as far as possible.
    pub fn json_partial<T: Read, Q: Read>(&self, app: &App) -> Result<Parsed<T, Q>, Problem> {
        self.require_json()?;
        let document = Document::parse(&self.body).map_err(|error| Problem::malformed_at(error.into()))?;
        self.parse_document(app, &document)
    }

    /// Parses the body as a table of at most `rows` rows, converts it to a document by `layout`, and calls
    /// `use_it` with the document. The document includes the query's `parameter`, so that a missing parameter
    /// is reported like an error in the body.
    pub fn csv<R>(
        &self,
        layout: &Layout,
        rows: usize,
        parameter: &'static str,
        use_it: impl FnOnce(&Document<'_>) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let table = Table::parse(&self.body, self.charset.as_deref(), rows)
            .map_err(|error| Problem::malformed_at(error.into()))?;
        let query = self.query()?;
        let value = query.root().get(parameter).and_then(|node| node.text().ok());
        use_it(&table.document(layout, &[(parameter, value)]))
    }

    /// A request of which the body is a file.
    pub fn file(&self, app: &App) -> Result<WriteRequest, Problem> {
        let mut errors = Errors::new();
        let idempotency_key = self.idempotency_key.clone().map_err(|error| errors.push(error)).ok().flatten();
        let no_parameters = self.query()?.read_into::<NoQuery>(&mut errors);
        errors.finish(no_parameters).map_err(Problem::wrong)?;
        let fingerprint = self.fingerprint(app, &self.body);
        Ok(WriteRequest { idempotency_key, fingerprint, while_suspended: false })
    }

    fn fingerprint(&self, app: &App, content: &[u8]) -> [u8; 32] {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&app.fingerprint_key).expect("HMAC takes any key");
        mac.update(&self.scope);
        mac.update(content);
        mac.finalize().into_bytes().into()
    }

    fn query(&self) -> Result<Document<'static>, Problem> {
        Document::query(self.query.as_deref()).map_err(|error| Problem::malformed_at(error.into()))
    }

    /// Parses the query and the document made of the body, finds all errors in the idempotency key, the query
    /// and the body, and computes the request's fingerprint.
    pub fn parse_document<T: Read, Q: Read>(
        &self,
        app: &App,
        document: &Document<'_>,
    ) -> Result<Parsed<T, Q>, Problem> {
        let query = self.query()?;
        let mut errors = Errors::new();
        let idempotency_key = match &self.idempotency_key {
            Ok(key) => key.clone(),
            Err(error) => {
                errors.push(error.clone());
                None
            }
        };
        let parameters = query.read_into::<Q>(&mut errors);
        let partial = document.read_partial_into::<T>(&mut errors);
        let mut content = Vec::new();
        document.write_canonical(&mut content);
        let fingerprint = self.fingerprint(app, &content);
        if !errors.is_empty() {
            let errors = RequestErrors::after(errors);
            return Ok(Parsed::Partial(PartialWrite { input: partial, errors, fingerprint }));
        }
        let complete = parameters.zip(partial.and_then(T::complete));
        let (parameters, input) = errors.finish(complete).map_err(Problem::wrong)?;
        let write = WriteRequest { idempotency_key, fingerprint, while_suspended: false };
        Ok(Parsed::Complete(ParsedWrite { input, parameters, write }))
    }
}

/// The query without `dry_run`, so that a dry run gets the same fingerprint as the request that it rehearses.
fn without_dry_run(query: &str) -> String {
    let others = query.split('&').filter(|pair| pair.split('=').next() != Some("dry_run"));
    others.collect::<Vec<_>>().join("&")
}

/// The idempotency key, if one was sent. Two keys are refused: the client's next try might send them in
/// another order, so choosing the first would not be safe.
fn read_key(headers: &HeaderMap) -> Result<Option<String>, FieldError> {
    let refuse =
        |code, detail: &'static str| FieldError::new(Location::Header("Idempotency-Key"), code, detail);
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(refuse("duplicate-header", "This header was sent twice; send one."));
    }
    let fits = |key: &&str| (8..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    key.to_str().ok().filter(fits).map(|key| Some(key.to_owned())).ok_or_else(|| {
        refuse("bad-idempotency-key", "An Idempotency-Key is 8 to 128 visible ASCII characters.")
    })
}

/// `FromRequest` for the usual case: a JSON body and no query parameters.
impl<T: Read> FromRequest<App> for ParsedWrite<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Envelope::from_request(request, app).await?.json(app)
    }
}

/// `FromRequest` for a JSON body and no query parameters, for handlers that also check the readable part of a
/// request with errors.
impl<T: Read> FromRequest<App> for Parsed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Envelope::from_request(request, app).await?.json_partial(app)
    }
}

impl<T: Read, Q> Parsed<T, Q> {
    /// The request, if it has no errors.
    pub fn into_complete(self) -> Result<ParsedWrite<T, Q>, Problem> {
        match self {
            Self::Complete(write) => Ok(write),
            Self::Partial(partial) => Err(partial.errors.into_error().into()),
        }
    }
}

/// The work of one write: everything between BEGIN and COMMIT. May run more than once.
pub trait Work: Send + Sync + 'static {
    /// Runs the work.
    fn run<'t>(&'t self, tx: &'t mut Tx<'static>) -> BoxFuture<'t, Result<WriteResponse, Error>>;
}

impl<F> Work for F
where
    F: for<'t> Fn(&'t mut Tx<'static>) -> BoxFuture<'t, Result<WriteResponse, Error>> + Send + Sync + 'static,
{
    fn run<'t>(&'t self, tx: &'t mut Tx<'static>) -> BoxFuture<'t, Result<WriteResponse, Error>> {
        self(tx)
    }
}

impl WriteRequest {
    /// Runs `work` for `caller` as a transaction named `name` (in metrics), with the
    /// guarantees of this module.
    pub async fn run(
        self,
        app: &App,
        caller: &Caller,
        name: &'static str,
        // The bound is written out because a closure's lifetimes are not inferred through `Work`.
        work: impl for<'t> Fn(&'t mut Tx<'static>) -> BoxFuture<'t, Result<WriteResponse, Error>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Response, Problem> {
        let task = Task { app: app.clone(), caller: caller.clone(), write: self, name };
        let span = tracing::Span::current();
        let running =
            tokio::spawn(tracing::Instrument::instrument(async move { task.run(&work).await }, span));
        match running.await {
            Ok(result) => result,
            Err(error) => Err(Problem::internal(format!("write {name} failed: {error}"))),
        }
    }
}

struct Task {
    app: App,
    caller: Caller,
    write: WriteRequest,
    name: &'static str,
}

impl Task {
    async fn run(&self, work: &dyn Work) -> Result<Response, Problem> {
        let mut pause = Duration::from_millis(5);
        for attempt in 1..=MAX_ATTEMPTS {
            match self.attempt(work).await {
                Err(Attempt::Failed(error)) if error.is_retryable() => {
                    metrics::counter!("ormantrace_transaction_retries_total", "transaction" => self.name)
                        .increment(1);
                    if attempt == MAX_ATTEMPTS {
                        let cause =
                            format!("{}: still in conflict after {MAX_ATTEMPTS} tries: {error}", self.name);
                        return Err(Problem::unavailable(cause));
                    }
                    tokio::time::sleep(pause + jitter(pause)).await;
                    pause *= 3;
                }
                Err(Attempt::Failed(error)) => return Err(error.into()),
                Err(Attempt::Rejected(problem)) => return Err(problem),
                Ok(response) => return Ok(response),
            }
        }
        Err(Problem::internal("unreachable: every try returns"))
    }

    async fn attempt(&self, work: &dyn Work) -> Result<Response, Attempt> {
        let mut tx = self.app.begin(self.caller.organization).await.map_err(Attempt::Rejected)?;
        let done = match self.within(&mut tx, work).await {
            Ok(Outcome::New(done)) => done,
            other => {
                // The rollback is awaited here and not left to the drop of `tx`: otherwise the reservation
                // would outlive the response, and a client that repeats the request after the response would
                // get 409 because it is "still running".
                let _ = tx.rollback().await;
                return other.map(|outcome| match outcome {
                    Outcome::New(done) => done.into_response(),
                    Outcome::Earlier(response) => response,
                });
            }
        };
        let leaves = tx.leaves().hashes.len();
        match tx.commit().await {
            Ok(()) => {
                self.app.queue.committed(leaves);
                metrics::counter!("ormantrace_transactions_total", "transaction" => self.name).increment(1);
                Ok(done.into_response())
            }
            Err(error) if db::is_down(&error) => Err(Error::OutcomeUnknown(error).into()),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Everything between BEGIN and COMMIT.
    async fn within(&self, tx: &mut Tx<'static>, work: &dyn Work) -> Result<Outcome, Attempt> {
        let now = self.app.clock.now();
        if let Some(key) = &self.write.idempotency_key {
            reserve(tx, self.caller.organization, key).await?;
            if let Some(earlier) = self.earlier(tx, key).await? {
                return Ok(Outcome::Earlier(earlier));
            }
        }
        if let Some(lag) = self.app.queue.behind() {
            return Err(Attempt::Rejected(Problem::register_behind(lag)));
        }
        match standing::keep(tx, &self.caller).await {
            Err(Error::Suspended) if self.write.while_suspended => {}
            kept => kept?,
        }
        let mut done = work.run(tx).await?;
        if let Some(receipt) = self.app.queue.receipt(tx.leaves()) {
            done = done.with_receipt(receipt);
        }
        if let Some(key) = &self.write.idempotency_key {
            stored::store_responses(
                tx,
                vec![done.stored_response(self.caller.organization, key, self.write.fingerprint, now)],
            )
            .await?;
        }
        Ok(Outcome::New(done))
    }

    /// The stored response to the same key, if there is one.
    async fn earlier(&self, tx: &mut Tx<'static>, key: &str) -> Result<Option<Response>, Attempt> {
        let Some(row) = stored::find(tx, self.caller.organization, key).await? else { return Ok(None) };
        if row.fingerprint != self.write.fingerprint {
            return Err(Attempt::Rejected(Problem::key_reused()));
        }
        let Some(packed) = row.body else {
            let detail = format!("This was done already; its response is not stored: {}.", row.made);
            let kind = match row.made.kind {
                MadeKind::Key => ProblemType::AlreadyCreated,
                MadeKind::Subject(_) | MadeKind::Harvest | MadeKind::Operation => ProblemType::AlreadyDone,
            };
            return Err(Attempt::Rejected(Problem::new(kind, detail)));
        };
        let mut body = Vec::new();
        GzDecoder::new(packed.as_slice())
            .read_to_end(&mut body)
            .map_err(|error| Error::CorruptRow(format!("idempotency.body: {error}")))?;
        let status = u16::try_from(row.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let done = WriteResponse {
            status: status.unwrap_or(StatusCode::OK),
            body,
            stored: true,
            hashes: false,
            made: row.made,
        };
        let mut response = done.into_response();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(response))
    }
}

/// The result of an attempt, before COMMIT.
enum Outcome {
    New(WriteResponse),
    Earlier(Response),
}

enum Attempt {
    Failed(Error),
    Rejected(Problem),
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn pack(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory")
}

/// A random extra pause, at most as long as `pause`, so that two writes that collided do not collide again.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    pause * u32::from(byte[0]) / 255
}
