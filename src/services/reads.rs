//! Hot reads, through batch loaders ([`crate::db::batching`]): the caller of a token, sessions of the desk, seals, a
//! log, and its history.
//!
//! The loaders have their own connections, so that many reads at once take no connections from the writes.
//! Every response is decided for its caller alone, from rows that were read after the query arrived. Only
//! organisation names are cached, and used only if the erasure epoch has not changed since they were read.

use crate::base::error::{Error, Result};
use crate::base::ids::OrganizationId;
use crate::base::shares::{MemoryPermit, Shares};
use crate::base::token::{SessionSecret, Token};
use crate::db::batching::{self, BatchLimits, BatchLoader};
use crate::evidence::chain::history::PAGE;
use crate::services::verification::answer::Verification;
use crate::services::verification::lookup::{Check, FoundCodes, SealLookup};
use crate::timber::custody::history::{self, LogHistory};
use crate::timber::custody::history_query::{HistoryQuery, HistoryRows, NameCache};
use crate::timber::custody::log::read::{Access, LogLookup, LogRow};
use crate::timber::party::key::{Caller, TokenHash};
use crate::timber::party::reader::Reader;
use crate::timber::party::session::{Session, SessionLookup};
use crate::timber::seal::signing::KeyRing;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, Semaphore};
use tokio::time::timeout;

/// Timeout of one merged statement, which normally takes milliseconds.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a statement that runs for one query alone: a page of a long history, or a check of many seals.
const LONG_STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a long history waits for its memory permits.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of events of a short history. A longer one is read and sent page by page, and has its own
/// loader and memory permits.
pub const MAX_SHORT_HISTORY: u32 = 100;
/// Maximum number of events of long histories in memory at once. An event takes about 2 kB as a row and
/// another 2 kB as JSON.
const MAX_EVENTS_IN_MEMORY: u32 = 8_000;
/// Maximum number of events of one organisation's long histories in memory at once.
const MAX_EVENTS_PER_ORGANIZATION: u32 = MAX_EVENTS_IN_MEMORY / 4;

const CALLERS: BatchLimits = BatchLimits {
    name: "callers",
    connections: 1,
    queue: 1_024,
    max_queries: 64,
    cost: 64,
    timeout: STATEMENT_TIMEOUT,
};
const SESSIONS: BatchLimits = BatchLimits { name: "sessions", ..CALLERS };
const SEALS: BatchLimits = BatchLimits { name: "seals", connections: 1, ..CALLERS };
/// Checks of many seals: at most 1,000 codes each, one check after the other.
const MANY_SEALS: BatchLimits =
    BatchLimits { name: "many_seals", queue: 64, max_queries: 1, timeout: LONG_STATEMENT_TIMEOUT, ..CALLERS };
const LOGS: BatchLimits = BatchLimits { name: "logs", ..CALLERS };
/// The cost of a query is the number of events that it reads.
const HISTORIES: BatchLimits = BatchLimits { name: "histories", cost: 2_000, ..CALLERS };
const LONG_HISTORIES: BatchLimits = BatchLimits {
    name: "long_histories",
    queue: 64,
    max_queries: 1,
    timeout: LONG_STATEMENT_TIMEOUT,
    ..CALLERS
};

/// The batch loaders. Clones share them.
#[derive(Clone)]
pub struct Reads {
    callers: BatchLoader<TokenHash>,
    sessions: BatchLoader<SessionLookup>,
    seals: BatchLoader<SealLookup>,
    many_seals: BatchLoader<SealLookup>,
    logs: BatchLoader<LogLookup>,
    histories: BatchLoader<HistoryQuery>,
    long_histories: BatchLoader<HistoryQuery>,
    permits: Arc<Semaphore>,
    shares: Arc<Shares<OrganizationId>>,
    names: Arc<NameCache>,
}

impl Reads {
    /// Loaders for the database of `pool`. They have the same database role as `pool`, and connections of
    /// their own.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn of(pool: &PgPool) -> Self {
        Self::new(pool.connect_options().as_ref().clone())
    }

    /// Loaders for a database. Each connection is opened when it is first needed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(database: PgConnectOptions) -> Self {
        let database = Arc::new(for_loaders(database));
        Self {
            callers: BatchLoader::new(&database, CALLERS),
            sessions: BatchLoader::new(&database, SESSIONS),
            seals: BatchLoader::new(&database, SEALS),
            many_seals: BatchLoader::new(&database, MANY_SEALS),
            logs: BatchLoader::new(&database, LOGS),
            histories: BatchLoader::new(&database, HISTORIES),
            long_histories: BatchLoader::new(&database, LONG_HISTORIES),
            names: Arc::default(),
            permits: Arc::new(Semaphore::new(permits(MAX_EVENTS_IN_MEMORY))),
            shares: Arc::new(Shares::new(permits(MAX_EVENTS_PER_ORGANIZATION))),
        }
    }

    /// The caller that a token belongs to, if the token is valid at `now`.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn caller(&self, token: &Token, now: DateTime<Utc>) -> Result<Option<Caller>> {
        self.caller_by_hash(TokenHash::new(token, now)).await
    }

    /// The caller that a token belongs to, if the token is valid at the time of the request.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn caller_by_hash(&self, token_hash: TokenHash) -> Result<Option<Caller>> {
        self.callers.load(token_hash).await
    }

    /// The session of the desk that a cookie's secret belongs to, if it has not ended at `now`.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn session(&self, secret: &SessionSecret, now: DateTime<Utc>) -> Result<Option<Session>> {
        self.sessions.load(SessionLookup::new(secret, now)).await
    }

    /// The rows for the codes of `lookup`, in their order; `None` if its token is invalid.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn seals(&self, lookup: SealLookup) -> Result<Option<FoundCodes>> {
        let many = batching::BatchQuery::cost(&lookup) > SEALS.cost;
        if many { self.many_seals.load(lookup).await } else { self.seals.load(lookup).await }
    }

    /// A log, and the caller; `None` if there is no such log or the token is invalid.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn log(&self, lookup: LogLookup) -> Result<Option<(Caller, LogRow)>> {
        self.logs.load(lookup).await
    }

    /// The rows of a log's history, or of one page of it. Pages of long histories do not delay short ones.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored event that cannot be decoded.
    pub async fn history_rows(&self, query: HistoryQuery) -> Result<HistoryRows> {
        let query = if query.is_page() { query } else { query.with(&self.names) };
        if let Some(rows) = query.from_cache() {
            return Ok(rows);
        }
        if query.is_page() { self.long_histories.load(query).await } else { self.histories.load(query).await }
    }

    /// The part of a short history that `reader` may see. `access` is the result of [`LogRow::access`] for
    /// this reader.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored event that cannot be decoded.
    pub async fn history(&self, row: &LogRow, access: Access, reader: Reader) -> Result<LogHistory> {
        history::of(row, access, reader, self.history_rows(history::query(row, access, reader)?).await?)
    }

    /// Checks the texts of a request, in order; a text that is not a code gets a verdict too. Also returns
    /// the organisation of the `token`, if there is one; `None` if the token is not valid. One query for all
    /// texts; none if there is neither a code nor a token.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored row that cannot be decoded.
    pub async fn check(
        &self,
        texts: &[impl AsRef<str>],
        token: Option<TokenHash>,
        ring: &KeyRing,
        now: DateTime<Utc>,
    ) -> Result<Option<(Vec<Verification>, Option<OrganizationId>)>> {
        let check = Check::of(texts);
        let found = match token {
            _ if !check.is_empty() => self.seals(check.lookup(token)).await?,
            Some(token) => {
                let caller = self.caller_by_hash(token).await?;
                caller.map(|caller| FoundCodes { rows: Vec::new(), caller: Some(caller.organization) })
            }
            None => Some(FoundCodes::default()),
        };
        let Some(FoundCodes { rows, caller }) = found else { return Ok(None) };
        Ok(Some((check.verdicts(rows, ring, now)?, caller)))
    }

    /// A memory permit for a history of `events` events, to be held until the response is sent; `None` for a
    /// short history, which needs none. A long history is sent page by page, so its permit is for one page.
    /// One organisation has at most a quarter of all permits.
    ///
    /// # Errors
    /// Overloaded, if other long histories hold the permits.
    pub async fn memory_permits(
        &self,
        events: u32,
        organization: OrganizationId,
    ) -> Result<Option<MemoryPermit>> {
        if events <= MAX_SHORT_HISTORY {
            return Ok(None);
        }
        let events = events.min(PAGE);
        let permits = async {
            // The permits of the organisation's quarter are acquired first, so that a request that must wait
            // for them does not wait in the queue of all organisations.
            let own = self.shares.of(organization).acquire_many_owned(events).await?;
            let all = Arc::clone(&self.permits).acquire_many_owned(events).await?;
            Ok::<_, AcquireError>(MemoryPermit::new(own, all))
        };
        match timeout(PERMIT_TIMEOUT, permits).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            _ => Err(Error::Overloaded),
        }
    }
}

fn permits(events: u32) -> usize {
    usize::try_from(events).unwrap_or(Semaphore::MAX_PERMITS)
}

/// Options for the connections of a batch loader. Every statement looks rows up by primary key, so it is
/// planned once, whatever its parameters, and never as a table scan: not even for a table that is small
/// or not yet analysed.
#[must_use]
pub fn with_generic_plans(database: PgConnectOptions) -> PgConnectOptions {
    database.options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("jit", "off"),
    ])
}

/// Options for a connection of the read loaders. Their only write is the time of
/// a key's last use, so commits do not wait for the disk.
#[must_use]
pub fn for_loaders(database: PgConnectOptions) -> PgConnectOptions {
    with_generic_plans(database)
        .application_name("ormantrace-reader")
        .options([("synchronous_commit", "off")])
}
