//! Locks a ticket for a harvest, until the harvest is stored.

use super::read::stored_plot;
use crate::base::error::{Error, Result};
use crate::base::geo::Plot;
use crate::base::ids::{LineId, OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::{LocalDate, Volume};
use crate::evidence::chain::Hash;
use crate::evidence::chain::Tx;
use crate::timber::wood::species::{Species, Wood};
use rust_decimal::Decimal;
use uuid::Uuid;

/// A ticket with its lines locked by this transaction. It cannot be extended or cancelled meanwhile.
#[derive(Clone, Debug)]
pub struct TicketForHarvest {
    /// Id.
    pub id: TicketId,
    /// The forest owner that issued it.
    pub issuer: OrganizationId,
    /// The organisation that may fell under it.
    pub holder: OrganizationId,
    /// Number of its chain's events.
    pub head_seq: u32,
    /// Hash of the newest event.
    pub head_hash: Hash,
    /// Whether it is cancelled.
    pub cancelled: bool,
    /// First day (in Kazakhstan) of felling.
    pub felling_from: LocalDate,
    /// Last day (in Kazakhstan) of felling.
    pub felling_until: LocalDate,
    /// Region.
    pub region: Region,
    /// Forestry.
    pub forestry: String,
    /// Series.
    pub series: String,
    /// Number.
    pub number: String,
    /// Contour.
    pub plot: Option<Plot>,
    /// Its lines, by id.
    pub lines: Vec<LockedLine>,
}

/// A line locked by this transaction.
#[derive(Clone, Copy, Debug)]
pub struct LockedLine {
    /// Id.
    pub id: LineId,
    /// Species.
    pub species: Species,
    /// Kind of wood.
    pub wood: Wood,
    /// Permitted volume.
    pub permitted: Volume,
    /// Volume marked so far.
    pub marked: Volume,
}

/// Locks a ticket's lines exclusively, in the order of their ids, then its row shared, which prevents
/// changes of the ticket. Harvests under other tickets and readers are not blocked. `None` if there is no
/// such ticket.
pub async fn lock_for_harvest(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<TicketForHarvest>> {
    let lines = sqlx::query_as!(
        LockedLine,
        r#"SELECT id, species AS "species: Species", wood AS "wood: Wood", permitted_m3 AS "permitted: Volume",
                  marked_m3 AS "marked: Volume"
           FROM ticket_line WHERE ticket_id = $1 ORDER BY id FOR UPDATE"#,
        id.0
    )
    .fetch_all(&mut **tx)
    .await?;
    let row = sqlx::query!(
        r#"SELECT issuer_id, holder_id, head_seq, head_hash, cancelled_at, felling_from AS "felling_from: LocalDate",
                  felling_until AS "felling_until: LocalDate", region AS "region: Region", forestry, series, number, plot
           FROM felling_ticket WHERE id = $1 FOR SHARE"#,
        id.0
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let corrupt = |column: &str| Error::CorruptRow(format!("felling_ticket.{column} of {id}"));
    Ok(Some(TicketForHarvest {
        id,
        issuer: row.issuer_id.into(),
        holder: row.holder_id.into(),
        head_seq: u32::try_from(row.head_seq).map_err(|_| corrupt("head_seq"))?,
        head_hash: Hash::from_slice(&row.head_hash).ok_or_else(|| corrupt("head_hash"))?,
        cancelled: row.cancelled_at.is_some(),
        felling_from: row.felling_from,
        felling_until: row.felling_until,
        region: row.region,
        forestry: row.forestry,
        series: row.series,
        number: row.number,
        plot: row.plot.as_deref().map(|text| stored_plot(id, text)).transpose()?,
        lines,
    }))
}

/// Adds volumes to the marked volume of lines locked by this transaction; a correction may add a negative
/// volume. A line named twice gets the sum.
///
/// # Errors
/// From the database, if the marked volume of a line would become negative.
pub async fn add_marked(tx: &mut Tx<'_>, marked: &[(LineId, Volume)]) -> Result<()> {
    let ids: Vec<Uuid> = marked.iter().map(|(id, _)| id.0).collect();
    let volumes: Vec<Decimal> = marked.iter().map(|(_, volume)| volume.decimal()).collect();
    sqlx::query!(
        "UPDATE ticket_line SET marked_m3 = marked_m3 + added.volume
         FROM (SELECT id, sum(volume) AS volume FROM UNNEST($1::uuid[], $2::numeric[]) AS a (id, volume) GROUP BY id) added
         WHERE ticket_line.id = added.id",
        &ids,
        &volumes
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
