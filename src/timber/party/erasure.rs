//! Records an erasure: an event that identifies the events that lost their personal part.
//!
//! Without this event, a personal part that was removed by tampering would look as if it had been erased
//! lawfully. For each deleted row of table `personal`, one such event is appended to the chain of the
//! organisation that had recorded the person, in the transaction that deletes the row.

use super::head;
use crate::base::error::{Error, Result};
use crate::base::ids::{OperationId, OrganizationId};
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Draft, Hash, LockedHead, NewHead, SubjectKind, canonical};
use crate::timber::event::actor::desk_moment;
use crate::timber::event::parts::LocalTime;
use crate::timber::event::types::OrganizationEventType;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The public part of the event.
#[derive(Serialize)]
struct ErasurePublic {
    v: u8,
    subject: &'static str,
    #[serde(rename = "type")]
    event_type: OrganizationEventType,
    on: NaiveDate,
}

/// The business part of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureBusiness {
    /// Version of this part.
    pub v: u8,
    /// The organisation that had recorded the person; the event is on its chain.
    pub organization: OrganizationId,
    /// Id of the erasure, the same in all its events.
    pub operation: OperationId,
    /// Time of the erasure.
    pub occurred: LocalTime,
    /// The row of table `personal` that was deleted.
    pub personal: Uuid,
    /// Number of events that had their personal part in the deleted row.
    pub events: u32,
    /// SHA-256 in hex over the lines `subject_id SPACE seq LF` of the events that had their personal part in
    /// the deleted row ([`events_digest`]).
    pub digest: String,
    /// The erase command, without its search terms.
    pub command: String,
}

impl ErasureBusiness {
    /// Reads a stored business part.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::CorruptRow(format!("event.business: {error}")))
    }
}

/// SHA-256 over the lines `subject_id SPACE seq LF`, one for each event, sorted by subject and seq.
#[must_use]
pub fn events_digest(events: &[(Uuid, i32)]) -> Hash {
    let mut sorted = events.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for (subject, seq) in sorted {
        hasher.update(format!("{subject} {seq}\n"));
    }
    Hash(hasher.finalize().into())
}

/// The events that have their personal part in the row `personal`: the first events of a harvest's logs, the
/// first event of an organisation, or the events that name an official or a corrected responsible person.
pub async fn events_of(db: &mut PgConnection, personal: Uuid) -> Result<Vec<(Uuid, i32)>> {
    let rows = sqlx::query_file!("src/timber/party/events_of.sql", personal).fetch_all(db).await?;
    Ok(rows.into_iter().map(|row| (row.subject_id, row.seq)).collect())
}

/// A row of table `personal` that this transaction deleted.
#[derive(Clone, Copy, Debug)]
pub struct Deleted {
    /// Its id.
    pub personal: Uuid,
    /// The organisation that had recorded the person.
    pub organization: Uuid,
}

/// For each deleted row, records an event on the chain of the organisation that had recorded the person.
///
/// # Errors
/// From the database; [`Error::CorruptRow`] if the row of a recording organisation is missing.
pub async fn record(tx: &mut Tx<'_>, deleted: &[Deleted], command: &str, now: DateTime<Utc>) -> Result<()> {
    let mut by_organization: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for row in deleted {
        by_organization.entry(row.organization).or_default().push(row.personal);
    }
    let ids: Vec<Uuid> = by_organization.keys().copied().collect();
    let heads = head::lock_heads(tx, &ids).await?;
    let mut heads: BTreeMap<Uuid, LockedHead> = heads.into_iter().map(|head| (head.id(), head)).collect();
    let operation = OperationId::new();
    for (organization, mut rows) in by_organization {
        let absent =
            || Error::CorruptRow(format!("personal.organization_id: no organisation {organization}"));
        let mut head = heads.remove(&organization).ok_or_else(absent)?;
        rows.sort_unstable();
        for personal in rows {
            let events = events_of(&mut *tx, personal).await?;
            head = add(tx, head, operation, personal, &events, command, now).await?.into_locked();
        }
    }
    Ok(())
}

async fn add(
    tx: &mut Tx<'_>,
    head: LockedHead,
    operation: OperationId,
    personal: Uuid,
    events: &[(Uuid, i32)],
    command: &str,
    now: DateTime<Utc>,
) -> Result<NewHead> {
    let moment = desk_moment(now)?;
    let organization = head.id();
    let public = ErasurePublic {
        v: 1,
        subject: SubjectKind::Organization.name(),
        event_type: OrganizationEventType::PersonalErased,
        on: moment.day().day(),
    };
    let business = ErasureBusiness {
        v: 1,
        organization: organization.into(),
        operation,
        occurred: LocalTime::of(moment),
        personal,
        events: u32::try_from(events.len()).unwrap_or(u32::MAX),
        digest: events_digest(events).to_string(),
        command: command.to_owned(),
    };
    let draft = Draft {
        head,
        public: canonical::text(&public),
        business: canonical::text(&business),
        personal: None,
        event_type: OrganizationEventType::PersonalErased.as_str(),
        organization,
        operation: operation.0,
        occurred_at: moment.instant(),
        region: None,
    };
    head::add(tx, now, draft).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Moment;

    #[test]
    fn the_longest_record_fits_its_column() {
        let business = ErasureBusiness {
            v: 1,
            organization: OrganizationId::new(),
            operation: OperationId::new(),
            occurred: LocalTime::of(Moment::parse("2026-10-05T10:00:00+05:00").unwrap()),
            personal: OperationId::new().0,
            events: u32::MAX,
            digest: Hash::ZERO.to_string(),
            command: "erase --harvest".into(),
        };
        assert!(canonical::text(&business).len() <= 1_300);
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_found() {
        let [a, b] = [1, 2].map(Uuid::from_u128);
        assert_eq!(events_digest(&[(b, 1), (a, 10), (a, 9)]), events_digest(&[(a, 9), (a, 10), (b, 1)]));
        let lines = format!("{a} 9\n{a} 10\n{b} 1\n");
        assert_eq!(events_digest(&[(b, 1), (a, 10), (a, 9)]).0, <[u8; 32]>::from(Sha256::digest(lines)));
    }
}
