//! What a GET asks for beside its path: the query, read as strictly as a body; and ids in paths.
//!
//! Every handler under `/v1` that has no body takes [`Asked`], [`NothingAsked`] or [`query`], so that an
//! unknown parameter is refused (422) and never ignored. Pages for people ignore what they do not know:
//! links that are passed on gather parameters on their way.

use crate::base::input::{Document, Errors, Fields, Node, ParseText, Read};
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;

/// A query that was read and understood; every fault of it at once (422).
#[derive(Debug)]
pub struct Asked<T>(pub T);

impl<T: Read> FromRequestParts<App> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// A request of a call that takes no query parameters. An extractor: it stands behind whoever
/// calls, whose refusals come first, and in front of what the path names.
#[derive(Clone, Copy, Debug)]
pub struct NothingAsked;

impl Read for NothingAsked {
    fn read(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
        Fields::open(node, &[], errors).map(|_| Self)
    }
}

impl FromRequestParts<App> for NothingAsked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        query(&parts.uri)
    }
}

/// The query of an address, for handlers that need the address too.
pub fn query<T: Read>(uri: &Uri) -> Result<T, Problem> {
    let document = Document::query(uri.query()).map_err(|fault| Problem::malformed_at(fault.into()))?;
    document.read().map_err(Problem::wrong)
}

/// The id in a path. What is no id names nothing: 404. Handlers ask after they have read the body,
/// whose faults come first.
pub fn id_in_path<T: ParseText>(text: &str) -> Result<T, Problem> {
    T::parse_text(text).map_err(|_| Problem::not_found())
}
