//! Stores the findings of the rules, in the transaction of the record that they are about.

use super::chain;
use super::content::RecordedBy;
use super::draft::{Draft, EvidenceEvent, FindingSubject, Questioned, Scope};
pub use super::row::Finding;
use super::row::{FindingRow, FindingState, finding_rows};
use super::rules::Severity;
use super::rules::surveillance::SURVEILLANCE;
use crate::base::error::{Error, Result};
use crate::base::ids::{FindingId, LogId, OrganizationId, TicketId};
use crate::evidence::chain::{Salt, Tx};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use std::collections::HashMap;
use uuid::Uuid;

/// A finding of a rule, and the records that it is about.
#[derive(Clone, Debug)]
pub struct NewFinding {
    /// The finding.
    pub draft: Draft,
    /// The log and the seq of its event, if the finding is about an event of a log.
    pub log: Option<(LogId, u32)>,
    /// The ticket, if it is about one.
    pub ticket: Option<TicketId>,
    /// The organisation that the finding is about. By default this is the organisation that records the
    /// event; for an inspection it is the log's holder.
    pub party: Option<OrganizationId>,
}

/// A finding that is ready to be stored; several of one rule, subject and key are one.
struct Prepared {
    id: FindingId,
    draft: Draft,
    party: Option<OrganizationId>,
    subject: FindingSubject,
    key: String,
    log: Option<(LogId, u32)>,
    ticket: Option<TicketId>,
    evidence: Vec<EvidenceEvent>,
    count: i32,
}

/// What identifies a finding: rule, subject, key.
type Identity = (String, Uuid, String);

impl Prepared {
    fn of(new: NewFinding, organization: OrganizationId) -> Self {
        let NewFinding { mut draft, log, ticket, party } = new;
        let id = draft.id.unwrap_or_default();
        let party = match draft.questioned {
            Questioned::OfRecord => Some(party.unwrap_or(organization)),
            Questioned::Named(party) => party,
        };
        let of_ticket = ticket.map(FindingSubject::from);
        let subject = match draft.scope {
            Scope::Record => log.map(|(log, _)| log.into()).or(of_ticket),
            Scope::Ticket => of_ticket,
            Scope::Party => None,
            Scope::Subject(subject) => Some(subject),
            Scope::Itself => Some(id.into()),
        };
        let key = match (draft.key.take(), log) {
            (Some(key), _) => key,
            (None, Some((_, seq))) => seq.to_string(),
            (None, None) => id.to_string(),
        };
        let mut evidence = std::mem::take(&mut draft.evidence);
        evidence.extend(log.filter(|(_, seq)| *seq > 0).map(|(log, seq)| EvidenceEvent::of(log, seq)));
        let subject = subject.or(party.map(FindingSubject::from)).unwrap_or_else(|| id.into());
        Self { id, draft, party, subject, key, log, ticket, evidence, count: 1 }
    }

    fn identity(&self) -> Identity {
        (self.draft.rule.to_owned(), self.subject.id, self.key.clone())
    }

    /// The stored figures: none if the sentence is stored and there are none.
    fn inputs(&self) -> Option<String> {
        let inputs = &self.draft.inputs;
        (self.draft.detail.is_empty() || !inputs.is_empty()).then(|| inputs.to_text())
    }
}

/// Merges the findings with the same identity, in the order of the first of each.
fn merged(findings: Vec<NewFinding>, organization: OrganizationId) -> Vec<Prepared> {
    let mut all: Vec<Prepared> = Vec::with_capacity(findings.len());
    let mut places: HashMap<Identity, usize> = HashMap::with_capacity(findings.len());
    for new in findings {
        let new = Prepared::of(new, organization);
        match places.get(&new.identity()) {
            Some(place) => {
                all[*place].count += 1;
                all[*place].evidence.extend(new.evidence);
            }
            None => {
                places.insert(new.identity(), all.len());
                all.push(new);
            }
        }
    }
    all
}

/// Stores findings in two round trips, and returns them for the response, by id: those that were there already and got
/// more evidence, and then the new ones in the order given. A finding without `party` is about `organization`.
///
/// # Errors
/// From the database.
pub async fn store(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    findings: Vec<NewFinding>,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let mut sorted = merged(findings, organization);
    // In one order in every transaction: two requests that add evidence for the same findings wait for each other,
    // and never in a circle.
    sorted.sort_by_cached_key(Prepared::identity);
    let stored = insert(tx, &sorted, now).await?;
    let mut rows: HashMap<Identity, FindingRow> = HashMap::with_capacity(stored.len());
    for row in stored {
        rows.insert((row.rule.clone(), row.subject_id, row.key.clone()), row);
    }
    add_evidence(tx, &sorted, &rows, now).await?;
    let opened: Vec<FindingId> = rows.values().filter(|row| row.is_opened()).map(|row| row.id).collect();
    if !opened.is_empty() {
        chain::evidence_added(tx, RecordedBy::server(organization, now)?, &opened).await?;
    }
    let missing = sorted.iter().map(Prepared::identity).find(|identity| !rows.contains_key(identity));
    if let Some((rule, subject, _)) = missing {
        return Err(Error::CorruptRow(format!("finding {rule} of {subject}: not stored")));
    }
    let mut rows: Vec<FindingRow> = rows.into_values().collect();
    rows.sort_by_key(|row| row.id.0);
    rows.into_iter().map(FindingRow::view).collect()
}

/// The volume at stake counts up to this many m³, three points each.
const MAX_RANKED_M3: i64 = 100;

/// The part of a finding's rank that comes from its severity, score and volume. Severity decides, because the other
/// parts together are less than the step from one severity to the next.
fn rank(severity: Severity, score: u8, at_stake: Option<Decimal>) -> i32 {
    let base = match severity {
        Severity::Notice => 0,
        Severity::Warning => 1_000,
        Severity::Serious => 2_000,
    };
    let volume = at_stake.unwrap_or_default().min(Decimal::from(MAX_RANKED_M3)) * Decimal::from(3);
    let volume = i32::try_from(volume.trunc().mantissa().max(0)).unwrap_or_default();
    base + i32::from(score) * 4 + volume
}

async fn insert(tx: &mut Tx<'_>, new: &[Prepared], now: DateTime<Utc>) -> Result<Vec<FindingRow>> {
    let ids: Vec<Uuid> = new.iter().map(|one| one.id.0).collect();
    let rules: Vec<&str> = new.iter().map(|one| one.draft.rule).collect();
    let versions: Vec<i16> =
        new.iter().map(|one| i16::try_from(one.draft.version).unwrap_or(i16::MAX)).collect();
    let severities: Vec<&str> = new.iter().map(|one| one.draft.severity.as_str()).collect();
    let scores: Vec<i16> = new.iter().map(|one| i16::from(one.draft.score)).collect();
    let ranks: Vec<i32> = new.iter().map(|one| rank(one.draft.severity, one.draft.score, None)).collect();
    let volumes: Vec<Option<Decimal>> =
        new.iter().map(|one| one.draft.at_stake.map(crate::base::units::Volume::decimal)).collect();
    let parties: Vec<Option<Uuid>> = new.iter().map(|one| one.party.map(|party| party.0)).collect();
    let kinds: Vec<i16> = new.iter().map(|one| i16::from(one.subject.kind.byte())).collect();
    let subjects: Vec<Uuid> = new.iter().map(|one| one.subject.id).collect();
    let keys: Vec<&str> = new.iter().map(|one| one.key.as_str()).collect();
    let counts: Vec<i32> = new.iter().map(|one| one.count).collect();
    let logs: Vec<Option<Uuid>> = new.iter().map(|one| one.log.map(|(log, _)| log.0)).collect();
    let seqs: Vec<Option<i32>> =
        new.iter().map(|one| one.log.and_then(|(_, seq)| i32::try_from(seq).ok())).collect();
    let tickets: Vec<Option<Uuid>> = new.iter().map(|one| one.ticket.map(|ticket| ticket.0)).collect();
    let inputs: Vec<Option<String>> = new.iter().map(Prepared::inputs).collect();
    let details: Vec<Option<&str>> =
        new.iter().map(|one| Some(one.draft.detail.as_str()).filter(|text| !text.is_empty())).collect();
    let salts: Vec<Vec<u8>> = new.iter().map(|_| Salt::random().0.to_vec()).collect();
    // The volume counts as in `rank`. An organisation that is found often comes first within its severity: 10 points
    // for each of up to 29 warnings and serious findings of the last 90 days.
    let rows = sqlx::query_as!(
        FindingRow,
        r#"WITH new AS (
               SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::smallint[], $6::integer[],
                                    $7::numeric[], $8::uuid[], $9::smallint[], $10::uuid[], $11::text[], $12::integer[],
                                    $13::uuid[], $14::integer[], $15::uuid[], $16::text[], $17::text[], $18::bytea[])
                   AS new (id, rule, version, severity, score, rank, volume, party, kind, subject, key, count,
                           log, seq, ticket, inputs, detail, salt)
           ), party AS (
               SELECT id, (SELECT count(*) FROM (
                               SELECT FROM finding f WHERE f.organization_id = party.id AND f.severity <> 'notice'
                                   AND f.created_at > $19::timestamptz - interval '90 days' LIMIT 29) AS found) AS times
               FROM (SELECT DISTINCT party AS id FROM new) AS party
           )
           INSERT INTO finding AS f (id, rule, version, severity, score, rank, organization_id, subject_kind, subject_id,
                                     key, count, log_id, log_seq, ticket_id, inputs, detail, salt, created_at)
           SELECT new.id, new.rule, new.version, new.severity, new.score,
                  new.rank + trunc(3 * LEAST($20, COALESCE(new.volume, log.volume_m3, 0)))::integer
                      + 10 * party.times::integer,
                  new.party, new.kind, new.subject, new.key, new.count, new.log, new.seq, new.ticket, new.inputs,
                  new.detail, new.salt, $19
           FROM new JOIN party ON party.id IS NOT DISTINCT FROM new.party LEFT JOIN log ON log.id = new.log
           ORDER BY new.rule, new.subject, new.key COLLATE "C"
           ON CONFLICT (rule, subject_id, key) DO UPDATE SET count = f.count + excluded.count
           RETURNING f.id AS "id: _", f.rule, f.version, f.severity AS "severity: Severity", f.score, f.rank,
                     f.state AS "state: FindingState", f.count, f.subject_kind, f.subject_id, f.key,
                     f.organization_id AS "organization: _", f.log_id AS "log: _", f.log_seq AS seq,
                     f.ticket_id AS "ticket: _", f.inputs, f.detail, f.superseded_at, f.appealed_at, f.head_seq AS events,
                     f.created_at"#,
        &ids,
        &rules as &[&str],
        &versions,
        &severities as &[&str],
        &scores,
        &ranks,
        &volumes as &[Option<Decimal>],
        &parties as &[Option<Uuid>],
        &kinds,
        &subjects,
        &keys as &[&str],
        &counts,
        &logs as &[Option<Uuid>],
        &seqs as &[Option<i32>],
        &tickets as &[Option<Uuid>],
        &inputs as &[Option<String>],
        &details as &[Option<&str>],
        &salts,
        now,
        Decimal::from(MAX_RANKED_M3)
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

async fn add_evidence(
    tx: &mut Tx<'_>,
    new: &[Prepared],
    rows: &HashMap<Identity, FindingRow>,
    now: DateTime<Utc>,
) -> Result<()> {
    let (mut findings, mut subjects, mut seqs, mut kinds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in new {
        let Some(row) = rows.get(&one.identity()) else { continue };
        for event in &one.evidence {
            findings.push(row.id.0);
            subjects.push(event.subject);
            seqs.push(i32::try_from(event.seq).unwrap_or(i32::MAX));
            kinds.push(i16::from(event.kind));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO finding_evidence (finding_id, subject_id, seq, subject_kind, added_at)
         SELECT finding, subject, seq, kind, $5
         FROM UNNEST($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[]) AS new (finding, subject, seq, kind)
         ON CONFLICT DO NOTHING",
        &findings,
        &subjects,
        &seqs,
        &kinds,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The findings made when a harvest was recorded.
///
/// # Errors
/// From the database.
pub async fn of_harvest(
    db: impl sqlx::PgExecutor<'_>,
    harvest: crate::base::ids::HarvestId,
    received_at: DateTime<Utc>,
) -> Result<Vec<Finding>> {
    // Findings about a ticket that were made before evidence was stored have the time of the harvest.
    let rows = finding_rows!(
        "FROM finding f
         WHERE f.id IN (SELECT e.finding_id FROM log JOIN finding_evidence e ON e.subject_id = log.id AND e.seq = 1
                        WHERE log.harvest_id = $1 AND e.added_at = $2
                        UNION ALL
                        SELECT old.id FROM harvest h JOIN finding old ON old.ticket_id = h.ticket_id
                        WHERE h.id = $1 AND old.created_at = $2 AND old.log_id IS NULL
                          AND old.organization_id = h.organization_id
                          AND NOT EXISTS (SELECT FROM finding_evidence e WHERE e.finding_id = old.id))
         ORDER BY f.id",
        harvest.0,
        received_at
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(FindingRow::view).collect()
}

/// The findings that were made when the given events of logs were recorded; those of surveillance came later.
///
/// # Errors
/// From the database.
pub async fn of_events(db: impl sqlx::PgExecutor<'_>, logs: &[Uuid], seqs: &[i32]) -> Result<Vec<Finding>> {
    let surveillance: Vec<String> = SURVEILLANCE.iter().map(|rule| rule.id.to_owned()).collect();
    let rows = finding_rows!(
        "FROM finding f
         WHERE f.id IN (SELECT e.finding_id FROM finding_evidence e JOIN UNNEST($1::uuid[], $2::int[]) AS made (id, seq)
                            ON e.subject_id = made.id AND e.seq = made.seq)
           AND (f.log_seq > 0 OR f.rule <> ALL($3))
         ORDER BY f.id",
        logs,
        seqs,
        &surveillance
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(FindingRow::view).collect()
}
