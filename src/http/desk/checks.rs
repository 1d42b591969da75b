//! An inspector's check of a log: the form, and the event `inspected`.

use super::form::{Choice, Field, Form, Input, Summary};
use super::layout::{Frame, page};
use super::log::seen_log;
use super::logs::log_path;
use super::recording::{Body, local_now, moment, position, record, refuse};
use super::session::{Desk, see_other};
use super::values::Values;
use super::words::{amount, region_word, species_word};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, say_word};
use crate::base::ids::OperationId;
use crate::base::region::Region;
use crate::http::api::verify::segment_before;
use crate::http::core::app::App;
use crate::http::core::auth::{Inspector, UnresolvedCaller};
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::timber::custody::log::read::{LogView, SealState};
use crate::timber::event::vocabulary::Outcome;
use crate::timber::wood::species::Species;
use askama::Template;
use axum::extract::{OriginalUri, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// End of the path of the page.
const NEW: &str = "/checks/new";

/// The page of a form about one log.
#[derive(Template)]
#[template(path = "desk/event.html")]
pub(super) struct EventPage {
    pub(super) frame: Frame,
    pub(super) summary: Option<Summary>,
    pub(super) heading: String,
    pub(super) number: String,
    pub(super) path: String,
    /// What is recorded, for comparison.
    pub(super) recorded: String,
    pub(super) warnings: Vec<String>,
    pub(super) form: Form,
}

impl EventPage {
    /// The page; `heading` is the key of what is recorded.
    pub(super) fn of(desk: &Desk, log: &LogView, heading: &str, form: Form) -> Self {
        let (frame, number) = (desk.frame(), log.seal.number.as_str().to_owned());
        let heading = frame.say(heading);
        Self {
            frame: frame.titled(format!("{number}: {heading}")).wrong_if(form.is_wrong()),
            summary: form.summary(),
            heading,
            path: log_path(&number),
            recorded: recorded(log, desk.lang),
            warnings: warnings(log, desk.lang),
            number,
            form,
        }
    }
}

/// `GET /desk/logs/{code}/checks/new`: the form.
pub async fn new_check(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    let log = seen_log(&app, &desk, &unresolved, &code(&uri)).await?.log;
    let empty = Values::of_query(&Uri::from_static("/"));
    let form = check_form(desk.lang, &uri, &empty)
        .hidden("operation_id", OperationId::new().to_string())
        .field(when(desk.lang, &local_now(app.clock.now())));
    Ok(page(&EventPage::of(&desk, &log, "desk-check-title", form)))
}

/// `POST /desk/logs/{code}/checks/new`: records the check.
pub async fn record_check(
    State(app): State<App>,
    Inspector(caller): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
    envelope: Envelope,
) -> Result<Response, Problem> {
    let values = Values::of_form(&envelope)?;
    let log = seen_log(&app, &desk, &unresolved, &code(&uri)).await?.log;
    let Err(problem) = record(&app, caller, envelope, &check_body(&log, &values)).await else {
        return Ok(see_other(&format!("{}?done=inspected", log_path(log.seal.number.as_str()))));
    };
    let status = problem.status();
    let mut form = check_form(desk.lang, &uri, &values)
        .hidden("operation_id", operation(&values, status))
        .field(when(desk.lang, &values.get("occurred_at")));
    refuse(&mut form, problem, desk.lang, field_of)?;
    let html = page(&EventPage::of(&desk, &log, "desk-check-title", form));
    Ok((status, html).into_response())
}

/// The operation id of a form that is shown again. One that was used for another request is replaced.
pub(super) fn operation(values: &Values, status: StatusCode) -> String {
    let sent = OperationId::parse(&values.get("operation_id")).ok();
    let again = sent.filter(|_| status != StatusCode::CONFLICT);
    again.unwrap_or_default().to_string()
}

/// The body of the request, as a program would send it.
fn check_body(log: &LogView, values: &Values) -> Body {
    let observed = Body::default()
        .text("species", &values.get("species"))
        .number("length_m", &values.get("length"))
        .number("top_diameter_cm", &values.get("diameter"));
    // A required member is sent even if it is empty, so that it is refused together with the others.
    let details = Body::default()
        .put("outcome", &values.get("outcome"))
        .object("observed", &observed)
        .text("note", &values.get("note"));
    let details = match values.get("hold").as_str() {
        "yes" => details.put("hold", &true),
        "no" => details.put("hold", &false),
        _ => details,
    };
    event_body("inspected", log, values).put("details", &details)
}

/// What the forms of events have in common.
pub(super) fn event_body(event: &str, log: &LogView, values: &Values) -> Body {
    let place = Body::default().text("name", &values.get("place")).text("region", &values.get("region"));
    Body::default()
        .put("type", &event)
        .put("logs", &[log.id])
        .text("occurred_at", &moment(&values.get("occurred_at")))
        .text("operation_id", &values.get("operation_id"))
        .object("place", &place)
        .object("position", &position(&values.get("position")))
}

/// The field for a pointer into the body.
pub(super) fn field_of(pointer: &str) -> Option<&'static str> {
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

fn check_form(lang: Lang, uri: &Uri, values: &Values) -> Form {
    let outcomes = Outcome::ALL
        .iter()
        .map(|outcome| Choice::new(outcome.as_str(), say_word(lang, "inspection", outcome.as_str())));
    let mut species: Vec<(String, Species)> =
        Species::all().map(|species| (species_word(species, lang), species)).collect();
    species.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let species = species.into_iter().map(|(word, species)| Choice::new(species.as_str(), word));
    let as_recorded = [Choice::new("", say(lang, "desk-as-recorded"))].into_iter();
    let holds = ["", "yes", "no"];
    let hold = holds.map(|hold| {
        Choice::new(hold, say(lang, &format!("desk-hold-{}", if hold.is_empty() { "rule" } else { hold })))
    });
    let unit = |key: &str| say(lang, key);
    let kept = |field: Field, name: &str| field.value(values.get(name));
    Form::post(lang, uri.path(), say(lang, "desk-check-save"))
        .field(kept(
            Field::new("outcome", say(lang, "desk-fact-outcome"), Input::Radios(outcomes.collect())),
            "outcome",
        ))
        .field(kept(
            Field::new(
                "species",
                say(lang, "desk-fact-seen-species"),
                Input::Select(as_recorded.chain(species).collect()),
            ),
            "species",
        ))
        .field(kept(
            Field::number("length", say(lang, "desk-fact-seen-length"), unit("desk-unit-m"))
                .hint(say(lang, "desk-check-differs")),
            "length",
        ))
        .field(kept(
            Field::number("diameter", say(lang, "desk-fact-seen-diameter"), unit("desk-unit-cm")),
            "diameter",
        ))
        .field(kept(
            Field::new("hold", say(lang, "desk-hold"), Input::Select(hold.into()))
                .hint(say(lang, "desk-hold-hint")),
            "hold",
        ))
        .field(kept(
            Field::text("note", say(lang, "desk-fact-note")).hint(say(lang, "desk-note-hint")),
            "note",
        ))
        .field(kept(place_field(lang), "place"))
        .field(kept(region_field(lang), "region"))
        .field(kept(position_field(lang), "position"))
}

pub(super) fn when(lang: Lang, value: &str) -> Field {
    Field::new("occurred_at", say(lang, "desk-occurred"), Input::Moment)
        .hint(say(lang, "desk-occurred-hint"))
        .value(value)
}

fn place_field(lang: Lang) -> Field {
    Field::text("place", say(lang, "desk-place-name")).hint(say(lang, "desk-place-hint"))
}

fn region_field(lang: Lang) -> Field {
    let none = [Choice::new("", "–")].into_iter();
    let regions = Region::all().map(|region| Choice::new(region.as_str(), region_word(region, lang)));
    Field::new("region", say(lang, "region"), Input::Select(none.chain(regions).collect()))
}

fn position_field(lang: Lang) -> Field {
    Field::text("position", say(lang, "desk-fact-position")).hint(say(lang, "desk-position-hint"))
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

fn code(uri: &Uri) -> String {
    segment_before(uri, NEW)
}
