//! Hot reads, through batch loaders ([`merge`]): the caller of a token, seals, a log, and its history.
//!
//! The loaders have their own connections, so that a flood of reads takes none from the writes. Every
//! response is decided for its caller alone, from rows that were read after the query arrived. Only
//! organisation names are cached, and only used while the row's erasure epoch is unchanged.

use crate::base::error::{Error, Result};
use crate::base::token::Token;
use crate::db::batching::{self, Bounds, Merged};
use crate::services::verification::answer::Verification;
use crate::services::verification::lookup::{Check, CodeRow, SealLookup};
use crate::timber::custody::history::{self, LogHistory};
use crate::timber::custody::history_query::{HistoryQuery, HistoryRows, NameCache};
use crate::timber::custody::log::read::{Access, LogLookup, LogRow};
use crate::timber::party::key::{Caller, TokenHash};
use crate::timber::party::reader::Reader;
use crate::timber::seal::signing::KeyRing;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Timeout of one merged statement, which normally takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a query that runs alone, page by page.
const LONG_PATIENCE: Duration = Duration::from_secs(20);
/// How long a long history waits for its memory permits.
const ROOM_WAIT: Duration = Duration::from_secs(2);
/// Maximum number of events of a short history. A longer one has its own loader and memory permits.
const SHORT: u32 = 100;
/// Maximum number of events of long histories in memory at once. An event takes about 2 kB.
const ROOM: u32 = 8_000;

const CALLERS: Bounds =
    Bounds { name: "callers", connections: 1, queue: 1_024, askers: 64, cost: 64, patience: PATIENCE };
const SEALS: Bounds = Bounds { name: "seals", connections: 1, ..CALLERS };
/// Checks of many seals: at most 1,000 codes each, one check after the other.
const MANY_SEALS: Bounds =
    Bounds { name: "many_seals", queue: 64, askers: 1, patience: LONG_PATIENCE, ..CALLERS };
const LOGS: Bounds = Bounds { name: "logs", ..CALLERS };
/// Cost in events, of about 1 kB each.
const TELLINGS: Bounds = Bounds { name: "histories", cost: 2_000, ..CALLERS };
const LONG_TELLINGS: Bounds =
    Bounds { name: "long_histories", queue: 64, askers: 1, patience: LONG_PATIENCE, ..CALLERS };

/// The batch loaders. Clones share them.
#[derive(Clone)]
pub struct Reads {
    callers: Merged<TokenHash>,
    seals: Merged<SealLookup>,
    many_seals: Merged<SealLookup>,
    logs: Merged<LogLookup>,
    tellings: Merged<HistoryQuery>,
    long_tellings: Merged<HistoryQuery>,
    room: Arc<Semaphore>,
    names: Arc<NameCache>,
}

impl Reads {
    /// Loaders for the database of `pool`, in the same role, on connections of their own.
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
        let database = Arc::new(of_readers(database));
        Self {
            callers: Merged::new(&database, CALLERS),
            seals: Merged::new(&database, SEALS),
            many_seals: Merged::new(&database, MANY_SEALS),
            logs: Merged::new(&database, LOGS),
            tellings: Merged::new(&database, TELLINGS),
            long_tellings: Merged::new(&database, LONG_TELLINGS),
            names: Arc::default(),
            room: Arc::new(Semaphore::new(usize::try_from(ROOM).unwrap_or(Semaphore::MAX_PERMITS))),
        }
    }

    /// The caller that a token belongs to, if the token is valid at `now`.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn caller(&self, token: &Token, now: DateTime<Utc>) -> Result<Option<Caller>> {
        self.presented(TokenHash::new(token, now)).await
    }

    /// The caller that a token belongs to, if the token is valid at the time of the request.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn presented(&self, token: TokenHash) -> Result<Option<Caller>> {
        self.callers.ask(token).await
    }

    /// The data of seals, in their order; `None` if the request's token is invalid.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn seals(&self, sought: SealLookup) -> Result<Option<Vec<CodeRow>>> {
        let many = batching::Question::cost(&sought) > SEALS.cost;
        if many { self.many_seals.ask(sought).await } else { self.seals.ask(sought).await }
    }

    /// A log, and the caller; `None` if there is no such log or the token is invalid.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait.
    pub async fn log(&self, look: LogLookup) -> Result<Option<(Caller, LogRow)>> {
        self.logs.ask(look).await
    }

    /// The history of a log. A long history waits for memory permits, and does not delay short ones.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored event that cannot be decoded.
    pub async fn tell(&self, telling: HistoryQuery) -> Result<HistoryRows> {
        let telling = telling.with(&self.names);
        if let Some(told) = telling.from_cache() {
            return Ok(told);
        }
        match self.room(telling.events()).await? {
            None => self.tellings.ask(telling).await,
            permit => Ok(HistoryRows { permit, ..self.long_tellings.ask(telling).await? }),
        }
    }

    /// The part of a log's history that `reader` may see: `access` is its access.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored event that cannot be decoded.
    pub async fn history(&self, row: &LogRow, access: Access, reader: Reader) -> Result<LogHistory> {
        history::of(row, access, reader, self.tell(history::query(row, access, reader)?).await?)
    }

    /// Checks the texts of a request, in order; a text that is not a code gets a verdict too. `None` if the
    /// request has a `token` that is not valid. One query for all texts; none if there is neither a code nor
    /// a token.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored row that cannot be decoded.
    pub async fn check(
        &self,
        texts: &[impl AsRef<str>],
        token: Option<TokenHash>,
        ring: &KeyRing,
    ) -> Result<Option<Vec<Verification>>> {
        let check = Check::of(texts);
        let found = match token {
            _ if !check.is_empty() => self.seals(check.sought(token)).await?,
            Some(token) => self.presented(token).await?.map(|_| Vec::new()),
            None => Some(Vec::new()),
        };
        found.map(|found| check.verdicts(found, ring)).transpose()
    }

    /// Memory permits for a history of so many events, to be held as long as it is in memory; `None` for a
    /// short history, which needs none.
    ///
    /// # Errors
    /// Overloaded, if other long histories hold the permits.
    pub async fn room(&self, events: u32) -> Result<Option<OwnedSemaphorePermit>> {
        if events <= SHORT {
            return Ok(None);
        }
        let room = Arc::clone(&self.room).acquire_many_owned(events.min(ROOM));
        match timeout(ROOM_WAIT, room).await {
            Ok(Ok(room)) => Ok(Some(room)),
            _ => Err(Error::Overloaded),
        }
    }
}

/// Options for the connections of a batch loader. Every statement looks rows up by primary key, so it is
/// planned once, whatever its parameters, and never as a table scan: not even for a table that is small
/// or not yet analysed.
#[must_use]
pub fn planned_once(database: PgConnectOptions) -> PgConnectOptions {
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
pub fn of_readers(database: PgConnectOptions) -> PgConnectOptions {
    planned_once(database).application_name("ormantrace-reader").options([("synchronous_commit", "off")])
}
