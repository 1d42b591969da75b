//! Changes to seals: transfer them, void them.

use crate::base::error::{Error, FieldError, Invalid, Location, Result};
use crate::base::ids::OperationId;
use crate::base::input::{Errors, Node, input};
use crate::base::units::Text;
use crate::evidence::chain::Tx;
use crate::evidence::idempotency::operation::{self, Record, Reservation, is_free};
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::SealHolder;
use crate::http::core::daily::with_bins;
use crate::http::core::problem::Problem;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::void_seal::{self, VoidCause, Voided};
use crate::timber::party::bin::Bin;
use crate::timber::party::key::Caller;
use crate::timber::seal::transfer::{self, SealPlace, SealSelection, Transferred};
use crate::timber::seal::{SealName, VoidReason, stock};
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
        /// `spoiled`, `lost`, `stolen` or `destroyed`.
        pub reason: VoidReason,
        /// A remark.
        pub note: Option<Text>,
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
    fn selection(&self) -> Result<SealSelection> {
        match (&self.numbers, &self.first, &self.last) {
            (Some(numbers), _, _) => Ok(SealSelection::Names(numbers.iter().cloned().enumerate().collect())),
            (None, Some(first), Some(last)) => {
                Ok(SealSelection::Range { first: first.clone(), last: last.clone() })
            }
            _ => Err(Error::Invalid(vec![FieldError::new(
                Location::Pointer(String::new()),
                "numbers-or-range",
                "No seals are named.",
            )])),
        }
    }
}

impl PartialVoid {
    fn check(&mut self, node: Node<'_>, errors: &mut Errors) {
        if self.reason == Some(VoidReason::Replaced) {
            let detail = "Only a replacement (`seal_replaced`) makes a seal void as `replaced`.";
            errors.refuse_field(node, "reason", Invalid::new("unknown-void-reason", detail));
        }
    }
}

/// The events of an earlier, identical write request; `None` if there was none.
async fn earlier(
    tx: &mut Tx<'_>,
    caller: &Caller,
    given: Option<OperationId>,
    fingerprint: &[u8; 32],
) -> Result<Option<(Vec<uuid::Uuid>, Vec<i32>)>> {
    // An id that this server has just generated was never used before.
    let Some(operation) = given else { return Ok(None) };
    match operation::reserve(tx, caller.organization, operation, fingerprint).await? {
        Reservation::New => Ok(None),
        Reservation::Existing { subjects, seqs } => Ok(Some((subjects, seqs))),
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
    let work = Arc::new((app.clone(), caller.clone(), input));
    let writing = write.run(&app, &caller, "transfer_seals", move |tx| {
        let work = Arc::clone(&work);
        Box::pin(async move {
            let (app, caller, input) = &*work;
            let act = caller.act_in(operation, app.clock.now())?;
            if let Some((subjects, seqs)) = earlier(tx, caller, input.operation_id, &fingerprint).await? {
                let response = transfer::answer(tx, operation, &subjects, &seqs).await?;
                return Ok(
                    WriteResponse::ok(&response, Made::new(MadeKind::Operation, operation)).with_hashes()
                );
            }
            let response = transfer::transfer(
                tx,
                caller,
                &act,
                &input.selection()?,
                &input.to_bin,
                &transfer_locations(),
            )
            .await?;
            let record = Record {
                organization: caller.organization,
                operation,
                kind: "seal_transfer",
                fingerprint,
                subjects: response.events.iter().map(|event| event.id).collect(),
                seqs: response.events.iter().map(|event| event.seq).collect(),
            };
            operation::record(tx, record, act.at()).await?;
            Ok(WriteResponse::ok(&response, Made::new(MadeKind::Operation, operation)).with_hashes())
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
        let mut tx = Tx::begin(&app.pool).await.map_err(Error::from)?;
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
        let mut tx = Tx::begin(&app.pool).await.map_err(Error::from)?;
        let checked = async {
            let operation = input.operation_id.flatten();
            if is_free(&mut tx, caller.organization, operation, &fingerprint, &mut errors).await? {
                void_seal::check(&mut tx, caller, &name, &mut errors).await?;
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
    post, path = "/v1/seals/{number}/void", operation_id = "void_seal", tag = "seals",
    security(("token" = [])),
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
    SealHolder(caller): SealHolder,
    Path(number): Path<String>,
    parsed: Parsed<SealVoid>,
) -> Result<Response, Problem> {
    let name = SealName::parse(&number);
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => return Err(refuse_void(&app, &caller, name.ok(), partial).await?),
    };
    let name = name.map_err(|_| Problem::not_found())?;
    let fingerprint = write.fingerprint;
    let operation = input.operation_id.unwrap_or_default();
    let why = VoidCause { reason: input.reason, note: input.note };
    let work = Arc::new((app.clone(), caller.clone(), name, why, input.operation_id));
    write
        .run(&app, &caller, "void_seal", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, name, why, given) = &*work;
                let act = caller.act_in(operation, app.clock.now())?;
                let number = stock::numbers_of(&mut **tx, &[name]).await?.pop().flatten();
                let number = &number.ok_or(Error::NotFound)?;
                if let Some((subjects, seqs)) = earlier(tx, caller, *given, &fingerprint).await? {
                    let response = void_seal::answer(tx, operation, number, &subjects, &seqs).await?;
                    return Ok(
                        WriteResponse::ok(&response, Made::new(MadeKind::Operation, operation)).with_hashes()
                    );
                }
                let response = void_seal::void(tx, caller, &act, (number, name), why).await?;
                let record = Record {
                    organization: caller.organization,
                    operation,
                    kind: "seal_void",
                    fingerprint,
                    subjects: response.events.iter().map(|event| event.id).collect(),
                    seqs: response.events.iter().map(|event| event.seq).collect(),
                };
                operation::record(tx, record, act.at()).await?;
                Ok(WriteResponse::ok(&response, Made::new(MadeKind::Operation, operation)).with_hashes())
            })
        })
        .await
}
