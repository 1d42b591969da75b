//! Checks the foreign keys that the migrations declare. The program relies on them: no row may refer to a
//! ticket or an organisation that does not exist. The owner of a table can drop its foreign keys.

use super::report::{Code, FsckError};
use crate::db::migrate::MIGRATOR;
use sqlx::PgConnection;

/// A foreign key of one column that a migration declares.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Declared {
    table: String,
    column: String,
    /// The table that the key refers to.
    of: String,
}

fn declared() -> Vec<Declared> {
    MIGRATOR.iter().flat_map(|migration| in_sql(migration.sql.as_str())).collect()
}

/// The foreign keys that one migration declares. They are found line by line: each is in the line of its column,
/// within `CREATE TABLE`.
fn in_sql(sql: &str) -> Vec<Declared> {
    let (mut found, mut table) = (Vec::new(), None);
    for line in sql.lines() {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            table = rest.split([' ', '(']).next();
        }
        let line = line.split("--").next().unwrap_or_default();
        let (Some(table), Some((before, after))) = (table, line.split_once(" REFERENCES ")) else { continue };
        let of = after.split([' ', '(', ',']).next();
        if let (Some(column), Some(of)) = (before.split_whitespace().next(), of) {
            found.push(Declared { table: table.to_owned(), column: column.to_owned(), of: of.to_owned() });
        }
    }
    found
}

/// Reports each declared foreign key that no valid constraint enforces any more.
pub(super) async fn check(db: &mut PgConnection) -> sqlx::Result<Vec<FsckError>> {
    // `a` (no action): a row that is referred to can be neither deleted nor given another key.
    let kept: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, f.relname::text
         FROM pg_catalog.pg_constraint k
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
         JOIN pg_catalog.pg_class f ON f.oid = k.confrelid AND f.relnamespace = c.relnamespace
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
         WHERE c.relnamespace = 'public'::regnamespace AND k.contype = 'f' AND k.convalidated
           AND cardinality(k.conkey) = 1 AND k.confdeltype = 'a' AND k.confupdtype = 'a' AND NOT k.condeferrable",
    )
    .fetch_all(db)
    .await?;
    let kept: Vec<Declared> =
        kept.into_iter().map(|(table, column, of)| Declared { table, column, of }).collect();
    let lost = declared().into_iter().filter(|key| !kept.contains(key));
    let errors = lost.map(|Declared { table, column, of }| {
        let detail = format!("nothing keeps {column} a key to {of} any more: rows may refer to nothing");
        FsckError { code: Code::KeyMissing, table: "pg_class", key: table, event: None, detail }
    });
    Ok(errors.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declaration_of_the_migrations_is_read() {
        let declared = declared();
        let words: usize =
            MIGRATOR.iter().map(|migration| migration.sql.as_str().matches(" REFERENCES ").count()).sum();
        let other: usize =
            MIGRATOR.iter().map(|migration| migration.sql.as_str().matches("FOREIGN KEY").count()).sum();
        assert_eq!((declared.len(), other), (words, 0));
        let harvest =
            Declared { table: "harvest".into(), column: "ticket_id".into(), of: "felling_ticket".into() };
        assert!(declared.contains(&harvest), "{declared:?}");
    }
}
