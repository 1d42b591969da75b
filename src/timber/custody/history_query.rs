//! Reads the rows for history responses, for many readers at once: chains with the personal parts that each
//! reader may see, and the names of the organisations in them.
//!
//! Names are cached. An organisation's name is written once and removed only by the erasure of a person; each
//! erasure changes the erasure epoch in its own transaction. The lookup of a log reads the epoch in the same
//! statement as the log's row, so a name cached under that epoch is the name in the database at that moment.

use crate::base::error::Result;
use crate::base::ids::OrganizationId;
use crate::db::batching::BatchQuery;
use crate::evidence::chain::history::{self, Chain, ChainPosition, StoredEvent};
use crate::timber::custody::content::Parties;
use crate::timber::custody::log::read::{KnownNames, LogRow, Names};
use crate::timber::party::reader::Reader;
use crate::timber::party::role::OrganizationKind;
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Maximum number of cached names; about 200 bytes each.
const MAX_NAMES: usize = 10_000;

/// Names of organisations, all read under one erasure epoch.
#[derive(Debug, Default)]
pub struct NameCache(Mutex<CachedNames>);

#[derive(Debug, Default)]
struct CachedNames {
    epoch: Option<Vec<u8>>,
    names: Arc<KnownNames>,
}

impl NameCache {
    /// The cached names, if they were read under erasure epoch `epoch`.
    fn at_epoch(&self, epoch: Option<&Vec<u8>>) -> Option<Arc<KnownNames>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (cached.epoch.as_ref() == epoch).then(|| Arc::clone(&cached.names))
    }

    /// Adds names read under erasure epoch `epoch`. Clears the cache first if its epoch differs or it would
    /// exceed [`MAX_NAMES`] names.
    fn add(&self, epoch: Option<Vec<u8>>, names: &KnownNames) {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.epoch != epoch || cached.names.len() + names.len() > MAX_NAMES {
            *cached = CachedNames { epoch, names: Arc::default() };
        }
        Arc::make_mut(&mut cached.names)
            .extend(names.iter().take(MAX_NAMES).map(|(id, name)| (*id, name.clone())));
    }
}

/// A query for the events and names that one reader needs of one log.
#[derive(Debug)]
pub struct HistoryQuery {
    subject: Uuid,
    /// Seq of the last event to read; 0 if only names are needed.
    up_to: u32,
    /// Where the page begins, if this is a query for one page of a long chain.
    page: Option<ChainPosition>,
    parties: Vec<OrganizationId>,
    reader: Reader,
    /// Whether the reader may see all personal parts; if not, it may see only those that it recorded.
    persons: bool,
    /// The erasure epoch when the log's row was read.
    epoch: Option<Vec<u8>>,
    cache: Arc<NameCache>,
}

/// The rows for one response.
pub struct HistoryRows {
    /// The events, with those personal parts that the reader may see.
    pub events: Vec<StoredEvent>,
    /// The organisations that each event names.
    pub parties: Vec<Parties>,
    /// The names of the organisations in `parties`, limited to the names that the reader may see.
    pub names: Names,
}

impl HistoryQuery {
    /// Query for the names of the organisations in the log's own row, without events.
    #[must_use]
    pub fn names(row: &LogRow, reader: Reader) -> Self {
        Self {
            subject: row.id.0,
            up_to: 0,
            page: None,
            parties: row.parties().collect(),
            reader,
            persons: false,
            epoch: row.erasures().cloned(),
            cache: Arc::default(),
        }
    }

    /// Query for the chain up to and including event `up_to`. `persons`: whether the reader may see every
    /// personal part in it; otherwise only those that it recorded.
    #[must_use]
    pub fn chain(row: &LogRow, up_to: u32, reader: Reader, persons: bool) -> Self {
        Self { up_to, persons, ..Self::names(row, reader) }
    }

    /// Query for the page of the chain that begins at `page`, up to and including event `up_to`. Names are
    /// read from the database, not from a cache: a long history is read for minutes, and a name may be erased
    /// meanwhile.
    #[must_use]
    pub fn page(row: &LogRow, page: ChainPosition, up_to: u32, reader: Reader, persons: bool) -> Self {
        Self { page: Some(page), ..Self::chain(row, up_to, reader, persons) }
    }

    /// This query, extended by the names of the organisations `parties`.
    #[must_use]
    pub fn and(mut self, parties: impl IntoIterator<Item = OrganizationId>) -> Self {
        self.parties.extend(parties);
        self
    }

    /// This query, with the name cache `cache`.
    #[must_use]
    pub fn with(self, cache: &Arc<NameCache>) -> Self {
        Self { cache: Arc::clone(cache), ..self }
    }

    /// Returns the rows without a database query if only names are needed and all of them are cached;
    /// otherwise returns `None`.
    #[must_use]
    pub fn from_cache(&self) -> Option<HistoryRows> {
        let known = self.cache.at_epoch(self.epoch.as_ref()).filter(|_| self.up_to == 0)?;
        let complete = self.parties.iter().all(|id| known.contains_key(&id.0));
        let names = || Names::new(known, self.reader);
        complete.then(|| HistoryRows { events: Vec::new(), parties: Vec::new(), names: names() })
    }

    /// Number of events in the query.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.up_to
    }

    /// Whether this is a query for one page of a long chain.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.page.is_some()
    }

    fn may_see(&self, parties: Parties) -> bool {
        self.persons || parties.organization == self.reader.organization
    }
}

type Parts = (Chain, Vec<Parties>);

impl BatchQuery for HistoryQuery {
    type Output = HistoryRows;

    fn cost(&self) -> usize {
        usize::try_from(self.up_to).unwrap_or(usize::MAX)
    }

    /// Takes one round trip for the chains, and one more if a name is not cached. A query for a page takes
    /// another round trip for the personal parts, and is never batched with other queries.
    async fn load(db: &mut PgConnection, queries: &[&Self]) -> sqlx::Result<Vec<Result<HistoryRows>>> {
        let mut parts: Vec<Result<Parts>> = Vec::with_capacity(queries.len());
        for chain in chains(db, queries).await? {
            parts.push(chain.and_then(|chain| {
                let named = chain.events.iter().map(|event| Parties::parse(&event.business));
                let named = named.collect::<Result<Vec<_>>>()?;
                Ok((chain, named))
            }));
        }
        let mut named: HashSet<Uuid> = HashSet::new();
        for (query, parts) in queries.iter().zip(&parts) {
            named.extend(query.parties.iter().map(|id| id.0));
            if let Ok((_, parties)) = parts {
                named.extend(parties.iter().flat_map(|parties| parties.ids()).map(|id| id.0));
            }
        }
        let names = names(db, queries, named).await?;
        let results = queries.iter().zip(parts).map(|(query, parts)| {
            let (mut chain, parties) = parts?;
            chain.open(|index| parties.get(index).is_some_and(|event| query.may_see(*event)));
            let names = Names::new(Arc::clone(&names), query.reader);
            Ok(HistoryRows { events: chain.events, parties, names })
        });
        Ok(results.collect())
    }
}

/// The names of the organisations `named`. Cached names are used only if all queries of the batch read their
/// logs under the cache's erasure epoch; all other names are read from the database.
async fn names(
    db: &mut PgConnection,
    queries: &[&HistoryQuery],
    mut named: HashSet<Uuid>,
) -> sqlx::Result<Arc<KnownNames>> {
    let Some(HistoryQuery { cache, epoch, .. }) = queries.first() else { return Ok(Arc::default()) };
    let known = cache.at_epoch(epoch.as_ref()).filter(|_| queries.iter().all(|query| query.epoch == *epoch));
    let known = known.unwrap_or_default();
    named.retain(|id| !known.contains_key(id));
    if named.is_empty() {
        return Ok(known);
    }
    let named: Vec<Uuid> = named.into_iter().collect();
    let rows = sqlx::query_file!("src/timber/custody/names.sql", &named).fetch_all(db).await?;
    let epoch = rows.first().and_then(|row| row.erasures.clone());
    let read: KnownNames =
        rows.into_iter().map(|row| (row.id, (row.name, row.kind.known_by(row.bin.as_deref())))).collect();
    cache.add(epoch, &read);
    let mut names = Arc::unwrap_or_clone(known);
    names.extend(read);
    Ok(Arc::new(names))
}

/// The chain for each query. A log that several queries need is read once.
async fn chains(db: &mut PgConnection, queries: &[&HistoryQuery]) -> sqlx::Result<Vec<Result<Chain>>> {
    if let [query] = queries
        && let Some(start) = query.page
    {
        return Ok(vec![history::read_page(db, query.subject, start, query.up_to).await?]);
    }
    let mut times: HashMap<Uuid, usize> = HashMap::with_capacity(queries.len());
    for query in queries.iter().filter(|query| query.up_to > 0) {
        *times.entry(query.subject).or_default() += 1;
    }
    if times.is_empty() {
        return Ok(queries.iter().map(|_| Ok(Chain::default())).collect());
    }
    let subjects: Vec<Uuid> = times.keys().copied().collect();
    let mut read = history::chains(db, &subjects).await?;
    let chains = queries.iter().map(|query| {
        let Some(remaining) = times.get_mut(&query.subject).filter(|_| query.up_to > 0) else {
            return Ok(Chain::default());
        };
        *remaining -= 1;
        let rows = match *remaining {
            0 => read.remove(&query.subject),
            _ => read.get(&query.subject).cloned(),
        };
        rows.unwrap_or_default().chain(Some(query.up_to))
    });
    Ok(chains.collect())
}
