//! An inspector's check of a log: the form, and the event `inspected`.

use super::event_form::EventForm;
use super::form::{Choice, Field, Form, Input};
use super::recording::Body;
use super::session::Desk;
use super::values::Values;
use super::words::{region_word, species_word};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_word};
use crate::base::region::Region;
use crate::http::core::app::App;
use crate::http::core::auth::{Inspector, UnresolvedCaller};
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use crate::timber::event::vocabulary::Outcome;
use crate::timber::wood::species::Species;
use axum::extract::{OriginalUri, State};
use axum::response::Response;

const CHECK: EventForm = EventForm {
    event: "inspected",
    path: "/checks/new",
    title: "desk-check-title",
    button: "desk-check-save",
    fields,
    details,
};

/// `GET /desk/logs/{code}/checks/new`: the form.
pub async fn new_check(
    State(app): State<App>,
    Inspector(_): Inspector,
    desk: Desk,
    unresolved: UnresolvedCaller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    CHECK.show(&app, &desk, &unresolved, &uri).await
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
    CHECK.send(&app, caller, &desk, &unresolved, (&uri, envelope)).await
}

fn details(values: &Values) -> Body {
    let observed = Body::default()
        .text("species", &values.get("species"))
        .number("length_m", &values.get("length"))
        .number("top_diameter_cm", &values.get("diameter"));
    // A required member is sent even if it is empty, so that it is refused together with the others.
    let details = Body::default()
        .put("outcome", &values.get("outcome"))
        .object("observed", &observed)
        .text("note", &values.get("note"));
    match values.get("hold").as_str() {
        "yes" => details.put("hold", &true),
        "no" => details.put("hold", &false),
        _ => details,
    }
}

fn fields(form: Form, lang: Lang, values: &Values) -> Form {
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
    form.field(kept(
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
    .field(kept(Field::text("note", say(lang, "desk-fact-note")).hint(say(lang, "desk-note-hint")), "note"))
    .field(kept(place_field(lang), "place"))
    .field(kept(region_field(lang), "region"))
    .field(kept(position_field(lang), "position"))
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
