//! How every write reaches the database: read whole, fingerprinted, run in a task of
//! its own (a client that hangs up cancels its handler, and a write must not stop
//! half way), in one transaction with its idempotency answer, tried again where
//! PostgreSQL asks for it.

use crate::base::error::{At, Entry, Error};
use crate::base::ids::OrganizationId;
use crate::base::input::{Document, Errors, Layout, Read, Table};
use crate::db;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::stored::{self, Kept, claim};
use crate::evidence::register::Receipt;
use crate::http::core::app::App;
use crate::http::core::asked::NothingAsked;
use crate::http::core::problem::{Kind, Problem};
use crate::timber::party::key::Caller;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
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
use std::time::Duration;

/// Header that says that an answer is a repeated one.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Tries of one transaction, the first included.
const TRIES: u32 = 4;
/// Answers up to this size are kept 90 days, larger ones 7.
const LARGE_ANSWER: usize = 64 * 1024;

/// What names a posting besides its content: its idempotency key and its fingerprint.
#[derive(Clone, Debug)]
pub struct Posting {
    /// The client's key, if it gave one.
    pub idempotency_key: Option<String>,
    /// HMAC-SHA-256 under a server secret over method, route, path, query and canonical
    /// body. Unkeyed, it would let an erased IIN be guessed.
    pub fingerprint: [u8; 32],
}

/// A request that was read and understood.
#[derive(Debug)]
pub struct Posted<T, Q = NothingAsked> {
    /// What its body says.
    pub input: T,
    /// What its query asks for.
    pub asked: Q,
    /// What names it.
    pub posting: Posting,
}

/// A write's answer, before it is sent.
pub struct Done {
    status: StatusCode,
    body: Vec<u8>,
    stored: bool,
    hashes: bool,
    already_done: String,
}

impl Done {
    /// 201 with what was made; `id` is what a late repetition is told.
    pub fn created<T: Serialize>(body: &T, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::CREATED, body, id)
    }

    /// 200 with what was done.
    pub fn ok<T: Serialize>(body: &T, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::OK, body, id)
    }

    /// Keeps the answer out of the database: it holds a secret. A repetition gets 409.
    #[must_use]
    pub fn unrepeatable(mut self) -> Self {
        self.stored = false;
        self
    }

    /// Says that the answer gives the hash of each event that was made, so that its receipt need not.
    #[must_use]
    pub fn with_hashes(mut self) -> Self {
        self.hashes = true;
        self
    }

    /// Puts the receipt behind the answer's own members.
    pub(in crate::http) fn receipted(mut self, receipt: Receipt) -> Self {
        let leaves = receipt.leaves.filter(|_| !self.hashes);
        let receipt = serde_json::to_vec(&Receipt { leaves, ..receipt }).expect("receipts serialise");
        // Every answer of a write is an object that says something; its members stay as they were written.
        debug_assert!(self.body.starts_with(b"{\"") && self.body.ends_with(b"}"));
        self.body.pop();
        self.body.extend_from_slice(b",\"receipt\":");
        self.body.extend_from_slice(&receipt);
        self.body.push(b'}');
        self
    }

    /// The answer as it is kept under the client's key.
    pub(in crate::http) fn kept(
        &self,
        organization: OrganizationId,
        key: &str,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> Kept {
        let days = if self.body.len() > LARGE_ANSWER { 7 } else { 90 };
        Kept {
            organization,
            key: key.to_owned(),
            fingerprint,
            status: i16::try_from(self.status.as_u16()).unwrap_or(200),
            body: self.stored.then(|| pack(&self.body)),
            already_done: self.already_done.clone(),
            created_at: now,
            body_until: now + TimeDelta::days(days),
        }
    }

    fn new<T: Serialize>(status: StatusCode, body: &T, id: impl std::fmt::Display) -> Self {
        let body = serde_json::to_vec(body).expect("answers serialise");
        Self { status, body, stored: true, hashes: false, already_done: id.to_string() }
    }

    pub(in crate::http) fn answer(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        (self.status, [(CONTENT_TYPE, json)], self.body).into_response()
    }
}

/// The whole of a request that a write is made of: read within the bounds of its route.
///
/// What is wrong in its head but readable (the idempotency key, parameters of the query) waits for the
/// body: a body that is too large, of another type or no JSON is told first (413, 415, 400), and what is
/// wrong in both (422) is told together.
pub struct Envelope {
    /// Media type without parameters, lower case; nothing if none was sent.
    pub media_type: Option<String>,
    /// `charset` parameter of the media type.
    pub charset: Option<String>,
    /// Query as sent.
    pub query: Option<String>,
    /// The body, unpacked.
    pub body: Bytes,
    idempotency_key: Result<Option<String>, Entry>,
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
            parts.uri.query().unwrap_or_default(),
        ];
        for piece in named {
            scope.extend_from_slice(&(piece.len() as u64).to_be_bytes());
            scope.extend_from_slice(piece.as_bytes());
        }
        let idempotency_key = parts.headers.get(IDEMPOTENCY_KEY).map(read_key).transpose();
        let content_type =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
        });
        let media_type = Some(media_type.trim().to_ascii_lowercase()).filter(|media| !media.is_empty());
        let query = parts.uri.query().map(str::to_owned);
        let body = Bytes::from_request(Request::from_parts(parts, body), app).await?;
        Ok(Self { media_type, charset, query, body, idempotency_key, scope })
    }
}

impl Envelope {
    /// Whether the body says it is CSV.
    #[must_use]
    pub fn is_csv(&self) -> bool {
        self.media_type.as_deref() == Some("text/csv")
    }

    /// Refuses what is neither JSON nor nothing said.
    pub fn require_json(&self) -> Result<(), Problem> {
        match self.media_type.as_deref() {
            None | Some("application/json") => Ok(()),
            Some(media) if media.starts_with("application/") && media.ends_with("+json") => Ok(()),
            Some(_) => Err(Problem::unsupported_media_type("This call takes application/json.")),
        }
    }

    /// Reads the body as JSON.
    pub fn json<T: Read, Q: Read>(&self, app: &App) -> Result<Posted<T, Q>, Problem> {
        self.require_json()?;
        let document = Document::parse(&self.body).map_err(|fault| Problem::malformed_at(fault.into()))?;
        self.understand(app, &document)
    }

    /// The body as a table of at most `rows` rows, and beside it, by `layout`, the query's `parameter`,
    /// which is a fault of the body like any other if it is not there. `use_it` gets the document.
    pub fn csv<R>(
        &self,
        layout: &Layout,
        rows: usize,
        parameter: &'static str,
        use_it: impl FnOnce(&Document<'_>) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let table = Table::parse(&self.body, self.charset.as_deref(), rows)
            .map_err(|fault| Problem::malformed_at(fault.into()))?;
        let query = self.query()?;
        let value = query.root().get(parameter).and_then(|node| node.text().ok());
        use_it(&table.document(layout, &[(parameter, value)]))
    }

    fn query(&self) -> Result<Document<'static>, Problem> {
        Document::query(self.query.as_deref()).map_err(|fault| Problem::malformed_at(fault.into()))
    }

    /// Reads the query and a document made of the body, tells every fault of head and body at once, and
    /// fingerprints the request.
    pub fn understand<T: Read, Q: Read>(
        &self,
        app: &App,
        document: &Document<'_>,
    ) -> Result<Posted<T, Q>, Problem> {
        let query = self.query()?;
        let mut errors = Errors::new();
        let idempotency_key = match &self.idempotency_key {
            Ok(key) => key.clone(),
            Err(fault) => {
                errors.push(fault.clone());
                None
            }
        };
        let (asked, input) = (query.read_into::<Q>(&mut errors), document.read_into::<T>(&mut errors));
        let (asked, input) = errors.finish(asked.zip(input)).map_err(Problem::wrong)?;
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&app.fingerprint_key).expect("HMAC takes any key");
        let mut content = self.scope.clone();
        document.write_canonical(&mut content);
        mac.update(&content);
        let fingerprint = mac.finalize().into_bytes().into();
        Ok(Posted { input, asked, posting: Posting { idempotency_key, fingerprint } })
    }
}

fn read_key(value: &HeaderValue) -> Result<String, Entry> {
    let fits = |key: &&str| (8..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    value.to_str().ok().filter(fits).map(str::to_owned).ok_or_else(|| {
        let detail = "An Idempotency-Key is 8 to 128 visible ASCII characters.";
        Entry::new(At::Header("Idempotency-Key"), "bad-idempotency-key", detail)
    })
}

/// `FromRequest` for the usual case: a JSON body and nothing in the query.
impl<T: Read> FromRequest<App> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Envelope::from_request(request, app).await?.json(app)
    }
}

/// The work of one write: everything between BEGIN and COMMIT. May run more than once.
pub trait Work: Send + Sync + 'static {
    /// Does it.
    fn run<'t>(&'t self, tx: &'t mut Tx<'static>) -> BoxFuture<'t, Result<Done, Error>>;
}

impl<F> Work for F
where
    F: for<'t> Fn(&'t mut Tx<'static>) -> BoxFuture<'t, Result<Done, Error>> + Send + Sync + 'static,
{
    fn run<'t>(&'t self, tx: &'t mut Tx<'static>) -> BoxFuture<'t, Result<Done, Error>> {
        self(tx)
    }
}

impl Posting {
    /// Runs `work` for `caller` as a transaction named `name` (in metrics), with the
    /// promises of this module.
    pub async fn run(
        self,
        app: &App,
        caller: &Caller,
        name: &'static str,
        // Spelled out, because a closure's lifetimes are not inferred through `Work`.
        work: impl for<'t> Fn(&'t mut Tx<'static>) -> BoxFuture<'t, Result<Done, Error>> + Send + Sync + 'static,
    ) -> Result<Response, Problem> {
        let task = Task { app: app.clone(), organization: caller.organization, posting: self, name };
        let span = tracing::Span::current();
        let running =
            tokio::spawn(tracing::Instrument::instrument(async move { task.run(&work).await }, span));
        match running.await {
            Ok(result) => result,
            Err(error) => Err(Problem::internal(format!("write {name} died: {error}"))),
        }
    }
}

struct Task {
    app: App,
    organization: OrganizationId,
    posting: Posting,
    name: &'static str,
}

impl Task {
    async fn run(&self, work: &dyn Work) -> Result<Response, Problem> {
        let mut pause = Duration::from_millis(5);
        for attempt in 1..=TRIES {
            match self.attempt(work).await {
                Err(Attempt::Failed(error)) if error.is_retryable() => {
                    metrics::counter!("ormantrace_transaction_retries_total", "transaction" => self.name)
                        .increment(1);
                    if attempt == TRIES {
                        let cause = format!("{}: still in conflict after {TRIES} tries: {error}", self.name);
                        return Err(Problem::unavailable(cause));
                    }
                    tokio::time::sleep(pause + jitter(pause)).await;
                    pause *= 3;
                }
                Err(Attempt::Failed(error)) => return Err(error.into()),
                Err(Attempt::Told(problem)) => return Err(problem),
                Ok(response) => return Ok(response),
            }
        }
        Err(Problem::internal("unreachable: every try returns"))
    }

    async fn attempt(&self, work: &dyn Work) -> Result<Response, Attempt> {
        let mut tx = Tx::begin(&self.app.pool).await.map_err(Error::from)?;
        let done = match self.within(&mut tx, work).await {
            Ok(Outcome::New(done)) => done,
            other => {
                // Waited for, not left to the drop: the claim would outlive the answer, and whoever repeats
                // the request on the strength of it would be told that it is still running.
                let _ = tx.rollback().await;
                return other.map(|outcome| match outcome {
                    Outcome::New(done) => done.answer(),
                    Outcome::Earlier(response) => response,
                });
            }
        };
        let leaves = tx.leaves().hashes.len();
        match tx.commit().await {
            Ok(()) => {
                self.app.queue.committed(leaves);
                metrics::counter!("ormantrace_transactions_total", "transaction" => self.name).increment(1);
                Ok(done.answer())
            }
            Err(error) if db::is_down(&error) => Err(Error::OutcomeUnknown(error).into()),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Everything between BEGIN and COMMIT.
    async fn within(&self, tx: &mut Tx<'static>, work: &dyn Work) -> Result<Outcome, Attempt> {
        let now = self.app.clock.now();
        if let Some(key) = &self.posting.idempotency_key {
            claim(tx, self.organization, key).await?;
            if let Some(earlier) = self.earlier(tx, key).await? {
                return Ok(Outcome::Earlier(earlier));
            }
        }
        if let Some(lag) = self.app.queue.behind() {
            return Err(Attempt::Told(Problem::register_behind(lag)));
        }
        let mut done = work.run(tx).await?;
        if let Some(receipt) = self.app.queue.receipt(tx.leaves()) {
            done = done.receipted(receipt);
        }
        if let Some(key) = &self.posting.idempotency_key {
            stored::keep(tx, vec![done.kept(self.organization, key, self.posting.fingerprint, now)]).await?;
        }
        Ok(Outcome::New(done))
    }

    /// The first answer to the same key, if there was one.
    async fn earlier(&self, tx: &mut Tx<'static>, key: &str) -> Result<Option<Response>, Attempt> {
        let Some(row) = stored::find(tx, self.organization, key).await? else { return Ok(None) };
        if row.fingerprint != self.posting.fingerprint {
            return Err(Attempt::Told(Problem::key_reused()));
        }
        let Some(packed) = row.body else {
            let detail = format!("This was done already, and its answer is not kept: {}.", row.already_done);
            let kind =
                if row.already_done.starts_with("key ") { Kind::AlreadyCreated } else { Kind::AlreadyDone };
            return Err(Attempt::Told(Problem::new(kind, detail)));
        };
        let mut body = Vec::new();
        GzDecoder::new(packed.as_slice())
            .read_to_end(&mut body)
            .map_err(|error| Error::BadRow(format!("idempotency.body: {error}")))?;
        let status = u16::try_from(row.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let done = Done {
            status: status.unwrap_or(StatusCode::OK),
            body,
            stored: true,
            hashes: false,
            already_done: row.already_done,
        };
        let mut response = done.answer();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(Some(response))
    }
}

/// What a try came to, before COMMIT.
enum Outcome {
    New(Done),
    Earlier(Response),
}

enum Attempt {
    Failed(Error),
    Told(Problem),
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

/// Up to as long again, so that those who collided once do not collide twice.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    pause * u32::from(byte[0]) / 255
}
