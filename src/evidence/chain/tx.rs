//! A write transaction, and the leaves that its events will have in the register.

use crate::evidence::chain::bytes::Hash;
use chrono::{DateTime, Utc};
use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use std::ops::{Deref, DerefMut};

/// Begins a write. Its statements take whole columns as arrays; left to itself PostgreSQL plans them anew
/// each time, which takes twice as long as running them. And a plan that was made while a table was small
/// must not scan it when it has grown. Lists want plans of their own for what they are asked, so this is
/// said with BEGIN, in the same message, and not of the connection.
const BEGIN: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off";

/// A write transaction. Writes take `&mut Tx`, so "not in a transaction" does not compile.
///
/// It remembers what was added to the evidence in it, so that whoever commits it can give one
/// receipt for all of it, whichever noun's code did the adding.
#[derive(Debug)]
pub struct Tx<'c> {
    inner: sqlx::Transaction<'c, sqlx::Postgres>,
    leaves: Leaves,
}

/// Events of one posting, in the order of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Their hashes, which are their leaf hashes too.
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
    /// The database's own.
    pub async fn begin(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self { inner: pool.begin_with(BEGIN).await?, leaves: Leaves::default() })
    }
}

impl<'c> Tx<'c> {
    /// Begins a transaction on a connection that is not the pool's, and has its own settings.
    ///
    /// # Errors
    /// The database's own.
    pub async fn on(db: &'c mut PgConnection) -> sqlx::Result<Self> {
        Ok(Self { inner: db.begin().await?, leaves: Leaves::default() })
    }
}

impl Tx<'_> {
    /// What was added to the evidence, or found to have been added by the same posting before.
    #[must_use]
    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// Remembers an event of this posting: for [`crate::evidence::chain::append()`], and for whoever finds
    /// that the posting was made before.
    pub fn remember(&mut self, hash: Hash, received_at: DateTime<Utc>) {
        self.leaves.push(hash, received_at);
    }

    /// Ends it, with all that it did.
    ///
    /// # Errors
    /// The database's own.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }

    /// Ends it, with nothing done.
    ///
    /// # Errors
    /// The database's own.
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
