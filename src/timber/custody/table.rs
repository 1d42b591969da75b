//! The custody table: which event may follow which state, and who may record it. The server enforces this one
//! table, `docs/DOMAIN.md` prints it, and the tests check every row of it.

use super::state::LogState;
use crate::base::ids::OrganizationId;
use crate::timber::event::types::LogEventType;
use crate::timber::event::vocabulary::{Status, TransferOf};
use chrono::{DateTime, Utc};

/// The statuses from which an event may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Only as the first event.
    Nothing,
    /// From one of these.
    These(&'static [Status]),
    /// From any open status.
    Open,
    /// From any status, closed ones too.
    Any,
    /// From any status, but only if the log has a hold of its own.
    Detained,
    /// From any status except `annulled`: an entry that never was cannot be corrected into one that was.
    NotAnnulled,
}

/// The effect of an event on the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// It becomes this.
    Becomes(Status),
    /// It stays.
    Unchanged,
    /// By the content of the event.
    ByContent,
    /// It becomes what it was before the log was loaded.
    BeforeLoading,
}

/// What an event requires of the pending transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Any,
    /// That none is pending.
    None,
    /// That one is pending.
    Some,
}

/// The role in which an organisation may record an event of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The holder of the felling ticket (checked at the harvest).
    TicketHolder,
    /// The holder of the log. A lost log keeps its holder, so the organisation that held it last may record
    /// `found`.
    Holder,
    /// The owner of the log.
    Owner,
    /// The holder, if it is also the owner.
    HolderWhoIsOwner,
    /// Only for a transfer: the holder, if possession is offered; the owner, if ownership is offered; an
    /// organisation that is holder and owner, if both are offered.
    Giver,
    /// The carrier that was named when the log was loaded, until the log is received.
    NamedCarrier,
    /// The receiver of a pending transfer.
    PendingReceiver,
    /// The sender of a pending transfer.
    PendingSender,
    /// An inspector.
    Inspector,
    /// The operator.
    Operator,
    /// The recorder of the corrected event, within 72 hours; or an inspector.
    RecorderOrInspector,
}

/// Whether an event may happen while the log is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhileHeld {
    /// No.
    Refused,
    /// Yes.
    Allowed,
    /// If an inspector records it.
    ByInspector,
    /// If the holder records it.
    ByHolder,
}

/// One row of the custody table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The event.
    pub event: LogEventType,
    /// The statuses it may follow.
    pub from: From,
    /// The status after it.
    pub to: To,
    /// What it requires of the pending transfer.
    pub pending: Pending,
    /// Who may record it.
    pub who: &'static [Who],
    /// Whether the event may happen while the log's seal is void.
    pub with_void_seal: bool,
    /// Whether the event may happen while the log is held.
    pub while_held: WhileHeld,
    /// Whether the event changes status, holder, owner, carrier or pending transfer, and can therefore be
    /// reversed by a correction.
    pub reversible: bool,
}

use LogEventType as E;
use Status as S;

const fn rule(event: E, from: From, to: To, who: &'static [Who]) -> Rule {
    Rule {
        event,
        from,
        to,
        pending: Pending::Any,
        who,
        with_void_seal: false,
        while_held: WhileHeld::Refused,
        reversible: true,
    }
}

const AT_REST: From = From::These(&[S::AtFelling, S::Stored, S::Received]);
const CARRIED: &[Who] = &[Who::Holder, Who::NamedCarrier];

/// The custody table, in the order of a log's life, which is also the order in the documents.
pub const TABLE: &[Rule] = &[
    Rule {
        reversible: false,
        ..rule(E::Harvested, From::Nothing, To::Becomes(S::AtFelling), &[Who::TicketHolder])
    },
    rule(
        E::Stored,
        From::These(&[S::AtFelling, S::Received, S::Stored]),
        To::Becomes(S::Stored),
        &[Who::Holder],
    ),
    rule(E::Loaded, AT_REST, To::Becomes(S::Loaded), &[Who::Holder]),
    rule(E::Unloaded, From::These(&[S::Loaded]), To::BeforeLoading, &[Who::Holder]),
    rule(E::Departed, From::These(&[S::Loaded]), To::Becomes(S::InTransit), CARRIED),
    Rule {
        while_held: WhileHeld::Allowed,
        ..rule(E::Arrived, From::These(&[S::InTransit]), To::Becomes(S::Arrived), CARRIED)
    },
    Rule {
        while_held: WhileHeld::Allowed,
        ..rule(
            E::Received,
            From::These(&[S::Arrived]),
            To::Becomes(S::Received),
            &[Who::Holder, Who::PendingReceiver],
        )
    },
    Rule { pending: Pending::None, ..rule(E::Transferred, From::Open, To::Unchanged, &[Who::Giver]) },
    Rule { pending: Pending::Some, ..rule(E::Accepted, From::Open, To::Unchanged, &[Who::PendingReceiver]) },
    Rule {
        pending: Pending::Some,
        while_held: WhileHeld::Allowed,
        ..rule(E::Rejected, From::Open, To::Unchanged, &[Who::PendingReceiver])
    },
    Rule {
        pending: Pending::Some,
        while_held: WhileHeld::Allowed,
        ..rule(E::Withdrawn, From::Open, To::Unchanged, &[Who::PendingSender])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::Allowed,
        reversible: false,
        ..rule(E::Inspected, From::Any, To::Unchanged, &[Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::Allowed,
        reversible: false,
        ..rule(E::Detained, From::Any, To::Unchanged, &[Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::Allowed,
        reversible: false,
        ..rule(E::Released, From::Detained, To::Unchanged, &[Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::Allowed,
        reversible: false,
        ..rule(E::Seized, From::Open, To::Becomes(S::Stored), &[Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::Allowed,
        reversible: false,
        ..rule(E::Confiscated, From::Open, To::Unchanged, &[Who::Inspector])
    },
    Rule {
        pending: Pending::None,
        ..rule(E::Processed, AT_REST, To::Becomes(S::Processed), &[Who::HolderWhoIsOwner])
    },
    Rule {
        pending: Pending::None,
        ..rule(E::Exported, AT_REST, To::Becomes(S::Exported), &[Who::HolderWhoIsOwner])
    },
    Rule { pending: Pending::None, ..rule(E::Sold, AT_REST, To::Becomes(S::Sold), &[Who::HolderWhoIsOwner]) },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::ByHolder,
        ..rule(E::Lost, From::Open, To::Becomes(S::Lost), CARRIED)
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::ByHolder,
        ..rule(E::Destroyed, From::Open, To::Becomes(S::Destroyed), CARRIED)
    },
    Rule {
        while_held: WhileHeld::ByInspector,
        ..rule(E::Found, From::These(&[S::Lost]), To::Becomes(S::Stored), &[Who::Holder, Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        reversible: false,
        ..rule(E::SealReplaced, From::Open, To::Unchanged, &[Who::Holder])
    },
    Rule {
        while_held: WhileHeld::ByInspector,
        reversible: false,
        ..rule(E::SealVoided, From::Open, To::Unchanged, &[Who::Holder, Who::Operator, Who::Inspector])
    },
    Rule {
        with_void_seal: true,
        while_held: WhileHeld::ByInspector,
        reversible: false,
        ..rule(E::Corrected, From::NotAnnulled, To::ByContent, &[Who::RecorderOrInspector])
    },
];

impl LogEventType {
    /// The row of the custody table for this event type.
    ///
    /// # Panics
    /// Never: a test checks that every event type has a row.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        TABLE.iter().find(|rule| rule.event == self).expect("every event type has a line in the table")
    }

    /// Whether `POST /v1/custody-events` accepts events of this type; `harvested` and `seal_voided` are
    /// recorded through endpoints of their own.
    #[must_use]
    pub fn is_posted(self) -> bool {
        !matches!(self, E::Harvested | E::SealVoided)
    }

    /// Whether the event brings timber into trade, which wood for own use does not enter.
    #[must_use]
    pub const fn trades(self) -> bool {
        matches!(self, E::Transferred | E::Sold | E::Exported)
    }

    /// Whether a suspended organisation may record events of this type: they end what is under way, and give it
    /// nothing that it could sell.
    #[must_use]
    pub const fn while_suspended(self) -> bool {
        matches!(self, E::Arrived | E::Received | E::Lost | E::Destroyed | E::Rejected | E::Withdrawn)
    }

    /// Whether an event of this type that arrives late may be appended without changing the present state.
    ///
    /// False for a correction and for a replacement of the seal, because they also change data of other
    /// objects: a correction moves volume between the ticket's lines, and a replacement takes a seal out of
    /// the stock. False for the decisions of an inspector too (detention, release, seizure, confiscation),
    /// because an inspector decides now.
    /// All these events are checked against the present state and take effect when they are received,
    /// whatever time they state.
    #[must_use]
    pub fn may_be_late(self) -> bool {
        !matches!(
            self,
            E::Corrected | E::SealReplaced | E::Detained | E::Released | E::Seized | E::Confiscated
        )
    }
}

/// The caller, with the roles on which the custody table depends.
#[derive(Clone, Copy, Debug)]
pub struct CallerRoles {
    /// The organisation.
    pub id: OrganizationId,
    /// Whether it is an inspector.
    pub inspector: bool,
    /// Whether it is the operator.
    pub operator: bool,
}

/// Why an event may not be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The log's state does not allow it.
    Transition,
    /// The state allows the event, but this organisation may not record it.
    NotYours,
    /// The log is held.
    Held,
    /// The log is for its holder's own use: it is not traded.
    OwnUse,
}

impl Rule {
    fn state_allows(&self, state: &LogState) -> bool {
        let status = match self.from {
            From::Nothing => false,
            From::These(these) => these.contains(&state.status),
            From::Open => state.status.is_open(),
            From::Any => true,
            From::Detained => state.hold.is_some(),
            From::NotAnnulled => state.status != Status::Annulled,
        };
        let pending = match self.pending {
            Pending::Any => true,
            Pending::None => state.pending.is_none(),
            Pending::Some => state.pending.is_some(),
        };
        status && pending && (self.with_void_seal || !state.seal_void)
    }

    fn caller_may(&self, state: &LogState, roles: CallerRoles) -> bool {
        self.who.iter().any(|who| match who {
            // A harvest is never checked here: it creates the log, and its endpoint checks the ticket.
            Who::TicketHolder => false,
            Who::Holder => state.is_held_by(roles.id),
            Who::Owner => state.owner == roles.id,
            Who::HolderWhoIsOwner => {
                state.keeper == Some(roles.id) || state.holder == roles.id && state.owner == roles.id
            }
            Who::Giver => state.holder == roles.id || state.owner == roles.id,
            Who::NamedCarrier => state.carrier == Some(roles.id),
            Who::PendingReceiver => state.pending.is_some_and(|p| p.to == roles.id),
            Who::PendingSender => state.pending.is_some_and(|p| p.from == roles.id),
            Who::Inspector => roles.inspector,
            Who::Operator => roles.operator,
            // Who may record a correction depends on the corrected event; `correct::decide` checks that.
            Who::RecorderOrInspector => true,
        })
    }
}

/// Whether the caller has a role in which `event` may be recorded on a log in `state`. Does not check whether
/// the state allows the event.
#[must_use]
pub fn has_part(event: LogEventType, state: &LogState, roles: CallerRoles) -> bool {
    event.rule().caller_may(state, roles)
}

/// Checks whether `roles` may record `event` on a log in `state`. A hold that ends by itself counts only if
/// it still stands at the time `at`.
pub fn check(
    event: LogEventType,
    state: &LogState,
    roles: CallerRoles,
    at: DateTime<Utc>,
) -> Result<(), Refused> {
    let rule = event.rule();
    if state.keeper.is_some() && event.trades() {
        return Err(Refused::OwnUse);
    }
    if !rule.state_allows(state) {
        return Err(Refused::Transition);
    }
    if !rule.caller_may(state, roles) {
        return Err(Refused::NotYours);
    }
    let passes = match rule.while_held {
        WhileHeld::Refused => false,
        WhileHeld::Allowed => true,
        WhileHeld::ByInspector => roles.inspector,
        WhileHeld::ByHolder => state.is_held_by(roles.id),
    };
    if passes || state.held(at).is_none() { Ok(()) } else { Err(Refused::Held) }
}

/// Whether the caller may offer to transfer what `of` names: only the holder may hand over possession, and
/// only the owner may hand over ownership.
#[must_use]
pub fn gives(of: TransferOf, state: &LogState, roles: CallerRoles) -> bool {
    (!of.moves_possession() || state.holder == roles.id) && (!of.moves_ownership() || state.owner == roles.id)
}

/// The events that `roles` could record at the time `at` on a log in `state`, through `POST
/// /v1/custody-events`.
#[must_use]
pub fn allowed(state: &LogState, roles: CallerRoles, at: DateTime<Utc>) -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|rule| rule.event.is_posted() && check(rule.event, state, roles, at).is_ok())
        .map(|rule| rule.event.as_str())
        .collect()
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Open => f.write_str("any open"),
            Self::Any => f.write_str("any, closed too"),
            Self::Detained => f.write_str("any, if it is detained"),
            Self::NotAnnulled => f.write_str("any, closed too, except `annulled`"),
            Self::These(these) => {
                let words: Vec<_> = these.iter().map(|status| format!("`{status}`")).collect();
                f.write_str(&words.join(", "))
            }
        }
    }
}

impl std::fmt::Display for To {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Becomes(status) => write!(f, "`{status}`"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::ByContent => f.write_str("by its content"),
            Self::BeforeLoading => f.write_str("that before `loaded`"),
        }
    }
}

impl WhileHeld {
    /// Its name in the documents.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "no",
            Self::Allowed => "yes",
            Self::ByInspector => "by an inspector",
            Self::ByHolder => "by the holder",
        }
    }
}

impl Who {
    /// The name of this role in the documents and in error details.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TicketHolder => "ticket holder",
            Self::Holder => "holder",
            Self::Owner => "owner",
            Self::HolderWhoIsOwner => "holder who is owner",
            Self::Giver => "holder for possession, owner for ownership",
            Self::NamedCarrier => "named carrier",
            Self::PendingReceiver => "pending receiver",
            Self::PendingSender => "sender of the pending transfer",
            Self::Inspector => "inspector",
            Self::Operator => "operator",
            Self::RecorderOrInspector => "the recorder of the corrected event, within 72 h, or an inspector",
        }
    }
}

/// The custody table as a Markdown table, as `docs/DOMAIN.md` shows it.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "| event | from status | to status | pending transfer | with a void seal | while held | reversible | who |\n|---|---|---|---|---|---|---|---|\n",
    );
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    for rule in TABLE {
        let pending = match rule.pending {
            Pending::Any => "",
            Pending::None => "none",
            Pending::Some => "one",
        };
        let who: Vec<_> = rule.who.iter().map(|who| who.label()).collect();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} | {} |\n",
            rule.event,
            rule.from,
            rule.to,
            pending,
            yes(rule.with_void_seal),
            rule.while_held.label(),
            yes(rule.reversible),
            who.join(", ")
        ));
    }
    out
}
