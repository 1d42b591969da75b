//! Query parameters, parsed as strictly as a body, and ids in paths.
//!
//! Every handler under `/v1` without a body uses [`Query`], [`NoQuery`] or [`query`], so that an
//! unknown parameter is rejected (422) and never ignored. HTML pages ignore unknown parameters, because
//! shared links collect extra parameters on their way.

use crate::base::input::{Document, Errors, Fields, Node, ParseText, Read, input};
use crate::http::core::app::App;
use crate::http::core::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use utoipa::IntoParams;

/// A parsed query; all its errors are reported at once (422).
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: Read> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        query(&parts.uri).map(Self)
    }
}

/// An extractor for operations without query parameters. In a handler it comes after the caller's extractor,
/// so that 401 and 403 are reported first. An unknown parameter is then reported before the resource in the
/// path is looked up.
#[derive(Clone, Copy, Debug)]
pub struct NoQuery;

impl Read for NoQuery {
    crate::base::input::whole!();

    fn read_partial(node: Node<'_>, errors: &mut Errors) -> Option<Self> {
        Fields::open(node, &[], errors).map(|_| Self)
    }
}

impl FromRequestParts<App> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        query(&parts.uri)
    }
}

/// The query of a URL, for handlers that need the URL too.
pub fn query<T: Read>(uri: &Uri) -> Result<T, Problem> {
    let document = Document::query(uri.query()).map_err(|error| Problem::malformed_at(error.into()))?;
    document.read().map_err(Problem::wrong)
}

/// The id in a path. Text that is not an id names nothing: 404. Handlers call this after they have read
/// the body, so that errors in the body come first.
pub fn id_in_path<T: ParseText>(text: &str) -> Result<T, Problem> {
    T::parse_text(text).map_err(|_| Problem::not_found())
}

crate::base::vocabulary::vocabulary! {
    /// How much evidence a history contains.
    pub enum EvidenceLevel: "unknown-evidence" {
        /// Everything that a third party needs to recompute every hash; the default.
        Full = "full",
        /// The hashes only, without `entry` and `parts`, which are most of a history.
        Omitted = "none",
    }
}

input! {
    /// The query of a history.
    #[derive(Copy, IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct HistoryQuery {
        /// `none` leaves out `entry` and `parts` of each event, which are most of the response; an export has
        /// them.
        pub evidence: Option<EvidenceLevel>,
    }
}

impl HistoryQuery {
    /// Whether `entry` and `parts` are left out.
    #[must_use]
    pub fn omits_evidence(self) -> bool {
        self.evidence == Some(EvidenceLevel::Omitted)
    }
}
