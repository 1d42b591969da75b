//! An inspector stops a log (event `detained`), and lets it go on (event `released`).

use super::event_form::EventForm;
use super::form::{Field, Form};
use super::recording::Body;
use super::session::Desk;
use super::values::Values;
use crate::base::i18n::Lang;
use crate::base::i18n::text::say;
use crate::http::core::app::App;
use crate::http::core::auth::{Inspector, UnresolvedCaller};
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use axum::extract::{OriginalUri, State};
use axum::response::Response;

const DETAIN: EventForm = EventForm {
    event: "detained",
    path: "/holds/new",
    title: "desk-detain-title",
    button: "desk-detain-title",
    fields,
    details,
};
const RELEASE: EventForm = EventForm {
    event: "released",
    path: "/releases/new",
    title: "desk-release-title",
    button: "desk-release-title",
    ..DETAIN
};

/// `GET /desk/logs/{code}/holds/new`.
pub async fn new_hold(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    DETAIN.show(&app, &desk, &unresolved, &uri).await
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
    DETAIN.send(&app, caller, &desk, &unresolved, (&uri, envelope)).await
}

/// `GET /desk/logs/{code}/releases/new`.
pub async fn new_release(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    RELEASE.show(&app, &desk, &unresolved, &uri).await
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
    RELEASE.send(&app, caller, &desk, &unresolved, (&uri, envelope)).await
}

fn details(values: &Values) -> Body {
    let act = Body::default().text("number", &values.get("act")).text("date", &values.get("act_date"));
    Body::default().put("reason", &values.get("reason")).object("act", &act)
}

fn fields(form: Form, lang: Lang, values: &Values) -> Form {
    let reason = Field::text("reason", say(lang, "desk-fact-reason")).hint(say(lang, "desk-reason-hint"));
    let act = Field::text("act", say(lang, "desk-act-number"));
    let date = Field::text("act_date", say(lang, "desk-act-date")).hint(say(lang, "desk-act-date-hint"));
    let kept = |field: Field, name: &str| field.value(values.get(name));
    form.field(kept(reason, "reason")).field(kept(act, "act")).field(kept(date, "act_date"))
}
