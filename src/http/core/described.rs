//! What every operation of the OpenAPI document has in common, said once: the refusals of the layers
//! and of the readers in front of the handlers, and the header of a posting. A handler's own
//! description lists what it answers itself, and wins where both name a status.

use crate::http::core::problem::PROBLEM_JSON;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Any operation may answer these.
const ALWAYS: [(&str, &str); 5] = [
    ("400", "The query, a header or the body cannot be read"),
    ("401", "No valid token where one is needed, or a bad one anywhere"),
    ("422", "Read, and wrong: each entry of `errors` says where; unknown parameters and fields too"),
    ("500", "A fault of ours"),
    ("503", "Not just now: `Retry-After` says when to try again"),
];
/// Any operation with a body may answer these too.
const WITH_BODY: [(&str, &str); 3] = [
    ("408", "The body did not arrive in time"),
    ("413", "The body has more bytes than this call takes"),
    ("415", "The body is of a type or in an encoding that this call does not take"),
];
/// Any posting may answer this too.
const POSTED: (&str, &str) =
    ("409", "Against the present state, or the first request with this `Idempotency-Key` is still at work");

/// The document with what all its operations share.
#[must_use]
pub fn described(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.delete].into_iter().flatten() {
            add(operation, &ALWAYS);
        }
        if let Some(operation) = &mut item.post {
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

fn add(operation: &mut Operation, answers: &[(&str, &str)]) {
    for (status, description) in answers {
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
            "8 to 128 visible ASCII characters: the same key and content are answered the same",
        ))
        .schema(Some(text))
        .build()
}
