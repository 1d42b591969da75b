//! What every event of an organisation or a ticket says in its business part: who, with which key, when.

use super::content::Told;
use crate::base::error::Result;
use crate::base::ids::{KeyId, OperationId, OrganizationId};
use crate::base::units::Moment;
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

/// Kazakhstan's offset from UTC in minutes, since 2024 the same everywhere: the local day of what is
/// recorded at a desk, where nobody tells a time.
const DESK_OFFSET: i16 = 300;

/// The common head of business parts, flattened into each.
#[derive(Clone, Debug, Serialize)]
pub struct Act {
    /// The key it was recorded with.
    pub key: KeyId,
    /// When: the server's own time, since what is done at a desk is done as it is sent.
    pub occurred: Told,
    /// The posting.
    pub operation: OperationId,
    /// Who recorded it.
    pub organization: OrganizationId,
    #[serde(skip)]
    moment: Moment,
}

impl Act {
    /// Something that an organisation does now with a key of its own.
    pub fn of(organization: OrganizationId, key: KeyId, now: DateTime<Utc>) -> Result<Self> {
        let moment = desk_moment(now)?;
        let occurred = Told::of(moment);
        Ok(Self { key, occurred, operation: OperationId::new(), organization, moment })
    }

    /// The local day.
    #[must_use]
    pub fn on(&self) -> NaiveDate {
        self.moment.local_date().day()
    }

    /// The instant.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.moment.instant()
    }
}

/// `now` as it is told at a desk.
pub(crate) fn desk_moment(now: DateTime<Utc>) -> Result<Moment> {
    Moment::new(now, DESK_OFFSET).map_err(|refused| {
        crate::base::error::Error::Unavailable(format!("the clock stands wrong: {refused}").into())
    })
}
