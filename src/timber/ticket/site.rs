//! The felling site of a ticket: the size of its plot, what it shares with the plots of other tickets, and another plot
//! in its place.

use super::change::{Change, lock_as_issuer, record, refuse_cancelled};
use super::content::plot_digest;
use super::issue::store_about;
use super::lock::LockedTicket;
use super::read::stored_plot;
use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::geo::{Plot, Position};
use crate::base::ids::TicketId;
use crate::base::units::{Area, LocalDate, Text};
use crate::evidence::chain::Tx;
use crate::timber::event::actor::Actor;
use crate::timber::event::parts::PositionPart;
use crate::timber::event::types::TicketEventType;
use crate::timber::finding::rules::{Draft, OUTSIDE, outside, ticket as rules};
use crate::timber::finding::write::Finding;
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use chrono::NaiveDate;
use futures_util::TryStreamExt as _;
use rust_decimal::prelude::ToPrimitive as _;
use serde::Deserialize;

/// How many overlapping plots are found at once; more say nothing new.
const MOST: usize = 5;

/// Which part of its area a plot may lose to rounding and still count as contained in another.
const ROUNDING: f64 = 0.001;

/// The error of a plot above the size that [`ParameterName::PlotMaxHa`] permits.
#[must_use]
pub fn too_large(plot: &Plot, parameters: &Parameters, on: NaiveDate, at: Location) -> Option<FieldError> {
    let (area, most) = (plot.area_ha(), parameters.on(ParameterName::PlotMaxHa, on));
    (area > most.to_f64().unwrap_or(f64::MAX)).then(|| {
        let detail = format!("The plot has {area:.2} ha; a felling site has at most {most} ha.");
        FieldError::new(at, "plot-area-too-large", detail)
    })
}

/// A felling site, for the rules about plots.
pub(super) struct Site<'t> {
    /// The ticket, if it exists already: it does not count among the others.
    pub ticket: Option<TicketId>,
    /// First and last day of felling.
    pub term: (LocalDate, LocalDate),
    /// The area that the ticket states.
    pub area_ha: Option<Area>,
    /// Contour.
    pub plot: &'t Plot,
}

impl Site<'_> {
    /// The findings about the plot: an area unlike that which the ticket states, and the plots of tickets in force that
    /// share a day of felling and wood with it. At most [`MOST`] of the latter.
    pub(super) async fn found(
        &self,
        tx: &mut Tx<'_>,
        parameters: &Parameters,
        on: NaiveDate,
    ) -> Result<Vec<Draft>> {
        let difference = parameters.on(ParameterName::AreaDifferencePercent, on);
        let unlike = self.area_ha.and_then(|area| rules::area_unlike_plot(area, self.plot, difference));
        let mut found: Vec<Draft> = unlike.into_iter().collect();
        let percent = parameters.on(ParameterName::PlotOverlapPercent, on);
        let [west, south, east, north] = self.plot.bounds().unwrap_or_default();
        // In every region: the region is what the issuer wrote. The condition on the box is that of index
        // felling_ticket_plot_box. The rows are read one by one, because many plots may be large.
        let mut others = sqlx::query!(
            r#"SELECT id, plot AS "plot!" FROM felling_ticket
               WHERE plot IS NOT NULL
                 AND box(point(plot_west::float8, plot_south::float8), point(plot_east::float8, plot_north::float8))
                     && box(point($1::numeric::float8, $2::numeric::float8), point($3::numeric::float8, $4::numeric::float8))
                 AND cancelled_at IS NULL AND felling_from <= $6 AND felling_until >= $5
                 AND ($7::uuid IS NULL OR id <> $7)"#,
            west,
            south,
            east,
            north,
            self.term.0.day(),
            self.term.1.day(),
            self.ticket.map(|id| id.0)
        )
        .fetch(&mut **tx);
        while let Some(other) = others.try_next().await? {
            if found.len() > MOST {
                break;
            }
            let id = other.id.into();
            found.extend(rules::plots_overlap(self.plot, &stored_plot(id, &other.plot)?, id, percent));
        }
        Ok(found)
    }
}

fn conflict(code: &'static str, detail: &'static str) -> Error {
    Error::Conflict(vec![FieldError::new(Location::body(), code, detail)])
}

/// Replaces the plot of a ticket, on behalf of its issuer or an inspector. After the first harvest the issuer may only
/// enlarge it a little, and not so that a position that was found outside (L8) is inside afterwards: otherwise the
/// issuer could turn an illegal felling into a legal one.
///
/// # Errors
/// As for [`lock_as_issuer`], for a caller that is no inspector. [`Error::OwnCase`]. Conflict: `ticket-cancelled`; for the issuer also
/// `held`, and after the first harvest `plot-by-inspector-only`.
pub async fn replace(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    ticket: TicketId,
    plot: &Plot,
    reason: &Text<200>,
    parameters: &Parameters,
) -> Result<Vec<Finding>> {
    let inspector = caller.is(Role::Inspector);
    let (locked, head) = if inspector {
        LockedTicket::exclusive(tx, ticket).await?.ok_or(Error::NotFound)?
    } else {
        lock_as_issuer(tx, caller, ticket).await?
    };
    if inspector && [locked.issuer, locked.holder].contains(&caller.organization) {
        return Err(Error::own_case());
    }
    refuse_cancelled(&locked)?;
    let stored = sqlx::query!(
        r#"SELECT area_ha AS "area_ha: Area", EXISTS (SELECT FROM harvest WHERE ticket_id = $1) AS "harvested!"
           FROM felling_ticket WHERE id = $1"#,
        ticket.0
    )
    .fetch_one(&mut **tx)
    .await?;
    if !inspector {
        if locked.hold.is_some_and(|hold| hold.stands(act.at())) {
            return Err(conflict(
                "held",
                "The ticket is held; its plot stays as it is until it is released.",
            ));
        }
        if stored.harvested && !may_grow(tx, &locked, plot, parameters, act.on()).await? {
            let detail = "After the first harvest the issuer may enlarge the plot once and a little, around no place at \
                          which felling outside the plot was found; an inspector may replace it.";
            return Err(conflict("plot-by-inspector-only", detail));
        }
    }
    let site = Site {
        ticket: Some(ticket),
        term: (locked.felling_from, locked.felling_until),
        area_ha: stored.area_ha,
        plot,
    };
    let mut found = vec![rules::plot_replaced(locked.plot.as_ref(), plot, stored.harvested)];
    found.extend(site.found(tx, parameters, act.on()).await?);
    record(tx, act, locked, head, Change::Plot(plot_digest(plot)), reason).await.map(drop)?;
    let [west, south, east, north] = plot.bounds().unwrap_or_default();
    sqlx::query!(
        "UPDATE felling_ticket SET plot = $2, plot_west = $3, plot_south = $4, plot_east = $5, plot_north = $6
         WHERE id = $1",
        ticket.0,
        plot.as_str(),
        west,
        south,
        east,
        north
    )
    .execute(&mut **tx)
    .await?;
    store_about(tx, act, ticket, found).await
}

/// Whether `plot` contains the ticket's plot, is little larger, and contains no position that was found outside, and the
/// issuer has not enlarged it since the first harvest.
async fn may_grow(
    tx: &mut Tx<'_>,
    locked: &LockedTicket,
    plot: &Plot,
    parameters: &Parameters,
    on: NaiveDate,
) -> Result<bool> {
    #[derive(Deserialize)]
    struct Positioned {
        position: Option<PositionPart>,
    }
    let Some(before) = &locked.plot else { return Ok(false) };
    // Once: a series of small steps would make any plot of it.
    let grown = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM event
                          WHERE subject_id = $1 AND type = $2 AND organization_id = $3
                            AND received_at >= (SELECT min(received_at) FROM harvest WHERE ticket_id = $1)) AS "grown!""#,
        locked.id.0,
        TicketEventType::PlotReplaced.as_str(),
        locked.issuer.0
    )
    .fetch_one(&mut **tx)
    .await?;
    if grown {
        return Ok(false);
    }
    let growth = parameters.on(ParameterName::PlotGrowthPercent, on).to_f64().unwrap_or_default();
    let (old, new) = (before.area_ha(), plot.area_ha());
    if before.shared_ha(plot) < old * (1.0 - ROUNDING) || new > old * (1.0 + growth / 100.0) {
        return Ok(false);
    }
    let events = sqlx::query_scalar!(
        r#"SELECT event.business FROM finding
           JOIN event ON event.subject_id = finding.log_id AND event.seq = finding.log_seq
           WHERE finding.ticket_id = $1 AND finding.rule = $2"#,
        locked.id.0,
        OUTSIDE.id
    )
    .fetch_all(&mut **tx)
    .await?;
    for business in events {
        let read = serde_json::from_str::<Positioned>(&business);
        let Positioned { position } =
            read.map_err(|error| Error::CorruptRow(format!("event.business: {error}")))?;
        let position = position.map(|at| Position::new(at.lat, at.lon, at.accuracy_m));
        if position.is_some_and(|position| outside(position, Some(plot), on, parameters).is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}
