//! The dated parameters: everyone with a key may read them, the operator sets them.

use crate::base::error::{Error, Location};
use crate::base::input::{input, no_rule};
use crate::base::units::{Amount, LocalDate};
use crate::evidence::idempotency::stored::{Made, MadeKind};
use crate::evidence::register::Receipted;
use crate::http::core::app::App;
use crate::http::core::auth::Operator;
use crate::http::core::problem::Problem;
use crate::http::core::query::NoQuery;
use crate::http::core::write::{Parsed, ParsedWrite, PartialWrite, WriteResponse};
use crate::timber::custody::request::Document;
use crate::timber::parameter::name::ParameterName;
use crate::timber::parameter::record::{self, Locations, NewValue, ParameterView, list, set};
use crate::timber::party::key::Caller;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

input! {
    /// A value of a parameter.
    pub struct ParameterRequest {
        /// The value, in the parameter's unit.
        #[schema(example = 8)]
        pub value: Amount,
        /// First day (in Kazakhstan) on which it is in force: tomorrow at the earliest, and in the last hour of a day
        /// the day after.
        pub valid_from: LocalDate,
        /// The document that decided it.
        pub document: Document,
    }
    => no_rule as PartialParameter;
}

fn locations() -> Locations {
    let at = |pointer: &str| Location::Pointer(pointer.to_owned());
    Locations { value: at("/value"), valid_from: at("/valid_from"), document_number: at("/document/number") }
}

/// All parameters.
#[derive(Serialize, ToSchema)]
pub struct Parameters {
    /// The parameters.
    items: Vec<ParameterView>,
}

/// The thresholds of the rules, with the values in force today and those that were set.
///
/// A record is judged by the value in force on the day of its event. Where no value was set, the default is in force.
#[utoipa::path(
    get, path = "/v1/parameters", operation_id = "list_parameters", tag = "rules",
    security(("token" = [])),
    responses(
        (status = 200, description = "All parameters", body = Parameters),
    )
)]
pub async fn list_parameters(
    State(app): State<App>,
    caller: Caller,
    _: NoQuery,
) -> Result<Json<Parameters>, Problem> {
    let mut db = app.connection(caller.organization).await?;
    Ok(Json(Parameters { items: list(&mut **db, None, app.clock.now()).await? }))
}

/// Sets a parameter from a day on.
///
/// The value that is in force today cannot be changed. A value that was set for the same day is replaced.
#[utoipa::path(
    put, path = "/v1/parameters/{name}", operation_id = "set_parameter", tag = "rules",
    security(("token" = [])),
    params(
        ("name" = ParameterName, Path, description = "The parameter"),
    ),
    request_body = ParameterRequest,
    responses(
        (status = 200, description = "Set", body = Receipted<ParameterView>),
        (status = 403, description = "Not the operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such parameter", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub async fn set_parameter(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(name): Path<String>,
    parsed: Parsed<ParameterRequest>,
) -> Result<Response, Problem> {
    let name = ParameterName::parse(&name);
    let ParsedWrite { input, write, .. } = match parsed {
        Parsed::Complete(write) => write,
        Parsed::Partial(PartialWrite { input, mut errors, .. }) => {
            if let (Ok(name), Some(input)) = (name, input) {
                for error in record::check(name, input.value, input.valid_from, app.clock.now(), &locations())
                {
                    errors.invalid.push(error);
                }
            }
            return Err(errors.into_error().into());
        }
    };
    let name = name.map_err(|_| Problem::not_found())?;
    let ParameterRequest { value, valid_from, document } = input;
    let new = NewValue { name, value, valid_from, document: document.part(), at: locations() };
    let work = Arc::new((app.clone(), caller.clone(), new));
    let done = write
        .run(&app, &caller, "set_parameter", move |tx| {
            let work = Arc::clone(&work);
            Box::pin(async move {
                let (app, caller, new) = &*work;
                let act = caller.act(app.clock.now())?;
                set(tx, &act, new).await?;
                let view = list(&mut **tx, Some(new.name), act.at()).await?.pop();
                let view = view.ok_or_else(|| Error::CorruptRow("parameter: no definition".into()))?;
                Ok(WriteResponse::ok(&view, Made::new(MadeKind::Operation, act.operation)))
            })
        })
        .await?;
    let mut db = app.connection(caller.organization).await?;
    record::refresh(&app.rulebook, &mut **db).await?;
    Ok(done)
}
