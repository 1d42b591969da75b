//! Checks all subjects in the order of their ids: chains, heads, rows, and the rows that events refer to.

use super::Failure;
use super::chain::Missing;
use super::key;
use super::load::{self, EventRow, Loaded, Page, SubjectRow};
use super::log::{self, Hashes, ReversalStates, RowsBySubject};
use super::report::{Code, Report};
use super::row::{Expected, Row, compare};
use super::snapshot::{Range, Reader};
use super::subject::{KindCheck, KindChecks, KindState, Last, Subject};
use super::ticket::CountedVolumes;
use crate::evidence::chain::Hash;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// Checks all subjects. Returns the events that have lost their personal part, and the volumes that logs with
/// altered rows count against felling tickets according to their chains.
pub(super) async fn check(
    reader: &mut Reader<'_>,
    report: &mut Report<'_>,
) -> Result<(Missing, CountedVolumes), Failure> {
    let of = reader.about("event").await?;
    let mut missing = Missing::new();
    let mut counted = CountedVolumes::default();
    let mut continued: Option<Subject> = None;
    let mut from = Some(Page::START);
    while let Some(at) = from {
        reader.begin().await?;
        let page = load::page(reader, at).await?;
        let loaded =
            load::load(reader.db, page, &continued.as_ref().map(Subject::personal_parts).unwrap_or_default())
                .await?;
        let named = names(reader.db, page, &loaded, continued.as_ref()).await?;
        reader.end().await?;
        let events = loaded.events.len();
        let context = Context { loaded: &loaded, named, report, counted: &mut counted };
        let sweep = Sweep { page, context, missing: &mut missing };
        continued = sweep.run(continued);
        report.progress("events", events, of);
        from = page.next();
    }
    Ok((missing, counted))
}

/// The rows that the events of a page refer to, and after the last page of a chain also the rows that belong
/// to the chain's subject. All of them are read in the snapshot of the page.
pub(super) struct Names {
    /// Rows of `log_seal` and `past_party`, by log.
    pub seals: RowsBySubject,
    pub past: RowsBySubject,
    /// Rows of `api_key`, by organisation.
    pub keys_of: RowsBySubject,
    /// Rows of `finding_evidence`, by finding.
    pub evidence_of: RowsBySubject,
    /// The harvest of each write request: its id, and the id of its personal part.
    pub harvests: HashMap<(Uuid, Uuid), (Uuid, Option<Uuid>)>,
    /// Issuers by ticket.
    pub issuers: HashMap<Uuid, Option<Uuid>>,
    /// Hashes of the ticket events that harvests were checked against, and of the events on earlier pages
    /// that this page corrects.
    pub hashes: Hashes,
    /// For each reversal of an event on an earlier page: the state from which the reversal computes its
    /// result.
    pub rewound: ReversalStates,
    /// Organisations by key.
    pub keys: HashMap<Uuid, Option<Uuid>>,
    /// What is wrong with the row of an event's write request, by event: `absent`, `unnamed` or `differs`.
    pub write_requests: HashMap<(Uuid, i32), &'static str>,
}

async fn names(
    db: &mut PgConnection,
    page: Page,
    loaded: &Loaded,
    continued: Option<&Subject>,
) -> sqlx::Result<Names> {
    let mut write_requests = BTreeSet::new();
    let mut tickets = BTreeSet::new();
    let mut keys: BTreeSet<Uuid> = BTreeSet::new();
    let mut corrected = Vec::new();
    let mut rewound = ReversalStates::new();
    keys.extend(loaded.events.iter().filter_map(|event| event.members()?.key));
    // The first event of a continued chain is included, because the rows it refers to are compared on the
    // last page.
    let continued_first = continued.and_then(|continued| continued.first.as_ref());
    for event in loaded.events.iter().chain(continued_first).filter(|event| event.seq == 1) {
        if let Some(members) = event.members()
            && let Ok(business) = crate::timber::custody::content::LogBusiness::parse(event.business())
            && let Some(head) = business.ticket
        {
            write_requests.insert((members.organization, members.operation));
            tickets.insert((head.id.0, i32::try_from(head.seq).unwrap_or_default()));
        }
    }
    if let Some(continued) = continued
        && let Some(fold) = continued.known.as_ref().and_then(|known| known.check.as_ref()?.as_log())
    {
        corrected = log::corrected_before(&loaded.events).collect();
        rewound = fold.rewind(db, continued.id, &loaded.events).await?;
    }
    let keys: Vec<Uuid> = keys.into_iter().collect();
    let keys = sqlx::query!(
        r#"SELECT id AS "id!", organization_id AS "organization?" FROM api_key WHERE id = ANY($1)"#,
        &keys
    )
    .fetch_all(&mut *db)
    .await?;
    let (organizations, operations): (Vec<Uuid>, Vec<Uuid>) = write_requests.into_iter().unzip();
    let harvests = sqlx::query!(
        r#"SELECT h.id AS "id!", h.organization_id AS "organization!", h.operation_id AS "operation!",
                  h.personal_id AS "personal?"
           FROM UNNEST($1::uuid[], $2::uuid[]) AS p (organization, operation)
           JOIN harvest h ON h.organization_id = p.organization AND h.operation_id = p.operation"#,
        &organizations,
        &operations
    )
    .fetch_all(&mut *db)
    .await?;
    let ids: Vec<Uuid> = tickets.iter().map(|(id, _)| *id).collect();
    let issuers = sqlx::query!(
        r#"SELECT id AS "id!", issuer_id AS "issuer?" FROM felling_ticket WHERE id = ANY($1)"#,
        &ids
    )
    .fetch_all(&mut *db)
    .await?;
    let (named, seqs): (Vec<Uuid>, Vec<i32>) = tickets.into_iter().chain(corrected).unzip();
    let hashes = sqlx::query!(
        r#"SELECT e.subject_id AS "id!", e.seq AS "seq!", e.hash AS "hash?"
           FROM UNNEST($1::uuid[], $2::int[]) AS p (id, seq)
           JOIN event e ON e.subject_id = p.id AND e.seq = p.seq"#,
        &named,
        &seqs
    )
    .fetch_all(&mut *db)
    .await?;
    let write_requests = write_request_errors(db, loaded, continued).await?;
    let mut names = Names {
        seals: RowsBySubject::new(),
        past: RowsBySubject::new(),
        keys_of: RowsBySubject::new(),
        evidence_of: RowsBySubject::new(),
        harvests: harvests
            .into_iter()
            .map(|row| ((row.organization, row.operation), (row.id, row.personal)))
            .collect(),
        issuers: issuers.into_iter().map(|row| (row.id, row.issuer)).collect(),
        hashes: hashes
            .into_iter()
            .filter_map(|row| Some(((row.id, row.seq), Hash::from_slice(&row.hash?)?)))
            .collect(),
        rewound,
        keys: keys.into_iter().map(|row| (row.id, row.organization)).collect(),
        write_requests,
    };
    if !page.continues {
        names.belongings(db, page.range).await?;
    }
    Ok(names)
}

impl Names {
    /// Reads the rows that belong to the subjects of a range.
    async fn belongings(&mut self, db: &mut PgConnection, range: Range) -> sqlx::Result<()> {
        let seals = sqlx::query!(
            r#"SELECT log_id AS "log!", row_to_json(t)::text AS "row!" FROM log_seal t WHERE log_id BETWEEN $1 AND $2"#,
            range.low,
            range.high
        )
        .fetch_all(&mut *db)
        .await?;
        let past = sqlx::query!(
            r#"SELECT log_id AS "log!", row_to_json(t)::text AS "row!" FROM past_party t WHERE log_id BETWEEN $1 AND $2"#,
            range.low,
            range.high
        )
        .fetch_all(&mut *db)
        .await?;
        let keys_of = sqlx::query!(
            r#"SELECT organization_id AS "organization!", row_to_json(t)::text AS "row!" FROM api_key t
               WHERE organization_id BETWEEN $1 AND $2"#,
            range.low,
            range.high
        )
        .fetch_all(&mut *db)
        .await?;
        let evidence_of = sqlx::query!(
            r#"SELECT t.finding_id AS "finding!", row_to_json(t)::text AS "row!"
               FROM finding_evidence t JOIN finding f ON f.id = t.finding_id AND f.head_seq > 0
               WHERE f.id BETWEEN $1 AND $2"#,
            range.low,
            range.high
        )
        .fetch_all(&mut *db)
        .await?;
        let by_subject = |rows: Vec<(Uuid, String)>| {
            let mut by_subject = RowsBySubject::new();
            for (subject, row) in rows {
                by_subject.entry(subject).or_default().push(Row::parse(&row));
            }
            by_subject
        };
        self.seals = by_subject(seals.into_iter().map(|row| (row.log, row.row)).collect());
        self.past = by_subject(past.into_iter().map(|row| (row.log, row.row)).collect());
        self.evidence_of = by_subject(evidence_of.into_iter().map(|row| (row.finding, row.row)).collect());
        self.keys_of = by_subject(keys_of.into_iter().map(|row| (row.organization, row.row)).collect());
        Ok(())
    }
}

/// The kinds of write requests that record an event, separated by `|`; `None` if they leave no row in `operation`.
fn write_request_kinds(event: &EventRow) -> Option<String> {
    let kinds = (KindChecks::of(event.event_type()?.kind())?.write_requests)(event);
    (!kinds.is_empty()).then(|| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join("|"))
}

/// Compares each event with the row of its write request, and returns the errors.
async fn write_request_errors(
    db: &mut PgConnection,
    loaded: &Loaded,
    continued: Option<&Subject>,
) -> sqlx::Result<HashMap<(Uuid, i32), &'static str>> {
    let (mut subjects, mut seqs, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    let (mut organizations, mut operations) = (Vec::new(), Vec::new());
    let (mut received, mut before) = (Vec::new(), Vec::new());
    let mut last: Option<(Uuid, DateTime<Utc>)> =
        continued.and_then(|continued| Some((continued.id, continued.last.as_ref()?.received?)));
    for event in &loaded.events {
        let prev = last.filter(|(subject, _)| *subject == event.subject).map(|(_, at)| at);
        last = event.received().map(|at| (event.subject, at));
        let kind = write_request_kinds(event);
        let (Some(kind), Some(members), Some(at)) = (kind, event.members(), event.received()) else {
            continue;
        };
        subjects.push(event.subject);
        seqs.push(event.seq);
        kinds.push(kind);
        organizations.push(members.organization);
        operations.push(members.operation);
        received.push(at);
        before.push(prev);
    }
    // An event has the time of its write request, unless the previous event of its chain has a later time.
    let rows = sqlx::query!(
        r#"SELECT u.subject AS "subject!", u.seq AS "seq!", o.operation_id IS NULL AS "absent!",
                  NOT EXISTS (SELECT FROM unnest(array_positions(o.subjects, u.subject)) AS place
                              WHERE o.seqs[place] = u.seq) AS "unnamed!"
           FROM UNNEST($1::uuid[], $2::int[], $3::text[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::timestamptz[])
                AS u (subject, seq, kind, organization, operation, received, before)
           LEFT JOIN operation o ON o.organization_id = u.organization AND o.operation_id = u.operation
           WHERE o.operation_id IS NULL
              OR NOT EXISTS (SELECT FROM unnest(array_positions(o.subjects, u.subject)) AS place
                             WHERE o.seqs[place] = u.seq)
              OR o.kind IS NULL OR o.kind <> ALL (string_to_array(u.kind, '|'))
              OR o.created_at IS NULL OR GREATEST(o.created_at, u.before) <> u.received"#,
        &subjects,
        &seqs,
        &kinds,
        &organizations,
        &operations,
        &received,
        &before as &[Option<DateTime<Utc>>]
    )
    .fetch_all(db)
    .await?;
    let errors = rows.into_iter().map(|row| {
        let what = match (row.absent, row.unnamed) {
            (true, _) => "absent",
            (_, true) => "unnamed",
            _ => "differs",
        };
        ((row.subject, row.seq), what)
    });
    Ok(errors.collect())
}

/// What the checks of a page read and report to.
pub(super) struct Context<'l, 'r, 'w> {
    pub loaded: &'l Loaded,
    pub named: Names,
    pub report: &'r mut Report<'w>,
    pub counted: &'r mut CountedVolumes,
}

/// Checks one page.
struct Sweep<'l, 'r, 'w> {
    page: Page,
    context: Context<'l, 'r, 'w>,
    missing: &'r mut Missing,
}

impl Sweep<'_, '_, '_> {
    /// Checks the page: its events, and the rows of each subject with a chain that ends on it. `continued` is
    /// the subject that this page continues. Returns the subject that the next page continues.
    fn run(mut self, continued: Option<Subject>) -> Option<Subject> {
        for at in &self.context.loaded.duplicates {
            let key = format!("{}/{}", at.0, at.1);
            self.context.report.find(
                Code::LeafUnexplained,
                "leaf",
                key,
                Some(*at),
                "the event is in the register twice",
            );
        }
        let mut by_subject: BTreeMap<Uuid, &[EventRow]> = self
            .context
            .loaded
            .events
            .chunk_by(|a, b| a.subject == b.subject)
            .map(|c| (c[0].subject, c))
            .collect();
        for (at, leaf) in &self.context.loaded.leaves {
            let events = by_subject.get(&at.0).copied().unwrap_or_default();
            if !leaf.queued && events.binary_search_by_key(&at.1, |event| event.seq).is_err() {
                let detail = "the register has a leaf for this event, but table event lacks it";
                self.context.report.find(
                    Code::EventMissing,
                    "leaf",
                    format!("{}/{}", at.0, at.1),
                    Some(*at),
                    detail,
                );
            }
        }
        if self.page.continues {
            let mut subject = continued.unwrap_or_else(|| Subject::new(self.page.range.low));
            self.check_events(&mut subject, &self.context.loaded.events);
            return Some(subject);
        }
        let mut subjects: BTreeMap<Uuid, Subject> = BTreeMap::new();
        subjects.extend(continued.map(|continued| (continued.id, continued)));
        for id in by_subject.keys().chain(self.context.loaded.subjects.keys()) {
            subjects.entry(*id).or_insert_with(|| Subject::new(*id));
        }
        for (id, mut subject) in subjects {
            self.check_events(&mut subject, by_subject.remove(&id).unwrap_or_default());
            self.finish(subject);
        }
        let (seals, past) =
            (std::mem::take(&mut self.context.named.seals), std::mem::take(&mut self.context.named.past));
        for (organization, rows) in std::mem::take(&mut self.context.named.keys_of) {
            key::compare_keys(self.context.report, organization, key::Keys::default(), rows);
        }
        for (log, rows) in seals {
            log::compare_seals(self.context.report, log, None, rows);
        }
        for (log, rows) in past {
            log::compare_past(self.context.report, log, None, rows);
        }
        None
    }

    /// Checks the next events of a subject.
    fn check_events(&mut self, subject: &mut Subject, events: &[EventRow]) {
        let row = self.context.loaded.subjects.get(&subject.id);
        let is_first = subject.first.is_none();
        if is_first && subject.known.is_none() {
            let from_event = events.first().and_then(|first| first.named()?.kind());
            let kind = row.map(|row| row.kind).or(from_event);
            subject.known = kind.map(|kind| KindState::new(subject.id, kind));
        }
        subject.passed(events);
        let Some(known) = &mut subject.known else {
            for event in events {
                let detail = "the kind of its subject cannot be read";
                self.context.report.event(Code::EventUnreadable, subject.id, event.seq, detail);
            }
            return;
        };
        let salt = row.and_then(|row| row.salt);
        known.chain.check(self.context.report, self.context.loaded, salt, events, self.missing);
        if let Some(check) = &mut known.check {
            check.apply(&mut self.context, subject.id, events, is_first);
        }
        for event in events {
            self.event(event);
        }
    }

    /// Compares the rows that belong to a subject, once all its events were read.
    fn finish(&mut self, subject: Subject) {
        let (id, at) = (subject.id, subject.at());
        let Subject { first, last, known: Some(known), .. } = subject else { return };
        let row = self.context.loaded.subjects.get(&id);
        if row.is_none() && at.is_some() {
            self.context.report.find(
                Code::RowMissing,
                known.kind.name(),
                id,
                at,
                "there are events about it",
            );
        }
        if let Some(row) = row.filter(|row| row.salt.is_none()) {
            self.context.report.find(Code::StateDiffers, row.kind.name(), id, at, "salt is not 32 bytes");
        }
        known.chain.finish(self.context.report);
        if let Some(check) = &known.check {
            check.finish(&mut self.context, id, row, first.is_some());
        }
        match (row, first, last) {
            (Some(row), Some(first), Some(last)) => self.row(id, row, known.check, &first, &last),
            (Some(row), ..) => {
                let detail = "no event is about it";
                self.context.report.find(Code::RowUnexplained, row.kind.name(), id, Some((id, 1)), detail);
                // The other tables may also have rows that belong to this subject. They have no event either,
                // and `run` reports them at the end of the page.
            }
            (None, ..) => {}
        }
    }

    /// Checks the key and the write request that an event refers to.
    fn event(&mut self, event: &EventRow) {
        let at = (event.subject, event.seq);
        let Some(members) = event.members() else {
            self.context.report.event(Code::EventUnreadable, at.0, at.1, "its business part cannot be read");
            return;
        };
        if let Some(key) = members.key {
            match self.context.named.keys.get(&key) {
                None => {
                    let detail = "an event was recorded with this key";
                    self.context.report.find(Code::RowMissing, "api_key", key, Some(at), detail);
                }
                Some(organization) if *organization != Some(members.organization) => {
                    let detail = "organization_id is not that of the event recorded with this key";
                    self.context.report.find(Code::StateDiffers, "api_key", key, Some(at), detail);
                }
                Some(_) => {}
            }
        }
        let key = || format!("{}/{}", members.organization, members.operation);
        match self.context.named.write_requests.get(&at) {
            None => {}
            Some(&"absent") => {
                let detail = "an event was recorded by this write request";
                self.context.report.find(Code::RowMissing, "operation", key(), Some(at), detail);
            }
            Some(&"unnamed") => {
                let detail = "subjects and seqs do not name an event that it recorded";
                self.context.report.find(Code::StateDiffers, "operation", key(), Some(at), detail);
            }
            Some(_) => {
                let detail = "kind or created_at are not those of its events";
                self.context.report.find(Code::StateDiffers, "operation", key(), Some(at), detail);
            }
        }
    }

    fn row(
        &mut self,
        subject: Uuid,
        row: &SubjectRow,
        check: Option<Box<dyn KindCheck>>,
        first: &EventRow,
        last: &Last,
    ) {
        let head = [
            ("id", Expected::CheckedElsewhere),
            ("salt", Expected::CheckedElsewhere),
            ("head_seq", Expected::int(last.seq)),
            ("head_hash", last.hash.as_deref().map_or(Expected::Null, Expected::bytes)),
            ("head_received_at", Expected::time(last.received)),
        ];
        let state = check.and_then(|check| check.expected_row(&mut self.context, subject, first));
        let at = Some((subject, last.seq));
        let Some(state) = state else {
            // The event that cannot be read or applied has an error of its own. Without a state, no column of
            // the row is compared.
            let detail = "its events do not give a state to compare it with";
            self.context.report.find(Code::EventUnreadable, row.kind.name(), subject, at, detail);
            return;
        };
        let expected_row: Vec<_> = head.into_iter().chain(state).collect();
        compare(self.context.report, row.kind.name(), &subject, at, &expected_row, &row.row);
    }
}
