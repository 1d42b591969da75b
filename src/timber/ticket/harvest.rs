//! Locks a ticket for a harvest, until the harvest is stored.

use super::lock::LockedTicket;
use crate::base::error::Result;
use crate::base::ids::{LineId, TicketId};
use crate::base::units::Volume;
use crate::evidence::chain::Tx;
use crate::timber::wood::bounds::TableSums;
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
    /// Sums over its logs with a volume declared to be from the table of GOST 2708-75.
    pub by_table: TableSums,
}

/// What a harvest or a correction changes in a line; negative where it takes something away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// The line.
    pub id: LineId,
    /// Change of its marked volume.
    pub marked: Volume,
    /// Change of the sums over its logs with a volume declared to be from the table.
    pub by_table: TableSums,
}

/// Why an individual gets no commercial wood.
pub const NO_COMMERCIAL_WOOD: &str = "An individual gets firewood or brushwood for its own use; commercial wood is felled by an enterprise or a forest owner.";

/// Locks a ticket's lines exclusively, in the order of their ids, and then the ticket's row with a shared
/// lock, which prevents changes of the ticket. Reads and harvests under other tickets are not blocked. `None`
/// if there is no such ticket.
pub async fn lock_for_harvest(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<TicketForHarvest>> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id: LineId", species AS "species: Species", wood AS "wood: Wood",
                  permitted_m3 AS "permitted: Volume", marked_m3 AS "marked: Volume", by_table_logs,
                  by_table_m3 AS "by_table: Volume", table_m3 AS "table: Volume"
           FROM ticket_line WHERE ticket_id = $1 ORDER BY id FOR UPDATE"#,
        id.0
    )
    .fetch_all(&mut **tx)
    .await?;
    let lines = rows.into_iter().map(|row| LockedLine {
        id: row.id,
        species: row.species,
        wood: row.wood,
        permitted: row.permitted,
        marked: row.marked,
        by_table: TableSums { logs: row.by_table_logs, declared: row.by_table, table: row.table },
    });
    let lines = lines.collect();
    Ok(LockedTicket::shared(tx, id).await?.map(|row| TicketForHarvest { row, lines }))
}

/// Adds volumes to the marked volume of lines locked by this transaction, and to their sums; a correction may
/// add a negative volume. A line named twice gets the sum.
///
/// # Errors
/// From the database, if the marked volume of a line would become negative.
pub async fn add_marked(tx: &mut Tx<'_>, changes: &[LineChange]) -> Result<()> {
    let ids: Vec<Uuid> = changes.iter().map(|line| line.id.0).collect();
    let volumes = |of: fn(&LineChange) -> Volume| -> Vec<Decimal> {
        changes.iter().map(|line| of(line).decimal()).collect()
    };
    let logs: Vec<i32> = changes.iter().map(|line| line.by_table.logs).collect();
    sqlx::query!(
        "UPDATE ticket_line
         SET marked_m3 = marked_m3 + added.marked, by_table_logs = by_table_logs + added.logs,
             by_table_m3 = by_table_m3 + added.declared, table_m3 = table_m3 + added.of_table
         FROM (SELECT id, sum(marked) AS marked, sum(logs) AS logs, sum(declared) AS declared, sum(of_table) AS of_table
               FROM UNNEST($1::uuid[], $2::numeric[], $3::int[], $4::numeric[], $5::numeric[])
                    AS a (id, marked, logs, declared, of_table)
               GROUP BY id) added
         WHERE ticket_line.id = added.id",
        &ids,
        &volumes(|line| line.marked),
        &logs,
        &volumes(|line| line.by_table.declared),
        &volumes(|line| line.by_table.table)
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
