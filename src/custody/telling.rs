//! What it takes to tell a history, for many readers at once: chains, the names of the organisations
//! in them, and the personal parts that the reader may see.

use super::content::Parties;
use crate::chain::history::{self, Chain, Persons, StoredEvent};
use crate::error::Result;
use crate::ids::OrganizationId;
use crate::log::store::{KnownNames, LogRow, Names, Reader};
use crate::party::role::OrganizationKind;
use crate::read::merge::Question;
use sqlx::PgConnection;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

/// Events of a chain that are read at once; a longer one is read page by page.
const PAGE: u32 = 500;

/// What one reader needs of one log.
#[derive(Debug)]
pub struct Telling {
    subject: Uuid,
    /// Events, from the first; 0 if only names are needed.
    up_to: u32,
    parties: Vec<OrganizationId>,
    reader: Reader,
    /// Whether all personal parts are the reader's to see, or only those that he recorded.
    persons: bool,
}

/// The material of one answer.
pub struct Told {
    /// The events, with those personal parts that the reader may see.
    pub events: Vec<StoredEvent>,
    /// Whom each names.
    pub parties: Vec<Parties>,
    /// The names of everybody in them, as far as the reader may be told.
    pub names: Names,
    /// Held as long as a long history lies in memory.
    pub room: Option<OwnedSemaphorePermit>,
}

impl Telling {
    /// The names in the log's own row, and no event.
    #[must_use]
    pub fn names(row: &LogRow, reader: Reader) -> Self {
        Self { subject: row.id.0, up_to: 0, parties: row.parties().collect(), reader, persons: false }
    }

    /// Its chain up to and with event `up_to`. `persons`: whether every personal part in it is the
    /// reader's to see; else only those that he recorded himself.
    #[must_use]
    pub fn chain(row: &LogRow, up_to: u32, reader: Reader, persons: bool) -> Self {
        Self { up_to, persons, ..Self::names(row, reader) }
    }

    /// How many events.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.up_to
    }

    async fn long(&self, db: &mut PgConnection) -> sqlx::Result<Result<Chain>> {
        let mut chain = history::page(db, self.subject, 0, PAGE).await?.chain(None);
        while let Ok(events) = &mut chain {
            let last = events.events.last().map_or(self.up_to, |last| last.seq);
            let up_to = self.up_to.min(last.saturating_add(PAGE));
            if last >= self.up_to {
                break;
            }
            let rows = history::page(db, self.subject, last, up_to).await?;
            if rows.is_empty() {
                break;
            }
            if let Err(bad) = events.grow(rows, None) {
                return Ok(Err(bad));
            }
        }
        Ok(chain)
    }

    fn may_see(&self, parties: Parties) -> bool {
        self.persons || parties.organization == self.reader.organization
    }
}

type Parts = (Chain, Vec<Parties>);

impl Question for Telling {
    type Answer = Told;

    fn cost(&self) -> usize {
        usize::try_from(self.up_to).unwrap_or(usize::MAX)
    }

    /// Two round trips: the chains, and what they name; one for names alone.
    async fn ask(db: &mut PgConnection, asked: &[&Self]) -> sqlx::Result<Vec<Result<Told>>> {
        let mut parts: Vec<Result<Parts>> = Vec::with_capacity(asked.len());
        for chain in chains(db, asked).await? {
            parts.push(chain.and_then(|chain| {
                let named = chain.events.iter().map(|event| Parties::parse(&event.business));
                let named = named.collect::<Result<Vec<_>>>()?;
                Ok((chain, named))
            }));
        }
        let (mut named, mut persons) = (HashSet::new(), HashSet::new());
        for (telling, parts) in asked.iter().zip(&parts) {
            named.extend(telling.parties.iter().map(|id| id.0));
            if let Ok((chain, parties)) = parts {
                named.extend(parties.iter().flat_map(|parties| parties.ids()).map(|id| id.0));
                let personal = chain.personal.iter().zip(parties);
                persons.extend(personal.filter_map(|(id, of)| id.filter(|_| telling.may_see(*of))));
            }
        }
        let (names, persons) = match read(db, named, persons).await? {
            Ok((names, persons)) => (Arc::new(names), persons),
            // Which of the askers it hurts, a second look at each alone will tell.
            Err(bad) => return Err(sqlx::Error::Decode(Box::new(bad))),
        };
        let told = asked.iter().zip(parts).map(|(telling, parts)| {
            let (mut chain, parties) = parts?;
            chain.open(&persons, |place| parties.get(place).is_some_and(|of| telling.may_see(*of)));
            let names = Names::new(Arc::clone(&names), telling.reader);
            Ok(Told { events: chain.events, parties, names, room: None })
        });
        Ok(told.collect())
    }
}

/// The events that each asked for. A log that several ask for is read once.
async fn chains(db: &mut PgConnection, asked: &[&Telling]) -> sqlx::Result<Vec<Result<Chain>>> {
    if let [long] = asked
        && long.up_to > PAGE
    {
        return Ok(vec![long.long(db).await?]);
    }
    let mut times: HashMap<Uuid, usize> = HashMap::with_capacity(asked.len());
    for telling in asked.iter().filter(|telling| telling.up_to > 0) {
        *times.entry(telling.subject).or_default() += 1;
    }
    if times.is_empty() {
        return Ok(asked.iter().map(|_| Ok(Chain::default())).collect());
    }
    let subjects: Vec<Uuid> = times.keys().copied().collect();
    let mut read = history::chains(db, &subjects).await?;
    let chains = asked.iter().map(|telling| {
        let Some(left) = times.get_mut(&telling.subject).filter(|_| telling.up_to > 0) else {
            return Ok(Chain::default());
        };
        *left -= 1;
        let rows = match *left {
            0 => read.remove(&telling.subject),
            _ => read.get(&telling.subject).cloned(),
        };
        rows.unwrap_or_default().chain(Some(telling.up_to))
    });
    Ok(chains.collect())
}

async fn read(
    db: &mut PgConnection,
    named: HashSet<Uuid>,
    wanted: HashSet<Uuid>,
) -> sqlx::Result<Result<(KnownNames, Persons)>> {
    let [named, wanted] = [named, wanted].map(|ids| ids.into_iter().collect::<Vec<_>>());
    let rows = sqlx::query_file!("src/custody/names.sql", &named, &wanted).fetch_all(db).await?;
    let (mut names, mut persons) = (KnownNames::new(), Persons::default());
    for row in rows {
        match (row.kind, row.text, row.secret) {
            (Some(kind), ..) => {
                names.insert(row.id, (row.name, kind));
            }
            (None, Some(text), Some(secret)) => {
                if let Err(bad) = persons.add(row.id, text, &secret) {
                    return Ok(Err(bad));
                }
            }
            _ => {}
        }
    }
    Ok(Ok((names, persons)))
}
