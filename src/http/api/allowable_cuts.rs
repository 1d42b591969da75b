//! Annual allowable cuts: the operator sets them; it, inspectors and the forest owner may read them.

use super::bans::forest_owner;
use crate::base::error::{Error, Invalid, Location};
use crate::base::ids::CutId;
use crate::base::input::{Errors, Node, RequestErrors, input};
use crate::base::units::{Text, Volume};
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::api::organizations::PageQuery;
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::paging::{Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::Query;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::request::Document;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::ticket::cut::{self, CutView, NewCut};
use crate::timber::wood::species::SpeciesGroup;
use axum::extract::{OriginalUri, State};
use axum::response::Response;
use std::sync::Arc;

input! {
    /// An allowable cut to set.
    pub struct CutRequest {
        /// BIN of the forest owner.
        pub forest_owner_bin: Bin,
        /// Only this forestry (лесничество); default: all of the forest owner. Case, spaces and quotes do not matter.
        #[schema(example = "Бородулинское лесничество")]
        pub forestry: Option<Text<100>>,
        /// Year.
        #[schema(minimum = 1970, maximum = 2200, example = 2027)]
        pub year: i32,
        /// Only species of this group; default: all.
        pub group: Option<SpeciesGroup>,
        /// The dense volume that may be felled.
        pub volume_m3: Volume,
        /// The document that decided it.
        pub document: Document,
    }
    => PartialCut::check as PartialCut;
}

impl PartialCut {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if self.year.is_some_and(|year| !(1970..=2200).contains(&year)) {
            let detail = "The year is outside 1970 to 2200.";
            errors.refuse_field(node, "year", Invalid::new("date-out-of-range", detail));
        }
        let name = self.forestry.iter().flatten().next();
        if name.is_some_and(|name| cut::forestry_key(name.as_str()).is_empty()) {
            let detail = "A forestry has a name of more than quotes.";
            errors.refuse_field(node, "forestry", Invalid::new("required", detail));
        }
    }
}

/// Sets the allowable cut of a forest owner in a year.
///
/// A ticket counts in each year of its felling term with its permitted volume, or with the volume marked under it once
/// it is cancelled. Setting the cut of the same owner, year, forestry and group again replaces its volume and document.
#[utoipa::path(
    post, path = "/v1/allowable-cuts", operation_id = "set_allowable_cut", tag = "rules",
    security(("token" = [])),
    request_body = CutRequest,
    responses(
        (status = 201, description = "Set", body = Receipted<CutView>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn set_allowable_cut(
    State(app): State<App>,
    Operator(caller): Operator,
    parsed: Parsed<CutRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, mut errors, .. }) => {
            if let Some(bin) = input.and_then(|input| input.forest_owner_bin) {
                let mut db = app.connection(caller.organization).await?;
                forest_owner(&mut **db, bin, &mut errors).await?;
            }
            return Err(errors.into_error().into());
        }
    };
    let work = Arc::new((app.clone(), caller.clone(), CutId::new(), input));
    write
        .run(&app, &caller, "set_allowable_cut", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, id, input) = &*work;
                let act = caller.act(app.clock.now())?;
                let new = new_cut(tx, *id, input).await?;
                let id = cut::set(tx, &act, &new).await?;
                let view = cut::get(&mut **tx, id).await?;
                Ok(WriteResponse::created(&view, Made::new(MadeKind::Operation, act.operation)))
            })
        })
        .await
}

async fn new_cut(tx: &mut Tx<'_>, id: CutId, input: &CutRequest) -> Result<NewCut, Error> {
    let mut errors = RequestErrors::default();
    let owner = forest_owner(&mut **tx, input.forest_owner_bin, &mut errors).await?;
    let Some(owner) = owner.filter(|_| errors.is_empty()) else { return Err(errors.into_error()) };
    let at = |pointer: &str| Location::Pointer(pointer.to_owned());
    Ok(NewCut {
        id,
        forest_owner: owner.id,
        forestry: input.forestry.clone(),
        year: input.year,
        group: input.group,
        volume: input.volume_m3,
        document: input.document.part(),
        at: [at("/forestry"), at("/document/number")],
    })
}

/// Allowable cuts that you may see: the operator and inspectors see all, a forest owner its own.
///
/// The cuts are in the order in which they were first set.
#[utoipa::path(
    get, path = "/v1/allowable-cuts", operation_id = "list_allowable_cuts", tag = "rules",
    security(("token" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of cuts, in the order in which they were first set", body = Page<CutView>),
    )
)]
pub async fn list_allowable_cuts(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(page.cursor.as_ref())?;
    let mut db = app.connection(caller.organization).await?;
    let rows = cut::list(&mut **db, &caller, after, Limit::probe(page.limit)).await?;
    Ok(Page::of(&cursors, rows, page.limit, |row| row.id, |row| row).into_response(&uri))
}
