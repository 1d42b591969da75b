//! Custody events: one request records what happened to up to 1,000 logs.

use crate::base::error::Error;
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::Custodian;
use crate::http::core::daily::with_bins;
use crate::http::core::problem::Problem;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteRequest, WriteResponse};
use crate::http::core::write_queue::{self, done, with_hashes};
use crate::timber::custody::check::check_partial;
use crate::timber::custody::record::{CustodyResponse, Recorded, record};
use crate::timber::custody::request::{NewCustodyEvent, PartialCustodyEvent};
use crate::timber::party::key::Caller;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

/// Record an event of up to 1,000 logs, all or nothing.
///
/// The custody table of `docs/DOMAIN.md` defines the allowed transitions and who may record them. The error
/// of a refused transition lists the event types that would be allowed.
#[utoipa::path(
    post, path = "/v1/custody-events", operation_id = "create_custody_event", tag = "custody", security(("token" = [])),
    request_body = NewCustodyEvent,
    responses(
        (status = 201, description = "Recorded", body = Receipted<CustodyResponse>),
        (status = 200, description = "Recorded before by the same write request", body = Receipted<CustodyResponse>),
        (status = 403, description = "Your role may never call this", body = Problem,
            content_type = "application/problem+json"),
        (status = 429, description = "Your key named too many unknown BINs today", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_custody_event(
    State(app): State<App>,
    Custodian(caller): Custodian,
    parsed: Parsed<NewCustodyEvent>,
) -> Result<Response, Problem> {
    post_event(app, caller, parsed).await
}

/// Records the event that was sent, by the API or by a page of the desk.
pub(in crate::http) async fn post_event(
    app: App,
    caller: Caller,
    parsed: Parsed<NewCustodyEvent>,
) -> Result<Response, Problem> {
    let ParsedWrite { input, mut write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(partial) => {
            let event = partial.input.as_ref().and_then(|input| input.r#type);
            if caller.suspended && event.is_some_and(|event| !event.while_suspended()) {
                return Err(Problem::suspended());
            }
            let names_others = partial.input.as_ref().is_some_and(PartialCustodyEvent::names_others);
            let refused = refuse(&app, &caller, partial);
            return if names_others {
                Box::pin(with_bins(&app, caller.key, refused)).await
            } else {
                Box::pin(refused).await
            };
        }
    };
    write.while_suspended = input.r#type.while_suspended();
    if caller.suspended && !write.while_suspended {
        return Err(Problem::suspended());
    }
    if input.annul == Some(true) {
        // Whether the code was checked decides who may annul: the checks of the last minute count, too.
        let mut db = app.connection(caller.organization).await?;
        app.checks.write(&mut **db).await.map_err(Error::from)?;
    }
    let (key, names_others) = (caller.key, input.to_bin.is_some() || input.carrier_bin.is_some());
    let content = Arc::new((input, caller));
    if names_others {
        return with_bins(&app, key, record_event(&app, content, write)).await;
    }
    record_event(&app, content, write).await
}

/// All errors of a request that could not be parsed completely: the parse errors, and the errors that the
/// checks against the database find in what could be parsed, such as some of its logs.
async fn refuse(
    app: &App,
    caller: &Caller,
    partial: PartialWrite<NewCustodyEvent>,
) -> Result<Response, Problem> {
    let PartialWrite { input, mut errors, fingerprint } = partial;
    if let Some(input) = input {
        let mut tx = app.begin(caller.organization).await?;
        let checked = check_partial(&mut tx, caller, input, &fingerprint, &app.rulebook, &mut errors).await;
        tx.rollback().await.map_err(Error::from)?;
        checked?;
    }
    Err(errors.into_error().into())
}

async fn record_event(
    app: &App,
    content: Arc<(NewCustodyEvent, Caller)>,
    write: WriteRequest,
) -> Result<Response, Problem> {
    if let Some(response) = write_queue::record(app, &content, &write).await? {
        return Ok(response);
    }
    let (shared, fingerprint, rulebook) = (Arc::clone(&content), write.fingerprint, app.rulebook.clone());
    write
        .run(app, &content.1, "record_custody_event", move |tx| {
            let (shared, rulebook) = (Arc::clone(&shared), rulebook.clone());
            Box::pin(async move {
                let (input, caller) = &*shared;
                Ok(match record(tx, caller, input, &fingerprint, &rulebook).await? {
                    Recorded::New(response) => done(input, &response),
                    Recorded::Before(response) => with_hashes(
                        input,
                        WriteResponse::ok(&response, Made::new(MadeKind::Operation, response.operation_id)),
                    ),
                })
            })
        })
        .await
}
