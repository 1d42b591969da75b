//! Another seal in the place of the one that a log bears.
//!
//! The log's own event says which seal came on; that the old one is void from then on stands on the chain of its
//! batch, like every void, so that a seal's history tells it without its log.

use super::number::SealNumber;
use super::record::{self, By, Done, VOIDED};
use super::stock::{SealRow, SealStatus, VoidReason, apply, lock_for_use, stored};
use crate::base::error::{Error, Result};
use crate::base::ids::LogId;
use crate::evidence::chain::Tx;
use crate::evidence::chain::{Head, NewHead};

/// The seals of a replacement, under lock, before the log is.
pub struct Replacement {
    /// The seal that shall come on; nothing if there is none of that number.
    pub new: Option<SealRow>,
    /// The log's seal as read before the locks.
    old: Option<SealRow>,
    /// The chain of the old seal's batch; nothing if that seal was void before.
    batch: Option<Head>,
}

impl Replacement {
    /// Locks the new seal, the one that `log` bears, and the latter's batch.
    pub async fn lock(tx: &mut Tx<'_>, new: &SealNumber, log: LogId) -> Result<Self> {
        let old = sqlx::query_scalar!(
            r#"SELECT seal_number AS "number: SealNumber" FROM log_seal WHERE log_id = $1 AND until_seq IS NULL"#,
            log.0
        )
        .fetch_optional(&mut **tx)
        .await?;
        let numbers: Vec<SealNumber> = std::iter::once(new.clone()).chain(old).collect();
        let mut rows = lock_for_use(tx, &numbers).await?.into_iter();
        let (new, old) = (rows.next().flatten(), rows.next().flatten());
        let batch = match &old {
            Some(seal) if seal.status == SealStatus::Applied => {
                record::lock_heads(tx, &[seal.batch.0]).await?.pop()
            }
            _ => None,
        };
        Ok(Self { new, old, batch })
    }

    /// Whether a log that bears `seal` is the one that was locked for: nobody replaced its seal between the
    /// reading and the locks.
    #[must_use]
    pub fn takes_off(&self, seal: &str) -> bool {
        self.old.as_ref().is_some_and(|old| old.number.as_str() == seal)
    }

    /// Puts the new seal, which is issued, on `log` by the log's event `seq`. The old one becomes void `replaced`,
    /// by the event of its batch that is returned; if it was void before, it keeps its reason, and nothing is said
    /// twice.
    ///
    /// # Errors
    /// [`Error::BadRow`] if the new seal is not issued, or the old one not the log's: the caller did not look at
    /// what it had locked.
    pub async fn put(self, tx: &mut Tx<'_>, by: &By, log: LogId, seq: u32) -> Result<Option<NewHead>> {
        let (Some(new), Some(old)) = (self.new, self.old) else {
            return Err(Error::BadRow(format!("log_seal: no seal to take off log {log}, or none to put on")));
        };
        let made = match self.batch {
            Some(head) => Some(void(tx, by, head, &old.number).await?),
            None => None,
        };
        let closed = sqlx::query!(
            "UPDATE log_seal SET until_seq = $3 WHERE seal_number = $1 AND log_id = $2 AND until_seq IS NULL",
            old.number.as_str(),
            log.0,
            stored(seq)
        )
        .execute(&mut **tx)
        .await?;
        if closed.rows_affected() != 1 {
            return Err(Error::BadRow(format!("log_seal: {} is not the seal of log {log}", old.number)));
        }
        apply(tx, &[(new.number, log)], seq).await?;
        Ok(made)
    }
}

/// Voids the seal that was taken off, with an event behind its batch's `head`.
async fn void(tx: &mut Tx<'_>, by: &By, head: Head, number: &SealNumber) -> Result<NewHead> {
    let done = Done {
        number: Some(number.to_string()),
        reason: Some(VoidReason::Replaced.as_str().to_owned()),
        ..Done::default()
    };
    let heads = record::add(tx, by, VOIDED, vec![(head, done)]).await?;
    record::save_heads(tx, &heads).await?;
    for head in &heads {
        record::remember_moves(tx, &[number.as_str()], &[head.id], &[head.seq_i32()]).await?;
    }
    let changed = sqlx::query!(
        "UPDATE seal SET status = 'void', void_reason = 'replaced' WHERE number = $1 AND status = 'applied'",
        number.as_str()
    )
    .execute(&mut **tx)
    .await?;
    match heads.into_iter().next().filter(|_| changed.rows_affected() == 1) {
        Some(head) => Ok(head),
        None => Err(Error::BadRow(format!("seal.status of {number}: changed under its lock"))),
    }
}
