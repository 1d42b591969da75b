//! Felling tickets, issued by the forest owner. Their changes are in [`super::ticket_changes`].

use crate::base::error::{Error, FieldError, Invalid, Location};
use crate::base::geo::Plot;
use crate::base::ids::{LineId, OrganizationId, TicketId};
use crate::base::input::{Errors, Node, input, no_rule};
use crate::base::region::{Region, RegionCode};
use crate::base::units::{Area, LocalDate, Text, Volume};
use crate::evidence::chain::history::{DisclosedEvent, Disclosure};
use crate::evidence::chain::{Subject, SubjectKind};
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::api::proofs::{ExportQuery, exported, subject_events, subject_proof_response};
use crate::http::core::app::App;
use crate::http::core::auth::ForestOwner;
use crate::http::core::daily::with_bins;
use crate::http::core::paging::{Cursor, Cursors, Limit, Page};
use crate::http::core::problem::Problem;
use crate::http::core::query::{HistoryQuery, NoQuery, Query, id_in_path};
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::services::export::Export;
use crate::timber::finding::write::Finding;
use crate::timber::parameter::Parameters;
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::ticket::issue::{NewLine, NewTicket, TicketClaims, check, issue};
use crate::timber::ticket::read::{Filter, TicketView, get, list, subject, view};
use crate::timber::ticket::site;
use crate::timber::ticket::vocabulary::{FellingKind, TicketStatus};
use crate::timber::wood::species::{Species, Wood};
use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use chrono::NaiveDate;
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
        /// BIN of the organisation that may fell: an enterprise, a forest owner or an individual.
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
        /// What may be felled: one line for each species and kind of wood; no commercial wood for an individual.
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
}

/// The holder of a ticket in a query: `me`, or the id of an organisation; `None` is the caller.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = AskedTicketHolder, value_type = String)]
pub struct TicketHolder(Option<OrganizationId>);

impl TicketHolder {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text == "me" {
            return Ok(Self(None));
        }
        let unknown = |_| Invalid::new("unknown-holder", "A holder is `me` or the id of an organisation.");
        text.parse().map(|id| Self(Some(id))).map_err(unknown)
    }
}

crate::base::input::parse_text!(TicketHolder);

input! {
    /// Filters of the tickets.
    #[derive(utoipa::IntoParams)]
    #[into_params(parameter_in = Query)]
    pub struct TicketQuery {
        /// Only tickets of this series.
        pub series: Option<Text<20>>,
        /// Only tickets with this number.
        pub number: Option<Text<40>>,
        /// Only tickets of this holder: `me` or an organisation's id.
        pub holder: Option<TicketHolder>,
        /// Only tickets with this status.
        pub status: Option<TicketStatus>,
        /// Items per page.
        pub limit: Option<Limit>,
        /// `next` of the previous page.
        pub cursor: Option<Cursor>,
    }
}

pub(super) fn removal_before_felling() -> Invalid {
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
            region: self.origin.as_ref().and_then(|origin| origin.region),
            term: self.felling_from.zip(self.felling_until).filter(|(from, until)| from <= until),
            lines: self.lines.as_ref().and_then(|lines| {
                lines
                    .iter()
                    .map(|line| line.as_ref().and_then(|line| line.species.zip(line.volume_m3)))
                    .collect()
            }),
            woods: self.lines.iter().flatten().map(|line| line.as_ref().and_then(|line| line.wood)).collect(),
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

/// A ticket that was issued or changed, and what looked unusual.
#[derive(Serialize, ToSchema)]
pub struct ChangedTicket {
    #[serde(flatten)]
    pub(super) ticket: TicketView,
    /// Findings: what looked unusual.
    pub(super) findings: Vec<Finding>,
}

/// Issues a ticket in the name of your organisation.
///
/// The caller becomes the issuer. Series and number are unique for an issuer; each line permits a volume of one
/// species and kind of wood. The felling term shares no day with a ban, and the volumes are within your allowable cuts
/// of each year of the term.
#[utoipa::path(
    post, path = "/v1/felling-tickets", operation_id = "create_felling_ticket", tag = "felling tickets",
    security(("token" = [])),
    request_body = TicketRequest,
    responses(
        (status = 201, description = "Issued", body = Receipted<ChangedTicket>),
        (status = 403, description = "Not a forest owner", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`ticket-number-taken`, `banned`, `no-cut-for-forestry`, `allowable-cut-exceeded`",
            body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Your key named too many unknown BINs today", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_felling_ticket(
    State(app): State<App>,
    ForestOwner(caller): ForestOwner,
    parsed: Parsed<TicketRequest>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return with_bins(&app, caller.key, refuse(&app, &caller, partial)).await,
    };
    let now = app.clock.now();
    let actor = caller.act(now)?;
    let new = input.ticket();
    let parameters = app.rulebook.parameters();
    let errors = plot_errors(new.plot.clone(), &parameters, actor.on()).await?;
    let work = Arc::new((actor, new, errors, parameters));
    let writing = write.run(&app, &caller, "create_felling_ticket", move |tx| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (actor, new, errors, parameters) = &*work;
            let findings = issue(tx, actor, new, errors, parameters).await?;
            let ticket = view(tx, new.id, actor.at()).await?;
            Ok(WriteResponse::created(
                &ChangedTicket { ticket, findings },
                Made::new(SubjectKind::FellingTicket, new.id),
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
        let (parameters, today) = (app.rulebook.parameters(), LocalDate::of(app.clock.now()).day());
        for error in plot_errors(input.plot.clone().flatten(), &parameters, today).await? {
            errors.invalid.push(error);
        }
        let mut tx = app.begin(caller.organization).await?;
        let checked =
            check(&mut tx, caller.organization, &input.claims(), &parameters, today, &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Err(errors.into_error().into())
}

/// The errors of a contour: crossings, or a size above the parameter's. On a blocking thread, since every edge is
/// compared with every other.
pub(super) async fn plot_errors(
    plot: Option<Plot>,
    parameters: &Arc<Parameters>,
    today: NaiveDate,
) -> Result<Vec<FieldError>, Problem> {
    let (Some(plot), parameters) = (plot, Arc::clone(parameters)) else { return Ok(Vec::new()) };
    let check = move || match plot.check_crossings() {
        Ok(()) => site::too_large(&plot, &parameters, today, Location::Pointer("/plot".into())),
        Err(error) => {
            let at = Location::Pointer(error.pointer("/plot"));
            Some(FieldError::invalid(at, error.invalid))
        }
    };
    let checked = tokio::task::spawn_blocking(check).await;
    let error = checked.map_err(|error| Problem::internal(format!("plot check failed: {error}")))?;
    Ok(error.into_iter().collect())
}

/// Tickets that you issued or hold; inspectors see all tickets.
///
/// The tickets are in the order in which they were entered. Each line has its permitted and remaining volume. With
/// `series` and `number`, the ticket that a paper names is found.
#[utoipa::path(
    get, path = "/v1/felling-tickets", operation_id = "list_felling_tickets", tag = "felling tickets",
    security(("token" = [])),
    params(TicketQuery),
    responses(
        (status = 200, description = "A page of tickets, in the order they were entered", body = Page<TicketView>),
    )
)]
pub async fn list_felling_tickets(
    State(app): State<App>,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    Query(query): Query<TicketQuery>,
) -> Result<Response, Problem> {
    let cursors = Cursors::of(&app, caller.organization, &uri);
    let after = cursors.key(query.cursor.as_ref())?;
    let holder = query.holder.map(|TicketHolder(id)| id.unwrap_or(caller.organization));
    let filter = Filter { series: query.series, number: query.number, holder, status: query.status };
    let mut db = app.connection(caller.organization).await?;
    let rows = list(&mut db, &caller, &filter, after, Limit::probe(query.limit), app.clock.now()).await?;
    Ok(Page::of(&cursors, rows, query.limit, |row| row.id, |row| row).into_response(&uri))
}

/// One ticket, with the remaining volume of its lines.
///
/// Each line has its permitted volume, the volume marked so far, and the volume that remains.
#[utoipa::path(
    get, path = "/v1/felling-tickets/{id}", operation_id = "get_felling_ticket", tag = "felling tickets",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket")),
    responses(
        (status = 200, description = "The ticket", body = TicketView),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_felling_ticket(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Json<TicketView>, Problem> {
    let id = id_in_path(&id)?;
    let mut db = app.connection(caller.organization).await?;
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
    get, path = "/v1/felling-tickets/{id}/history", operation_id = "get_felling_ticket_history", tag = "felling tickets",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket"), HistoryQuery),
    responses(
        (status = 200, description = "The ticket and its events", body = TicketHistory),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn get_felling_ticket_history(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Problem> {
    let id: TicketId = id_in_path(&id)?;
    let mut db = app.connection(caller.organization).await?;
    let ticket = get(&mut db, &caller, id, app.clock.now()).await?;
    let subject = subject(&mut **db, id).await?;
    drop(db);
    // A ticket's events have no personal part, so there is none to withhold.
    let events = subject_events(&app, &caller, subject, query.omits_evidence(), |_| Disclosure::ALL).await?;
    events.respond(&TicketHistory { ticket, events: Vec::new() }).await
}

/// The ticket in the path, with the access rule of `GET /v1/felling-tickets/{id}`.
async fn visible_ticket(app: &App, caller: &Caller, id: &str) -> Result<Subject, Problem> {
    let id: TicketId = id_in_path(id)?;
    let mut db = app.connection(caller.organization).await?;
    get(&mut db, caller, id, app.clock.now()).await?;
    Ok(subject(&mut **db, id).await?)
}

/// Proof that a felling ticket's newest record is in the public register
///
/// For callers that may see the ticket. The same format as a log's proof.
#[utoipa::path(
    get, path = "/v1/felling-tickets/{id}/proof", operation_id = "get_felling_ticket_proof", tag = "register",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket")),
    responses(
        (status = 200, description = "The proof", body = String, content_type = "text/plain; charset=utf-8"),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get_felling_ticket_proof(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, Problem> {
    subject_proof_response(&app, &caller, &visible_ticket(&app, &caller, &id).await?).await
}

/// A felling ticket's history with its proofs, in one file
///
/// For callers that may see the ticket: every event in full, in the format of a log's export.
#[utoipa::path(
    get, path = "/v1/felling-tickets/{id}/export", operation_id = "export_felling_ticket", tag = "register",
    security(("token" = [])),
    params(("id" = TicketId, Path, description = "The ticket"), ExportQuery),
    responses(
        (status = 200, description = "The file", body = Export),
        (status = 404, description = "Absent, or you may not see it; or `not-published-yet`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn export_felling_ticket(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(ExportQuery { since }): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let chain = visible_ticket(&app, &caller, &id).await?;
    // A ticket's events have no personal part, so there is none to withhold.
    let events = subject_events(&app, &caller, chain, false, |_| Disclosure::ALL).await?;
    exported(&app, caller.organization, chain, events, None, since).await
}
