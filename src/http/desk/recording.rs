//! Recording a custody event from a form, with the writer of `POST /v1/custody-events`: the form is turned into the body
//! that a program would send, so the same rules read and judge it, and each refusal is shown at its field.
//!
//! The form has an operation id from the moment it is shown. A second click sends the same request again, and gets what
//! the first one recorded.

use super::form::Form;
use crate::base::error::{FieldError, Location};
use crate::base::i18n::Lang;
use crate::base::i18n::text::{say, say_with, try_say_with};
use crate::base::input::Document;
use crate::base::units::KAZAKHSTAN_OFFSET_MINUTES;
use crate::http::api::custody_events::post_event;
use crate::http::core::app::App;
use crate::http::core::problem::{Problem, ProblemType};
use crate::http::core::write::Envelope;
use crate::timber::custody::request::NewCustodyEvent;
use crate::timber::party::key::Caller;
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// An object of a request's body. Numbers keep the digits that were entered.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct Body(BTreeMap<&'static str, Box<RawValue>>);

impl Body {
    /// With a member.
    pub(super) fn put(mut self, name: &'static str, value: &impl Serialize) -> Self {
        if let Ok(value) = to_raw_value(value) {
            self.0.insert(name, value);
        }
        self
    }

    /// With a text, unless it is empty.
    pub(super) fn text(self, name: &'static str, text: &str) -> Self {
        if text.is_empty() { self } else { self.put(name, &text) }
    }

    /// With a number as it was entered, with a decimal comma or point, unless it is empty. What is no number is sent as
    /// the text that it is, so that the reader of the body refuses it.
    pub(super) fn number(mut self, name: &'static str, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        match number(text) {
            Some(number) => {
                self.0.insert(name, number);
                self
            }
            None => self.put(name, &text),
        }
    }

    /// With an object, unless it has no members.
    pub(super) fn object(self, name: &'static str, object: &Self) -> Self {
        if object.0.is_empty() { self } else { self.put(name, object) }
    }
}

fn number(text: &str) -> Option<Box<RawValue>> {
    let text = text.replace(',', ".");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.ends_with('.') || whole.is_empty() || !are_digits(whole) || !are_digits(decimals) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if decimals.is_empty() { "" } else { "." };
    RawValue::from_string(format!("{sign}{whole}{point}{decimals}")).ok()
}

/// Latitude and longitude as they are copied from a map or a receiver: `50.4111, 80.2275`, also with decimal commas if a
/// blank or a semicolon is between them.
pub(super) fn position(text: &str) -> Body {
    let parts: Vec<&str> =
        text.split([' ', ';']).map(|part| part.trim_matches(',')).filter(|part| !part.is_empty()).collect();
    let pair = match parts[..] {
        [lat, lon] => Some((lat, lon)),
        [one] => one.split_once(','),
        _ => None,
    };
    match pair {
        Some((lat, lon)) => Body::default().number("lat", lat.trim()).number("lon", lon.trim()),
        None => Body::default().text("lat", text),
    }
}

/// Now, as a field of day and time shows it.
pub(super) fn local_now(now: DateTime<Utc>) -> String {
    let local = (now + TimeDelta::minutes(KAZAKHSTAN_OFFSET_MINUTES.into())).naive_utc();
    local.format("%Y-%m-%dT%H:%M").to_string()
}

/// Day and time in Kazakhstan as a field has them, or as they are typed where a browser has no such field, with the
/// offset. What is neither stays as it is, and is refused.
pub(super) fn moment(text: &str) -> String {
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M"];
    let read = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    read.map_or_else(|| text.to_owned(), |local| local.format("%Y-%m-%dT%H:%M:%S+05:00").to_string())
}

/// Records the event that `body` describes.
pub(super) async fn record(
    app: &App,
    caller: Caller,
    mut envelope: Envelope,
    body: &Body,
) -> Result<Response, Problem> {
    let text = serde_json::to_string(body).map_err(|error| Problem::internal(error.to_string()))?;
    let document = Document::parse(text.as_bytes()).map_err(|error| Problem::malformed_at(error.into()))?;
    // A page has parameters of its own, such as its language.
    envelope.query = None;
    let parsed = envelope.parse_document::<NewCustodyEvent, _>(app, &document)?;
    Box::pin(post_event(app.clone(), caller, parsed)).await
}

/// Shows a refusal in the form: each error at the field that `field_of` gives for its pointer.
///
/// # Errors
/// The problem, if it is none that a form can show.
pub(super) fn refuse(
    form: &mut Form,
    problem: Problem,
    lang: Lang,
    field_of: impl Fn(&str) -> Option<&'static str>,
) -> Result<(), Problem> {
    let shown = matches!(
        problem.kind(),
        ProblemType::Wrong
            | ProblemType::Conflict
            | ProblemType::OwnCase
            | ProblemType::OrganizationSuspended
            | ProblemType::InProgress
    );
    if !shown {
        return Err(problem);
    }
    for error in problem.errors() {
        let field = match &error.at {
            Location::Pointer(pointer) => field_of(pointer),
            _ => None,
        };
        form.refuse(field, words(error, field, lang));
    }
    if !form.is_wrong() {
        form.refuse(None, say(lang, "desk-refused-again"));
    }
    Ok(())
}

/// The words for an error: those for its code, else those for its field, else the code with its English sentence.
fn words(error: &FieldError, field: Option<&str>, lang: Lang) -> String {
    let of_code = try_say_with(lang, &format!("desk-refused-{}", error.code), &[]);
    let of_field = || try_say_with(lang, &format!("desk-wrong-{}", field?), &[]);
    of_code.or_else(of_field).unwrap_or_else(|| {
        say_with(
            lang,
            "desk-refused",
            &[("code", error.code.into()), ("detail", error.detail.as_ref().into())],
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(body: &Body) -> String {
        serde_json::to_string(body).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits_and_a_decimal_comma_is_read() {
        let of = |text: &str| json(&Body::default().number("n", text));
        assert_eq!(of("6,120"), r#"{"n":6.120}"#);
        assert_eq!(of("007.5"), r#"{"n":7.5}"#);
        assert_eq!(of("-0"), r#"{"n":-0}"#);
        assert_eq!(of(""), "{}");
        for bad in ["six", "1.2.3", ".5", "5.", "1e9", "--1", "NaN"] {
            assert_eq!(of(bad), format!(r#"{{"n":"{bad}"}}"#));
        }
    }

    #[test]
    fn a_position_is_read_as_it_is_copied() {
        for text in ["50.41, 80.22", "50.41,80.22", "50,41 80,22", "50.41;80.22", "50.41 , 80.22"] {
            assert_eq!(json(&position(text)), r#"{"lat":50.41,"lon":80.22}"#, "{text}");
        }
        assert_eq!(json(&position("")), "{}");
        assert_eq!(json(&position("Semey")), r#"{"lat":"Semey"}"#);
    }

    #[test]
    fn a_time_is_that_of_kazakhstan() {
        assert_eq!(moment("2026-11-28T22:15"), "2026-11-28T22:15:00+05:00");
        assert_eq!(moment("28.11.2026 22:15"), "2026-11-28T22:15:00+05:00");
        assert_eq!(moment("yesterday"), "yesterday");
        assert_eq!(local_now("2026-11-28T19:15:59Z".parse().unwrap()), "2026-11-29T00:15");
    }
}
