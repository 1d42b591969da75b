//! The check of one code, public, and of many codes at once, with a token.

use crate::base::error::Invalid;
use crate::base::input::input;
use crate::base::percent;
use crate::http::api::proofs::{published_state, reading};
use crate::http::core::address::ClientAddr;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::problem::Problem;
use crate::http::core::query::Query;
use crate::http::core::response::json_with_capacity;
use crate::services::register_lookup::claim;
use crate::services::verification::answer::{Verdict, Verification};
use crate::timber::party::key::Caller;
use crate::timber::seal::Code;
use crate::timber::seal::gs1::Gtin;
use crate::timber::seal::signing::{Signature, is_minted_form};
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// Longest text accepted as a code, in characters; the parsers have stricter limits.
const MAX_CODE_CHARS: usize = 2_048;

/// A code as it was sent; a text that is not a valid code gets a verdict, too.
#[derive(Clone, Debug, ToSchema)]
#[schema(value_type = String, max_length = 2048)]
pub struct SentCode(String);

impl SentCode {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > MAX_CODE_CHARS {
            return Err(Invalid::new("code-too-long", "A code has at most 2,048 characters."));
        }
        Ok(Self(text.to_owned()))
    }
}

impl AsRef<str> for SentCode {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

crate::base::input::parse_text!(SentCode);

input! {
    /// Codes to check.
    pub struct Codes {
        /// Seal numbers or marking codes, in any form that scanners send.
        pub codes: Vec<SentCode> [1..=1000],
    }
}

input! {
    /// Optional parts of the response.
    #[derive(IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct VerifyQuery {
        /// Whether to include the position of the log's newest record in the public register.
        pub register: Option<bool>,
    }
}

/// Verdicts in the order of the codes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verdicts {
    /// One for each code.
    pub items: Vec<Verification>,
}

/// The last segment of a URL's path, percent-decoded.
pub(in crate::http) fn last_segment(uri: &Uri) -> String {
    decoded(uri.path())
}

/// The path segment before `last`, percent-decoded; `last` is the end of the path.
pub(in crate::http) fn segment_before(uri: &Uri, last: &str) -> String {
    decoded(uri.path().strip_suffix(last).unwrap_or_default())
}

/// The last segment of a path, percent-decoded; bytes that are not UTF-8 become the replacement character,
/// which no code contains.
fn decoded(path: &str) -> String {
    let segment = path.rsplit('/').next().unwrap_or_default();
    percent::decode_lossy(segment)
}

/// Whether this code cannot be found by guessing: its signature is valid, or its serial has the form of the
/// serials that this server creates.
pub(in crate::http) fn is_genuine(app: &App, code: &str) -> bool {
    let is_made_here = |gtin: &str, serial: &str| {
        Gtin::parse(gtin).is_ok_and(|gtin| gtin == app.gtin) && is_minted_form(serial)
    };
    match Code::parse_public(code) {
        Ok(Code::MarkingCode(code)) => match app.key_ring.verify(&code) {
            Signature::Valid => true,
            Signature::Forged => false,
            Signature::Absent | Signature::UnknownKey => is_made_here(code.gtin(), code.serial()),
        },
        Ok(Code::Identification(code)) => is_made_here(code.gtin(), code.serial()),
        Ok(Code::SealNumber(_) | Code::LogId(_)) | Err(_) => false,
    }
}

/// Checks one code for any client; a client with a token is limited by key and day.
pub(in crate::http) async fn check_one(
    app: &App,
    unresolved: &UnresolvedCaller,
    client: ClientAddr,
    code: &str,
) -> Result<Verification, Problem> {
    // The limits are checked before any query, so that many refused checks cost the database nothing.
    let permit = match unresolved.token() {
        Some(token) => {
            app.limiter.key_hits().check(token.to_bytes(), 1)?;
            None
        }
        None => Some(app.limiter.admit(client.0, || is_genuine(app, code))?),
    };
    let checked = app.reads.check(&[code], unresolved.token(), &app.key_ring, app.clock.now()).await?;
    let (mut checked, caller) = checked.ok_or_else(Problem::invalid_token)?;
    if let Some(organization) = caller {
        unresolved.belongs_to(organization);
    }
    if let Some(token) = unresolved.token() {
        // The check is charged to the key only now, because before the query it was not known whether the
        // token is valid.
        app.limiter.key_hits().charge(token.to_bytes(), 1);
    }
    let verification = checked.pop().ok_or_else(|| Problem::internal("a check without a verdict"))?;
    if verification.verdict == Verdict::Unknown
        && let Some(permit) = permit
    {
        permit.miss();
    }
    count(&verification);
    // Checks with a token are those of enterprises and inspectors.
    if unresolved.token().is_none()
        && let Some(seal) = &verification.seal_number
    {
        app.checks.note(seal, client.0, app.clock.now());
    }
    Ok(verification)
}

/// Adds the position of the log's newest record in the public register. If the seal is on a log, this takes
/// one more query.
pub(in crate::http) async fn with_register(
    app: &App,
    verification: Verification,
) -> Result<Verification, Problem> {
    let claim = match (&verification.log, &verification.seal_number, published_state(app).await?) {
        (Some(_), Some(number), Some(published_state)) => claim(&app.pool, number, &published_state).await?,
        _ => None,
    };
    let register = match claim {
        Some(claim) => {
            let published = app.register.clone();
            reading(move || Ok(claim.check_against(&published))).await?
        }
        None => None,
    };
    Ok(Verification { register: Some(register), ..verification })
}

fn count(verification: &Verification) {
    metrics::counter!("ormantrace_verdicts_total", "verdict" => verification.verdict.as_str()).increment(1);
}

/// Check a seal
///
/// Public. Accepts a seal number or a marking code in any form that scanners send, never an
/// internal id. The response names no person. Without a token, the number of checks is limited for each
/// client address; with a token, for each key and day.
#[utoipa::path(
    get, path = "/v1/verify/{code}", operation_id = "verify_code", tag = "verification", security((), ("token" = [])),
    params(("code" = String, Path, description = "Seal number or marking code, percent-encoded"), VerifyQuery),
    responses(
        (status = 200, description = "The verdict, whatever was sent", body = Verification),
        (status = 429, description = "Too many checks from this address", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn verify_code(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    query: Result<Query<VerifyQuery>, Problem>,
) -> Result<Response, Problem> {
    let Query(VerifyQuery { register }) = match query {
        Ok(query) => query,
        Err(problem) => return Err(unresolved.refused(&app, problem).await),
    };
    let verification = check_one(&app, &unresolved, client, &last_segment(&uri)).await?;
    let verification =
        if register == Some(true) { with_register(&app, verification).await? } else { verification };
    json_with_capacity(&verification, 4_096)
}

/// Check many seals
///
/// Up to 1,000 codes, answered in their order. For callers with a token, which are not limited by address.
#[utoipa::path(
    post, path = "/v1/verify", operation_id = "verify_codes", tag = "verification", security(("token" = [])),
    request_body = Codes,
    responses(
        (status = 200, description = "A verdict for each code, in order", body = Verdicts),
        (status = 429, description = "More checks than the key has left today", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn verify_codes(
    State(app): State<App>,
    _caller: Caller,
    unresolved: UnresolvedCaller,
    request: crate::http::core::write::ParsedWrite<Codes>,
) -> Result<Json<Verdicts>, Problem> {
    Ok(Json(Verdicts { items: check_many(&app, &unresolved, &request.input.codes).await? }))
}

/// Checks codes for a caller, within the daily budget of its key. The verdicts are in the order of the codes.
pub(in crate::http) async fn check_many(
    app: &App,
    unresolved: &UnresolvedCaller,
    codes: &[impl AsRef<str>],
) -> Result<Vec<Verification>, Problem> {
    if let Some(token) = unresolved.token() {
        app.limiter.key_hits().take(token.to_bytes(), codes.len())?;
    }
    let checked = app.reads.check(codes, None, &app.key_ring, app.clock.now()).await?;
    let items = checked.unwrap_or_default().0;
    items.iter().for_each(count);
    Ok(items)
}
