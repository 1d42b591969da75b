//! The server appends an event `detained` right after an inspector's event that stops the log: an inspection
//! with such an outcome, or the void of its seal. Without an event `detained`, a log has no hold of its own
//! (its ticket may have one).

use super::content::{Content, DetailsPart, LogBusiness, LogPublic};
use super::state::LogState;
use crate::base::error::Result;
use crate::base::ids::LogId;
use crate::evidence::chain::{Draft, NewHead, canonical};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::LogEventType;

/// Who stops a log, and why.
pub(super) struct Detention<'a> {
    /// The inspector, the request, and the time.
    pub(super) act: &'a Actor,
    /// The outcome of the inspection, or the reason of the void of the seal.
    pub(super) reason: String,
}

/// Drafts the event `detained` that follows `head`, the head of a log that this transaction has locked.
/// `state` is the log's state at `head`. Returns the draft and the state after it.
pub(super) fn detained(mut state: LogState, head: NewHead, why: Detention<'_>) -> Result<(Draft, LogState)> {
    let Detention { act, reason } = why;
    let details = DetailsPart { reason: Some(reason), ..DetailsPart::default() };
    let log = LogId(head.id);
    let content = Content {
        seq: head.seq + 1,
        public: LogPublic::bare(LogEventType::Detained, state.kind, act.on(), None),
        business: LogBusiness {
            details: Some(details),
            ..LogBusiness::bare(log, act.occurred, act.organization, act.key, act.operation)
        },
    };
    state.apply(&content)?;
    let (public, business) = (canonical::text(&content.public), canonical::text(&content.business));
    Ok((act.draft(head.into_locked(), LogEventType::Detained, public, business, None), state))
}
