//! Changes to seals: transfer them, void them.

use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::ids::OperationId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::Text;
use crate::evidence::idempotency::operation::is_free;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::{SealHolder, SealVoider};
use crate::http::core::daily::with_bins;
use crate::http::core::problem::Problem;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::official::{Act, Official};
use crate::timber::custody::void_seal::{self, VoidCause, Voided};
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::party::role::Role;
use crate::timber::seal::transfer::{self, NewTransfer, SealPlace, SealSelection, Transferred};
use crate::timber::seal::{SealName, VoidReason};
use axum::extract::{Path, State};
use axum::response::Response;
use std::collections::HashSet;
use std::sync::Arc;

input! {
    /// Seals and their new holder: the seals are either `numbers`, or `first` and `last`.
    pub struct SealTransfer {
        /// The seals, each once, by number or marking code.
        pub numbers: Option<Vec<SealName>> [1..=10_000],
        /// First seal of a range of up to 100,000 numbers, by number or marking code.
        pub first: Option<SealName>,
        /// Last seal of that range.
        pub last: Option<SealName>,
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
        /// The official who ordered it, if an inspector voids the seal: personal data.
        pub official: Option<Official>,
        /// The official record (act, protocol), if an inspector voids the seal.
        pub act: Option<Act>,
        /// The client's id for this write request.
        pub operation_id: Option<OperationId>,
    }
    => PartialVoid::check as PartialVoid;
}

impl PartialTransfer {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        // A member that could not be read is present.
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
        // The numbers of codes are known later.
        if let (Some(Some(first)), Some(Some(last))) = (&self.first, &self.last)
            && let (Some(first), Some(last)) = (first.number(), last.number())
            && let Err(invalid) = transfer::range(first, last)
        {
            errors.refuse_field(node, "last", invalid);
            self.last = None;
        }
    }

    /// The seals that could be read.
    fn selection(&self) -> Option<SealSelection> {
        if let Some(Some(numbers)) = &self.numbers {
            let read = numbers.iter().enumerate().filter_map(|(at, number)| Some((at, number.clone()?)));
            return Some(SealSelection::Names(read.collect()));
        }
        let (first, last) = (self.first.clone()??, self.last.clone()??);
        Some(SealSelection::Range { first, last })
    }
}

impl SealTransfer {
    fn into_transfer(self) -> Result<NewTransfer> {
        let selection = match (self.numbers, self.first, self.last) {
            (Some(numbers), _, _) => SealSelection::Names(numbers.into_iter().enumerate().collect()),
            (None, Some(first), Some(last)) => SealSelection::Range { first, last },
            _ => {
                let at = Location::Pointer(String::new());
                let error = FieldError::new(at, "numbers-or-range", "No seals are named.");
                return Err(Error::Invalid(vec![error]));
            }
        };
        Ok(NewTransfer { selection, to: self.to_bin, operation_id: self.operation_id })
    }
}

impl PartialVoid {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if let Some(reason) = self.reason.filter(|reason| reason.is_of_custody()) {
            let detail = format!("Only a custody event of its log makes a seal void as `{reason}`.");
            errors.refuse_field(node, "reason", Invalid::new("unknown-void-reason", detail));
        }
        let members =
            [("official", !matches!(self.official, Some(None))), ("act", !matches!(self.act, Some(None)))];
        for (name, _) in members.into_iter().filter(|(_, present)| *present) {
            if let Some(reason) = self.reason.filter(|reason| !reason.is_of_inspector()) {
                let detail =
                    format!("`{name}` goes with the reasons of an inspector, and not with `{reason}`.");
                errors.refuse_field(node, name, Invalid::new("not-for-this-type", detail));
            }
        }
    }
}

/// Transfers issued seals to another holder: all of them or none.
///
/// Seals that are on timber already cannot be transferred. The operator may transfer any seal, a holder its
/// own to another enterprise or forest owner.
#[utoipa::path(
    post, path = "/v1/seals/transfer", operation_id = "transfer_seals", tag = "seals", security(("token" = [])),
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
            let at = transfer_locations();
            let response = transfer::record(tx, caller, &act, new, &at, fingerprint).await?;
            let made = Made::new(MadeKind::Operation, response.operation_id);
            Ok(WriteResponse::ok(&response, made).with_hashes())
        })
    });
    with_bins(&app, caller.key, writing).await
}

/// The locations of a transfer's members.
fn transfer_locations() -> transfer::Locations {
    transfer::Locations {
        to: Location::Pointer("/to_bin".into()),
        seal: |place| {
            Location::Pointer(match place {
                SealPlace::Numbers(position) => format!("/numbers/{position}"),
                SealPlace::First => "/first".to_owned(),
                SealPlace::Last => "/last".to_owned(),
            })
        },
    }
}

/// All errors of a transfer that could not be read completely: also those of the seals that could be read.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<SealTransfer>,
) -> Result<Response, Problem> {
    let PartialWrite { input, mut errors, fingerprint } = partial;
    if let Some(input) = input {
        let mut tx = app.begin(caller.organization).await?;
        let checked = async {
            let operation = input.operation_id.flatten();
            if is_free(&mut tx, caller.organization, operation, &fingerprint, &mut errors).await? {
                let (selection, to) = (input.selection(), input.to_bin.as_ref());
                transfer::check(&mut tx, caller, selection.as_ref(), to, &transfer_locations(), &mut errors)
                    .await?;
            }
            Ok::<_, Error>(())
        }
        .await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Err(errors.into_error().into())
}

/// All errors of a void that could not be read completely: also the conflict that the seal shows.
async fn refuse_void(
    app: &App,
    caller: &Caller,
    name: Option<SealName>,
    partial: PartialWrite<SealVoid>,
) -> Result<Problem, Problem> {
    let PartialWrite { input, mut errors, fingerprint } = partial;
    if let (Some(name), Some(input)) = (name, input) {
        let mut tx = app.begin(caller.organization).await?;
        let checked = async {
            let operation = input.operation_id.flatten();
            if is_free(&mut tx, caller.organization, operation, &fingerprint, &mut errors).await? {
                void_seal::check(&mut tx, caller, &name, app.clock.now(), &mut errors).await?;
            }
            Ok::<_, Error>(())
        }
        .await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Ok(errors.into_error().into())
}

/// Makes a seal void. If it is on a log, the log's history gets an event, too.
///
/// This cannot be undone. A log with a void seal needs a new seal.
#[utoipa::path(
    post, path = "/v1/seals/{number}/void", operation_id = "void_seal", tag = "seals", security(("token" = [])),
    params(("number" = String, Path, description = "Seal number or marking code", example = "KZ-0000417")),
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
    parsed: Parsed<SealVoid>,
) -> Result<Response, Problem> {
    let name = SealName::parse(&number);
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse_void(&app, &caller, name.ok(), partial).await?),
    };
    let name = name.map_err(|_| Problem::not_found())?;
    if input.reason.is_of_inspector() != caller.is(Role::Inspector) {
        let detail =
            "`seized` and `found_detached` are the reasons of an inspector, and only of an inspector.";
        let invalid = Invalid::new("void-reason-not-yours", detail);
        return Err(Problem::wrong_at(Location::Pointer("/reason".into()), invalid));
    }
    let fingerprint = write.fingerprint;
    let SealVoid { reason, note, official, act, operation_id } = input;
    let operation = operation_id.unwrap_or_default();
    let cause = VoidCause { reason, note, official, act, operation_id };
    let work = Arc::new((app.clone(), caller.clone(), name, cause));
    write
        .run(&app, &caller, "void_seal", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, name, cause) = &*work;
                let act = caller.act_in(operation, app.clock.now())?;
                let response = void_seal::record(tx, caller, &act, name, cause, fingerprint).await?;
                let made = Made::new(MadeKind::Operation, response.operation_id);
                Ok(WriteResponse::ok(&response, made).with_hashes())
            })
        })
        .await
}
