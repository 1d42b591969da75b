//! What a chain is about, as the row says that is its head.

use super::bytes::{Hash, Salt, SubjectKind, subject_ref};
use crate::base::error::{Error, Result};
use uuid::Uuid;

/// A subject as it was when somebody looked. It is not held under lock: nothing is added behind it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What kind of thing it is.
    pub kind: SubjectKind,
    /// Its id.
    pub id: Uuid,
    /// Salt of its ref.
    pub salt: Salt,
    /// How many events its chain had.
    pub events: u32,
}

impl Subject {
    /// What the columns `salt` and `head_seq` of its row say.
    ///
    /// # Errors
    /// [`Error::BadRow`] if they cannot be that.
    pub fn stored(kind: SubjectKind, id: Uuid, salt: &[u8], head_seq: i32) -> Result<Self> {
        let bad = |column: &str| Error::BadRow(format!("{}.{column} of {id}", kind.name()));
        let salt = salt.try_into().map(Salt).map_err(|_| bad("salt"))?;
        let events = u32::try_from(head_seq).map_err(|_| bad("head_seq"))?;
        Ok(Self { kind, id, salt, events })
    }

    /// What names it in each entry of its chain.
    #[must_use]
    pub fn reference(&self) -> Hash {
        subject_ref(self.kind, self.id, &self.salt)
    }
}
