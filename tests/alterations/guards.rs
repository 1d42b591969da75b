//! Tests of row security, rules, triggers and rights. An insider who changes these can hide altered rows, or
//! make an alteration possible, without altering a row.

use crate::scene::{Scene, run};
use crate::support::pg::TestDb;
use crate::support::process::{PATIENCE, data, get, program};
use ormantrace::commands::fsck::{self, FsckError, Scope, Snapshots};
use sqlx::PgConnection;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

/// An alteration, and the code and table that `fsck` reports for it.
const GUARDS: &[(&str, &str, &str)] = &[
    (
        "ALTER TABLE event ENABLE ROW LEVEL SECURITY; CREATE POLICY hide ON event USING (type <> 'inspected')",
        "row-security",
        "event",
    ),
    ("ALTER TABLE log FORCE ROW LEVEL SECURITY", "row-security", "log"),
    ("CREATE POLICY hide ON personal USING (true)", "row-security", "personal"),
    ("CREATE RULE elsewhere AS ON INSERT TO log DO INSTEAD NOTHING", "rule-unexpected", "log"),
    ("DROP TRIGGER event_append_only ON event", "trigger-missing", "event"),
    ("DROP TRIGGER leaf_no_truncate ON leaf", "trigger-missing", "leaf"),
    ("ALTER TABLE event DISABLE TRIGGER event_no_truncate", "trigger-missing", "event"),
    ("ALTER TABLE leaf ENABLE REPLICA TRIGGER leaf_append_only", "trigger-missing", "leaf"),
    ("ALTER TABLE leaf ENABLE TRIGGER leaf_append_only", "trigger-missing", "leaf"),
    (
        "DROP TRIGGER event_append_only ON event;
         CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON event FOR EACH ROW WHEN (OLD.seq < 0)
             EXECUTE FUNCTION refuse_change();
         ALTER TABLE event ENABLE ALWAYS TRIGGER event_append_only",
        "trigger-missing",
        "event",
    ),
    (
        "DROP TRIGGER event_append_only ON event;
         CREATE TRIGGER event_append_only BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION refuse_change();
         ALTER TABLE event ENABLE ALWAYS TRIGGER event_append_only",
        "trigger-missing",
        "event",
    ),
    (
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RETURN NEW; END'",
        "trigger-missing",
        "leaf",
    ),
    (
        "CREATE TRIGGER also BEFORE UPDATE ON log FOR EACH ROW
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger-unexpected",
        "log",
    ),
    ("GRANT ALL ON event TO ormantrace_service", "grant-unexpected", "event"),
    ("GRANT UPDATE (public) ON event TO ormantrace_publisher", "grant-unexpected", "event"),
    ("GRANT TRUNCATE ON leaf TO ormantrace_service", "grant-unexpected", "leaf"),
    ("GRANT DELETE ON leaf TO PUBLIC", "grant-unexpected", "leaf"),
    ("ALTER TABLE seal DROP CONSTRAINT seal_identification_key", "key-missing", "seal"),
    ("ALTER TABLE leaf DROP CONSTRAINT leaf_event_key", "key-missing", "leaf"),
    (
        "ALTER TABLE organization DROP CONSTRAINT organization_bin_key;
         CREATE UNIQUE INDEX organization_bin_key ON organization (bin) WHERE bin <> '040640000019'",
        "key-missing",
        "organization",
    ),
    (
        "ALTER TABLE seal_move DROP CONSTRAINT seal_move_pkey, ADD PRIMARY KEY (number, seq, batch_id)",
        "key-missing",
        "seal_move",
    ),
    ("ALTER TABLE harvest DROP CONSTRAINT harvest_ticket_id_fkey", "key-missing", "harvest"),
    ("ALTER TABLE api_key DROP CONSTRAINT api_key_organization_id_fkey", "key-missing", "api_key"),
    (
        "ALTER TABLE ticket_line DROP CONSTRAINT ticket_line_ticket_id_fkey,
             ADD FOREIGN KEY (ticket_id) REFERENCES felling_ticket ON DELETE CASCADE",
        "key-missing",
        "ticket_line",
    ),
    (
        "ALTER TABLE harvest DROP CONSTRAINT harvest_organization_id_fkey,
             ADD FOREIGN KEY (organization_id) REFERENCES organization NOT VALID",
        "key-missing",
        "harvest",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO ormantrace_service; ALTER TABLE event OWNER TO ormantrace_service",
        "owner-unexpected",
        "event",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO ormantrace_publisher;
         ALTER FUNCTION refuse_change() OWNER TO ormantrace_publisher",
        "owner-unexpected",
        "refuse_change",
    ),
    (
        "SET LOCAL ROLE ormantrace_service; ALTER ROLE ormantrace_service SET search_path = x, public; RESET ROLE",
        "setting-unexpected",
        "*/ormantrace_service",
    ),
    (
        "SET LOCAL ROLE ormantrace_publisher; ALTER ROLE ormantrace_publisher SET row_security = off; RESET ROLE",
        "setting-unexpected",
        "*/ormantrace_publisher",
    ),
];

async fn found(db: &mut PgConnection) -> Vec<FsckError> {
    let scope = Scope { snapshots: Snapshots::Callers, ..Scope::default() };
    let mut found = Vec::new();
    fsck::check(db, &scope, &mut found).await.unwrap_or_else(|error| panic!("{error}"));
    found
}

#[tokio::test]
async fn what_stands_before_the_rows_is_found() {
    let test = TestDb::new().await;
    let mut db = test.owner().await;
    assert_eq!(found(&mut db).await, []);
    run(&mut db, "BEGIN").await;
    let mut missed = Vec::new();
    for (sql, code, table) in GUARDS {
        run(&mut db, "SAVEPOINT unaltered").await;
        run(&mut db, sql).await;
        let told: Vec<String> = found(&mut db).await.iter().map(ToString::to_string).collect();
        let is_it = |line: &String| {
            let mut words = line.split([' ', ':']);
            words.next() == Some(*code) && words.nth(1) == Some(*table)
        };
        if !told.iter().any(is_it) || told.iter().any(|line| !line.starts_with(code)) {
            missed.push(format!("{sql}: {told:#?}"));
        }
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rights_are_listed_and_are_no_error() {
    let test = TestDb::new().await;
    run(&mut test.owner().await, "GRANT SELECT ON event TO PUBLIC").await;
    let output = program().args(["fsck", "--log", "off", "--database-url", &test.url()]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.lines().any(|line| line == "grant-listed pg_class event: PUBLIC has SELECT"), "{said}");
}

#[tokio::test]
async fn a_table_that_was_replaced_is_found() {
    let test = TestDb::new().await;
    let mut db = test.owner().await;
    for (sql, detail) in [
        (
            "ALTER TABLE seal_move RENAME TO moved; CREATE VIEW seal_move AS SELECT * FROM moved WHERE seq > 1",
            "table-replaced pg_class seal_move: it is not a table any more",
        ),
        (
            "ALTER TABLE seal_move RENAME TO moved",
            "table-replaced pg_class seal_move: there is no such table",
        ),
        (
            "CREATE TABLE kept () INHERITS (leaf)",
            "table-replaced pg_class leaf: another table adds its rows to it",
        ),
        (
            "CREATE TEMPORARY TABLE log (LIKE public.log)",
            "table-replaced pg_class log: another relation of this name comes first in the search path",
        ),
    ] {
        run(&mut db, "BEGIN").await;
        run(&mut db, sql).await;
        let guards = fsck::guards::read(&mut db).await.unwrap();
        let told: Vec<String> = guards.errors.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line == detail), "{sql}: {told:#?}");
        run(&mut db, "ROLLBACK").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_warns_and_refuses_only_without_its_append_only_triggers() {
    let test = TestDb::new().await;
    let data = data();
    let mut owner = test.owner().await;
    let mut serve = program();
    serve.args(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    serve.args(["--database-url", &test.url(), "--data-dir"]);
    serve.arg(data.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());

    run(
        &mut owner,
        "ALTER TABLE log ENABLE ROW LEVEL SECURITY; GRANT ALL ON event TO ormantrace_service;
         ALTER TABLE seal DROP CONSTRAINT seal_identification_key;
         GRANT CREATE ON SCHEMA public TO ormantrace_service; ALTER TABLE leaf OWNER TO ormantrace_service",
    )
    .await;
    let mut child = serve.spawn().unwrap();
    let (since, mut told) = (Instant::now(), Vec::new());
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        assert!(since.elapsed() < PATIENCE, "{told:#?}");
        let serves = line.contains(" serving");
        told.push(line);
        if serves {
            break;
        }
    }
    let metrics = told.iter().find_map(|line| {
        let (_, after) =
            line.split_once("127.0.0.1:").filter(|_| line.contains("metrics are at /metrics"))?;
        let port: String = after.chars().take_while(char::is_ascii_digit).collect();
        format!("127.0.0.1:{port}").parse().ok()
    });
    let metrics = metrics.unwrap_or_else(|| panic!("{told:#?}"));
    let (status, figures) = get(metrics, "/metrics", None);
    assert_eq!(status, 200, "{figures}");
    // Row security, the key and the owner; the rights of the service were revoked before they were counted.
    assert!(figures.contains("\normantrace_guard_errors 3\n"), "{figures}");
    child.kill().unwrap();
    child.wait().unwrap();
    let told = told.join("\n");
    assert!(told.contains(" serving"), "{told}");
    for part in ["row-security", "key-missing", "owner-unexpected", "revoked", "WARN"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    run(&mut owner, "ALTER TABLE event DISABLE TRIGGER event_append_only").await;
    let output = serve.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("append-only") && told.contains("event_append_only"), "{told}");
}

#[tokio::test]
async fn an_altered_log_does_not_accuse_its_ticket_line() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let pick = "(SELECT id FROM log WHERE ticket_id IS NOT NULL ORDER BY id LIMIT 1)";
    for change in [
        "UPDATE log SET volume_m3 = volume_m3 + 1",
        "UPDATE log SET volume_m3 = 'NaN'",
        "UPDATE log SET volume_m3 = NULL",
        "UPDATE log SET line_id = gen_random_uuid()",
        "UPDATE log SET ticket_id = (SELECT max(id::text)::uuid FROM felling_ticket)",
        "UPDATE log SET ticket_id = NULL",
        "DELETE FROM log",
    ] {
        run(&mut db, "SAVEPOINT unaltered").await;
        assert_eq!(run(&mut db, &format!("{change} WHERE id = {pick}")).await, 1);
        let found = scene.found(&mut db).await;
        let told: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|error| error.table == "log"), "{change}: {told:#?}");
        assert!(found.iter().all(|error| error.table != "ticket_line"), "{change}: {told:#?}");
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
    // The line itself is still compared.
    run(&mut db, "UPDATE ticket_line SET marked_m3 = marked_m3 + 1").await;
    assert!(scene.found(&mut db).await.iter().any(|error| error.table == "ticket_line"));
}

#[tokio::test]
async fn a_restored_old_database_is_reported_once() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    run(&mut db, "DELETE FROM leaf WHERE index > 10; UPDATE register SET size = 11").await;
    let found = scene.found(&mut db).await;
    let larger = found.iter().filter(|error| error.code.to_string() == "published-larger").count();
    assert_eq!(larger, 1, "{found:#?}");
}
