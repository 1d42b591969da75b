//! The reader of a log, with the data on which its access depends.

use super::key::Caller;
use super::role::Role;
use crate::base::ids::OrganizationId;

/// The reader. Its access follows from this and the log's row alone.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The organisation.
    pub organization: OrganizationId,
    /// Whether it is an inspector, which may see everything.
    pub inspector: bool,
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        Self { organization: caller.organization, inspector: caller.is(Role::Inspector) }
    }
}
