//! The memory of responses that are made and not yet sent.
//!
//! A client decides when it reads a response, and many unread pages of a list would fill the memory. A response
//! above [`FREE_BYTES`] takes a memory permit for its bytes, which is held until the last of them is sent or
//! dropped. All responses share the memory, and one owner (an organisation; without a token, a subscriber's
//! address) has at most a quarter of it.
//!
//! A read that gets no permit in time is refused, and its buffer is dropped. The response to a write cannot be
//! refused, because the write may have been executed: without a permit it keeps the request's place until it is
//! sent, so that the organisation's own writes wait for it.

use crate::base::ids::OrganizationId;
use crate::base::shares::{MemoryPermit, Shares};
use crate::http::core::address::subscriber;
use crate::http::core::layers::{ConcurrencyLimits, TrafficClass};
use crate::http::core::metrics;
use crate::http::core::problem::Problem;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use std::any::Any;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A response up to this length needs no permit: the number of connections limits these.
const FREE_BYTES: u64 = 16 * 1_024;
/// Bytes of one permit.
const BYTES_PER_PERMIT: u64 = 1_024;
/// The bytes that are counted for a response without a known length: such a response is sent in pieces.
const STREAM_BYTES: u64 = 128 * 1_024;

/// The owner of the share that a response takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Organization(OrganizationId),
    Address(IpAddr),
}

impl Owner {
    pub(super) fn of(organization: Option<OrganizationId>, address: IpAddr) -> Self {
        organization.map_or_else(|| Self::Address(subscriber(address)), Self::Organization)
    }
}

/// The memory for unsent responses.
#[derive(Debug)]
pub(super) struct ResponseMemory {
    all: Arc<Semaphore>,
    shares: Shares<Owner>,
    wait: Duration,
}

impl ResponseMemory {
    pub(super) fn new(limits: &ConcurrencyLimits) -> Self {
        let permits = usize::try_from(limits.response_bytes / BYTES_PER_PERMIT).unwrap_or(usize::MAX);
        let permits = permits.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(permits)), shares: Shares::new(permits / 4), wait: limits.wait }
    }

    /// Returns the response with its permit, or with `place` if it is the response to a write and there is no
    /// permit for it.
    ///
    /// # Errors
    /// Overloaded, if `response` is that to a read and gets no permit in time.
    pub(super) async fn hold(
        &self,
        response: Response,
        class: TrafficClass,
        owner: Owner,
        place: impl FnOnce() -> Vec<OwnedSemaphorePermit>,
    ) -> Result<Response, Problem> {
        let bytes = response.body().size_hint().exact().unwrap_or(STREAM_BYTES);
        if bytes <= FREE_BYTES {
            return Ok(response);
        }
        // A response that is larger than a share takes all of it.
        let permits = usize::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).unwrap_or(usize::MAX);
        let permits = u32::try_from(permits.min(self.shares.permits())).unwrap_or(u32::MAX);
        let share = self.shares.of(owner);
        let held: Held = if class == TrafficClass::Write {
            let own = share.try_acquire_many_owned(permits);
            let all = Arc::clone(&self.all).try_acquire_many_owned(permits);
            match (own, all) {
                (Ok(own), Ok(all)) => Arc::new(MemoryPermit::new(own, all)),
                _ => Arc::new(place()),
            }
        } else {
            let acquired = timeout(self.wait, async {
                // The owner's share first: an owner that has used it up does not wait in the queue of all.
                let own = share.acquire_many_owned(permits).await.ok()?;
                let all = Arc::clone(&self.all).acquire_many_owned(permits).await.ok()?;
                Some(MemoryPermit::new(own, all))
            });
            let Ok(Some(permit)) = acquired.await else {
                metrics::shed(class.label());
                return Err(Problem::overloaded());
            };
            Arc::new(permit)
        };
        Ok(response.map(|body| Body::new(HeldBody { body, held })))
    }
}

/// What a response holds until it is sent.
type Held = Arc<dyn Any + Send + Sync>;

/// A body with its permit, which each of its pieces holds, too.
struct HeldBody {
    body: Body,
    held: Held,
}

/// A piece of a body, in memory until the client has read it.
struct HeldPiece {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        let held = |bytes| Bytes::from_owner(HeldPiece { bytes, _held: Arc::clone(&self.held) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
