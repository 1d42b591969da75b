//! The organisations' shares of the database connections of the pool.
//!
//! One organisation has at most half of the connections: a harvest of 5,000 logs, also one that is refused,
//! holds its connection for so long that requests which wait for a connection can time out. A test of the
//! architecture refuses every other use of the pool in http, except those that it lists.

use super::app::App;
use super::problem::Problem;
use crate::base::ids::OrganizationId;
use crate::evidence::chain::Tx;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long a request waits for other requests of its organisation.
const SHARE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection or a transaction, with its part of the organisation's share. A request must not ask for a
/// second one while it has the first: requests that all wait for a second one would time out.
#[derive(Debug)]
pub struct Shared<T> {
    // Dropped before the permit.
    of_pool: T,
    _permit: OwnedSemaphorePermit,
}

impl App {
    /// Begins a transaction on a connection of the pool.
    ///
    /// # Errors
    /// Overloaded, if requests of the same organisation do not end in time; errors from the database.
    pub async fn begin(&self, organization: OrganizationId) -> Result<Shared<Tx<'static>>, Problem> {
        let permit = self.share(organization).await?;
        Ok(Shared { of_pool: Tx::begin(&self.pool).await?, _permit: permit })
    }

    /// A connection of the pool, for reads.
    ///
    /// # Errors
    /// As [`App::begin`].
    pub async fn connection(
        &self,
        organization: OrganizationId,
    ) -> Result<Shared<PoolConnection<Postgres>>, Problem> {
        let permit = self.share(organization).await?;
        Ok(Shared { of_pool: self.pool.acquire().await?, _permit: permit })
    }

    async fn share(&self, organization: OrganizationId) -> Result<OwnedSemaphorePermit, Problem> {
        match timeout(SHARE_TIMEOUT, self.connections().of(organization).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Problem::overloaded()),
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.of_pool
    }
}

impl<T> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.of_pool
    }
}

impl Shared<Tx<'static>> {
    /// Commits the transaction.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn commit(self) -> sqlx::Result<()> {
        let Self { of_pool, _permit } = self;
        of_pool.commit().await
    }

    /// Rolls the transaction back.
    ///
    /// # Errors
    /// Errors from the database.
    pub async fn rollback(self) -> sqlx::Result<()> {
        let Self { of_pool, _permit } = self;
        of_pool.rollback().await
    }
}
