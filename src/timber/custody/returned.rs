//! What a correction gives back: the volume that returns to a ticket's line or moves to another one, and the
//! annulment of an entry that never was.

use super::correct::ChainEvent;
use super::state::LogState;
use crate::base::error::Result;
use crate::base::ids::{LogId, TicketId};
use crate::base::units::Volume;
use crate::evidence::chain::Tx;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::Status;
use crate::timber::finding::rules::{self, Draft, ReturnCause, ReturnLimits};
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName;
use crate::timber::ticket::TicketForHarvest;
use chrono::NaiveDate;
use rust_decimal::Decimal;

/// What earlier corrections gave back on a ticket. Read after the ticket's lines are locked, so that no other
/// correction can be between this count and the correction that it limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Returned {
    /// Corrections of the ticket's logs with a finding L18.
    times: i64,
    /// Whether the seal of the log was checked; read for an annulment only.
    checked: bool,
    /// Logs of the ticket, and those of them that are annulled; read for an annulment only.
    logs: i64,
    annulled: i64,
    annulled_m3: Decimal,
}

impl Returned {
    /// Reads it; the annulled logs and the checks only if `annul`, because for these all logs of the ticket are
    /// read. Checks that another instance counted in the last minute may not be stored yet.
    pub(super) async fn read(tx: &mut Tx<'_>, ticket: TicketId, log: LogId, annul: bool) -> Result<Self> {
        let times = sqlx::query_scalar!(
            r#"SELECT count(*) AS "times!" FROM finding WHERE ticket_id = $1 AND rule = 'L18'"#,
            ticket.0
        )
        .fetch_one(&mut **tx)
        .await?;
        if !annul {
            return Ok(Self { times, ..Self::default() });
        }
        let row = sqlx::query!(
            r#"SELECT count(*) AS "logs!", count(*) FILTER (WHERE status = $2) AS "annulled!",
                      COALESCE(sum(volume_m3) FILTER (WHERE status = $2), 0) AS "annulled_m3!",
                      EXISTS (SELECT FROM log_seal s JOIN seal_check c ON c.seal_number = s.seal_number
                              WHERE s.log_id = $3) AS "checked!"
               FROM log WHERE ticket_id = $1"#,
            ticket.0,
            Status::Annulled.as_str(),
            log.0
        )
        .fetch_one(&mut **tx)
        .await?;
        Ok(Self {
            times,
            checked: row.checked,
            logs: row.logs,
            annulled: row.annulled,
            annulled_m3: row.annulled_m3,
        })
    }

    /// Why only an inspector may annul a log; `None` if its recorder may, as far as the log's chain and the
    /// ticket's other logs decide it.
    pub(super) fn annulment_needs_inspector(
        &self,
        chain: &[ChainEvent],
        state: &LogState,
        parameters: &Parameters,
        day: NaiveDate,
    ) -> Option<&'static str> {
        if chain.len() > 1 || state.status != Status::AtFelling {
            return Some(
                "An entry may be annulled by its recorder while the harvest is the log's only event.",
            );
        }
        if self.checked {
            return Some(
                "Its seal was checked since, so the log was seen: only an inspector may annul its entry.",
            );
        }
        let percent = parameters.on(ParameterName::AnnulledLogs, day);
        let most = (Decimal::from(self.logs) * percent / Decimal::ONE_HUNDRED).floor().max(Decimal::ONE);
        let volume = self.annulled_m3 + state.volume_m3.decimal();
        let beyond = Decimal::from(self.annulled + 1) > most
            || volume > parameters.on(ParameterName::AnnulledVolume, day);
        beyond.then_some(
            "Of the ticket's logs as many are annulled as its holder may annul without an inspector, by number or volume.",
        )
    }

    /// L18 for a change of a log's volume or line: `None` if nothing returns to the line `before`.
    pub(super) fn finding(
        &self,
        ticket: &TicketForHarvest,
        before: &LogState,
        after: &LogState,
        parameters: &Parameters,
        day: NaiveDate,
    ) -> Option<Draft> {
        let counted = if after.status == Status::Annulled { Volume::ZERO } else { after.volume_m3 };
        let moved = before.line != after.line;
        let volume = if moved { before.volume_m3 } else { before.volume_m3.checked_sub(counted)? };
        if volume.decimal() <= Decimal::ZERO {
            return None;
        }
        let permitted = ticket.lines.iter().find(|line| line.id == before.line)?.permitted;
        let limits = ReturnLimits {
            volume: parameters.on(ParameterName::ReturnedVolume, day),
            percent: parameters.on(ParameterName::ReturnedShare, day),
            times: parameters.on(ParameterName::ReturnedTimes, day),
            serious: parameters.on(ParameterName::ReturnedSerious, day),
        };
        let how = match (after.status, moved) {
            (Status::Annulled, _) => ReturnCause::ByAnnulment,
            (_, true) => ReturnCause::ToLine(after.species, after.wood),
            (_, false) => ReturnCause::ByCorrection,
        };
        Some(rules::returned_volume(volume, permitted, how, self.times, &limits))
    }
}

/// A finding if a correction reverses an event that had closed the log.
pub(super) fn reopened(target: &ChainEvent, reverse: bool) -> Option<Draft> {
    let event = target.content.public.event_type;
    (reverse && closes(event)).then(|| rules::closing_reversed(event))
}

/// Whether an event closes a log: it leaves circulation.
pub(super) fn closes(event: LogEventType) -> bool {
    use LogEventType as E;
    matches!(event, E::Processed | E::Exported | E::Sold | E::Lost | E::Destroyed)
}
