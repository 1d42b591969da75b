//! The reader of a log, with the data on which its access depends.

use super::key::Caller;
use super::role::Role;
use crate::base::ids::OrganizationId;

/// The reader of a log. Its access depends only on these fields and on the log's row.
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
