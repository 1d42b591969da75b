//! Lists of logs: which ids are on a page.

use super::find::resolve;
use crate::base::error::Result;
use crate::base::ids::{LogId, TicketId};
use crate::timber::event::vocabulary::Status;
use crate::timber::party::reader::Reader;
use crate::timber::seal::Code;
use crate::timber::wood::species::Species;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// Logs that wait for the next step of an organisation, for the desk's home page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Offered to the reader.
    ToAccept,
    /// Offered by the reader, without an answer yet.
    Offered,
    /// Stopped at this time: for an inspector every such log, else those that the reader holds or owns.
    Held(DateTime<Utc>),
}

/// The filters of a list of logs.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// If true, only logs that the reader holds. If false, the logs that it holds or owns; for an inspector,
    /// all logs.
    pub held: bool,
    /// Only logs with this status.
    pub status: Option<Status>,
    /// Only logs of this species.
    pub species: Option<Species>,
    /// Only logs of this felling ticket.
    pub ticket: Option<TicketId>,
    /// Only logs on the vehicle with this number plate; spaces and the case of letters do not matter.
    pub vehicle: Option<String>,
    /// Only the log with this seal, present or past.
    pub seal: Option<Code>,
    /// Only logs that wait.
    pub waiting: Option<Waiting>,
    /// Only logs after this one, for paging.
    pub after: Option<LogId>,
    /// Maximum number of logs.
    pub limit: i64,
}

/// A look-up by id or vehicle, which few logs have; the reader's part in the log is checked row by row. In addition to
/// the logs that it holds or owns, a carrier finds those that it carries.
macro_rules! looked_up {
    ($db:expr, $reader:expr, $filter:expr, $by:literal, $value:expr) => {
        sqlx::query_scalar!(
            r#"SELECT id AS "id: LogId" FROM log WHERE "#
                + $by
                + " AND id > $1 AND ($2::text IS NULL OR status = $2)
               AND ($3::text IS NULL OR species = $3) AND ($4::uuid IS NULL OR ticket_id = $4)
               AND ($7 AND NOT $8 OR holder_id = $6 OR own_use AND issuer_id = $6
                    OR NOT $8 AND $6 IN (owner_id, carrier_id))
               AND ($10::text IS NULL OR upper(replace(vehicle, ' ', '')) = upper(replace($10, ' ', '')))
             ORDER BY id LIMIT $5",
            $filter.after.map_or(Uuid::nil(), |id| id.0),
            $filter.status.map(Status::as_str),
            $filter.species.map(Species::as_str),
            $filter.ticket.map(|ticket| ticket.0),
            $filter.limit,
            $reader.organization.0,
            $reader.inspector,
            $filter.held,
            $value,
            $filter.vehicle.as_deref()
        )
        .fetch_all($db)
        .await
    };
}

/// The ids of a page of logs, in the order of their ids. One round trip; a look-up by seal takes one more.
///
/// # Errors
/// Database errors.
pub async fn list(db: &mut PgConnection, reader: Reader, filter: LogFilter) -> Result<Vec<LogId>> {
    if let Some(code) = &filter.seal {
        let Some(id) = resolve(&mut *db, std::slice::from_ref(code)).await?.pop().flatten() else {
            return Ok(Vec::new());
        };
        return Ok(looked_up!(db, reader, filter, "id = $9", id.0)?);
    }
    if let Some(vehicle) = &filter.vehicle {
        let by = vehicle.as_str();
        return Ok(looked_up!(
            db,
            reader,
            filter,
            "vehicle IS NOT NULL AND upper(replace(vehicle, ' ', '')) = upper(replace($9, ' ', ''))",
            by
        )?);
    }
    if let Some(waiting) = filter.waiting {
        return self::waiting(db, reader, &filter, waiting).await;
    }
    let after = filter.after.map_or(Uuid::nil(), |id| id.0);
    let (status, species) = (filter.status.map(Status::as_str), filter.species.map(Species::as_str));
    let ticket = filter.ticket.map(|ticket| ticket.0);
    if reader.inspector && !filter.held {
        let ids = sqlx::query_scalar!(
            r#"SELECT id AS "id: LogId" FROM log
               WHERE id > $1 AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR species = $3)
                 AND ($4::uuid IS NULL OR ticket_id = $4)
               ORDER BY id LIMIT $5"#,
            after,
            status,
            species,
            ticket,
            filter.limit
        );
        return Ok(ids.fetch_all(db).await?);
    }
    // The query joins three disjoint sets: the logs that the reader holds, those that it owns but does not
    // hold, and those for own use that it records for their holders. Each set is read in the order of its own index.
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!: LogId" FROM (
               (SELECT id FROM log
                WHERE holder_id = $6 AND id > $1 AND ($2::text IS NULL OR status = $2)
                  AND ($3::text IS NULL OR species = $3) AND ($4::uuid IS NULL OR ticket_id = $4)
                ORDER BY id LIMIT $5)
               UNION ALL
               (SELECT id FROM log
                WHERE NOT $7 AND owner_id = $6 AND owner_id <> holder_id AND id > $1
                  AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR species = $3)
                  AND ($4::uuid IS NULL OR ticket_id = $4)
                ORDER BY id LIMIT $5)
               UNION ALL
               (SELECT id FROM log
                WHERE own_use AND issuer_id = $6 AND id > $1 AND ($2::text IS NULL OR status = $2)
                  AND ($3::text IS NULL OR species = $3) AND ($4::uuid IS NULL OR ticket_id = $4)
                ORDER BY id LIMIT $5)
           ) AS mine ORDER BY id LIMIT $5"#,
        after,
        status,
        species,
        ticket,
        filter.limit,
        reader.organization.0,
        filter.held
    );
    Ok(ids.fetch_all(db).await?)
}

/// The ids of a page of logs that wait. Few logs do, and each case has an index of its own.
async fn waiting(
    db: &mut PgConnection,
    reader: Reader,
    filter: &LogFilter,
    waiting: Waiting,
) -> Result<Vec<LogId>> {
    let after = filter.after.map_or(Uuid::nil(), |id| id.0);
    let (status, species) = (filter.status.map(Status::as_str), filter.species.map(Species::as_str));
    let (ticket, me, limit) = (filter.ticket.map(|ticket| ticket.0), reader.organization.0, filter.limit);
    Ok(match waiting {
        Waiting::ToAccept => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id: LogId" FROM log
                   WHERE pending_to = $1 AND id > $2 AND ($3::text IS NULL OR status = $3)
                     AND ($4::text IS NULL OR species = $4) AND ($5::uuid IS NULL OR ticket_id = $5)
                   ORDER BY id LIMIT $6"#,
                me,
                after,
                status,
                species,
                ticket,
                limit
            )
            .fetch_all(db)
            .await?
        }
        Waiting::Offered => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id: LogId" FROM log
                   WHERE pending_from = $1 AND id > $2 AND ($3::text IS NULL OR status = $3)
                     AND ($4::text IS NULL OR species = $4) AND ($5::uuid IS NULL OR ticket_id = $5)
                   ORDER BY id LIMIT $6"#,
                me,
                after,
                status,
                species,
                ticket,
                limit
            )
            .fetch_all(db)
            .await?
        }
        Waiting::Held(now) => {
            sqlx::query_scalar!(
                r#"SELECT id AS "id: LogId" FROM log
                   WHERE (held_since IS NOT NULL OR ticket_held_since IS NOT NULL)
                     AND (held_since IS NOT NULL OR ticket_held_until IS NULL OR ticket_held_until > $8)
                     AND ($7 OR $1 IN (holder_id, owner_id)) AND id > $2 AND ($3::text IS NULL OR status = $3)
                     AND ($4::text IS NULL OR species = $4) AND ($5::uuid IS NULL OR ticket_id = $5)
                   ORDER BY id LIMIT $6"#,
                me,
                after,
                status,
                species,
                ticket,
                limit,
                reader.inspector,
                now
            )
            .fetch_all(db)
            .await?
        }
    })
}
