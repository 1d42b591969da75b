//! Long histories, page by page: the memory in use, and how long a database connection is held, depend on the
//! size of a page and not on the length of the chain.
//!
//! A history ends with the head that was read first: events that are recorded while its pages are read are
//! not in it. The personal parts and the names of a page are read with that page, so a part that was erased
//! meanwhile appears as erased. No connection is held between two pages, whatever time the client takes to
//! read one.

use crate::base::error::Result;
use crate::evidence::chain::history::ChainPosition;
use crate::services::reads::Reads;
use crate::timber::custody::history::{self, LogEvent, VisiblePart};
use crate::timber::custody::history_query::{HistoryQuery, HistoryRows};
use crate::timber::custody::log::read::{Access, LogRow, LogView};
use crate::timber::party::reader::Reader;
use futures_util::stream::{self, Stream};

/// The history of a log that is too long for one response in memory.
pub struct LongHistory {
    reads: Reads,
    row: LogRow,
    reader: Reader,
    part: Option<VisiblePart>,
    up_to: u32,
    next: ChainPosition,
}

impl LongHistory {
    /// The history of the log of `row`, as far as `reader` may see it with `access`. If `access` is partial,
    /// the events are read here already, because the log's state for this reader is computed from them.
    ///
    /// # Errors
    /// The database is unavailable, or too many queries wait; a stored event that cannot be decoded.
    pub async fn read(reads: &Reads, row: LogRow, access: Access, reader: Reader) -> Result<Self> {
        let mut history = Self::of_events(reads, row, access, reader).await?;
        if history.part.as_ref().is_some_and(VisiblePart::is_known_unread) {
            history.read_part().await?;
        }
        Ok(history)
    }

    /// As [`LongHistory::read`], but for the events alone: the state after them may not have been computed,
    /// so do not call [`LongHistory::log`] on the result.
    ///
    /// # Errors
    /// As [`LongHistory::read`].
    pub async fn of_events(reads: &Reads, row: LogRow, access: Access, reader: Reader) -> Result<Self> {
        let (part, up_to) = (VisiblePart::new(access), history::up_to(&row, access)?);
        let mut history =
            Self { reads: reads.clone(), row, reader, part, up_to, next: ChainPosition::default() };
        if history.part.as_ref().is_some_and(|part| !part.is_known_unread()) {
            history.read_part().await?;
        }
        Ok(history)
    }

    async fn read_part(&mut self) -> Result<()> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        loop {
            self.next = ChainPosition::default();
            while let Some(rows) = self.next_rows().await? {
                for event in &rows.events {
                    part.add(event)?;
                }
            }
            if !part.needs_second_pass() {
                break;
            }
        }
        self.next = ChainPosition::default();
        self.up_to = part.last();
        self.part = Some(part);
        Ok(())
    }

    /// The rows of the next page; `None` after the last one.
    async fn next_rows(&mut self) -> Result<Option<HistoryRows>> {
        if self.next.events() >= self.up_to {
            return Ok(None);
        }
        let query = history::page(&self.row, self.next, self.up_to, self.reader);
        let rows = self.reads.history_rows(query).await?;
        if let Some(last) = rows.events.last() {
            self.next = ChainPosition::after(last);
        }
        Ok(Some(rows))
    }

    /// The log in its present state; for a reader with partial access, in the state after the events that the
    /// reader may see.
    ///
    /// # Errors
    /// As [`LongHistory::read`].
    pub async fn log(&self) -> Result<LogView> {
        let names = HistoryQuery::names(&self.row, self.reader);
        match &self.part {
            None => self.row.view(&self.reads.history_rows(names).await?.names),
            Some(part) => {
                let names = self.reads.history_rows(names.and(part.parties())).await?.names;
                part.view(&self.row, &names)
            }
        }
    }

    /// The seq of the last event that the reader may see: the history has this many events.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.up_to
    }

    /// The log's row.
    #[must_use]
    pub fn row(&self) -> &LogRow {
        &self.row
    }

    /// Its events, page by page.
    pub fn into_pages(self) -> impl Stream<Item = Result<Vec<LogEvent>>> + Send + 'static {
        stream::try_unfold(self, |mut history| async move {
            let Some(rows) = history.next_rows().await? else { return Ok(None) };
            let events = history::disclosed(&history.row, history.part.as_ref(), history.reader, rows)?;
            Ok(Some((events, history)))
        })
    }
}
