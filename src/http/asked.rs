//! What a GET asks for beside its path: the query, read as strictly as a body; and ids in paths.

use super::app::App;
use super::problem::Problem;
use crate::input::{Document, ParseText, Read};
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

/// The query of an address, for handlers that need the address too.
pub fn query<T: Read>(uri: &Uri) -> Result<T, Problem> {
    query_text(uri.query())
}

/// A query as sent.
pub fn query_text<T: Read>(query: Option<&str>) -> Result<T, Problem> {
    let document = Document::query(query).map_err(|fault| Problem::malformed_at(fault.into()))?;
    document.read().map_err(Problem::wrong)
}

/// The id in a path. What is no id names nothing: 404. Handlers ask after they have read the body,
/// whose faults come first.
pub fn id_in_path<T: ParseText>(text: &str) -> Result<T, Problem> {
    T::parse_text(text).map_err(|_| Problem::not_found())
}
