//! Locks a ticket's row: shared for a harvest or a correction, exclusively for a change of the ticket.

use super::ban::TicketBan;
use super::read::stored_plot;
use crate::base::error::{Error, Result};
use crate::base::geo::Plot;
use crate::base::ids::{OrganizationId, TicketId};
use crate::base::region::Region;
use crate::base::units::LocalDate;
use crate::evidence::chain::{Hash, LockedHead, SubjectKind, Tx};
use crate::timber::event::parts::TicketName;
use crate::timber::event::vocabulary::HeldBy;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A ticket's row, held under lock by this transaction.
#[derive(Clone, Debug)]
pub struct LockedTicket {
    /// Id.
    pub id: TicketId,
    /// Seq of its chain's newest event.
    pub head_seq: u32,
    /// Hash of that event.
    pub head_hash: Hash,
    /// The forest owner that issued it.
    pub issuer: OrganizationId,
    /// The organisation that may fell under it.
    pub holder: OrganizationId,
    /// Series and number.
    pub name: TicketName,
    /// Region.
    pub region: Region,
    /// Forestry.
    pub forestry: String,
    /// Contour.
    pub plot: Option<Plot>,
    /// First day (in Kazakhstan) of felling.
    pub felling_from: LocalDate,
    /// Last day (in Kazakhstan) of felling, extensions included.
    pub felling_until: LocalDate,
    /// Last day (in Kazakhstan) of removal, extensions included.
    pub removal_until: Option<LocalDate>,
    /// Whether it is cancelled.
    pub cancelled: bool,
    /// The newest hold that was not released; it may have ended by itself.
    pub hold: Option<TicketHold>,
    /// The felling bans with which its term shares a day.
    pub bans: Vec<TicketBan>,
}

/// A hold of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TicketHold {
    /// The side that holds the ticket.
    pub by: HeldBy,
    /// When the issuer's ends by itself, or an inspector's is overdue.
    pub until: DateTime<Utc>,
}

impl TicketHold {
    /// Whether it stands: an inspector's until it is released, the issuer's until its end.
    #[must_use]
    pub fn stands(&self, at: DateTime<Utc>) -> bool {
        self.by == HeldBy::Inspector || at < self.until
    }
}

struct Stored {
    salt: Vec<u8>,
    head_seq: i32,
    head_hash: Vec<u8>,
    head_received_at: DateTime<Utc>,
    issuer_id: Uuid,
    holder_id: Uuid,
    series: String,
    number: String,
    region: Region,
    forestry: String,
    plot: Option<String>,
    felling_from: LocalDate,
    felling_until: LocalDate,
    removal_until: Option<LocalDate>,
    cancelled_at: Option<DateTime<Utc>>,
    held_by: Option<HeldBy>,
    held_until: Option<DateTime<Utc>>,
    bans: Option<String>,
}

/// A locked ticket, as [`Stored`]. Its bans are read by the same statement, so that a harvest takes no further round
/// trip; LEAST ignores NULL, the `ended_on` of a ban that was not ended.
macro_rules! locked {
    ($id:expr, $lock:literal) => {
        sqlx::query_as!(
            Stored,
            r#"SELECT salt, head_seq, head_hash, head_received_at, issuer_id, holder_id, series, number,
                      region AS "region: Region", forestry, plot, felling_from AS "felling_from: LocalDate",
                      felling_until AS "felling_until: LocalDate", removal_until AS "removal_until: LocalDate",
                      cancelled_at, held_by AS "held_by: HeldBy", held_until,
                      (SELECT json_agg(json_build_object(
                                  'species', ban.species, 'from', ban.from_day,
                                  'until', LEAST(ban.until_day, ban.ended_on - 1),
                                  'existing_tickets', ban.existing_tickets, 'number', ban.document_number)
                                  ORDER BY ban.from_day, ban.id)::text
                       FROM ban
                       WHERE ban.kind = 'felling' AND (ban.region IS NULL OR ban.region = felling_ticket.region)
                         AND (ban.forest_owner_id IS NULL OR ban.forest_owner_id = felling_ticket.issuer_id)
                         AND ban.from_day <= felling_ticket.felling_until
                         AND LEAST(ban.until_day, ban.ended_on - 1)
                             >= GREATEST(ban.from_day, felling_ticket.felling_from)) AS bans
               FROM felling_ticket WHERE id = $1 "#
                + $lock,
            $id
        )
    };
}

impl LockedTicket {
    /// Locks the row against changes of the ticket, with a shared lock, which several harvests can hold at
    /// once.
    pub(super) async fn shared(tx: &mut Tx<'_>, id: TicketId) -> Result<Option<Self>> {
        let row = locked!(id.0, "FOR SHARE").fetch_optional(&mut **tx).await?;
        row.map(|row| Self::of(id, row)).transpose()
    }

    /// Locks the row for a change, which appends to the ticket's chain.
    pub(in crate::timber) async fn exclusive(
        tx: &mut Tx<'_>,
        id: TicketId,
    ) -> Result<Option<(Self, LockedHead)>> {
        let Some(row) = locked!(id.0, "FOR UPDATE").fetch_optional(&mut **tx).await? else { return Ok(None) };
        let (kind, at) = (SubjectKind::FellingTicket, row.head_received_at);
        let head = LockedHead::stored(kind, id.0, &row.salt, row.head_seq, &row.head_hash, at)?;
        Ok(Some((Self::of(id, row)?, head)))
    }

    fn of(id: TicketId, row: Stored) -> Result<Self> {
        let corrupt = |column: &str| Error::CorruptRow(format!("felling_ticket.{column} of {id}"));
        Ok(Self {
            id,
            head_seq: u32::try_from(row.head_seq).map_err(|_| corrupt("head_seq"))?,
            head_hash: Hash::from_slice(&row.head_hash).ok_or_else(|| corrupt("head_hash"))?,
            issuer: row.issuer_id.into(),
            holder: row.holder_id.into(),
            name: TicketName { number: row.number, series: row.series },
            region: row.region,
            forestry: row.forestry,
            plot: row.plot.as_deref().map(|text| stored_plot(id, text)).transpose()?,
            felling_from: row.felling_from,
            felling_until: row.felling_until,
            removal_until: row.removal_until,
            cancelled: row.cancelled_at.is_some(),
            bans: row
                .bans
                .map_or(Ok(Vec::new()), |text| serde_json::from_str(&text))
                .map_err(|error| Error::CorruptRow(format!("ban: {error}")))?,
            hold: row.held_by.zip(row.held_until).map(|(by, until)| TicketHold { by, until }),
        })
    }
}
