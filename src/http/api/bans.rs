//! Bans on felling and export: the operator records and ends them, everyone with a key may read them.

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::ids::BanId;
use crate::base::input::{Errors, Node, RequestErrors, input, no_rule};
use crate::base::region::{Region, RegionCode};
use crate::base::units::{LocalDate, Text};
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::api::organizations::PageQuery;
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::paging::{Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{Query, id_in_path};
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::request::Document;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::organization::{OrganizationRef, by_bin};
use crate::timber::party::role::Role;
use crate::timber::ticket::ban::{self, BanView, NewBan};
use crate::timber::ticket::vocabulary::BanKind;
use crate::timber::wood::hs::HsCode;
use crate::timber::wood::species::Species;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use sqlx::PgExecutor;
use std::sync::Arc;

input! {
    /// A ban to record.
    pub struct BanRequest {
        /// What it is on.
        pub kind: BanKind,
        /// Only timber of this region; default: of all.
        #[schema(value_type = Option<RegionCode>)]
        pub region: Option<Region>,
        /// Only timber felled on the tickets of this forest owner; default: of all.
        pub forest_owner_bin: Option<Bin>,
        /// Only this species; default: all.
        #[schema(value_type = Option<String>)]
        pub species: Option<Species>,
        /// Only for `export`: the goods that it is on; default: all.
        pub hs: Option<Vec<HsCode>> [1..=20],
        /// First day (in Kazakhstan).
        pub from: LocalDate,
        /// Last day (in Kazakhstan).
        pub until: LocalDate,
        /// Only for `felling`: whether harvests under tickets that were issued before the ban are refused too. By
        /// default they are recorded, with a finding.
        pub existing_tickets: Option<bool>,
        /// The document that decided it.
        pub document: Document,
    }
    => PartialBan::check as PartialBan;

    /// Why a ban ends.
    pub struct BanEnd {
        /// Why.
        #[schema(example = "Бұйрықтың күші жойылды")]
        pub reason: Text<200>,
    }
    => no_rule as PartialBanEnd;
}

impl PartialBan {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if self.from.zip(self.until).is_some_and(|(from, until)| until < from) {
            let detail = "The last day of a ban is not before the first.";
            errors.refuse_field(node, "until", Invalid::new("dates-out-of-order", detail));
        }
        let Some(kind) = self.kind else { return };
        let existing = matches!(self.existing_tickets, Some(Some(true)));
        for (name, present, of) in [
            ("hs", !matches!(self.hs, Some(None)), BanKind::Export),
            ("existing_tickets", existing, BanKind::Felling),
        ] {
            if present && kind != of {
                let detail = format!("`{name}` does not go with a ban on {kind}.");
                errors.refuse_field(node, name, Invalid::new("not-for-this-type", detail));
            }
        }
    }
}

/// Finds the forest owner that a request of the operator names, or adds an error at `/forest_owner_bin`.
pub(super) async fn forest_owner(
    db: impl PgExecutor<'_>,
    bin: Bin,
    errors: &mut RequestErrors,
) -> Result<Option<OrganizationRef>, Error> {
    let at = || Location::Pointer("/forest_owner_bin".into());
    let found = by_bin(db, bin).await?;
    match &found {
        None => {
            let detail = "No organisation with this BIN is registered.";
            errors.invalid.push(FieldError::new(at(), "unknown-organization", detail));
        }
        Some(found) if !found.roles.contains(&Role::ForestOwner) => {
            let detail = "This organisation is not a forest owner; it issues no tickets.";
            errors.invalid.push(FieldError::new(at(), "not-a-forest-owner", detail));
        }
        Some(_) => {}
    }
    Ok(found)
}

/// Records a ban on felling or export.
///
/// Tickets with a felling term that shares a day with a felling ban are refused, also when they are extended. Harvests
/// under tickets that were issued before are recorded with a finding, or refused with `existing_tickets`. `exported` on
/// a day of an export ban needs a permit.
#[utoipa::path(
    post, path = "/v1/bans", operation_id = "create_ban", tag = "rules",
    security(("token" = [])),
    request_body = BanRequest,
    responses(
        (status = 201, description = "Recorded", body = Receipted<BanView>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create_ban(
    State(app): State<App>,
    Operator(caller): Operator,
    parsed: Parsed<BanRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, mut errors, .. }) => {
            if let Some(bin) = input.and_then(|input| input.forest_owner_bin.flatten()) {
                let mut db = app.connection(caller.organization).await?;
                forest_owner(&mut **db, bin, &mut errors).await?;
            }
            return Err(errors.into_error().into());
        }
    };
    let work = Arc::new((app.clone(), caller.clone(), BanId::new(), input));
    write
        .run(&app, &caller, "create_ban", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, id, input) = &*work;
                let act = caller.act(app.clock.now())?;
                let new = new_ban(tx, *id, input).await?;
                ban::set(tx, &act, &new).await?;
                let view = ban::get(&mut **tx, *id).await?;
                Ok(WriteResponse::created(&view, Made::new(MadeKind::Operation, act.operation)))
            })
        })
        .await
}

async fn new_ban(tx: &mut Tx<'_>, id: BanId, input: &BanRequest) -> Result<NewBan, Error> {
    let mut errors = RequestErrors::default();
    let owner = match input.forest_owner_bin {
        Some(bin) => forest_owner(&mut **tx, bin, &mut errors).await?,
        None => None,
    };
    errors.into_result()?;
    Ok(NewBan {
        id,
        kind: input.kind,
        region: input.region,
        forest_owner: owner.map(|owner| owner.id),
        species: input.species,
        hs: input.hs.clone().unwrap_or_default(),
        from: input.from,
        until: input.until,
        existing_tickets: input.existing_tickets == Some(true),
        document: input.document.part(),
        document_number_at: Location::Pointer("/document/number".into()),
    })
}

/// All bans, also those that have ended.
///
/// The bans are in the order in which they were recorded.
#[utoipa::path(
    get, path = "/v1/bans", operation_id = "list_bans", tag = "rules",
    security(("token" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of bans, in the order in which they were recorded", body = Page<BanView>),
    )
)]
pub async fn list_bans(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(page.cursor.as_ref())?;
    let mut db = app.connection(caller.organization).await?;
    let rows = ban::list(&mut **db, after, Limit::probe(page.limit)).await?;
    Ok(Page::of(&cursors, rows, page.limit, |row| row.id, |row| row).into_response(&uri))
}

/// Ends a ban before its last day: it is not in force from today on.
///
/// What was recorded on its days before stays as it is.
#[utoipa::path(
    post, path = "/v1/bans/{id}/end", operation_id = "end_ban", tag = "rules",
    security(("token" = [])),
    params(
        ("id" = BanId, Path, description = "The ban"),
    ),
    request_body = BanEnd,
    responses(
        (status = 200, description = "Ended", body = Receipted<BanView>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such ban", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`ban-ended`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn end_ban(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<BanEnd>,
) -> Result<Response, Problem> {
    let id: BanId = id_in_path(&id)?;
    let work = Arc::new((app.clone(), caller.clone(), input.reason));
    write
        .run(&app, &caller, "end_ban", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, reason) = &*work;
                let act = caller.act(app.clock.now())?;
                ban::end(tx, &act, id, (reason, Location::Pointer("/reason".into()))).await?;
                let view = ban::get(&mut **tx, id).await?;
                Ok(WriteResponse::ok(&view, Made::new(MadeKind::Operation, act.operation)))
            })
        })
        .await
}
