//! Who reads, as far as rights to read depend on it.

use super::key::Caller;
use super::role::Role;
use crate::base::ids::OrganizationId;

/// Who reads: rights follow from this and the log's row alone.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The organisation.
    pub organization: OrganizationId,
    /// Whether it inspects, and so sees everything.
    pub inspector: bool,
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        Self { organization: caller.organization, inspector: caller.is(Role::Inspector) }
    }
}
