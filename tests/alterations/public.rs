//! Alters every column of every published record directly in the database, and then checks it from outside:
//! the API's responses are verified against an earlier copy of the register, without access to the database.
//! The records are those of logs and stacks, felling tickets, batches of seals and organisations.

use crate::columns::{Column, columns};
use crate::scene::{Scene, run};
use ormantrace::services::verifier::report::{Check, Line, Outcome, Report};
use ormantrace::services::verifier::{Memory, Trust, mirror::Mirror, verify};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How an alteration looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// The verifier names the event.
    Named,
    /// The verifier names the next event, which does not link to the altered one any more.
    NextNamed,
    /// No response changes.
    NotShown,
    /// The personal part is missing, as if it had been erased. The event's commitment is unchanged.
    Withheld,
    /// The server returns no history of the event's subject.
    Refused,
}

/// Alterations that an outsider cannot attribute to an event, by column, and the reason. Each must occur in
/// the test: if the verifier names the event for every alteration of a column, the entry has to be removed.
const NOT_NAMED: &[(&str, &str, Seen, &str)] = &[
    ("event", "business", Seen::Refused, UNREADABLE),
    ("event", "hash", Seen::NextNamed, "shown only as what the next event follows on"),
    (
        "event",
        "hash",
        Seen::NotShown,
        "of the last event: nothing follows on it, and its entry gives it again",
    ),
    ("event", "hash", Seen::Refused, UNREADABLE),
    ("event", "occurred_at", Seen::NotShown, COPY),
    ("event", "operation_id", Seen::NotShown, COPY),
    ("event", "organization_id", Seen::NotShown, COPY),
    ("event", "personal_commitment", Seen::Refused, UNREADABLE),
    ("event", "personal_id", Seen::NotShown, "of a part that was erased: nothing is there either"),
    ("event", "personal_id", Seen::Withheld, ERASED),
    ("event", "received_at", Seen::Refused, UNREADABLE),
    ("event", "region", Seen::NotShown, COPY),
    ("event", "secret", Seen::Refused, UNREADABLE),
    ("event", "seq", Seen::Refused, GAP),
    ("event", "subject_id", Seen::Refused, GAP),
    ("event", "subject_kind", Seen::NotShown, COPY),
    ("event", "type", Seen::NotShown, COPY),
    ("felling_ticket", "salt", Seen::Refused, UNREADABLE),
    (
        "leaf",
        "entry",
        Seen::NotShown,
        "of an event that is not the newest: the server gives tiles, not leaves",
    ),
    ("leaf", "entry", Seen::Refused, UNREADABLE),
    ("leaf", "index", Seen::Refused, UNREADABLE),
    ("leaf", "sequenced_at", Seen::NotShown, "when the register got to it is no evidence"),
    ("log", "salt", Seen::Refused, UNREADABLE),
    ("organization", "salt", Seen::Refused, UNREADABLE),
    ("personal", "created_at", Seen::NotShown, "the event's own time is what was hashed"),
    ("personal", "id", Seen::Withheld, ERASED),
    ("personal", "organization_id", Seen::NotShown, COPY),
    ("personal", "secret", Seen::Refused, UNREADABLE),
    ("personal", "secret", Seen::Withheld, ERASED),
    ("personal", "text", Seen::Refused, UNREADABLE),
    ("personal", "text", Seen::Withheld, ERASED),
    ("seal_batch", "salt", Seen::Refused, UNREADABLE),
];
const COPY: &str = "a copy for the search: what is shown is the text that was hashed";
const ERASED: &str =
    "a personal part that is gone looks as if erased; which erasures were recorded, fsck compares";
const GAP: &str =
    "an event is missing from the chain: the server answers 500 rather than with a shorter chain";
const UNREADABLE: &str =
    "a value that no program of ours writes: the server answers 500 and logs which, it makes nothing up";

/// An outsider, who has the public keys and what was published before the alteration.
struct Outsider<'s> {
    scene: &'s Scene,
    trust: Trust,
}

/// The tables of subjects, in the order of the kinds in docs/CHAIN.md, and the first segment of their
/// paths.
const SUBJECTS: [(&str, &str); 4] = [
    ("log", "logs"),
    ("felling_ticket", "felling-tickets"),
    ("seal_batch", "seal-batches"),
    ("organization", "organizations"),
];

/// A published event.
struct Event {
    subject: Uuid,
    kind: &'static str,
    seq: usize,
    /// Its type.
    what: String,
    /// Paths of the export of the event's chain, and of the proof for the newest event of this chain.
    paths: [String; 2],
    /// The rows of the event, by table: the position (ctid), and the number of the saved row.
    rows: BTreeMap<&'static str, (String, i64)>,
}

/// The two responses about a subject: its export, and the proof of its newest event. If a request is refused,
/// its status.
type Shown = [Result<Vec<u8>, u16>; 2];

impl Outsider<'_> {
    /// Requests the export and the proof as an inspector, who sees every subject, but of API keys only the
    /// commitments.
    async fn shown(&self, event: &Event) -> Shown {
        let [export, proof] = &event.paths;
        let mut shown = [Err(0), Err(0)];
        for (path, shown) in [export, proof].into_iter().zip(&mut shown) {
            let answer = self.scene.world.get(path, &self.scene.inspector).await;
            *shown = if answer.status == 200 { Ok(answer.bytes) } else { Err(answer.status.as_u16()) };
        }
        shown
    }

    /// Returns the effect of an alteration on these responses; an error if it is none of the expected
    /// effects.
    fn sees(&self, event: &Event, before: &Shown, after: &Shown) -> Result<Seen, String> {
        if before == after {
            return Ok(Seen::NotShown);
        }
        let [export, proof] = after;
        let Ok(export) = export else { return Ok(Seen::Refused) };
        let report = verify(export, &self.trust).report;
        // Failures that the file had before the alteration, such as an unpublished event, do not count.
        let failed = |report: &Report| -> Vec<Line> {
            report.lines.iter().filter(|line| line.outcome == Outcome::Failed).cloned().collect()
        };
        let known = before[0].as_ref().map(|before| failed(&verify(before, &self.trust).report));
        let known = known.unwrap_or_default();
        let found: Vec<Line> = failed(&report).into_iter().filter(|line| !known.contains(line)).collect();
        if found
            .iter()
            .any(|line| line.event == Some(event.seq) || event.seq == 1 && line.detail == "no events")
        {
            return Ok(Seen::Named);
        }
        if found.iter().any(|line| line.event == Some(event.seq + 1) && line.check == Check::Link) {
            return Ok(Seen::NextNamed);
        }
        if before[0].as_ref() != Ok(export) {
            // The verifier finds nothing new, and the response contains no new text: it only contains less
            // than before.
            let same = |before: &Vec<u8>| {
                let had = personal_texts(before);
                found.is_empty() && personal_texts(export).iter().all(|text| had.contains(text))
            };
            let withheld = before[0].as_ref().is_ok_and(same);
            return if withheld { Ok(Seen::Withheld) } else { Err(report.to_string()) };
        }
        let Ok(proof) = proof else { return Ok(Seen::Refused) };
        // A proof is of one event.
        let report = verify(proof, &self.trust).report;
        if report.holds() { Err(report.to_string()) } else { Ok(Seen::Named) }
    }
}

/// The personal texts in an export.
fn personal_texts(export: &[u8]) -> Vec<String> {
    let export: Value = serde_json::from_slice(export).unwrap();
    let events = export["events"].as_array().unwrap();
    let texts = events.iter().filter_map(|event| event["parts"]["personal"]["text"].as_str());
    texts.map(str::to_owned).collect()
}

/// All published events, and their rows.
async fn events(db: &mut PgConnection, size: i64) -> Vec<Event> {
    for table in ["event", "leaf", "personal"].into_iter().chain(SUBJECTS.map(|(table, _)| table)) {
        run(
            db,
            &format!(
                "CREATE TEMP TABLE saved_{table} AS
                 SELECT row_number() OVER () AS n, ctid::text AS at, t.* FROM {table} t"
            ),
        )
        .await;
    }
    let heads = SUBJECTS.map(|(table, _)| format!("SELECT id, at, n FROM saved_{table}")).join(" UNION ALL ");
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT e.subject_id, e.seq, g.seal_number, e.at, e.n, f.at, f.n, p.at, p.n, h.at, h.n, e.subject_kind, e.type
         FROM saved_event e JOIN saved_leaf f USING (subject_id, seq) JOIN ({heads}) h ON h.id = e.subject_id
         LEFT JOIN saved_log g ON g.id = e.subject_id
         LEFT JOIN saved_personal p ON p.id = e.personal_id
         WHERE f.index < $1 ORDER BY e.subject_id, e.seq"
    )))
    .bind(size)
    .fetch_all(db)
    .await
    .unwrap();
    rows.iter()
        .map(|row| {
            let (subject, seq): (Uuid, i32) = (row.get(0), row.get(1));
            let kind: i16 = row.get(11);
            let (kind, noun) = SUBJECTS[usize::try_from(kind).unwrap() - 1];
            let mut rows = BTreeMap::new();
            for (place, table) in [(3, "event"), (5, "leaf"), (7, "personal"), (9, kind)] {
                // The row of the subject is altered only together with the first event, and not again with
                // each later event.
                if let Some(at) = row.get::<Option<String>, _>(place)
                    && (table != kind || seq == 1)
                {
                    rows.insert(table, (at, row.get(place + 1)));
                }
            }
            // The path of a log's proof contains the seal number, because the proof is public for anyone with
            // this number.
            let seal = row.get::<Option<String>, _>(2).unwrap_or_else(|| subject.to_string());
            let paths = [format!("/v1/{noun}/{subject}/export"), format!("/v1/{noun}/{seal}/proof")];
            Event { subject, kind, seq: usize::try_from(seq).unwrap(), what: row.get(12), paths, rows }
        })
        .collect()
}

/// Alters a row; returns its new position, or `None` if the value is refused or unchanged.
async fn alter(db: &mut PgConnection, column: &Column, at: &str, value: &str) -> Option<String> {
    let Column { table, name, .. } = column;
    let sql = format!(
        "UPDATE {table} t SET {name} = {value} WHERE ctid = '{at}' AND t.{name} IS DISTINCT FROM {value}
         RETURNING ctid::text"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(db).await.ok().flatten()
}

/// Puts it back.
async fn restore(db: &mut PgConnection, column: &Column, at: &str, n: i64) -> String {
    let Column { table, name, .. } = column;
    let sql = format!(
        "UPDATE {table} t SET {name} = s.{name} FROM saved_{table} s WHERE t.ctid = '{at}' AND s.n = {n}
         RETURNING t.ctid::text"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await.unwrap()
}

#[tokio::test]
async fn every_altered_column_of_every_published_record_is_named_from_public_data_alone() {
    let scene = Scene::new().await;
    scene.serve_register();
    let copy = tempfile::tempdir().unwrap();
    crate::scene::copy(&scene.published.folder, copy.path());
    let seen = std::fs::read(copy.path().join("checkpoint")).unwrap();
    let note = ormantrace::evidence::tlog::Note::parse(&seen).unwrap();
    let size = ormantrace::evidence::tlog::Checkpoint::parse(note.text()).unwrap().size;
    let trust = Trust {
        keys: scene.published.keys.clone(),
        memory: Memory::Seen(seen),
        register: Some(Mirror::new(copy.path())),
        ..Trust::default()
    };
    let outsider = Outsider { scene: &scene, trust };
    let mut db = scene.seen_insider().await;
    let mut events = events(&mut db, i64::try_from(size).unwrap()).await;
    for (kind, least) in [("log", 16), ("felling_ticket", 5), ("seal_batch", 4), ("organization", 20)] {
        let there = events.iter().filter(|event| event.kind == kind).count();
        assert!(there >= least, "{there} events of a {kind}");
    }
    // Every type of event.
    let recorded: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT type FROM event ORDER BY type").fetch_all(&mut db).await.unwrap();
    let altered: BTreeSet<&String> = events.iter().map(|event| &event.what).collect();
    assert_eq!(altered, recorded.iter().collect(), "a type of event that is not published");
    let columns: Vec<Column> = columns(&mut db)
        .await
        .into_iter()
        // Of the subject's row only the salt is disclosed; the rest is present state, which is no
        // evidence.
        .filter(|c| {
            ["event", "leaf", "personal"].contains(&c.table.as_str())
                || c.name == "salt" && SUBJECTS.iter().any(|(table, _)| *table == c.table)
        })
        .collect();
    let mut seen_of: BTreeMap<(&str, &str), BTreeSet<Seen>> = BTreeMap::new();
    let (mut tried, mut missed) = (0, Vec::new());
    for event in &mut events {
        let before = outsider.shown(event).await;
        assert!(before.iter().all(Result::is_ok), "{before:?}");
        for column in &columns {
            let Some((mut at_now, n)) = event.rows.get(column.table.as_str()).cloned() else { continue };
            let mut outcomes = Vec::new();
            for value in column.changes() {
                let Some(altered) = alter(&mut db, column, &at_now, &value).await else { continue };
                tried += 1;
                let after = outsider.shown(event).await;
                outcomes.push((value, after));
                at_now = restore(&mut db, column, &altered, n).await;
            }
            event.rows.get_mut(column.table.as_str()).unwrap().0 = at_now;
            for (value, after) in outcomes {
                let entry = seen_of.entry((&column.table, &column.name)).or_default();
                match outsider.sees(event, &before, &after) {
                    Ok(seen) => {
                        entry.insert(seen);
                    }
                    Err(why) => missed.push(format!(
                        "{}.{} = {value} of {} {}/{}: {why}",
                        column.table, column.name, event.kind, event.subject, event.seq
                    )),
                }
            }
        }
        assert_eq!(outsider.shown(event).await, before, "every edit was rolled back");
    }
    println!("{tried} alterations of {} columns of {} events", seen_of.len(), events.len());
    assert!(missed.is_empty(), "{} of {tried} missed:\n{}", missed.len(), missed.join("\n"));
    let all: BTreeSet<_> =
        columns.iter().map(|column| (column.table.as_str(), column.name.as_str())).collect();
    assert_eq!(seen_of.keys().copied().collect::<BTreeSet<_>>(), all, "a column without a row to alter");
    let not_named: BTreeSet<_> = seen_of
        .iter()
        .flat_map(|(column, seen)| seen.iter().map(|seen| (column.0, column.1, *seen)))
        .filter(|(.., seen)| *seen != Seen::Named)
        .collect();
    let excused: BTreeSet<_> =
        NOT_NAMED.iter().map(|(table, column, seen, _)| (*table, *column, *seen)).collect();
    assert_eq!(not_named, excused, "the list of what an outsider cannot name, as it is and as it is written");
    assert!(NOT_NAMED.iter().all(|(.., because)| because.len() > 10));
}
