//! Locks a ticket for a harvest, until the harvest is stored.

use super::lock::LockedTicket;
use crate::base::error::Result;
use crate::base::ids::{LineId, TicketId};
use crate::base::units::Volume;
use crate::evidence::chain::Tx;
use crate::timber::wood::species::{Species, Wood};
use rust_decimal::Decimal;
use uuid::Uuid;

/// A ticket with its lines, all locked by this transaction. Until it ends, the ticket cannot be extended or
/// cancelled.
#[derive(Clone, Debug)]
pub struct TicketForHarvest {
    /// Its row.
    pub row: LockedTicket,
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

/// Locks a ticket's lines exclusively, in the order of their ids, and then the ticket's row with a shared
/// lock, which prevents changes of the ticket. Reads and harvests under other tickets are not blocked. `None`
/// if there is no such ticket.
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
    Ok(LockedTicket::shared(tx, id).await?.map(|row| TicketForHarvest { row, lines }))
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
