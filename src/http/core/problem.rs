//! The one answer for everything that fails: `application/problem+json` (RFC 9457).
//!
//! A [`Problem`] has two texts. What the client reads is ours, written here or by
//! the rule that refused. The cause (an SQL error, a panic) travels beside it in
//! the response's extensions as [`Cause`], and [`crate::http::core::layers`] logs it
//! once with the request id. Neither ever becomes the other.
//!
//! [`Kind`] is the table of everything that can go wrong.

pub use crate::http::core::kind::Kind;

use crate::base::error::{At, Entry, Error, Invalid};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

/// The media type of every failure.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Where the types of problems are described; `type` is this and the slug, on the public URL.
pub const PROBLEMS_PATH: &str = "/problems";

/// A failure on its way to the client.
///
/// Build it with a helper ([`Problem::not_found`] …) or from an [`Error`]; turn it
/// into a response with `?`. Path and request id are added by the layers.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<Entry>,
    headers: HeaderMap,
    cause: Option<String>,
}

/// What really happened, for the log only. Found in a response's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub Arc<str>);

/// What a handler returns.
pub type Answer<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem of this kind; `detail` is for the client and must be ours, never an error's text.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: HeaderMap::new(), cause: None }
    }

    /// With what really happened, which only the log sees.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With faults and their places.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Entry>) -> Self {
        self.errors = errors;
        self
    }

    /// With a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With `Retry-After` in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// 400: the bytes cannot be read as what they should be.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// 400 with the one place where reading stopped.
    #[must_use]
    pub fn malformed_at(entry: Entry) -> Self {
        Self::new(Kind::Malformed, entry.detail.clone()).with_errors(vec![entry])
    }

    /// 401: no token where one is needed.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(Kind::Unauthorized, "This call needs a token: Authorization: Bearer TOKEN.")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: a token that is unknown, expired, revoked or not readable, one answer for all (RFC 6750, 3.1).
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::new(Kind::Unauthorized, "The token is not valid: unknown, expired or revoked.")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    /// 403: this role may never do this.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// 404, the same for what is absent and what is not yours.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "What the URL names does not exist, or you may not see it.")
    }

    /// 405. Where the route is ours, axum adds `Allow`; elsewhere pass `allow`.
    #[must_use]
    pub fn method_not_allowed(method: &Method, allow: Option<HeaderValue>) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, format!("{method} is not taken at this URL."));
        match allow {
            Some(allow) => problem.with_header(ALLOW, allow),
            None => problem,
        }
    }

    /// 409 with what stands against it.
    #[must_use]
    pub fn conflict(errors: Vec<Entry>) -> Self {
        Self::new(Kind::Conflict, summary(&errors, "stand against the present state")).with_errors(errors)
    }

    /// 413: more than `limit` bytes, unpacked.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        Self::new(Kind::TooLarge, format!("The body has more than the {limit} bytes this call takes."))
    }

    /// 415, with what would be taken.
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::UnsupportedMediaType, detail)
    }

    /// 422 with every fault.
    #[must_use]
    pub fn wrong(errors: Vec<Entry>) -> Self {
        Self::new(Kind::Wrong, summary(&errors, "are wrong")).with_errors(errors)
    }

    /// 422 with one fault.
    #[must_use]
    pub fn wrong_at(at: At, invalid: Invalid) -> Self {
        Self::wrong(vec![Entry::invalid(at, invalid)])
    }

    /// 422: the idempotency key was used for another request.
    #[must_use]
    pub fn key_reused() -> Self {
        let entry = Entry::new(
            At::Header("Idempotency-Key"),
            "idempotency-key-reused",
            "This key was sent before with another request.",
        );
        Self::new(Kind::KeyReused, entry.detail.clone()).with_errors(vec![entry])
    }

    /// 429, to be tried again after so many seconds.
    #[must_use]
    pub fn too_many_requests(seconds: u64) -> Self {
        let seconds = seconds.max(1);
        let detail = format!("Too many checks came from your address. Try again in {seconds} s.");
        Self::new(Kind::TooManyRequests, detail).retry_after(seconds)
    }

    /// 500; the cause is for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "The server met a fault of its own. Report the request_id.";
        Self::new(Kind::Internal, detail).caused_by(cause)
    }

    /// 503: something needed is away; the cause is for the log.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        let detail = "The server cannot do this just now. Nothing was stored; send it again.";
        Self::new(Kind::Unavailable, detail).retry_after(2).caused_by(cause)
    }

    /// 503: the register is too far behind for more evidence to be taken.
    #[must_use]
    pub fn register_behind(lag: Duration) -> Self {
        let detail =
            "The register is behind and takes no more records just now. Nothing was stored; send it again.";
        Self::new(Kind::Unavailable, detail)
            .retry_after(5)
            .caused_by(format!("the oldest event in the register's queue waits for {} s", lag.as_secs()))
    }

    /// 503: no place came free in time.
    #[must_use]
    pub fn overloaded() -> Self {
        let detail = "The server is busy. Nothing was done; send it again.";
        Self::new(Kind::Overloaded, detail).retry_after(1)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What really happened, for the log alone.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Its faults.
    #[must_use]
    pub fn errors(&self) -> &[Entry] {
        &self.errors
    }

    /// The body as JSON. `base` is the public URL without a final slash, or empty.
    #[must_use]
    pub fn to_json(&self, base: &str, instance: Option<&str>, request_id: Option<&str>) -> Vec<u8> {
        let document = Document {
            kind: format!("{base}{PROBLEMS_PATH}/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.status().as_u16(),
            detail: &self.detail,
            instance,
            request_id,
            errors: self.errors.iter().map(Fault::from).collect(),
        };
        // Strings and numbers only: serialising cannot fail, and an empty body would still carry the status.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The finished answer; the arguments are those of [`Problem::to_json`].
    #[must_use]
    pub fn render(&self, base: &str, instance: Option<&str>, request_id: Option<&str>) -> Response {
        let body = self.to_json(base, instance, request_id);
        let mut response = (self.status(), body).into_response();
        response.headers_mut().extend(self.headers.clone());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}

impl IntoResponse for Problem {
    /// Readable as it stands; the layers take the [`Problem`] out of the extensions
    /// and render it again with path and request id.
    fn into_response(self) -> Response {
        let mut response = self.render("", None, None);
        if let Some(cause) = &self.cause {
            response.extensions_mut().insert(Cause(cause.as_str().into()));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// One sentence over all: the only fault's own, or how many there are.
fn summary(errors: &[Entry], many: &str) -> Cow<'static, str> {
    match errors {
        [] => "The request as a whole is refused.".into(),
        [only] => only.detail.clone(),
        several => format!("{} values {many}; errors lists each.", several.len()).into(),
    }
}

/// The body of every failure (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
struct Document<'a> {
    /// A URL that names the kind of problem and describes it. Its last part is stable: compare that.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in a few words, the same each time.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time, for a person.
    detail: &'a str,
    /// The path that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// What our log knows this request by; also in the X-Request-Id header.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Every fault that was found, all at once; absent if there is nothing to point at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault<'a>>,
}

/// One fault: where it is (`pointer`, or `line` and `column`, or `parameter`, or `header`), and what.
#[derive(Serialize, utoipa::ToSchema)]
struct Fault<'a> {
    /// A JSON pointer (RFC 6901) into the request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    /// The line of a CSV body; the header is line 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The column of a CSV body, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    /// A query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    /// A request header.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'a str>,
    /// A stable code.
    code: &'a str,
    /// One sentence for a person.
    detail: &'a str,
    /// For a refused custody event: the types that would be allowed now.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed: &'a [&'a str],
}

impl<'a> From<&'a Entry> for Fault<'a> {
    fn from(entry: &'a Entry) -> Self {
        let mut fault = Self {
            pointer: None,
            line: None,
            column: None,
            parameter: None,
            header: None,
            code: entry.code,
            detail: &entry.detail,
            allowed: &entry.allowed,
        };
        match &entry.at {
            At::Pointer(pointer) => fault.pointer = Some(pointer),
            At::Cell { line, column } => {
                fault.line = Some(*line);
                fault.column = Some(column);
            }
            At::Query(name) => fault.parameter = Some(name),
            At::Header(name) => fault.header = Some(name),
        }
        fault
    }
}

impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Document::schema()
    }
}

impl utoipa::ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        Document::schemas(schemas);
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::Forbidden(detail) => Self::forbidden(detail),
            Error::Wrong(errors) => Self::wrong(errors),
            Error::Conflict(errors) => Self::conflict(errors),
            Error::InProgress => Self::new(
                Kind::InProgress,
                "A request with this idempotency key is still running; ask again with the same key and body.",
            )
            .retry_after(1),
            stale @ Error::Stale(_) => Self::unavailable(stale.to_string()),
            Error::AlreadyDone(what) => Self::new(Kind::AlreadyDone, what),
            Error::Overloaded => Self::overloaded(),
            // Callers wrap driver errors in it, so its text is a cause, never the client's.
            Error::Unavailable(cause) => Self::unavailable(cause),
            Error::OutcomeUnknown(cause) => Self::new(
                Kind::OutcomeUnknown,
                "Whether this was stored is not known. Send it again with the same Idempotency-Key.",
            )
            .retry_after(1)
            .caused_by(chain(&cause)),
            Error::Database(error) => Self::from(error),
            Error::BadRow(row) => Self::internal(format!("bad row: {row}")),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let cause = chain(&error);
        if is_passing(&error) { Self::unavailable(cause) } else { Self::internal(cause) }
    }
}

/// Whether the database is away or overloaded rather than at odds with us, so that the
/// same request may well succeed in a moment.
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(refused) => refused.code().is_some_and(|state| is_passing_state(&state)),
        _ => false,
    }
}

/// By SQLSTATE (PostgreSQL manual, appendix A): 08 connection, 53 resources, 57P shutdown
/// and start; cancelled by a timeout, lock not got, serialisation and deadlock after our own
/// retries, and a server that only reads because it is a standby.
fn is_passing_state(state: &str) -> bool {
    state.starts_with("08")
        || state.starts_with("53")
        || state.starts_with("57P")
        || matches!(state, "57014" | "55P03" | "40001" | "40P01" | "25006")
}

/// An error and all its sources in one line, for the log.
pub(in crate::http) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        // Transparent wrappers repeat their source word for word.
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn body_of(response: Response) -> serde_json::Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn every_place_a_fault_can_have_is_told() {
        let mut refused =
            Entry::new(At::Pointer("/logs/3".into()), "wrong-transition", "Not from at_felling.");
        refused.allowed = vec!["loaded", "stored"];
        let problem = Problem::conflict(vec![
            refused,
            Entry::new(At::Cell { line: 7, column: "species".into() }, "unknown-species", "No such species."),
            Entry::new(At::Query("limit".into()), "out-of-range", "1 to 1,000."),
            Entry::new(At::Header("Idempotency-Key"), "too-short", "8 characters or more."),
        ]);
        let response = problem.render("https://orman.example", Some("/v1/custody-events"), Some("0190"));
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        insta::assert_json_snapshot!(body_of(response).await, @r#"
        {
          "detail": "4 values stand against the present state; errors lists each.",
          "errors": [
            {
              "allowed": [
                "loaded",
                "stored"
              ],
              "code": "wrong-transition",
              "detail": "Not from at_felling.",
              "pointer": "/logs/3"
            },
            {
              "code": "unknown-species",
              "column": "species",
              "detail": "No such species.",
              "line": 7
            },
            {
              "code": "out-of-range",
              "detail": "1 to 1,000.",
              "parameter": "limit"
            },
            {
              "code": "too-short",
              "detail": "8 characters or more.",
              "header": "Idempotency-Key"
            }
          ],
          "instance": "/v1/custody-events",
          "request_id": "0190",
          "status": 409,
          "title": "Against the present state",
          "type": "https://orman.example/problems/conflict"
        }
        "#);
    }

    #[tokio::test]
    async fn a_cause_is_for_the_log_alone() {
        let sql = "SELECT iin FROM persons WHERE bin = '050140001233'";
        let errors = [
            Error::Database(sqlx::Error::Protocol(sql.into())),
            Error::Database(sqlx::Error::Io(std::io::Error::other(sql))),
            Error::OutcomeUnknown(sqlx::Error::Io(std::io::Error::other(sql))),
            Error::BadRow(sql.into()),
            Error::Unavailable(sql.into()),
        ];
        for error in errors {
            let response = Problem::from(error).into_response();
            let cause = response.extensions().get::<Cause>().unwrap().0.clone();
            assert!(cause.contains(sql));
            assert!(!body_of(response).await.to_string().contains("SELECT"));
        }
    }

    #[test]
    fn what_passes_is_503_and_says_when_and_what_does_not_is_500() {
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::WorkerCrashed] {
            let problem = Problem::from(error);
            assert_eq!(problem.kind(), Kind::Unavailable);
            assert!(problem.headers.contains_key(RETRY_AFTER));
        }
        assert_eq!(Problem::from(sqlx::Error::RowNotFound).kind(), Kind::Internal);
        for state in ["08006", "57P01", "53300", "40P01", "57014"] {
            assert!(is_passing_state(state), "{state}");
        }
        for state in ["23505", "42P01", "22001", "42501"] {
            assert!(!is_passing_state(state), "{state}");
        }
    }

    #[test]
    fn headers_that_a_status_owes() {
        let asked = |problem: Problem, name| problem.headers.get(name).cloned();
        assert_eq!(asked(Problem::unauthorized(), WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert!(
            asked(Problem::invalid_token(), WWW_AUTHENTICATE)
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("Bearer ")
        );
        assert_eq!(asked(Problem::too_many_requests(0), RETRY_AFTER).unwrap(), "1");
        assert_eq!(asked(Problem::from(Error::InProgress), RETRY_AFTER).unwrap(), "1");
    }
}
