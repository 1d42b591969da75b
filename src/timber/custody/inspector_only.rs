//! Which corrections of its own event only an inspector may make, and not the organisation that recorded it.

use super::correct::{ChainEvent, Prepared};
use super::log::write::LockedLog;
use super::record::Recorder;
use super::returned::closes;
use super::state::LogState;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Status;
use chrono::TimeDelta;

/// How long an organisation may reverse its own loading, departure or arrival.
const OWN_JOURNEY_REVERSAL_PERIOD: TimeDelta = TimeDelta::hours(2);

/// Why only an inspector may make this correction of an organisation's own event; `None` if its recorder may.
///
/// After later events, or events of another organisation, the recorder could misuse a correction: a
/// harvester, for example, could take back the volume of a log that it has sold.
pub(super) fn needs_inspector(
    reverse: bool,
    target: &ChainEvent,
    prepared: &Prepared,
    recorder: &Recorder<'_>,
    row: &LockedLog,
) -> Option<&'static str> {
    let own = recorder.caller.organization;
    if reverse {
        return match target.content.public.event_type {
            LogEventType::Accepted => Some(
                "One side cannot undo an acceptance: the timber is transferred back, or an inspector corrects it.",
            ),
            LogEventType::Received if prepared.accepted_by(target) => Some(
                "One side cannot undo an acceptance: the timber is transferred back, or an inspector corrects it.",
            ),
            event if closes(event) && was_reopened(&prepared.chain) => Some(
                "A sale or another end of this log was reversed before: only an inspector may reverse one again.",
            ),
            event if is_journey(event) && recorder.now - target.received_at > OWN_JOURNEY_REVERSAL_PERIOD => {
                Some(
                    "Its recorder may reverse a loading, unloading, departure or arrival within two hours of receipt; after \
                     that, only an inspector may.",
                )
            }
            _ => None,
        };
    }
    if target.content.seq == 1 && was_reopened(&prepared.chain) {
        // Otherwise the volume of a log that was sold would return to the ticket.
        return Some(
            "A sale or another end of this log was reversed: only an inspector may correct or annul its harvest now.",
        );
    }
    let LogState { status, holder, owner, .. } = row.state;
    let followers = &prepared.chain[prepared.chain.len().min(target.content.seq as usize)..];
    if target.content.seq != 1 {
        return (!followers.is_empty()).then_some(
            "Its recorder may correct an event while it is the last one; after that, only an inspector may.",
        );
    }
    let on_road = matches!(status, Status::Loaded | Status::InTransit | Status::Arrived);
    let others = followers.iter().any(|event| event.content.business.organization != own);
    let is_own = row.state.keeper == Some(own) || holder == own && owner == own;
    (!is_own || !status.is_open() || on_road || others).then_some(
        "The harvester may correct a harvest while the log is its own, open, not on the road and without an event of \
         another organisation; after that, only an inspector may.",
    )
}

/// Whether the event is a step of a journey, which its recorder may reverse for a short time only.
pub(super) fn is_journey(event: LogEventType) -> bool {
    use LogEventType as E;
    matches!(event, E::Loaded | E::Unloaded | E::Departed | E::Arrived)
}

/// Whether an earlier correction reversed an event that had closed the log.
fn was_reopened(chain: &[ChainEvent]) -> bool {
    let closed = |seq: u32| {
        let event = chain.iter().find(|event| event.content.seq == seq);
        event.is_some_and(|event| closes(event.content.public.event_type))
    };
    let reversals = chain.iter().map(|event| &event.content.business).filter(|business| business.reverse);
    reversals.filter_map(|business| business.corrects).any(|corrects| closed(corrects.seq))
}
