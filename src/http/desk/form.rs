//! The form kit. A form that was refused is shown again with what was entered: a summary with a link to each wrong field
//! at the top, which gets the focus, and the same words at the field.

use crate::base::i18n::Lang;
use crate::base::i18n::text::say;
use askama::Template;

/// A form; `Display` writes it as HTML.
#[derive(Template)]
#[template(path = "desk/form.html")]
pub(super) struct Form {
    lang: Lang,
    method: &'static str,
    action: String,
    hidden: Vec<(&'static str, String)>,
    fields: Vec<Field>,
    /// Refusals that concern no field.
    refusals: Vec<String>,
    submit: String,
}

/// The summary of a refused form; `Display` writes it as HTML.
#[derive(Template)]
#[template(path = "desk/summary.html")]
pub(super) struct Summary {
    title: String,
    /// The id of the field, and the words.
    items: Vec<(Option<&'static str>, String)>,
}

/// A field of a form.
pub(super) struct Field {
    name: &'static str,
    label: String,
    hint: Option<String>,
    input: Input,
    value: String,
    problem: Option<String>,
}

/// How a field is entered.
pub(super) enum Input {
    /// One line of text; `width` in characters, 0 for a whole line. `mode` is the keyboard of a phone.
    Text { width: u8, mode: &'static str, unit: Option<String> },
    /// A secret, which a password manager may fill in and which is never shown again.
    Secret,
    /// Day and time in Kazakhstan.
    Moment,
    /// Several lines.
    Area(u8),
    /// One of many.
    Select(Vec<Choice>),
    /// One of few.
    Radios(Vec<Choice>),
}

/// A choice of a field.
pub(super) struct Choice {
    value: String,
    label: String,
}

impl Choice {
    pub(super) fn new(value: impl Into<String>, label: impl Into<String>) -> Self {
        Self { value: value.into(), label: label.into() }
    }
}

impl Field {
    /// A field with its label.
    pub(super) fn new(name: &'static str, label: String, input: Input) -> Self {
        Self { name, label, hint: None, input, value: String::new(), problem: None }
    }

    /// A field of one line.
    pub(super) fn text(name: &'static str, label: String) -> Self {
        Self::new(name, label, Input::Text { width: 0, mode: "text", unit: None })
    }

    /// A number, with its unit behind it.
    pub(super) fn number(name: &'static str, label: String, unit: String) -> Self {
        Self::new(name, label, Input::Text { width: 6, mode: "decimal", unit: Some(unit) })
    }

    /// With a sentence below the label.
    pub(super) fn hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    /// With what was entered, or what is proposed.
    pub(super) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }
}

impl Form {
    /// A form that is sent to `action` by POST.
    pub(super) fn post(lang: Lang, action: impl Into<String>, submit: String) -> Self {
        Self {
            lang,
            method: "post",
            action: action.into(),
            hidden: Vec::new(),
            fields: Vec::new(),
            refusals: Vec::new(),
            submit,
        }
    }

    /// A form of filters, which are part of the URL.
    pub(super) fn get(lang: Lang, action: impl Into<String>, submit: String) -> Self {
        Self { method: "get", ..Self::post(lang, action, submit) }
    }

    /// With a value that is sent along unseen.
    pub(super) fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// With a field.
    pub(super) fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds a refusal at the field `name`; of a form without such a field, one that concerns no field. A field has one
    /// refusal, the first.
    pub(super) fn refuse(&mut self, name: Option<&str>, words: String) {
        let field = name.and_then(|name| self.fields.iter_mut().find(|field| field.name == name));
        match field {
            Some(field) if field.problem.is_none() => field.problem = Some(words),
            Some(_) => {}
            None if self.refusals.contains(&words) => {}
            None => self.refusals.push(words),
        }
    }

    /// Whether anything was refused.
    pub(super) fn is_wrong(&self) -> bool {
        !self.refusals.is_empty() || self.fields.iter().any(|field| field.problem.is_some())
    }

    /// The summary, if anything was refused.
    pub(super) fn summary(&self) -> Option<Summary> {
        let refusals = self.refusals.iter().map(|words| (None, words.clone()));
        let wrong = self.fields.iter().filter_map(|field| Some((Some(field.name), field.problem.clone()?)));
        self.is_wrong().then(|| Summary {
            title: say(self.lang, "desk-form-wrong"),
            items: refusals.chain(wrong).collect(),
        })
    }

    fn say(&self, key: &str) -> String {
        say(self.lang, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_above_and_at_its_field_and_what_was_entered_stays() {
        let mut form = Form::post(Lang::En, "/desk/x", "Save".into())
            .field(Field::text("note", "Note".into()).value("<b>\"pine\"</b>"))
            .field(Field::new(
                "outcome",
                "Outcome".into(),
                Input::Radios(vec![Choice::new("match", "Matches")]),
            ));
        assert!(form.summary().is_none());
        form.refuse(Some("note"), "Too long".into());
        form.refuse(Some("note"), "Another".into());
        form.refuse(Some("nowhere"), "Stopped".into());
        form.refuse(None, "Stopped".into());
        let (summary, html) = (form.summary().unwrap().to_string(), form.to_string());
        assert!(
            summary.contains("autofocus") && summary.contains("<a href=\"#note\">Too long</a>"),
            "{summary}"
        );
        assert_eq!(summary.matches("Stopped").count(), 1, "{summary}");
        assert!(html.contains("aria-invalid=\"true\" aria-describedby=\"note-problem\""), "{html}");
        assert!(!html.contains("<b>") && html.contains("pine"), "{html}");
    }
}
