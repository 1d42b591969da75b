//! Felling tickets: issued, extended and cancelled by the forest owner, held and released by it or an inspector.

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::geo::{Plot, PlotError};
use crate::base::ids::{LineId, TicketId};
use crate::base::input::{Errors, Node, RequestErrors, input, no_rule};
use crate::base::region::{Region, RegionCode};
use crate::base::units::{Area, LocalDate, Moment, Text, Volume};
use crate::evidence::chain::Tx;
use crate::evidence::chain::history::{DisclosedEvent, Disclosure};
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::api::organizations::PageQuery;
use crate::http::api::proofs::subject_events;
use crate::http::core::app::App;
use crate::http::core::auth::{ForestOwner, Stopper};
use crate::http::core::daily::with_bins;
use crate::http::core::paging::{Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{HistoryQuery, NoQuery, Query, id_in_path};
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteRequest, WriteResponse};
use crate::timber::custody::ticket_hold;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::ticket::change::{self, ReadDates, extend};
use crate::timber::ticket::issue::{NewLine, NewTicket, TicketClaims, check, issue};
use crate::timber::ticket::read::{TicketView, get, list, subject, view};
use crate::timber::ticket::vocabulary::FellingKind;
use crate::timber::wood::species::{Species, Wood};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use rust_decimal::Decimal;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

input! {
    /// A felling ticket to issue.
    pub struct TicketRequest {
        /// Series.
        #[schema(example = "АБ")]
        pub series: Text<20>,
        /// Number; your organisation uses each series and number once.
        #[schema(example = "0012345")]
        pub number: Text<40>,
        /// Day of issue, not after the first day of felling.
        pub issued_on: LocalDate,
        /// BIN of the organisation that may fell: an enterprise or a forest owner.
        pub holder_bin: Bin,
        /// Kind of felling.
        pub felling_kind: FellingKind,
        /// Forest category.
        #[schema(example = "ленточные боры")]
        pub forest_category: Text<60>,
        /// Forest type.
        #[schema(example = "сухой бор")]
        pub forest_type: Text<60>,
        /// Where the timber stands.
        pub origin: OriginRequest,
        /// Area in hectares.
        pub area_ha: Option<Area>,
        /// Contour.
        pub plot: Option<Plot>,
        /// First day (in Kazakhstan) of felling.
        pub felling_from: LocalDate,
        /// Last day (in Kazakhstan) of felling.
        pub felling_until: LocalDate,
        /// Last day (in Kazakhstan) of removal, not before the last day of felling.
        pub removal_until: Option<LocalDate>,
        /// What may be felled: one line for each species and kind of wood.
        pub lines: Vec<LineRequest> [1..=50],
    }
    => PartialTicket::check as PartialTicket;

    /// Where the timber of a ticket stands.
    pub struct OriginRequest {
        /// Region, as an ISO 3166-2 code.
        #[schema(value_type = RegionCode)]
        pub region: Region,
        /// District.
        pub district: Option<Text<60>>,
        /// Forestry (лесничество).
        #[schema(example = "Бородулинское лесничество")]
        pub forestry: Text<100>,
        /// Compartment (квартал).
        #[schema(example = "114")]
        pub compartment: Text<40>,
        /// Sub-compartment (выдел).
        pub subcompartment: Option<Text<40>>,
        /// Cutting area (лесосека).
        pub cutting_area: Option<Text<40>>,
    }
    => no_rule as PartialOrigin;

    /// One line of a ticket.
    pub struct LineRequest {
        /// Species.
        pub species: Species,
        /// Kind of wood.
        pub wood: Wood,
        /// Permitted dense volume.
        pub volume_m3: Volume,
    }
    => no_rule as PartialLine;

    /// Later dates for a ticket; at least one.
    pub struct ExtendRequest {
        /// New last day of felling.
        pub felling_until: Option<LocalDate>,
        /// New last day of removal.
        pub removal_until: Option<LocalDate>,
        /// Why.
        #[schema(example = "Қар көп түсті, кесу тоқтатылды")]
        pub reason: Text<200>,
    }
    => PartialExtension::check as PartialExtension;

    /// Why a ticket is cancelled.
    pub struct CancelRequest {
        /// Why.
        #[schema(example = "Өрт салдарынан")]
        pub reason: Text<200>,
        /// Whether the logs that the ticket's holder still holds are stopped for 72 hours; by default not.
        pub hold_logs: Option<bool>,
    }
    => no_rule as PartialCancellation;

    /// Why a ticket is held, and until when.
    pub struct HoldRequest {
        /// Why.
        #[schema(example = "Жерден тексеру керек")]
        pub reason: Text<200>,
        /// When an inspector's hold is overdue, at most ten days from now, which is the default. The issuer's hold
        /// always ends after 72 hours.
        pub until: Option<Moment>,
    }

    /// Why a hold ends.
    pub struct ReleaseRequest {
        /// Why.
        #[schema(example = "Құжаттары дұрыс")]
        pub reason: Text<200>,
    }
}

fn removal_before_felling() -> Invalid {
    Invalid::new("removal-before-felling", "Removal ends no earlier than felling.")
}

impl PartialTicket {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        let from = self.felling_from;
        if self.felling_until.zip(from).is_some_and(|(until, from)| until < from) {
            let detail = "The last day of felling is not before the first.";
            errors.refuse_field(node, "felling_until", Invalid::new("dates-out-of-order", detail));
        }
        if from.zip(self.issued_on).is_some_and(|(from, issued)| from < issued) {
            let detail = "Nothing is felled before the ticket is issued: felling_from is issued_on or later.";
            errors.refuse_field(node, "felling_from", Invalid::new("felling-before-issue", detail));
        }
        let removal = self.removal_until.flatten();
        if removal.zip(self.felling_until).is_some_and(|(removal, felling)| removal < felling) {
            errors.refuse_field(node, "removal_until", removal_before_felling());
        }
        if self.area_ha.flatten().is_some_and(|area| area.decimal() >= Decimal::from(1_000_000)) {
            let detail = "The area is less than 1000000 ha.";
            errors.refuse_field(node, "area_ha", Invalid::new("area-too-large", detail));
        }
        let nodes = node.get("lines").and_then(|lines| lines.items().ok()).into_iter().flatten();
        let lines = self.lines.iter().flatten();
        let wood_of = |line: &PartialLine| line.species.zip(line.wood);
        let mut seen = Vec::new();
        for (line, node) in lines.zip(nodes) {
            let Some(wood) = line.as_ref().and_then(wood_of) else { continue };
            if seen.contains(&wood) {
                let detail = "This species and kind of wood has a line already; add up the volumes.";
                errors.refuse(node, Invalid::new("duplicate-line", detail));
            }
            seen.push(wood);
        }
    }

    fn claims(&self) -> TicketClaims<'_> {
        TicketClaims {
            holder_bin: self.holder_bin.as_ref(),
            series: self.series.as_ref().map(Text::as_str),
            number: self.number.as_ref().map(Text::as_str),
            forestry: self.origin.as_ref().and_then(|origin| origin.forestry.as_ref()).map(Text::as_str),
        }
    }
}

impl TicketRequest {
    fn ticket(self) -> NewTicket {
        let line = |line: LineRequest| NewLine {
            id: LineId::new(),
            species: line.species,
            wood: line.wood,
            volume: line.volume_m3,
        };
        NewTicket {
            id: TicketId::new(),
            series: self.series,
            number: self.number,
            issued_on: self.issued_on,
            holder_bin: self.holder_bin,
            felling_kind: self.felling_kind,
            forest_category: self.forest_category,
            forest_type: self.forest_type,
            region: self.origin.region,
            district: self.origin.district,
            forestry: self.origin.forestry,
            compartment: self.origin.compartment,
            subcompartment: self.origin.subcompartment,
            cutting_area: self.origin.cutting_area,
            area_ha: self.area_ha,
            plot: self.plot,
            felling_from: self.felling_from,
            felling_until: self.felling_until,
            removal_until: self.removal_until,
            lines: self.lines.into_iter().map(line).collect(),
        }
    }
}

impl PartialExtension {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        let (Some(felling), Some(removal)) = (self.felling_until, self.removal_until) else { return };
        match (felling, removal) {
            (None, None) => {
                let detail = "Give felling_until, removal_until or both.";
                errors.refuse(node, Invalid::new("nothing-to-extend", detail));
            }
            (Some(felling), Some(removal)) if removal < felling => {
                errors.refuse_field(node, "removal_until", removal_before_felling());
            }
            _ => {}
        }
    }
}

/// Issues a ticket in the name of your organisation.
///
/// The caller becomes the issuer. Series and number are unique for an issuer; each line permits a volume of one
/// species and kind of wood.
#[utoipa::path(
    post,
    path = "/v1/felling-tickets",
    tag = "felling tickets",
    security(("token" = [])),
    request_body = TicketRequest,
    responses(
        (status = 201, description = "Issued", body = Receipted<TicketView>),
        (status = 403, description = "Not a forest owner", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`ticket-number-taken`", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Your key named too many unknown BINs today", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_felling_ticket(
    ForestOwner(caller): ForestOwner,
    State(app): State<App>,
    parsed: Parsed<TicketRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return with_bins(&app, caller.key, refuse(&app, &caller, partial)).await,
    };
    let now = app.clock.now();
    let actor = caller.act(now)?;
    let new = input.ticket();
    let errors = crossings(new.plot.clone()).await?;
    let work = Arc::new((actor, new, errors));
    let writing = write.run(&app, &caller, "create_felling_ticket", move |tx| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (actor, new, errors) = &*work;
            issue(tx, actor, new, errors).await?;
            Ok(WriteResponse::created(
                &view(tx, new.id, actor.at()).await?,
                Made::new(MadeKind::FellingTicket, new.id),
            ))
        })
    });
    with_bins(&app, caller.key, writing).await
}

/// All errors of a ticket that could not be parsed completely: the parse errors, and the errors that the
/// checks (of the contour and against the database) find in the members that could be parsed.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<TicketRequest>,
) -> Result<Response, Problem> {
    let PartialWrite { input, mut errors, .. } = partial;
    if let Some(input) = input {
        for error in crossings(input.plot.clone().flatten()).await? {
            errors.invalid.push(error);
        }
        let mut tx = Tx::begin(&app.pool).await.map_err(Error::from)?;
        let checked = check(&mut tx, caller.organization, &input.claims(), &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Err(errors.into_error().into())
}

/// Checks a contour for crossings, on a blocking thread, since every edge is compared with every other.
async fn crossings(plot: Option<Plot>) -> Result<Vec<FieldError>, Problem> {
    let Some(plot) = plot else { return Ok(Vec::new()) };
    let checked = tokio::task::spawn_blocking(move || plot.check_crossings().err());
    let refused = checked.await.map_err(|error| Problem::internal(format!("plot check failed: {error}")))?;
    let located =
        |error: PlotError| FieldError::invalid(Location::Pointer(error.pointer("/plot")), error.invalid);
    Ok(refused.map(located).into_iter().collect())
}

/// Tickets that you issued or hold; inspectors see all tickets.
///
/// The tickets are in the order in which they were entered. Each line has its permitted and remaining volume.
#[utoipa::path(
    get,
    path = "/v1/felling-tickets",
    tag = "felling tickets",
    security(("token" = [])),
    params(PageQuery),
    responses(
        (status = 200, description = "A page of tickets, in the order they were entered", body = Page<TicketView>),
    )
)]
pub async fn list_felling_tickets(
    caller: Caller,
    State(app): State<App>,
    uri: Uri,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(page.cursor.as_ref())?;
    let mut db = app.pool.acquire().await?;
    let rows = list(&mut db, &caller, after, Limit::probe(page.limit), app.clock.now()).await?;
    Ok(Page::of(&cursors, rows, page.limit, |row| row.id, |row| row).into_response(&uri))
}

/// One ticket, with the remaining volume of its lines.
///
/// Each line has its permitted volume, the volume marked so far, and the volume that remains.
#[utoipa::path(
    get,
    path = "/v1/felling-tickets/{id}",
    tag = "felling tickets",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket")),
    responses(
        (status = 200, description = "The ticket", body = TicketView),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_felling_ticket(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<TicketView>, Problem> {
    let id = id_in_path(&id)?;
    let mut db = app.pool.acquire().await?;
    Ok(Json(get(&mut db, &caller, id, app.clock.now()).await?))
}

/// A ticket and all its events.
#[derive(Serialize, ToSchema)]
pub struct TicketHistory {
    /// The present state of the ticket.
    ticket: TicketView,
    /// Its events, in order of receipt.
    events: Vec<DisclosedEvent>,
}

/// The events of a ticket, with everything needed to recompute every hash.
///
/// In order of receipt. With `evidence=none` the response has the hashes alone. More than 100 events are sent
/// page by page, as those of a log.
#[utoipa::path(
    get,
    path = "/v1/felling-tickets/{id}/history",
    tag = "felling tickets",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket"), HistoryQuery),
    responses(
        (status = 200, description = "The ticket and its events", body = TicketHistory),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_felling_ticket_history(
    caller: Caller,
    State(app): State<App>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Problem> {
    let id: TicketId = id_in_path(&id)?;
    let mut db = app.pool.acquire().await?;
    let ticket = get(&mut db, &caller, id, app.clock.now()).await?;
    let subject = subject(&mut *db, id).await?;
    drop(db);
    // A ticket's events have no personal part, so there is none to withhold.
    let events = subject_events(&app, &caller, subject, query.omits_evidence(), |_| Disclosure::ALL).await?;
    events.respond(&TicketHistory { ticket, events: Vec::new() }).await
}

/// Extends a ticket to later dates.
///
/// Only the issuer may extend a ticket, and only to later days. Every extension is an event of the ticket's
/// chain.
#[utoipa::path(
    post,
    path = "/v1/felling-tickets/{id}/extend",
    tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = ExtendRequest,
    responses(
        (status = 200, description = "Extended", body = Receipted<TicketView>),
        (status = 403, description = "Not a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`ticket-cancelled`, `not-later`, `removal-before-felling`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn extend_felling_ticket(
    ForestOwner(caller): ForestOwner,
    State(app): State<App>,
    Path(id): Path<String>,
    parsed: Parsed<ExtendRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, errors, .. }) => {
            let dates = input.map(|input| ReadDates {
                felling_until: input.felling_until.flatten(),
                removal_until: input.removal_until.flatten(),
                are_all: input.felling_until.is_some() && input.removal_until.is_some(),
            });
            return Err(refuse_change(&app, &caller, &id, dates, errors).await?);
        }
    };
    let what = What::Extend(input.felling_until, input.removal_until);
    changed(app, caller, &id, write, "extend_felling_ticket", what, input.reason).await
}

/// Cancels a ticket: no more timber may be felled under it.
///
/// Only the issuer may cancel a ticket. No timber can be recorded under a cancelled ticket; earlier records
/// stay valid.
#[utoipa::path(
    post,
    path = "/v1/felling-tickets/{id}/cancel",
    tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = CancelRequest,
    responses(
        (status = 200, description = "Cancelled", body = Receipted<TicketView>),
        (status = 403, description = "Not a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`ticket-cancelled`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn cancel_felling_ticket(
    ForestOwner(caller): ForestOwner,
    State(app): State<App>,
    Path(id): Path<String>,
    parsed: Parsed<CancelRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, errors, .. }) => {
            let none = ReadDates { felling_until: None, removal_until: None, are_all: true };
            return Err(refuse_change(&app, &caller, &id, input.map(|_| none), errors).await?);
        }
    };
    let what = What::Cancel { hold_logs: input.hold_logs == Some(true) };
    changed(app, caller, &id, write, "cancel_felling_ticket", what, input.reason).await
}

/// Holds a ticket: no more timber may be felled under it, and its logs are stopped.
///
/// An inspector's hold stops all logs of the ticket until an inspector releases it; `until` says when that is overdue,
/// and another hold extends it. The issuer's hold stops the logs that the ticket's holder still holds, ends by itself
/// after 72 hours, and is possible once in 30 days.
#[utoipa::path(
    post,
    path = "/v1/felling-tickets/{id}/hold",
    tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = HoldRequest,
    responses(
        (status = 200, description = "Held", body = Receipted<TicketView>),
        (status = 403, description = "Neither an inspector nor a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`held`, `hold-too-soon`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn hold_felling_ticket(
    Stopper(caller): Stopper,
    State(app): State<App>,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<HoldRequest>,
) -> Result<Response, Problem> {
    changed(app, caller, &id, write, "hold_felling_ticket", What::Hold(input.until), input.reason).await
}

/// Ends the hold of a ticket, and of its logs.
///
/// An inspector may release every ticket, the issuer one that it holds itself. A hold that a log has of its own
/// (`detained`) stays.
#[utoipa::path(
    post,
    path = "/v1/felling-tickets/{id}/release",
    tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = ReleaseRequest,
    responses(
        (status = 200, description = "Released", body = Receipted<TicketView>),
        (status = 403, description = "Neither an inspector nor a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not-held`, `held-by-inspector`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn release_felling_ticket(
    Stopper(caller): Stopper,
    State(app): State<App>,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<ReleaseRequest>,
) -> Result<Response, Problem> {
    changed(app, caller, &id, write, "release_felling_ticket", What::Release, input.reason).await
}

/// A change of a ticket, as the client sent it.
#[derive(Clone, Copy)]
enum What {
    Extend(Option<LocalDate>, Option<LocalDate>),
    Cancel { hold_logs: bool },
    Hold(Option<Moment>),
    Release,
}

/// All errors of a change that could not be read completely: also those that the ticket shows in the new last
/// days of felling and removal, as far as they could be read.
async fn refuse_change(
    app: &App,
    caller: &Caller,
    id: &str,
    dates: Option<ReadDates>,
    mut errors: RequestErrors,
) -> Result<Problem, Problem> {
    if let (Some(dates), Ok(id)) = (dates, id_in_path(id)) {
        let mut tx = Tx::begin(&app.pool).await.map_err(Error::from)?;
        let checked = change::check(&mut tx, caller, id, dates, &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Ok(errors.into_error().into())
}

async fn changed(
    app: App,
    caller: Caller,
    id: &str,
    write: WriteRequest,
    name: &'static str,
    what: What,
    reason: Text<200>,
) -> Result<Response, Problem> {
    let id: TicketId = id_in_path(id)?;
    let work = Arc::new((app.clone(), caller.clone(), reason));
    write
        .run(&app, &caller, name, move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, reason) = &*work;
                let act = caller.act(app.clock.now())?;
                let parameters = app.rulebook.parameters();
                match what {
                    What::Extend(felling, removal) => {
                        extend(tx, caller, &act, id, (felling, removal), reason).await?;
                    }
                    What::Cancel { hold_logs } => {
                        ticket_hold::cancel(tx, caller, &act, id, hold_logs, reason, &parameters).await?;
                    }
                    What::Hold(until) => {
                        let until = (until, Location::Pointer("/until".into()));
                        ticket_hold::hold(tx, caller, &act, id, until, reason, &parameters).await?;
                    }
                    What::Release => ticket_hold::release(tx, caller, &act, id, reason).await?,
                }
                Ok::<_, Error>(WriteResponse::ok(
                    &view(tx, id, act.at()).await?,
                    Made::new(MadeKind::FellingTicket, id),
                ))
            })
        })
        .await
}
