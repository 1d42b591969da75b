//! Checks the primary keys and unique constraints that the migrations declare. The passes of `fsck` identify
//! rows by these keys and rely on them to exclude duplicates, but an owner of a table can drop them.

use super::report::{Code, FsckError};
use crate::db::migrate::MIGRATOR;
use sqlx::PgConnection;

/// A primary key or unique constraint that a migration declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// The table.
    pub table: String,
    /// Whether it is the primary key.
    pub primary: bool,
    /// Its columns, sorted.
    pub columns: Vec<String>,
}

/// All primary keys and unique constraints that the migrations declare. Each line within `CREATE TABLE` or
/// `ALTER TABLE` declares at most one.
pub(super) fn declared() -> Vec<Declared> {
    let keys = MIGRATOR.iter().flat_map(|migration| {
        table_lines(migration.sql.as_str()).filter_map(|(table, line)| in_line(table, line))
    });
    keys.collect()
}

/// The lines of a migration from its first `CREATE TABLE` or `ALTER TABLE` on, without comments, each with the table
/// that was named last.
pub(super) fn table_lines(sql: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut table = None;
    sql.lines().filter_map(move |line| {
        let statement = ["CREATE TABLE ", "ALTER TABLE "].iter().find_map(|words| line.strip_prefix(words));
        if let Some(rest) = statement {
            table = rest.split([' ', '(']).next();
        }
        Some((table?, line.split("--").next().unwrap_or_default()))
    })
}

fn in_line(table: &str, line: &str) -> Option<Declared> {
    let parts = line.split_once(" PRIMARY KEY").map(|parts| (true, parts));
    let (primary, (before, after)) =
        parts.or_else(|| line.split_once(" UNIQUE").map(|parts| (false, parts)))?;
    // A constraint of the table is followed by its list of columns. A constraint of a single column has
    // no list; the line then begins with the name of the column.
    let list = after.trim_start().strip_prefix('(').and_then(|rest| rest.split(')').next());
    let columns = list.or_else(|| before.split_whitespace().next()).unwrap_or_default();
    let mut columns: Vec<String> = columns.split(',').map(|column| column.trim().to_owned()).collect();
    columns.sort();
    Some(Declared { table: table.to_owned(), primary, columns })
}

/// Reports each declared key that no valid unique index enforces any more.
pub(super) async fn check(db: &mut PgConnection) -> sqlx::Result<Vec<FsckError>> {
    let declared = declared();
    let tables: Vec<&str> = declared.iter().map(|key| key.table.as_str()).collect();
    let kept: Vec<(String, bool, Vec<String>)> = sqlx::query_as(
        "SELECT c.relname::text, i.indisprimary,
                ARRAY(SELECT a.attname::text
                      FROM unnest(i.indkey) WITH ORDINALITY k (attnum, position)
                      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                      WHERE k.position <= i.indnkeyatts)
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1)
           AND i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate
           AND i.indpred IS NULL AND i.indexprs IS NULL",
    )
    .bind(&tables)
    .fetch_all(db)
    .await?;
    let kept: Vec<Declared> = kept
        .into_iter()
        .map(|(table, primary, mut columns)| {
            columns.sort();
            Declared { table, primary, columns }
        })
        .collect();
    let lost = declared.into_iter().filter(|key| !kept.contains(key));
    let errors = lost.map(|Declared { table, primary, columns }| {
        let columns = columns.join(", ");
        let detail = if primary {
            format!("it has no primary key of {columns} any more: rows may be duplicated")
        } else {
            format!("nothing keeps {columns} unique any more: values may be duplicated")
        };
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
        let words = |word: &str| -> usize {
            MIGRATOR.iter().map(|migration| migration.sql.as_str().matches(word).count()).sum()
        };
        let primary = declared.iter().filter(|key| key.primary).count();
        assert_eq!((primary, declared.len() - primary), (words("PRIMARY KEY"), words("UNIQUE")));
        for (table, columns) in [
            ("event", "seq subject_id"),
            ("seal", "identification"),
            ("leaf", "index"),
            ("leaf", "seq subject_id"),
        ] {
            let is_it = |key: &&Declared| key.table == table && key.columns.join(" ") == columns;
            assert_eq!(declared.iter().filter(is_it).count(), 1, "{table} {columns}");
        }
    }
}
