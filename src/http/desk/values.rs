//! What was entered: the fields of a form, or of a query.

use crate::base::input::Document;
use crate::http::core::problem::Problem;
use crate::http::core::write::Envelope;
use axum::http::Uri;

/// The entered fields.
pub(super) struct Values(Option<Document<'static>>);

impl Values {
    /// The fields of a form that was sent.
    ///
    /// # Errors
    /// Another media type, or bytes that are no form.
    pub(super) fn of_form(envelope: &Envelope) -> Result<Self, Problem> {
        if envelope.media_type.as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(Problem::unsupported_media_type("This page accepts the form that it shows."));
        }
        let unreadable = || Problem::malformed("The form cannot be read.");
        let text = std::str::from_utf8(&envelope.body).map_err(|_| unreadable())?;
        Document::query(Some(text)).map(Some).map(Self).map_err(|_| unreadable())
    }

    /// The parameters of a URL. A query that cannot be read counts as none, and unknown parameters are ignored: links
    /// collect them on their way.
    pub(super) fn of_query(uri: &Uri) -> Self {
        Self(Document::query(uri.query()).ok())
    }

    /// A field of one line, without invisible characters and without blanks around it; empty if it is absent.
    pub(super) fn get(&self, name: &str) -> String {
        let visible = visible(self.sent(name));
        visible.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The lines of a field, each as in [`Values::get`]; empty lines at the end are left out.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let mut lines: Vec<String> =
            self.sent(name).lines().map(|line| visible(line).trim().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn sent(&self, name: &str) -> &str {
        let form = self.0.as_ref().and_then(|form| form.root().get(name));
        form.and_then(|node| node.text().ok()).unwrap_or_default()
    }
}

/// `text` without characters that are copied along unseen. The separator GS of marking codes stays.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        matches!(u32::from(c), 0x00AD | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x2064 | 0x2066..=0x2069 | 0xFEFF)
            || c.is_control() && !c.is_whitespace() && c != '\u{1d}'
    };
    text.chars().filter(|c| !hidden(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_eye_does_not_see_is_not_read() {
        let uri: Uri =
            "/desk/search?q=%E2%80%8B%20KZ%C2%A000%EF%BB%BF417%20&x=1&codes=A%0D%0A%20B%1D91%0A%0A"
                .parse()
                .unwrap();
        let values = Values::of_query(&uri);
        assert_eq!(values.get("q"), "KZ 00417");
        assert_eq!(values.lines("codes"), ["A", "B\u{1d}91"]);
        assert_eq!(values.get("absent"), "");
        assert_eq!(Values::of_query(&"/desk/search?q=%ff".parse().unwrap()).get("q"), "");
    }
}
