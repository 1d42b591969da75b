//! An inspector stops a log (event `detained`), and lets it go on (event `released`).

use super::checks::{EventPage, event_body, field_of, operation, when};
use super::form::{Field, Form};
use super::layout::page;
use super::log::seen_log;
use super::logs::log_path;
use super::recording::{Body, local_now, record, refuse};
use super::session::{Desk, see_other};
use super::values::Values;
use crate::base::i18n::Lang;
use crate::base::i18n::text::say;
use crate::base::ids::OperationId;
use crate::http::api::verify::segment_before;
use crate::http::core::app::App;
use crate::http::core::auth::{Inspector, UnresolvedCaller};
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::timber::party::key::Caller;
use axum::extract::{OriginalUri, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};

/// One of the two events.
#[derive(Clone, Copy)]
struct Step {
    event: &'static str,
    /// End of the path of its page.
    path: &'static str,
    /// Key of its name.
    title: &'static str,
}

const DETAIN: Step = Step { event: "detained", path: "/holds/new", title: "desk-detain-title" };
const RELEASE: Step = Step { event: "released", path: "/releases/new", title: "desk-release-title" };

/// `GET /desk/logs/{code}/holds/new`.
pub async fn new_hold(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    show(&app, &desk, &unresolved, &uri, DETAIN).await
}

/// `POST /desk/logs/{code}/holds/new`.
pub async fn record_hold(
    State(app): State<App>,
    Inspector(caller): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    envelope: Envelope,
) -> Result<Response, Problem> {
    send(&app, caller, &desk, &unresolved, (&uri, envelope), DETAIN).await
}

/// `GET /desk/logs/{code}/releases/new`.
pub async fn new_release(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    show(&app, &desk, &unresolved, &uri, RELEASE).await
}

/// `POST /desk/logs/{code}/releases/new`.
pub async fn record_release(
    State(app): State<App>,
    Inspector(caller): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    envelope: Envelope,
) -> Result<Response, Problem> {
    send(&app, caller, &desk, &unresolved, (&uri, envelope), RELEASE).await
}

async fn show(
    app: &App,
    desk: &Desk,
    unresolved: &UnresolvedCaller,
    uri: &Uri,
    step: Step,
) -> Result<Response, Problem> {
    let log = seen_log(app, desk, unresolved, &segment_before(uri, step.path)).await?.log;
    let empty = Values::of_query(&Uri::from_static("/"));
    let form = reason_form(desk.lang, uri, &empty, step)
        .hidden("operation_id", OperationId::new().to_string())
        .field(when(desk.lang, &local_now(app.clock.now())));
    Ok(page(&EventPage::of(desk, &log, step.title, form)))
}

async fn send(
    app: &App,
    caller: Caller,
    desk: &Desk,
    unresolved: &UnresolvedCaller,
    (uri, envelope): (&Uri, Envelope),
    step: Step,
) -> Result<Response, Problem> {
    let values = Values::of_form(&envelope)?;
    let log = seen_log(app, desk, unresolved, &segment_before(uri, step.path)).await?.log;
    let act = Body::default().text("number", &values.get("act")).text("date", &values.get("act_date"));
    let details = Body::default().put("reason", &values.get("reason")).object("act", &act);
    let body = event_body(step.event, &log, &values).put("details", &details);
    let Err(problem) = record(app, caller, envelope, &body).await else {
        let path = log_path(log.seal.number.as_str());
        return Ok(see_other(&format!("{path}?done={}", step.event)));
    };
    let status = problem.status();
    let mut form = reason_form(desk.lang, uri, &values, step)
        .hidden("operation_id", operation(&values, status))
        .field(when(desk.lang, &values.get("occurred_at")));
    refuse(&mut form, problem, desk.lang, field_of)?;
    Ok((status, page(&EventPage::of(desk, &log, step.title, form))).into_response())
}

fn reason_form(lang: Lang, uri: &Uri, values: &Values, step: Step) -> Form {
    let reason = Field::text("reason", say(lang, "desk-fact-reason")).hint(say(lang, "desk-reason-hint"));
    let act = Field::text("act", say(lang, "desk-act-number"));
    let date = Field::text("act_date", say(lang, "desk-act-date")).hint(say(lang, "desk-act-date-hint"));
    let kept = |field: Field, name: &str| field.value(values.get(name));
    Form::post(lang, uri.path(), say(lang, step.title))
        .field(kept(reason, "reason"))
        .field(kept(act, "act"))
        .field(kept(date, "act_date"))
}
