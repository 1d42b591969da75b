//! Checks of codes by buyers as data: how often a code was checked in an hour, and from how many blocks of
//! addresses.
//!
//! They are counted in memory and written once a minute with one statement; a kill loses up to a minute, and
//! codes beyond [`MAX_COUNTS`] in a minute are lost. No address is kept: a block is a keyed hash, and the
//! key lives in memory for one day. Rows are kept for 90 days. These counts are no events, so what follows from
//! them is never more than a notice, and `fsck` cannot recompute it.

use super::leaf::day_of;
use crate::base::error::Result;
use crate::base::ids::{LogId, OrganizationId};
use crate::evidence::chain::{Salt, SubjectKind, Tx};
use crate::timber::event::vocabulary::Status;
use crate::timber::finding::draft::FindingSubject;
use crate::timber::finding::rules::surveillance as rules;
use crate::timber::finding::rules::{Rule, Severity};
use crate::timber::finding::write::{self, NewFinding};
use crate::timber::parameter::Parameters;
use crate::timber::parameter::name::ParameterName as Name;
use crate::timber::seal::VoidReason;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use metrics::counter;
use rust_decimal::prelude::ToPrimitive as _;
use sha2::{Digest as _, Sha256};
use sqlx::{PgExecutor, PgPool};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Counters in memory at once, about 100 bytes each.
pub const MAX_COUNTS: usize = 20_000;
/// How often the counts are written.
const INTERVAL: Duration = Duration::from_mins(1);
/// For how many days the counts are kept.
const KEPT_DAYS: i64 = 90;
/// Findings of an hour.
const MAX_FOUND: i64 = 1_000;
/// Blocks of addresses from which a closed or void code must be checked on one day: one buyer may check twice.
const SEVERAL: i64 = 2;

/// Checks that were not counted, because there were too many codes in one minute.
pub const UNCOUNTED: &str = "ormantrace_checks_uncounted_total";

/// The counters; clones share them.
#[derive(Clone, Debug)]
pub struct Checks(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    salt: [u8; 32],
    day: NaiveDate,
    counts: HashMap<(String, i64, [u8; 8]), i32>,
}

/// How often one code was checked in one hour from one block of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The seal's number.
    pub seal: String,
    /// The hour's begin.
    pub hour: DateTime<Utc>,
    /// Keyed hash of the block of addresses; its key changes every day.
    pub block: [u8; 8],
    /// Number of checks.
    pub count: i32,
}

impl Default for Checks {
    fn default() -> Self {
        let counts = Counts { salt: Salt::random().0, day: NaiveDate::MIN, counts: HashMap::new() };
        Self(Arc::new(Mutex::new(counts)))
    }
}

/// The block of an address: an IPv4 /24 or an IPv6 /48, which one subscriber or a small network has.
fn block_of(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..6].to_vec(),
    }
}

/// The day in Kazakhstan.
fn day_at(time: DateTime<Utc>) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(day_of(time.timestamp_micros())).unwrap_or_default()
}

impl Checks {
    /// Counts a check of a registered seal.
    pub fn note(&self, seal: &str, address: IpAddr, now: DateTime<Utc>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let day = day_at(now);
        if counts.day != day {
            (counts.day, counts.salt) = (day, Salt::random().0);
        }
        let hash = Sha256::new().chain_update(counts.salt).chain_update(block_of(address)).finalize();
        let block = std::array::from_fn(|at| hash[at]);
        let key = (seal.to_owned(), now.timestamp().div_euclid(3_600), block);
        if counts.counts.len() >= MAX_COUNTS && !counts.counts.contains_key(&key) {
            counter!(UNCOUNTED).increment(1);
            return;
        }
        let count = counts.counts.entry(key).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes the counts out.
    #[must_use]
    pub fn take(&self) -> Vec<Count> {
        let counts = std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).counts);
        let all = counts.into_iter().filter_map(|((seal, hour, block), count)| {
            Some(Count { seal, hour: DateTime::from_timestamp(hour * 3_600, 0)?, block, count })
        });
        all.collect()
    }

    /// Writes the counts once a minute, until the task is aborted.
    pub async fn write_every_minute(self, pool: PgPool) {
        let mut minutes = tokio::time::interval(INTERVAL);
        minutes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            if let Err(error) = self.write(&pool).await {
                tracing::warn!(%error, "the counts of a minute of checks are lost");
            }
        }
    }

    /// Writes the counts with one statement. What cannot be written is lost.
    ///
    /// # Errors
    /// Database errors.
    pub async fn write(&self, db: impl PgExecutor<'_>) -> sqlx::Result<()> {
        let counts = self.take();
        if counts.is_empty() {
            return Ok(());
        }
        let seals: Vec<&str> = counts.iter().map(|count| count.seal.as_str()).collect();
        let hours: Vec<DateTime<Utc>> = counts.iter().map(|count| count.hour).collect();
        let blocks: Vec<&[u8]> = counts.iter().map(|count| count.block.as_slice()).collect();
        let numbers: Vec<i32> = counts.iter().map(|count| count.count).collect();
        sqlx::query!(
            "INSERT INTO seal_check AS old (seal_number, hour, block, count)
             SELECT * FROM UNNEST($1::text[], $2::timestamptz[], $3::bytea[], $4::integer[])
             ON CONFLICT (hour, seal_number, block) DO UPDATE SET count = old.count + excluded.count",
            &seals as &[&str],
            &hours,
            &blocks as &[&[u8]],
            &numbers
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

/// One day of checks of a seal, and what the seal is on.
#[derive(Clone, Debug)]
struct CheckedDay {
    seal: String,
    day: NaiveDate,
    checks: i64,
    blocks: i64,
    holder: Uuid,
    batch: Uuid,
    void: Option<VoidReason>,
    log: Option<Uuid>,
    status: Option<Status>,
    last_at: Option<DateTime<Utc>>,
    party: Option<Uuid>,
}

/// Smallest numbers of checks that are a finding.
#[derive(Clone, Copy, Debug)]
struct Least {
    closed: i64,
    burst: i64,
    burst_blocks: i64,
}

impl Least {
    fn on(parameters: &Parameters, day: NaiveDate) -> Self {
        let of = |name| parameters.on(name, day).to_i64().unwrap_or(i64::MAX);
        Self {
            closed: of(Name::ChecksClosed),
            burst: of(Name::ChecksBurst),
            burst_blocks: of(Name::ChecksBlocks),
        }
    }
}

impl CheckedDay {
    /// Rule, key and case of the finding, if the day is one.
    fn judge(&self, least: Least) -> Option<(&'static Rule, String, &'static str)> {
        let several = self.checks >= least.closed && self.blocks >= SEVERAL;
        let is_gone = matches!(self.void, Some(VoidReason::Lost | VoidReason::Stolen | VoidReason::Annulled));
        if several && is_gone {
            return Some((&rules::SEAL_MISUSED, format!("checked-{}", self.seal), "checked"));
        }
        let is_used_up = matches!(
            self.status,
            Some(Status::Processed | Status::Exported | Status::Destroyed | Status::Lost)
        );
        // The buyer of the last load may check it on the day of the closing and the day after.
        let is_later = self.last_at.is_some_and(|at| self.day > day_at(at) + TimeDelta::days(1));
        if several && is_used_up && is_later {
            return Some((&rules::CODE_CLONED, "checked".to_owned(), "checked"));
        }
        let is_burst = self.checks >= least.burst && self.blocks >= least.burst_blocks;
        is_burst.then(|| (&rules::CODE_CLONED, format!("burst-{}", self.day.format("%Y-%m")), "burst"))
    }

    fn finding(&self, (rule, key, case): (&'static Rule, &str, &'static str)) -> NewFinding {
        let mut draft = rule.found(Severity::Notice).key(key);
        draft = match self.log {
            Some(log) => draft.about(LogId(log)),
            None => draft.about(FindingSubject { kind: SubjectKind::SealBatch, id: self.batch }),
        };
        draft = draft.input("case", case).input("seal", &self.seal).input("day", self.day);
        draft = draft.number("checks", self.checks).number("blocks", self.blocks);
        if let Some(reason) = self.void {
            draft = draft.input("reason", reason);
        }
        if let Some(status) = self.status {
            draft = draft.input("event", status);
        }
        NewFinding {
            draft,
            log: self.log.map(|log| (LogId(log), 0)),
            ticket: None,
            party: Some(OrganizationId(self.party.unwrap_or(self.holder))),
        }
    }
}

/// Judges the days of checks that touch the hour before `until`, and deletes counts that are too old.
///
/// # Errors
/// Database errors.
pub async fn sweep(
    tx: &mut Tx<'_>,
    parameters: &Parameters,
    until: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    let day = day_at(until - TimeDelta::hours(1));
    let begin = day.and_time(chrono::NaiveTime::MIN).and_utc() - TimeDelta::hours(5);
    let days = sqlx::query_as!(
        CheckedDay,
        r#"SELECT d.seal_number AS seal, $3::date AS "day!", d.checks AS "checks!", d.blocks AS "blocks!",
                  s.holder_id AS holder, s.batch_id AS batch, s.void_reason AS "void: VoidReason", s.log_id AS log,
                  l.status AS "status?: Status", l.last_occurred_at AS "last_at?", l.holder_id AS "party?"
           FROM (SELECT seal_number, sum(count) AS checks, count(DISTINCT block) AS blocks
                 FROM seal_check WHERE hour >= $1 AND hour < $2 GROUP BY seal_number
                 HAVING count(DISTINCT block) >= $4 ORDER BY sum(count) DESC LIMIT $5) d
           JOIN seal s ON s.number = d.seal_number LEFT JOIN log l ON l.id = s.log_id
           ORDER BY d.seal_number"#,
        begin,
        until,
        day,
        SEVERAL,
        MAX_FOUND
    )
    .fetch_all(&mut **tx)
    .await?;
    let least = Least::on(parameters, day);
    for checked in days {
        let Some((rule, key, case)) = checked.judge(least) else { continue };
        let subject = checked.log.unwrap_or(checked.batch);
        let is_known = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM finding WHERE rule = $1 AND subject_id = $2 AND key = $3) AS "known!""#,
            rule.id,
            subject,
            key
        )
        .fetch_one(&mut **tx)
        .await?;
        if !is_known {
            write::store(tx, OrganizationId(checked.holder), vec![checked.finding((rule, &key, case))], now)
                .await?;
        }
    }
    sqlx::query!("DELETE FROM seal_check WHERE hour < $1", until - TimeDelta::days(KEPT_DAYS))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Least = Least { closed: 3, burst: 50, burst_blocks: 5 };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_is_the_same_on_one_day_and_another_on_the_next() {
        let checks = Checks::default();
        let note = |address: &str, time: &str| checks.note("KZ-1", address.parse().unwrap(), at(time));
        note("192.0.2.7", "2026-10-05T10:00:00Z");
        note("::ffff:192.0.2.99", "2026-10-05T10:59:59Z");
        note("198.51.100.7", "2026-10-05T10:10:00Z");
        let mut counts = checks.take();
        counts.sort_by_key(|count| count.count);
        assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 2]);
        assert!(counts.iter().all(|count| count.hour == at("2026-10-05T10:00:00Z")));
        assert_eq!(checks.take(), []);
        // Midnight in Kazakhstan.
        note("192.0.2.7", "2026-10-05T18:59:59Z");
        note("192.0.2.7", "2026-10-05T19:00:00Z");
        let blocks: Vec<_> = checks.take().into_iter().map(|count| count.block).collect();
        assert!(blocks.len() == 2 && blocks[0] != blocks[1]);
    }

    #[test]
    fn counters_are_bounded() {
        let checks = Checks::default();
        let now = at("2026-10-05T10:00:00Z");
        for n in 0..MAX_COUNTS + 5 {
            checks.note(&format!("KZ-{n}"), IpAddr::from([192, 0, 2, 1]), now);
        }
        checks.note("KZ-7", IpAddr::from([192, 0, 2, 1]), now);
        let counts = checks.take();
        assert_eq!(counts.len(), MAX_COUNTS);
        assert!(counts.iter().any(|count| count.seal == "KZ-7" && count.count == 2));
    }

    #[test]
    fn a_closed_code_that_several_buyers_check_is_a_notice() {
        let day = CheckedDay {
            seal: "KZ-1".to_owned(),
            day: NaiveDate::from_ymd_opt(2026, 10, 9).unwrap(),
            checks: 3,
            blocks: 2,
            holder: Uuid::nil(),
            batch: Uuid::nil(),
            void: None,
            log: Some(Uuid::nil()),
            status: Some(Status::Processed),
            last_at: Some(at("2026-10-07T10:00:00Z")),
            party: Some(Uuid::nil()),
        };
        let key = |day: &CheckedDay| day.judge(LEAST).map(|(rule, key, _)| (rule.id, key));
        assert_eq!(key(&day), Some(("L5", "checked".to_owned())));
        assert_eq!(key(&CheckedDay { checks: 2, ..day.clone() }), None);
        assert_eq!(key(&CheckedDay { blocks: 1, ..day.clone() }), None, "a mill that checks its own logs");
        assert_eq!(key(&CheckedDay { status: Some(Status::Sold), ..day.clone() }), None, "its buyers may");
        assert_eq!(key(&CheckedDay { last_at: Some(at("2026-10-08T10:00:00Z")), ..day.clone() }), None);
        let stolen = CheckedDay { void: Some(VoidReason::Stolen), status: None, ..day.clone() };
        assert_eq!(key(&stolen), Some(("L4", "checked-KZ-1".to_owned())));
        let burst = CheckedDay { checks: 50, blocks: 5, status: Some(Status::Stored), ..day };
        assert_eq!(key(&burst), Some(("L5", "burst-2026-10".to_owned())));
        assert_eq!(key(&CheckedDay { checks: 49, ..burst.clone() }), None);
        assert_eq!(key(&CheckedDay { blocks: 4, ..burst }), None);
    }
}
