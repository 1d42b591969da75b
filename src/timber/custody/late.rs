//! Late events: a device recorded them without a network, and the server received them after events that
//! happened later.

use super::correct;
use super::log::write::LockedLog;
use super::record::{Access, Plan, Recorder};
use super::state::{LogState, contradicted, state_at};
use super::table::check;
use crate::base::error::Result;
use crate::base::ids::LogId;
use crate::evidence::chain::Tx;
use crate::timber::custody::content::Content;
use crate::timber::event::vocabulary::Status;
use chrono::{DateTime, Utc};
use std::borrow::Cow;
use std::collections::HashMap;

/// Maximum number of late events that one organisation may record of one log. It is enough for any journey
/// without a network, and too few for a former party to fill the chain of a log that another organisation
/// holds now.
const MAX_LATE_EVENTS: usize = 20;

/// The state of a log at the time at which a late event happened, and all events of the log.
pub(super) struct Past {
    pub(super) state: LogState,
    pub(super) events: Vec<Content>,
}

impl Recorder<'_> {
    /// For an event from a device: the logs for which the event is late, each with its state at the time that
    /// the event states.
    pub(super) async fn states_at_event(
        &self,
        tx: &mut Tx<'_>,
        rows: &HashMap<LogId, LockedLog>,
    ) -> Result<HashMap<LogId, Past>> {
        let at = self.request.occurred_at.instant();
        if self.request.device.is_none() || !self.request.r#type.may_be_late() {
            return Ok(HashMap::new());
        }
        // Every record of a device about an annulled log is late: it tells of the log's life, which is over.
        let is_late = |state: &LogState| at < state.last.occurred_at || state.status == Status::Annulled;
        let late: Vec<LogId> = rows.values().filter(|row| is_late(&row.state)).map(|row| row.id).collect();
        if late.is_empty() {
            return Ok(HashMap::new());
        }
        let chains = correct::chains(tx, &late).await?;
        let past_of = |(id, chain): (LogId, Vec<correct::ChainEvent>)| {
            let events: Vec<Content> = chain.into_iter().map(|event| event.content).collect();
            let mut state = self.state_for(&events, at)?;
            let ticket_hold = rows.get(&id).and_then(|row| row.state.ticket_hold.clone());
            state.ticket_hold = ticket_hold.filter(|hold| hold.since <= at);
            Ok((id, Past { state, events }))
        };
        chains.into_iter().map(past_of).collect()
    }

    /// The state of a log in which a late event of the caller counts as allowed or not.
    ///
    /// Late events of other organisations are claims without effect on the present state, so they cannot forbid
    /// the caller's event: a former owner's device that delivers a loading after the log was sold would
    /// otherwise forbid every later record of the new owner. They may allow it: a carrier arrives after a
    /// departure that the holder recorded late.
    fn state_for(&self, events: &[Content], at: DateTime<Utc>) -> Result<LogState> {
        let all = state_at(events, at)?;
        if self.allows(&all, at) || !events.iter().any(|event| self.is_others_claim(event)) {
            return Ok(all);
        }
        let own: Vec<Content> = events.iter().filter(|event| !self.is_others_claim(event)).cloned().collect();
        let own = state_at(&own, at)?;
        Ok(if self.allows(&own, at) { own } else { all })
    }

    fn allows(&self, state: &LogState, at: DateTime<Utc>) -> bool {
        check(self.request.r#type, state, self.roles, at).is_ok() && self.check_giver(state).is_ok()
    }

    fn is_others_claim(&self, event: &Content) -> bool {
        event.business.out_of_order && event.business.organization != self.caller.organization
    }

    /// Checks whether a late event may be added to `events`. It is rejected if an event already recorded
    /// could not have followed it, if it happened before the harvest, or if its organisation has recorded
    /// [`MAX_LATE_EVENTS`] late events of the log.
    pub(super) fn check_late(
        &self,
        plan: &Plan,
        events: &[Content],
    ) -> Result<Result<(), (&'static str, String)>> {
        let own = |event: &&Content| {
            event.business.out_of_order && event.business.organization == self.caller.organization
        };
        if events.iter().filter(own).count() >= MAX_LATE_EVENTS {
            let detail = format!("An organisation may record {MAX_LATE_EVENTS} late events of one log.");
            return Ok(Err(("too-many-late-events", detail)));
        }
        if let Some(harvest) = events.first()
            && self.request.occurred_at.instant() < harvest.business.occurred.instant()
            && !events.iter().any(|event| event.business.corrects.as_ref().is_some_and(|of| of.seq == 1))
        {
            let detail = "The log was felled later: nothing happened to it before.".to_owned();
            return Ok(Err(("contradicts-later", detail)));
        }
        // A late event of the present holder or owner is not refused for the claims of others, only for what is
        // in force and for its own late events. Those of past parties are refused for all that is recorded.
        let state = &plan.row.state;
        let events: Cow<'_, [Content]> =
            if state.owner == self.caller.organization || state.is_held_by(self.caller.organization) {
                events.iter().filter(|event| !self.is_others_claim(event)).cloned().collect()
            } else {
                Cow::Borrowed(events)
            };
        Ok(match contradicted(&events, &self.content(plan, None, None))? {
            None => Ok(()),
            Some(seq) => {
                let detail =
                    format!("If this had happened then, event {seq} of this log could not have followed.");
                let detail = match plan.access {
                    Access::Full => detail,
                    Access::Past => {
                        "If this had happened then, a later event could not have followed.".to_owned()
                    }
                };
                Err(("contradicts-later", detail))
            }
        })
    }
}
