//! The felling site of a ticket: the size of its plot, and what it shares with the plots of other tickets.

use super::issue::NewTicket;
use super::read::stored_plot;
use crate::base::error::{FieldError, Location, Result};
use crate::base::geo::Plot;
use crate::evidence::chain::Tx;
use crate::timber::finding::rules::{Draft, ticket as rules};
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use chrono::NaiveDate;
use rust_decimal::prelude::ToPrimitive as _;

/// The error of a plot above the size that [`ParameterName::PlotMaxHa`] permits.
#[must_use]
pub fn too_large(plot: &Plot, parameters: &Parameters, on: NaiveDate, at: Location) -> Option<FieldError> {
    let (area, most) = (plot.area_ha(), parameters.on(ParameterName::PlotMaxHa, on));
    (area > most.to_f64().unwrap_or(f64::MAX)).then(|| {
        let detail = format!("The plot has {area:.2} ha; a felling site has at most {most} ha.");
        FieldError::new(at, "plot-area-too-large", detail)
    })
}

/// The findings about the plot of a new ticket: an area unlike that which the ticket states, and the plots of tickets
/// in force in the same region that share a day of felling and wood with it. At most [`MOST`] of the latter.
pub(super) async fn found(
    tx: &mut Tx<'_>,
    new: &NewTicket,
    parameters: &Parameters,
    on: NaiveDate,
) -> Result<Vec<Draft>> {
    let Some(plot) = &new.plot else { return Ok(Vec::new()) };
    let difference = parameters.on(ParameterName::AreaDifferencePercent, on);
    let mut found: Vec<Draft> =
        new.area_ha.and_then(|area| rules::area_unlike_plot(area, plot, difference)).into_iter().collect();
    let others = sqlx::query!(
        r#"SELECT id, plot AS "plot!" FROM felling_ticket
           WHERE plot IS NOT NULL AND region = $1 AND cancelled_at IS NULL AND felling_from <= $3
             AND felling_until >= $2
           ORDER BY id"#,
        new.region.as_str(),
        new.felling_from.day(),
        new.felling_until.day()
    )
    .fetch_all(&mut **tx)
    .await?;
    let percent = parameters.on(ParameterName::PlotOverlapPercent, on);
    for other in others {
        if found.len() > MOST {
            break;
        }
        let id = other.id.into();
        found.extend(rules::plots_overlap(plot, &stored_plot(id, &other.plot)?, id, percent));
    }
    Ok(found)
}

/// How many overlapping plots are found at once; more say nothing new.
const MOST: usize = 5;
