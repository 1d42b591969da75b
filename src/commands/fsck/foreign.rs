//! Checks the foreign keys that the migrations declare. The program relies on them: no row may refer to a
//! ticket or an organisation that does not exist. The owner of a table can drop its foreign keys.

use super::report::{Code, FsckError};
use super::unique::table_lines;
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

/// All foreign keys that the migrations declare, each in the line of its column within `CREATE TABLE`.
fn declared() -> Vec<Declared> {
    let keys = MIGRATOR.iter().flat_map(|migration| {
        table_lines(migration.sql.as_str()).filter_map(|(table, line)| in_line(table, line))
    });
    keys.collect()
}

fn in_line(table: &str, line: &str) -> Option<Declared> {
    let (before, after) = line.split_once(" REFERENCES ")?;
    let (column, of) = (before.split_whitespace().next()?, after.split([' ', '(', ',']).next()?);
    Some(Declared { table: table.to_owned(), column: column.to_owned(), of: of.to_owned() })
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
