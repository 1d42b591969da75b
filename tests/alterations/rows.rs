//! Rows that an insider deletes, duplicates or invents, in every table that is evidence or follows from
//! it. The database's own catalogue lists these tables.

use crate::columns::{Column, columns, names};
use crate::scene::{Scene, run};
use ormantrace::commands::fsck::coverage::NO_EVIDENCE;
use ormantrace::commands::fsck::{Code, FsckError};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Number of rows that are tried in each table. They are spread evenly over the table.
const ROWS: usize = 12;

/// Returns the columns of all tables, except tables for which no event gives evidence.
async fn tables(db: &mut PgConnection) -> BTreeMap<String, Vec<Column>> {
    let mut tables: BTreeMap<String, Vec<Column>> = BTreeMap::new();
    for column in columns(db).await {
        let none = NO_EVIDENCE.iter().any(|no| no.table == column.table && no.column == "*");
        if !none {
            tables.entry(column.table.clone()).or_default().push(column);
        }
    }
    tables
}

/// Columns of a table's primary key.
async fn key_of(db: &mut PgConnection, table: &str) -> BTreeSet<String> {
    let sql = "SELECT a.attname::text FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[:i.indnkeyatts - 1])
               WHERE i.indrelid = $1::regclass AND i.indisprimary";
    sqlx::query_scalar(sql).bind(table).fetch_all(db).await.unwrap().into_iter().collect()
}

/// Some rows of a table: their position (ctid) and content.
async fn some_rows(db: &mut PgConnection, table: &str) -> Vec<(String, Value)> {
    let sql = format!(
        "SELECT ctid::text, row_to_json(t)::jsonb || jsonb_build_object('of',
             (SELECT min(e.subject_id::text) FROM event e WHERE e.personal_id::text = row_to_json(t)->>'id'))
         FROM {table} t ORDER BY t::text"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(db).await.unwrap();
    let step = rows.len().div_ceil(ROWS).max(1);
    rows.iter().step_by(step).map(|row| (row.get(0), row.get(1))).collect()
}

fn told(found: &[FsckError]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n    ")
}

#[tokio::test]
async fn insider_deletes_any_row_of_any_table() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let (mut tried, mut missed) = (0, Vec::new());
    for table in tables(&mut db).await.into_keys() {
        let rows = some_rows(&mut db, &table).await;
        assert!(!rows.is_empty(), "{table} has no row: record one in the scene");
        for (at, row) in rows {
            run(&mut db, "SAVEPOINT unaltered").await;
            assert_eq!(run(&mut db, &format!("DELETE FROM {table} WHERE ctid = '{at}'")).await, 1);
            tried += 1;
            let found = scene.found(&mut db).await;
            if !found.iter().any(|finding| names(finding, &table, &row)) {
                missed.push(format!("{table} without {row}:{}", told(&found)));
            }
            run(&mut db, "ROLLBACK TO unaltered").await;
        }
    }
    assert!(missed.is_empty(), "{} of {tried} missed:\n{}", missed.len(), missed.join("\n"));
    println!("{tried} deletions");
}

/// As long as a table has its primary key, the database refuses a second copy of a row. If the key is
/// dropped, `fsck` reports that.
#[tokio::test]
async fn insider_doubles_any_row_of_any_table() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    for table in tables(&mut db).await.into_keys() {
        let (at, row) = some_rows(&mut db, &table).await.remove(0);
        run(&mut db, "SAVEPOINT unaltered").await;
        let twice =
            format!("INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} WHERE ctid = '{at}'");
        let refused = sqlx::raw_sql(AssertSqlSafe(twice.clone())).execute(&mut db).await.unwrap_err();
        let refused = refused.as_database_error().and_then(|error| error.code().map(String::from));
        assert_eq!(refused.as_deref(), Some("23505"), "{table}");
        run(&mut db, "ROLLBACK TO unaltered").await;
        let sql = "SELECT conname::text FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'p'";
        let key: String = sqlx::query_scalar(sql).bind(&table).fetch_one(&mut db).await.unwrap();
        run(&mut db, &format!("ALTER TABLE {table} DROP CONSTRAINT {key}; {twice}")).await;
        let found = scene.found(&mut db).await;
        let named = |finding: &FsckError| finding.code == Code::KeyMissing && finding.key == table;
        assert!(found.iter().any(named), "{table} twice {row}:{}", told(&found));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
}

#[tokio::test]
async fn insider_invents_a_row_of_any_table() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let (mut missed, mut keys_tried) = (Vec::new(), BTreeMap::new());
    for (table, columns) in tables(&mut db).await {
        let key = key_of(&mut db, &table).await;
        assert!(!key.is_empty(), "{table} has no key");
        let list: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let list = list.join(", ");
        for (at, _) in some_rows(&mut db, &table).await {
            // Inserts a copy of an existing row under another key.
            for column in columns.iter().filter(|column| key.contains(&column.name)) {
                for value in column.changes() {
                    let name = &column.name;
                    let values = list
                        .split(", ")
                        .map(|each| if each == name { value.clone() } else { format!("t.{each}") });
                    let values = values.collect::<Vec<_>>().join(", ");
                    run(&mut db, "SAVEPOINT unaltered").await;
                    let sql = format!(
                        "INSERT INTO {table} AS n ({list}) OVERRIDING SYSTEM VALUE
                         SELECT {values} FROM {table} t WHERE ctid = '{at}' RETURNING row_to_json(n)::jsonb"
                    );
                    let done: sqlx::Result<Option<Value>> =
                        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&mut db).await;
                    // The database refuses keys that are invalid or already taken.
                    if let Ok(Some(row)) = done {
                        *keys_tried.entry(table.clone()).or_insert(0) += 1;
                        let found = scene.found(&mut db).await;
                        if !found.iter().any(|finding| names(finding, &table, &row)) {
                            missed.push(format!("{table} with {row}:{}", told(&found)));
                        }
                    }
                    run(&mut db, "ROLLBACK TO unaltered").await;
                }
            }
        }
    }
    let tried: i32 = keys_tried.values().sum();
    assert!(missed.is_empty(), "{} of {tried} missed:\n{}", missed.len(), missed.join("\n"));
    let all: BTreeSet<String> = tables(&mut db).await.into_keys().collect();
    assert_eq!(keys_tried.into_keys().collect::<BTreeSet<_>>(), all, "a table in which no row was invented");
    println!("{tried} inventions");
}

#[tokio::test]
async fn insider_inserts_a_leaf_below_the_published_size() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    // The insider inserts a leaf and shifts the later leaves, as if it had always been there: a second leaf
    // of an event that is already in the register, the leaf of a queued event, and the leaf of an event that
    // never existed.
    let entries = [
        "SELECT entry, subject_id, seq FROM leaf WHERE index = 3",
        "SELECT entry, subject_id, seq FROM leaf_queue ORDER BY id LIMIT 1",
        "SELECT set_byte(entry, 112, get_byte(entry, 112) # 1), gen_random_uuid(), 1 FROM leaf WHERE index = 3",
    ];
    for entry in entries {
        run(&mut db, "SAVEPOINT unaltered").await;
        run(&mut db, "UPDATE leaf SET index = -index WHERE index >= 7; UPDATE leaf SET index = 1 - index WHERE index < 0; UPDATE register SET size = size + 1").await;
        let row = sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO leaf (index, entry, subject_id, seq, sequenced_at)
             SELECT 7, t.*, now() FROM ({entry}) t RETURNING subject_id, seq"
        )))
        .fetch_one(&mut db)
        .await
        .unwrap();
        let at: (Uuid, i32) = (row.get(0), row.get(1));
        let found = scene.found(&mut db).await;
        let tile = |finding: &FsckError| finding.code == Code::TileDiffers && finding.event == Some(at);
        assert!(found.iter().any(tile), "{entry} {at:?}:{}", told(&found));
        assert!(found.iter().any(|finding| finding.code == Code::RootDiffers), "{entry}:{}", told(&found));
        run(&mut db, "ROLLBACK TO unaltered").await;
    }
}

#[tokio::test]
async fn insider_queues_an_event_again() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    let row = sqlx::query(
        "INSERT INTO leaf_queue (entry, subject_id, seq, queued_at)
         SELECT entry, subject_id, seq, sequenced_at FROM leaf WHERE index = 3 RETURNING subject_id, seq",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    let at: (Uuid, i32) = (row.get(0), row.get(1));
    let found = scene.found(&mut db).await;
    assert!(found.iter().any(|finding| finding.event == Some(at)), "{at:?}:{}", told(&found));
}
