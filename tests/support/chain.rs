//! Checks a chain from disclosed data alone, as a third party would.

use chrono::{DateTime, Utc};
use ormantrace::evidence::chain::bytes::{Entry, Hash, Part, Salt, commit, record};

/// One part of an event as a reader sees it: always with its commitment, and with salt and text if they are
/// disclosed to this reader.
#[derive(Clone, Debug)]
pub struct Revealed<'a> {
    /// The commitment; zero for a part that the event does not have.
    pub commitment: Hash,
    /// Salt and text, if they were disclosed.
    pub opening: Option<(Salt, &'a str)>,
}

/// One disclosed event.
#[derive(Clone, Debug)]
pub struct ChainEvent<'a> {
    /// The event's number in its chain, from 1.
    pub seq: u32,
    /// When the server received it.
    pub received_at: DateTime<Utc>,
    /// Hash that stands for the subject; equal in all entries of a chain.
    pub subject: Hash,
    /// Hash of the event before; zero for the first.
    pub prev: Hash,
    /// Hash of this event.
    pub hash: Hash,
    /// Public, business and personal part.
    pub parts: [Revealed<'a>; 3],
}

/// An error in a chain, and the event at which it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The events are not numbered 1, 2, … without gaps.
    #[error("event {found} stands where event {expected} belongs")]
    Gap {
        /// The `seq` that belongs there.
        expected: u32,
        /// The `seq` that is there.
        found: u32,
    },
    /// An event does not contain the hash of the event before it.
    #[error("event {0} does not follow from the one before it")]
    Unlinked(u32),
    /// An event's hash is not that of its entry.
    #[error("event {0} has been altered: its hash does not fit")]
    Altered(u32),
    /// A disclosed text does not match its commitment.
    #[error("event {seq}: the {part:?} part is not what was committed to")]
    WrongPart {
        /// The event.
        seq: u32,
        /// The part.
        part: Part,
    },
    /// An event was received earlier than the event before it.
    #[error("event {0} was received before the one in front of it")]
    TimeFell(u32),
    /// An event belongs to another subject.
    #[error("event {0} belongs to another subject")]
    OtherSubject(u32),
}

/// Checks a complete chain from its first event; returns all errors in order.
#[must_use]
pub fn chain_errors(events: &[ChainEvent<'_>]) -> Vec<ChainError> {
    let mut found = Vec::new();
    let mut prev = Hash::ZERO;
    for (event, expected) in events.iter().zip(1_u32..) {
        let seq = event.seq;
        if seq != expected {
            found.push(ChainError::Gap { expected, found: seq });
        }
        if event.prev != prev {
            found.push(ChainError::Unlinked(seq));
        }
        for (revealed, part) in event.parts.iter().zip([Part::Public, Part::Business, Part::Personal]) {
            if let Some((salt, text)) = &revealed.opening
                && commit(part, salt, text) != revealed.commitment
            {
                found.push(ChainError::WrongPart { seq, part });
            }
        }
        let record = record(event.parts[0].commitment, event.parts[1].commitment, event.parts[2].commitment);
        if Entry::new(event.subject, seq, event.received_at, event.prev, record).link() != event.hash {
            found.push(ChainError::Altered(seq));
        }
        if expected > 1 {
            let before = &events[expected as usize - 2];
            if event.received_at < before.received_at {
                found.push(ChainError::TimeFell(seq));
            }
            if event.subject != before.subject {
                found.push(ChainError::OtherSubject(seq));
            }
        }
        prev = event.hash;
    }
    found
}
