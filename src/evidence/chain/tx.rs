//! A write transaction, and the leaves that its events will get in the transparency log.

use crate::evidence::chain::bytes::Hash;
use chrono::{DateTime, Utc};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use std::ops::{Deref, DerefMut};

/// Begins a write transaction with two settings, in one message.
/// - Generic plans: the statements of writes take columns as arrays, and by default PostgreSQL would plan
///   such a statement anew each time, which takes twice as long as running it.
/// - No sequential scans: a generic plan that was made while a table was small would scan the complete table
///   after the table has grown.
///
/// The settings are made for the transaction and not for the connection, because list queries need plans for
/// their own parameters.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off";

/// A write transaction. Writes take `&mut Tx`, so a write outside a transaction does not compile.
///
/// It records the events that were appended in it, so that the code that commits it can issue one
/// receipt for all of them, whichever module appended them.
#[derive(Debug)]
pub struct Tx<'c> {
    inner: sqlx::Transaction<'c, sqlx::Postgres>,
    leaves: Leaves,
}

/// Events of one write request, in the order of its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// The hashes of the events, which are also their leaf hashes.
    pub hashes: Vec<Hash>,
    /// When the last of them was received.
    pub received_at: DateTime<Utc>,
}

impl Leaves {
    /// Adds an event.
    pub fn push(&mut self, hash: Hash, received_at: DateTime<Utc>) {
        self.hashes.push(hash);
        self.received_at = self.received_at.max(received_at);
    }
}

impl Tx<'static> {
    /// Begins a transaction on a connection of the pool.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn begin(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self { inner: pool.begin_with(BEGIN).await?, leaves: Leaves::default() })
    }
}

impl<'c> Tx<'c> {
    /// Begins a transaction on a connection outside the pool, with that connection's planner settings.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn on(db: &'c mut PgConnection) -> sqlx::Result<Self> {
        Ok(Self { inner: db.begin().await?, leaves: Leaves::default() })
    }
}

impl Tx<'_> {
    /// The events that were appended in this transaction, or earlier by the same write request.
    #[must_use]
    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Records an event of this write request: a new one, from [`crate::evidence::chain::append()`] or from
    /// group commit, or one that the first execution of a repeated request made.
    pub fn record_leaf(&mut self, hash: Hash, received_at: DateTime<Utc>) {
        self.leaves.push(hash, received_at);
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }
}

impl Deref for Tx<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
