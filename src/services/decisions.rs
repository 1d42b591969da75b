//! An inspector's decision on a finding, with the hold that goes with it: one transaction.

use crate::base::error::{Error, FieldError, Location, Result};
use crate::base::ids::{FindingId, LogId, TicketId};
use crate::base::input::Document;
use crate::base::units::{Text, utc_text};
use crate::evidence::chain::{SubjectKind, Tx};
use crate::timber::custody::record::{self, Recorded};
use crate::timber::custody::request::NewCustodyEvent;
use crate::timber::custody::ticket_hold;
use crate::timber::event::actor::Actor;
use crate::timber::finding::decide::{self, Decision, refuse_own_case};
use crate::timber::finding::read;
use crate::timber::finding::row::{Finding, FindingRow};
use crate::timber::parameter::Rulebook;
use crate::timber::party::key::Caller;
use crate::timber::party::reader::Reader;
use serde_json::json;

/// Decides a finding; with `hold` it also stops the log or the felling ticket that the finding is about. Returns the
/// finding after the decision.
///
/// The hold comes first: its locks come before that of the finding.
///
/// # Errors
/// As for [`decide::decide`], [`record::record`] and [`ticket_hold::hold`]. Conflict: `nothing-to-hold` if the finding is
/// about neither a log nor a ticket.
pub async fn decide(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    id: FindingId,
    (decision, fingerprint): (&Decision<'_>, &[u8; 32]),
    rulebook: &Rulebook,
) -> Result<Finding> {
    let reader = Reader::from(caller);
    if decision.hold {
        let row = read::row(&mut **tx, reader, id).await?;
        refuse_own_case(&row, caller)?;
        hold(tx, caller, act, (&row, decision), fingerprint, rulebook).await?;
    }
    decide::decide(tx, caller, act, id, decision).await?;
    read::row(&mut **tx, reader, id).await?.view()
}

/// What the hold of a log or ticket says: the rule, not the reason of the decision, which is a personal part.
fn hold_reason(row: &FindingRow) -> String {
    format!("Finding {}", row.rule)
}

async fn hold(
    tx: &mut Tx<'_>,
    caller: &Caller,
    act: &Actor,
    (row, decision): (&FindingRow, &Decision<'_>),
    fingerprint: &[u8; 32],
    rulebook: &Rulebook,
) -> Result<()> {
    let log = if row.kind()? == SubjectKind::Log { Some(LogId(row.subject_id)) } else { row.log };
    match (row.kind()?, log) {
        (SubjectKind::FellingTicket, _) => {
            let reason = Text::<200>::parse(&hold_reason(row)).map_err(|_| corrupt(row))?;
            let until = (None, Location::body());
            let parameters = rulebook.parameters();
            ticket_hold::hold(tx, caller, act, TicketId(row.subject_id), until, &reason, &parameters).await
        }
        (_, Some(log)) => {
            // As a client would send it, so that it passes the same checks.
            let request = json!({
                "type": "detained", "logs": [log], "occurred_at": utc_text(act.at()),
                "details": {
                    "reason": hold_reason(row), "finding_id": row.id,
                    "official": decision.official.map(|(name, post)| json!({"name": name, "post": post})),
                    "act": decision.act.map(|(number, date)| json!({"number": number, "date": date})),
                }
            })
            .to_string();
            let document = Document::parse(request.as_bytes()).map_err(|_| corrupt(row))?;
            let request: NewCustodyEvent = document.read().map_err(Error::Invalid)?;
            match record::record(tx, caller, &request, fingerprint, rulebook).await? {
                Recorded::New(_) | Recorded::Before(_) => Ok(()),
            }
        }
        (_, None) => {
            let detail =
                "The finding is about neither a log nor a felling ticket, so there is nothing to hold.";
            Err(Error::Conflict(vec![FieldError::new(Location::body(), "nothing-to-hold", detail)]))
        }
    }
}

fn corrupt(row: &FindingRow) -> Error {
    Error::CorruptRow(format!("finding.rule of {}", row.id))
}
