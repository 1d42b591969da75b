//! Every column of every table, from the database's own catalogue.

use crate::scene::{Scene, run};
use ormantrace::commands::fsck::FsckError;
use ormantrace::commands::fsck::coverage::{NO_EVIDENCE, is_no_evidence};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::BTreeSet;
use uuid::Uuid;

/// A column.
pub struct Column {
    pub table: String,
    pub name: String,
    pub of_type: String,
}

impl Column {
    /// SQL expressions to which an insider may set the column; `t` is the altered row.
    pub fn changes(&self) -> impl Iterator<Item = String> {
        changes(&self.of_type).iter().copied().chain(["NULL"]).map(|change| {
            let value = change.replace("x.$", &format!("x.{}", self.name));
            value.replace('$', &format!("t.{}", self.name)).replace('@', &self.table)
        })
    }
}

pub async fn columns(db: &mut PgConnection) -> Vec<Column> {
    let rows = sqlx::query(
        "SELECT c.table_name::text, c.column_name::text, c.udt_name::text FROM information_schema.columns c
         JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1, c.ordinal_position",
    )
    .fetch_all(db)
    .await
    .unwrap();
    rows.iter().map(|row| Column { table: row.get(0), name: row.get(1), of_type: row.get(2) }).collect()
}

/// SQL expressions for altered values, by type; `$` stands for the column and `@` for its table.
fn changes(of_type: &str) -> &'static [&'static str] {
    match of_type {
        "uuid" => &[
            "md5($::text)::uuid",
            "(SELECT x.$ FROM @ x WHERE x.$ <> t.$ ORDER BY x.$ LIMIT 1)",
            "gen_random_uuid()",
        ],
        "int2" | "int4" | "int8" => &["$ + 1", "$ - 1", "1", "100000"],
        "bool" => &["NOT $", "true"],
        "text" => &[
            "$ || 'x'",
            "reverse($)",
            // Other bytes with the same JSON value.
            "regexp_replace($, ':', ': ')",
            "''",
            "(SELECT x.$ FROM @ x WHERE x.$ <> t.$ ORDER BY x.$ LIMIT 1)",
            "'ж'",
        ],
        "timestamptz" => {
            &["$ + interval '1 microsecond'", "$ - interval '1 day'", "'infinity'", "'2026-10-06T00:00:00Z'"]
        }
        "date" => &["$ + 1", "$ - 365", "'infinity'", "'2026-10-06'"],
        "numeric" => &["$ + 0.0001", "$ + 1", "$ * 2", "'NaN'", "3"],
        "bytea" => {
            &["set_byte($, 0, get_byte($, 0) # 1)", "set_byte($, octet_length($) - 1, 7)", "''", "'\\x01'"]
        }
        "_text" => &["$ || 'inspector'::text", "'{}'", "ARRAY[NULL::text] || $"],
        "_uuid" => &["$ || $[1]", "'{}'", "ARRAY[gen_random_uuid()] || $", "$[2:]"],
        "_int4" => &["$ || 1", "'{}'", "ARRAY[7] || $[2:]"],
        other => panic!("how does an insider change a {other}?"),
    }
}

/// Whether an fsck error names the altered row: an event by subject and seq, any other row by its key or by
/// an event that it belongs to.
pub fn names(finding: &FsckError, table: &str, before: &Value) -> bool {
    let text = |column: &str| before[column].as_str().unwrap_or_default().to_owned();
    if table == "event" {
        let subject: Uuid = text("subject_id").parse().unwrap();
        return finding.event
            == before["seq"].as_i64().and_then(|seq| Some((subject, i32::try_from(seq).ok()?)));
    }
    let told = format!(
        "{} {}",
        finding.key,
        finding.event.map(|(id, seq)| format!("{id}/{seq}")).unwrap_or_default()
    );
    let by: Vec<String> = match table {
        "seal" => vec![text("number"), text("batch_id")],
        "seal_move" => vec![text("number"), format!("{}/{}", text("batch_id"), before["seq"])],
        "ticket_line" => vec![text("id"), text("ticket_id")],
        "harvest" => vec![text("id"), text("operation_id")],
        "log_seal" => vec![text("seal_number")],
        "past_party" => vec![format!("{}/{}", text("log_id"), text("organization_id"))],
        "operation" => vec![text("operation_id")],
        "leaf" | "leaf_queue" => vec![format!("{}/{}", text("subject_id"), before["seq"])],
        "register" => vec!["size".into(), "complete".into(), "one".into()],
        "parameter" => vec![format!("{}/{}", text("name"), text("valid_from"))],
        "marking_key" => vec![text("key_id")],
        "personal" => vec![text("id"), before["of"].as_str().unwrap_or("-").to_owned()],
        _ => vec![text("id")],
    };
    by.iter().any(|by| {
        if by.is_empty() {
            // The text of an fsck error with an empty key begins with a blank.
            finding.table == table && told.starts_with(' ')
        } else {
            told.contains(by.as_str())
        }
    })
}

#[tokio::test]
async fn insider_edits_of_every_column_are_found_and_named() {
    let scene = Scene::new().await;
    let mut db = scene.insider().await;
    assert_eq!(scene.found(&mut db).await, []);
    let (mut tried, mut columns_tried) = (0, BTreeSet::new());
    let mut missed = Vec::new();
    for column in columns(&mut db).await {
        let Column { table, name, .. } = &column;
        if is_no_evidence(table, name) {
            continue;
        }
        for state in ["IS NOT NULL", "IS NULL"] {
            let pick = format!(
                "SELECT ctid::text, row_to_json(t)::jsonb || jsonb_build_object('of',
                     (SELECT min(e.subject_id::text) FROM event e WHERE e.personal_id::text = row_to_json(t)->>'id')),
                     t.{name}::text
                 FROM {table} t WHERE t.{name} {state} ORDER BY t::text DESC LIMIT 1"
            );
            let rows = sqlx::query(AssertSqlSafe(pick)).fetch_all(&mut db).await.unwrap();
            for row in rows {
                let (at, before): (String, Value) = (row.get(0), row.get(1));
                let was: Option<String> = row.get(2);
                for value in column.changes() {
                    run(&mut db, "SAVEPOINT unaltered").await;
                    let sql = format!(
                        "UPDATE {table} t SET {name} = {value} WHERE ctid = '{at}'
                         RETURNING t.{name}::text, row_to_json(t)::jsonb"
                    );
                    let done: sqlx::Result<Option<(Option<String>, Value)>> =
                        sqlx::query_as(AssertSqlSafe(sql)).fetch_optional(&mut db).await;
                    // The database refuses some values, for example a reference without a target or a
                    // duplicate key.
                    if let Ok(Some((is, after))) = done
                        && is != was
                    {
                        tried += 1;
                        columns_tried.insert((table.clone(), name.clone()));
                        let found = scene.found(&mut db).await;
                        let named = |finding: &FsckError| {
                            // A row that is not an event may also be named by its new key.
                            names(finding, table, &before)
                                || table != "event" && names(finding, table, &after)
                        };
                        if !found.iter().any(named) {
                            let told: Vec<_> = found.iter().map(ToString::to_string).collect();
                            missed.push(format!("{table}.{name} = {value} of {before}: {told:#?}"));
                        }
                    }
                    run(&mut db, "ROLLBACK TO unaltered").await;
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} of {tried} missed:\n{}", missed.len(), missed.join("\n"));
    println!("{tried} alterations of {} columns", columns_tried.len());
    let all: BTreeSet<_> = columns(&mut db)
        .await
        .into_iter()
        .filter(|column| !is_no_evidence(&column.table, &column.name))
        .map(|column| (column.table, column.name))
        .collect();
    assert_eq!(columns_tried, all, "a column without a row to alter: record one in the scene");
    assert_eq!(scene.found(&mut db).await, [], "every edit was rolled back");
}

#[tokio::test]
async fn every_column_without_evidence_exists_and_has_a_reason() {
    let db = crate::support::pg::TestDb::new().await;
    let all = columns(&mut db.owner().await).await;
    for no in NO_EVIDENCE {
        assert!(no.reason.len() > 10, "{no:?}");
        assert!(
            all.iter()
                .any(|column| column.table == no.table && (no.column == "*" || column.name == no.column)),
            "{no:?} is not in the database"
        );
    }
}
