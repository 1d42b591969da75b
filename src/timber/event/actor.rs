//! The common fields of the business parts of events that are recorded from an office: the organisation, its
//! key, the time, and the write request.

use super::parts::LocalTime;
use super::types::EventType;
use crate::base::error::Result;
use crate::base::ids::{KeyId, OperationId, OrganizationId};
use crate::base::region::Region;
use crate::base::units::{KAZAKHSTAN_OFFSET_MINUTES, Moment};
use crate::evidence::chain::{Draft, LockedHead};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

/// The fields that the business parts of all such events have in common. They are flattened into each
/// business part.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// The key with which it was recorded.
    pub key: KeyId,
    /// When the event happened. It is the server's time ([`Actor::of`]), except for events with a time that
    /// the client states ([`Actor::at_moment`]).
    pub occurred: LocalTime,
    /// The write request.
    pub operation: OperationId,
    /// The organisation that recorded it.
    pub organization: OrganizationId,
    #[serde(skip)]
    moment: Moment,
}

impl Actor {
    /// The fields for an event that `organization` records at `now` with its key `key`, under a new operation
    /// id.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::base::error::Error::Unavailable) if the server's clock is wrong.
    pub fn of(organization: OrganizationId, key: KeyId, now: DateTime<Utc>) -> Result<Self> {
        Self::in_operation(organization, key, OperationId::new(), now)
    }

    /// As [`Actor::of`], but under the id `operation`, which the write request has already.
    ///
    /// # Errors
    /// As for [`Actor::of`].
    pub fn in_operation(
        organization: OrganizationId,
        key: KeyId,
        operation: OperationId,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let moment = desk_moment(now)?;
        Ok(Self { key, occurred: LocalTime::of(moment), operation, organization, moment })
    }

    /// The fields for an event that happened at a time that the client states (`moment`).
    #[must_use]
    pub fn at_moment(
        organization: OrganizationId,
        key: KeyId,
        operation: OperationId,
        moment: Moment,
    ) -> Self {
        Self { key, occurred: LocalTime::of(moment), operation, organization, moment }
    }

    /// The draft of an event of the type `of` that follows `head`, without a personal part.
    ///
    /// # Panics
    /// If subjects of the kind of `head` have no such events.
    pub(in crate::timber) fn draft(
        &self,
        head: LockedHead,
        of: impl Into<EventType>,
        public: String,
        business: String,
        region: Option<Region>,
    ) -> Draft {
        let of = of.into();
        assert_eq!(of.kind(), head.kind(), "{} on a chain of another kind", of.as_str());
        Draft {
            head,
            public,
            business,
            personal: None,
            event_type: of.as_str(),
            organization: self.organization.0,
            operation: self.operation.0,
            occurred_at: self.at(),
            region: region.map(Region::as_str),
        }
    }

    /// The day.
    #[must_use]
    pub fn on(&self) -> NaiveDate {
        self.moment.day().day()
    }

    /// The instant.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.moment.instant()
    }
}

/// `now` with Kazakhstan's offset.
pub(crate) fn desk_moment(now: DateTime<Utc>) -> Result<Moment> {
    Moment::new(now, KAZAKHSTAN_OFFSET_MINUTES).map_err(|error| {
        crate::base::error::Error::Unavailable(format!("the server's clock is wrong: {error}").into())
    })
}
