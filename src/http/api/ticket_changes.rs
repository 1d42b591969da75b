//! Changes of felling tickets: the forest owner extends and cancels them; it or an inspector holds and releases them, and
//! replaces their plots.

use super::felling_tickets::{ChangedTicket, plot_errors, removal_before_felling};
use crate::base::error::{Error, Invalid, Location};
use crate::base::geo::Plot;
use crate::base::ids::TicketId;
use crate::base::input::{Errors, Node, RequestErrors, input, no_rule};
use crate::base::units::{LocalDate, Moment, Text};
use crate::evidence::chain::SubjectKind;
use crate::evidence::idempotency::stored::Made;
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::{ForestOwner, Stopper};
use crate::http::core::problem::Problem;
use crate::http::core::query::id_in_path;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteRequest, WriteResponse};
use crate::timber::custody::ticket_hold;
use crate::timber::party::key::Caller;
use crate::timber::ticket::change::{self, ReadDates, extend};
use crate::timber::ticket::read::{TicketView, view};
use crate::timber::ticket::site;
use axum::extract::{Path, State};
use axum::response::Response;
use std::sync::Arc;

input! {
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

    /// Another plot for a ticket.
    pub struct PlotRequest {
        /// The new contour.
        pub plot: Plot,
        /// Why.
        #[schema(example = "Учаске қайта өлшенді")]
        pub reason: Text<200>,
    }
    => no_rule as PartialPlot;

    /// Why a ticket is held, and until when.
    pub struct HoldRequest {
        /// Why.
        #[schema(example = "Жерден тексеру керек")]
        pub reason: Text<200>,
        /// When an inspector's hold is overdue, at most ten days from now, or when the issuer's hold ends, at most 72
        /// hours from now; by default as late as possible.
        pub until: Option<Moment>,
    }

    /// Why a hold ends.
    pub struct ReleaseRequest {
        /// Why.
        #[schema(example = "Құжаттары дұрыс")]
        pub reason: Text<200>,
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

/// Extends a ticket to later dates.
///
/// Only the issuer may extend a ticket, and only to later days. Every extension is an event of the ticket's
/// chain.
#[utoipa::path(
    post, path = "/v1/felling-tickets/{id}/extend", operation_id = "extend_felling_ticket", tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = ExtendRequest,
    responses(
        (status = 200, description = "Extended", body = Receipted<ChangedTicket>),
        (status = 403, description = "Not a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`not-later`, `banned`, `no-cut-for-forestry`, `allowable-cut-exceeded`, `own-use` …", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn extend_felling_ticket(
    State(app): State<App>,
    ForestOwner(caller): ForestOwner,
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
    post, path = "/v1/felling-tickets/{id}/cancel", operation_id = "cancel_felling_ticket", tag = "felling tickets",
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
    State(app): State<App>,
    ForestOwner(caller): ForestOwner,
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
/// at `until`, at most 72 hours later, and is possible once in 30 days.
#[utoipa::path(
    post, path = "/v1/felling-tickets/{id}/hold", operation_id = "hold_felling_ticket", tag = "felling tickets",
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
    State(app): State<App>,
    Stopper(caller): Stopper,
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
    post, path = "/v1/felling-tickets/{id}/release", operation_id = "release_felling_ticket", tag = "felling tickets",
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
    State(app): State<App>,
    Stopper(caller): Stopper,
    Path(id): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<ReleaseRequest>,
) -> Result<Response, Problem> {
    changed(app, caller, &id, write, "release_felling_ticket", What::Release, input.reason).await
}

/// Replaces the plot of a ticket.
///
/// Before the first harvest its issuer may replace it. Afterwards an inspector may; the issuer may only enlarge it, by
/// at most 10 % (a parameter) and around no place at which felling outside the plot was found. Each replacement is an
/// event and a finding.
#[utoipa::path(
    post, path = "/v1/felling-tickets/{id}/plot", operation_id = "replace_felling_ticket_plot",
    tag = "felling tickets",
    security(("token" = [])),
    params(
        ("id" = TicketId, Path, description = "The ticket"),
    ),
    request_body = PlotRequest,
    responses(
        (status = 200, description = "Replaced", body = Receipted<ChangedTicket>),
        (status = 403, description = "Neither an inspector nor a forest owner, or not the issuer", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "`ticket-cancelled`, `held`, `plot-by-inspector-only`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn replace_felling_ticket_plot(
    State(app): State<App>,
    Stopper(caller): Stopper,
    Path(id): Path<String>,
    parsed: Parsed<PlotRequest>,
) -> Result<Response, Problem> {
    let (parameters, today) = (app.rulebook.parameters(), LocalDate::of(app.clock.now()).day());
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, mut errors, .. }) => {
            for error in plot_errors(input.and_then(|input| input.plot), &parameters, today).await? {
                errors.invalid.push(error);
            }
            return Err(errors.into_error().into());
        }
    };
    let errors = plot_errors(Some(input.plot.clone()), &parameters, today).await?;
    if !errors.is_empty() {
        return Err(Problem::wrong(errors));
    }
    let id: TicketId = id_in_path(&id)?;
    let work = Arc::new((app.clone(), caller.clone(), input, parameters));
    write
        .run(&app, &caller, "replace_felling_ticket_plot", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, input, parameters) = &*work;
                let act = caller.act(app.clock.now())?;
                let PlotRequest { plot, reason } = input;
                let findings = site::replace(tx, caller, &act, id, plot, reason, parameters).await?;
                let ticket = view(tx, id, act.at()).await?;
                let made = Made::new(SubjectKind::FellingTicket, id);
                Ok(WriteResponse::ok(&ChangedTicket { ticket, findings }, made))
            })
        })
        .await
}

/// A change of a ticket, as the client sent it.
#[derive(Clone, Copy)]
enum What {
    Extend(Option<LocalDate>, Option<LocalDate>),
    Cancel { hold_logs: bool },
    Hold(Option<Moment>),
    Release,
}

/// All errors of a change that could not be read completely. The new last days of felling and removal are
/// checked against the ticket, as far as they could be read.
async fn refuse_change(
    app: &App,
    caller: &Caller,
    id: &str,
    dates: Option<ReadDates>,
    mut errors: RequestErrors,
) -> Result<Problem, Problem> {
    if let (Some(dates), Ok(id)) = (dates, id_in_path(id)) {
        let mut tx = app.begin(caller.organization).await?;
        let day = (&*app.rulebook.parameters(), LocalDate::of(app.clock.now()).day());
        let checked = change::check(&mut tx, caller, id, dates, day, &mut errors).await;
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
                        let findings =
                            extend(tx, caller, &act, id, (felling, removal), reason, &parameters).await?;
                        let ticket = view(tx, id, act.at()).await?;
                        let made = Made::new(SubjectKind::FellingTicket, id);
                        return Ok(WriteResponse::ok(&ChangedTicket { ticket, findings }, made));
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
                    Made::new(SubjectKind::FellingTicket, id),
                ))
            })
        })
        .await
}
