//! What inspectors observe and buyers report, about the wood that a code names; and what is done about findings each
//! hour.

use crate::base::error::Result;
use crate::base::geo::Position;
use crate::base::ids::{LogId, OrganizationId, TicketId};
use crate::evidence::chain::Tx;
use crate::timber::event::actor::desk_moment;
use crate::timber::finding::observe::Named;
use crate::timber::finding::report::{Report, Reported, Taken};
use crate::timber::finding::{overdue, photo, report};
use crate::timber::parameter::Rulebook;
use crate::timber::parameter::name::ParameterName;
use crate::timber::seal::Code;
use crate::timber::seal::marking_code::Identification;
use crate::timber::seal::signing::{KeyRing, Signature};
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::prelude::ToPrimitive;
use sqlx::PgPool;

/// A code as read, and what it names. A forged code names nothing, although its number is that of a real seal.
pub struct ReadCode {
    /// The number of the seal if it is registered, else the code itself.
    pub text: String,
    /// What it names.
    pub named: Option<Named>,
}

/// Reads a code: by its number or identification, also if it was typed in another form.
///
/// # Errors
/// From the database.
pub async fn read_code(tx: &mut Tx<'_>, code: &Code, ring: &KeyRing) -> Result<ReadCode> {
    if let Code::MarkingCode(marking) = code
        && ring.verify(marking) == Signature::Forged
    {
        let text = format!("forged {}", marking.identification().as_str());
        return Ok(ReadCode { text, named: None });
    }
    for code in [Some(code.clone()), code.other_reading()].into_iter().flatten() {
        if let Some(found) = registered(tx, &code).await? {
            return Ok(found);
        }
    }
    let text = match code {
        Code::SealNumber(number) => number.as_str().to_owned(),
        Code::LogId(id) => id.to_string(),
        Code::Identification(_) | Code::MarkingCode(_) => {
            code.identification().map(|part| part.as_str().to_owned()).unwrap_or_default()
        }
    };
    Ok(ReadCode { text, named: None })
}

async fn registered(tx: &mut Tx<'_>, code: &Code) -> Result<Option<ReadCode>> {
    let number = match code {
        Code::SealNumber(number) => Some(number.as_str()),
        _ => None,
    };
    let identification = code.identification();
    let row = sqlx::query!(
        r#"SELECT s.number, s.holder_id AS "seal_holder: OrganizationId", l.id AS "log?: LogId",
                  l.ticket_id AS "ticket?: TicketId", l.holder_id AS "holder?: OrganizationId"
           FROM seal s LEFT JOIN log l ON l.id = s.log_id
           WHERE s.number = COALESCE($1, (SELECT number FROM seal WHERE identification = $2))"#,
        number,
        identification.as_ref().map(Identification::as_str)
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| ReadCode {
        text: row.number,
        named: Some(Named {
            log: row.log,
            ticket: row.ticket,
            holder: row.holder.unwrap_or(row.seal_holder),
        }),
    }))
}

/// A buyer's report as it was sent.
pub struct SentReport<'a> {
    /// The code.
    pub code: &'a Code,
    /// What was wrong.
    pub what: Reported,
    /// In words.
    pub text: Option<&'a str>,
    /// Where.
    pub position: Option<Position>,
    /// How to reach the reporter.
    pub contact: Option<&'a str>,
}

/// Stores a buyer's report.
///
/// # Errors
/// From the database.
pub async fn report(
    pool: &PgPool,
    ring: &KeyRing,
    rulebook: &Rulebook,
    sent: &SentReport<'_>,
) -> Result<Taken> {
    let now = rulebook.now();
    let mut tx = Tx::begin(pool).await?;
    let ReadCode { text: code, named: about } = read_code(&mut tx, sent.code, ring).await?;
    let SentReport { what, text, position, contact, .. } = *sent;
    let report = Report { code: &code, about, what, text, position, contact };
    let per_code = whole(rulebook, ParameterName::CitizenReportsPerCode, now)?;
    let taken = report::add(&mut tx, &report, per_code, now).await?;
    tx.commit().await?;
    Ok(taken)
}

/// The value of a parameter of whole numbers that is in force.
fn whole(rulebook: &Rulebook, name: ParameterName, now: DateTime<Utc>) -> Result<i64> {
    let value = rulebook.parameters().on(name, desk_moment(now)?.day().day());
    Ok(value.to_i64().unwrap_or_default())
}

/// What [`sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Reports deleted.
    pub reports: u64,
    /// Photos deleted.
    pub photos: u64,
    /// Unanswered appeals found.
    pub appeals: usize,
}

/// Deletes reports that no inspector opened in time and photos that no observation names, and finds appeals that are
/// not answered in time.
///
/// # Errors
/// From the database.
pub async fn sweep(pool: &PgPool, rulebook: &Rulebook, now: DateTime<Utc>) -> Result<Swept> {
    let days = |name| whole(rulebook, name, now).map(TimeDelta::days);
    let (kept, answered) = (days(ParameterName::CitizenReportDays)?, days(ParameterName::AppealAnswerDays)?);
    let mut tx = Tx::begin(pool).await?;
    let reports = report::delete_expired(&mut tx, now - kept).await?;
    let photos = photo::delete_unused(&mut tx, now).await?;
    tx.commit().await?;
    let mut tx = Tx::begin(pool).await?;
    let appeals = overdue::appeals(&mut tx, answered, now).await?;
    tx.commit().await?;
    Ok(Swept { reports, photos, appeals })
}
