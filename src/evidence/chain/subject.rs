//! The subject of a chain, read from the row that holds the chain's head.

use super::bytes::{Hash, Salt, SubjectKind, subject_ref};
use crate::base::error::{Error, Result};
use uuid::Uuid;

/// A subject read without a lock. For reading only: appending needs a [`LockedHead`](super::LockedHead).
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Uuid,
    /// Salt of its ref.
    pub salt: Salt,
    /// Number of events in the subject's chain when the row was read.
    pub events: u32,
}

impl Subject {
    /// Decodes the columns `salt` and `head_seq` of the subject's row.
    ///
    /// # Errors
    /// [`Error::CorruptRow`] if one of them cannot be decoded.
    pub fn stored(kind: SubjectKind, id: Uuid, salt: &[u8], head_seq: i32) -> Result<Self> {
        let corrupt = |column: &str| Error::CorruptRow(format!("{}.{column} of {id}", kind.name()));
        let salt = salt.try_into().map(Salt).map_err(|_| corrupt("salt"))?;
        let events = u32::try_from(head_seq).map_err(|_| corrupt("head_seq"))?;
        Ok(Self { kind, id, salt, events })
    }

    /// The subject's ref, the hash that names the subject in each entry of its chain.
    #[must_use]
    pub fn reference(&self) -> Hash {
        subject_ref(self.kind, self.id, &self.salt)
    }
}
