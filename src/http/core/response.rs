//! JSON responses. Their buffer is allocated for the expected length, because a growing buffer would be
//! copied again and again. A response with a long list of events is written page by page.
//!
//! A list that is cut off never looks complete: the closing bracket is written with the last event, and an
//! error before that closes the connection without the end of the body.

use crate::base::shares::MemoryPermit;
use crate::evidence::chain::history::PAGE;
use crate::http::core::metrics;
use crate::http::core::problem::Problem;
use crate::services::reads::MAX_SHORT_HISTORY;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Serialize;
use std::pin::Pin;
use std::sync::Arc;
use tracing::Span;

/// The empty list in the JSON of a response; the events are inserted between its brackets.
const EMPTY_LIST: &str = "\"events\":[]";

/// The pages of a response, in order.
pub(in crate::http) type Pages<T> = Pin<Box<dyn Stream<Item = Result<Vec<T>, Problem>> + Send>>;

/// `value` as JSON, in a buffer allocated for `length` bytes. A longer text is not an error.
pub(in crate::http) fn json_with_capacity(
    value: &impl Serialize,
    length: usize,
) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(length);
    serde_json::to_writer(&mut text, value).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// A response with a list of `events` events.
pub(in crate::http) struct EventList<T> {
    /// Number of events in all pages.
    pub events: u32,
    /// Bytes of an event in JSON, roughly.
    pub event_bytes: usize,
    /// Where they come from.
    pub pages: Pages<T>,
    /// The memory permit, if the list is long.
    pub permit: Option<MemoryPermit>,
}

impl<T: Serialize + Send + 'static> EventList<T> {
    /// A list of events that are in memory already.
    pub(in crate::http) fn of(events: Vec<T>, event_bytes: usize) -> Self {
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        Self { events: count, event_bytes, pages: Box::pin(stream::iter([Ok(events)])), permit: None }
    }

    /// Serialises `frame`, in which the list `events` is empty, and inserts these events. A short response
    /// has a `Content-Length`; a long one is written page by page. The first page is read before the response
    /// begins, so that the client still gets a problem document if the database is down.
    pub(in crate::http) async fn respond(mut self, frame: &impl Serialize) -> Result<Response, Problem> {
        let frame = serde_json::to_string(frame).map_err(|error| Problem::internal(error.to_string()))?;
        let mut parts = frame.split(EMPTY_LIST);
        let (Some(head), Some(tail), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Problem::internal("a response without exactly one list of events"));
        };
        let head = format!("{head}\"events\":[");
        let (events, event_bytes) = (self.events, self.event_bytes);
        let mut text = Writer { tail: format!("]{tail}"), written: 0, events, event_bytes };
        let mut first = text.buffer(head.len());
        first.extend_from_slice(head.as_bytes());
        let body = if self.events <= MAX_SHORT_HISTORY {
            while !text.is_complete() {
                text.write(self.pages.next().await, &mut first)?;
            }
            text.end(&mut first);
            Body::from(first)
        } else {
            text.write(self.pages.next().await, &mut first)?;
            text.end(&mut first);
            let permit = self.permit.map(Arc::new);
            let first = PermittedText::bytes(first, permit.clone());
            let rest = stream::try_unfold(
                Rest { pages: self.pages, text, permit, span: Span::current() },
                Rest::next,
            );
            Body::from_stream(stream::iter([Ok(first)]).chain(rest))
        };
        Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
    }
}

/// Writes a list and what follows it.
struct Writer {
    tail: String,
    written: u32,
    events: u32,
    event_bytes: usize,
}

impl Writer {
    /// A buffer with capacity for `more` bytes, for the next page, and for the text after the list.
    fn buffer(&self, more: usize) -> Vec<u8> {
        let events = usize::try_from((self.events - self.written).min(PAGE)).unwrap_or_default();
        Vec::with_capacity(more + events * self.event_bytes + self.tail.len())
    }

    fn is_complete(&self) -> bool {
        self.written >= self.events
    }

    /// Writes the next page. It is an error if the pages end before the list is complete.
    fn write<T: Serialize>(
        &mut self,
        page: Option<Result<Vec<T>, Problem>>,
        to: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let page = page.ok_or_else(|| self.unlike("the pages end early"))??;
        for event in page {
            if self.written > 0 {
                to.push(b',');
            }
            serde_json::to_writer(&mut *to, &event).map_err(|error| Problem::internal(error.to_string()))?;
            self.written += 1;
        }
        if self.written > self.events { Err(self.unlike("too many events")) } else { Ok(()) }
    }

    /// Writes the text after the list, if the list is complete.
    fn end(&mut self, to: &mut Vec<u8>) {
        if self.is_complete() {
            to.extend_from_slice(self.tail.as_bytes());
        }
    }

    fn unlike(&self, what: &str) -> Problem {
        Problem::internal(format!("a list of {} events: {what}, at {}", self.events, self.written))
    }
}

/// The pages of a response that has begun.
struct Rest<T> {
    pages: Pages<T>,
    text: Writer,
    permit: Option<Arc<MemoryPermit>>,
    span: Span,
}

impl<T: Serialize + Send + 'static> Rest<T> {
    /// The next page; an error closes the connection.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Aborted> {
        if self.text.is_complete() {
            return Ok(None);
        }
        let mut page = self.text.buffer(0);
        if let Err(problem) = self.text.write(self.pages.next().await, &mut page) {
            return Err(Aborted::after(&problem, &self.span));
        }
        self.text.end(&mut page);
        Ok(Some((PermittedText::bytes(page, self.permit.clone()), self)))
    }
}

/// Why a body ends before its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a page of the response could not be read")]
pub(in crate::http) struct Aborted;

impl Aborted {
    /// Records that a response is cut off, and why.
    pub(in crate::http) fn after(problem: &Problem, span: &Span) -> Self {
        metrics::aborted();
        let cause = problem.cause().unwrap_or_default();
        tracing::error!(parent: span, cause, "response aborted");
        Self
    }
}

/// A piece of a response with its memory permit, which is held until the piece is sent or dropped: the piece
/// is in memory as long as the client has not read it.
struct PermittedText {
    text: Vec<u8>,
    _permit: Option<Arc<MemoryPermit>>,
}

impl PermittedText {
    fn bytes(text: Vec<u8>, permit: Option<Arc<MemoryPermit>>) -> Bytes {
        Bytes::from_owner(Self { text, _permit: permit })
    }
}

impl AsRef<[u8]> for PermittedText {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}
