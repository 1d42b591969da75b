//! The HTML pages. Each calls the same code as the API and renders the result.

use crate::base::i18n::Lang;
use crate::base::input::Document;
use crate::http::api::proofs::published_state;
use crate::http::api::reports;
use crate::http::api::verify::{check_one, last_segment, segment_before, with_register};
use crate::http::core::accept::{Preference, refuses_html};
use crate::http::core::address::ClientAddr;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::layers::PAGE_HEADERS;
use crate::http::core::problem::{PROBLEM_JSON, Problem};
use crate::http::core::problem_type::ProblemType;
use crate::http::core::write::Envelope;
use crate::http::pages::{
    FormProblem, Reference, ReportForm, error_page, render_form, render_reference, render_reference_tag,
    render_register, render_reported, render_start, verify_path,
};
use crate::timber::seal::Identification;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, VARY,
};
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// The OpenAPI document as JSON, and the reference made from it.
#[derive(Clone)]
pub struct Documentation {
    json: Bytes,
    reference: Arc<Reference>,
}

impl Documentation {
    /// Made once at start. `server` is the public URL.
    #[must_use]
    pub fn new(document: &serde_json::Value, server: &str) -> Self {
        let json = Bytes::from(document.to_string());
        Self { json, reference: Arc::new(Reference::new(document, server)) }
    }

    pub(in crate::http) fn document(self) -> Response {
        ([(CONTENT_TYPE, "application/json")], self.json).into_response()
    }

    pub(in crate::http) fn index(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        html(render_reference(language(uri, headers), &self.reference))
    }

    pub(in crate::http) fn tag(
        &self,
        slug: &str,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let page = render_reference_tag(language(uri, headers), &self.reference, slug);
        page.map(html).ok_or_else(Problem::not_found)
    }
}

/// The language of a page: by the query's `lang`, else by `Accept-Language`. An invalid query counts as a
/// query without `lang`.
pub(in crate::http) fn language(uri: &Uri, headers: &HeaderMap) -> Lang {
    let requested = parameter(uri, "lang");
    Lang::choose(requested.as_deref(), headers.get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok()))
}

/// A query parameter as entered, if it is present. A parameter that cannot be parsed counts as absent.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = Document::query(uri.query()).ok()?;
    let text = query.root().get(name)?.text().ok()?;
    Some(text.to_owned())
}

/// The response with a page and the headers that only pages have. They are set here, because an error page
/// replaces a response that already has the policy for data. The other security headers are those of every
/// response ([`crate::http::core::layers`]).
pub(in crate::http) fn html(page: String) -> Response {
    // The language comes from the header.
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (VARY, ACCEPT_LANGUAGE.as_str())];
    (headers, PAGE_HEADERS, page).into_response()
}

fn see_other(path: &str) -> Response {
    match HeaderValue::try_from(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response(),
        Err(_) => Problem::not_found().into_response(),
    }
}

pub(in crate::http) async fn start(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    html(render_start(language(&uri, &headers)))
}

pub(in crate::http) async fn form(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    let lang = language(&uri, &headers);
    let Some(code) = parameter(&uri, "code") else {
        // Whether the client sent a code that cannot be read, because the query is malformed or the code is
        // not valid text.
        let unreadable = uri.query().is_some_and(|query| query.contains("code="));
        return html(render_form(lang, "", unreadable.then_some(FormProblem::Unreadable)));
    };
    let chosen = parameter(&uri, "lang").and_then(|tag| Lang::from_tag(&tag));
    match verify_path(&code, chosen) {
        Ok(path) => see_other(&path),
        Err(problem) => html(render_form(lang, &code, Some(problem))),
    }
}

pub(in crate::http) async fn verification_page(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let verification = check_one(&app, &unresolved, client, &last_segment(&uri)).await?;
    // If the register cannot be read, the page still shows the verdict, without the register.
    let verification = match with_register(&app, verification.clone()).await {
        Ok(with_register) => with_register,
        Err(problem) => {
            tracing::warn!(cause = problem.cause().unwrap_or_default(), "the page omits the register");
            verification
        }
    };
    let (lang, contact) = (language(&uri, &headers), app.inspectorate_contact.as_deref());
    let report = ReportForm { sent: parameter(&uri, "reported").is_some(), ..ReportForm::default() };
    Ok(html(render_reported(&verification, lang, app.clock.now(), contact, report)))
}

/// The form for reporting a seal. A report that was taken leads back to the page of the seal, so that a reload sends
/// nothing again; else the page is shown with what was entered.
pub(in crate::http) async fn report_form(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let lang = language(&uri, &headers);
    let code = segment_before(&uri, "/report");
    let taken = match reports::read_form(&envelope.body) {
        Ok(report) => reports::take(&app, client, &code, &report).await,
        Err(problem) => Err(problem),
    };
    let problem = match taken {
        Ok(()) => {
            let path = verify_path(&code, Some(lang)).map_err(|_| Problem::not_found())?;
            return Ok(see_other(&format!("{path}&reported=1#report")));
        }
        Err(problem) => problem,
    };
    let sentence = match problem.kind() {
        ProblemType::TooManyRequests => "report-too-many",
        ProblemType::Wrong if problem.errors().iter().any(|error| error.code == "looks-like-iin") => {
            "report-iin"
        }
        ProblemType::Wrong => "report-invalid",
        _ => return Err(problem),
    };
    let verification = check_one(&app, &unresolved, client, &code).await?;
    let entered = |name| form_field(&envelope.body, name);
    let (what, text, contact) = (entered("what"), entered("text"), entered("contact"));
    let form = ReportForm {
        problem: Some(sentence),
        what: &what,
        text: &text,
        contact: &contact,
        ..ReportForm::default()
    };
    let inspectorate = app.inspectorate_contact.as_deref();
    let page = render_reported(&verification, lang, app.clock.now(), inspectorate, form);
    Ok((problem.status(), html(page)).into_response())
}

/// A field of a form as entered; empty if it is absent.
fn form_field(body: &[u8], name: &str) -> String {
    let form = std::str::from_utf8(body).ok().and_then(|text| Document::query(Some(text)).ok());
    let text = form.and_then(|form| form.root().get(name)?.text().ok().map(str::to_owned));
    text.unwrap_or_default()
}

pub(in crate::http) async fn register(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let published_state = published_state(&app).await?;
    let receipts = app.queue.receipt_keys();
    Ok(html(render_register(language(&uri, &headers), published_state.as_deref(), &receipts)))
}

/// The URL in the label's QR code (GS1 Digital Link), `/01/{gtin}/21/{serial}`: redirects people to the page,
/// and returns the verdict directly to programs that accept JSON or refuse HTML. The path may have further
/// elements, such as a lot (`/01/{gtin}/10/{lot}/21/{serial}`); a path without a serial gets 404.
pub(in crate::http) async fn digital_link(
    State(app): State<App>,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    Path(path): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let code = match Identification::parse(uri.path()) {
        Ok(code) => code.as_str().to_owned(),
        // An invalid link leads to the page that explains what is wrong with it.
        Err(_) => match path.split('/').collect::<Vec<_>>()[..] {
            [gtin, "21", serial] => format!("01{gtin}21{serial}"),
            _ => return Err(Problem::not_found()),
        },
    };
    linked(&app, unresolved, client, &code, &uri, &headers).await
}

/// The response to a Digital Link to `code`: a redirect to its page, or the verdict as JSON.
async fn linked(
    app: &App,
    unresolved: UnresolvedCaller,
    client: ClientAddr,
    code: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let mut response = if Preference::of(headers) == Preference::Json || refuses_html(headers) {
        Json(check_one(app, &unresolved, client, code).await?).into_response()
    } else {
        let lang = parameter(uri, "lang").and_then(|tag| Lang::from_tag(&tag));
        see_other(&verify_path(code, lang).map_err(|_| Problem::not_found())?)
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Makes the page for a problem on the desk, which has a frame of its own: from the head of the response, the URL and
/// the headers of the request, the request id, and `Retry-After` in seconds.
pub type DeskPage = fn(&mut Parts, (&Uri, &HeaderMap), &str, Option<u32>) -> String;

/// Turns problems into HTML pages for clients that prefer HTML, everywhere but under `/v1/`. It is the outermost layer,
/// so that a request shed for lack of a concurrency permit gets a page as well.
pub async fn problems_as_pages(request: Request, next: Next, desk_page: DeskPage) -> Response {
    let for_people =
        !request.uri().path().starts_with("/v1/") && Preference::of(request.headers()) == Preference::Html;
    if !for_people {
        return next.run(request).await;
    }
    let lang = language(request.uri(), request.headers());
    let desk =
        request.uri().path().strip_prefix("/desk").filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let desk = desk.map(|_| (request.uri().clone(), request.headers().clone()));
    let response = next.run(request).await;
    if response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != PROBLEM_JSON.as_bytes()) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let text = |name: HeaderName| Some(parts.headers.get(name)?.to_str().ok()?.to_owned());
    let retry = text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let id = text(crate::http::core::layers::X_REQUEST_ID).unwrap_or_default();
    let page = html(match &desk {
        Some((uri, headers)) => desk_page(&mut parts, (uri, headers), &id, retry),
        None => error_page(parts.status, lang, &id, retry),
    });
    let (head, body) = page.into_parts();
    // The length and encoding are those of the problem document, so they are wrong for the page.
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_ENCODING);
    for (name, value) in &head.headers {
        parts.headers.insert(name, value.clone());
    }
    Response::from_parts(parts, body)
}
