//! The kinds of ids in this crate. Each kind is a type of its own, so that ids of different kinds cannot be
//! mixed up. New ids are UUIDs of version 7: they sort by time of creation, and a phone can create them
//! offline.

use crate::base::error::Invalid;
use crate::base::input::ParseText;
use serde::{Deserialize, Serialize};
use uuid::{Uuid, Variant};

macro_rules! ids {
    (@parse $text:ident) => { Uuid::parse_text($text) };
    (@parse $text:ident $parse:ident) => { $parse($text) };
    ($($(#[$doc:meta])* $name:ident $(read by $parse:ident)?),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id.
            #[must_use]
            #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Reads an id that a client sent.
            ///
            /// # Errors
            /// It is not spelled as a UUID.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                ids!(@parse text $($parse)?).map(Self)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        $crate::base::input::parse_text!($name);
    )+};
}

/// Reads an id that a client chose. Only versions 4 and 7 are accepted (`wrong-uuid-version`), so that the ids of two
/// clients do not collide.
fn chosen_by_client(text: &str) -> Result<Uuid, Invalid> {
    let id = Uuid::parse_text(text)?;
    if id.get_variant() == Variant::RFC4122 && matches!(id.get_version_num(), 4 | 7) {
        Ok(id)
    } else {
        Err(Invalid::new("wrong-uuid-version", "Expected a UUID of version 4 or 7."))
    }
}

ids! {
    /// An organisation.
    OrganizationId,
    /// An API key of an organisation.
    KeyId,
    /// A felling ticket.
    TicketId,
    /// One species line of a felling ticket.
    LineId,
    /// The seals that one request registered, whether the client sent their numbers or the server generated
    /// them.
    SealBatchId,
    /// One harvest: the timber recorded in one write request.
    HarvestId,
    /// A log or a stack.
    LogId,
    /// Identifies one write request, unique per organisation for ever; chosen by the client or by the server.
    OperationId read by chosen_by_client,
    /// A finding.
    FindingId,
    /// A buyer's report.
    ReportId,
    /// A session of the desk.
    SessionId,
    /// A ban on felling or export.
    BanId,
    /// An annual allowable cut.
    CutId,
}

impl FindingId {
    /// A new id from which nothing can be concluded, neither the time at which it was made.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}
