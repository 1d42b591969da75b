//! Replaces the seal of a log.
//!
//! The log's event records the new seal. The void of the old seal is recorded on the chain of its batch, like
//! every void, so that a seal's history is complete without its log.

use super::code::SealName;
use super::number::SealNumber;
use super::record::{self, BatchChange};
use super::stock::{SealRow, SealStatus, VoidReason, apply, lock_for_use, numbers_of, stored};
use crate::base::error::{Error, Result};
use crate::base::ids::LogId;
use crate::evidence::chain::{LockedHead, NewHead, Tx};
use crate::timber::event::actor::Actor;
use crate::timber::event::types::SealBatchEventType;

/// The seals of a replacement, locked before the log.
pub struct Replacement {
    /// The new seal; `None` if no seal has the requested number.
    pub new: Option<SealRow>,
    /// The log's seal as read before the locks were taken.
    old: Option<SealRow>,
    /// The chain head of the old seal's batch, if the old seal is `applied`; otherwise `None`.
    batch: Option<LockedHead>,
}

impl Replacement {
    /// Locks the new seal and the present seal of `log`, and, if the present seal is `applied`, the batch of
    /// the present seal. If `log` is `None` (the request has an error), only the new seal is locked.
    pub async fn lock(tx: &mut Tx<'_>, new: &SealName, log: Option<LogId>) -> Result<Self> {
        let new = numbers_of(tx, &[new]).await?.pop().flatten();
        Self::lock_both(tx, new, log).await
    }

    async fn lock_both(tx: &mut Tx<'_>, new: Option<SealNumber>, log: Option<LogId>) -> Result<Self> {
        let old = match log {
            None => None,
            Some(log) => sqlx::query_scalar!(
                r#"SELECT seal_number AS "number: SealNumber" FROM log_seal WHERE log_id = $1 AND until_seq IS NULL"#,
                log.0
            )
            .fetch_optional(&mut **tx)
            .await?,
        };
        let is_known = new.is_some();
        let numbers: Vec<SealNumber> = new.into_iter().chain(old).collect();
        let mut rows = lock_for_use(tx, &numbers).await?.into_iter();
        let new = if is_known { rows.next().flatten() } else { None };
        let old = rows.next().flatten();
        let batch = match &old {
            Some(seal) if seal.status == SealStatus::Applied => {
                record::lock_heads(tx, &[seal.batch.0]).await?.pop()
            }
            _ => None,
        };
        Ok(Self { new, old, batch })
    }

    /// Locks the present seal of `log` and its batch, for an annulment of the log.
    pub async fn lock_old(tx: &mut Tx<'_>, log: LogId) -> Result<Self> {
        Self::lock_both(tx, None, Some(log)).await
    }

    /// Whether `seal`, which was read under the log's lock, is the old seal that [`Self::lock`] locked. False
    /// if another request has replaced the log's seal in between.
    #[must_use]
    pub fn is_old_seal(&self, seal: &SealNumber) -> bool {
        self.old.as_ref().is_some_and(|old| old.number == *seal)
    }

    /// Applies the new seal, which must be `issued`, to `log`; `seq` is the event of the log that records
    /// this. The old seal becomes void with the reason `why`, one of a replacement. This is recorded as an event of its batch,
    /// and the new head of the batch is returned. If the old seal was void before, it keeps its reason, and
    /// no second event is recorded.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if the new seal is not `issued` or the old one is not the log's: the caller has
    /// not checked the locked rows.
    pub async fn put(
        self,
        tx: &mut Tx<'_>,
        act: &Actor,
        (log, seq): (LogId, u32),
        why: VoidReason,
    ) -> Result<Option<NewHead>> {
        let (Some(new), Some(old)) = (self.new, self.old) else {
            return Err(Error::CorruptRow(format!(
                "log_seal: the old or the new seal of log {log} is missing"
            )));
        };
        let made = match self.batch {
            Some(head) => Some(void(tx, act, head, &old.number, why).await?),
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
            return Err(Error::CorruptRow(format!("log_seal: {} is not the seal of log {log}", old.number)));
        }
        apply(tx, &[(new.number, log)], seq).await?;
        Ok(made)
    }

    /// Voids the seal of a log that is annulled, with the reason `annulled`. The seal stays on its log. Returns
    /// the new head of the batch; `None` if the seal was void before.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if the log has no seal.
    pub async fn annul(self, tx: &mut Tx<'_>, act: &Actor) -> Result<Option<NewHead>> {
        let old =
            self.old.ok_or_else(|| Error::CorruptRow("log_seal: an annulled log has no seal".into()))?;
        match self.batch {
            Some(head) => void(tx, act, head, &old.number, VoidReason::Annulled).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Voids the old seal, with an event after its batch's `head`.
async fn void(
    tx: &mut Tx<'_>,
    act: &Actor,
    head: LockedHead,
    number: &SealNumber,
    why: VoidReason,
) -> Result<NewHead> {
    let done = BatchChange { number: Some(number.clone()), reason: Some(why), ..BatchChange::default() };
    let heads = record::add(tx, act, SealBatchEventType::Voided, vec![(head, done)]).await?;
    for head in &heads {
        record::insert_moves(tx, &[number.as_str()], &[head.id], &[head.seq_i32()]).await?;
    }
    let changed = sqlx::query!(
        "UPDATE seal SET status = 'void', void_reason = $2 WHERE number = $1 AND status = 'applied'",
        number.as_str(),
        why.as_str()
    )
    .execute(&mut **tx)
    .await?;
    match heads.into_iter().next().filter(|_| changed.rows_affected() == 1) {
        Some(head) => Ok(head),
        None => Err(Error::CorruptRow(format!("seal.status of {number}: changed under its lock"))),
    }
}
