//! Changes to seals: transfer them, void them.

use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::ids::OperationId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::Text;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::operation::is_free;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::{SealHolder, SealVoider};
use crate::http::core::daily::with_bins;
use crate::http::core::problem::Problem;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::void_seal::{self, VoidCause, Voided};
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::transfer::{self, NewTransfer, SealSelection, Transferred};
use crate::timber::seal::{SealNumber, SealRange, VoidReason};
use axum::extract::{Path, State};
use axum::response::Response;
use std::collections::HashSet;
use std::sync::Arc;

/// Maximum seals of one range.
const MAX_IN_RANGE: u32 = 100_000;

input! {
    /// Seals and their new holder: the seals are either `numbers`, or `first` and `last`.
    pub struct SealTransfer {
        /// The seals, each once.
        pub numbers: Option<Vec<SealNumber>> [1..=10_000],
        /// First number of a range of up to 100,000.
        pub first: Option<SealNumber>,
        /// Last number of that range.
        pub last: Option<SealNumber>,
        /// The new holder: an enterprise or a forest owner.
        pub to_bin: Bin,
        /// The client's id for this write request.
        pub operation_id: Option<OperationId>,
    }
    => PartialTransfer::check as PartialTransfer;

    /// Why a seal becomes void.
    pub struct SealVoid {
        /// `spoiled`, `lost`, `stolen` or `destroyed`; of an inspector `seized` or `found_detached`.
        pub reason: VoidReason,
        /// A remark.
        pub note: Option<Text>,
        /// The client's id for this write request.
        pub operation_id: Option<OperationId>,
    }
    => SealVoid::check;
}

impl PartialTransfer {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        // A member with a parse error (`None`) counts as present. `Some(None)` is an absent member, or
        // `null`.
        let present = (
            !matches!(self.numbers, Some(None)),
            !matches!(self.first, Some(None)),
            !matches!(self.last, Some(None)),
        );
        if !matches!(present, (true, false, false) | (false, true, true)) {
            let detail = "Name the seals by `numbers`, or by `first` and `last`.";
            errors.refuse(node, Invalid::new("numbers-or-range", detail));
            (self.numbers, self.first, self.last) = (None, None, None);
        }
        if let Some(Some(numbers)) = &mut self.numbers {
            let mut seen = HashSet::with_capacity(numbers.len());
            let items = node.get("numbers").and_then(|list| list.items().ok());
            for (number, item) in numbers.iter_mut().zip(items.into_iter().flatten()) {
                if number.as_ref().is_some_and(|number| !seen.insert(number.clone())) {
                    let detail = "This number comes earlier in the same batch.";
                    errors.refuse(item, Invalid::new("duplicate-in-batch", detail));
                    *number = None;
                }
            }
        }
        if let (Some(Some(first)), Some(Some(last))) = (&self.first, &self.last) {
            let invalid = match SealRange::new(first.clone(), last) {
                Err(error) => error.into(),
                Ok(range) if range.len() > MAX_IN_RANGE => {
                    Invalid::new("too-many", format!("A range has at most {MAX_IN_RANGE} numbers."))
                }
                Ok(_) => return,
            };
            errors.refuse_field(node, "last", invalid);
            self.last = None;
        }
    }

    /// The seals that could be read.
    fn selection(&self) -> Option<SealSelection> {
        if let Some(Some(numbers)) = &self.numbers {
            let read = numbers.iter().enumerate().filter_map(|(at, number)| Some((at, number.clone()?)));
            return Some(SealSelection::Numbers(read.collect()));
        }
        let (first, last) = (self.first.as_ref()?.as_ref()?, self.last.as_ref()?.as_ref()?);
        SealRange::new(first.clone(), last).ok().map(SealSelection::Range)
    }
}

impl SealTransfer {
    fn into_transfer(self) -> Result<NewTransfer> {
        let selection = match (self.numbers, self.first, self.last) {
            (Some(numbers), _, _) => SealSelection::Numbers(numbers.into_iter().enumerate().collect()),
            (None, Some(first), Some(last)) => {
                let at = || Location::Pointer("/last".into());
                let range = SealRange::new(first, &last);
                let range =
                    range.map_err(|error| Error::Invalid(vec![FieldError::invalid(at(), error.into())]));
                SealSelection::Range(range?)
            }
            _ => {
                let at = Location::Pointer(String::new());
                return Err(Error::Invalid(vec![FieldError::new(
                    at,
                    "numbers-or-range",
                    "No seals are named.",
                )]));
            }
        };
        Ok(NewTransfer { selection, to: self.to_bin, operation_id: self.operation_id })
    }
}

impl SealVoid {
    fn check(&self, node: Node<'_>, errors: &mut Errors) {
        if self.reason == VoidReason::Replaced {
            let detail = "Only a replacement (`seal_replaced`) makes a seal void as `replaced`.";
            errors.refuse_field(node, "reason", Invalid::new("unknown-void-reason", detail));
        }
    }
}

/// Transfers issued seals to another holder: all of them or none.
///
/// Seals that are on timber already cannot be transferred. The operator may transfer any seal, a holder its
/// own to another enterprise or forest owner.
#[utoipa::path(
    post, path = "/v1/seals/transfer", operation_id = "transfer_seals", tag = "seals",
    security(("token" = [])),
    request_body = SealTransfer,
    responses(
        (status = 200, description = "Transferred", body = Receipted<Transferred>),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Your key named too many unknown BINs today", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn transfer_seals(
    State(app): State<App>,
    SealHolder(caller): SealHolder,
    parsed: Parsed<SealTransfer>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return with_bins(&app, caller.key, refuse(&app, &caller, partial)).await,
    };
    let fingerprint = write.fingerprint;
    let operation = input.operation_id.unwrap_or_default();
    let work = Arc::new((app.clone(), caller.clone(), input.into_transfer()?));
    let writing = write.run(&app, &caller, "transfer_seals", move |tx| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (app, caller, new) = &*work;
            let act = caller.act_in(operation, app.clock.now())?;
            let response = transfer::record(tx, caller, &act, new, to_at(), fingerprint).await?;
            let made = Made::new(MadeKind::Operation, response.operation_id);
            Ok(WriteResponse::ok(&response, made).with_hashes())
        })
    });
    with_bins(&app, caller.key, writing).await
}

/// Location of the receiver.
fn to_at() -> Location {
    Location::Pointer("/to_bin".into())
}

/// All errors of a transfer that could not be parsed completely: the parse errors, and the errors that the
/// checks against the database find in what could be parsed, such as some of its seals.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<SealTransfer>,
) -> Result<Response, Problem> {
    let PartialWrite { input, mut errors, fingerprint } = partial;
    if let Some(input) = input {
        let mut tx = Tx::begin(&app.pool).await.map_err(Error::from)?;
        let checked = async {
            let operation = input.operation_id.flatten();
            if is_free(&mut tx, caller.organization, operation, &fingerprint, &mut errors).await? {
                let (selection, to) = (input.selection(), input.to_bin.as_ref());
                transfer::check(&mut tx, caller, selection.as_ref(), to, to_at(), &mut errors).await?;
            }
            Ok::<_, Error>(())
        }
        .await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Err(errors.into_error().into())
}

/// Makes a seal void. If it is on a log, the log's history gets an event, too.
///
/// This cannot be undone. A log with a void seal needs a new seal.
#[utoipa::path(
    post, path = "/v1/seals/{number}/void", operation_id = "void_seal", tag = "seals",
    security(("token" = [])),
    params(("number" = String, Path, description = "Seal number", example = "KZ-0000417")),
    request_body = SealVoid,
    responses(
        (status = 200, description = "Void", body = Receipted<Voided>),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "Absent, or you may not see it", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn void_seal(
    State(app): State<App>,
    SealVoider(caller): SealVoider,
    Path(number): Path<String>,
    ParsedWrite { input, write, .. }: ParsedWrite<SealVoid>,
) -> Result<Response, Problem> {
    let number = SealNumber::parse(&number).map_err(|_| Problem::not_found())?;
    if input.reason.is_of_inspector() != caller.is(Role::Inspector) {
        let detail =
            "`seized` and `found_detached` are the reasons of an inspector, and only of an inspector.";
        let invalid = Invalid::new("void-reason-not-yours", detail);
        return Err(Problem::wrong_at(Location::Pointer("/reason".into()), invalid));
    }
    let fingerprint = write.fingerprint;
    let SealVoid { reason, note, operation_id } = input;
    let operation = operation_id.unwrap_or_default();
    let cause = VoidCause { reason, note, operation_id };
    let work = Arc::new((app.clone(), caller.clone(), number, cause));
    write
        .run(&app, &caller, "void_seal", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, number, cause) = &*work;
                let act = caller.act_in(operation, app.clock.now())?;
                let response = void_seal::record(tx, caller, &act, number, cause, fingerprint).await?;
                let made = Made::new(MadeKind::Operation, response.operation_id);
                Ok(WriteResponse::ok(&response, made).with_hashes())
            })
        })
        .await
}
