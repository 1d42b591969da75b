//! The database: opened, migrated, kept apart from everything that only uses it.

/// A write transaction. Writes take `&mut Tx`, so "not in a transaction" does not compile.
pub type Tx<'c> = sqlx::Transaction<'c, sqlx::Postgres>;
