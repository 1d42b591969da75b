//! What may follow what, and who may say so: the one table that the server
//! obeys, `docs/DOMAIN.md` prints and the tests walk.

use super::state::LogState;
use crate::base::ids::OrganizationId;
use crate::timber::event::words::{EventType, Status, TransferOf};

/// From which states an event may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Before anything else.
    Nothing,
    /// From one of these.
    These(&'static [Status]),
    /// From any open status.
    Open,
    /// From any status, closed ones too.
    Any,
}

/// What an event makes of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// It becomes this.
    Becomes(Status),
    /// It stays.
    Unchanged,
    /// By the content of the event.
    ByContent,
}

/// What an event asks of the pending transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing.
    Whatever,
    /// That none is pending.
    None,
    /// That one is.
    Some,
}

/// In what part an organisation may record an event of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Who holds the felling ticket (checked at the harvest).
    TicketHolder,
    /// Who has the log.
    Holder,
    /// Whose it is.
    Owner,
    /// Who has it, if it is theirs too.
    HolderWhoIsOwner,
    /// Holder for possession, owner for ownership, both for both.
    Giver,
    /// The carrier named at loading, until received.
    NamedCarrier,
    /// The other side of a pending transfer.
    PendingReceiver,
    /// The side that offered.
    PendingSender,
    /// An inspector.
    Inspector,
    /// The operator.
    Operator,
    /// Who recorded the event that is corrected, within 72 hours; else an inspector.
    RecorderOrInspector,
}

/// One line of the custody table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The event.
    pub event: EventType,
    /// From which status.
    pub from: From,
    /// To which.
    pub to: To,
    /// What it asks of a pending transfer.
    pub pending: Pending,
    /// Who may record it.
    pub who: &'static [Who],
    /// Whether it may happen while the log's seal is void.
    pub with_void_seal: bool,
    /// Whether it changes status, holder, owner, carrier or pending transfer,
    /// and can therefore be reversed by a correction.
    pub reversible: bool,
}

use EventType as E;
use Status as S;

const fn rule(event: E, from: From, to: To, who: &'static [Who]) -> Rule {
    Rule { event, from, to, pending: Pending::Whatever, who, with_void_seal: false, reversible: true }
}

const AT_REST: From = From::These(&[S::AtFelling, S::Stored, S::Received]);
const CARRIED: &[Who] = &[Who::Holder, Who::NamedCarrier];

/// The custody table. Order is that of a log's life, and of the documents.
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
    rule(E::Departed, From::These(&[S::Loaded]), To::Becomes(S::InTransit), CARRIED),
    rule(E::Arrived, From::These(&[S::InTransit]), To::Becomes(S::Arrived), CARRIED),
    rule(
        E::Received,
        From::These(&[S::Arrived]),
        To::Becomes(S::Received),
        &[Who::Holder, Who::PendingReceiver],
    ),
    Rule { pending: Pending::None, ..rule(E::Transferred, From::Open, To::Unchanged, &[Who::Giver]) },
    Rule { pending: Pending::Some, ..rule(E::Accepted, From::Open, To::Unchanged, &[Who::PendingReceiver]) },
    Rule { pending: Pending::Some, ..rule(E::Rejected, From::Open, To::Unchanged, &[Who::PendingReceiver]) },
    Rule { pending: Pending::Some, ..rule(E::Withdrawn, From::Open, To::Unchanged, &[Who::PendingSender]) },
    Rule {
        with_void_seal: true,
        reversible: false,
        ..rule(E::Inspected, From::Any, To::Unchanged, &[Who::Inspector])
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
    Rule { with_void_seal: true, ..rule(E::Lost, From::Open, To::Becomes(S::Lost), CARRIED) },
    Rule { with_void_seal: true, ..rule(E::Destroyed, From::Open, To::Becomes(S::Destroyed), CARRIED) },
    rule(E::Found, From::These(&[S::Lost]), To::Becomes(S::Stored), &[Who::Holder, Who::Inspector]),
    Rule {
        with_void_seal: true,
        reversible: false,
        ..rule(E::SealReplaced, From::Open, To::Unchanged, &[Who::Holder])
    },
    Rule {
        reversible: false,
        ..rule(E::SealVoided, From::Open, To::Unchanged, &[Who::Holder, Who::Operator])
    },
    Rule {
        with_void_seal: true,
        reversible: false,
        ..rule(E::Corrected, From::Any, To::ByContent, &[Who::RecorderOrInspector])
    },
];

impl EventType {
    /// This event's line of the table.
    ///
    /// # Panics
    /// Never: a test walks all event types.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        TABLE.iter().find(|rule| rule.event == self).expect("every event type has a line in the table")
    }

    /// Whether `POST /v1/custody-events` takes it; the others have a door of their own.
    #[must_use]
    pub fn is_posted(self) -> bool {
        !matches!(self, E::Harvested | E::SealVoided)
    }

    /// Whether it may be kept for its own time alone, and change nothing present, if it arrives late.
    ///
    /// Not what acts on more than its log: a correction moves wood between a ticket's lines, a replacement
    /// takes a seal out of the stock. Kept without effect on the log, they would still have it there; so
    /// they are judged by the present state and take effect when received, whatever time they tell.
    #[must_use]
    pub fn may_be_late(self) -> bool {
        !matches!(self, E::Corrected | E::SealReplaced)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
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
    /// The state would, but not to this organisation.
    NotYours,
}

impl Rule {
    fn state_allows(&self, state: &LogState) -> bool {
        let status = match self.from {
            From::Nothing => false,
            From::These(these) => these.contains(&state.status),
            From::Open => state.status.is_open(),
            From::Any => true,
        };
        let pending = match self.pending {
            Pending::Whatever => true,
            Pending::None => state.pending.is_none(),
            Pending::Some => state.pending.is_some(),
        };
        status && pending && (self.with_void_seal || !state.seal_void)
    }

    fn asker_may(&self, state: &LogState, asker: Asker) -> bool {
        self.who.iter().any(|who| match who {
            // A harvest makes the log: its door checks the ticket.
            Who::TicketHolder => false,
            Who::Holder => state.holder == asker.id,
            Who::Owner => state.owner == asker.id,
            Who::HolderWhoIsOwner => state.holder == asker.id && state.owner == asker.id,
            Who::Giver => state.holder == asker.id || state.owner == asker.id,
            Who::NamedCarrier => state.carrier == Some(asker.id),
            Who::PendingReceiver => state.pending.is_some_and(|p| p.to == asker.id),
            Who::PendingSender => state.pending.is_some_and(|p| p.from == asker.id),
            Who::Inspector => asker.inspector,
            Who::Operator => asker.operator,
            // The event to correct decides; the correction's own check does it.
            Who::RecorderOrInspector => true,
        })
    }
}

/// Whether `asker` has the part in a log in `state` that `event` asks for, whatever it may follow on.
#[must_use]
pub fn has_part(event: EventType, state: &LogState, asker: Asker) -> bool {
    event.rule().asker_may(state, asker)
}

/// Whether `asker` may record `event` on a log in `state`.
pub fn check(event: EventType, state: &LogState, asker: Asker) -> Result<(), Refused> {
    let rule = event.rule();
    if !rule.state_allows(state) {
        return Err(Refused::Transition);
    }
    if !rule.asker_may(state, asker) {
        return Err(Refused::NotYours);
    }
    Ok(())
}

/// Whether `asker` has what a transfer `of` it would hand over: possession is the holder's to give, ownership
/// the owner's.
#[must_use]
pub fn gives(of: TransferOf, state: &LogState, asker: Asker) -> bool {
    (!of.moves_possession() || state.holder == asker.id) && (!of.moves_ownership() || state.owner == asker.id)
}

/// The events that `asker` could record on a log in `state` through `POST /v1/custody-events`.
#[must_use]
pub fn allowed(state: &LogState, asker: Asker) -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|rule| rule.event.is_posted() && check(rule.event, state, asker).is_ok())
        .map(|rule| rule.event.as_str())
        .collect()
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("none"),
            Self::Open => f.write_str("any open"),
            Self::Any => f.write_str("any, closed too"),
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
        }
    }
}

impl Who {
    /// How the documents name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TicketHolder => "ticket holder",
            Self::Holder => "holder (after a loss: the last one)",
            Self::Owner => "owner",
            Self::HolderWhoIsOwner => "holder who is owner",
            Self::Giver => "holder for possession, owner for ownership",
            Self::NamedCarrier => "named carrier",
            Self::PendingReceiver => "pending receiver",
            Self::PendingSender => "sender of the pending transfer",
            Self::Inspector => "inspector",
            Self::Operator => "operator",
            Self::RecorderOrInspector => "who recorded it, within 72 h; else an inspector",
        }
    }
}

/// The custody table as a Markdown table, as `docs/DOMAIN.md` shows it.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "| event | from status | to status | pending transfer | with a void seal | reversible | who |\n|---|---|---|---|---|---|---|\n",
    );
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    for rule in TABLE {
        let pending = match rule.pending {
            Pending::Whatever => "",
            Pending::None => "none",
            Pending::Some => "one",
        };
        let who: Vec<_> = rule.who.iter().map(|who| who.label()).collect();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} | {} |\n",
            rule.event,
            rule.from,
            rule.to,
            pending,
            yes(rule.with_void_seal),
            yes(rule.reversible),
            who.join(", ")
        ));
    }
    out
}
