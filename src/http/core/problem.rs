//! The one format of all error responses: `application/problem+json` (RFC 9457).
//!
//! A [`Problem`] has two texts. The text for the client is our own: it is written here or in the code of the
//! violated rule. The cause (an SQL error, a panic) is in the response's extensions as [`Cause`], and
//! [`crate::http::core::layers`] logs it once with the request id. Neither text is ever used in place of the
//! other.
//!
//! [`ProblemType`] is the table of all problem types.

pub use crate::http::core::problem_type::ProblemType;

use crate::base::error::{DatabaseFailure, Error, FieldError, Invalid, Location};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

/// The media type of every problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Path of the problem types' descriptions; `type` is the public URL, this path and the slug.
pub const PROBLEMS_PATH: &str = "/problems";

/// An error response on its way to the client.
///
/// Build it with a helper ([`Problem::not_found`] …) or from an [`Error`]; turn it
/// into a response with `?`. Path and request id are added by the layers.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemType,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
    cause: Option<String>,
}

/// The internal cause of a problem, for the trace only. It is in the response's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(pub Arc<str>);

impl Problem {
    /// A problem of this type; `detail` is for the client and must be our own text, never that of an error
    /// value.
    pub fn new(kind: ProblemType, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: HeaderMap::new(), cause: None }
    }

    /// Adds the internal cause, which is only for the trace.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// With field errors.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// With a response header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds `Retry-After` in whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// 400: the bytes cannot be parsed.
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemType::Malformed, detail)
    }

    /// 400 with the location where parsing stopped.
    #[must_use]
    pub fn malformed_at(error: FieldError) -> Self {
        Self::new(ProblemType::Malformed, named(&error)).with_errors(vec![error])
    }

    /// 401: no token, and the call needs one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(ProblemType::Unauthorized, "This call needs a token: Authorization: Bearer TOKEN.")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: an unknown, expired, revoked or malformed token. The response is the same in all four cases (RFC
    /// 6750, 3.1).
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::new(ProblemType::Unauthorized, "The token is not valid: unknown, expired or revoked.")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
    }

    /// 403: this role may never do this.
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemType::Forbidden, detail)
    }

    /// 403: the organisation is suspended, and this is not among the things that it may still do.
    #[must_use]
    pub fn suspended() -> Self {
        let detail = "Your organisation is suspended.";
        Self::new(ProblemType::OrganizationSuspended, detail).with_errors(vec![FieldError::new(
            Location::body(),
            "organization-suspended",
            detail,
        )])
    }

    /// 403: an inspector in its own case.
    #[must_use]
    pub fn own_case(detail: &'static str) -> Self {
        let error = FieldError::new(Location::body(), "own-case", detail);
        Self::new(ProblemType::OwnCase, detail).with_errors(vec![error])
    }

    /// 404, the same for an absent resource and for one that the caller may not see.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(ProblemType::NotFound, "What the URL names does not exist, or you may not see it.")
    }

    /// 405. For a known route axum adds `Allow`; elsewhere pass `allow`.
    #[must_use]
    pub fn method_not_allowed(method: &Method, allow: Option<HeaderValue>) -> Self {
        let problem =
            Self::new(ProblemType::MethodNotAllowed, format!("{method} is not supported at this URL."));
        match allow {
            Some(allow) => problem.with_header(ALLOW, allow),
            None => problem,
        }
    }

    /// 409 with the conflicts.
    #[must_use]
    pub fn conflict(errors: Vec<FieldError>) -> Self {
        Self::new(ProblemType::Conflict, summary(&errors, "conflict with the present state"))
            .with_errors(errors)
    }

    /// 413: more than `limit` bytes after decompression.
    #[must_use]
    pub fn too_large(limit: u64) -> Self {
        Self::new(
            ProblemType::TooLarge,
            format!("The body has more than the {limit} bytes this call accepts."),
        )
    }

    /// 415, with the types that are accepted.
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemType::UnsupportedMediaType, detail)
    }

    /// 422 with every field error.
    #[must_use]
    pub fn wrong(errors: Vec<FieldError>) -> Self {
        Self::new(ProblemType::Wrong, summary(&errors, "are wrong")).with_errors(errors)
    }

    /// 422 with one field error.
    #[must_use]
    pub fn wrong_at(at: Location, invalid: Invalid) -> Self {
        Self::wrong(vec![FieldError::invalid(at, invalid)])
    }

    /// 422: the idempotency key was used for another request.
    #[must_use]
    pub fn key_reused() -> Self {
        let error = FieldError::new(
            Location::Header("Idempotency-Key"),
            "idempotency-key-reused",
            "This key was sent before with another request.",
        );
        Self::new(ProblemType::KeyReused, error.detail.clone()).with_errors(vec![error])
    }

    /// 429; the client may try again after `seconds`.
    #[must_use]
    pub fn too_many_requests(seconds: u64) -> Self {
        let seconds = seconds.max(1);
        let detail = format!("Too many checks came from your address. Try again in {seconds} s.");
        Self::new(ProblemType::TooManyRequests, detail).retry_after(seconds)
    }

    /// 500; the cause is for the trace.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "An internal error occurred. Report the request_id.";
        Self::new(ProblemType::Internal, detail).caused_by(cause)
    }

    /// 503: a dependency is unavailable; the cause is for the trace.
    pub fn unavailable(cause: impl Into<String>) -> Self {
        let detail = "The server cannot do this just now. Nothing was stored; send it again.";
        Self::new(ProblemType::Unavailable, detail).retry_after(2).caused_by(cause)
    }

    /// 503: the register lags too far behind to accept more events.
    #[must_use]
    pub fn register_behind(lag: Duration) -> Self {
        let detail =
            "The register lags behind and accepts no records just now. Nothing was stored; send it again.";
        Self::new(ProblemType::Unavailable, detail)
            .retry_after(5)
            .caused_by(format!("the oldest event in the register's queue has waited {} s", lag.as_secs()))
    }

    /// 503: no concurrency permit came free in time.
    #[must_use]
    pub fn overloaded() -> Self {
        let detail = "The server is busy. Nothing was done; send it again.";
        Self::new(ProblemType::Overloaded, detail).retry_after(1)
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ProblemType {
        self.kind
    }

    /// The internal cause, for the trace only.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Its field errors.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
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
            errors: self.errors.iter().map(FieldErrorDocument::from).collect(),
        };
        // The document has only strings and numbers, so serialising it cannot fail. If it failed
        // nevertheless, the response would have an empty body and still the correct status.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// The complete response; the arguments are those of [`Problem::to_json`].
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
    /// A valid response without the layers; the layers take the [`Problem`] out of the
    /// extensions and render it again with path and request id.
    fn into_response(self) -> Response {
        let mut response = self.render("", None, None);
        if let Some(cause) = &self.cause {
            response.extensions_mut().insert(Cause(cause.as_str().into()));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The `detail` of a problem with field errors: the detail of the error if there is only one, otherwise the
/// number of errors.
fn summary(errors: &[FieldError], many: &str) -> Cow<'static, str> {
    match errors {
        [] => "The request is refused.".into(),
        [only] => named(only),
        several => format!("{} values {many}; errors lists each.", several.len()).into(),
    }
}

/// The sentence of an error. A query parameter is named, since the sentence alone does not tell it from a member of
/// a body.
fn named(error: &FieldError) -> Cow<'static, str> {
    match &error.at {
        Location::Query(name) if !name.is_empty() => {
            format!("Query parameter `{}`: {}", name.escape_debug(), error.detail).into()
        }
        _ => error.detail.clone(),
    }
}

/// The body of every error response (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
struct Document<'a> {
    /// A URL that names the problem type and leads to its description. Its last part is stable: compare that.
    #[serde(rename = "type")]
    kind: String,
    /// The type in a few words, always the same.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What is wrong in this case, for a person.
    detail: &'a str,
    /// The path of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    /// The id of this request in the server's trace; also in the X-Request-Id header.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Every field error, all at once; absent if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldErrorDocument<'a>>,
}

/// One field error: its location (`pointer`, or `line` and `column`, or `parameter`, or `header`), code and
/// detail.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FieldError)]
struct FieldErrorDocument<'a> {
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

impl<'a> From<&'a FieldError> for FieldErrorDocument<'a> {
    fn from(error: &'a FieldError) -> Self {
        let mut document = Self {
            pointer: None,
            line: None,
            column: None,
            parameter: None,
            header: None,
            code: error.code,
            detail: &error.detail,
            allowed: &error.allowed,
        };
        match &error.at {
            Location::Pointer(pointer) => document.pointer = Some(pointer),
            Location::Cell { line, column } => {
                document.line = Some(*line);
                document.column = Some(column);
            }
            Location::Query(name) => document.parameter = Some(name),
            Location::Header(name) => document.header = Some(name),
        }
        document
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
            Error::OwnCase(detail) => Self::own_case(detail),
            Error::Suspended => Self::suspended(),
            Error::Invalid(errors) => Self::wrong(errors),
            Error::Conflict(errors) => Self::conflict(errors),
            Error::InProgress => Self::new(
                ProblemType::InProgress,
                "A request with this idempotency key is still running; retry with the same key and body.",
            )
            .retry_after(1),
            stale @ Error::Stale(_) => Self::unavailable(stale.to_string()),
            Error::AlreadyDone(what) => Self::new(ProblemType::AlreadyDone, what),
            Error::Overloaded => Self::overloaded(),
            // Some modules put the text of a driver error into `cause`, so it is logged and never shown to
            // the client.
            Error::Unavailable(cause) => Self::unavailable(cause),
            Error::OutcomeUnknown(cause) => Self::new(
                ProblemType::OutcomeUnknown,
                "Whether this was stored is not known. Send it again with the same Idempotency-Key.",
            )
            .retry_after(1)
            .caused_by(chain(&cause)),
            Error::Database(error) => Self::from(error),
            Error::CorruptRow(row) => Self::internal(format!("corrupt row: {row}")),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let cause = chain(&error);
        match DatabaseFailure::of(&error) {
            DatabaseFailure::Refused => Self::internal(cause),
            DatabaseFailure::Down
            | DatabaseFailure::Overloaded
            | DatabaseFailure::Busy
            | DatabaseFailure::Lost => Self::unavailable(cause),
        }
    }
}

/// An error and all its sources in one line, for the trace.
pub(in crate::http) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        // An error of a transparent wrapper has the same text as its source, so the text is not repeated.
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
            FieldError::new(Location::Pointer("/logs/3".into()), "wrong-transition", "Not from at_felling.");
        refused.allowed = vec!["loaded", "stored"];
        let problem = Problem::conflict(vec![
            refused,
            FieldError::new(
                Location::Cell { line: 7, column: "species".into() },
                "unknown-species",
                "No such species.",
            ),
            FieldError::new(Location::Query("limit".into()), "out-of-range", "1 to 1,000."),
            FieldError::new(Location::Header("Idempotency-Key"), "too-short", "8 characters or more."),
        ]);
        let response = problem.render("https://orman.example", Some("/v1/custody-events"), Some("0190"));
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        insta::assert_json_snapshot!(body_of(response).await, @r#"
        {
          "detail": "4 values conflict with the present state; errors lists each.",
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
          "title": "In conflict with the present state",
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
            Error::CorruptRow(sql.into()),
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
            assert_eq!(problem.kind(), ProblemType::Unavailable);
            assert!(problem.headers.contains_key(RETRY_AFTER));
        }
        assert_eq!(Problem::from(sqlx::Error::RowNotFound).kind(), ProblemType::Internal);
    }

    #[test]
    fn headers_that_a_status_owes() {
        let header = |problem: Problem, name| problem.headers.get(name).cloned();
        assert_eq!(header(Problem::unauthorized(), WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert!(
            header(Problem::invalid_token(), WWW_AUTHENTICATE)
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("Bearer ")
        );
        assert_eq!(header(Problem::too_many_requests(0), RETRY_AFTER).unwrap(), "1");
        assert_eq!(header(Problem::from(Error::InProgress), RETRY_AFTER).unwrap(), "1");
    }
}
