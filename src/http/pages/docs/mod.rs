//! The API reference: `/docs` and `/docs/{tag}`, made at start from the OpenAPI document, without a script.
//!
//! The text of the reference is English, as the document is; the frame around it is in the reader's language.

mod command;
mod model;
mod schema;

pub use model::Reference;

use super::view::{Frame, render};
use crate::base::i18n::Lang;
use crate::http::core::problem::ProblemType;
use askama::Template;
use model::Tag;
use std::fmt::Write as _;

#[derive(Template)]
#[template(path = "docs.html")]
struct IndexPage<'a> {
    frame: Frame,
    reference: &'a Reference,
    problems: &'a [ProblemType],
}

#[derive(Template)]
#[template(path = "docs-tag.html")]
struct TagPage<'a> {
    frame: Frame,
    tag: &'a Tag,
}

/// `GET /docs`: the groups of operations with every operation, and what is common to all.
#[must_use]
pub fn render_reference(lang: Lang, reference: &Reference) -> String {
    render(&IndexPage { frame: Frame::new(lang), reference, problems: ProblemType::ALL })
}

/// `GET /docs/{tag}`: the operations of a group; `None` if there is no such group.
#[must_use]
pub fn render_reference_tag(lang: Lang, reference: &Reference, slug: &str) -> Option<String> {
    let tag = reference.tags.iter().find(|tag| tag.slug == slug)?;
    Some(render(&TagPage { frame: Frame::new(lang), tag }))
}

/// A description as HTML: text in backticks becomes code, line breaks become blanks.
pub(super) fn inline(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 32);
    for (at, piece) in text.split('`').enumerate() {
        let piece = piece.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = match at % 2 {
            0 => write!(html, "{piece}"),
            _ => write!(html, "<code>{piece}</code>"),
        };
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_text_with_code_in_it() {
        assert_eq!(inline("At most `<1D>` &\nmore."), "At most <code>&lt;1D&gt;</code> &amp; more.");
        assert_eq!(inline("plain"), "plain");
    }
}
