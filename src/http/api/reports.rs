//! Buyers' reports about seals: no account is needed.

use crate::base::error::Invalid;
use crate::base::geo::Position;
use crate::base::input::{Document, Errors, Node, input};
use crate::base::units::{Note, Text};
use crate::http::api::verify::segment_before;
use crate::http::core::address::ClientAddr;
use crate::http::core::app::App;
use crate::http::core::limit::RetryAfter;
use crate::http::core::problem::Problem;
use crate::http::core::query::NoQuery;
use crate::http::core::write::{Envelope, ParsedWrite};
use crate::services::reports::{SentReport, report};
use crate::timber::finding::decide::refuse_iin;
use crate::timber::finding::report::{Reported, Taken};
use crate::timber::seal::Code;
use axum::extract::{OriginalUri, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

input! {
    /// What is wrong with a seal or the wood that bears it.
    pub struct CitizenReport {
        /// What.
        pub what: Reported,
        /// In words: personal data, shown to inspectors only.
        pub text: Option<Note>,
        /// Where the wood is: personal data, shown to inspectors only.
        pub position: Option<Position>,
        /// How inspectors can reach you: personal data, shown to them only.
        pub contact: Option<Text<100>>,
    }
    => CitizenReport::check;
}

impl CitizenReport {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        if let Some(Err(invalid)) = self.text.as_ref().map(|text| refuse_iin(text.as_str())) {
            errors.refuse_field(node, "text", invalid);
        }
    }
}

/// Reads the fields of the form on the page of a seal. Fields that were left empty are absent, and line breaks become
/// blanks.
///
/// # Errors
/// A field is invalid.
pub(in crate::http) fn read_form(body: &[u8]) -> Result<CitizenReport, Problem> {
    let unreadable = || Problem::malformed("The form cannot be read.");
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    let form = Document::query(Some(text)).map_err(|_| unreadable())?;
    let field = |name: &str| {
        let text = form.root().get(name).and_then(|node| node.text().ok());
        text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
    };
    let document = serde_json::json!({
        "what": field("what").unwrap_or_else(|| Reported::Other.as_str().to_owned()),
        "text": field("text"), "contact": field("contact"),
    })
    .to_string();
    let document = Document::parse(document.as_bytes()).map_err(|_| unreadable())?;
    document.read().map_err(Problem::wrong)
}

/// Takes a report, within the limits of its block of addresses and of the code.
///
/// # Errors
/// 404 for a text that is no code, 429 beyond the limits.
pub(in crate::http) async fn take(
    app: &App,
    client: ClientAddr,
    code: &str,
    sent: &CitizenReport,
) -> Result<(), Problem> {
    let code = Code::parse_public(code).map_err(|_: Invalid| Problem::not_found())?;
    app.limiter.reports().take(client.0)?;
    let sent = SentReport {
        code: &code,
        what: sent.what,
        text: sent.text.as_ref().map(Text::as_str),
        position: sent.position,
        contact: sent.contact.as_ref().map(Text::as_str),
    };
    match report(&app.pool, &app.key_ring, &app.rulebook, &sent).await? {
        Taken::Stored => Ok(()),
        Taken::Full(wait) => Err(RetryAfter::from_wait(wait.to_std().unwrap_or_default()).into()),
    }
}

/// Report a seal
///
/// Public: no account is needed. For inspectors, who read it within 180 days or open it. At most 3 reports an hour from one
/// block of addresses, and 10 a day about one code. The organisation that holds the wood never sees when, where or in which
/// words it was reported.
#[utoipa::path(
    post, path = "/v1/verify/{code}/report", operation_id = "report_code", tag = "verification", security((), ("token" = [])),
    params(("code" = String, Path, description = "Seal number or marking code, percent-encoded")),
    request_body = CitizenReport,
    responses(
        (status = 202, description = "Taken"),
        (status = 404, description = "No seal number and no code", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many reports from these addresses, or about this code", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn report_code(
    State(app): State<App>,
    client: ClientAddr,
    OriginalUri(uri): OriginalUri,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let ParsedWrite { input, .. } = envelope.json::<CitizenReport, NoQuery>(&app)?;
    take(&app, client, &segment_before(&uri, "/report"), &input).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}
