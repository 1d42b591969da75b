//! A form that records one event of a log: its page, and what becomes of it when it is sent. Each event is an
//! [`EventForm`] with its own fields; time and operation id are the same in all.

use super::form::{Field, Form, Input, Summary};
use super::layout::{Frame, page};
use super::log::log_of;
use super::logs::log_path;
use super::recording::{Body, local_now, moment, position, record, refuse};
use super::session::{Desk, see_other};
use super::values::Values;
use super::words::{amount, species_word};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::ids::OperationId;
use crate::http::api::verify::segment_before;
use crate::http::core::app::App;
use crate::http::core::auth::UnresolvedCaller;
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::timber::custody::log::read::{LogView, SealState};
use crate::timber::party::key::Caller;
use askama::Template;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// One event, and how its form looks.
#[derive(Clone, Copy)]
pub(super) struct EventForm {
    /// Type of the event.
    pub(super) event: &'static str,
    /// End of the path of its page.
    pub(super) path: &'static str,
    /// Key of its name.
    pub(super) title: &'static str,
    /// Key of the words on the button.
    pub(super) button: &'static str,
    /// Adds its fields, with what was entered.
    pub(super) fields: fn(Form, Lang, &Values) -> Form,
    /// The member `details` of the request.
    pub(super) details: fn(&Values) -> Body,
}

/// The page of a form about one log.
#[derive(Template)]
#[template(path = "desk/event.html")]
struct EventPage {
    frame: Frame,
    summary: Option<Summary>,
    heading: String,
    number: String,
    path: String,
    /// What is recorded, for comparison.
    recorded: String,
    warnings: Vec<String>,
    form: Form,
}

impl EventForm {
    /// The form, empty but for the time.
    pub(super) async fn show(
        self,
        app: &App,
        desk: &Desk,
        unresolved: &UnresolvedCaller,
        uri: &Uri,
    ) -> Result<Response, Problem> {
        let log = log_of(app, desk, unresolved, &segment_before(uri, self.path)).await?;
        let empty = Values::of_query(&Uri::from_static("/"));
        let form =
            self.form(desk.lang, uri, &empty, &OperationId::new().to_string(), &local_now(app.clock.now()));
        Ok(self.page(desk, &log, form))
    }

    /// Records the event, and leads to the log's page; or shows the form again with what is wrong.
    pub(super) async fn send(
        self,
        app: &App,
        caller: Caller,
        desk: &Desk,
        unresolved: &UnresolvedCaller,
        (uri, envelope): (&Uri, Envelope),
    ) -> Result<Response, Problem> {
        let values = Values::of_form(&envelope)?;
        let log = log_of(app, desk, unresolved, &segment_before(uri, self.path)).await?;
        let Err(problem) = record(app, caller, envelope, &self.body(&log, &values)).await else {
            let path = log_path(log.seal.number.as_str());
            return Ok(see_other(&format!("{path}?done={}", self.event)));
        };
        let status = problem.status();
        let mut form =
            self.form(desk.lang, uri, &values, &operation(&values, status), &values.get("occurred_at"));
        refuse(&mut form, problem, desk.lang, field_of)?;
        Ok((status, self.page(desk, &log, form)).into_response())
    }

    fn form(self, lang: Lang, uri: &Uri, values: &Values, operation: &str, when: &str) -> Form {
        let form = Form::post(lang, uri.path(), say(lang, self.button));
        let time = Field::new("occurred_at", say(lang, "desk-occurred"), Input::Moment)
            .hint(say(lang, "desk-occurred-hint"))
            .value(when);
        (self.fields)(form, lang, values).hidden("operation_id", operation).field(time)
    }

    /// The body of the request, as a program would send it.
    fn body(self, log: &LogView, values: &Values) -> Body {
        let place = Body::default().text("name", &values.get("place")).text("region", &values.get("region"));
        Body::default()
            .put("type", &self.event)
            .put("logs", &[log.id])
            .text("occurred_at", &moment(&values.get("occurred_at")))
            .text("operation_id", &values.get("operation_id"))
            .object("place", &place)
            .object("position", &position(&values.get("position")))
            .put("details", &(self.details)(values))
    }

    fn page(self, desk: &Desk, log: &LogView, form: Form) -> Response {
        let (frame, number) = (desk.frame(), log.seal.number.as_str().to_owned());
        let heading = frame.say(self.title);
        page(&EventPage {
            frame: frame.titled(format!("{number}: {heading}")).wrong_if(form.is_wrong()),
            summary: form.summary(),
            heading,
            path: log_path(&number),
            recorded: recorded(log, desk.lang),
            warnings: warnings(log, desk.lang),
            number,
            form,
        })
    }
}

/// The operation id of a form that is shown again. One that was used for another request is replaced.
fn operation(values: &Values, status: StatusCode) -> String {
    let sent = OperationId::parse(&values.get("operation_id")).ok();
    let again = sent.filter(|_| status != StatusCode::CONFLICT);
    again.unwrap_or_default().to_string()
}

/// The field for a pointer into the body.
fn field_of(pointer: &str) -> Option<&'static str> {
    Some(match pointer {
        "/details/outcome" => "outcome",
        "/details/observed/species" => "species",
        "/details/observed/length_m" => "length",
        "/details/observed/top_diameter_cm" => "diameter",
        "/details/hold" => "hold",
        "/details/note" => "note",
        "/details/reason" => "reason",
        "/details/act" | "/details/act/number" => "act",
        "/details/act/date" => "act_date",
        "/occurred_at" => "occurred_at",
        "/place/name" => "place",
        "/place/region" => "region",
        _ if pointer.starts_with("/position") => "position",
        _ => return None,
    })
}

/// The recorded species and measures in one line.
fn recorded(log: &LogView, lang: Lang) -> String {
    let parts = [
        Some(species_word(log.species, lang)),
        log.length_m.map(|length| amount(lang, "metres", length.decimal())),
        log.top_diameter_cm.map(|diameter| amount(lang, "centimetres", diameter.decimal())),
        log.pieces.map(|pieces| say_with(lang, "pieces-count", &[("count", pieces.get().into())])),
        Some(amount(lang, "cubic-metres", log.volume_m3.decimal())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What an inspector should know before recording: the event is accepted nevertheless.
fn warnings(log: &LogView, lang: Lang) -> Vec<String> {
    let mut warnings = Vec::new();
    if log.seal.status == SealState::Void {
        warnings.push(say(lang, "desk-warning-void"));
    }
    if let Some(status) = log.status.filter(|status| !status.is_open()) {
        let state = say_word(lang, "state", status.as_str());
        warnings.push(say_with(lang, "desk-warning-closed", &[("state", state.into())]));
    }
    if log.held.is_some() {
        warnings.push(say(lang, "desk-warning-held"));
    }
    warnings
}
