//! The places of concurrent requests in each class of traffic, and the shares of organisations in them.
//!
//! A request with a body takes its place only when the complete body has arrived, so that a body which
//! arrives slowly occupies no place. The order is: token, bytes of the organisation, body, place,
//! transaction. One organisation has at most half of a class: its further requests wait until its own
//! requests end. All bodies of one organisation that are being received share a limited number of bytes.
//!
//! A request without a body takes its place before its organisation is known, because hot reads resolve the
//! token in the same query as the data. All tokens that no earlier request has resolved share a quarter of
//! the class, and each of these tokens has at most half of this quarter. If each token had a share of its own
//! instead, an organisation with many fresh keys could take all places.

use crate::base::ids::OrganizationId;
use crate::base::shares::Shares;
use crate::http::core::layers::{ConcurrencyLimits, TrafficClass};
use crate::http::core::metrics;
use crate::http::core::problem::Problem;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Maximum number of tokens for which the organisation is stored.
const MAX_TOKENS: usize = 1 << 16;
/// Bytes of one permit of a byte budget.
const BYTES_PER_PERMIT: u64 = 1_024;

/// The owner of a share of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Organization(OrganizationId),
    /// A token that no earlier request has resolved to an organisation, by its hash.
    UnknownToken(u64),
}

/// The places of all classes.
#[derive(Debug)]
pub(super) struct Places {
    public: Class,
    read: Class,
    write: Class,
    bytes: Shares<OrganizationId>,
    wait: Duration,
    hasher: RandomState,
    organizations: Mutex<HashMap<u64, OrganizationId>>,
}

#[derive(Debug)]
struct Class {
    all: Arc<Semaphore>,
    /// Half of the places for each organisation.
    organizations: Shares<OrganizationId>,
    /// A quarter of the places, for all tokens without a known organisation. An organisation with many fresh
    /// keys then has at most this quarter and its own half, so a quarter is left for other organisations.
    unknown: Arc<Semaphore>,
    /// An eighth of the places for each token without a known organisation.
    tokens: Shares<u64>,
}

impl Class {
    fn new(places: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(places)),
            organizations: Shares::new(places / 2),
            unknown: Arc::new(Semaphore::new((places / 4).max(1))),
            tokens: Shares::new(places / 8),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock is harmless: an entry is inserted completely or not at all.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    pub(super) fn new(limits: &ConcurrencyLimits) -> Self {
        let permits = usize::try_from(limits.body_bytes / BYTES_PER_PERMIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            public: Class::new(limits.public),
            read: Class::new(limits.read),
            write: Class::new(limits.write),
            bytes: Shares::new(permits),
            wait: limits.wait,
            hasher: RandomState::new(),
            organizations: Mutex::default(),
        }
    }

    fn class(&self, class: TrafficClass) -> Option<&Class> {
        match class {
            TrafficClass::Public => Some(&self.public),
            TrafficClass::Read => Some(&self.read),
            TrafficClass::Write => Some(&self.write),
            TrafficClass::Probe => None,
        }
    }
}

/// The place of one request. It is stored in the request's extensions.
#[derive(Debug)]
pub struct RequestPlace {
    places: Arc<Places>,
    class: TrafficClass,
    token: Option<u64>,
    held: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl RequestPlace {
    /// `credential`: the token's header, or the secret of a session of the desk.
    pub(super) fn new(places: Arc<Places>, class: TrafficClass, credential: Option<&[u8]>) -> Self {
        let token = credential.map(|credential| places.hasher.hash_one(credential));
        Self { places, class, token, held: Mutex::default() }
    }

    /// Stores which organisation the request's token belongs to, for later requests with this token.
    pub(in crate::http) fn belongs_to(&self, organization: OrganizationId) {
        let Some(token) = self.token else { return };
        let mut organizations = lock(&self.places.organizations);
        if organizations.len() >= MAX_TOKENS && !organizations.contains_key(&token) {
            organizations.clear();
        }
        organizations.insert(token, organization);
    }

    /// Takes a part of the bytes that all bodies of the organisation share. Called before the body is read.
    ///
    /// # Errors
    /// Overloaded, if other bodies of the organisation do not end in time.
    pub(in crate::http) async fn reserve_body(
        &self,
        organization: Option<OrganizationId>,
        bytes: u64,
    ) -> Result<(), Problem> {
        let Some(organization) = organization else { return Ok(()) };
        let permits = usize::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).unwrap_or(usize::MAX);
        let permits = permits.min(self.places.bytes.permits());
        if permits == 0 {
            return Ok(());
        }
        let share = self.places.bytes.of(organization);
        self.acquire(share, permits, Instant::now() + self.places.wait).await
    }

    /// Takes the place of this request. Waits for it, but not longer than the limit. `organization` is the
    /// caller's organisation, if it is known.
    ///
    /// # Errors
    /// Overloaded, if no place becomes free in time.
    pub(in crate::http) async fn take(&self, organization: Option<OrganizationId>) -> Result<(), Problem> {
        let Some(class) = self.places.class(self.class) else { return Ok(()) };
        let deadline = Instant::now() + self.places.wait;
        // The permit of the owner's share is taken first. An owner that has used up its share then waits for
        // a permit of this share, and not in the queue of the class, where it would delay other owners.
        match self.owner(organization) {
            Some(Owner::Organization(organization)) => {
                self.acquire(class.organizations.of(organization), 1, deadline).await?;
            }
            Some(Owner::UnknownToken(token)) => {
                self.acquire(class.tokens.of(token), 1, deadline).await?;
                self.acquire(Arc::clone(&class.unknown), 1, deadline).await?;
            }
            None => {}
        }
        self.acquire(Arc::clone(&class.all), 1, deadline).await
    }

    /// The organisation that the request's token belongs to, if it is known.
    pub(super) fn organization(&self) -> Option<OrganizationId> {
        lock(&self.places.organizations).get(&self.token?).copied()
    }

    /// Takes the place out of the request, for a response that holds it until it is sent.
    pub(super) fn keep(&self) -> Vec<OwnedSemaphorePermit> {
        std::mem::take(&mut *lock(&self.held))
    }

    fn owner(&self, organization: Option<OrganizationId>) -> Option<Owner> {
        organization
            .or_else(|| self.organization())
            .map(Owner::Organization)
            .or(self.token.map(Owner::UnknownToken))
    }

    async fn acquire(&self, permits: Arc<Semaphore>, count: usize, deadline: Instant) -> Result<(), Problem> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        match timeout_at(deadline, permits.acquire_many_owned(count)).await {
            Ok(Ok(permit)) => {
                lock(&self.held).push(permit);
                Ok(())
            }
            _ => {
                metrics::shed(self.class.label());
                Err(Problem::overloaded())
            }
        }
    }

    /// Releases the request's place, and what the request takes of the shares of its organisation or token: of
    /// places and of the bytes of bodies. Called when the response is made.
    pub(super) fn release(&self) {
        lock(&self.held).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Arc<Places> {
        let wait = Duration::from_millis(20);
        let limits = ConcurrencyLimits {
            write: 4,
            read: 4,
            body_bytes: 10 * 1_024,
            wait,
            ..ConcurrencyLimits::default()
        };
        Arc::new(Places::new(&limits))
    }

    fn request(places: &Arc<Places>, class: TrafficClass, token: &'static str) -> RequestPlace {
        RequestPlace::new(Arc::clone(places), class, Some(token.as_bytes()))
    }

    #[tokio::test]
    async fn one_organisation_has_at_most_half_of_a_class() {
        let places = places();
        let (greedy, other) = (Some(OrganizationId::new()), Some(OrganizationId::new()));
        let all: Vec<_> = (0..4).map(|_| request(&places, TrafficClass::Write, "Bearer birch")).collect();
        all[0].take(greedy).await.unwrap();
        all[1].take(greedy).await.unwrap();
        assert_eq!(all[2].take(greedy).await.unwrap_err().kind(), Problem::overloaded().kind());
        all[2].take(other).await.unwrap();
        all[3].take(other).await.unwrap();
        // A request above the share waits for the organisation's own requests, and for no others.
        all[3].release();
        let waiting = request(&places, TrafficClass::Write, "Bearer birch");
        assert!(waiting.take(greedy).await.is_err());
        all[0].release();
        waiting.take(greedy).await.unwrap();
    }

    #[tokio::test]
    async fn the_keys_of_an_organisation_share_once_they_are_known() {
        let places = places();
        let organization = OrganizationId::new();
        let of = |token| request(&places, TrafficClass::Read, token);
        of("Bearer birch").belongs_to(organization);
        of("Bearer pine").belongs_to(organization);
        let (first, second, third, fourth) =
            (of("Bearer birch"), of("Bearer pine"), of("Bearer birch"), of("Bearer larch"));
        first.take(None).await.unwrap();
        second.take(None).await.unwrap();
        assert!(third.take(None).await.is_err());
        fourth.take(None).await.unwrap();
    }

    #[tokio::test]
    async fn a_fresh_key_leaves_places_for_another() {
        let limits =
            ConcurrencyLimits { read: 16, wait: Duration::from_millis(20), ..ConcurrencyLimits::default() };
        let places = Arc::new(Places::new(&limits));
        let of = |token| request(&places, TrafficClass::Read, token);
        let greedy = [of("Bearer larch"), of("Bearer larch"), of("Bearer larch")];
        greedy[0].take(None).await.unwrap();
        greedy[1].take(None).await.unwrap();
        assert!(greedy[2].take(None).await.is_err());
        of("Bearer birch").take(None).await.unwrap();
    }

    #[tokio::test]
    async fn fresh_keys_have_a_quarter_of_a_class_together() {
        let limits =
            ConcurrencyLimits { read: 8, wait: Duration::from_millis(20), ..ConcurrencyLimits::default() };
        let places = Arc::new(Places::new(&limits));
        let of = |token| request(&places, TrafficClass::Read, token);
        of("Bearer larch").belongs_to(OrganizationId::new());
        let fresh = [of("Bearer birch"), of("Bearer pine"), of("Bearer aspen")];
        fresh[0].take(None).await.unwrap();
        fresh[1].take(None).await.unwrap();
        assert!(fresh[2].take(None).await.is_err());
        of("Bearer larch").take(None).await.unwrap();
    }

    #[tokio::test]
    async fn the_bodies_of_one_organisation_have_a_number_of_bytes_together() {
        let places = places();
        let (greedy, other) = (Some(OrganizationId::new()), Some(OrganizationId::new()));
        let of = || request(&places, TrafficClass::Write, "Bearer birch");
        let (first, second, third) = (of(), of(), of());
        first.reserve_body(greedy, 8 * 1_024).await.unwrap();
        assert!(second.reserve_body(greedy, 3 * 1_024).await.is_err());
        third.reserve_body(other, 100 * 1_024).await.unwrap();
        drop(first);
        second.reserve_body(greedy, 3 * 1_024).await.unwrap();
    }
}
