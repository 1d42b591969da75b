//! What all operations of the OpenAPI document have in common: the error responses of the layers and
//! extractors, and the `Idempotency-Key` header of write requests. A handler's own description lists
//! its own responses, and takes precedence where both name a status.

use crate::http::core::problem::PROBLEM_JSON;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Any operation may return these.
const ALWAYS: [(&str, &str); 5] = [
    ("400", "The query, a header or the body cannot be parsed"),
    ("401", "A token is needed and missing, or the token is invalid"),
    ("422", "Invalid values, unknown parameters or fields: each entry of `errors` has its location"),
    ("500", "An internal error"),
    ("503", "Unavailable: `Retry-After` says when to try again"),
];
/// Error responses of every operation with a body, in addition to those of all operations.
const WITH_BODY: [(&str, &str); 3] = [
    ("408", "The body did not arrive in time"),
    ("413", "The body has more bytes than this call accepts"),
    ("415", "The body is of a type or in an encoding that this call does not accept"),
];
/// Any write request may also return this.
const POSTED: (&str, &str) = (
    "409",
    "In conflict with the present state, or the first request with this `Idempotency-Key` is still running",
);

/// Adds the common responses to every operation, and the `Idempotency-Key` header to every one with a body.
#[must_use]
pub fn with_common_responses(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.delete].into_iter().flatten() {
            add(operation, &ALWAYS);
        }
        for operation in [&mut item.post, &mut item.put, &mut item.patch].into_iter().flatten() {
            add(operation, &ALWAYS);
            add(operation, &WITH_BODY);
            add(operation, &[POSTED]);
            let parameters = operation.parameters.get_or_insert_default();
            parameters.retain(
                |parameter| !matches!(parameter, RefOr::T(parameter) if parameter.name == IDEMPOTENCY_KEY),
            );
            parameters.push(RefOr::T(idempotency_key()));
        }
    }
    document
}

fn add(operation: &mut Operation, responses: &[(&str, &str)]) {
    for (status, description) in responses {
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            RefOr::T(ResponseBuilder::new().description(*description).content(PROBLEM_JSON, problem).build())
        });
    }
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{8,128}$"));
    ParameterBuilder::new()
        .name(IDEMPOTENCY_KEY)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "8 to 128 visible ASCII characters: the same key and content get the same response",
        ))
        .schema(Some(text))
        .build()
}
