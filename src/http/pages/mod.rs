//! The HTML pages: start page, form, result of a check, public register, errors.
//!
//! Pages are pure functions from data to HTML. They contain no script and no inline style, load nothing
//! from any other host, and show the verdict first. Untrusted text is escaped by the templates and isolated
//! by `<bdi>`.

pub mod assets;
pub mod docs;
pub mod problems;
pub mod routes;
mod view;

pub use docs::{Reference, render_reference, render_reference_tag};
pub use view::{
    FormProblem, ReportForm, error_page, render_form, render_register, render_reported, render_start,
    render_verification, verify_path,
};
pub(in crate::http) use view::{english_name, render};
