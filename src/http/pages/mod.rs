//! The HTML pages: start page, form, result of a check, public register, errors.
//!
//! Pages are pure functions from data to HTML. They contain no script and no inline style, load nothing
//! from any other host, and show the verdict first. Untrusted text is escaped by the templates and isolated
//! by `<bdi>`.

pub mod assets;
pub mod docs;
pub mod problems;
pub mod reference;
pub mod routes;
mod view;

pub use docs::{Reference, render_reference, render_reference_tag};
pub use view::{
    FormProblem, error_page, render_form, render_register, render_start, render_verification, verify_path,
};

/// The headers that every page needs, names in lower case: the router sets them on HTML answers.
///
/// The policy allows our own style sheet, images and form, and nothing else. `no-store`, because a
/// verdict is valid only at the moment it is given; `vary`, because the language comes from the header.
pub const PAGE_HEADERS: [(&str, &str); 7] = [
    ("content-type", "text/html; charset=utf-8"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
    ("vary", "accept-language"),
];
