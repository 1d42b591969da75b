//! The open connections of a listener: how many there are, in total and of each address, and which of them
//! has been idle for the longest time.
//!
//! A connection is idle while it has no request and no part of a response waits for the peer. If a new
//! connection exceeds a limit, one idle connection is closed for it:
//!
//! - If the limit of the new connection's address is exceeded, the connection of this address that has been
//!   idle for the longest time is closed.
//! - If the limit of the listener is exceeded, the connections that have been idle for the longest time are
//!   compared, and the one is closed that belongs to the address with the most connections, if it has at least as
//!   many as the new connection's address. Many connections from one address therefore do not close the only
//!   connection of another client before its request arrives, not even if all of them have requests.
//! - If no connection is idle when the limit of the listener is exceeded, the peers that do not read their
//!   responses are compared: of the addresses that have more connections than the new connection's address,
//!   the one with the most of them loses the connection that has been waiting to write for the longest time.
//!
//! The last eighth of the listener's limit is for addresses with few connections: for any other address, the limit
//! is exceeded before. Requests in progress from a few addresses therefore leave room for a client of another one.
//!
//! Silent connections and unread responses cost other clients nothing, however many of them some
//! addresses have. A connection with a request that is being handled is never closed for a new one. Connections
//! without an address (of trusted proxies, where each carries the requests of many clients) have no limit per
//! address and are not closed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many of the connections that have been idle for the longest time are compared by their addresses.
const CANDIDATES: usize = 64;

/// An address with fewer connections than this has the whole limit of the listener.
const FEW: usize = 8;

/// The open connections. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    limit: usize,
    per_address: usize,
    /// The number that was used last. The same counter gives the ids of connections and the times in
    /// `idle_since`. It only increases, so the smaller of two times is the earlier one.
    next: u64,
    all: HashMap<u64, Connection>,
    counts: HashMap<IpAddr, usize>,
    /// Idle connections with an address, by the time at which they became idle.
    idle: BTreeMap<u64, u64>,
    /// Connections with an address and a response that waits for the peer, by the time at which it first waited. A
    /// peer that reads a little from time to time stays here until the response is sent.
    unread: BTreeMap<u64, u64>,
}

#[derive(Debug)]
struct Connection {
    address: Option<IpAddr>,
    has_request: bool,
    waits_to_write: bool,
    idle_since: Option<u64>,
    unread_since: Option<u64>,
    /// Dropped to close the connection.
    _close: oneshot::Sender<()>,
}

/// Represents one open connection in [`Connections`]. Dropping the seat removes the connection from the
/// counts.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Connections,
    id: u64,
    response_started: Mutex<Option<Instant>>,
}

impl Connections {
    pub(super) fn new(limit: usize, per_address: usize) -> Self {
        Self(Arc::new(Mutex::new(Open {
            limit,
            per_address,
            next: 0,
            all: HashMap::new(),
            counts: HashMap::new(),
            idle: BTreeMap::new(),
            unread: BTreeMap::new(),
        })))
    }

    /// Counts a new connection. Returns its seat, and a receiver that ends when this connection has to be
    /// closed for a newer one; `None` if a limit is reached and no idle connection can be closed.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Option<(Seat, oneshot::Receiver<()>)> {
        let mut open = self.lock();
        let of_address = open.of_address(address);
        if address.is_some() && of_address >= open.per_address {
            open.close_longest_idle_of(address)?;
        }
        let reserved = if of_address < FEW { 0 } else { open.limit / 8 };
        if open.all.len() >= open.limit - reserved {
            open.close_one_of_the_longest_idle(of_address).or_else(|| open.close_one_unread(of_address))?;
        }
        let (close, closed) = oneshot::channel();
        let id = open.next();
        let connection = Connection {
            address,
            has_request: false,
            waits_to_write: false,
            idle_since: None,
            unread_since: None,
            _close: close,
        };
        open.all.insert(id, connection);
        if let Some(address) = address {
            *open.counts.entry(address).or_default() += 1;
        }
        open.sort(id);
        let seat = Seat { connections: self.clone(), id, response_started: Mutex::new(None) };
        Some((seat, closed))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // A poisoned lock is harmless: no statement between two related changes can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn remove(&mut self, id: u64) {
        let Some(connection) = self.all.remove(&id) else { return };
        if let Some(since) = connection.idle_since {
            self.idle.remove(&since);
        }
        if let Some(since) = connection.unread_since {
            self.unread.remove(&since);
        }
        if let Some(address) = connection.address
            && let Some(count) = self.counts.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
            }
        }
    }

    /// Number of connections of the address of the connection `id`.
    fn of_same_address(&self, id: u64) -> usize {
        self.all.get(&id).map_or(0, |connection| self.of_address(connection.address))
    }

    /// Number of connections of an address; 0 for a connection without one.
    fn of_address(&self, address: Option<IpAddr>) -> usize {
        address.and_then(|address| self.counts.get(&address).copied()).unwrap_or(0)
    }

    fn close_longest_idle_of(&mut self, address: Option<IpAddr>) -> Option<()> {
        let is_one = |id: &u64| self.all.get(id).is_some_and(|connection| connection.address == address);
        let id = self.idle.values().copied().find(is_one)?;
        self.remove(id);
        Some(())
    }

    /// Closes an idle connection of the address with the most connections among the longest idle. It must have at
    /// least as many as the address of the new connection, which has `of_address`.
    fn close_one_of_the_longest_idle(&mut self, of_address: usize) -> Option<()> {
        // Of several connections with the same count, the first is taken: it has been idle for the longest
        // time.
        let candidates = self.idle.values().map(|id| (*id, self.of_same_address(*id))).take(CANDIDATES);
        let enough = candidates.filter(|(_, count)| *count >= of_address);
        let (id, _) = enough.min_by_key(|(_, count)| Reverse(*count))?;
        self.remove(id);
        Some(())
    }

    /// Closes a connection with an unread response, of the address with the most connections. That address
    /// must have more connections than that of the new connection, which has `of_address`.
    fn close_one_unread(&mut self, of_address: usize) -> Option<()> {
        let candidates = self.unread.values().map(|id| (*id, self.of_same_address(*id)));
        let more = candidates.filter(|(_, count)| *count > of_address + 1);
        let (id, _) = more.min_by_key(|(_, count)| Reverse(*count))?;
        self.remove(id);
        Some(())
    }

    /// Adds the connection to `idle` if it is idle now and to `unread` if its response waits for the peer;
    /// otherwise removes it from there.
    fn sort(&mut self, id: u64) {
        let now = self.next();
        let Some(connection) = self.all.get_mut(&id) else { return };
        let is_idle = connection.address.is_some() && !connection.has_request && !connection.waits_to_write;
        match connection.idle_since {
            None if is_idle => {
                connection.idle_since = Some(now);
                self.idle.insert(now, id);
            }
            Some(since) if !is_idle => {
                connection.idle_since = None;
                self.idle.remove(&since);
            }
            _ => {}
        }
        let is_unread = connection.address.is_some() && connection.waits_to_write;
        match connection.unread_since {
            None if is_unread => {
                connection.unread_since = Some(now);
                self.unread.insert(now, id);
            }
            Some(since) if is_idle => {
                connection.unread_since = None;
                self.unread.remove(&since);
            }
            _ => {}
        }
    }
}

impl Seat {
    /// Notes that a request begins. Returns false if the connection is being closed for a new one: then the
    /// request must not be handled, because its response could not be sent.
    pub(super) fn begin(&self) -> bool {
        self.change(|connection| connection.has_request = true)
    }

    /// The response begins.
    pub(super) fn respond(&self) {
        *self.response_started.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// When the last response began.
    pub(super) fn response_started(&self) -> Option<Instant> {
        *self.response_started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the response is complete, or that its sending has failed.
    pub(super) fn end(&self) {
        self.change(|connection| connection.has_request = false);
    }

    /// Whether bytes wait until the peer reads.
    pub(super) fn waits_to_write(&self, waits: bool) {
        self.change(|connection| connection.waits_to_write = waits);
    }

    fn change(&self, change: impl FnOnce(&mut Connection)) -> bool {
        let mut open = self.connections.lock();
        let Some(connection) = open.all.get_mut(&self.id) else { return false };
        change(connection);
        open.sort(self.id);
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the address of a peer, which a trusted proxy does not have"
    )]
    fn ip(n: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, n]))
    }

    #[test]
    fn the_longest_idle_of_the_address_is_closed_and_no_other_address_is_affected() {
        let connections = Connections::new(10, 2);
        let (other, mut other_closed) = connections.admit(ip(2)).unwrap();
        let (first, mut first_closed) = connections.admit(ip(1)).unwrap();
        let (_second, mut second_closed) = connections.admit(ip(1)).unwrap();
        // The first one has a request and becomes idle after the second one.
        assert!(first.begin());
        first.end();
        let (_third, _) = connections.admit(ip(1)).unwrap();
        assert!(second_closed.try_recv() == Err(oneshot::error::TryRecvError::Closed));
        assert!(first_closed.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(other_closed.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(other.begin());
    }

    #[test]
    fn a_flood_closes_its_own_connections_and_not_the_only_one_of_a_client() {
        let connections = Connections::new(4, 4);
        let (client, mut client_closed) = connections.admit(ip(1)).unwrap();
        let flood: Vec<_> = (0..20).map(|_| connections.admit(ip(2)).unwrap()).collect();
        assert!(client_closed.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(client.begin());
        assert!(!flood[0].0.begin() && flood[19].0.begin());
    }

    #[test]
    fn a_request_is_never_closed_and_a_closed_connection_begins_none() {
        let connections = Connections::new(2, 2);
        let (first, _first) = connections.admit(ip(1)).unwrap();
        let (second, _second) = connections.admit(ip(2)).unwrap();
        assert!(first.begin());
        let (third, _third) = connections.admit(ip(4)).unwrap();
        assert!(!second.begin(), "it was closed for the third one");
        assert!(third.begin());
        assert!(connections.admit(ip(3)).is_none(), "all have requests");
        drop(second);
        assert!(connections.admit(ip(3)).is_none(), "and a closed one gives no second place");
        third.end();
        third.waits_to_write(true);
        assert!(connections.admit(ip(3)).is_none(), "the end of a response is still being sent");
        third.waits_to_write(false);
        assert!(connections.admit(ip(3)).is_some());
    }

    #[test]
    fn requests_of_one_address_leave_an_eighth_for_others() {
        let connections = Connections::new(80, 80);
        let requests = |n: u8| {
            let begun = || connections.admit(ip(n)).inspect(|(seat, _)| assert!(seat.begin()));
            std::iter::from_fn(begun).collect::<Vec<_>>()
        };
        let flood = requests(1);
        assert_eq!(flood.len(), 70);
        let client = requests(2);
        assert_eq!(client.len(), FEW);
        assert_eq!(requests(3).len(), 2, "the limit is reached");
    }

    #[test]
    fn requests_of_one_address_close_no_connection_of_a_client_that_sends_its_request_later() {
        let connections = Connections::new(80, 80);
        let begun = || connections.admit(ip(1)).inspect(|(seat, _)| assert!(seat.begin()));
        let flood: Vec<_> = std::iter::from_fn(begun).collect();
        let (client, mut closed) = connections.admit(ip(2)).unwrap();
        assert!(connections.admit(ip(1)).is_none(), "a further one of the flood has no place");
        assert!(closed.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(client.begin());
        flood[0].0.end();
        assert!(connections.admit(ip(1)).is_some(), "it takes the place of one of its own");
    }

    #[test]
    fn unread_responses_are_closed_for_a_client_of_another_address() {
        let connections = Connections::new(5, 5);
        let unread = |n: u8| {
            let (seat, closed) = connections.admit(ip(n)).unwrap();
            assert!(seat.begin());
            seat.waits_to_write(true);
            (seat, closed)
        };
        let (one_of_few, _first) = unread(2);
        let flood: Vec<_> = (0..4).map(|_| unread(1)).collect();
        // This peer reads a little; its connection is still the one that has waited for the longest time.
        flood[0].0.waits_to_write(false);
        flood[0].0.waits_to_write(true);
        let (client, _client) = connections.admit(ip(3)).unwrap();
        assert!(!flood[0].0.begin() && flood[1].0.begin() && one_of_few.begin());
        assert!(client.begin());
        assert!(connections.admit(ip(1)).is_none(), "the flood closes nothing for itself");
        for (seat, _) in &flood[1..] {
            seat.waits_to_write(false);
            seat.end();
        }
        assert!(connections.lock().unread.len() == 1, "a sent response is not unread");
    }

    #[test]
    fn a_trusted_proxy_has_no_bound_and_is_not_closed() {
        let connections = Connections::new(4, 1);
        let proxies: Vec<_> = (0..4).map(|_| connections.admit(None).unwrap()).collect();
        assert!(connections.admit(None).is_none());
        assert!(connections.admit(ip(1)).is_none());
        drop(proxies);
        assert!(connections.admit(ip(1)).is_some());
        let open = connections.lock();
        assert!(open.all.is_empty() && open.counts.is_empty() && open.idle.is_empty());
    }
}
